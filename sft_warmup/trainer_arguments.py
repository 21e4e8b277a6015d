"""The arguments that the trainer of every stage gets: where it runs, and that only the run itself writes and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def trainer_arguments(
    directory: Path, *, seed: int, device: str, bf16: bool, fp16: bool, gradient_checkpointing: bool
) -> dict[str, Any]:
    """Settings of transformers' TrainingArguments that SFT and GRPO share, by its names."""
    return {
        "output_dir": str(directory),
        "seed": seed,
        "bf16": bf16,
        "fp16": fp16,
        "gradient_checkpointing": gradient_checkpointing,
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device != "cpu",
        # A loss that is not a number is logged as it is.
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "log_level_replica": "error",
    }
