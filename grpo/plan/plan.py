"""A plan as data: what a run will do and cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from grpo.config.run_config import RunConfig
from grpo.config.sections import TrlBatch
from grpo.machine.device import Device
from grpo.plan.display import plan_lines, screen_lines
from grpo.plan.memory_estimate import MemoryEstimate, Shape, trained_parameters
from grpo.plan.notes import foretell_sharing
from grpo.plan.time_estimate import Duration


@dataclass(frozen=True)
class Tokens:
    """Tokens of one row and of the whole of GRPO; `most` if every completion runs to its limit.

    `expected` takes completions to be as long as their references.
    """

    exact: bool
    source: str
    prompt_mean: float
    prompt_longest: int
    prompt_limit: int
    reference_mean: float
    reference_longest: int
    references_beyond_limit: int
    prompt_total: int
    completion_most: int
    completion_expected: int
    total_most: int
    total_expected: int


@dataclass(frozen=True)
class Plan:
    """The effective settings of a run, counted out. `per_task` are expected prompts, `notes` what a reader must know."""

    config: RunConfig
    profile: str
    device: Device
    device_is_reference: bool
    shape: Shape | None
    shape_source: str
    world_size: int
    prompts_per_step: int
    num_generations: int
    completions_per_step: int
    max_steps: int
    prompts_seen: int
    train_rows: int
    held_out_rows: int
    unique_prompts: int
    epochs: float
    lr_warmup_steps: int
    per_task: dict[str, float]
    trl: TrlBatch
    evaluations: int
    sft_rows: int
    sft_steps: int
    tokens: Tokens
    memory: MemoryEstimate | None
    duration: Duration | None
    disk_bytes: int | None = None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The plan as an object of plain values; bytes and seconds are numbers, unknown parts null."""
        model, grpo = self.config.model, self.config.grpo
        return {
            "name": self.config.name,
            "sources": list(self.config.sources),
            "profile": self.profile,
            "prompts_per_step": self.prompts_per_step,
            "num_generations": self.num_generations,
            "completions_per_step": self.completions_per_step,
            "max_steps": self.max_steps,
            "prompts_seen": self.prompts_seen,
            "train_rows": self.train_rows,
            "held_out_rows": self.held_out_rows,
            "unique_prompts": self.unique_prompts,
            "epochs": self.epochs,
            "lr_warmup_steps": self.lr_warmup_steps,
            "per_task": self.per_task,
            "evaluations": self.evaluations,
            "sft_warmup": {"enabled": self.config.sft_warmup.enabled, "rows": self.sft_rows, "steps": self.sft_steps},
            "trl": {**asdict(self.trl), "num_iterations": grpo.num_iterations, "world_size": self.world_size},
            "sampling": {
                key: getattr(grpo, key)
                for key in ("temperature", "top_p", "top_k", "repetition_penalty", "max_completion_length")
            },
            "model": {
                "name": "embedded" if model.embedded else model.name,
                "gguf": model.gguf,
                "engine": model.engine,
                "dtype": model.effective_dtype(self.device.kind),
                "quantization": model.quantization,
                "parameters": self.parameters,
                "trainable_parameters": self.trainable_parameters,
                "shape_from": self.shape_source,
            },
            "device": {**asdict(self.device), "is_reference": self.device_is_reference},
            "tokens": asdict(self.tokens),
            "memory_bytes": {**asdict(self.memory), "peak": self.memory.peak} if self.memory else None,
            "disk_bytes": self.disk_bytes,
            "seconds_estimated": {
                **{name: round(value, 1) for name, value in asdict(self.duration).items()},
                "total": round(self.duration.total, 1),
            }
            if self.duration
            else None,
            "prompts_shared": dict(zip(("shared", "why"), foretell_sharing(model), strict=True)),
            "notes": self.notes,
        }

    def lines(self) -> list[tuple[str, str]]:
        """The plan as pairs of a label and a text, in the order they are shown."""
        return plan_lines(self)

    def show(self, progress: Any) -> None:
        """Hand the first screen to `progress.say`, line by line, as wide as the terminal is."""
        for line in screen_lines(self):
            progress.say(line)

    @property
    def parameters(self) -> int | None:
        """Weights of the policy without adapters; None where its shape is unknown."""
        return self.shape.parameters if self.shape else None

    @property
    def trainable_parameters(self) -> int | None:
        """Weights that are trained: the adapters', or all; None where the shape is unknown."""
        return trained_parameters(self.shape, self.config.model) if self.shape else None
