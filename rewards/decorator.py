"""`@reward`: turns a plain function into a reward function; its parameter names say what it is given."""

from __future__ import annotations

import inspect
import math
import pickle
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import import_module
from numbers import Real
from typing import Any, ClassVar, NamedTuple, TypeVar, cast, overload

from rewards.errors import UserError, WrongCount
from rewards.types import Completion, Example, RewardFunction, Score

Function = TypeVar("Function", bound=Callable[..., Any])
Pair = tuple[Example, Completion]

_OF_EXAMPLE: dict[str, Callable[[Example], Any]] = {
    "example": lambda example: example,
    "prompt": lambda example: example.prompt,
    "reference": lambda example: example.reference,
    "task": lambda example: example.task,
    "id": lambda example: example.id,
    "columns": lambda example: example.columns,
}
_OF_COMPLETION: dict[str, Callable[[Completion], Any]] = {
    "completion": lambda completion: completion,
    "text": lambda completion: completion.text,
    "answer": lambda completion: completion.answer,
    "truncated": lambda completion: completion.truncated,
    "extraction": lambda completion: completion.extraction,
}
_PLURALS = {
    "examples": "example", "prompts": "prompt", "references": "reference", "tasks": "task", "ids": "id",
    "completions": "completion", "texts": "text", "answers": "answer", "extractions": "extraction",
}  # fmt: skip
_KNOWN = {**_OF_EXAMPLE, **_OF_COMPLETION}


class _Parameter(NamedTuple):
    name: str
    default: Any  # inspect.Parameter.empty where it has none


class DecoratedReward(RewardFunction):
    """What `@reward` makes of a function: it has no options, and other processes find it by the function's name."""

    plain: ClassVar[Callable[..., Any]]
    scale: ClassVar[tuple[float, float]] = (0.0, 1.0)
    wanted: ClassVar[tuple[_Parameter, ...]] = ()
    takes_columns: ClassVar[bool] = False

    def problems(self, example: Example) -> list[str]:
        """The columns that the function reads and the row lacks, one line each."""
        return [
            f"column '{name}' is missing; '{self.name}' reads it"
            for name, default in self.wanted
            if _is_column(name) and default is inspect.Parameter.empty and name not in example.columns
        ]

    def __call__(self, example: Example, completion: Completion) -> Score:
        return cast(Score, self.read(self.plain(**self.bind(example, completion))))

    def bind(self, example: Example, completion: Completion) -> dict[str, Any]:
        """The arguments for one completion, by name."""
        given = {name: _read(name, default, example, completion) for name, default in self.wanted}
        return {**example.columns, **given} if self.takes_columns else given

    def bind_many(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """The arguments for several completions, as lists; for a group, values shared by all are passed once."""
        given = {}
        for name, default in self.wanted:
            singular = _PLURALS.get(name, name)
            if self.together == "group" and name not in _PLURALS and singular not in _OF_COMPLETION:
                given[name] = _read(singular, default, *pairs[0])
            else:
                given[name] = [_read(singular, default, *pair) for pair in pairs]
        return given

    def read(self, returned: Any) -> Score | None:
        """What the function returned, as a Score in 0..1; None where it does not apply.

        Raises TypeError for what is not a number, ValueError for NaN or a number outside the declared range.
        """
        reason, parts = "", {}
        value = returned
        if isinstance(returned, Score):
            value, reason, parts = returned.value, returned.reason, dict(returned.parts)
        elif isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], str):
            value, reason = returned
        if value is None:
            return Score(None, reason) if reason else None
        if isinstance(value, str | bytes) or (not isinstance(value, Real | bool) and not hasattr(value, "__float__")):
            raise TypeError(f"returned {type(returned).__name__}; return a number, a Score, None or (number, reason)")
        low, high = self.scale
        number = float(value)
        if math.isnan(number):
            raise ValueError("returned NaN, which is no score; return None where the function does not apply")
        if not low - 1e-9 <= number <= high + 1e-9:
            raise ValueError(
                f"returned {number:g}, outside {low:g}..{high:g}; declare it: @reward(..., range=(low, high))"
            )
        return Score(min(1.0, max(0.0, (number - low) / (high - low))), reason, parts)

    def __reduce__(self) -> tuple[Any, ...]:
        if "<locals>" in self.plain.__qualname__:
            raise pickle.PicklingError(f"'{self.name}' is defined inside a function; move it to the top of its module")
        return _rebuild, (self.plain.__module__, self.plain.__qualname__)


class _Awaited(DecoratedReward):
    async def __call__(self, example: Example, completion: Completion) -> Score:  # type: ignore[override]
        return cast(Score, self.read(await self.plain(**self.bind(example, completion))))


class _Together(DecoratedReward):
    def __call__(self, example: Example, completion: Completion) -> Score:
        import asyncio

        scores = self.score_together([(example, completion)])
        if isinstance(scores, Awaitable):
            scores = asyncio.run(cast(Any, scores))
        return cast(Score, scores[0])

    def score_together(self, pairs: Sequence[Pair]) -> Any:
        returned = self.plain(**self.bind_many(pairs))
        return (
            self._read_later(returned, len(pairs))
            if inspect.isawaitable(returned)
            else self._read_all(returned, len(pairs))
        )

    async def _read_later(self, returned: Awaitable[Any], count: int) -> list[Score | None]:
        return self._read_all(await returned, count)

    def _read_all(self, returned: Any, count: int) -> list[Score | None]:
        values = returned.tolist() if hasattr(returned, "tolist") else returned
        if not isinstance(values, list | tuple) or len(values) != count:
            said = f"{len(values)} values" if isinstance(values, list | tuple) else type(returned).__name__
            raise WrongCount(f"returned {said} for {count} completions; return a list with one for each")
        return [self.read(value) for value in values]


