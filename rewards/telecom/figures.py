"""Finding the fields of a telecom configuration that state latency, reliability, throughput and devices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.answers import CONFLICTING
from rewards.telecom.expressions import read_expression, settle
from rewards.telecom.units import NOTHING, FigureReading, Quantity, is_unit_of, name_unit, read_figure

FIGURES: Mapping[str, Quantity] = {
    "latency_ms": "time",
    "reliability_pct": "share",
    "dl_throughput_mbps": "rate",
    "ul_throughput_mbps": "rate",
    "max_ues": "count",
}
"""The columns of a row that hold its figures."""

MAX_VALUES = 20_000
"""Leaves that are looked at; what is longer is not a configuration."""

_BOUND = (
    "(?:gua|guaranteed|max|maximum|min|minimum|target|required|requested|expected|peak|e2e|endtoend|service|slice"
    "|network|air|interface|radio|user|plane|packet|sla)"
)
_DOWN, _UP = "(?:dl|downlink|downstream|download)", "(?:ul|uplink|upstream|upload)"
_RATE = "(?:thpt|throughput|rate|bitrate|datarate|bandwidth|speed|thp|gfbr|mfbr|gbr|mbr)"
_END = (
    "(?:per(?:ue|slicesubnet|slice|device|user|cell|session)|target|max|min|maximum|minimum|limit|requirement|threshold|guathpt|"
    "maxthpt|guaranteed|gua|upper|lower|bound|value)"
)
_PATTERNS: tuple[tuple[str, re.Pattern], ...] = (
    (
        "latency_ms",
        re.compile(rf"{_BOUND}*(?:{_DOWN}|{_UP})?{_BOUND}*(?:latency|delay|delaybudget|pdb)(?:{_END}|budget)*"),
    ),
    (
        "reliability_pct",
        re.compile(
            rf"{_BOUND}*(?:{_DOWN}|{_UP})?{_BOUND}*"
            r"(?:reliability|availability|success(?:probability|rate|ratio))"
            rf"(?:{_END}|rate|ratio|fraction|level|probability|successprobability)*"
        ),
    ),
    (
        "dl_throughput_mbps",
        re.compile(rf"{_BOUND}*{_DOWN}{_BOUND}*{_RATE}{_END}*|{_BOUND}*{_RATE}{_BOUND}*{_DOWN}{_END}*"),
    ),
    ("ul_throughput_mbps", re.compile(rf"{_BOUND}*{_UP}{_BOUND}*{_RATE}{_END}*|{_BOUND}*{_RATE}{_BOUND}*{_UP}{_END}*")),
    (
        "max_ues",
        re.compile(
            r"(?:(?:max|maximum|target|total)(?:(?:number|num|no)(?:of)?)?|(?:number|num|no)(?:of)?)"
            r"(?:connected|concurrent|active)?(?:ues?|devices?|users?|terminals?)(?:target|limit|max|perslice|value)*"
            r"|(?:ue|device|user)s?(?:count|number|max)(?:target)?"
        ),
    ),
)
_LOOSE = re.compile(rf"{_BOUND}*{_RATE}{_END}*")
"""Rates that do not say which way: they carry either, where nothing says it better."""

_NAME_KEYS = (
    "targetname", "name", "kpi", "kpiname", "metric", "metricname", "parameter", "parametername", "characteristicname",
    "attribute", "property", "objective", "type", "id",
)  # fmt: skip
_VALUE_KEYS = (
    "value", "targetvalue", "targetvaluerange", "amount", "threshold", "quantity", "target", "limit", "numericvalue",
    "atmost", "atleast", "exactly", "smaller", "greater", "larger", "lessthan", "greaterthan", "minvalue", "maxvalue",
)  # fmt: skip
_UNIT_KEYS = ("unit", "units", "uom", "unitofmeasure", "unitofmeasurement", "targetunit", "valueunit", "unidade")
_MEASURED = re.compile(
    r"measured|observed|(?<!con)current|(?<!tr)actual|achieved|average|telemetry|previous|baseline|historic|medid"
)
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|%")
_PAIR = re.compile(
    r"([A-Za-z][\w-]{2,40})[\s\"':=]{1,6}(?:value[\s\"':=]{1,6})?([0-9][0-9.,]{0,20})\"?(?:\^\^[\w:-]{1,40})?"
    r"\s{0,2}(%|[A-Za-z/]{0,12})",
    re.ASCII,
)
_BRACKETS = ("{", "[")
_IRI_END = re.compile(r"[#/]")
_PERHAPS = "?"
_LONGEST_KEY, _MOST_KEYS, _LONGEST_KEYS = 100, 32, 400
"""Letters of a key, and keys of an object and their letters, whose reading is kept: hostile text must not fill the memory."""


class StatedFigure(NamedTuple):
    """A place that states a figure: `figures` the column, or two where the key does not say which; `slot` its name.

    `variant` tells a rate per device from one per slice, and a guaranteed from a greatest one.
    """

    figures: tuple[str, ...]
    slot: str
    variant: str
    readings: Mapping[str, FigureReading]


def read_name(name: str) -> tuple[str, str | None]:
    """A key as lower-case letters without separators and prefix, and the unit that it ends in."""
    return _read_name(_IRI_END.split(name[-80:])[-1] if "://" in name[:10] else name[:80])


@lru_cache(maxsize=16384)
def _read_name(name: str) -> tuple[str, str | None]:
    if "#" in name or "://" in name:
        name = _IRI_END.split(name)[-1]
    name = name.rpartition(":")[2]
    words = _WORDS.findall(name)
    unit = None
    if len(words) > 1 and (found := name_unit(words[-1].casefold())) not in (None, "count", "fraction"):
        unit, words = found, words[:-1]
    # A published schema misspells it; both spellings are one key.
    return "".join(words).casefold().replace("probility", "probability"), unit


@lru_cache(maxsize=16384)
def figures_of(name: str) -> tuple[str, ...]:
    """The columns that a key, lower-case and without separators, carries; two for a rate without a direction."""
    if len(name) < 2 or len(name) > 60:
        return ()
    for figure, pattern in _PATTERNS:
        if pattern.fullmatch(name):
            return (figure,)
    return ("dl_throughput_mbps", "ul_throughput_mbps") if _LOOSE.fullmatch(name) else ()


def find_statements(
    value: Any, carriers: Mapping[str, str] | None = None, plain_rates: tuple[str, ...] = ("mbps", "kbps")
) -> list[StatedFigure]:
    """Every place of a configuration that states a figure, in its order; at most MAX_VALUES leaves are looked at.

    `carriers` maps further keys to columns.
    """
    finder = _Finder(carriers or {}, plain_rates)
    finder.walk(value)
    return finder.found


def states_right(names: Sequence[str], kind: str, amount: float, column: str, right: float) -> bool:
    """Whether a figure under these names, in seconds, bits a second or a share of one where `kind` says so, is a column's."""
    meaning = _find_meaning(tuple(map(_name_of, names[-3:])), ())
    if meaning is None or column not in meaning.figures:
        return False
    factor = {"time": 1e3, "rate": 1e-6, "share": 100.0}.get(kind)
    scales = (factor,) if factor else (1.0, 1e-3, 100.0, 1e-6, 1e3)
    return any(abs(amount * scale - right) <= 1e-6 * abs(right) for scale in scales)


