"""Reward functions written for other trainers, as they are: `trl:module.function` and `verifiers:module.rubric`."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

from pydantic import Field

from rewards.errors import PluginError
from rewards.types import Completion, Example, RewardFunction, Score

PREFIXES = ("trl", "verifiers")
_REFERENCE_NAMES = ("reference", "answer", "solution", "ground_truth", "label", "target", "expected_answer")
Pair = tuple[Example, Completion]


class ExistingReward(RewardFunction):
    """Another trainer's function: its version is a hash of its source, so that a change is seen."""

    judges_content: ClassVar[bool] = False
    target: ClassVar[str] = ""
    prefix: ClassVar[str] = ""

    range: tuple[float, float] = Field((0.0, 1.0), description="Lowest and highest number it returns, made 0..1.")

    def __call__(self, example: Example, completion: Completion) -> Score:
        import asyncio

        scores: Any = self.score_together([(example, completion)])
        if inspect.isawaitable(scores):
            scores = asyncio.run(scores)  # type: ignore[arg-type]
        return scores[0]

    def read(self, value: Any, parts: Mapping[str, float] | None = None) -> Score | None:
        """A number of theirs in 0..1; ValueError outside of the range."""
        if value is None:
            return None
        number, (low, high) = float(value), self.range
        if not low - 1e-9 <= number <= high + 1e-9:
            raise ValueError(f"returned {number:g}, outside {low:g}..{high:g}; set the option range: [low, high]")
        return Score(min(1.0, max(0.0, (number - low) / (high - low))), "", parts or {})

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.prefix, self.target, self.model_dump())


class TrlReward(ExistingReward):
    """`f(prompts, completions, **columns) -> list[float | None]`, called with batches as GRPOTrainer calls it."""

    together: ClassVar[str] = "batch"
    called: ClassVar[Any] = None

    conversational: bool = Field(True, description="Completions are messages, as for prompts that are; else texts.")

    def score_together(self, pairs: Sequence[Pair]) -> Any:
        values = type(self).called(**self.bind(pairs))
        return self._later(values, len(pairs)) if inspect.isawaitable(values) else self._read_all(values, len(pairs))

    def bind(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """The arguments, of those that the function takes; the reference under the names that are usual for it."""
        examples = [example for example, _ in pairs]
        prompts = [[dict(turn) for turn in example.prompt] for example in examples]
        texts = [completion.text for _, completion in pairs]
        given: dict[str, Any] = {name: [example.reference for example in examples] for name in _REFERENCE_NAMES}
        names = {name for example in examples for name in example.columns}
        given |= {name: [example.columns.get(name) for example in examples] for name in names}
        given |= {
            "id": [example.id for example in examples], "task": [example.task for example in examples],
            "prompts": prompts if self.conversational else ["\n".join(t["content"] for t in p) for p in prompts],
            "completions": [[{"role": "assistant", "content": text}] for text in texts] if self.conversational else texts,
            "trainer_state": None, "log_extra": lambda *_: None, "log_metric": lambda *_: None,
        }  # fmt: skip
        parameters = inspect.signature(type(self).called).parameters.values()
        if any(each.kind is each.VAR_KEYWORD for each in parameters):
            return given
        return {each.name: given[each.name] for each in parameters if each.name in given}

    async def _later(self, values: Any, count: int) -> list[Score | None]:
        return self._read_all(await values, count)

    def _read_all(self, values: Any, count: int) -> list[Score | None]:
        listed = values.tolist() if hasattr(values, "tolist") else list(values)
        if len(listed) != count:
            raise TypeError(f"returned {len(listed)} values for {count} completions")
        return [self.read(value) for value in listed]


class RubricReward(ExistingReward):
    """A verifiers Rubric: its functions with their weights; each value is a part, the weighted sum the score."""

    called: ClassVar[Any] = None

    async def __call__(self, example: Example, completion: Completion) -> Any:  # type: ignore[override]
        rubric = type(self).called
        functions = rubric.get_reward_funcs() if hasattr(rubric, "get_reward_funcs") else rubric.funcs
        weights = rubric.get_reward_weights() if hasattr(rubric, "get_reward_weights") else rubric.weights
        known = {
            "prompt": [dict(turn) for turn in example.prompt],
            "completion": [{"role": "assistant", "content": completion.text}],
            "answer": example.reference or "", "info": dict(example.columns), "task": example.task, "state": {},
            "parser": getattr(rubric, "parser", None), **getattr(rubric, "class_objects", {}),
        }  # fmt: skip
        total, parts = 0.0, {}
        for function, weight in zip(functions, weights, strict=True):
            value = function(**_choose(function, known))
            value = float(await value if inspect.isawaitable(value) else value)
            total += weight * value
            if 0.0 <= value <= 1.0:
                parts[function.__name__] = value
        whole = sum(weight for weight in weights if weight > 0) or 1.0
        score = self.read(total / whole, parts)
        return score


def adapt(prefix: str, target: str) -> type[RewardFunction]:
    """The class over another's function; PluginError for one that is not there or cannot be called so."""
    found = _import(prefix, target)
    where = f"'{prefix}:{target}'"
    if prefix == "trl":
        if not callable(found):
            raise PluginError(
                f"{where}: is {type(found).__name__}; name a function of prompts, completions and columns"
            )
        needed = [
            each.name
            for each in inspect.signature(found).parameters.values()
            if each.name == "completion_ids" and each.default is each.empty
        ]
        if needed:
            raise PluginError(f"{where}: reads completion_ids, which no stored completion has; write it over the texts")
    elif not (hasattr(found, "funcs") or hasattr(found, "get_reward_funcs")):
        raise PluginError(f"{where}: is {type(found).__name__}; name a Rubric, or a function that makes one")
    return _make(prefix, target)


@cache
def _make(prefix: str, target: str) -> type[RewardFunction]:
    found = _import(prefix, target)
    base = TrlReward if prefix == "trl" else RubricReward
    plain = re.sub(r"[^a-z0-9_]+", "_", target.rpartition(".")[2].lower()).strip("_") or prefix
    name = plain if plain[:1].isalpha() else f"{prefix}_{plain}"
    sources = [found] if prefix == "trl" else list(getattr(found, "funcs", None) or found.get_reward_funcs())
    version = hashlib.sha256("".join(map(_source_of, sources)).encode()).hexdigest()[:12]
    values = {"name": name, "version": version, "called": staticmethod(found) if prefix == "trl" else found}
    values |= {"target": target, "prefix": prefix}
    body = {**values, "__module__": __name__, "__doc__": (inspect.getdoc(found) or base.__doc__), "__qualname__": name}
    return type(name, (base,), {**body, "__annotations__": dict.fromkeys(values, ClassVar[Any])})


def _import(prefix: str, target: str) -> Any:
    module, _, name = target.rpartition(".")
    if not module:
        raise PluginError(f"'{prefix}:{target}': write {prefix}:module.name")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = getattr(import_module(module), name)
    except AttributeError:
        raise PluginError(f"'{prefix}:{target}': module {module} has no {name}") from None
    if prefix == "verifiers" and inspect.isfunction(found) and not hasattr(found, "funcs"):
        found = found()
    return getattr(found, "rubric", found) if prefix == "verifiers" else found


def _rebuild(prefix: str, target: str, options: Mapping[str, Any]) -> RewardFunction:
    return _make(prefix, target).model_validate(dict(options))


def _source_of(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return repr(function)


def _choose(function: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return dict(known)
    return {each.name: known[each.name] for each in parameters if each.name in known}
