"""How far an answer keeps a layer's schema beside a reference that may itself break it."""

from __future__ import annotations

from typing import Any

from rewards.schemas import Judgement


def share_of_rules(judged: Judgement, gold: Judgement) -> float:
    """The share of rules kept, beside a reference that may itself break some of them: those are nobody's fault."""
    if gold.valid:
        return judged.share
    allowed = {_rule_of(broken) for broken in gold.broken}
    if all(_rule_of(broken) in allowed for broken in judged.broken):
        return 1.0
    return min(judged.share / gold.share, 0.99)


def _rule_of(broken: Any) -> tuple[str, str, str]:
    return (
        without_positions(broken.place),
        broken.keyword,
        broken.message if broken.keyword in ("required", "additionalProperties") else "",
    )


def without_positions(place: str) -> str:
    """A JSON pointer with the positions in lists left out."""
    return "/".join(step for step in place.split("/") if not step.isdecimal())


def say_null(value: Any) -> Any:
    """A value that a schema can judge: what contradicts itself is null."""
    if isinstance(value, dict):
        return {key: say_null(child) for key, child in value.items()}
    if isinstance(value, list):
        return [say_null(child) for child in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else None
