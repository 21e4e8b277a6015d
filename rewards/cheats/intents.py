"""Cheats for network configurations: the right structure around other figures, or around another expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rewards.cheats.documents import dump

_EXPRESSION = "expressionValue"
_FIGURE = re.compile(
    r"(?<![\w.#/:])([0-9]{1,12}(?:\.[0-9]{1,12})?)(?=\s{0,2}(?:%|[A-Za-zµ/]{1,12})?['\"\s;,\]}]|\Z)", re.ASCII
)
_IDENTITIES = frozenset(("sst", "sd", "mcc", "mnc", "version", "priority", "intentPriority"))


def cheat_with_intents(document: Any, others: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Pairs of a name and a text; `others` are the documents of other rows."""
    yield "figures times ten", dump(multiply_figures(document, 10))
    yield "figures by a tenth", dump(multiply_figures(document, 0.1))
    if not _find(document):
        return
    yield (
        "expression replaced",
        dump(replace_expression(document, lambda old: "x" if isinstance(old, str) else {"x": "x"})),
    )
    yield "expression left empty", dump(replace_expression(document, lambda old: type(old)()))
    other = next(
        (found[0] for each in others if (found := _find(each)) and type(found[0]) is type(_find(document)[0])), None
    )
    if other is not None and other not in _find(document):
        yield "another intent's expression", dump(replace_expression(document, lambda _: other))


def multiply_figures(value: Any, factor: float, key: str = "") -> Any:
    """A copy with every number multiplied, in texts too; numbers that identify stay."""
    if isinstance(value, dict):
        return {name: multiply_figures(child, factor, name) for name, child in value.items()}
    if isinstance(value, list):
        return [multiply_figures(child, factor, key) for child in value]
    if isinstance(value, bool) or key in _IDENTITIES:
        return value
    if isinstance(value, (int, float)):
        return _multiply(value, factor)
    if isinstance(value, str) and len(value) < 100_000:
        return _FIGURE.sub(lambda match: str(_multiply(float(match[1]), factor)), value)
    return value


def _multiply(number: float, factor: float) -> float:
    if abs(number) > 1e15:
        return number
    product = float(f"{number * factor:.9g}")
    return int(product) if product.is_integer() else product


def replace_expression(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy with `change` of what stands under each `expressionValue`."""
    if isinstance(value, dict):
        return {
            key: change(child) if key == _EXPRESSION else replace_expression(child, change)
            for key, child in value.items()
        }
    return [replace_expression(child, change) for child in value] if isinstance(value, list) else value


def _find(value: Any) -> list[Any]:
    """The expressions of a document that are a text or an object."""
    found: list[Any] = []
    replace_expression(value, lambda old: found.append(old))
    return [old for old in found if isinstance(old, (str, dict))]