class _Name(NamedTuple):
    """A key as the search sees it; never more than a few letters of it, so that it may be kept."""

    short: str
    unit: str | None
    measured: bool


def _name_of(key: str) -> _Name:
    return _short_name_of(key) if len(key) <= _LONGEST_KEY else _make_name(key)


def _make_name(key: str) -> _Name:
    return _Name(*read_name(key), _MEASURED.search(key.casefold()) is not None)


_short_name_of = lru_cache(maxsize=16384)(_make_name)


class _Meaning(NamedTuple):
    """What stands under a chain of names: the columns, where, and the unit that the names give."""

    figures: tuple[str, ...]
    slot: str
    variant: str
    unit: str | None


_Carriers = tuple[tuple[str, str], ...]
"""Further keys, as `read_name` gives them, with their columns."""


def _carried_by(name: str, carriers: _Carriers) -> tuple[str, ...]:
    for key, figure in carriers:
        if key == name:
            return (figure,)
    return figures_of(name)


@lru_cache(maxsize=8192)
def _find_meaning(names: tuple[_Name, ...], carriers: _Carriers) -> _Meaning | None:
    """What the names say of the value below them, outermost first; None when that is not a figure, or a measured one."""
    if not names or any(name.measured for name in names):
        return None
    said = [name.short for name in names]
    while len(said) > 1 and said[-1] in _VALUE_KEYS:
        said.pop()
    slot = ""
    figures: tuple[str, ...] = ()
    # A key that says too little is read together with those above it: {"throughput": {"downlink": 100}}.
    for count in range(1, len(said) + 1):
        joined = "".join(said[-count:])
        found = _carried_by(joined, carriers)
        if found and (not figures or len(found) < len(figures)):
            slot, figures = joined, found
        if len(figures) == 1:
            break
    if not figures:
        return None
    rate = any(FIGURES[figure] == "rate" for figure in figures)
    unit = next((name.unit for name in reversed(names) if name.unit), None)
    return _Meaning(figures, slot, _variant_of(slot) if rate else "", unit)


