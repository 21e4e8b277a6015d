"""What TRL's trainer is kept from doing: loading a reference policy again, parsing completions, disabling the adapters'
dropout.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def unparsed_responses(tokenizer: Any) -> Iterator[None]:
    """While this is active, TRL decodes completions but does not parse them: a tokenizer's `response_template` would
    parse hostile text.
    """
    names = ("response_template", "response_schema")
    kept = {name: value for name in names if (value := getattr(tokenizer, name, None)) is not None}
    for name in kept:
        setattr(tokenizer, name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(tokenizer, name, value)


@contextmanager
def kept_adapter_dropout(model: Any) -> Iterator[None]:
    """Afterwards the dropout of adapters is what it was: TRL takes all dropouts of a model, and theirs is asked for."""
    kept = {
        module: module.p
        for name, module in model.named_modules()
        if "lora_dropout" in name and getattr(module, "p", 0.0) > 0
    }
    yield
    for module, share in kept.items():
        module.p = share


@contextmanager
def copied_reference(model: Any) -> Iterator[None]:
    """Inside, a trainer's reference policy is a copy of `model`.

    TRL loads it again by the model's name, which is not what a warm-up left, and nothing for a model made on the spot.
    """
    from trl.trainer import grpo_trainer

    original = grpo_trainer.create_model_from_path
    grpo_trainer.create_model_from_path = lambda *_, **__: copy.deepcopy(model).requires_grad_(False)
    try:
        yield
    finally:
        grpo_trainer.create_model_from_path = original
