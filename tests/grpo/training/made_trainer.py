"""A trainer without a model, whose methods can be asked one by one."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch

from grpo.training.step import Step
from grpo.training.trainer import SharedPrefixTrainer


def make(**changes: Any) -> SharedPrefixTrainer:
    """A trainer without a model: four completions a prompt, one optimiser step a batch, nothing special."""
    trainer = SharedPrefixTrainer.__new__(SharedPrefixTrainer)
    arguments = {
        "gradient_accumulation_steps": 1, "steps_per_generation": 1, "process_index": 0, "per_device_train_batch_size": 8,
        "seed": 3, "dynamic_sampling": 0, "speculation": 0, "temperature": 0.5, "top_p": 0.9, "top_k": 7,
        "repetition_penalty": 1.25, "min_p": None, "output_dir": "run/checkpoints", "should_save": True,
    }  # fmt: skip
    settings = {
        "fallback": None, "beta": 0.0, "_entropy_bonus_enabled": False, "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0, "loss_type": "dapo", "num_iterations": 1, "use_vllm": False, "num_generations": 4,
        "temperature": 0.5, "now": Step(), "_step": 0, "_buffered_inputs": None, "max_completion_length": 12,
        "eos_token_ids": [2], "_tokenizer": SimpleNamespace(pad_token_id=0), "state": SimpleNamespace(global_step=5),
        "accelerator": SimpleNamespace(device=torch.device("cpu"), process_index=0), "model": SimpleNamespace(training=True),
        "_metrics": {"train": defaultdict(list)}, "ahead": None,
    }  # fmt: skip
    arguments |= {key: value for key, value in changes.items() if key in arguments and key not in settings}
    trainer.__dict__.update(settings | {key: value for key, value in changes.items() if key not in arguments})
    trainer.args = SimpleNamespace(**arguments)
    return trainer
