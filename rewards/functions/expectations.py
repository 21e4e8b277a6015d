"""Reward for an answer that does what is expected of it: calls, keywords, JSON, code that passes its tests."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import orjson

from rewards.answers import read_answer
from rewards.code.allowed import find_refusal
from rewards.code.run import run_tests
from rewards.functions.tool_call import ToolCall
from rewards.hookspecs import hookimpl
from rewards.tool_calls.dialects import read_calls
from rewards.tool_calls.rendering import render_calls
from rewards.types import Completion, Example, RewardFunction, Score

COLUMN = "expect"
KEYS = ("tools", "calls", "keywords", "absent", "json", "code", "most_words")
_CALLS = ToolCall()


class Expectations(RewardFunction):
    """What the column `expect` asks for, each as a share; the value is their product, so that nothing makes up for a miss."""

    name: ClassVar[str] = "expectations"
    version: ClassVar[str] = "4"

    def problems(self, example: Example) -> list[str]:
        return find_problems(example.columns.get(COLUMN))

    def __call__(self, example: Example, completion: Completion) -> Score:
        expect = example.columns[COLUMN]
        answer = completion.answer
        parts: dict[str, float] = {}
        notes: list[str] = []
        for key in KEYS:
            if key in expect:
                share, note = _JUDGES[key](expect[key], answer, completion)
                parts[key] = share
                notes += [note] if note else []
        value = 1.0 if answer.strip() else 0.0
        for share in parts.values():
            value *= share
        if not answer.strip():
            notes = ["empty"]
        return Score(value, "; ".join(notes)[:300], parts)


def find_problems(expect: Any) -> list[str]:
    """What is wrong with a row's expectations, one line each."""
    if not isinstance(expect, dict) or not expect:
        return [f"{COLUMN}: {expect!r:.60}; give an object with {', '.join(KEYS)}"]
    problems = [f"{COLUMN}.{key}: no such expectation; allowed: {', '.join(KEYS)}" for key in expect if key not in KEYS]
    problems += [f"{COLUMN}.{key}: {said}" for key in KEYS if key in expect and (said := _CHECKS[key](expect[key]))]
    if "tools" in expect and "calls" in expect:
        problems.append(f"{COLUMN}: tools and calls both; calls names the tools already")
    if set(expect) <= {"absent", "most_words"}:
        problems.append(
            f"{COLUMN}: {' and '.join(expect)} alone: any other text would be right; say what is expected too"
        )
    return problems


def _judge_tools(wanted: Sequence[str], answer: str, completion: Completion) -> tuple[float, str]:
    """F1 over the names of the functions that are called; no call is expected where the list is empty."""
    reading = read_calls(answer)
    given = [call.name for call in reading.calls if not call.name_only or call.name in wanted]
    said = len(given) + reading.broken
    if not wanted:
        return float(not said), "" if not said else "a call where none is expected"
    shared = (Counter(wanted) & Counter(given)).total()
    share = 2 * shared / (len(wanted) + said)
    missing = sorted((Counter(wanted) - Counter(given)).keys())
    note = f"not called: {', '.join(missing)}" if missing else "more calls than expected" if share < 1.0 else ""
    return share, note


def _judge_calls(wanted: Sequence[Any], answer: str, completion: Completion) -> tuple[float, str]:
    """As the reward tool_call scores them: names, arguments, whole calls."""
    reference = render_calls(wanted) if wanted else "[]"
    score = _CALLS(Example("", "", [], reference, {}), completion)
    return score.value or 0.0, score.reason


def _judge_keywords(wanted: Sequence[Any], answer: str, completion: Completion) -> tuple[float, str]:
    """The share of the keywords that stand in the answer as whole words; of a list in the list one is enough."""
    folded = _fold(answer)
    missing = [entry for entry in wanted if not any(_stands(word, folded) for word in _words_of(entry))]
    note = f"not said: {', '.join(' or '.join(_words_of(entry)) for entry in missing)}" if missing else ""
    return 1.0 - len(missing) / len(wanted), note


