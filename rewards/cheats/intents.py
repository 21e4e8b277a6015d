"""Cheats for network configurations: the right structure around other figures, or around another expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rewards.cheats.documents import dump, list_leaves

_EXPRESSION = "expressionValue"
_FIGURE = re.compile(
    r"(?<![\w.#/:])([0-9]{1,12}(?:\.[0-9]{1,12})?)(?=\s{0,2}(?:%|[A-Za-zµ/]{1,12})?['\"\s;,\]}]|\Z)", re.ASCII
)
_OFF = {"ms": "s", "s": "ms", "Mbps": "kbps", "kbps": "Mbps", "Gbps": "Mbps", "Milliseconds": "Seconds", "min": "h"}
_UNIT = re.compile(r"(?<![A-Za-z_])(?:ms|s|[kMG]bps|Milliseconds|min)(?![A-Za-z_:])", re.ASCII)
_IDENTITIES = frozenset(("sst", "sd", "mcc", "mnc", "version", "priority", "intentPriority"))


def cheat_with_intents(document: Any, others: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Pairs of a name and a text; `others` are the documents of other rows."""
    yield "figures times ten", dump(multiply_figures(document, 10))
    yield "figures by a tenth", dump(multiply_figures(document, 0.1))
    yield "figures with the sign turned", dump(multiply_figures(document, -1))
    if not any(isinstance(leaf, str) and _FIGURE.search(leaf) for _, leaf in list_leaves(document)):
        yield "figures in each other's places", dump(_rotate_figures(document))
    if (resized := _map_texts(document, _resize)) != document:
        yield "units a thousand times off, other figures times ten", dump(_scale_unless_sized(resized))
    texts = _map_texts(document, lambda text: "outro")
    if texts != document and not any(_is_figure(leaf) for _, leaf in list_leaves(document)):
        yield "every text another", dump(texts)
    yield "structure with every value another", dump(_map_numbers(texts, lambda number: number * 7 + 3))
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


def _is_figure(leaf: Any) -> bool:
    return isinstance(leaf, (int, float)) and not isinstance(leaf, bool)


def _map_numbers(value: Any, change: Callable[[Any], Any], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _map_numbers(child, change, name) for name, child in value.items()}
    if isinstance(value, list):
        return [_map_numbers(child, change, key) for child in value]
    return change(value) if _is_figure(value) and key not in _IDENTITIES and abs(value) < 1e15 else value


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _map_texts(child, change) for name, child in value.items()}
    if isinstance(value, list):
        return [_map_texts(child, change) for child in value]
    return change(value) if isinstance(value, str) else value


def _rotate_figures(document: Any) -> Any:
    """Every number in the place of the one before it; a row of equal numbers stays as it is."""
    numbers: list[Any] = []

    def note(number: Any) -> Any:
        numbers.append(number)
        return number

    _map_numbers(document, note)
    turned = iter([*numbers[1:], *numbers[:1]])
    return _map_numbers(document, lambda number: next(turned) if numbers else number)


def _resize(text: str) -> str:
    """Every unit, by itself or behind its number, as one that is far larger or smaller; figures without one times ten."""
    if len(text) > 100_000:
        return text
    scaled = _FIGURE.sub(
        lambda match: (
            match[1]
            if _UNIT.match(text[match.end() : match.end() + 20].lstrip())
            else str(_multiply(float(match[1]), 10))
        ),
        text,
    )
    return _UNIT.sub(lambda match: _OFF[match[0]], scaled)


def _scale_unless_sized(value: Any, key: str = "") -> Any:
    """A copy with numbers times ten, but for those beside a unit that has been changed."""
    if isinstance(value, dict):
        sized = any(child in _OFF.values() for child in value.values() if isinstance(child, str))
        return {
            name: child if sized and _is_figure(child) else _scale_unless_sized(child, name)
            for name, child in value.items()
        }
    if isinstance(value, list):
        return [_scale_unless_sized(child, key) for child in value]
    return _multiply(value, 10) if _is_figure(value) and key not in _IDENTITIES else value


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
