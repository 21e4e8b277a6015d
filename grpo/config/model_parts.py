"""What section `model` is made of: adapters, the embedded policy's shape, vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SECTION = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
        description="A server that is already running; null: the run starts and stops one itself.",
    )
    server_devices: str | None = Field(
        None, min_length=1, description="Devices of the server that the run starts, as CUDA_VISIBLE_DEVICES lists them."
    )
    server_port: int = Field(8000, ge=1, le=65535, description="Port of the server that the run starts.")
    server_timeout: float = Field(600.0, gt=0, description="Most seconds until the server answers.")
    group_port: int = Field(51216, ge=1, le=65535, description="Port over which the weights go to the server.")
    weight_transfer: Literal["nccl", "file"] = Field(
        "nccl",
        description="How weights reach the server: nccl (between CUDA devices) or file (written to a folder that both can "
        "access; any device).",
    )
    weights_folder: Path | None = Field(
        None, description="Folder for weight_transfer: file, such as /dev/shm; null: the run's own directory."
    )

    @model_validator(mode="after")
    def _server_is_meant(self) -> VllmSection:
        for key in ("server_base_url", "server_devices"):
            if self.mode == "colocate" and getattr(self, key) is not None:
                raise ValueError(f"{key} is set, but mode is colocate; write mode: server, or {key}: null")
        if self.mode == "colocate" and self.weight_transfer != "nccl":
            raise ValueError("weight_transfer applies only to mode: server; remove it")
        if self.weights_folder is not None and self.weight_transfer != "file":
            raise ValueError("weights_folder applies only to weight_transfer: file; set both or neither")
        if self.mode == "server" and self.enable_sleep_mode:
            raise ValueError("enable_sleep_mode is for mode colocate; set it to false")
        return self
