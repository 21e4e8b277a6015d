"""The whole config of a run: every package's section in one model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from callbacks.config import DecisionSection, EvaluationSection, TrackingSection
from grpo.config.report_section import ReportSection
from grpo.config.sections import GrpoSection, ModelSection
from grpo.config.trl_fields import find_trl_problems
from grpo.config.without_effect import WrittenKey
from grpo.data.section import DataSection
from rewards.config import RewardsSection
from sft_warmup.config import SftWarmupSection


class RunConfig(BaseModel):
    """Everything a run is told. Each section belongs to the package that reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the run and of its directory: letters, digits, dots, dashes and underscores. "
        "By default the name of the file.",
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Everything random in the run follows from it.")
    threads: int | None = Field(
        None, ge=1, description="Threads of the computation; null chooses by the machine and its load."
    )
    stages: list[Literal["sft", "grpo"]] | None = Field(
        None,
        description="What trains, in order: [sft], [sft, grpo] or [grpo], or [] to evaluate alone; null is [grpo], with sft "
        "before it where sft_warmup.enabled says so.",
    )
    continue_from: Path | None = Field(
        None,
        description="A finished run whose policy this one trains on: model.name, model.adapter and the weak layers of "
        "data.tmf921 follow from it, and SFT before GRPO is left out.",
    )
    model: ModelSection = Field(default_factory=ModelSection, description="The policy.")
    data: DataSection = Field(default_factory=DataSection, description="Where the rows come from.")
    sft_warmup: SftWarmupSection = Field(default_factory=SftWarmupSection, description="The stage before GRPO.")
    grpo: GrpoSection = Field(default_factory=GrpoSection, description="GRPO training.")
    rewards: RewardsSection = Field(default_factory=RewardsSection, description="The reward functions.")
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection, description="Held-out evaluation.")
    decision: DecisionSection = Field(default_factory=DecisionSection, description="What the next run should be.")
    tracking: TrackingSection = Field(default_factory=TrackingSection, description="Where numbers are sent.")
    report: ReportSection = Field(default_factory=ReportSection, description="How the report is written.")
    trl: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of TRL's GRPOConfig that have no key here, handed through as they are, such as "
        "top_entropy_quantile. What would break the numbers or the resuming of a run is refused, with the reason.",
    )

    @field_validator("trl")
    @classmethod
    def _can_be_handed_through(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if problems := find_trl_problems(settings):
            raise ValueError("; ".join(problems))
        return settings

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: list[str] | None) -> list[str] | None:
        if stages is not None and stages not in ([], ["sft"], ["sft", "grpo"], ["grpo"]):
            raise ValueError(f"{stages} is not allowed; write [sft], [sft, grpo] or [grpo], or [] to evaluate alone")
        return stages

    @model_validator(mode="after")
    def _enable_stages(self) -> RunConfig:
        """What `stages` says stands above sft_warmup.enabled."""
        if self.stages is not None and self.sft_warmup.enabled != ("sft" in self.stages):
            section = self.sft_warmup.model_copy(update={"enabled": "sft" in self.stages})
            object.__setattr__(self, "sft_warmup", section)
        return self

    @property
    def trains_grpo(self) -> bool:
        """False for a run that ends after its supervised stage, or that evaluates alone."""
        return self.stages is None or "grpo" in self.stages

    def last_step(self, demonstrations: int) -> int:
        """The step that the final evaluation is of: GRPO's last, SFT's over this many rows where nothing follows it, or 0."""
        if self.trains_grpo:
            return self.grpo.max_steps
        return self.sft_warmup.steps(demonstrations) if self.sft_warmup.enabled else 0

    @model_validator(mode="after")
    def _choose_measure(self) -> RunConfig:
        """Rows of one's own are judged by what they gained, the shop's by its thresholds, unless the config says."""
        # A run that is all SFT has no warm-up to be held against, only the policy as it was.
        alone = not self.trains_grpo and self.decision.relative_to == "warmup"
        if self.decision.relative_to == "auto" or alone:
            measure = "baseline" if self.data.source != "shop" or alone else "thresholds"
            decision = self.decision.model_copy(update={"relative_to": measure})
            object.__setattr__(self, "decision", decision)  # the model is frozen from here on
        return self

    def with_rows(self, rows: int) -> RunConfig:
        """The same config with what depends on the number of training rows counted out: grpo.num_train_epochs."""
        return (
            self if self.grpo.num_train_epochs is None else self.model_copy(update={"grpo": self.grpo.with_steps(rows)})
        )

    _sources: tuple[str, ...] = PrivateAttr(())
    _profile: str | None = PrivateAttr(None)
    _written: Mapping[str, WrittenKey] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """What this config was made from, the later over the earlier; empty where it was made in code."""
        return self._sources

    @property
    def profile(self) -> str | None:
        """The profile whose overlay was applied: gpu (which has none), embedded, or None for no profile at all."""
        return self._profile

    @property
    def written(self) -> Mapping[str, WrittenKey]:
        """The keys that its sources wrote, such as `grpo.max_steps`; empty where it was made in code or read back."""
        return self._written

    def to_json(self) -> str:
        """Every resolved value, ready to be stored as config.json and read back."""
        return self.model_dump_json(indent=2) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a config file, for editors."""
    schema = RunConfig.model_json_schema()
    extends = {
        "type": "string",
        "description": "A config this one builds on: a path from this file's folder, or a shipped name.",
    }
    profiles = {
        "type": "object",
        "description": "What this file changes under a profile: sections laid over the profile's own, by its name.",
        "properties": {name: {"type": "object", "properties": schema["properties"]} for name in ("embedded", "small")},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "recompensa run config",
        "properties": {"extends": extends, "profiles": profiles, **schema["properties"]},
    }