def _judge_absent(unwanted: Sequence[str], answer: str, completion: Completion) -> tuple[float, str]:
    folded = _fold(answer)
    said = [word for word in unwanted if _stands(word, folded)]
    return float(not said), f"said all the same: {', '.join(said)}" if said else ""


def _judge_json(wanted: Any, answer: str, completion: Completion) -> tuple[float, str]:
    """Whether the answer holds JSON that can be read, and keeps the schema where one is given."""
    value = read_answer(completion).value
    if value is None:
        return 0.0, "no JSON"
    if wanted is True:
        return 1.0, ""
    try:
        text = orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS)
        valid = _compile(text).is_valid(orjson.loads(orjson.dumps(value)))
    except (TypeError, ValueError):
        return 0.0, "JSON with values that no schema knows"
    return float(valid), "" if valid else "does not keep the schema"


def _judge_code(wanted: Any, answer: str, completion: Completion) -> tuple[float, str]:
    said = run_tests(answer, wanted if isinstance(wanted, str) else wanted["tests"])
    return float(not said), said


def _judge_length(most: int, answer: str, completion: Completion) -> tuple[float, str]:
    count = len(answer.split())
    return float(count <= most), f"{count} words, at most {most} are expected" if count > most else ""


_JUDGES: dict[str, Callable[[Any, str, Completion], tuple[float, str]]] = {
    "tools": _judge_tools, "calls": _judge_calls, "keywords": _judge_keywords, "absent": _judge_absent,
    "json": _judge_json, "code": _judge_code, "most_words": _judge_length,
}  # fmt: skip


def _check_names(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(name, str) and name.strip() for name in value):
        return ""
    return f"{value!r:.60}; a list of names, [] where nothing is to be called"


def _check_calls(value: Any) -> str:
    if not isinstance(value, list):
        return f"{value!r:.60}; a list of calls, each with name and arguments"
    try:
        render_calls(value)
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""


def _check_keywords(value: Any) -> str:
    if isinstance(value, list) and value and all(_words_of(entry) for entry in value):
        return ""
    return f"{value!r:.60}; a list of texts, or of lists of which one is enough"


def _check_absent(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(word, str) and word.strip() for word in value):
        return ""
    return f"{value!r:.60}; a list of texts"


def _check_json(value: Any) -> str:
    if value is True:
        return ""
    if not isinstance(value, dict):
        return f"{value!r:.60}; true, or a JSON Schema"
    try:
        _compile(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    except (TypeError, ValueError) as error:
        return f"no JSON Schema ({' '.join(str(error).split())[:120]})"
    return ""


def _check_code(value: Any) -> str:
    tests = value.get("tests") if isinstance(value, dict) else value
    if not isinstance(tests, str) or not tests.strip():
        return f'{value!r:.60}; the tests as Python, such as "assert add(1, 2) == 3"'
    refusal = find_refusal(tests)
    return f"its tests cannot run: {refusal}" if refusal else ""


def _check_length(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return "" if whole else f"{value!r:.60}; a number of words, 1 or more"


_CHECKS: dict[str, Callable[[Any], str]] = {
    "tools": _check_names, "calls": _check_calls, "keywords": _check_keywords, "absent": _check_absent,
    "json": _check_json, "code": _check_code, "most_words": _check_length,
}  # fmt: skip


def _words_of(entry: Any) -> list[str]:
    words = [entry] if isinstance(entry, str) else entry if isinstance(entry, list) else []
    return words if words and all(isinstance(word, str) and word.strip() for word in words) else []


@lru_cache(maxsize=512)
def _fold(text: str) -> str:
    """Without case, accents and repeated spaces."""
    plain = unicodedata.normalize("NFKD", text[:100_000].casefold())
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).split())


def _stands(word: str, folded: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(_fold(word))}(?!\w)", folded) is not None


@lru_cache(maxsize=256)
def _compile(schema: bytes) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(orjson.loads(schema))


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(Expectations)
