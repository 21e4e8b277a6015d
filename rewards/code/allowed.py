"""Which Python may run at all: computing with a few modules of the standard library, and nothing that reaches beyond."""

from __future__ import annotations

import ast
import re

from rewards import limits

MODULES = frozenset(
    {
        "abc", "bisect", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools",
        "heapq", "itertools", "json", "math", "operator", "random", "re", "statistics", "string", "textwrap", "typing",
        "unicodedata",
    }
)  # fmt: skip
_REFUSED_NAMES = frozenset(
    {
        "eval", "exec", "compile", "open", "input", "breakpoint", "globals", "locals", "vars", "getattr", "setattr", "delattr",
        "memoryview", "exit", "quit", "help",
    }
)  # fmt: skip
_OWN_DUNDERS = re.compile(
    r"__(?:init|repr|str|eq|ne|lt|le|gt|ge|hash|len|iter|next|contains|getitem|setitem|delitem|add|radd|sub|rsub|mul|rmul|"
    r"truediv|floordiv|mod|pow|neg|abs|bool|call|enter|exit|post_init|name|doc|slots|and|or|xor|invert|int|float|index)__\Z"
)
_FRAMES = re.compile(r"(?:tb|f|gi|cr|ag|co|func|im)_[a-z]+\Z")
_FENCE = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.IGNORECASE)


def find_code(text: str) -> str:
    """The Python of an answer: what stands in its fences, one after the other, or all of it where there are none."""
    blocks = _FENCE.findall(text[: limits.CODE_CHARACTERS])
    return "\n\n".join(blocks) if blocks else text[: limits.CODE_CHARACTERS]


def find_refusal(code: str) -> str:
    """Why the code may not run; empty where it may. A syntax error is one reason."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"not Python ({getattr(error, 'msg', None) or type(error).__name__})"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "." * node.level]
        else:
            if said := _refuse(node):
                return said
            continue
        for name in names:
            if name.partition(".")[0] not in MODULES:
                return f"imports {name[:60]}, which may not run here"
    return ""


def _refuse(node: ast.AST) -> str:
    name = None
    if isinstance(node, ast.Name):
        name = node.id
        if name in _REFUSED_NAMES:
            return f"uses {name}, which may not run here"
    elif isinstance(node, ast.Attribute):
        name = node.attr
        if _FRAMES.match(name):
            return f"reads .{name[:60]}, which may not run here"
    if name is not None and name.startswith("__") and not _OWN_DUNDERS.match(name):
        return f"uses {name[:60]}, which may not run here"
    return ""
