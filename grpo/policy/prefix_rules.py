"""What a model's config.json alone says about sharing prompts within a group; reads no weights and imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# model_type of every family that a sweep over transformers' causal types found exact (tests/grpo/policy/
# test_causal_types.py holds this list). Others are asked when they are loaded.
EXACT_TYPES = frozenset(
    {
        "afmoe", "apertus", "arcee", "aria_text", "axk1", "bitnet", "cohere", "cohere2", "cohere2_moe", "cwm",
        "deepseek_v2", "deepseek_v3", "dots1", "ernie4_5", "ernie4_5_moe", "exaone4", "exaone_moe", "flex_olmo",
        "gemma", "gemma3_text", "gemma4_text", "gemma4_unified_text", "glm", "glm4", "glm4_moe", "glm4_moe_lite",
        "gpt_neox", "granite", "granitemoe", "granitemoeshared", "helium", "hunyuan_v1_dense", "hunyuan_v1_moe",
        "hy_v3", "hyperclovax", "jais2", "jetmoe", "laguna", "lfm2", "llama", "mellum", "minicpm3", "minimax_m2",
        "minimax_m3_vl_text", "ministral", "ministral3", "mistral", "mixtral", "modernbert-decoder", "nanochat",
        "olmo", "olmo2", "olmo3", "olmoe", "persimmon", "phi", "phi3", "qwen2", "qwen3", "qwen3_moe", "seed_oss",
        "smollm3", "solar_open", "starcoder2", "youtu"
    }
)  # fmt: skip
# Families that keep an attention window in their mask alone, which is what gives way to shared prompts.
MASKED_WINDOWS = ("phimoe", "qwen2_moe")


def find_config_reason(read: Callable[[str], Any], name: str) -> str | None:
    """Why a model with these settings cannot share prompts, in one line that calls it `name`; None where none tells."""
    kinds = set(read("layer_types") or ["full_attention"])
    if kinds - {"full_attention", "sliding_attention"}:
        return f"{name} has layers that keep a state other than keys and values: {', '.join(sorted(kinds))}"
    if read("attn_logit_softcapping"):
        return f"{name} caps its attention scores, which SDPA cannot do"
    if read("attn_temperature_tuning"):
        return f"{name} scales its queries by their place in the row, and here a row holds many texts"
    rope = read("rope_parameters")
    if not rope:
        return f"{name} has positions that are not rotary"
    types = {str(each.get("rope_type")) for each in (rope, *rope.values()) if isinstance(each, dict)}
    if types & {"dynamic", "longrope"}:
        return f"{name} has rotary positions that change with the length of the row"
    return None


def foretell(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether a model with that config.json will share prompts within a group, None where only its numbers tell; and why.

    A file says less than the loaded config: what it leaves out is taken to be the family's own.
    """
    family = str(config.get("model_type", "unknown"))
    if isinstance(config.get("text_config"), dict):
        return False, f"{family} is not a plain decoder of text"
    rope = config.get("rope_parameters") or config.get("rope_scaling")
    if isinstance(rope, dict) and "rope_type" not in rope and "type" in rope:
        rope = {**rope, "rope_type": rope["type"]}
    known = family in EXACT_TYPES
    view = {**config, "rope_parameters": rope or ({"rope_type": "default"} if known else None)}
    if not known and view["rope_parameters"] is None:
        return None, f"{family} is asked when it is loaded"
    reason = find_config_reason(view.get, family)
    if reason is not None:
        return False, reason
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    if family in MASKED_WINDOWS and window:
        return False, f"{family} keeps its window of {window} tokens in a mask that shared prompts replace"
    return (True, f"{family} is exact") if known else (None, f"{family} is asked when it is loaded")
