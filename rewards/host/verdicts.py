"""What becomes of a score: checked for its range, and kept as a value, as `unscored` or as an error."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

from rewards import limits
from rewards.types import Completion, Example, RewardFunction, Score
from rewards.writing.writable import clean_message

VALUE, UNSCORED, ERROR = "value", "unscored", "error"

_ROUNDING = 1e-9
"""A weighted mean of parts may miss 0 or 1 by this much."""

_ROOM = Path(__file__).resolve().parents[1]
_OURS = (str(_ROOM / "host"), str(_ROOM / "decorator.py"), str(_ROOM / "discovery" / "existing.py"))
_TRACE_FRAMES = 12
_NO_PARTS: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one function said of one completion; `status` is `value`, `unscored` or `error`."""

    function: str
    version: str
    status: str
    value: float | None
    reason: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    trace: str = ""
    """Of an exception: the plugin's own lines of its traceback; shown, and stored nowhere."""
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoredCompletion:
    """A completion with one outcome a function, in the host's order, and their weighted mean, None when none gave a value."""

    example: Example
    completion: Completion
    outcomes: tuple[Outcome, ...]
    reward: float | None


def read_score(function: RewardFunction, score: Any, seconds: float = 0.0) -> Outcome:
    """Check what a function returned; a value that is not a number in 0..1 is the function's fault."""
    if score is None:
        return make_unscored(function, "does not apply", seconds)
    if not isinstance(score, Score):
        return make_error(function, f"contract: returned {type(score).__name__}, not Score", seconds)
    if score.value is None:
        return make_unscored(function, score.reason or "does not apply", seconds)
    value = _in_range(score.value)
    if value is None:
        return make_error(function, f"range: value {_quote(score.value)} is not a number in 0..1", seconds)
    parts = _NO_PARTS
    if score.parts:
        parts = {}
        for name, part in score.parts.items():
            checked = _in_range(part)
            if checked is None:
                said = clean_message(name, limits.PART_NAME_CHARACTERS)
                return make_error(function, f"range: part '{said}' is {_quote(part)}, not a number in 0..1", seconds)
            parts[clean_message(name, limits.PART_NAME_CHARACTERS)] = checked
            if len(parts) > limits.PARTS:
                return make_error(function, f"contract: more than {limits.PARTS} parts", seconds)
    usage = {str(name): float(number) for name, number in score.usage.items()} if score.usage else _NO_PARTS
    return Outcome(
        function.name, function.version, VALUE, value, clean_message(score.reason), parts, seconds, usage=usage
    )


def make_unscored(function: RewardFunction, reason: str, seconds: float = 0.0) -> Outcome:
    """The outcome of a function that does not apply or gave no value; it counts in no mean."""
    return Outcome(function.name, function.version, UNSCORED, None, clean_message(reason), _NO_PARTS, seconds)


def make_error(function: RewardFunction, reason: str, seconds: float = 0.0) -> Outcome:
    """The outcome of a function that failed: no value, and counted against the error budget."""
    return Outcome(function.name, function.version, ERROR, None, clean_message(reason), _NO_PARTS, seconds)


def describe_fault(function: RewardFunction, error: BaseException, seconds: float = 0.0) -> Outcome:
    """The error outcome of an exception: its kind (`timeout`, `died`, or its type), a colon, its message on one line."""
    kind = getattr(error, "kind", None) or type(error).__name__
    message = " ".join(str(error).split())[:300]
    outcome = make_error(function, f"{kind}: {message}" if message else kind, seconds)
    trace = own_lines(error)
    return replace(outcome, trace=trace) if trace else outcome


def own_lines(error: BaseException) -> str:
    """The traceback of an exception without the lines that led into the plugin; empty where it has none of its own."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and (frames[0].filename.startswith(_OURS) or "asyncio" in Path(frames[0].filename).parts):
        frames.pop(0)
    if not frames:
        return ""
    # The innermost lines are those of the fault, should there be endless ones, as of a recursion.
    lines = [*traceback.format_list(frames)[-_TRACE_FRAMES:], *traceback.format_exception_only(error)]
    return clean_message("".join(lines).rstrip(), limits.MESSAGE_CHARACTERS)


def _quote(value: object) -> str:
    """A wrong value in short; an integer of thousands of digits has no repr, nor need an object of a plugin have one."""
    try:
        return clean_message(repr(value), 100)
    except Exception:
        return f"of type {type(value).__name__}"


def _in_range(value: Any) -> float | None:
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, Real):
            return None
        try:
            value = float(value)
        except (OverflowError, ValueError):
            return None
    if 0.0 <= value <= 1.0:
        return value
    if not math.isfinite(value) or not -_ROUNDING <= value <= 1.0 + _ROUNDING:
        return None
    return min(1.0, max(0.0, value))