class _Member(NamedTuple):
    """A key of an object; `units` are the keys beside it that may hold its unit, `valued` that it is one such as "value"."""

    key: str
    names: tuple[_Name, ...]
    meaning: _Meaning | None
    units: tuple[str, ...]
    valued: bool


class _Shape(NamedTuple):
    """What the keys of an object say, whatever stands under them: `units` may hold a unit for all, `titles` a name."""

    members: tuple[_Member, ...]
    units: tuple[str, ...]
    titles: tuple[str, ...]


def _shape_of(keys: tuple[str, ...], looked_at: int, above: tuple[_Name, ...], carriers: _Carriers) -> _Shape:
    """Objects of a list mostly share their keys: the shape of a small object is kept."""
    if len(keys) <= min(looked_at, _MOST_KEYS) and len("".join(keys)) <= _LONGEST_KEYS:
        return _small_shape_of(keys, above, carriers)
    return _make_shape(keys, above, carriers, looked_at)


def _make_shape(
    keys: tuple[str, ...], above: tuple[_Name, ...], carriers: _Carriers, looked_at: int | None = None
) -> _Shape:
    names = [_name_of(key) for key in keys]
    # Of keys that are read alike the last one counts.
    keyed = {name.short: key for name, key in zip(names[:looked_at], keys, strict=False)}
    members: list[Any] = []
    for name, key in zip(names, keys, strict=True):
        if len(members) == looked_at:
            break
        if name.short not in _UNIT_KEYS:
            units = tuple(keyed[name.short + end] for end in ("unit", "units") if name.short + end in keyed)
            chain = (*above, name)
            members.append(_Member(key, chain, _find_meaning(chain, carriers), units, name.short in _VALUE_KEYS))
    units = tuple(keyed[short] for short in _UNIT_KEYS if short in keyed)
    return _Shape(tuple(members), units, tuple(keyed[short] for short in _NAME_KEYS if short in keyed))


_small_shape_of = lru_cache(maxsize=1024)(_make_shape)


def _first_text(item: dict[str, Any], keys: tuple[str, ...], otherwise: str | None) -> str | None:
    for key in keys:
        if isinstance(item[key], str):
            return item[key]
    return otherwise


_Entry = tuple[Any, tuple[_Name, ...], _Meaning | None, str | None, int]
"""A value still to be looked at, the keys above it, what it states if it is a scalar, the unit beside it, and how many
values it counts for: itself and those before it that state nothing."""


