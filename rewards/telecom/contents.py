"""What a configuration says beyond its structure: every figure under its name, and the words of its expressions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from math import fsum
from typing import Any, NamedTuple

from rewards.documents.identifiers import is_identifier
from rewards.documents.quantities import read_quantity
from rewards.documents.signs import EMPTY_LIST, EMPTY_OBJECT
from rewards.documents.units import FACTORS, KINDS, name_any_unit
from rewards.telecom.equals import SCALES, UNIT_KEYS
from rewards.telecom.figures import states_right
from rewards.telecom.pairing import says_for_whom
from rewards.telecom.paths import Path, ValuePlaces

_EXPRESSION, _EXPRESSIONS = "expressionValue", ("expressionValue", "expression")
"""Keys under which an intent stands in a notation of its own; `expression` itself only where it is a text."""

MOST_LEAVES = 100_000
"""Leaves that are looked at."""

_KINDS = frozenset(("time", "rate", "share"))
_TITLE_KEYS = (
    "targetName", "contextAttribute", "name", "kpi", "kpiName", "metric", "metricName", "parameter", "attribute",
    "objective", "characteristicName",
)  # fmt: skip
_NUMBER = re.compile(r"[-+]?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_PLAIN_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?", re.ASCII)
_AIM_KEYS = frozenset(("targetValue", "targetValueRange", "conditionValue"))
"""Keys of TS 28.312 and its drafts whose texts are figures where they read as numbers: `"conditionValue": "1000"`."""

_ASIDE = re.compile(r"<[^<>\s]{1,500}>|^[ \t]{0,40}#[^\n]*", re.MULTILINE)
"""Of an expression, what names things or is said beside it: addresses, and lines of comment."""

_PROSE_FIGURE = re.compile(r"(?<![\w.])([0-9]{1,15}(?:[.,][0-9]{1,15})*)\s{0,2}(%|[A-Za-zµμ]{1,12}(?:/s)?)?", re.ASCII)
_WORD = re.compile(r"[^\W\d_]+")
_LONGEST_CODE = 200
"""Characters of a code, an address or the name of a managed object."""
_TITLED = "="


class Figure(NamedTuple):
    """An amount in the first unit of its kind, or as it stands where it has no unit; `unit` is what stands with it."""

    kind: str
    amount: float
    unit: str | None = None


class FigurePlace(NamedTuple):
    """Where a figure stands: keys without positions, and the names that objects of a list have."""

    path: Path
    keys: Path


class Contents(NamedTuple):
    """The figures by place, and of the expressions what is not a figure, each as often as it stands there."""

    figures: Mapping[FigurePlace, list[Figure]]
    words: Counter
    texts: Counter
    """Short texts by path, such as codes, states and names, and the numbers that tell which thing is meant."""


def read_contents(
    value: Any, constant: Collection[str], identities: Collection[str], most: int = MOST_LEAVES
) -> Contents:
    """The contents of a value, of which at most `most` objects, lists and leaves are looked at.

    `constant` are keys whose texts say what a thing is, `identities` those whose numbers do.
    """
    found = Contents(defaultdict(list), Counter(), Counter())
    stack: list[tuple[Any, Path, Path, str | None, bool]] = [(value, (), (), None, False)]
    left = most
    while stack and left > 0:
        item, path, keys, unit, inside = stack.pop()
        left -= 1
        if isinstance(item, dict):
            quantity = read_quantity(item, _KINDS)
            if quantity is not None:
                found.figures[FigurePlace(path, keys)].append(Figure(quantity.kind, quantity.amount, item.get("unit")))
                continue
            beside = next((item[key] for key in UNIT_KEYS if isinstance(item.get(key), str)), unit)
            for key, child in item.items():
                if key in UNIT_KEYS and not isinstance(child, (dict, list)) and beside is not None:
                    continue
                within = inside or key == _EXPRESSION or (key == _EXPRESSIONS[1] and isinstance(child, str))
                here = (*path, key)
                if isinstance(child, list) and len(child) > 1:
                    stack += [(each, (*here, *_title_of(each)), (*keys, key), beside, within) for each in child]
                else:
                    only = child[0] if isinstance(child, list) and child else child
                    stack.append((only, (*here, *_title_of(only)), (*keys, key), beside, within))
        elif isinstance(item, list):
            stack += [(each, (*path, *_title_of(each)), keys, unit, inside) for each in item]
        else:
            tells = keys and (keys[-1] in identities or says_for_whom(keys[-1]))
            if tells and isinstance(item, (int, float, str)) and not inside:
                found.texts[(path, item if isinstance(item, str) else repr(item))] += 1
            else:
                _read_leaf(item, FigurePlace(path, keys), unit, inside, found, constant)
    return found


def _title_of(item: Any) -> Path:
    if not isinstance(item, dict):
        return ()
    title = next((item[key] for key in _TITLE_KEYS if isinstance(item.get(key), str)), None)
    return () if title is None else (f"{_TITLED}{title[:80].casefold()}",)


def _read_leaf(
    item: Any, place: FigurePlace, unit: str | None, inside: bool, found: Contents, constant: Collection[str]
) -> None:
    key = next((key for key in reversed(place.keys)), "")
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], float):
        found.figures[place].append(Figure(str(item[0]), item[1]))
    elif isinstance(item, (int, float)) and not isinstance(item, bool):
        if not is_identifier(key):
            found.figures[place].append(_with_unit(item, unit))
    elif isinstance(item, str):
        quantity = read_quantity(item.strip("'"), _KINDS)
        if quantity is not None:
            found.figures[place].append(Figure(quantity.kind, quantity.amount))
        elif unit is not None and _NUMBER.fullmatch(item) and not is_identifier(key):
            found.figures[place].append(_with_unit(float(item), unit))
        elif key in _AIM_KEYS and _PLAIN_NUMBER.fullmatch(item):
            found.figures[place].append(Figure("", float(item)))
        elif inside and key in _EXPRESSIONS:
            _read_prose(item, place, found)
        elif inside:
            found.words[(place.path, item)] += 1
        elif key not in constant and len(item) <= _LONGEST_CODE and (" " not in item or item.startswith("instant ")):
            found.texts[(place.path, item)] += 1
    elif inside:
        found.words[(place.path, repr(item))] += 1
    elif item is not EMPTY_OBJECT and item is not EMPTY_LIST and item is not None:
        found.texts[(place.path, repr(item))] += 1


def _with_unit(number: float, unit: str | None) -> Figure:
    short = name_any_unit(unit) if unit else None
    try:
        if short is not None and KINDS[short] in _KINDS:
            return Figure(KINDS[short], float(number) * FACTORS[KINDS[short]][short], unit)
        return Figure(unit.casefold() if unit else "", float(number), unit)
    except OverflowError:
        return Figure("", 0.0, unit)


def _read_prose(text: str, place: FigurePlace, found: Contents) -> None:
    """An expression in a notation that nobody reads: its figures, and its words."""
    text = _ASIDE.sub(" ", text[:20_000])
    for number, unit in _PROSE_FIGURE.findall(text):
        quantity = read_quantity(f"{number} {unit}", _KINDS) if unit else None
        if quantity is not None:
            found.figures[place].append(Figure(quantity.kind, quantity.amount))
        else:
            found.figures[place].append(
                Figure("", float(number.replace(",", ".")) if number.count(".") + number.count(",") <= 1 else 0.0)
            )
    for word in _WORD.findall(text):
        found.words[(place.path, word.casefold())] += 1


def covered_by(columns: Mapping[str, float]) -> Callable[[FigurePlace, Figure], bool]:
    """Tells the figures that the part `kpi` judges: those that say what a column says."""

    def is_covered(place: FigurePlace, figure: Figure) -> bool:
        names = [step[1:] if step.startswith(_TITLED) else step for step in place.path]
        return any(states_right(names, figure.kind, figure.amount, name, right) for name, right in columns.items())

    return is_covered


def share_of_figures(
    expected: Contents,
    given: Contents,
    relative: float,
    is_covered: Callable[[FigurePlace, Figure], bool],
    rates: Collection[float] = SCALES["rate"],
) -> float | None:
    """The mean over places of how far they hold the same figures; one too many costs as much as one missing.

    `is_covered` tells figures that are judged elsewhere, `rates` what bits a second are multiplied by to give the numbers
    that stand without a unit; None where no figure is left.
    """
    shares = []
    for place, figures in expected.figures.items():
        wanted = [figure for figure in figures if not is_covered(place, figure)]
        if not wanted:
            continue
        offered = list(given.figures.get(place, ()))[: 4 * len(figures) + 16]
        most = max(len(figures), len(offered))
        right = 0
        for figure in figures:
            at = next((at for at, other in enumerate(offered) if _same(figure, other, relative, rates)), None)
            if at is not None:
                del offered[at]
                right += 1
        shares.append(right / most)
    return fsum(shares) / len(shares) if shares else None


def _same(one: Figure, other: Figure, relative: float, rates: Collection[float]) -> bool:
    if one.kind != other.kind and "" in (one.kind, other.kind):
        # A number alone is in the unit that such numbers are in where the other side says one.
        plain, sized = (one, other) if one.kind == "" else (other, one)
        scales = rates if sized.kind == "rate" else SCALES.get(sized.kind, ())
        allowed = max(relative, 1e-9) * abs(plain.amount)
        return any(abs(sized.amount * scale - plain.amount) <= allowed for scale in scales)
    return one.kind == other.kind and abs(one.amount - other.amount) <= max(relative, 1e-9) * abs(one.amount)


def share_of_counts(expected: Counter, given: Counter) -> float | None:
    """F1 of two bags; None where none is expected."""
    size = expected.total() + given.total()
    return 2 * (expected & given).total() / size if expected else None


def share_found(expected: Counter, given: Counter) -> float | None:
    """The share of a bag that another has; None where none is expected."""
    return (expected & given).total() / expected.total() if expected else None


def share_stated(expected: Contents, given: Contents, figures: float | None) -> float | None:
    """The share of all that is stated, where `figures` is that of the figures; None where no text stands beside them.

    Right figures for another slice, cell or state are right only in part.
    """
    texts = share_found(expected.texts, given.texts)
    if texts is None or figures is None:
        return texts
    many, few = len(expected.figures), expected.texts.total()
    return (figures * many + texts * few) / (many + few)


def share_plausible(masked: Collection[tuple[Path, Any]], given: ValuePlaces, factor: float) -> float | None:
    """The share of unknowable numbers whose place holds one of the same sign within this factor; None where none is."""
    numbers = [(path, leaf) for path, leaf in masked if isinstance(leaf, (int, float)) and not isinstance(leaf, bool)]
    if not numbers:
        return None
    return sum(_is_plausible(leaf, given.leaves.get(path, Counter()), factor) for path, leaf in numbers) / len(numbers)


def _is_plausible(expected: float, found: Counter, factor: float) -> bool:
    for leaf in found:
        if isinstance(leaf, bool) or not isinstance(leaf, (int, float)):
            continue
        if leaf == expected or (leaf * expected > 0 and 1 / factor <= leaf / expected <= factor):
            return True
    return False
