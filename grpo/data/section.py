"""The `data:` section of a config: rows that are generated, or from the user's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

TASKS = ("extraction", "sql_qa", "insights", "push")


class ShopSection(BaseModel):
    """What the shop generator builds; two equal sections build the same files."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(7, description="Everything generated follows from it.")
    train_rows: int = Field(1480, ge=4, description="GRPO training rows, over all tasks.")
    held_out_rows: int = Field(320, ge=4, description="Held-out rows, in the same proportions.")
    proportions: dict[str, float] = Field(
        default_factory=lambda: {"extraction": 0.4, "sql_qa": 0.4, "insights": 0.1, "push": 0.1},
        description="Share of each task; they add up to 1.",
    )
    instructions: Literal["full", "short"] = Field(
        "full", description="System prompts: `full` for real models, `short` (one word) for the embedded policy."
    )
    size: Literal["full", "small"] = Field(
        "full",
        description="`full`: held-out names and products share no word with training. `small`: few words, whose held-out "
        "combinations training never shows, prices of two digits, one condition a question (for the embedded policy).",
    )
    olist: Path | None = Field(
        None, description="Folder of the nine public Olist CSV files, instead of generated orders."
    )
    warmup_rows: int = Field(
        0, ge=0, description="Extra rows of the training side, for the embedded policy's SFT only."
    )
    warmup_slips: float = Field(
        0.0, ge=0.0, le=1.0, description="Chance that a field (or row) of a warm-up reference is annotated wrongly."
    )

    @field_validator("proportions")
    @classmethod
    def _check_proportions(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = [name for name in value if name not in TASKS]
        if unknown:
            raise ValueError(f"no such task: {', '.join(unknown)}; the shop has {', '.join(TASKS)}")
        if any(share < 0 for share in value.values()) or abs(sum(value.values()) - 1.0) > 1e-6:
            raise ValueError(f"the shares must be 0 or more and add up to 1, not {sum(value.values()):g}")
        return value


class Tmf921Section(BaseModel):
    """What the TMF921 generator builds; two equal sections build the same files."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(7, description="Everything generated follows from it.")
    train_rows: int = Field(2600, ge=20, description="Rows of train_base; train_sota has rare rows repeated on top.")
    held_out_rows: int = Field(400, ge=20, description="Rows of the five tests and of validation together.")
    train: Literal["train_base", "train_sota"] = Field("train_sota", description="Which of the two is trained on.")
    layers: list[str] | None = Field(
        None, min_length=1, description="Only these layers of configurations; null is all six, operations and refusals."
    )
    weak: list[str] | None = Field(
        None,
        min_length=1,
        description="Train on these layers, with a replay of the others (stage 2); null trains on all.",
    )
    weak_count: int | None = Field(
        None, ge=1, description="With continue_from: so many layers that its last evaluation found weakest, as `weak`."
    )
    replay: float = Field(0.3, ge=0, lt=1, description="Share of the replay in what is trained on, with weak.")
    instructions: Literal["full", "short"] = Field(
        "full", description="`full` for real models; `short` is the layer's name alone, for the embedded policy."
    )

    def takes(self, layer: str) -> bool:
        """Whether rows of this layer are generated."""
        return self.layers is None or layer in self.layers


class ToolCallsSection(BaseModel):
    """What the generator of function calling builds; two equal sections build the same files."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(7, description="Everything generated follows from it.")
    form: Literal["structured", "hermes", "cep"] = Field(
        "hermes",
        description="`structured`: one JSON record of a text. `hermes`: calls in <tool_call> of functions that the prompt "
        "lists, or none. `cep`: a rule over events as one bare JSON call with nested arguments.",
    )
    train_rows: int = Field(1200, ge=8, description="Training rows.")
    held_out_rows: int = Field(160, ge=8, description="Held-out rows: requests that training never has.")
    no_call: float = Field(
        0.1, ge=0, lt=1, description="Share of rows that no listed function fits, so that `[]` is right (hermes, cep)."
    )
    instructions: Literal["full", "short"] = Field(
        "full", description="`full` for real models; `short` names the functions alone, for the embedded policy."
    )


class PersonasSection(BaseModel):
    """What the generator of voices builds; two equal sections build the same files."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(7, description="Everything generated follows from it.")
    personas: int = Field(6, ge=2, le=6, description="How many voices answer.")
    train_rows: int = Field(1200, ge=12, description="Training rows.")
    held_out_rows: int = Field(160, ge=12, description="Held-out rows: messages that training never has.")
    contrasts: int = Field(
        2, ge=1, le=5, description="Answers of other personas to the same message, in column contrast."
    )
    instructions: Literal["full", "short"] = Field(
        "full", description="`full` describes the voice; `short` is its name alone, for the embedded policy."
    )

    @model_validator(mode="after")
    def _check_contrasts(self) -> PersonasSection:
        if self.contrasts >= self.personas:
            raise ValueError(f"contrasts: {self.contrasts} of {self.personas - 1} other personas; give fewer")
        return self


class HubSection(BaseModel):
    """A data set of the Hub, by name; what was fetched once is read from the cache."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$", description="owner/name.")
    revision: str | None = Field(None, description="Branch, tag or commit; null is its default branch.")
    subset: str | None = Field(None, description="Its configuration, where it has several.")
    train: str = Field("train", description="Split of the training rows.")
    held_out: str = Field("test", description="Split of the held-out rows.")

    def source(self, split: str) -> str:
        """One of its splits in the words of `recompensa data`."""
        revision = f"@{self.revision}" if self.revision else ""
        subset = f"[{self.subset}]" if self.subset else ""
        return f"hub:{self.name}{revision}{subset}#{split}"


