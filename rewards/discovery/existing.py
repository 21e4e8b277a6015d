"""Reward functions written for other trainers, as they are: `trl:rewards.py:function`, `verl:...`, `verifiers:module.rubric`."""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from rewards.discovery.plugin_files import import_file
from rewards.discovery.probe import find_fault, quiet
from rewards.errors import PluginError, WrongCount
from rewards.types import Completion, Example, RewardFunction, Score

PREFIXES = ("trl", "verl", "verifiers")
_IN_FILE = re.compile(r"(?P<file>.+\.py):(?P<name>[^:]+)(?::(?P<rest>.*))?", re.DOTALL)
_OF_TRAINER = frozenset(
    {"prompts", "completions", "id", "task", "trainer_state", "log_extra", "log_metric", "prompt", "completion"}
)
_REFERENCE_NAMES = ("reference", "answer", "solution", "ground_truth", "label", "target", "expected_answer")
_PROMPT_NAMES = ("question", "query", "problem", "instruction")
Pair = tuple[Example, Completion]


class ExistingReward(RewardFunction):
    """Another trainer's function: its version is a hash of its source, so that a change is seen."""

    judges_content: ClassVar[bool] = False
    target: ClassVar[str] = ""
    prefix: ClassVar[str] = ""
    called: ClassVar[Any] = None
    given: ClassVar[frozenset[str]] = _OF_TRAINER

    range: tuple[float, float] = Field((0.0, 1.0), description="Lowest and highest number it returns, made 0..1.")
    skip_nan: bool = Field(False, description="NaN means that it does not apply, as TRL reads it; else it is a fault.")
    clip: bool = Field(False, description="Numbers outside the range count as its nearer end; else they are faults.")

    @field_validator("range")
    @classmethod
    def _has_width(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] < ends[1]):
            raise ValueError("write [low, high], two finite numbers, the lower one first")
        return ends

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
        if math.isnan(number):
            if self.skip_nan:
                return None
            raise ValueError("returned NaN; where it does not apply return None, or set the option skip_nan: true")
        if not low - 1e-9 <= number <= high + 1e-9 and not (self.clip and math.isfinite(number)):
            raise ValueError(
                f"returned {number:g}, outside {low:g}..{high:g}; set the option range: [low, high]"
                + ("" if not math.isfinite(number) else ", and clip: true where it has no bounds")
            )
        return Score(min(1.0, max(0.0, (number - low) / (high - low))), "", parts or {})

    def problems(self, example: Example) -> list[str]:
        """Columns that the function cannot be called without, and that the row lacks."""
        lacking = [
            each.name
            for each in _parameters(type(self).called)
            if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
            and each.default is each.empty
            and each.name not in {*example.columns, *self.given, *_PROMPT_NAMES}
            and not (each.name in _REFERENCE_NAMES and example.reference is not None)
        ]
        return [f"no column '{name}', which {self.target} reads" for name in lacking]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.prefix, self.target, self.model_dump())


