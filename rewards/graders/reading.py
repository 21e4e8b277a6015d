"""A grader file, checked: which of its graders can be evaluated here, and what of a row they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.graders.formulas import list_names, parse_formula
from rewards.graders.templates import list_columns

OPERATIONS = ("eq", "ne", "like", "ilike")
METRICS = ("fuzzy_match", "bleu", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l")
_REFUSED = {
    "label_model": "belongs to Evals alone, which has closed",
    "endpoint": "is in private preview; write a reward that calls it",
}


def find_problems(grader: Any, where: str = "grader", *, python: bool = True) -> list[str]:
    """What cannot be evaluated, a line each; `python` allows graders that are code."""
    if not isinstance(grader, Mapping):
        return [f"{where}: is no object"]
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
        problems = [] if isinstance(grader.get("input"), list) else [f"{where}.input: give a list of messages"]
        return problems + ([] if isinstance(grader.get("model"), str) else [f"{where}.model: give the model's name"])
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
    return problems + [f"{where}.calculate_output: {name} is no grader of it" for name in sorted(strange)]


def _need(grader: Mapping[str, Any], where: str, *names: str) -> list[str]:
    return [f"{where}.{name}: give a text" for name in names if not isinstance(grader.get(name), str)]