class DataSection(BaseModel):
    """Where the rows of a run come from."""

    model_config = ConfigDict(extra="forbid")

    source: Literal["shop", "tmf921", "tool_calls", "personas", "files", "hub"] = Field(
        "shop",
        description="`shop`, `tmf921`, `tool_calls` and `personas` generate the rows, `files` reads yours, `hub` a data set of "
        "the Hub.",
    )
    train: Path | None = Field(
        None,
        description="Training rows (with `source: files`): a file of JSON Lines, JSON, CSV or Parquet, a folder of such, or "
        "a pattern.",
    )
    held_out: Path | None = Field(None, description="Held-out rows, likewise.")
    hub: HubSection | None = Field(None, description="The data set of `source: hub`.")
    task_column: str | None = Field(
        None, description="Column whose value is a row's task, such as target_layer; null reads the column task."
    )
    max_prompt_tokens: int | None = Field(
        None, ge=1, description="Longest prompt allowed; by default what the model's context leaves."
    )
    shop: ShopSection = Field(default_factory=ShopSection)
    tmf921: Tmf921Section = Field(default_factory=Tmf921Section)
    tool_calls: ToolCallsSection = Field(default_factory=ToolCallsSection)
    personas: PersonasSection = Field(default_factory=PersonasSection)

    @model_validator(mode="after")
    def _check_source(self) -> DataSection:
        given = [name for name in ("train", "held_out") if getattr(self, name) is not None]
        if self.source == "files" and len(given) < 2:
            missing = [name for name in ("train", "held_out") if name not in given]
            raise ValueError(f"source: files needs {' and '.join(missing)}: the path of a JSON Lines file")
        if (self.source == "hub") != (self.hub is not None):
            raise ValueError("source: hub and hub: {name: owner/name} go together; write both or neither")
        if self.source == "hub" and given:
            raise ValueError(f"{' and '.join(given)}: read only with source: files; name splits under hub instead")
        if self.source not in ("files", "hub") and given:
            raise ValueError(f"{' and '.join(given)}: read only with source: files; set it, or remove the path")
        return self
