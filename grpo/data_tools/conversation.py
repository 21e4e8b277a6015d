"""A record as turns, cheaply and whatever its form, for counting and filtering; the strict reader is rewards/rows.py."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from rewards.row_forms.columns import unify_form
from rewards.row_forms.conversations import TOOL_COLUMNS, tell_tools

_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"\b[A-ZÀ-Ý][\w'-]*|\"[^\"]*\"|'[^']*'")
TEMPLATE = "@template"
"""The column that every record has: its prompt with numbers and names left out."""


class Dialogue(NamedTuple):
    """Roles and texts of a record, the answer last; empty where it has no form that is known."""

    roles: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The last assistant turn, or an empty text."""
        return self.texts[-1] if self.roles and self.roles[-1] == "assistant" else ""

    @property
    def asked(self) -> str:
        """Everything before the answer but what the system says."""
        end = -1 if self.roles and self.roles[-1] == "assistant" else None
        pairs = zip(self.roles[:end], self.texts[:end], strict=True)
        return "\n".join(text for role, text in pairs if role != "system")


def read_dialogue(values: Mapping[str, Any]) -> Dialogue:
    """The turns of a record; content that is not text counts as empty, tool calls as their JSON."""
    if "chosen" in values or ("messages" not in values and "conversations" not in values):
        values = unify_form(dict(values))
    turns = values.get("messages") or values.get("conversations")
    if turns is None and isinstance(values.get("prompt"), list):
        reference = values.get("reference")
        turns = [*values["prompt"], *([{"role": "assistant", "content": reference}] if reference is not None else [])]
    if not isinstance(turns, list):
        return Dialogue((), ())
    roles, texts = [], []
    for turn in turns:
        if not isinstance(turn, dict):
            return Dialogue((), ())
        role = turn.get("role") or turn.get("from") or ""
        content = turn.get("content", turn.get("value"))
        if not isinstance(content, str):
            content = orjson.dumps(content).decode() if content else ""
        if turn.get("tool_calls"):
            content += orjson.dumps(turn["tool_calls"]).decode()
        roles.append(_ROLES.get(role, role) if isinstance(role, str) else "")
        texts.append(content)
    return Dialogue(tuple(roles), tuple(texts))


def told_tools(values: Mapping[str, Any], dialogue: Dialogue) -> str:
    """What a run adds to the system turn for the functions that a row lists; an empty text where it adds nothing."""
    if not any(values.get(name) for name in TOOL_COLUMNS):
        return ""
    system = dialogue.texts[0] if dialogue.roles[:1] == ("system",) else ""
    turns = tell_tools([{"role": "system", "content": system}] if system else [], values, "", [])
    return turns[0]["content"][len(system) :] if turns else ""


def read_column(values: Mapping[str, Any], column: str) -> Any:
    """A column by name, also below `columns`; `@template` is the prompt with its numbers and names masked."""
    if column == TEMPLATE:
        return template_of(read_dialogue(values).asked)
    if column in values:
        return values[column]
    below = values.get("columns")
    return below.get(column) if isinstance(below, dict) else None


def spell(value: Any) -> str:
    """A column's value as a command line names it: JSON's true, false and null, else its text."""
    if type(value) is str:
        return value
    return _SPELT[value] if value is None or isinstance(value, bool) else str(value)


_SPELT = {None: "null", True: "true", False: "false"}


def template_of(text: str) -> str:
    """A text with names, quoted words and numbers masked: rows that one phrasing wrote have one template."""
    return " ".join(_NUMBER.sub("#", _NAME.sub("*", text)).split())


def fingerprint(*texts: str) -> int:
    """64 bits of texts, folded to lower case and single spaces."""
    folded = "\x00".join(" ".join(text.casefold().split()) for text in texts)
    return int.from_bytes(hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def share_of(seed: int, key: str) -> float:
    """A number in 0..1 that follows from the seed and the key alone: a row's place in a split needs no memory."""
    digest = hashlib.blake2b(f"{seed}\x00{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def structure_of(text: str) -> str | None:
    """The shape of JSON text: its keys, sorted, with the kinds of their values; None where it is not a JSON object or list."""
    try:
        value = orjson.loads(text)
    except ValueError:
        return None
    return _shape(value) if isinstance(value, dict | list) else None


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        kinds = tuple([_KINDS.get(type(item)) or _shape(item) for item in value.values()])
        form = (tuple(value), kinds)
        known = _shapes.get(form)
        if known is None:
            known = "{" + ",".join([f"{key}:{kind}" for key, kind in sorted(zip(*form, strict=True))]) + "}"
            if len(_shapes) < _REMEMBERED and len(known) <= _LONGEST_REMEMBERED:
                _shapes[form] = known
        return known
    return "[" + "|".join(sorted({_KINDS.get(type(item)) or _shape(item) for item in value})) + "]"


_KINDS = {str: "s", bool: "b", int: "n", float: "n", type(None): "null"}
_REMEMBERED, _LONGEST_REMEMBERED = 4096, 4096
"""Shapes that are remembered, and the characters of the longest of them: rows of one kind are shaped once, whatever rows come."""
_shapes: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}
