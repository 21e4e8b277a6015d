"""A grader file of OpenAI's or Azure's as a reward: `string_check`, `text_similarity`, `score_model`, `python`, `multi`."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from rewards.graders.formulas import calculate, parse_formula
from rewards.graders.reading import find_problems, list_read
from rewards.graders.templates import fill
from rewards.judges.chat import ask_chat
from rewards.text.bleu import sentence_bleu, tokenize_13a
from rewards.text.rouge import rouge_l, rouge_n, split_ascii_words
from rewards.types import PATH_OR_TEXT, Completion, Example, RewardFunction, Score

_LONGEST = 20_000
_FUZZY = 4_000
_JUDGE_TOKENS = 1024
_ROLES = {"developer": "system"}
_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{1,9})?")


class OpenAiGrader(RewardFunction):
    """What a grader file says of a completion; code in it runs in a process of its own, and an exception there is an error."""

    name: ClassVar[str] = "openai_grader"
    version: ClassVar[str] = "2"
    judges_content: ClassVar[bool] = False

    grader: str = Field(description="The file, or its JSON.", json_schema_extra=PATH_OR_TEXT)
    base_url: str = Field("https://api.openai.com/v1", description="Of the server of score_model's judges.")
    model: str = Field("", description="The judges' model there; empty: the one that the grader names.")
    api_key_variable: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")
    timeout_seconds: float = Field(60.0, gt=0, description="For one completion.")

    @field_validator("grader")
    @classmethod
    def _check(cls, given: str) -> str:
        if problems := find_problems(read_grader(given)):
            raise ValueError("; ".join(problems))
        return given

    def problems(self, example: Example) -> list[str]:
        missing = sorted(list_read(read_grader(self.grader)) - {"reference", *example.columns})
        return [f"column '{name}' is missing; the grader's template names it" for name in missing]

    async def __call__(self, example: Example, completion: Completion) -> Score:  # type: ignore[override]
        grader = read_grader(self.grader)
        item = {"reference": example.reference, **example.columns}
        parts: dict[str, float] = {}
        value = await evaluate(grader, item, make_sample(completion), self, parts)
        low, high = read_range(grader) if grader["type"] == "score_model" else (0.0, 1.0)
        share = (value - low) / (high - low)
        return Score(min(1.0, max(0.0, share)), f"{value:g}" if not 0 <= share <= 1 else "", parts)


def make_sample(completion: Completion) -> dict[str, Any]:
    """What graders call `sample`."""
    text = completion.answer[:_LONGEST]
    try:
        read = completion.extraction.value
    except Exception:
        read = None
    return {"output_text": text, "output_json": read, "output_tools": [], "choices": [{"message": {"content": text}}]}


async def evaluate(
    grader: Mapping[str, Any],
    item: Mapping[str, Any],
    sample: Mapping[str, Any],
    settings: OpenAiGrader,
    parts: dict[str, float],
) -> float:
    """A grader's number; `settings` say where judges are asked. `parts` gets those of a multi grader's own that lie in 0..1. Raises what its code raises."""
    kind = grader["type"]
    if kind == "multi":
        values = {}
        for name, each in grader["graders"].items():
            values[name] = await evaluate(each, item, sample, settings, {})
            if 0.0 <= values[name] <= 1.0:
                parts[name] = values[name]
        return calculate(parse_formula(grader["calculate_output"]), values)
    if kind == "python":
        return float(_compile(grader["source"])(dict(sample), dict(item)))
    if kind == "score_model":
        return await _ask_judge(grader, item, sample, settings)
    one = fill(grader["input"], item, sample)
    other = fill(grader["reference"], item, sample)
    if kind == "string_check":
        return float(_check_strings(grader["operation"], one, other))
    return compare_texts(grader["evaluation_metric"], one[:_LONGEST], other[:_LONGEST])


async def _ask_judge(
    grader: Mapping[str, Any], item: Mapping[str, Any], sample: Mapping[str, Any], settings: OpenAiGrader
) -> float:
    """The number of a score_model's judge, in the grader's own range; ValueError for another one."""
    turns = [
        # Servers other than OpenAI's know no developer.
        {
            "role": _ROLES.get(str(turn["role"]), str(turn["role"])),
            "content": fill(_text_of(turn["content"]), item, sample),
        }
        for turn in grader["input"]
    ]
    given = grader.get("sampling_params") or {}
    more = {name: given[name] for name in ("top_p", "seed", "reasoning_effort") if given.get(name) is not None}
    answer = await ask_chat(
        settings.base_url, settings.model or grader["model"], turns,
        key_variable=settings.api_key_variable, seconds=settings.timeout_seconds,
        temperature=float(given.get("temperature") or 0.0),
        max_tokens=int(given.get("max_completions_tokens") or _JUDGE_TOKENS), more=more,
    )  # fmt: skip
    value, (low, high) = read_score(answer.text), read_range(grader)
    if not low <= value <= high:
        raise ValueError(f"the judge gave {value:g}, outside {low:g}..{high:g}")
    return value


def read_score(text: str) -> float:
    """The number in a judge's answer: `result` of a JSON object, as OpenAI's judges answer, else the last number.

    Its reasoning does not count. Raises ValueError where there is no number.
    """
    from rewards.extraction.reasoning import split_reasoning

    text = split_reasoning(text[-_LONGEST:]).answer or text[-_LONGEST:]
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return float(json.loads(text)["result"])
    numbers = _NUMBER.findall(text)
    if not numbers:
        raise ValueError(f"the judge gave no number: {text[:80]!r}")
    return float(numbers[-1])


def read_range(grader: Mapping[str, Any]) -> tuple[float, float]:
    """The lowest and highest number of a score_model, 0 and 1 where it says nothing."""
    low, high = grader.get("range") or (0.0, 1.0)
    return float(low), float(high)


def compare_texts(metric: str, one: str, other: str) -> float:
    """A similarity in 0..1 by the name that the guide gives it."""
    if metric == "bleu":
        return sentence_bleu(tokenize_13a(other), tokenize_13a(one))
    if metric == "rouge_l":
        return rouge_l(split_ascii_words(other), split_ascii_words(one))
    if metric.startswith("rouge_"):
        return rouge_n(split_ascii_words(other), split_ascii_words(one), int(metric[-1]))
    # Twice the longest common subsequence of characters over all of them: rapidfuzz's ratio.
    return rouge_l(list(other[:_FUZZY]), list(one[:_FUZZY])) if one or other else 1.0


def _check_strings(operation: str, one: str, other: str) -> bool:
    if operation == "like":
        return other in one
    if operation == "ilike":
        return other.casefold() in one.casefold()
    return (one == other) is (operation == "eq")


@lru_cache(maxsize=16)
def read_grader(given: str) -> Any:
    """The grader of a file or of JSON text; ValueError for what is neither."""
    try:
        text = given if given.lstrip()[:1] == "{" else Path(given).read_text(encoding="utf-8")
        read = json.loads(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read as a grader: {error}") from None
    return read.get("grader", read) if isinstance(read, dict) and "type" not in read else read


@lru_cache(maxsize=16)
def _compile(source: str) -> Any:
    space: dict[str, Any] = {"__name__": "grader"}
    exec(compile(source, "grader.py", "exec"), space)
    return space["grade"]


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
