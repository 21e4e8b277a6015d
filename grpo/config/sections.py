"""The two sections of the YAML that belong to the policy and its GRPO training: `model` and `grpo`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SECTION = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

Scheduler = Literal[
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
]


class LoraSection(BaseModel):
    """Low-rank adapters on a frozen model."""

    model_config = SECTION

    r: int = Field(16, ge=1, description="Rank of the adapters.")
    alpha: int = Field(32, ge=1, description="Scale of the adapters: their output is multiplied by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapters' input during training.")
    target_modules: str | list[str] = Field(
        "all-linear", description="Names of the layers that get adapters, or 'all-linear'."
    )

    @field_validator("target_modules")
    @classmethod
    def _name_something(cls, names: str | list[str]) -> str | list[str]:
        if not names:
            raise ValueError("names no layer; write 'all-linear' or a list of layer names")
        return names


class EmbeddedSection(BaseModel):
    """The shape of a policy made on the spot: Qwen3, random weights, a tokenizer trained on the warm-up rows."""

    model_config = SECTION

    layers: int = Field(4, ge=1, description="Transformer layers.")
    hidden_size: int = Field(128, ge=8, description="Width of the residual stream.")
    intermediate_size: int = Field(384, ge=8, description="Width of the feed-forward layers.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide hidden_size.")
    kv_heads: int = Field(2, ge=1, description="Key and value heads; must divide heads.")
    initializer_range: float = Field(
        0.02,
        gt=0,
        le=1,
        description="Standard deviation of the random weights; about 1 / sqrt(hidden_size) learns soonest.",
    )
    vocabulary: int = Field(
        1024, ge=320, le=65536, description="Tokens of the byte-level BPE, its 256 bytes and 3 markers included."
    )

    @model_validator(mode="after")
    def _shape_fits(self) -> EmbeddedSection:
        problems = []
        if self.hidden_size % self.heads:
            problems.append(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        elif (self.hidden_size // self.heads) % 2:
            problems.append(
                f"hidden_size / heads is {self.hidden_size // self.heads}, but rotary positions need an even number"
            )
        if self.heads % self.kv_heads:
            problems.append(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if problems:
            raise ValueError("; ".join(problems) + "; change one of them")
        return self


class VllmSection(BaseModel):
    """vLLM as the engine that generates. The keys are TRL's, without their `vllm_`."""

    model_config = SECTION

    mode: Literal["colocate", "server"] = Field(
        "colocate",
        description="colocate: inside the training processes, on their devices; server: a process elsewhere.",
    )
    gpu_memory_utilization: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of a device's memory that vLLM takes; null is 0.3 colocated, 0.9 in a server.",
    )
    tensor_parallel_size: int = Field(1, ge=1, description="Devices that one copy of the policy is spread over.")
    enable_sleep_mode: bool = Field(
        False, description="Colocated: give the memory back during the optimiser step; waking up costs time."
    )
    importance_sampling_correction: bool = Field(
        True, description="Weigh the loss by how far vLLM's probabilities are from the policy's own."
    )
    importance_sampling_mode: Literal["sequence_mask", "sequence_truncate", "token_mask", "token_truncate"] = Field(
        "sequence_mask", description="Weigh whole completions or tokens; ratios beyond the limit are left out or cut."
    )
    importance_sampling_clip_max: float = Field(3.0, gt=0, description="The limit of that ratio.")
    server_base_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="A server that runs already; null: the run starts and stops one itself.",
    )
    server_devices: str | None = Field(
        None, min_length=1, description="Devices of the server that the run starts, as CUDA_VISIBLE_DEVICES lists them."
    )
    server_port: int = Field(8000, ge=1, le=65535, description="Port of the server that the run starts.")
    server_timeout: float = Field(600.0, gt=0, description="Most seconds until the server answers.")
    group_port: int = Field(51216, ge=1, le=65535, description="Port over which the weights go to the server.")

    @model_validator(mode="after")
    def _server_is_meant(self) -> VllmSection:
        for key in ("server_base_url", "server_devices"):
            if self.mode == "colocate" and getattr(self, key) is not None:
                raise ValueError(f"{key} is set, but mode is colocate; write mode: server, or {key}: null")
        if self.mode == "server" and self.enable_sleep_mode:
            raise ValueError("enable_sleep_mode is for mode colocate; set it to false")
        return self


