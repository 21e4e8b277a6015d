"""Which engine a config asks for."""

from __future__ import annotations

from grpo.config.sections import ModelSection
from grpo.engines.engine import Engine


def choose_engine(section: ModelSection) -> Engine:
    """The engine that `model.engine` names; imports nothing of it yet."""
    if section.engine == "vllm":
        from grpo.engines.vllm import VllmEngine

        return VllmEngine(section)
    if section.engine == "unsloth":
        from grpo.engines.unsloth import UnslothEngine

        return UnslothEngine(section)
    from grpo.engines.transformers import TransformersEngine

    return TransformersEngine(section)
