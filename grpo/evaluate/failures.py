"""What kind of failure a wrong answer is, so that the examples can be looked at kind by kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import orjson

from grpo.evaluate.metrics import kind_of
from grpo.evaluate.stripping import strip_answer
from rewards.answers import read_answer
from rewards.types import Completion, Example

PASSES = 0.5
"""The reward from which a text, which nothing else judges, counts as no failure."""
_LONGEST = 600


def name_failure(
    example: Example, completion: Completion, reward: float | None, metrics: Mapping[str, float]
) -> str | None:
    """The kind of failure, the first that explains it; None for a right answer."""
    kind = kind_of(example)
    if kind == "none" or _is_right(kind, reward, metrics):
        return None
    stripped = strip_answer(completion.text, completion.style)
    if "unclosed_think" in stripped.kinds:
        return "reasoning never ends"
    if not stripped.text:
        return "empty"
    if completion.truncated:
        return "truncated"
    if kind in ("json", "telecom"):
        return _name_json(example, completion)
    if kind == "tool":
        return _name_call(metrics)
    if kind == "sql":
        return "SQL does not run" if not metrics.get("sql_executes") else "wrong result"
    return "low reward" if reward is not None else "another text"


class Failures:
    """The kinds, most frequent first, each with its count and its first examples, texts cut to a readable length."""

    def __init__(self, most: int = 3):
        self._most = most
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a scored row under its `failure`; the first rows of a kind are kept as its examples, a right row is passed over."""
        kind = row.get("failure")
        if not kind:
            return
        self._counts[kind] += 1
        if len(self._examples[kind]) == self._most:
            return
        scores = (row.get("scores") or {}).values()
        reasons = [score["reason"] for score in scores if score.get("reason") and score["status"] != "unscored"]
        self._examples[kind].append(
            {
                "id": row["id"],
                "task": row["task"],
                "reward": row["reward"],
                "reason": "; ".join(reasons),
                "completion": _shorten(row["completion"]),
                "reference": _shorten(row["reference"] or ""),
            }
        )

    def to_json(self) -> list[dict[str, Any]]:
        """The kinds, most frequent first, each with its count and examples."""
        return [
            {"kind": kind, "count": count, "examples": self._examples[kind]}
            for kind, count in self._counts.most_common()
        ]


def _is_right(kind: str, reward: float | None, metrics: Mapping[str, float]) -> bool:
    if kind == "sql":
        return bool(metrics.get("sql_result", metrics.get("exact")))
    if kind == "text":
        return metrics.get("exact") == 1.0 if reward is None else reward >= PASSES
    return metrics.get("exact") == 1.0


def _name_json(example: Example, completion: Completion) -> str:
    value = read_answer(completion).value
    if value is None:
        return "not JSON"
    reference = orjson.loads(example.reference or "null")
    if isinstance(value, dict) != isinstance(reference, dict):
        return "a list for an object" if isinstance(reference, dict) else "an object for a list"
    wanted, given = _paths(reference), _paths(value)
    missing, extra = wanted - given, given - wanted
    if missing and extra:
        return "missing and extra fields"
    if missing or extra:
        return "missing fields" if missing else "extra fields"
    return "wrong values"


def _name_call(metrics: Mapping[str, float]) -> str:
    if not metrics.get("call_valid") and not metrics.get("call_name"):
        return "no call"
    if metrics.get("call_name", 0.0) < 1.0:
        return "wrong function"
    return "wrong arguments"


def _paths(value: Any) -> set[tuple[str, ...]]:
    """The dotted places of a value, places in a list counted as one."""
    found: set[tuple[str, ...]] = set()
    stack: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, dict):
            for key, child in item.items():
                found.add((*path, str(key)))
                stack.append(((*path, str(key)), child))
        elif isinstance(item, list):
            stack.extend(((*path, "[]"), child) for child in item)
    return found


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... ({len(text)} characters)"
