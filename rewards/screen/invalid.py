"""What pydantic refused, as lines a person can act on: where, what, what is allowed, what to do. Nothing else reads its errors."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Protocol

from pydantic import BaseModel

from rewards import limits
from rewards.screen.allowed import ANYTHING, Schema, describe, hint, leaves_of, options_of, resolve, show_value

KeyPath = tuple[str | int, ...]
_OF_THE_WHOLE = ("value_error", "assertion_error", "missing")


class RefusedInput(Protocol):
    """pydantic's ValidationError, or FastAPI's of a request."""

    def errors(self) -> Iterable[Any]: ...


def explain(
    error: RefusedInput,
    model: type[BaseModel] | None,
    place: Callable[[KeyPath], str],
    *,
    at: Callable[[KeyPath], str] = lambda path: "",
    key: str = "key",
    advise: Callable[[KeyPath], str | None] = lambda path: None,
    alone: bool = False,
    most: int = limits.CONFIG_PROBLEMS,
) -> list[str]:
    """One line for each wrong key, in the order in which pydantic found them, and one for those beyond `most`.

    `model` is what was asked for; None where nobody knows, and then pydantic's own words are used. `place` says how a line
    begins, for a path of keys (empty: the whole), `at` what stands behind the fault, such as a line's number. `key` is what
    a key is called here, and `advise` may know what to write in place of one that does not exist. With `alone` only what is
    wrong whatever stands beside it.
    """
    root = _schema_of(model)
    by_path: dict[KeyPath, list[Mapping[str, Any]]] = {}
    for fault in error.errors():
        if alone and fault["type"] in _OF_THE_WHOLE:
            continue
        location = fault["loc"][1:] if fault["loc"][:1] == ("body",) else fault["loc"]
        path = tuple(location)
        if root is not None:
            path, _ = _follow(root, location)
            if fault["type"] in ("extra_forbidden", "missing"):
                path = (*path[: len(location) - 1], location[-1])
        by_path.setdefault(path, []).append(fault)
    # Of a union the alternative that was meant is the one that was read furthest.
    above = {path[:length] for path in by_path for length in range(len(path))}
    for path in [path for path in by_path if path in above]:
        if root is not None and len(options_of(_follow(root, path)[1], root)) > 1:
            del by_path[path]
    lines = []
    for path, faults in islice(by_path.items(), most):
        told = (
            _tell_plainly(faults[0], key, show=model is not None)
            if root is None
            else _tell(root, path, faults, key, advise)
        )
        lines.append(f"{place(path)}: {told[0]}{at(path)}{told[1]}")
    if len(by_path) > most:
        lines.append(f"{place(())}: and {len(by_path) - most} more {key.partition(' ')[0]}s are wrong")
    return lines


def explain_flags(error: RefusedInput, model: type[BaseModel]) -> list[str]:
    """The same where each key is an option of the command line: `--held-out-rows: ...`."""
    return explain(error, model, lambda path: f"--{show_path(path).replace('_', '-')}")


def show_path(path: KeyPath) -> str:
    """`("rewards", "functions", 0, "name")` as `rewards.functions[0].name`; empty as `the file`."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else str(part)
    # One problem is one line, whatever the key holds.
    return shown.replace("\n", "\\n").replace("\r", "\\r") or "the file"


def _schema_of(model: type[BaseModel] | None) -> Schema | None:
    try:
        return None if model is None else model.model_json_schema()
    except Exception:  # an option whose type has no JSON Schema, such as one of a plugin's own
        return None


Told = tuple[str, str]
"""The fault, and the end of the line: what is allowed, or what to do."""


def _tell(
    root: Schema, path: KeyPath, faults: list[Mapping[str, Any]], key: str, advise: Callable[[KeyPath], str | None]
) -> Told:
    fault = faults[0]
    if fault["type"] == "extra_forbidden":
        _, parent = _follow(root, path[:-1])
        return f"no such {key}", f"; {_suggest(root, parent, path, advise)}"
    _, schema = _follow(root, path)
    allowed = describe(schema, root)
    if fault["type"] == "missing":
        return "is missing", f"; write {allowed}"
    if (len(faults) == 1 and fault["type"] in ("value_error", "assertion_error")) or allowed == ANYTHING:
        return _tell_plainly(fault, key, show=True)
    refused = f"{show_value(fault['input'])} is not allowed"
    if fault["type"] == "string_pattern_mismatch" and schema.get("description"):
        return refused, f"; {schema['description']}"
    return refused, f"; allowed: {allowed}{hint(fault['input'], schema, root)}"


def _tell_plainly(fault: Mapping[str, Any], key: str, *, show: bool) -> Told:
    """A fault in pydantic's own words; those of a validator of ours are ours. What came over a wire is not shown again."""
    message = str(fault["msg"])
    if fault["type"] in ("value_error", "assertion_error"):
        return message.partition(", ")[2] or message, ""
    if fault["type"] == "json_invalid":
        return f"not JSON: {(fault.get('ctx') or {}).get('error', message)}", ""
    if fault["type"] == "missing":
        return f"this {key} is missing", ""
    if fault["type"] == "extra_forbidden":
        return f"no such {key}", ""
    message = message[:1].lower() + message[1:]
    return (f"{show_value(fault.get('input'))} is not allowed", f"; {message}") if show else (message, "")


def _suggest(root: Schema, parent: Schema, path: KeyPath, advise: Callable[[KeyPath], str | None]) -> str:
    key = str(path[-1])
    siblings = [name for option in options_of(parent, root) for name in option.get("properties", {})]
    near = difflib.get_close_matches(key, siblings, n=1, cutoff=0.6)
    leaves = dict(leaves_of(root, root))
    elsewhere = [shown for shown, name in leaves.items() if name == key]
    # A name that is known is not a slip of the pen: TRL's `adam_epsilon` does not mean `epsilon`.
    if (len(path) > 1 or not elsewhere) and (advice := advise(path)) is not None:
        return advice
    if near:
        return f"did you mean {near[0]}?"
    if not elsewhere:
        twin = difflib.get_close_matches(key, sorted(set(leaves.values())), n=1, cutoff=0.8)
        elsewhere = [shown for shown, name in leaves.items() if twin and name == twin[0]]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere[:3])}?"
    return f"allowed: {', '.join(siblings)}" if siblings else "remove it"


def _follow(root: Schema, location: tuple[str | int, ...]) -> tuple[KeyPath, Schema]:
    """The part of pydantic's location that is keys of the config, without the tags of unions, and its schema."""
    node, path = root, []
    for part in location:
        following = None
        for option in options_of(node, root):
            if isinstance(part, int):
                following = option.get("items")
            elif part in option.get("properties", {}):
                following = option["properties"][part]
            elif isinstance(option.get("additionalProperties"), dict):
                following = option["additionalProperties"]
            elif option.get("type") == "object" and option.get("additionalProperties") is True:
                following = {}
            if following is not None:
                break
        if following is None:  # the tag of a union's alternative
            continue
        path.append(part)
        node = following
    # A `$ref` may carry a description of its own beside it.
    return tuple(path), {**resolve(node, root), **{key: node[key] for key in ("description",) if key in node}}
