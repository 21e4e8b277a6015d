"""A JSON Schema inferred from right answers: as narrow as they give evidence for, and every one of them keeps it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

_ENOUGH = 20
"""Values of a field from which their common form is taken for a rule."""

_MOST_CHOICES, _SEEN_EACH, _LONGEST_CHOICE = 12, 4, 40
_FEW_CHOICES = 4
_MOST_KEYS = 60
_DEEPEST = 40
# Forms that a text either has or has not; looser ones (names, numbers in texts) would refuse right answers to come.
PATTERNS = {
    "date": r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
    "date-time": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?$",
    "time": r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$",
    "email": r"^[^@\s]+@[^@\s]+[.][^@\s]+$",
    "uuid": r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    "uri": r"^[a-z][a-z0-9+.-]*://\S+$",
}
_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def infer_schema(values: Sequence[Any], copied: Collection[str] = (), title: str = "answer") -> dict[str, Any]:
    """A schema that all the values keep. A key that all objects have is required; keys beyond those seen are refused where
    enough objects agree on theirs; few different texts are an enumeration; a null seen anywhere stays allowed.

    `copied` are fields (dotted paths, lists as `[]`) whose texts stand in the prompts: names among those are not an enumeration.
    """
    found = _infer(list(values), 0, "", frozenset(copied))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **found}


def _infer(values: list[Any], depth: int, path: str, copied: frozenset[str]) -> dict[str, Any]:
    kinds = {_NAMES[type(value)] for value in values}
    if not kinds or depth > _DEEPEST:
        return {}
    if {"integer", "number"} <= kinds:
        kinds.discard("integer")
    nullable = "null" in kinds
    kinds.discard("null")
    if not kinds:
        return {"type": "null"}
    present = [value for value in values if value is not None]
    if len(kinds) > 1:
        # Where kinds mix, what each may hold is inferred apart.
        if not kinds & {"object", "array"}:
            return {"type": sorted(kinds) + (["null"] if nullable else [])}
        options = [
            _infer([value for value in present if _is(value, kind)], depth, path, copied) for kind in sorted(kinds)
        ]
        return {"anyOf": [*options, {"type": "null"}] if nullable else options}
    kind = kinds.pop()
    schema: dict[str, Any] = {"type": [kind, "null"] if nullable else kind}
    if kind == "object":
        schema |= _infer_object(present, depth, path, copied)
    elif kind == "array":
        schema |= _infer_array(present, depth, path, copied)
    elif kind == "string":
        schema |= _infer_text(present, nullable, path in copied)
    return schema


def _is(value: Any, kind: str) -> bool:
    name = _NAMES[type(value)]
    return name == kind or (kind == "number" and name == "integer")


def _infer_object(objects: list[dict[str, Any]], depth: int, path: str, copied: frozenset[str]) -> dict[str, Any]:
    seen = Counter(key for item in objects for key in item)
    if not seen:
        return {}
    # Keys that hardly ever come twice are data, such as names of products, and not the names of fields.
    if len(seen) > _MOST_KEYS or (
        len(objects) >= _ENOUGH and len(seen) > 8 and 2 * sum(c == 1 for c in seen.values()) > len(seen)
    ):
        return {
            "additionalProperties": _infer(
                [value for item in objects for value in item.values()], depth + 1, f"{path}.*", copied
            )
        }
    found: dict[str, Any] = {
        "properties": {
            key: _infer([item[key] for item in objects if key in item], depth + 1, f"{path}.{key}".lstrip("."), copied)
            for key in seen
        }
    }
    required = [key for key, count in seen.items() if count == len(objects)]
    if required:
        found["required"] = required
    if len(objects) >= _ENOUGH and min(seen.values()) > 1:
        found["additionalProperties"] = False
    return found


def _infer_array(lists: list[list[Any]], depth: int, path: str, copied: frozenset[str]) -> dict[str, Any]:
    items = [item for value in lists for item in value]
    found: dict[str, Any] = {"items": _infer(items, depth + 1, f"{path}[]", copied)} if items else {}
    if len(lists) >= _ENOUGH and all(lists):
        found["minItems"] = 1
    return found


def _infer_text(texts: list[str], nullable: bool, copied: bool) -> dict[str, Any]:
    counts = Counter(texts)
    few = len(counts) <= _MOST_CHOICES and len(texts) >= max(_ENOUGH, _SEEN_EACH * len(counts))
    few = few and min(counts.values()) > 1 and max(map(len, counts)) <= _LONGEST_CHOICE
    if few and not (copied and _are_names(counts)):
        return {"enum": [*sorted(counts), None] if nullable else sorted(counts)}
    if len(texts) >= _ENOUGH:
        for pattern in PATTERNS.values():
            if all(re.search(pattern, text) for text in counts):
                return {"pattern": pattern}
        if all(text.strip() for text in counts):
            return {"minLength": 1}
    return {}


def _are_names(texts: Collection[str]) -> bool:
    """Whether texts that prompts give word for word are names, of which others may come, and not choices such as codes."""
    if all(re.fullmatch(r"[A-Z0-9]{1,5}", text) for text in texts) or len(texts) <= _FEW_CHOICES:
        return False
    return len(texts) > 2 * _FEW_CHOICES or any(" " in text or text[:1].isupper() for text in texts)


def describe_schema(schema: dict[str, Any]) -> str:
    """The schema in a few words: how many fields, how many required, which are enumerations, whether more are refused."""
    inner = schema["items"] if schema.get("type") == "array" and isinstance(schema.get("items"), dict) else schema
    fields = inner.get("properties", {})
    if not fields:
        return f"{schema.get('type', 'any JSON')}"
    said = [
        f"JSON of {len(fields)} field{'s' if len(fields) > 1 else ''}, {len(inner.get('required', []))} always there"
    ]
    enums = [name for name, field in fields.items() if "enum" in field]
    if enums:
        said.append(
            f"{', '.join(enums[:3])}{f' and {len(enums) - 3} more' if len(enums) > 3 else ''} from a short list"
        )
    if inner.get("additionalProperties") is False:
        said.append("no others allowed")
    return "; ".join(said)
