"""The two sections of the YAML that belong to the policy and its GRPO training: `model` and `grpo`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from grpo.config.model_parts import SECTION, EmbeddedSection, LoraSection, VllmSection
from grpo.config.trl_names import Scheduler, find_optimiser_problem, find_schedule_problem


class ModelSection(BaseModel):
    """The policy: which model, how it is loaded, what of it is trained, which engine runs it."""

    model_config = SECTION

    name: str = Field(
        "Polygl0t/Tucano2-qwen-0.5B-Instruct", min_length=1, description="Model on the hub, or a local folder."
    )
    revision: str | None = Field(None, description="Branch, tag or commit on the hub; null is its default branch.")
    max_sequence_length: int = Field(2048, ge=16, description="Most tokens of prompt and completion together.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Type of the weights; auto is bfloat16 on a CUDA device and float32 elsewhere. float16 is for CUDA devices "
        "without bfloat16 (Quadro RTX, V100, T4): frozen weights below adapters, losses scaled.",
    )
    quantization: Literal["none", "nf4"] = Field(
        "none", description="nf4 loads the frozen weights as 4-bit NF4 with double quantisation (QLoRA)."
    )
    lora: LoraSection | None = Field(
        default_factory=LoraSection, description="Adapters to train; null trains every weight."
    )
    adapter: str = Field(
        "continue",
        min_length=1,
        description="Where `name` is an adapter: continue trains it further, with its own rank and scale; stack merges it into "
        "its base and trains a new one, of section lora, on that. Or an adapter over the model `name` to train further: a run "
        "(its best policy), a folder, or a name on the hub.",
    )
    gradient_checkpointing: Literal["auto"] | bool = Field(
        "auto",
        description="Recompute activations in the backward pass; auto does so above one billion parameters "
        "on a CUDA device, and nowhere else, where it only costs.",
    )
    engine: Literal["transformers", "vllm", "unsloth"] = Field("transformers", description="What generates and trains.")
    vllm: VllmSection = Field(default_factory=VllmSection, description="Settings of engine vllm; no other reads them.")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto",
        description="What the policy runs on. auto: a CUDA device under profile gpu, the processor under profile embedded, "
        "the best there is under profile small. Any model runs on any device; the plan says how long it takes.",
    )
    fused_decoding: bool = Field(
        True,
        description="Write completions in few kernels a token, where the device is one for which Triton compiles (CUDA); "
        "the first batch then waits for the compiler, up to 20 s. No other device reads it.",
    )
    gguf: str | None = Field(
        None,
        min_length=1,
        description="A GGUF file whose weights (made full again) and tokenizer are the policy, instead of those of `name`: a "
        "path, or package:file for one that an installed package ships.",
    )
    chat_template: Path | None = Field(
        None,
        description="A file whose Jinja template turns messages into prompts, instead of the model's own; what is saved "
        "keeps the model's own. The embedded policy has its own and ignores both of these keys.",
    )
    chat_template_kwargs: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict,
        description="Variables of the chat template, such as enable_thinking: false; demonstrations, training and "
        "evaluation all render with them.",
    )
    embedded: EmbeddedSection | None = Field(
        None, description="When set, the policy is made on the spot in this shape and `name` is not loaded."
    )

    @model_validator(mode="before")
    @classmethod
    def _forget_generation_config(cls, values: Any) -> Any:
        # Runs of version 0.1 recorded this key; a model's own sampling is now always set aside.
        if isinstance(values, dict) and values.get("generation_config") in ("refuse", "replace"):
            return {key: value for key, value in values.items() if key != "generation_config"}
        return values

    @model_validator(mode="after")
    def _can_be_trained(self) -> ModelSection:
        if self.gguf is not None and self.quantization == "nf4":
            raise ValueError(
                "quantization nf4 does not apply to a GGUF file, whose weights are made full; set it to none"
            )
        if self.gguf is not None and self.engine != "transformers":
            raise ValueError(
                f"a GGUF file is read by engine transformers alone, not by {self.engine}; change one of them"
            )
        if self.named_adapter is not None and self.embedded is not None:
            raise ValueError(
                "adapter does not apply to the embedded policy, whose base is made on the spot; set embedded: null"
            )
        if self.quantization == "nf4" and self.embedded is not None:
            raise ValueError("quantization nf4 does not apply to the embedded policy; set quantization: none")
        if self.dtype == "float16" and (self.lora is None or self.embedded is not None):
            raise ValueError(
                "float16 weights cannot be trained themselves, only adapters on them; give lora, or set dtype: float32"
            )
        if self.quantization == "nf4" and self.lora is None:
            raise ValueError("quantization nf4 freezes the weights, so lora cannot be null; give lora.r and lora.alpha")
        return self

    @property
    def named_adapter(self) -> str | None:
        """The adapter that `adapter` names, None where it says what becomes of the one that `name` is."""
        return None if self.adapter in ("continue", "stack") else self.adapter

    @property
    def label(self) -> str:
        """What people call this policy: its Hub name or folder, its GGUF file, or that it was made on the spot."""
        if self.embedded is not None:
            return "made on the spot (embedded)"
        return self.name if self.gguf is None else f"{self.name} ({self.gguf.rpartition('/')[2].rpartition(':')[2]})"

    def effective_dtype(self, device_kind: Literal["cuda", "mps", "cpu"]) -> Literal["float32", "bfloat16", "float16"]:
        """The type of the weights on that kind of device."""
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if device_kind == "cuda" and self.embedded is None else "float32"

    def checkpoints_gradients(self, device_kind: Literal["cuda", "mps", "cpu"], parameters: int) -> bool:
        """Whether activations are recomputed, for a model of this many parameters on that kind of device."""
        if self.gradient_checkpointing != "auto":
            return self.gradient_checkpointing
        return device_kind == "cuda" and parameters > 1_000_000_000


@dataclass(frozen=True, slots=True)
class TrlBatch:
    """The batch sizes TRL must be given, all counted in completions.

    One generation batch feeds one optimiser step; `per_device_train_batch_size * gradient_accumulation_steps *
    world_size == generation_batch_size`.
    """

    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    generation_batch_size: int


# Keys that TRL is told in other words, or not at all: it gets batch sizes, `warmup_steps` and `save_steps`.
_NOT_TRLS = {
    "num_train_epochs", "warmup_ratio", "prompts_per_step", "micro_batch_size", "save_every_steps", "log_completions_every"
}  # fmt: skip


class GrpoSection(BaseModel):
    """GRPO training. Keys that TRL also has keep TRL's spelling; batch sizes follow from prompts and generations."""

    model_config = SECTION

    max_steps: int = Field(600, ge=1, description="Optimiser steps.")
    num_train_epochs: float | None = Field(
        None,
        gt=0,
        description="Passes over the training rows, resolved to max_steps, whose place it takes; null is off.",
    )
    learning_rate: float = Field(5.0e-6, gt=0, description="Peak learning rate.")
    lr_scheduler_type: Scheduler = Field("constant_with_warmup", description="Learning-rate schedule.")
    lr_scheduler_kwargs: dict[str, float | int | str | bool | None] = Field(
        default_factory=dict, description="Settings of that schedule, such as num_cycles or min_lr_rate."
    )
    warmup_ratio: float | None = Field(
        None, ge=0, lt=1, description="Share of max_steps over which the learning rate rises; or give warmup_steps."
    )
    warmup_steps: int | None = Field(
        None, ge=0, description="Steps over which the learning rate rises; or give warmup_ratio."
    )
    prompts_per_step: int = Field(2, ge=1, description="Prompts a step, over all devices.")
    num_generations: int = Field(16, ge=2, description="Group size: completions of one prompt, compared to each other.")
    max_completion_length: int = Field(512, ge=1, description="Most tokens of a completion; longer ones are truncated.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature in training.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus sampling in training; 1.0 is off.")
    top_k: int = Field(0, ge=0, description="Sample among the k likeliest tokens only; 0 is off.")
    min_p: float = Field(
        0.0, ge=0, le=1, description="Least probability of a token, as a share of the likeliest's; 0 is off."
    )
    repetition_penalty: float = Field(1.0, gt=0, description="Penalty on tokens already seen; 1.0 is off.")
    beta: float = Field(0.0, ge=0, description="Weight of the KL term; 0.0 loads no reference policy.")
    loss_type: Literal["dr_grpo", "dapo", "grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = Field(
        "dr_grpo", description="TRL's loss: how ratios are bounded and token losses normalised."
    )
    importance_sampling_level: Literal["token", "sequence"] = Field(
        "token", description="What the policy ratio is of: each token, or a whole completion (GSPO)."
    )
    multi_objective_aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = Field(
        "sum_then_normalize",
        description="Advantages of the weighted mean of all reward functions, or the weighted sum of each function's own "
        "(GDPO).",
    )
    scale_rewards: Literal["none", "group", "batch"] | bool = Field(
        False, description="Divide advantages by the rewards' standard deviation; false is TRL's 'none', true 'group'."
    )
    num_iterations: int = Field(1, ge=1, description="Optimiser steps made with one generation batch.")
    epsilon: float = Field(0.2, gt=0, lt=1, description="Clipping range of the policy ratio.")
    epsilon_high: float | None = Field(
        None,
        gt=0,
        description="Its upper end, where that differs (DAPO: 0.28); null is epsilon. For cispo the largest ratio.",
    )
    delta: float | None = Field(
        None,
        gt=0,
        description="Largest policy ratio of two-sided clipping, above 1, as a rule above 1 + epsilon; null is off.",
    )
    off_policy_mask_threshold: float | None = Field(
        None,
        gt=0,
        description="Leave out bad completions whose KL divergence to what wrote them is above this; null is off.",
    )
    entropy_coef: float = Field(0.0, description="Weight of an entropy bonus in the loss; 0 is off.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are scaled down to this norm; 0 is off.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    optim: str = Field("adamw_torch", min_length=1, description="Optimiser, by its name in transformers.")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="Decay of Adam's first moment.")
    adam_beta2: float = Field(0.999, gt=0, lt=1, description="Decay of Adam's second moment.")
    adam_epsilon: float = Field(1.0e-8, gt=0, description="What Adam adds to the root of its second moment.")
    mask_truncated_completions: bool = Field(False, description="Leave truncated completions out of the loss.")
    dynamic_sampling: int = Field(
        0,
        ge=0,
        le=100,
        description="Most extra rounds of generation a step: in each, prompts whose completions all got one reward give "
        "way to fresh ones; 0 is off.",
    )
    speculation: int = Field(
        0,
        ge=0,
        le=16,
        description="Most tokens of a completion that are guessed and read at once, from the prompt, its other completions and "
        "earlier steps; only right guesses are kept, so the completions stay what they are. 0 is off.",
    )
    one_step_ahead: str | None = Field(
        None,
        pattern=r"^(server|cpu|(cuda|mps)(:[0-9]+)?)$",
        description="What generates the next batch while this one is trained on, with weights that are one update old: server (vLLM's, "
        "mode server), or the device of a copy of the policy, such as cuda:1; null writes each batch with the newest weights.",
    )
    micro_batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Completions in one forward and backward pass on one device; null is all of a step at once, auto as many "
        "as there is memory for.",
    )
    save_every_steps: int = Field(50, ge=1, description="Steps between checkpoints.")
    save_total_limit: int = Field(
        2,
        ge=1,
        description="Checkpoints kept at a time, the newest ones; the best policy is kept beside them, in best/.",
    )
    log_completions_every: int = Field(10, ge=1, description="Steps between stored training completions.")

    @model_validator(mode="after")
    def _one_warmup(self) -> GrpoSection:
        if self.warmup_ratio is not None and self.warmup_steps is not None:
            raise ValueError("warmup_ratio and warmup_steps are both set; write one of them")
        return self

    @model_validator(mode="after")
    def _trl_takes_it(self) -> GrpoSection:
        problems = [
            find_optimiser_problem(self.optim),
            find_schedule_problem(self.lr_scheduler_type, self.lr_scheduler_kwargs, self.learning_rate),
        ]
        if self.delta is not None and self.loss_type in ("cispo", "sapo", "vespo"):
            problems.append(f"delta is not read by loss_type {self.loss_type}; set it to null, or choose another loss")
        if self.delta is not None and self.delta <= 1:
            problems.append(f"delta {self.delta} is not above 1, the ratio with which every completion begins")
        if self.one_step_ahead and (self.dynamic_sampling or self.speculation):
            problems.append("one_step_ahead goes with neither dynamic_sampling nor speculation; set those to 0")
        if self.one_step_ahead and (self.top_p, self.top_k, self.min_p, self.repetition_penalty) != (1.0, 0, 0.0, 1.0):
            problems.append(
                "one_step_ahead weighs tokens by the probability they were sampled with, which filters and penalties bend; "
                "write top_p: 1.0, top_k: 0, min_p: 0.0 and repetition_penalty: 1.0"
            )
        if found := [problem for problem in problems if problem]:
            raise ValueError("; ".join(found))
        return self

    def with_steps(self, rows: int) -> GrpoSection:
        """The same section with max_steps counted out where num_train_epochs asks for it; an epoch has whole steps only."""
        if self.num_train_epochs is None:
            return self
        steps = math.ceil(Fraction(str(self.num_train_epochs)) * (rows // self.prompts_per_step) * self.num_iterations)
        return self.model_copy(update={"max_steps": max(1, steps), "num_train_epochs": None})

    @property
    def completions_per_step(self) -> int:
        """Completions generated for one step, over all devices."""
        return self.prompts_per_step * self.num_generations

    @property
    def lr_warmup_steps(self) -> int:
        """Steps over which the learning rate rises, whichever way they were given."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return ratio_to_steps(self.warmup_ratio or 0.0, self.max_steps)

    @property
    def trl_scale_rewards(self) -> Literal["none", "group", "batch"]:
        """`scale_rewards` as TRL spells it."""
        if isinstance(self.scale_rewards, bool):
            return "group" if self.scale_rewards else "none"
        return self.scale_rewards

    def batch_problems(self, world_size: int = 1) -> list[str]:
        """Why a step cannot be cut into equal batches on this many processes, one line each."""
        share, rest = divmod(self.completions_per_step, world_size)
        step = (
            f"{self.prompts_per_step} prompts x {self.num_generations} generations = "
            f"{self.completions_per_step} completions a step"
        )
        if rest:
            return [
                f"grpo.prompts_per_step: {step} cannot be shared equally between {world_size} processes; allowed: a multiple "
                f"of {world_size // math.gcd(world_size, self.num_generations)} prompts, or as many processes as divide "
                f"{self.completions_per_step}"
            ]
        if isinstance(self.micro_batch_size, int) and share % self.micro_batch_size:
            divisors = [size for size in range(1, share + 1) if share % size == 0]
            allowed = ", ".join(map(str, divisors))
            return [
                f"grpo.micro_batch_size: {self.micro_batch_size} does not divide the {share} completions a process has "
                f"of a step ({step}); allowed: {allowed}, or null for all at once"
            ]
        return []

    def with_micro_batch(self, size: int | None) -> GrpoSection:
        """The same section with that many completions in a pass."""
        return self.model_copy(update={"micro_batch_size": size})

    def trl_batch(self, world_size: int = 1) -> TrlBatch:
        """The batch sizes TRL needs for this step on this many processes; ValueError where `batch_problems` has any.

        `micro_batch_size: auto` counts as null until it is a number.
        """
        problems = self.batch_problems(world_size)
        if problems:
            raise ValueError(problems[0])
        share = self.completions_per_step // world_size
        per_device = self.micro_batch_size if isinstance(self.micro_batch_size, int) else share
        return TrlBatch(per_device, share // per_device, self.completions_per_step)

    def trl_settings(self, world_size: int = 1) -> dict[str, str | int | float | bool | None]:
        """What this section asks of TRL, by TRL's names: what its trainer is given, and what the settings in force are held
        against. `dynamic_sampling`, `speculation` and `one_step_ahead` are ours (`grpo.training.trl_arguments.StepArguments`).
        """
        return {
            **self.model_dump(exclude=_NOT_TRLS),
            **asdict(self.trl_batch(world_size)),
            "warmup_steps": self.lr_warmup_steps,
            "scale_rewards": self.trl_scale_rewards,
            "min_p": self.min_p or None,
            "save_steps": self.save_every_steps,
        }


def ratio_to_steps(ratio: float, steps: int) -> int:
    """`ratio` of `steps`, rounded up as transformers does, but exact in decimals: 0.07 of 100 is 7, not 8."""
    return math.ceil(Fraction(str(ratio)) * steps)
