"""A grader file, checked: which of its graders can be evaluated here, and what of a row they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.graders.formulas import list_names, parse_formula
from rewards.graders.templates import list_columns

OPERATIONS = ("eq", "ne", "like", "ilike")
_ROLES = ("user", "assistant", "system", "developer")
METRICS = ("fuzzy_match", "bleu", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l")
_REFUSED = {
    "label_model": "belongs to Evals alone, which has closed",
    "endpoint": "is in private preview; write a reward that calls it",
}


def find_problems(grader: Any, where: str = "grader", *, python: bool = True) -> list[str]:
    """What cannot be evaluated, a line each; `python` allows graders that are code."""
    if not isinstance(grader, Mapping):
        return [f"{where}: is not an object"]
    kind = grader.get("type")
    if kind == "string_check":
        problems = _need(grader, where, "input", "reference")
        if grader.get("operation") not in OPERATIONS:
            problems.append(f"{where}.operation: {grader.get('operation')!r}; there are: {', '.join(OPERATIONS)}")
        return problems
    if kind == "text_similarity":
        problems = _need(grader, where, "input", "reference")
        metric = grader.get("evaluation_metric")
        if metric not in METRICS:
            known = metric in ("cosine", "meteor", "gleu")
            said = "needs a model or a thesaurus that is not here" if known and metric != "gleu" else "is not here"
            problems.append(f"{where}.evaluation_metric: {metric!r} {said}; there are: {', '.join(METRICS)}")
        return problems
    if kind == "score_model":
        return _find_judge(grader, where)
    if kind == "python":
        if not python:
            return [f"{where}: python graders are code; they run by `rewards import-grader`, not from the network"]
        if not isinstance(grader.get("source"), str) or "def grade" not in grader["source"]:
            return [f"{where}.source: has no `def grade(sample, item)`"]
        return []
    if kind == "multi":
        return _find_multi(grader, where, python)
    said = _REFUSED.get(str(kind), "there are: string_check, text_similarity, score_model, python, multi")
    return [f"{where}.type: {kind!r}: {said}"]


def list_read(grader: Mapping[str, Any]) -> set[str]:
    """The columns that a grader's templates name."""
    found: set[str] = set()
    for value in grader.values():
        if isinstance(value, str) and value is not grader.get("source"):
            found |= list_columns(value)
        elif isinstance(value, Mapping):
            found |= list_read(value)
        elif isinstance(value, list):
            found |= {name for each in value if isinstance(each, Mapping) for name in list_read(each)}
    return found


def _find_judge(grader: Mapping[str, Any], where: str) -> list[str]:
    turns, span = grader.get("input"), grader.get("range")
    problems = [] if isinstance(grader.get("model"), str) else [f"{where}.model: give the model's name"]
    if not isinstance(turns, list) or not turns:
        problems.append(f"{where}.input: give a list of messages")
    else:
        problems += [
            f"{where}.input[{at}]: {said}" for at, turn in enumerate(turns) if (said := _find_turn_problem(turn))
        ]
    numbers = isinstance(span, list) and len(span) == 2 and all(type(each) in (int, float) for each in span)
    if span is not None and not (numbers and span[0] < span[1]):
        problems.append(f"{where}.range: {span!r}; give [lowest, highest]")
    if not isinstance(grader.get("sampling_params") or {}, Mapping):
        problems.append(f"{where}.sampling_params: is not an object")
    return problems


def _find_turn_problem(turn: Any) -> str:
    """What is wrong with a message to the judge; empty where nothing is. Its content is a text, or parts with a text each."""
    if not isinstance(turn, Mapping) or turn.get("role") not in _ROLES:
        return f"give a message with a role: {', '.join(_ROLES)}"
    content = turn.get("content")
    if isinstance(content, str):
        return ""
    parts = content if isinstance(content, list) else [content]
    if all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in parts) and parts:
        return ""
    return "content: give a string; images and sound cannot be judged here"


def _find_multi(grader: Mapping[str, Any], where: str, python: bool) -> list[str]:
    graders = grader.get("graders")
    if not isinstance(graders, Mapping) or not graders:
        return [f"{where}.graders: give an object of graders by name"]
    problems = [
        line for name, each in graders.items() for line in find_problems(each, f"{where}.graders.{name}", python=python)
    ]
    try:
        strange = list_names(parse_formula(str(grader.get("calculate_output", "")))) - set(graders)
    except ValueError as error:
        return [*problems, f"{where}.calculate_output: {error}"]
    return problems + [f"{where}.calculate_output: {name} is not a grader of it" for name in sorted(strange)]


def _need(grader: Mapping[str, Any], where: str, *names: str) -> list[str]:
    return [f"{where}.{name}: give a string" for name in names if not isinstance(grader.get(name), str)]