class TrlReward(ExistingReward):
    """`f(prompts, completions, **columns) -> list[float | None]`, called with batches as GRPOTrainer calls it."""

    together: ClassVar[str] = "batch"

    conversational: bool = Field(True, description="Completions are messages, as for prompts that are; else texts.")

    def score_together(self, pairs: Sequence[Pair]) -> Any:
        try:
            values = type(self).called(**self.bind(pairs))
        except (TypeError, AttributeError) as error:
            error.args = (f"{error}{self._explain(str(error))}",)
            raise
        return self._later(values, len(pairs)) if inspect.isawaitable(values) else self._read_all(values, len(pairs))

    def bind(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """The arguments, of those that the function takes; the reference under the names that are usual for it."""
        examples = [example for example, _ in pairs]
        prompts = [[dict(turn) for turn in example.prompt] for example in examples]
        texts = [completion.text for _, completion in pairs]
        given: dict[str, Any] = {name: [example.reference for example in examples] for name in _REFERENCE_NAMES}
        given |= {name: [_asked(example) for example in examples] for name in _PROMPT_NAMES}
        names = {name for example in examples for name in example.columns}
        given |= {name: [example.columns.get(name) for example in examples] for name in names}
        given |= {
            "id": [example.id for example in examples], "task": [example.task for example in examples],
            "prompts": prompts if self.conversational else ["\n".join(t["content"] for t in p) for p in prompts],
            "completions": [[{"role": "assistant", "content": text}] for text in texts] if self.conversational else texts,
            "trainer_state": None, "log_extra": lambda *_: None, "log_metric": lambda *_: None,
        }  # fmt: skip
        return _choose(type(self).called, given)

    def _explain(self, said: str) -> str:
        """What to do about a fault that comes of messages in the place of texts, or the other way round."""
        if self.conversational and re.search(r"\blist\b|\bdict\b", said):
            return " (completions are lists of messages here; for a function of plain texts set the option conversational: false)"
        if not self.conversational and re.search(r"string ind|\bstr\b", said):
            return " (completions are plain texts here, as the option conversational: false says)"
        if "NoneType" in said and "trainer_state" in inspect.signature(type(self).called).parameters:
            return " (trainer_state is None here: a reward must not depend on the step)"
        return ""

    async def _later(self, values: Any, count: int) -> list[Score | None]:
        return self._read_all(await values, count)

    def _read_all(self, values: Any, count: int) -> list[Score | None]:
        listed = values.tolist() if hasattr(values, "tolist") else list(values)
        if len(listed) != count:
            raise WrongCount(f"returned {len(listed)} values for {count} completions; return a list with one for each")
        return [self.read(value) for value in listed]


class VerlReward(ExistingReward):
    """`compute_score(data_source, solution_str, ground_truth, extra_info)`, as verl calls it: a number, or `score` of a dict."""

    given: ClassVar[frozenset[str]] = frozenset({"data_source", "solution_str", "ground_truth", "extra_info"})

    async def __call__(self, example: Example, completion: Completion) -> Any:  # type: ignore[override]
        columns = example.columns
        model = columns.get("reward_model")
        truth = model.get("ground_truth") if isinstance(model, Mapping) else None
        known = {
            **columns,
            "data_source": columns.get("data_source", example.task), "solution_str": completion.text,
            "ground_truth": columns.get("ground_truth", example.reference if truth is None else truth),
            "extra_info": columns.get("extra_info", dict(columns)),
        }  # fmt: skip
        value = type(self).called(**_choose(type(self).called, known))
        value = await value if inspect.isawaitable(value) else value
        if not isinstance(value, Mapping):
            return self.read(value)
        if "score" not in value:
            raise TypeError("returned a dict without 'score'")
        parts = {str(name): each for name, each in value.items() if name != "score" and _is_share(each)}
        return self.read(value["score"], {name: float(each) for name, each in parts.items()})


class RubricReward(ExistingReward):
    """A verifiers Rubric: its functions with their weights; each value is a part, the weighted sum the score."""

    def problems(self, example: Example) -> list[str]:
        return []

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
    target = anchor_target(target, Path.cwd())
    where = f"'{prefix}:{target}'"
    if fault := find_fault((prefix, target), lambda: _import(prefix, target), None):
        raise PluginError(f"{where}: {fault}; name a file with the functions alone")
    with quiet(where):
        found = _import(prefix, target)
    if prefix in ("trl", "verl"):
        if not callable(found) or inspect.isclass(found):
            raise PluginError(f"{where}: is {type(found).__name__}; name a function")
        _refuse_shape(where, prefix, found)
    elif not (hasattr(found, "funcs") or hasattr(found, "get_reward_funcs")):
        raise PluginError(f"{where}: is {type(found).__name__}; name a Rubric, or a function that makes one")
    return _make(prefix, target)


def anchor_target(target: str, folder: Path) -> str:
    """`file.py:function` with the file made absolute; so is `module.function` where `module.py` lies in the folder."""
    if match := _IN_FILE.fullmatch(target):
        return f"{(folder / Path(match['file']).expanduser()).resolve()}:{match['name']}"
    module, _, name = target.rpartition(".")
    file = folder / f"{module}.py"
    return f"{file.resolve()}:{name}" if module.isidentifier() and file.is_file() else target


def anchor_name(name: str, *folders: Path) -> str:
    """A name of `rewards.functions` with the file it means, if any, made absolute; other names stay as they are."""
    prefix, colon, target = name.partition(":")
    if not colon or prefix not in PREFIXES:
        return name
    anchored = (anchor_target(target, folder) for folder in folders)
    return f"{prefix}:{next((each for each in anchored if each != target), target)}"


def name_function(named: str) -> str:
    """What the function of `trl:module.function` or `trl:file.py:function` is called in scores and metrics."""
    plain = re.sub(r"[^a-z0-9_]+", "_", re.split(r"[.:]", named)[-1].lower()).strip("_") or "function"
    return plain if plain[:1].isalpha() else f"{named.partition(':')[0]}_{plain}"


def split_options(text: str) -> tuple[str, str]:
    """Name and options of `trl:module.function:option=value` or `trl:file.py:function:option=value`."""
    prefix, _, after = text.partition(":")
    if match := _IN_FILE.fullmatch(after):
        return f"{prefix}:{match['file']}:{match['name']}", match["rest"] or ""
    target, _, rest = after.partition(":")
    return f"{prefix}:{target}", rest


def _refuse_shape(where: str, prefix: str, found: Any) -> None:
    """A function that takes none of what it would be given is one that makes a reward, or one of another trainer."""
    parameters = _parameters(found)
    names = {each.name for each in parameters}
    wanted = {"trl": {"completions"}, "verl": {"solution_str"}}[prefix]
    if "completion_ids" in names and any(p.name == "completion_ids" and p.default is p.empty for p in parameters):
        raise PluginError(f"{where}: reads completion_ids, which no stored completion has; write it over the texts")
    if names & wanted or any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    other = "verl" if "solution_str" in names else "trl" if "completions" in names else ""
    advice = (
        f"it is one of {other}: write {other}:..."
        if other
        else "if it makes a reward function, call it in a file (mine = it(...)) and name that"
    )
    raise PluginError(f"{where}: takes ({', '.join(names)}), not {' or '.join(wanted)}; {advice}")


@cache
def _make(prefix: str, target: str) -> type[RewardFunction]:
    found = _import(prefix, target)
    base: Any = {"trl": TrlReward, "verl": VerlReward, "verifiers": RubricReward}[prefix]
    name = name_function(f"{prefix}:{target}")
    sources = list(getattr(found, "funcs", None) or found.get_reward_funcs()) if prefix == "verifiers" else [found]
    version = hashlib.sha256("".join(map(_source_of, sources)).encode()).hexdigest()[:12]
    values = {"name": name, "version": version, "called": found if prefix == "verifiers" else staticmethod(found)}
    values |= {"target": target, "prefix": prefix}
    # Its identity is that of the module it was written in, with what that imports.
    home = getattr(_innermost(sources[0]), "__module__", None) if sources else None
    home = home if home in sys.modules else __name__
    body = {**values, "__module__": home, "__doc__": (inspect.getdoc(found) or base.__doc__), "__qualname__": name}
    return type(name, (base,), {**body, "__annotations__": dict.fromkeys(values, ClassVar[Any])})


def _import(prefix: str, target: str) -> Any:
    in_file = _IN_FILE.fullmatch(target)
    module, _, name = target.rpartition(":" if in_file else ".")
    if not module:
        raise PluginError(f"'{prefix}:{target}': write {prefix}:module.name or {prefix}:file.py:name")
    if not in_file and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    advice = f"; a function in a file of yours is {prefix}:path/to/file.py:{name}"
    try:
        found = functools.reduce(getattr, name.split("."), import_file(module) if in_file else import_module(module))
    except AttributeError:
        raise PluginError(f"'{prefix}:{target}': {module} has no {name}{'' if in_file else advice}") from None
    except FileNotFoundError:
        if in_file and not Path(module).is_file():
            raise PluginError(f"'{prefix}:{target}': there is no file {module}") from None
        raise
    except ModuleNotFoundError as error:
        if in_file or error.name != module.partition(".")[0]:
            raise
        raise PluginError(f"'{prefix}:{target}': cannot be imported: there is no module {module}{advice}") from None
    if prefix == "verifiers" and inspect.isfunction(found) and not hasattr(found, "funcs"):
        found = found()
    return getattr(found, "rubric", found) if prefix == "verifiers" else found


def _rebuild(prefix: str, target: str, options: Mapping[str, Any]) -> RewardFunction:
    return _make(prefix, target).model_validate(dict(options))


def _asked(example: Example) -> str:
    """What the user asked last: what most data sets have under one of the usual names."""
    return next((turn["content"] for turn in reversed(example.prompt) if turn["role"] == "user"), "")


def _innermost(function: Any) -> Any:
    """The function that was written down, inside of what wraps it; of an object that is called, its class."""
    while True:
        inner = inspect.unwrap(function)
        inner = inner.func if isinstance(inner, functools.partial) else inner
        if inner is function:
            break
        function = inner
    return function if inspect.isroutine(function) or inspect.isclass(function) else type(function)


def _source_of(function: Any) -> str:
    try:
        return inspect.getsource(_innermost(function))
    except (OSError, TypeError):
        # An address would make another version of the same function in every process.
        return re.sub(r" at 0x[0-9a-f]+", "", repr(function))


def _parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _choose(function: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    parameters = _parameters(function)
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return dict(known)
    return {each.name: known[each.name] for each in parameters if each.name in known}


def _is_share(value: Any) -> bool:
    return isinstance(value, bool | int | float) and 0 <= value <= 1
