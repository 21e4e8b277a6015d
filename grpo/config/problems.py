"""What pydantic found wrong with a config, told as lines a user can act on: where, what, what is allowed, what to do."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

from grpo.config.trl_fields import advise
from grpo.config.yaml_layer import KeyPath, show_path
from rewards import limits

Schema = dict[str, Any]


def explain(
    error: ValidationError,
    model: type[BaseModel],
    locate: Callable[[KeyPath], tuple[str, int | None]],
    *,
    alone: bool = False,
) -> list[str]:
    """One line for each wrong key, in the order of the config; with `alone` only what is wrong whatever stands beside it.

    `locate` tells for a key path which source wrote it (or its nearest parent) and in which line.
    """
    root = model.model_json_schema()
    by_path: dict[KeyPath, list[dict[str, Any]]] = {}
    for fault in error.errors(include_url=False):
        if alone and fault["type"] in ("value_error", "assertion_error", "missing"):
            continue
        path, _ = _follow(root, fault["loc"])
        if fault["type"] in ("extra_forbidden", "missing"):
            path = (*path[: len(fault["loc"]) - 1], fault["loc"][-1])
        by_path.setdefault(path, []).append({**fault})
    lines = []
    for path, faults in islice(by_path.items(), limits.CONFIG_PROBLEMS):
        name, line = locate(path)
        at = f" (line {line})" if line is not None else ""
        lines.append(f"{name}: {show_path(path)}: {_tell(root, path, faults, at)}")
    if len(by_path) > limits.CONFIG_PROBLEMS:
        lines.append(f"{locate(())[0]}: and {len(by_path) - limits.CONFIG_PROBLEMS} more keys are wrong")
    return lines


def describe(schema: Schema, root: Schema) -> str:
    """What a JSON Schema node allows, in words: `a whole number of at least 2`."""
    words: list[str] = []
    for option in _options(schema, root):
        words += [_show(value) for value in option["enum"]] if "enum" in option else [_describe_one(option, root)]
    words = list(dict.fromkeys(words))
    return ", ".join(words[:-1]) + " or " + words[-1] if len(words) > 1 else words[0]


def _describe_one(schema: Schema, root: Schema) -> str:
    if "const" in schema:
        return _show(schema["const"])
    kind = schema.get("type")
    if kind == "boolean":
        return "true or false"
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _describe_range(schema)
    if kind == "array":
        items = schema.get("items", {})
        return (
            f"a list {'that is not empty ' if schema.get('minItems') else ''}whose entries are {describe(items, root)}"
        )
    if kind == "object":
        if "properties" in schema:
            return f"a section with the keys {', '.join(schema['properties'])}"
        return "a mapping of names to values"
    if kind == "string":
        if schema.get("format") == "path":
            return "a path"
        return "a text that is not empty" if schema.get("minLength") else "a text"
    return "null" if kind == "null" else "any value"


def _tell(root: Schema, path: KeyPath, faults: list[dict[str, Any]], at: str) -> str:
    fault = faults[0]
    if fault["type"] == "extra_forbidden":
        _, parent = _follow(root, path[:-1])
        return f"no such key{at}; {_suggest(root, parent, path)}"
    if fault["type"] == "missing":
        return f"is missing{at}; write {describe(_follow(root, path)[1], root)}"
    if len(faults) == 1 and fault["type"] in ("value_error", "assertion_error"):
        return f"{fault['msg'].partition(', ')[2] or fault['msg']}{at}"
    _, schema = _follow(root, path)
    if fault["type"] == "string_pattern_mismatch" and schema.get("description"):
        return f"{_show(fault['input'])} is not allowed{at}; {schema['description']}"
    return f"{_show(fault['input'])} is not allowed{at}; allowed: {describe(schema, root)}{_hint(fault['input'], schema, root)}"


def _suggest(root: Schema, parent: Schema, path: KeyPath) -> str:
    key = str(path[-1])
    siblings = [name for option in _options(parent, root) for name in option.get("properties", {})]
    near = difflib.get_close_matches(key, siblings, n=1, cutoff=0.6)
    leaves = dict(_leaves(root, root))
    elsewhere = [shown for shown, name in leaves.items() if name == key]
    # A name of TRL's is no slip of the pen: `adam_epsilon` does not mean `epsilon`.
    if path[0] in ("grpo", key) and not elsewhere and (advice := advise(key)) is not None:
        return advice
    if near:
        return f"did you mean {near[0]}?"
    if not elsewhere:
        twin = difflib.get_close_matches(key, sorted(set(leaves.values())), n=1, cutoff=0.8)
        elsewhere = [shown for shown, name in leaves.items() if twin and name == twin[0]]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere[:3])}?"
    return f"allowed: {', '.join(siblings)}" if siblings else "remove it"


def _hint(value: Any, schema: Schema, root: Schema) -> str:
    kinds = {option.get("type") for option in _options(schema, root)}
    if isinstance(value, str):
        if "boolean" in kinds and value.lower() in ("yes", "on", "no", "off", "y", "n"):
            return (
                f"; YAML's {value} is a text here, write {'true' if value.lower() in ('yes', 'on', 'y') else 'false'}"
            )
        if "boolean" in kinds and value.lower() in ("true", "false"):
            return "; write it without quotes"
        if kinds & {"integer", "number"}:
            return _hint_number(value, kinds)
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return f"; write {int(value)}"
    return ""


def _hint_number(text: str, kinds: set[str | None]) -> str:
    for cleaned, reason in (
        (text.replace("_", ""), "numbers have no underscores, write {}"),
        (text.replace(",", "."), "numbers have a decimal point, write {}"),
        (text, "write it without quotes"),
    ):
        if cleaned == text and "quotes" not in reason:
            continue
        try:
            number = float(cleaned)
        except ValueError:
            continue
        whole = "number" not in kinds
        if whole and not number.is_integer():
            return ""
        return "; " + reason.format(cleaned)
    return ""


def _describe_range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    bounds = [
        f"{word} {bound}"
        for word, bound in (("of at least", low), ("above", above), ("up to", high), ("below", below))
        if bound is not None
    ]
    return " " + " and ".join(bounds) if bounds else ""


def _follow(root: Schema, location: tuple[str | int, ...]) -> tuple[KeyPath, Schema]:
    """The part of pydantic's location that is keys of the config, without the tags of unions, and its schema."""
    node, path = root, []
    for part in location:
        following = None
        for option in _options(node, root):
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
        if following is None:
            break
        path.append(part)
        node = following
    # A `$ref` may carry a description of its own beside it.
    return tuple(path), {**_resolve(node, root), **{key: node[key] for key in ("description",) if key in node}}


def _options(schema: Schema, root: Schema) -> list[Schema]:
    schema = _resolve(schema, root)
    if "anyOf" not in schema:
        return [schema]
    return [inner for option in schema["anyOf"] for inner in _options(option, root)]


def _resolve(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _leaves(schema: Schema, root: Schema, prefix: str = "") -> Iterator[tuple[str, str]]:
    for option in _options(schema, root):
        for name, inner in option.get("properties", {}).items():
            shown = f"{prefix}.{name}" if prefix else name
            yield shown, name
            yield from _leaves(inner, root, shown)


def _show(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."
