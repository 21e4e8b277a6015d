"""The `data:` section of a config: rows from the generated shop, or from the user's own files."""

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
        None, description="Folder of the nine public Olist CSV files, in place of made-up orders."
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


class DataSection(BaseModel):
    """Where the rows of a run come from."""

    model_config = ConfigDict(extra="forbid")

    source: Literal["shop", "files"] = Field("shop", description="`shop` generates the rows, `files` reads yours.")
    train: Path | None = Field(None, description="JSON Lines of training rows (with `source: files`).")
    held_out: Path | None = Field(None, description="JSON Lines of held-out rows (with `source: files`).")
    max_prompt_tokens: int | None = Field(
        None, ge=1, description="Longest prompt allowed; by default what the model's context leaves."
    )
    shop: ShopSection = Field(default_factory=ShopSection)

    @model_validator(mode="after")
    def _check_source(self) -> DataSection:
        given = [name for name in ("train", "held_out") if getattr(self, name) is not None]
        if self.source == "files" and len(given) < 2:
            missing = [name for name in ("train", "held_out") if name not in given]
            raise ValueError(f"source: files needs {' and '.join(missing)}: the path of a JSON Lines file")
        if self.source == "shop" and given:
            raise ValueError(f"{' and '.join(given)}: read only with source: files; set it, or remove the path")
        return self
