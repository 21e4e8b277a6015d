"""The sections of the YAML that callbacks own: evaluation, decision, tracking."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from callbacks.watch.rules import WatchSection


class EvaluationSection(BaseModel):
    """`evaluation:` when and how the held-out rows are answered, and how the best checkpoint is chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_steps: int = Field(50, ge=1, description="GRPO steps between two evaluations.")
    temperature: float = Field(0.1, ge=0, description="Sampling temperature of the evaluation; 0 is greedy.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus sampling share of the evaluation.")
    top_k: int = Field(0, ge=0, description="Only the k likeliest tokens are sampled in the evaluation; 0 is off.")
    repetition_penalty: float = Field(1.0, gt=0, description="Repetition penalty of the evaluation; 1 is off.")
    max_completion_length: int | None = Field(
        None, ge=1, description="Tokens a completion of the evaluation may have; none: as in training."
    )
    stop_repetition: int | None = Field(
        None,
        ge=2,
        le=1_000,
        description="End an answer once its last block of at most 64 tokens has occurred this many times in a row, over at least "
        "32 tokens; the answer counts as truncated. None: off.",
    )
    batch_size: int = Field(64, ge=1, description="Prompts answered at once in the evaluation.")
    max_examples: int | None = Field(
        None, ge=1, description="Held-out rows answered at each evaluation, drawn per task; none: all of them."
    )
    seed: int = Field(1234, ge=0, description="Seed of the evaluation's sampling, the same at every evaluation.")
    fresh_seed: int | None = Field(
        None,
        ge=0,
        description="Seed with which the best checkpoint is estimated again, because the other chose it; none: seed + 1.",
    )
    kept_examples: int = Field(
        100,
        ge=0,
        description="Where max_examples leaves at least this many held-out rows out, the best checkpoint is judged on those, "
        "and the start too; 0: never.",
    )
    task_floor_margin: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much further than its noise a task may fall below the warm-up in the best checkpoint.",
    )


class DecisionSection(BaseModel):
    """`decision:` what is watched during a run and how the run is judged afterwards. Rewards and means are in 0..1.

    The thresholds from `scale_at` to `rehearsal_gain` apply to the shop's recipes; a run on other rows uses `target`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    relative_to: Literal["auto", "thresholds", "warmup", "baseline"] = Field(
        "auto",
        description="What the run is judged by: thresholds (the shop's, below), warmup (its own warm-up, as a rehearsal), "
        "baseline (what it gained since zero-shot and its warm-up, each task against its own start); auto: baseline for rows "
        "of your own, else thresholds.",
    )
    target: float | None = Field(
        None, ge=0, le=1, description="With baseline: the held-out mean that is good enough; null: the gain alone."
    )
    scale_at: float = Field(
        0.55, ge=0, le=1, description="Scenario A: the mean reward from which the rung is exhausted."
    )
    thresholds_for: dict[str, str] = Field(
        default_factory=dict,
        description="The reward functions that the thresholds were set for, and their versions, or version and fingerprint "
        "as in the audit (4 (0123456789ab)); a run with another one is held to its own start instead. Empty: any.",
    )
    plateau_mean: float = Field(0.476, ge=0, le=1, description="Scenario B: the mean reward at which V4 stood still.")
    plateau_mean_tolerance: float = Field(
        0.05, ge=0, le=1, description="Scenario B: how far above plateau_mean still counts as standing there."
    )
    plateau_extraction: float = Field(
        0.17, ge=0, le=1, description="Scenario B: the reward of extraction when no valid JSON comes out."
    )
    plateau_extraction_tolerance: float = Field(
        0.06, ge=0, le=1, description="Scenario B: how far above plateau_extraction still counts as no valid JSON."
    )
    plateau_window: int = Field(
        70, ge=1, description="Steps at the end of the run in which a new best must appear, or it is a plateau."
    )
    plateau_gain: float = Field(0.01, ge=0, le=1, description="A new best by less than this does not count.")
    schedule_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="A plateau over which the learning rate was on average below this share of its peak is the "
        "schedule's, not the model's.",
    )
    floors: dict[str, float] = Field(
        default_factory=lambda: {"extraction": 0.25, "sql_qa": 0.20, "insights": 0.20},
        description="Scenario C: the mean reward each task must reach at the end.",
    )
    question_step: int = Field(130, ge=0, description="The step of the question whether the run improved past it.")
    rehearsal_gain: float = Field(
        0.33, ge=0, description="A rehearsal has learnt when its mean rose over the warm-up by this share."
    )
    watch: WatchSection = Field(
        default_factory=WatchSection, description="Rules that warn about a run in progress, or stop it."
    )

    @model_serializer(mode="wrap")
    def _leave_out_the_shops(self, dump: Any) -> dict[str, Any]:
        """A run that is held to its own start shows no thresholds of the shop's recipes, and no rules that mind them."""
        data = dump(self)
        if self.relative_to != "baseline":
            return data
        rules = data["watch"]["rules"] if "watch" in data else {}
        for name in [name for name, rule in self.watch.rules.items() if "recipe" in rule.only_with]:
            rules.pop(name, None)
        return {key: value for key, value in data.items() if key in ("relative_to", "target", "watch")}


class TrackingSection(BaseModel):
    """`tracking:` where the numbers go besides metrics.jsonl, which is always written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wandb: Literal["auto", "online", "offline", "off"] = Field(
        "auto", description="Weights & Biases; auto: online with a key or a netrc login, offline without."
    )
    project: str = Field("recompensa", min_length=1, description="Weights & Biases project.")
    entity: str | None = Field(None, description="Weights & Biases user or team; none: the default of the key.")
    tensorboard: bool = Field(False, description="Write TensorBoard event files into the run directory as well.")
    mlflow: bool = Field(
        False,
        description="Write an MLflow run as well: at MLFLOW_TRACKING_URI, else into mlflow.db of the run directory.",
    )
    trackio: bool = Field(
        False, description="Log to trackio as well: on this machine, or in the Space that TRACKIO_SPACE_ID names."
    )
    completions: bool = Field(
        True, description="Send the stored completions too; false where prompts must not leave the machine."
    )
