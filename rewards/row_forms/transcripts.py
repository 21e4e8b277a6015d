"""Conversations that a data set keeps as one text, Glaive's, and words with a tag each, as sets of named entities have them."""

from __future__ import annotations

import json
import re
from typing import Any

_SPEAKER = re.compile(r"(?:\A|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE): ?")
_ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
_END = "<|endoftext|>"
_CALL = "<functioncall>"
_CALLED = re.compile(r"""\{\s*"name":\s*"([^"]+)",\s*"arguments":\s*'(.*)'\s*\}""", re.DOTALL)
TOKENS = ("tokens", "words")
TAGS = ("ner_tags", "ner", "tags", "labels")
_TAG = re.compile(r"(?:O|[BIESLU][-_](.+))")
_SPACED = re.compile(r" ([.,;:!?)\]%])")


def unify_transcript(row: dict[str, Any]) -> dict[str, Any]:
    """Glaive's `system` and `chat` as `messages`, its calls as calls; the row as it is where it is none of these."""
    text = row.get("chat")
    if not isinstance(text, str) or (found := _split(text)) is None:
        return row
    system = row.get("system")
    told = system.removeprefix("SYSTEM:").strip() if isinstance(system, str) else ""
    turns = [{"role": "system", "content": told}] if told else []
    return {**{key: value for key, value in row.items() if key not in ("system", "chat")}, "messages": [*turns, *found]}


def unify_tags(row: dict[str, Any]) -> dict[str, Any]:
    """Words with IOB tags as a question of their text and a JSON object of what was found by kind; else the row as it is."""
    words = next((row[name] for name in TOKENS if isinstance(row.get(name), list)), None)
    tags = next((row[name] for name in TAGS if isinstance(row.get(name), list)), None)
    if not words or tags is None or len(words) != len(tags) or "prompt" in row or "messages" in row:
        return row
    if not all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in tags) or not all(map(_is_text, words)):
        return row
    found: dict[str, list[str]] = {}
    for kind, span in _join_tagged(words, tags):
        found.setdefault(kind, []).append(span)
    answer = json.dumps(found, ensure_ascii=False)
    kept = {key: value for key, value in row.items() if key not in (*TOKENS, *TAGS)}
    return {**kept, "text": _write(words), "entities": answer}


def _split(text: str) -> list[dict[str, Any]] | None:
    """The turns up to the last answer of the assistant; None where the text has no question and answer."""
    marks = list(_SPEAKER.finditer(text))
    turns: list[dict[str, Any]] = []
    ends = [mark.start() for mark in marks[1:]] + [len(text)] * bool(marks)
    for mark, end in zip(marks, ends, strict=True):
        said = text[mark.end() : end].replace(_END, "").strip()
        turns.append(_make_turn(_ROLES[mark[1]], said))
    while turns and turns[-1]["role"] != "assistant":
        turns.pop()
    return turns if len(turns) > 1 and turns[0]["role"] == "user" else None


def _make_turn(role: str, said: str) -> dict[str, Any]:
    if role != "assistant" or _CALL not in said:
        return {"role": role, "content": said}
    before, _, written = said.partition(_CALL)
    call = _CALLED.search(written)
    try:
        value = {"name": call[1], "arguments": json.loads(call[2])} if call else json.loads(written)
    except (ValueError, RecursionError):
        return {"role": role, "content": said}
    return {"role": role, "content": before.strip() or None, "tool_calls": [value]}


def _is_text(word: Any) -> bool:
    return isinstance(word, str)


def _join_tagged(words: list[str], tags: list[str]) -> list[tuple[str, str]]:
    """Kind and text of each entity; an inside tag that nothing of its kind comes before begins one."""
    found: list[tuple[str, list[str]]] = []
    before = ""
    for word, tag in zip(words, tags, strict=True):
        kind = tag[2:] if tag != "O" else ""
        if kind:
            if tag[0] in "IEL" and kind == before:
                found[-1][1].append(word)
            else:
                found.append((kind, [word]))
        before = kind if tag[0] in "BI" else ""
    return [(kind, _write(span)) for kind, span in found]


def _write(words: list[str]) -> str:
    return _SPACED.sub(r"\1", " ".join(words)).replace("( ", "(")
