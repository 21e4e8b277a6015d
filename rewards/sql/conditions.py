"""The literals of a statement, each with the column that it is compared with: a light look at tokens, no grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.sql.tokens import KEYWORDS

_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">=", "like", "glob", "between", "in", "is"})
_CLAUSES = frozenset({"select", "from", "group", "order", "limit", "offset", "then", "else"})
_TYPES = frozenset({"integer", "int", "real", "text", "numeric", "float", "double", "date", "varchar"})
_WORD = re.compile(r"[^\W\d]")


class LiteralCondition(NamedTuple):
    """A column's name without its table, how it is compared, and the literal; None is NULL."""

    column: str
    operator: str
    value: Any


@lru_cache(maxsize=4096)
def list_conditions(tokens: tuple[str, ...]) -> tuple[LiteralCondition, ...]:
    """Every comparison of a column, or of what is made of it, with a text, a number or NULL."""
    found: list[LiteralCondition] = []
    column, operator = "", ""
    opened: list[int] = []
    counted = False
    for at, token in enumerate(tokens):
        if token == "(":
            opened.append(at)
        elif token == ")" and opened:
            start = opened.pop()
            counted = "select" in tokens[start + 1 : start + 2] or "count" in tokens[max(start - 1, 0) : start]
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if token in _OPERATORS:
            operator = token
            if counted and at and tokens[at - 1] == ")":
                column = ""  # a number of rows, or what a query finds, is no value of a column
        elif token in _CLAUSES:
            column, operator = "", ""
        elif token in ("and", "or") and operator != "between":
            operator = ""
        elif token == "null" and operator == "is":
            found.append(LiteralCondition(column, operator, None))
        elif token[0] == "'" or (token[0].isdigit() and token.isascii()):
            if column and operator:
                found.append(LiteralCondition(column, operator, read_literal(tokens, at)))
        elif _is_column(token, following):
            column, operator = token, ""
    return tuple(found)


def _is_column(token: str, following: str) -> bool:
    return bool(
        _WORD.match(token) and token not in KEYWORDS and token not in _TYPES and following != "(" and following != "."
    )


def read_literal(tokens: Sequence[str], at: int) -> Any:
    """The text or number at a place; a minus before it belongs to it unless something is subtracted from."""
    token = tokens[at]
    if token[0] == "'":
        return token[1:-1].replace("''", "'") if len(token) > 1 and token[-1] == "'" else token[1:]
    number: float = float(token)
    if "." not in token and "e" not in token:
        number = int(token)
    before = tokens[at - 2] if at > 1 else ""
    signed = at > 0 and tokens[at - 1] == "-" and (before in _OPERATORS or before in ("(", "and", ","))
    return -number if signed else number