class ModelSection(BaseModel):
    """The policy: which model, how it is loaded, what of it is trained, which engine runs it."""

    model_config = SECTION

    name: str = Field(
        "Polygl0t/Tucano2-qwen-0.5B-Instruct", min_length=1, description="Model on the hub, or a local folder."
    )
    revision: str | None = Field(None, description="Branch, tag or commit on the hub; null is its default branch.")
    max_sequence_length: int = Field(2048, ge=16, description="Most tokens of prompt and completion together.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Type of the weights; auto is bfloat16 on a CUDA device and float32 elsewhere."
    )
    quantization: Literal["none", "nf4"] = Field(
        "none", description="nf4 loads the frozen weights as 4-bit NF4 with double quantisation (QLoRA)."
    )
    lora: LoraSection | None = Field(
        default_factory=LoraSection, description="Adapters to train; null trains every weight."
    )
    gradient_checkpointing: Literal["auto"] | bool = Field(
        "auto",
        description="Recompute activations in the backward pass; auto does so above a thousand million parameters "
        "on a CUDA device, and nowhere else, where it only costs.",
    )
    engine: Literal["transformers", "vllm", "unsloth"] = Field("transformers", description="What generates and trains.")
    vllm: VllmSection = Field(default_factory=VllmSection, description="Settings of engine vllm; no other reads them.")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto",
        description="What the policy runs on. auto: a CUDA device under profile gpu, the processor under profile embedded, "
        "the best there is under profile small. Any model runs on any device; the plan says how long it takes.",
    )
    gguf: str | None = Field(
        None,
        min_length=1,
        description="A GGUF file whose weights (made full again) and tokenizer are the policy, in place of those of `name`: a "
        "path, or package:file for one that an installed package ships.",
    )
    chat_template: Path | None = Field(
        None,
        description="A file whose Jinja template turns messages into prompts, in place of the model's own; what is saved "
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
        if self.quantization == "nf4" and self.embedded is not None:
            raise ValueError("quantization nf4 does not apply to the embedded policy; set quantization: none")
        if self.quantization == "nf4" and self.lora is None:
            raise ValueError("quantization nf4 freezes the weights, so lora cannot be null; give lora.r and lora.alpha")
        return self

    @property
    def label(self) -> str:
        """What people call this policy: its Hub name or folder, its GGUF file, or that it was made on the spot."""
        if self.embedded is not None:
            return "made on the spot (embedded)"
        return self.name if self.gguf is None else f"{self.name} ({self.gguf.rpartition('/')[2].rpartition(':')[2]})"

    def effective_dtype(self, device_kind: Literal["cuda", "mps", "cpu"]) -> Literal["float32", "bfloat16"]:
        """The type of the weights on that kind of device."""
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if device_kind == "cuda" and self.embedded is None else "float32"

    def checkpoints_gradients(self, device_kind: Literal["cuda", "mps", "cpu"], parameters: int) -> bool:
        """Whether activations are recomputed, for a model of so many parameters on that kind of device."""
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


class GrpoSection(BaseModel):
    """GRPO training. Keys that TRL also has keep TRL's spelling; batch sizes follow from prompts and generations."""

    model_config = SECTION

    max_steps: int = Field(600, ge=1, description="Optimiser steps.")
    learning_rate: float = Field(5.0e-6, gt=0, description="Peak learning rate.")
    lr_scheduler_type: Scheduler = Field("constant_with_warmup", description="Learning-rate schedule.")
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
    repetition_penalty: float = Field(1.0, gt=0, description="Penalty on tokens already seen; 1.0 is off.")
    beta: float = Field(0.0, ge=0, description="Weight of the KL term; 0.0 loads no reference policy.")
    loss_type: Literal["dr_grpo", "dapo", "grpo", "bnpo"] = Field(
        "dr_grpo", description="How token losses are normalised."
    )
    scale_rewards: Literal["none", "group", "batch"] | bool = Field(
        False, description="Divide advantages by the rewards' standard deviation; false is TRL's 'none', true 'group'."
    )
    num_iterations: int = Field(1, ge=1, description="Optimiser steps made with one generation batch.")
    epsilon: float = Field(0.2, gt=0, lt=1, description="Clipping range of the policy ratio.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    optim: str = Field("adamw_torch", min_length=1, description="Optimiser, by transformers' name.")
    adam_beta2: float = Field(0.999, gt=0, lt=1, description="Decay of Adam's second moment.")
    mask_truncated_completions: bool = Field(False, description="Leave truncated completions out of the loss.")
    dynamic_sampling: int = Field(
        0,
        ge=0,
        le=100,
        description="Most extra rounds of generation a step: in each, prompts whose completions all got one reward give "
        "way to fresh ones; 0 is off.",
    )
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Completions in one forward and backward pass on one device; null is all of a step at once.",
    )
    save_every_steps: int = Field(50, ge=1, description="Steps between checkpoints.")
    log_completions_every: int = Field(10, ge=1, description="Steps between stored training completions.")

    @model_validator(mode="after")
    def _one_warmup(self) -> GrpoSection:
        if self.warmup_ratio is not None and self.warmup_steps is not None:
            raise ValueError("warmup_ratio and warmup_steps are both set; write one of them")
        return self

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
        """Why a step cannot be cut into equal batches on so many processes, one line each."""
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
        if self.micro_batch_size is not None and share % self.micro_batch_size:
            divisors = [size for size in range(1, share + 1) if share % size == 0]
            allowed = ", ".join(map(str, divisors))
            return [
                f"grpo.micro_batch_size: {self.micro_batch_size} does not divide the {share} completions a process has "
                f"of a step ({step}); allowed: {allowed}, or null for all at once"
            ]
        return []

    def trl_batch(self, world_size: int = 1) -> TrlBatch:
        """The batch sizes TRL needs for this step on so many processes; ValueError where `batch_problems` has any."""
        problems = self.batch_problems(world_size)
        if problems:
            raise ValueError(problems[0])
        share = self.completions_per_step // world_size
        per_device = self.micro_batch_size or share
        return TrlBatch(per_device, share // per_device, self.completions_per_step)

    def trl_settings(self, world_size: int = 1) -> dict[str, str | int | float | bool | None]:
        """What this section asks of TRL, by TRL's names: to be held against the settings in force."""
        return {
            **self.model_dump(exclude={"warmup_ratio"}),
            **asdict(self.trl_batch(world_size)),
            "warmup_steps": self.lr_warmup_steps,
            "scale_rewards": self.trl_scale_rewards,
        }


def ratio_to_steps(ratio: float, steps: int) -> int:
    """`ratio` of `steps`, rounded up as transformers does, but exact in decimals: 0.07 of 100 is 7, not 8."""
    return math.ceil(Fraction(str(ratio)) * steps)
