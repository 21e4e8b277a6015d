"""Modules that a reward function imports only when it is called, imported before: no completion's time limit pays for torch."""

from __future__ import annotations

import contextlib
import dis
import importlib
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

from rewards.types import RewardFunction

_MOST = 200
"""Functions that are looked through."""

SECONDS = 30.0
"""After which the first completion no longer waits for them."""


def import_ahead(function: RewardFunction, seconds: float = SECONDS) -> None:
    """Import what `find_imports` names; a module that fails, or takes longer, is the function's own affair when it is called."""
    names = find_imports(function)
    if names:
        worker = threading.Thread(target=_import_all, args=(names,), daemon=True)
        worker.start()
        worker.join(seconds)


def _import_all(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)


def find_imports(function: RewardFunction) -> list[str]:
    """Modules named by import statements inside of a function's methods, and of functions of its module that they call."""
    found: dict[str, None] = {}
    for code in _list_codes(function):
        steps = list(dis.get_instructions(code))
        for at, each in enumerate(steps):
            if each.opname == "IMPORT_NAME":
                # Level and names are the two constants before it: a level above 0 is an import from the own package.
                level = next((back.argval for back in steps[max(0, at - 2) : at] if isinstance(back.argval, int)), 0)
                if level == 0:
                    found[each.argval] = None
    return list(found)


def _list_codes(function: RewardFunction) -> Iterator[CodeType]:
    waiting: list[Any] = []
    for owner in type(function).__mro__:
        if owner is RewardFunction:
            break
        if owner.__module__.partition(".")[0] == "rewards":
            waiting += [value for name, value in vars(owner).items() if name in ("plain", "called")]
        else:
            waiting += vars(owner).values()
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        plain = _unwrap(waiting.pop())
        if plain is None or id(plain) in seen:
            continue
        seen.add(id(plain))
        codes = [plain.__code__]
        while codes:
            code = codes.pop()
            yield code
            codes += [each for each in code.co_consts if isinstance(each, CodeType)]
            for name in code.co_names:
                called = plain.__globals__.get(name)
                if getattr(called, "__module__", None) == plain.__module__:
                    waiting.append(called)


def _unwrap(value: Any) -> FunctionType | None:
    if isinstance(value, staticmethod | classmethod | MethodType):
        value = value.__func__
    inner: Callable[..., Any] | None = getattr(value, "__wrapped__", None) if isinstance(value, FunctionType) else None
    value = inner if isinstance(inner, FunctionType) else value
    return value if isinstance(value, FunctionType) else None