@overload
def reward(name: Function) -> Function: ...


@overload
def reward(
    name: str | None = None,
    *,
    version: str = ...,
    tasks: Sequence[str] = ...,
    batch: bool = ...,
    group: bool = ...,
    range: tuple[float, float] = ...,
    judges_content: bool = ...,
) -> Callable[[Function], Function]: ...


def reward(
    name: str | Callable[..., Any] | None = None,
    *,
    version: str = "1",
    tasks: Sequence[str] = (),
    batch: bool = False,
    group: bool = False,
    range: tuple[float, float] = (0.0, 1.0),
    judges_content: bool = True,
) -> Any:
    """Make a reward function of a plain one, which stays what it was: call it, test it, set a breakpoint in it.

    The function names what it wants to see: `text`, `answer` (the text without its reasoning), `completion`, `extraction`
    (the JSON in the text), `truncated`; `example`, `prompt` (messages), `reference`, `task`, `id`, `columns`; any other name
    is a column of the row, and `**columns` takes all of them. It returns a number, a `Score`, None where it does not
    apply, or `(number, "why")`; it may be `async`.

    `batch`: it gets lists (`texts`, `references`, ...) and returns a list. `group`: the same with all the answers to one
    prompt, and what they share (`reference`, a column) once. `range`: the lowest and highest number it returns, made 0..1.
    `judges_content`: False where the reference itself need not earn 1, as for style or length. Raises UserError where that
    does not fit together.
    """
    if callable(name):
        return _decorate(name, name.__name__, version, tasks, "", range, judges_content)
    together = "group" if group else "batch" if batch else ""

    def decorate(function: Function) -> Function:
        return _decorate(function, name or function.__name__, version, tasks, together, range, judges_content)

    return decorate


def as_class(given: Any) -> Any:
    """The class behind a decorated function; anything else is returned unchanged."""
    return getattr(given, "reward_class", given)


def as_function(given: Any) -> Any:
    """The reward function behind a decorated function; anything else is returned unchanged."""
    return given.reward_class() if hasattr(given, "reward_class") else given


def find_decorated(module: Any) -> list[Any]:
    """The decorated functions defined in a module or its submodules, in order of definition."""
    own = module.__name__
    return [
        each
        for each in vars(module).values()
        if inspect.isfunction(each)
        and hasattr(each, "reward_class")
        and (each.__module__ == own or each.__module__.startswith(f"{own}."))
    ]


def _decorate(
    function: Function,
    name: str,
    version: str,
    tasks: Sequence[str],
    together: str,
    scale: tuple[float, float],
    judges_content: bool,
) -> Function:
    parameters = inspect.signature(function).parameters.values()
    _check(name, parameters, together, scale, tasks)
    takes_columns = any(each.kind is each.VAR_KEYWORD for each in parameters)
    wanted = tuple(
        _Parameter(each.name, each.default)
        for each in parameters
        if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    )
    base = _Together if together else _Awaited if inspect.iscoroutinefunction(function) else DecoratedReward
    values = {
        "name": name, "version": str(version), "tasks": (tasks,) if isinstance(tasks, str) else tuple(tasks),
        "judges_content": judges_content, "together": together, "plain": staticmethod(function),
        "scale": (float(scale[0]), float(scale[1])), "wanted": wanted, "takes_columns": takes_columns,
    }  # fmt: skip
    made = type(
        function.__name__,
        (base,),
        {
            **values,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
            "__doc__": inspect.getdoc(function) or "",
            "__annotations__": dict.fromkeys(values, ClassVar[Any]),
        },
    )
    cast(Any, function).reward_class = made
    return function


def _check(name: str, parameters: Any, together: str, scale: tuple[float, float], tasks: Any) -> None:
    where = f"@reward({name!r})"
    problems = []
    for each in parameters:
        if each.kind is each.VAR_POSITIONAL or each.kind is each.POSITIONAL_ONLY:
            problems.append(
                f"{where}: parameter '{each.name}' has no name to be given by; name what it wants, such as text"
            )
        elif together and each.kind is each.VAR_KEYWORD:
            problems.append(f"{where}: **{each.name} works for one completion; name the columns that it reads")
        elif (together == "batch" and each.name in _KNOWN and each.name != "columns") or (
            together == "group" and each.name in _OF_COMPLETION
        ):
            plural = next((many for many, one in _PLURALS.items() if one == each.name), "completions")
            problems.append(f"{where}: it gets several completions; name the parameter {plural}, not {each.name}")
        elif not together and each.name in _PLURALS and _PLURALS[each.name] in _OF_COMPLETION:
            problems.append(
                f"{where}: parameter '{each.name}' is for batch=True or group=True; one completion is {_PLURALS[each.name]}"
            )
    if not (isinstance(scale, tuple | list) and len(scale) == 2 and float(scale[0]) < float(scale[1])):
        problems.append(f"{where}: range is {scale!r}; give (lowest, highest)")
    if not isinstance(tasks, str | list | tuple | set | frozenset):
        problems.append(f"{where}: tasks is {tasks!r}; give a list of task names")
    if problems:
        raise UserError(problems)


def _is_column(name: str) -> bool:
    return name not in _KNOWN and name not in _PLURALS


def _read(name: str, default: Any, example: Example, completion: Completion) -> Any:
    if name in _OF_EXAMPLE:
        return _OF_EXAMPLE[name](example)
    if name in _OF_COMPLETION:
        return _OF_COMPLETION[name](completion)
    if name in example.columns or default is inspect.Parameter.empty:
        return example.columns[name]
    return default


def _rebuild(module: str, name: str) -> Any:
    found = partial(getattr, sys.modules[module] if module in sys.modules else import_module(module))
    return found(name).reward_class()
