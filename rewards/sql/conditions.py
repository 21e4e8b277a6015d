"""The literals of a statement, each with the column that it is compared with: a light look at tokens, no grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.sql.tokens import KEYWORDS, name_of

_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">=", "like", "glob", "between", "in", "is"})
_CLAUSES = frozenset({"select", "from", "where", "on", "group", "having", "order", "limit", "offset", "then", "else"})
_TYPES = frozenset({"integer", "int", "real", "text", "numeric", "float", "double", "date", "varchar"})
_DEFAULTS = frozenset({"coalesce", "ifnull"})
_FORMATS = frozenset({"strftime", "printf", "format"})
_PUTS = frozenset({"then", "else", "select"})
_NO_DEFAULT = object()
_WORD = re.compile(r'"?[^\W\d]')


class LiteralCondition(NamedTuple):
    """A column's name without its table, how it is compared, and the literal; None is NULL."""

    column: str
    operator: str
    value: Any


class LiteralConditions(NamedTuple):
    """`columns`: every comparison of a column, or of what is made of it, with a text, a number or NULL.

    `counts`: those of a number of rows, or of what a query finds, whose column is empty. `ends`: texts after which a column
    itself, not its day or its year, ends or begins. `made`: conditions on what a function makes of a column, such as its
    year. `results`: texts that the statement itself puts into its result.
    """

    columns: tuple[LiteralCondition, ...]
    counts: frozenset[LiteralCondition]
    ends: frozenset[str]
    made: frozenset[LiteralCondition]
    results: frozenset[str]


def list_conditions(tokens: tuple[str, ...]) -> tuple[LiteralCondition, ...]:
    """Every comparison of a column, or of what is made of it, with a text, a number or NULL."""
    return read_conditions(tokens).columns


@lru_cache(maxsize=4096)
def read_conditions(tokens: tuple[str, ...]) -> LiteralConditions:
    """All comparisons with literals in a statement."""
    found: list[LiteralCondition] = []
    counts: set[LiteralCondition] = set()
    ends: set[str] = set()
    wrapped: set[LiteralCondition] = set()
    results: set[str] = set()
    column, operator = "", ""
    opened: list[int] = []
    counted = made = False
    defaults: dict[int, Any] = {}
    default: Any = _NO_DEFAULT
    for at, token in enumerate(tokens):
        if token == "(":
            opened.append(at)
        elif token == ")" and opened:
            start = opened.pop()
            counted = "select" in tokens[start + 1 : start + 2] or "count" in tokens[max(start - 1, 0) : start]
            if start and tokens[start - 1] in _DEFAULTS and tokens[at - 2] == "," and _is_literal(tokens[at - 1]):
                defaults[at] = read_literal(tokens, at - 1)
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if token in _OPERATORS:
            operator = token
            made = at > 0 and tokens[at - 1] == ")"
            default = defaults.get(at - 1, _NO_DEFAULT)
            if counted and made:
                column = ""  # a number of rows, or what a query finds, is no value of a column
        elif token in _CLAUSES:
            column, operator = "", ""
        elif token in ("and", "or") and operator != "between":
            operator = ""
        elif token in ("isnull", "notnull") or (token == "null" and operator == "is"):
            found.append(LiteralCondition(column, "is", None))
        elif _is_literal(token):
            if column and operator:
                value = read_literal(tokens, at)
                if tokens[at - 1] == "(" and tokens[at - 2] in _FORMATS:
                    continue
                # COALESCE(column, '') = '' is a way to write IS NULL.
                missing = operator in ("=", "!=") and value == default
                condition = LiteralCondition(column, *(("is", None) if missing else (operator, value)))
                found.append(condition)
                if made:
                    wrapped.add(condition)
                elif operator in (">", "<=", "between"):
                    ends.add(str(value))
            elif operator and made:
                counts.add(LiteralCondition("", operator, read_literal(tokens, at)))
            elif token[0] == "'" and tokens[at - 1] in _PUTS and at:
                results.add(read_literal(tokens, at))
        elif _is_column(token, following, tokens[max(at - 1, 0)] == "as"):
            column, operator = name_of(token), ""
    return LiteralConditions(tuple(found), frozenset(counts), frozenset(ends), frozenset(wrapped), frozenset(results))


def _is_literal(token: str) -> bool:
    return token[0] == "'" or (token[0].isdigit() and token.isascii())


def _is_column(token: str, following: str, cast: bool) -> bool:
    return bool(
        _WORD.match(token)
        and token not in KEYWORDS
        and not (cast and token in _TYPES)
        and following != "("
        and following != "."
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
