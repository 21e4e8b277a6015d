"""A small tolerant reader of Turtle: a graph as nested objects, whatever its prefixes, layout and order are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rewards.documents.units import name_any_unit

LONGEST = 200_000
"""Characters of a graph that are read; what is longer is not an intent."""
DEEPEST = 24
"""Blank nodes and lists within one another."""

_MOST_BLANKS = 500

_TOKEN = re.compile(
    r"(?P<space>\s++|\#[^\n]*+)"
    r"|<(?P<iri>[^<>\"{}|^`\\\x00-\x20]*+)>"
    r'|"""(?P<long>(?:[^"\\]|\\.|"(?!""))*+)"""'
    r"|'''(?P<long_single>(?:[^'\\]|\\.|'(?!''))*+)'''"
    r'|"(?P<text>(?:[^"\\\n]|\\.)*+)"'
    r"|'(?P<single>(?:[^'\\\n]|\\.)*+)'"
    r"|(?P<mark>\^\^|[;,\[\]()])"
    r"|(?P<word>[^\s;,\[\]()<>\"'#^{}]++)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NAME = re.compile(r"[A-Za-z_][\w-]{0,80}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_DIRECTIVES = ("@prefix", "@base", "prefix", "base")

_Token = tuple[str, str]


class _Broken(Exception):
    """The text is not Turtle."""


def read_turtle(text: str) -> dict[str, Any] | None:
    """The graph of a Turtle text as {subject: {predicate: object or list of objects}}; None where it is none.

    Prefixes are resolved, `a` is "@type", blank nodes are nested objects, those at the top stand in a list under "[]", and
    several objects of a predicate are sorted, so that equal graphs give equal values. A typed number is a number, one typed
    with a unit (`"20"^^quan:ms`) and one quoted twice (`"'12 ms'"`) are texts such as "20 ms". Linear in the text. A
    missing last full stop or closing bracket is forgiven, and so are prefixes that nobody declared.
    """
    if len(text) > LONGEST or ":" not in text:
        return None
    try:
        return _Parser(_split(text)).read()
    except _Broken:
        return None


def _split(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            # What no token starts with ends the reading: going on behind it could take quadratic time.
            raise _Broken
        at = match.end()
        kind = match.lastgroup or ""
        written = match[kind]
        if kind == "space":
            continue
        if kind == "word":
            name = written.rstrip(".")
            if name:
                tokens.append(("word", name))
            if name != written:
                tokens.append(("mark", "."))
        elif kind == "mark" or kind == "iri":
            tokens.append((kind, written))
        else:
            tokens.append(("text", _unescape(written)))
    return tokens


def _unescape(written: str) -> str:
    return _ESCAPE.sub(_replace_escape, written) if "\\" in written else written


def _replace_escape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number < 0x110000 else "\ufffd"
    return _ESCAPES.get(code, code)


class _Parser:
    def __init__(self, tokens: list[_Token]):
        self.tokens = tokens
        self.at = 0
        self.prefixes: dict[str, str] = {}
        self.subjects: dict[str, dict[str, list[Any]]] = {}
        self.unnamed: list[Any] = []

    def read(self) -> dict[str, Any]:
        while self.at < len(self.tokens):
            if not self._read_directive():
                self._read_statement()
        if not self.subjects and not self.unnamed:
            raise _Broken
        graph: dict[str, Any] = {name: close_objects(members) for name, members in self.subjects.items()}
        if self.unnamed:
            graph["[]"] = sort_objects(self.unnamed)
        return inline_blanks(graph)

    def _peek(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def _take(self) -> _Token:
        token = self._peek()
        self.at += 1
        return token

    def _skip(self, mark: str) -> bool:
        if self._peek() == ("mark", mark):
            self.at += 1
            return True
        return False

    def _read_directive(self) -> bool:
        kind, written = self._peek()
        if kind != "word" or written.lower() not in _DIRECTIVES:
            return False
        self.at += 1
        if written.lower().endswith("prefix"):
            kind, name = self._take()
            if kind != "word" or not name.endswith(":"):
                raise _Broken
        else:
            name = ":"
        kind, iri = self._take()
        if kind != "iri":
            raise _Broken
        if written.lower().endswith("prefix"):
            self.prefixes[name[:-1]] = iri
        self._skip(".")
        return True

    def _read_statement(self) -> None:
        if self._peek() == ("mark", "["):
            self.at += 1
            node = self._read_members("]", 1)
            if self._peek()[0] in ("word", "iri"):
                for predicate, objects in self._read_members(".", 1).items():
                    node.setdefault(predicate, []).extend(objects)
            else:
                self._end()
            if node:
                self.unnamed.append(close_objects(node))
            return
        kind, written = self._take()
        if kind not in ("word", "iri") or (kind == "word" and ":" not in written):
            raise _Broken
        members = self._read_members(".", 1)
        if not members:
            raise _Broken
        known = self.subjects.setdefault(self._resolve(kind, written), {})
        for predicate, objects in members.items():
            known.setdefault(predicate, []).extend(objects)

    def _end(self) -> None:
        if not self._skip(".") and self.at < len(self.tokens):
            raise _Broken

    def _read_members(self, closer: str, depth: int) -> dict[str, list[Any]]:
        """Predicates and objects up to the closing mark, which the end of the text may stand for."""
        if depth > DEEPEST:
            raise _Broken
        members: dict[str, list[Any]] = {}
        while True:
            while self._skip(";"):
                pass
            if self._skip(closer) or self.at >= len(self.tokens):
                return members
            kind, written = self._take()
            if kind == "word" and written == "a":
                predicate = "@type"
            elif kind == "iri" or (kind == "word" and ":" in written):
                predicate = self._resolve(kind, written)
            elif kind == "word" and _NAME.fullmatch(written):
                predicate = written  # TM Forum's own examples leave a prefix out: `intersectWith [ ... ]`
            else:
                raise _Broken
            objects = members.setdefault(predicate, [])
            objects.append(self._read_object(depth))
            while self._skip(","):
                objects.append(self._read_object(depth))
            kind, written = self._peek()
            if kind != "end" and (kind, written) not in (("mark", ";"), ("mark", closer)):
                raise _Broken

    def _read_object(self, depth: int) -> Any:
        kind, written = self._take()
        if kind == "mark" and written == "[":
            return close_objects(self._read_members("]", depth + 1))
        if kind == "mark" and written == "(":
            if depth >= DEEPEST:
                raise _Broken
            items: list[Any] = []
            while not self._skip(")") and self.at < len(self.tokens):
                items.append(self._read_object(depth + 1))
            return {"@list": items}
        if kind == "text":
            return self._read_literal(written)
        if kind == "iri":
            return self._resolve(kind, written)
        if kind != "word":
            raise _Broken
        if self._peek() == ("mark", "^^"):
            # TM Forum's own examples leave the quotes out: `date_to_be_generated^^xsd:dateTime`, `5^^xsd:integer`.
            return self._read_literal(written)
        if written in ("true", "false"):
            return written == "true"
        if _NUMBER.fullmatch(written):
            return _as_number(written)
        if ":" not in written:
            raise _Broken
        return self._resolve(kind, written)

    def _read_literal(self, text: str) -> Any:
        inner = text.strip()
        if len(inner) > 1 and inner[0] == inner[-1] == "'":
            text = inner[1:-1].strip()
        kind, written = self._peek()
        if kind == "word" and written.startswith("@") and written.lower() not in _DIRECTIVES:
            self.at += 1
        elif self._skip("^^"):
            kind, written = self._take()
            if kind not in ("word", "iri"):
                raise _Broken
            datatype = re.split(r"[#/:]", written)[-1]
            number = text.strip()
            if _NUMBER.fullmatch(number):
                if name_any_unit(datatype) is not None:
                    return f"{number} {datatype}"
                return _as_number(number)
            if datatype == "boolean" and number in ("true", "false"):
                return number == "true"
        return text

    def _resolve(self, kind: str, written: str) -> str:
        if kind == "iri":
            return written
        prefix, _, name = written.partition(":")
        known = self.prefixes.get(prefix)
        return written if known is None else f"{known}{name}"


def _as_number(written: str) -> int | float | str:
    if written.lstrip("+-").isdigit():
        return int(written) if len(written) < 300 else written
    return float(written)


def order_key(value: Any) -> str:
    """What values of one place are sorted by."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def sort_objects(items: list[Any]) -> list[Any]:
    """Objects of one predicate in one order, each once."""
    if len(items) < 2:
        return items
    keyed = {order_key(item): item for item in items}
    return [keyed[key] for key in sorted(keyed)]


def close_objects(members: Mapping[str, list[Any]]) -> dict[str, Any]:
    """A node's predicates, each with its one object or its list of them."""
    closed = {}
    for predicate, objects in members.items():
        objects = sort_objects(objects)
        closed[predicate] = objects[0] if len(objects) == 1 else objects
    return closed


def inline_blanks(graph: dict[str, Any]) -> dict[str, Any]:
    """Blank nodes with a label, such as `_:b1`, in the place that names them, if it is the only one; others stay."""
    blanks = {name for name in graph if name.startswith("_:")}
    if not blanks or len(blanks) > _MOST_BLANKS:
        return graph
    places: dict[str, list[tuple[str, Any, Any]]] = {name: [] for name in blanks}
    for owner, members in graph.items():
        stack: list[Any] = [members]
        while stack:
            node = stack.pop()
            for at, item in list(node.items() if isinstance(node, dict) else enumerate(node)):
                if isinstance(item, (dict, list)):
                    stack.append(item)
                elif isinstance(item, str) and item in blanks:
                    places[item].append((owner, node, at))
    moved: dict[str, str] = {}
    for name in sorted(blanks):
        if len(places[name]) == 1 and _may_move(name, places[name][0][0], moved):
            owner, node, at = places[name][0]
            node[at] = graph[name]
            moved[name] = owner
    return {name: sort_sets(members) for name, members in graph.items() if name not in moved}


def _may_move(name: str, owner: str, moved: Mapping[str, str]) -> bool:
    """Whether a node may stand within another: not within itself, and not too deep."""
    for _ in range(DEEPEST):
        if owner == name:
            return False
        if owner not in moved:
            return True
        owner = moved[owner]
    return False


def sort_sets(value: Any) -> Any:
    """A copy with every list sorted, but for those under "@list", whose order means something."""
    if isinstance(value, dict):
        return {
            key: [sort_sets(item) for item in child] if key == "@list" and isinstance(child, list) else sort_sets(child)
            for key, child in value.items()
        }
    return sort_objects([sort_sets(item) for item in value]) if isinstance(value, list) else value
