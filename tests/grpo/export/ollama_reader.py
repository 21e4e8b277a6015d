"""What Ollama does with a Modelfile, written down from its source (commit fb30760): `ParseFile` and `Template.Execute`.

https://github.com/ollama/ollama/blob/fb3076099/parser/parser.go
https://github.com/ollama/ollama/blob/fb3076099/template/template.go

Of Go's template language just what a Modelfile of ours uses is understood; anything else raises ValueError.
"""

from __future__ import annotations

import ast
import re
from typing import Any

COMMANDS = {
    "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", "parameter", "message", "requires",
}  # fmt: skip


def parse_modelfile(text: str) -> list[tuple[str, str]]:
    """Commands and their arguments, `from` and a parameter's own name among them; ValueError where Ollama refuses.

    A value ends at the end of its line, or, where it begins with a quotation mark, at the end of a line that closes it;
    quotation marks are taken off and no escape is read. What does not print is dropped, but for white space within a value.
    """
    commands: list[tuple[str, str]] = []
    lines, at = text.split("\n"), 0
    while at < len(lines):
        line = lines[at].strip(" \t")
        at += 1
        if not line or line.startswith("#"):
            continue
        name, _, value = line.partition(" ")
        if name.lower() not in COMMANDS:
            raise ValueError(f"no command: {name}")
        name = name.lower()
        if name == "parameter":
            name, _, value = value.partition(" ")
            if not re.fullmatch(r"[A-Za-z0-9_]+", name):
                raise ValueError(f"no parameter: {name!r}")
        while (found := _unquote(value.strip())) is None:
            if at == len(lines):
                raise ValueError("unexpected end of file")
            value += "\n" + lines[at]
            at += 1
        commands.append((name, "".join(each for each in found if each.isprintable() or each in "\n\t")))
    if not any(name == "from" for name, _ in commands):
        raise ValueError("no FROM line")
    return commands


def _unquote(value: str) -> str | None:
    for mark in ('"""', '"'):
        if value.startswith(mark):
            closed = len(value) >= 2 * len(mark) and value.endswith(mark)
            return value[len(mark) : -len(mark)] if closed else None
    return value


def collate(messages: list[dict[str, str]]) -> tuple[str, list[dict[str, str]]]:
    """All system texts in one, and the messages with neighbours of one role made one; system turns stay among them."""
    collated: list[dict[str, str]] = []
    for message in messages:
        if collated and collated[-1]["role"] == message["role"]:
            collated[-1]["content"] += "\n\n" + message["content"]
        else:
            collated.append(dict(message))
    return "\n\n".join(each["content"] for each in messages if each["role"] == "system"), collated


def render(template: str, messages: list[dict[str, str]]) -> str:
    """The prompt that Ollama makes of a conversation; ValueError for what Go would not accept, or is not known here."""
    system, collated = collate(messages)
    pieces = re.split(r"\{\{(.*?)\}\}", template, flags=re.DOTALL)
    nodes = [(at % 2 == 1, piece.strip() if at % 2 else piece) for at, piece in enumerate(pieces) if piece]
    tree, rest = _read(nodes)
    if rest:
        raise ValueError(f"unexpected {rest[0][1]}")
    return _write(tree, {"System": system, "Messages": collated})


def _read(nodes: list[tuple[bool, str]]) -> tuple[list[Any], list[tuple[bool, str]]]:
    """A tree of texts, actions, and blocks (what opens them, what is in them, what is in their else); what is left."""
    tree: list[Any] = []
    while nodes:
        is_action, text = nodes[0]
        if is_action and (text == "end" or text.startswith("else")):
            return tree, nodes
        nodes = nodes[1:]
        if is_action and text.startswith(("if ", "range ")):
            inner, nodes = _read(nodes)
            other: list[Any] = []
            if nodes and nodes[0][1] == "else":
                other, nodes = _read(nodes[1:])
            elif nodes and nodes[0][1].startswith("else if "):
                # `else if` shares the `end` of the block that it is in.
                nested, nodes = _read([(True, nodes[0][1].removeprefix("else ")), *nodes[1:]])
                if len(nested) != 1:
                    raise ValueError("not known here: what follows an else if")
                tree.append((text, inner, nested))
                continue
            if not nodes or nodes[0][1] != "end":
                raise ValueError("a block without end")
            nodes = nodes[1:]
            tree.append((text, inner, other))
        else:
            tree.append((text,) if is_action else text)
    return tree, nodes


def _write(tree: list[Any], scope: dict[str, Any]) -> str:
    parts: list[str] = []
    for node in tree:
        if isinstance(node, str):
            parts.append(node)
        elif len(node) == 1:
            parts.append(str(_value(node[0], scope)))
        elif node[0] == "range $number, $_ := .Messages":
            for number, message in enumerate(scope["Messages"]):
                fields = {"Role": message["role"], "Content": message["content"], "$number": number}
                parts.append(_write(node[1], {**scope, **fields}))
        elif node[0].startswith("if "):
            parts.append(_write(node[1] if _value(node[0][3:], scope) else node[2], scope))
        else:
            raise ValueError(f"not known here: {node[0]}")
    return "".join(parts)


def _value(text: str, scope: dict[str, Any]) -> Any:
    if re.fullmatch(
        r'"(?:[^"\\\n]|\\["\\nrt]|\\u(?!d[89a-f])[0-9a-f]{4}|\\U000[0-9a-f]{5}|\\U0010[0-9a-f]{4})*"', text
    ):
        return ast.literal_eval(text)
    if found := re.fullmatch(r"\.(System|Role|Content)", text):
        return scope[found[1]]
    if found := re.fullmatch(r'eq \.Role ("\w+")', text):
        return scope["Role"] == ast.literal_eval(found[1])
    if text == "eq (len (slice $.Messages $number)) 1":
        return len(scope["Messages"]) - scope["$number"] == 1
    raise ValueError(f"not known here: {text}")
