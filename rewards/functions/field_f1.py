"""Reward for a JSON answer of any shape: F1 over its flattened (path, value) pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from math import isfinite
from typing import Any, ClassVar, NamedTuple

import orjson
from pydantic import Field

from rewards.functions.json_valid import reference_problems
from rewards.functions.portuguese import fold
from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, RewardFunction, Score

_BEYOND_FLOAT = 2**53


class FieldF1(RewardFunction):
    """F1 of the answer's leaves against the reference's: a leaf counts when its path and its value are both right."""

    name: ClassVar[str] = "field_f1"
    version: ClassVar[str] = "1"

    ignore_fields: tuple[str, ...] = Field(
        (), description="Keys left out on both sides, as a bare key anywhere or a dotted path from the top."
    )
    digits: int = Field(9, ge=1, le=15, description="Significant digits to which two numbers must agree.")
    fold_text: bool = Field(False, description="Compare texts without case, accents and repeated spaces.")

    def problems(self, example: Example) -> list[str]:
        return reference_problems(example)

    def __call__(self, example: Example, completion: Completion) -> Score:
        found = completion.extraction.value
        if found is None:
            return Score(0.0, "no JSON found", {"precision": 0.0, "recall": 0.0, "keys": 0.0})
        expected = _read_reference(self, example.reference or "null")
        # One table of paths for both sides: a path is a small number, so that deep nesting stays linear.
        leaves = list(self._leaves(found, dict(expected.paths)))
        shared = (expected.leaves & Counter(leaves)).total()
        shared_keys = (expected.keys & Counter(path for path, _ in leaves)).total()
        size = expected.leaves.total()
        precision, recall = _share(shared, len(leaves)), _share(shared, size)
        keys = _harmonic(_share(shared_keys, len(leaves)), _share(shared_keys, size))
        value = _harmonic(precision, recall)
        reason = "" if value == 1.0 else f"{shared} of {size} leaves right, {len(leaves)} given"
        return Score(value, reason, {"precision": precision, "recall": recall, "keys": keys})

    def _leaves(self, value: Any, paths: dict[tuple[int, Any], int]) -> Iterator[tuple[int, Any]]:
        """Each leaf as (number of its path, comparable value); an empty container is a leaf, the top's path is 0."""
        ignored = frozenset(self.ignore_fields)
        dotted = any("." in field for field in ignored)
        stack: list[tuple[int, str, Any]] = [(0, "", value)]
        while stack:
            path, prefix, item = stack.pop()
            if isinstance(item, dict) and item:
                for key, child in item.items():
                    # Names are joined only when an option needs them: joined, deep nesting would be quadratic.
                    name = f"{prefix}.{key}" if dotted and prefix else str(key)
                    if key in ignored or (dotted and name in ignored):
                        continue
                    stack.append((paths.setdefault((path, key), len(paths) + 1), name if dotted else "", child))
            elif isinstance(item, list) and item:
                for index, child in enumerate(item):
                    stack.append((paths.setdefault((path, index), len(paths) + 1), prefix, child))
            else:
                yield path, self._comparable(item)

    def _comparable(self, value: Any) -> Any:
        """A hashable stand-in that is equal exactly when two leaves are: 1 and 1.0 are, 1 and true are not."""
        if isinstance(value, str):
            return ("text", fold(value) if self.fold_text else value)
        if value is None or isinstance(value, bool):
            return ("literal", str(value))
        if isinstance(value, int) and (abs(value) < 10**self.digits or abs(value) > _BEYOND_FLOAT):
            return ("number", value)
        if isinstance(value, (int, float)) and isfinite(value):
            return ("number", float(f"{value:.{self.digits}g}"))
        return ("empty", type(value).__name__)


class _Expected(NamedTuple):
    leaves: Counter
    keys: Counter
    paths: dict[tuple[int, Any], int]


@lru_cache(maxsize=4096)
def _read_reference(function: FieldF1, reference: str) -> _Expected:
    """The reference's leaves, read once for all completions of its group."""
    paths: dict[tuple[int, Any], int] = {}
    leaves = list(function._leaves(orjson.loads(reference), paths))
    return _Expected(Counter(leaves), Counter(path for path, _ in leaves), paths)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@hookimpl
def register_rewards(register):
    register(FieldF1)
