"""The places of a grader's texts: `{{ item.answer }}`, `{{ sample.output_text }}`, `{{ sample.output_json.a.b[0] }}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rewards.writing.writable import to_json

_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_STEP = re.compile(r"\.?([A-Za-z_][\w-]*)|\[(\d+)\]")


class MissingPlace(ValueError):
    """A template names what the row or the sample does not have."""


def fill(template: str, item: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    """The text with its places filled in, in one pass: what is filled in is not read again."""

    def find(found: re.Match[str]) -> str:
        value = look_up(found[1], {"item": item, "sample": sample})
        return value if isinstance(value, str) else to_json(value).decode()

    return _PLACE.sub(find, template)


def look_up(path: str, values: Mapping[str, Any]) -> Any:
    """What a dotted path names; raises MissingPlace."""
    at, found = 0, values
    here: Any = found
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise MissingPlace(f"{{{{ {path} }}}} cannot be read; write item.NAME or sample.output_text")
        try:
            here = here[step[1]] if step[1] is not None else here[int(step[2])]
        except (KeyError, IndexError, TypeError):
            raise MissingPlace(f"{{{{ {path} }}}} is not there") from None
        at = step.end()
    return here


def list_columns(template: str) -> set[str]:
    """The columns of a row that a template names."""
    return {
        parts[1]
        for path in _PLACE.findall(template)
        if (parts := re.split(r"[.\[]", path))[0] == "item" and len(parts) > 1
    }
