"""What a model's config.json alone says about sharing prompts within a group; reads no weights and imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
