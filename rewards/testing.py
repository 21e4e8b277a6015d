"""A contract test kit for authors of reward functions: `check_reward` in a test proves what a run relies on."""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from rewards.decorator import as_function
from rewards.discovery.contract import check_class, check_instance
from rewards.types import Completion, Example, RewardFunction, Score

MEGABYTE = 1_000_000


def hostile_completions(size: int = MEGABYTE) -> Iterator[tuple[str, str]]:
    """Pairs (name, text) that a policy may write: empty, endless, broken, unreadable; the longest have `size`
    characters.
    """
    short = {
        "empty": "",
        "spaces": " \n\t ",
        "null": "null",
        "NUL": "\x00" * 10,
        "lone surrogate": '\ud800 {"a": "\udfff"}',
        "digits of another script": '{"a": ٣٤, "b": "१२"}',
        "NaN and infinity": '{"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e999}',
        "wrong types": '{"a": {"a": [{"a": null}]}, "": [], "0": {}}',
        "scalar": "42",
        "list": "[1, 2, [3, [4]]]",
        "list of objects": json.dumps([{"a": index} for index in range(50)]),
        "open fence": "```json\n{",
        "open thought": "<think>" + "talvez " * 20,
        "integer of 6,000 digits": '{"a": ' + "9" * 6000 + "}",
        "duplicate keys": '{"a": 1, "a": 2, "a": 3}',
        "escapes": '{"a": "\\ud800\\u0000\\x"}',
        "right to left and zero width": "\u202e\u200b\ufeff{}\u2066",
    }
    yield from short.items()
    for name, unit in {
        "letters": "a", "spaces, long": " ", "digits": "7", "open brackets": "[", "open braces": '{"a":', "quotes": '"',
        "apostrophes": "'", "backslashes": "\\", "commas": ",", "numbers": "1,5 ", "points": "1.", "fences": "```\n",
        "thoughts": "<think>", "ends of thoughts": "</think>", "SELECTs": "SELECT 1 FROM t; ", "comments": "/*", "lines": "\n",
        "words": "ação ", "numbered": "1) ", "hashtags": "#a ", "emoji": "🔥", "combining marks": "a\u0301\u0327", "dashes": "--",
        "keys": '"k": 1, ',
    }.items():  # fmt: skip
        yield f"{size} letters: {name}", unit * (size // len(unit))


def check_reward(
    function: RewardFunction | Callable[..., Any],
    example: Example,
    *,
    right: str | Sequence[str],
    partial: str | Sequence[str] = (),
    wrong: str | Sequence[str],
    seconds: float = 2.0,
    hostile_size: int = MEGABYTE,
) -> None:
    """Check that a reward function keeps its contract, on one of its examples and texts that you judge.

    Each `right` text must earn the maximum if the function judges content, and in any case more than each `partial`
    one, which must earn more than each `wrong` one. The reference must earn what a right text does. Also checked:
    options survive YAML and pickle, the same text always gets the same score, the example stays unchanged, and hostile
    texts of up to `hostile_size` characters give a number in 0..1 and no exception, each within `seconds`. Raises
    AssertionError saying what failed.
    """
    function = cast(RewardFunction, as_function(function))
    _check_class_and_options(function)
    problems = function.problems(example)
    assert not problems, f"problems() finds fault with the example: {problems}"
    _check_order(function, example, _texts(right), _texts(partial), _texts(wrong))
    _check_repeatable(function, example, [*_texts(right), *_texts(partial), *_texts(wrong)])
    for name, text in hostile_completions(hostile_size):
        score_within(function, example, text, seconds, f"on hostile text '{name}'")


def score_within(
    function: RewardFunction, example: Example, text: str, seconds: float, where: str = ""
) -> Score | None:
    """The score of one text; raises AssertionError unless it is legal and takes at most `seconds`.

    The fastest of three attempts counts: on a busy machine one of them may be late, a slow function is late every time.
    """
    taken = math.inf
    for _ in range(3):
        started = time.perf_counter()
        try:
            score = function(example, Completion(text))
        except Exception as error:
            raise AssertionError(f"{function.name} {where} raised {type(error).__name__}: {error}") from error
        taken = min(taken, time.perf_counter() - started)
        if taken <= seconds:
            break
    assert taken <= seconds, f"{function.name} {where} took {taken:.2f} s, allowed are {seconds:g} s"
    assert score is None or isinstance(score, Score), (
        f"{function.name} {where} returned {type(score).__name__}, not Score"
    )
    if score is not None:
        numbers = {"value": score.value, **{f"part '{name}'": part for name, part in score.parts.items()}}
        for name, number in numbers.items():
            if number is None and name == "value":
                continue
            real = isinstance(number, (int, float)) and not isinstance(number, bool)
            assert real and math.isfinite(number or 0.0) and 0 <= (number or 0.0) <= 1 + 1e-9, (
                f"{function.name} {where}: {name} is {number!r}, not a number in 0..1"
            )
        assert isinstance(score.reason, str), f"{function.name} {where}: the reason is {score.reason!r}, no text"
    return score


def _check_class_and_options(function: RewardFunction) -> None:
    problems = check_class(type(function)) + check_instance(function)
    assert not problems, "; ".join(problems)
    kind = type(function)
    assert pickle.loads(pickle.dumps(function)) == function, f"{kind.__name__} is another after pickling"
    assert kind.model_validate(function.model_dump()) == function, f"{kind.__name__}: its options do not survive a dump"
    written = function.model_dump_json()
    assert kind.model_validate_json(written) == function, f"{kind.__name__}: its options do not survive JSON: {written}"


def _check_order(
    function: RewardFunction, example: Example, right: list[str], partial: list[str], wrong: list[str]
) -> None:
    assert right and wrong, "give at least one right and one wrong text"
    if example.reference is not None and function.judges_content:
        right = [example.reference, *right]
    values = {text: _value(function, example, text) for text in (*right, *partial, *wrong)}
    if function.judges_content:
        for text in right:
            assert values[text] >= 0.999, f"the right text {text[:80]!r} earns {values[text]:.4f}, not the maximum"
    for better, worse in ((right, partial), (partial, wrong), (right, wrong)):
        for one in better:
            for other in worse:
                assert values[one] > values[other], (
                    f"{one[:80]!r} must earn more than {other[:80]!r}: {values[one]:.4f} against {values[other]:.4f}"
                )


def _check_repeatable(function: RewardFunction, example: Example, texts: list[str]) -> None:
    before = copy.deepcopy(example)
    other = pickle.loads(pickle.dumps(function))
    for text in texts:
        first, second, third = (each(example, Completion(text)) for each in (function, function, other))
        assert first == second == third, f"two scores of {text[:80]!r} differ: {first}, {second}, {third}"
    assert example == before, f"{function.name} changed the example"


def _value(function: RewardFunction, example: Example, text: str) -> float:
    score = score_within(function, example, text, math.inf, f"on {text[:80]!r}")
    assert score is not None and score.value is not None, f"{function.name} does not apply to {text[:80]!r}"
    return score.value


def _texts(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)