class _Finder:
    def __init__(self, carriers: Mapping[str, str], plain_rates: tuple[str, ...]):
        self.carriers: _Carriers = tuple({read_name(key)[0]: figure for key, figure in carriers.items()}.items())
        self.plain_rates = plain_rates
        self.left = MAX_VALUES
        self.found: list[StatedFigure] = []

    def walk(self, value: Any, names: tuple[_Name, ...] = ()) -> None:
        """`names` are the keys above, outermost first."""
        stack: list[_Entry] = [(value, names, None, None, 1)]
        while stack:
            item, names, meaning, unit, cost = stack.pop()
            self.left -= cost - 1
            if self.left <= 0:
                return
            self.left -= 1
            if isinstance(item, dict):
                stack += reversed(self._open_object(item, names[-2:], unit))
            elif isinstance(item, list):
                stack += reversed(self._open_list(item[: self.left], names, unit))
            elif isinstance(item, str) and (len(item) > 30 or item[:1] in _BRACKETS):
                self._read_expression(item, names)
            elif meaning is not None:
                self._state(item, meaning, unit)

    def _open_list(self, items: list[Any], names: tuple[_Name, ...], unit: str | None) -> list[_Entry]:
        entries: list[_Entry] = []
        dull = 0
        meaning = _find_meaning(names, self.carriers)
        for child in items:
            if isinstance(child, (dict, list)) or _may_state(child, meaning):
                entries.append((child, names, meaning, unit, dull + 1))
                dull = 0
            else:
                dull += 1
        if dull:
            entries.append((None, (), None, None, dull))
        return entries

    def _open_object(self, item: dict[str, Any], above: tuple[_Name, ...], unit: str | None) -> list[_Entry]:
        shape = _shape_of(tuple(item), self.left, above, self.carriers)
        unit = _first_text(item, shape.units, unit)
        title = self._find_title(item, shape.titles) if shape.titles else None
        entries: list[_Entry] = []
        dull = 0
        for key, names, meaning, units, valued in shape.members:
            child = item[key]
            if title is not None and valued:
                names = (*above, title)
                meaning = _find_meaning(names, self.carriers)
            container = isinstance(child, (dict, list))
            if not container and not _may_state(child, meaning):
                dull += 1
                continue
            beside = _first_text(item, units, unit) if units else unit
            if beside and not container and not valued:
                # A unit beside several figures holds for those that it can measure.
                beside = f"{_PERHAPS}{beside}"
            entries.append((child, names, meaning, beside, dull + 1))
            dull = 0
        if dull:
            entries.append((None, (), None, None, dull))
        return entries

    def _find_title(self, item: dict[str, Any], keys: tuple[str, ...]) -> _Name | None:
        """The name of a figure that an object gives as a value, as {"name": "latency", "value": 10} does."""
        for key in keys:
            name = item[key]
            if isinstance(name, str) and len(name) <= 60 and _carried_by(read_name(name)[0], self.carriers):
                return _name_of(name)
        return None

    def _state(self, value: Any, meaning: _Meaning, unit: str | None) -> None:
        readings = {}
        for figure in meaning.figures:
            quantity = FIGURES[figure]
            stated = meaning.unit or unit
            if stated and stated.startswith(_PERHAPS):
                stated = stated[1:] if is_unit_of(stated[1:], quantity) else None
            readings[figure] = (
                NOTHING if value is CONFLICTING else read_figure(value, quantity, stated, self.plain_rates)
            )
        self.found.append(StatedFigure(meaning.figures, meaning.slot, meaning.variant, readings))

    def _read_expression(self, text: str, names: tuple[_Name, ...]) -> None:
        """A figure inside a text: JSON within JSON, a graph in Turtle, or the name and value pairs of prose."""
        inner = read_expression(text)
        if inner is not None:
            before = len(self.found)
            self.walk(settle(inner), names)
            if len(self.found) > before or text[:1] in _BRACKETS:
                return
        for name, number, unit in _PAIR.findall(text[:20_000]):
            self.left -= 1
            written = number.rstrip(".,") + (f" {unit}" if name_unit(unit) else "")
            meaning = _find_meaning((_name_of(name),), self.carriers)
            if meaning is not None and self.left > 0:
                self._state(written, meaning, None)


def _may_state(value: Any, meaning: _Meaning | None) -> bool:
    """Whether a scalar below these names states a figure, or is a text with something in it."""
    if isinstance(value, str):
        return meaning is not None or len(value) > 30 or value[:1] in _BRACKETS
    return (
        meaning is not None
        and not isinstance(value, bool)
        and (value is CONFLICTING or isinstance(value, (int, float)))
    )


def _variant_of(slot: str) -> str:
    """What a rate is of: this many for a device and this many for a slice are not a contradiction, nor least and most."""
    per = next((word for word in ("slice", "cell", "session") if f"per{word}" in slot), "")
    bound = "most" if slot.endswith("maxthpt") or slot.startswith("max") or "mfbr" in slot else ""
    return f"{per}{bound}"
