"""The weights of a model counted exactly from its config.json, without any of them: for shapes that no formula here knows."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

# Of these the formula of `grpo.plan.memory_estimate.Shape` is within a hundredth (tests/grpo/plan/test_plan_shapes.py).
BY_FORMULA = frozenset(
    {
        "cohere", "cohere2", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "granite", "llama",
        "mistral", "mixtral", "olmo", "olmo2", "olmo3", "phi3", "qwen2", "qwen3", "qwen3_moe", "seed_oss", "smollm3",
        "stablelm",
    }
)  # fmt: skip


def count_weights(config: dict[str, Any]) -> int | None:
    """How many weights transformers would make for this config.json; None where it cannot be asked."""
    return _count(json.dumps(config, sort_keys=True, default=str))


@lru_cache(maxsize=8)
def _count(text: str) -> int | None:
    if find_spec("torch") is None or find_spec("transformers") is None:
        return None
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM
    from transformers.utils import logging

    config = json.loads(text)
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        made = CONFIG_MAPPING[config["model_type"]].from_dict(config)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(made).num_parameters()
    except Exception:  # a config of another version, or of a model whose code is not in transformers
        return None
    finally:
        logging.set_verbosity(level)
