"""What a reward function class must keep to, checked before a run rather than found out in it."""

from __future__ import annotations

import pickle
import re
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError

from rewards.errors import RecompensaError
from rewards.types import RewardFunction
from rewards.writing.writable import clean_message

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_MUTABLE = (list, dict, set, bytearray)


def check_class(function: Any) -> list[str]:
    """What breaks the contract in a reward function class, one line each."""
    if not (isinstance(function, type) and issubclass(function, RewardFunction)):
        return [f"registered {function!r}, which is not a subclass of rewards.types.RewardFunction"]
    where = function.__qualname__
    problems = []
    name = getattr(function, "name", None)
    if not isinstance(name, str) or not _NAME.match(name):
        problems.append(f"{where}.name: {name!r}; set a name of lower-case letters, digits and underscores")
    version = getattr(function, "version", None)
    if not isinstance(version, str) or not version.strip():
        problems.append(f"{where}.version: {version!r}; set a version such as '1', and raise it when scores may change")
    if not isinstance(function.tasks, tuple) or not all(isinstance(task, str) for task in function.tasks):
        problems.append(f"{where}.tasks: {function.tasks!r}; set a tuple of task names, () for all")
    if not function.model_config.get("frozen") or function.model_config.get("extra") != "forbid":
        problems.append(f"{where}.model_config: must keep frozen=True and extra='forbid'")
    if function.__call__ is RewardFunction.__call__:
        problems.append(f"{where}: define __call__(self, example, completion) -> Score")
    for option, info in function.model_fields.items():
        mutable = _find_mutable(info.annotation)
        if mutable:
            problems.append(
                f"{where}.{option}: {mutable.__name__} can be changed after the start; "
                "use tuple, frozenset or rewards.types.FrozenMapping"
            )
    if not problems and not any(info.is_required() for info in function.model_fields.values()):
        try:
            problems.extend(check_instance(function()))
        except ValidationError as error:
            problems.append(f"{where}: its own defaults are invalid: {describe_error(error)}")
    return problems


def check_instance(function: RewardFunction) -> list[str]:
    """Whether a function with these options can be shared and sent to another process, one line a problem."""
    where = type(function).__qualname__
    problems = []
    for option in type(function).model_fields:
        try:
            hash(getattr(function, option))
        except TypeError:
            problems.append(
                f"{where}.{option}: its value can be changed; use tuple, frozenset or rewards.types.FrozenMapping"
            )
    try:
        pickle.dumps(function)
    except Exception as error:
        problems.append(f"{where}: cannot be pickled ({describe_error(error)}); options must be plain values")
    return problems


def _find_mutable(annotation: Any) -> type | None:
    origin = get_origin(annotation) or annotation
    if origin in _MUTABLE:
        return origin
    if origin in (Union, UnionType) or get_args(annotation):
        for argument in get_args(annotation):
            if found := _find_mutable(argument):
                return found
    return None


def describe_error(error: BaseException) -> str:
    """An exception as one short line: its type and the first line of its message; ours says it all without a type."""
    message = " ".join(clean_message(error, 300).split())
    if isinstance(error, RecompensaError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
