"""What an object is as an answer: filled, expected, or only a placeholder, a format or a schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rewards.extraction.candidates import Candidate
from rewards.extraction.repairs import RepairKind
from rewards.extraction.words import PERHAPS_PLACEHOLDER, PLACEHOLDER


def expected_share(value: Any, expect_keys: Sequence[str]) -> float:
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), {})
    return sum(key in value for key in expect_keys) / len(expect_keys) if isinstance(value, dict) else 0.0


def holds_objects(value: Any) -> bool:
    return bool(value) and (isinstance(value, dict) or any(isinstance(item, dict) for item in value))


def _leaves(value: Any, limit: int = 200) -> list[Any]:
    if isinstance(value, dict) and len(value) <= limit:
        members = list(value.values())
        if not any(isinstance(item, dict | list) for item in members):
            return members
    leaves: list[Any] = []
    queue = [value]
    while queue and len(leaves) < limit:
        item = queue.pop()
        if isinstance(item, dict):
            queue.extend(item.values())
        elif isinstance(item, list):
            queue.extend(item)
        else:
            leaves.append(item)
    return leaves


def placeholder_share(value: Any) -> float:
    """The share of leaves that stand for a value; words that answers use too count beside sure ones, or where all are such."""
    leaves = _leaves(value)
    texts = [leaf[:200] for leaf in leaves if isinstance(leaf, str)]
    if not texts:
        return 0.0
    sure = sum(bool(PLACEHOLDER.match(leaf)) for leaf in texts)
    perhaps = [leaf for leaf in texts if PERHAPS_PLACEHOLDER.match(leaf)]
    words = sum(not leaf[:1].isdigit() for leaf in perhaps)
    if sure or (words > 1 and len(perhaps) == len(leaves)):
        sure += len(perhaps)
    return sure / len(leaves) if leaves else 0.0


def has_sure_placeholders(value: Any) -> bool:
    return any(isinstance(leaf, str) and PLACEHOLDER.match(leaf[:200]) for leaf in _leaves(value))


def has_type_marks(value: Any) -> bool:
    return any(isinstance(leaf, str) and leaf.startswith("<") for leaf in _leaves(value))


def is_decoy(candidate: Candidate) -> bool:
    value = candidate.value
    if isinstance(value, dict) and (
        ("properties" in value and ("type" in value or "$schema" in value)) or ("$schema" in value and "type" in value)
    ):
        return True
    if any(repair.kind is RepairKind.ELLIPSIS for repair in candidate.repairs):
        return True
    return placeholder_share(value) >= 0.5
