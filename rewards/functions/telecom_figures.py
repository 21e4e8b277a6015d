"""Finding the fields of a telecom configuration that state latency, reliability, throughput and devices."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.functions.answers import UNSAID
from rewards.functions.telecom_units import NOTHING, Quantity, Reading, is_unit_of, name_unit, read_figure

FIGURES: Mapping[str, Quantity] = {
    "latency_ms": "time",
    "reliability_pct": "share",
    "dl_throughput_mbps": "rate",
    "ul_throughput_mbps": "rate",
    "max_ues": "count",
}
"""The columns of a row that hold its figures."""

MAX_VALUES = 20_000
"""Leaves that are looked at; what is longer is no configuration."""

_BOUND = (
    "(?:gua|guaranteed|max|maximum|min|minimum|target|required|requested|expected|peak|e2e|endtoend|service|slice"
    "|network|air|interface|radio|user|plane|packet|sla)"
)
_DOWN, _UP = "(?:dl|downlink|downstream|download)", "(?:ul|uplink|upstream|upload)"
_RATE = "(?:thpt|throughput|rate|bitrate|datarate|bandwidth|speed|thp|gfbr|mfbr|gbr|mbr)"
_END = (
    "(?:per(?:ue|slice|device|user|cell|session)|target|max|min|maximum|minimum|limit|requirement|threshold|guathpt|"
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
_PERHAPS = "?"


class Statement(NamedTuple):
    """A place that states a figure: `figures` the column, or two where the key does not say which; `slot` its name.

    `variant` tells a rate per device from one per slice, and a guaranteed from a greatest one.
    """

    figures: tuple[str, ...]
    slot: str
    variant: str
    readings: Mapping[str, Reading]


def read_name(name: str) -> tuple[str, str | None]:
    """A key as lower-case letters without separators and prefix, and the unit that it ends in."""
    return _read_name(name[:80])


@lru_cache(maxsize=16384)
def _read_name(name: str) -> tuple[str, str | None]:
    name = name.rpartition(":")[2] if ":" in name else name
    words = _WORDS.findall(name)
    unit = None
    if len(words) > 1 and (found := name_unit(words[-1])) not in (None, "count", "fraction"):
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
) -> list[Statement]:
    """Every place of a configuration that states a figure, in its order; at most MAX_VALUES leaves are looked at.

    `carriers` maps further keys to columns.
    """
    return list(_Finder(carriers or {}, plain_rates).walk(value))


class _Finder:
    def __init__(self, carriers: Mapping[str, str], plain_rates: tuple[str, ...]):
        self.carriers = {read_name(key)[0]: figure for key, figure in carriers.items()}
        self.plain_rates = plain_rates
        self.left = MAX_VALUES

    def walk(self, value: Any, names: tuple[str, ...] = (), unit: str | None = None) -> Iterator[Statement]:
        """`names` are the keys above, outermost first; `unit` is the one that holds for all below."""
        stack: list[tuple[Any, tuple[str, ...], str | None]] = [(value, names, unit)]
        while stack and self.left > 0:
            item, names, unit = stack.pop()
            self.left -= 1
            if isinstance(item, list):
                stack.extend((child, names, unit) for child in reversed(item[: self.left]))
            elif isinstance(item, dict):
                stack.extend(reversed(list(self._children(item, names, unit))))
            elif isinstance(item, str) and (len(item) > 30 or item[:1] in ("{", "[")):
                yield from self._read_expression(item, names)
            elif item is UNSAID or (isinstance(item, (int, float, str)) and not isinstance(item, bool)):
                statement = self._state(item, names, unit)
                if statement is not None:
                    yield statement

    def _children(
        self, item: dict[str, Any], names: tuple[str, ...], unit: str | None
    ) -> Iterator[tuple[Any, tuple[str, ...], str | None]]:
        plain = {read_name(key)[0]: child for key, child in list(item.items())[: self.left]}
        unit = next((plain[key] for key in _UNIT_KEYS if isinstance(plain.get(key), str)), unit)
        title = self._find_title(plain)
        for key, child in item.items():
            short = read_name(key)[0]
            if short in _UNIT_KEYS:
                continue
            beside = next(
                (plain[short + end] for end in ("unit", "units") if isinstance(plain.get(short + end), str)), unit
            )
            if title is not None and short in _VALUE_KEYS:
                yield child, (*names[-2:], title), beside
            elif short in _VALUE_KEYS or isinstance(child, (dict, list)):
                yield child, (*names[-2:], key), beside
            else:
                # A unit beside several figures holds for those that it can measure.
                yield child, (*names[-2:], key), beside and f"{_PERHAPS}{beside}"

    def _find_title(self, plain: Mapping[str, Any]) -> str | None:
        """The name of a figure that an object gives as a value, as {"name": "latency", "value": 10} does."""
        for key in _NAME_KEYS:
            name = plain.get(key)
            if isinstance(name, str) and len(name) <= 60 and self._figures(read_name(name)[0]):
                return name
        return None

    def _figures(self, name: str) -> tuple[str, ...]:
        return (self.carriers[name],) if name in self.carriers else figures_of(name)

    def _state(self, value: Any, names: tuple[str, ...], unit: str | None) -> Statement | None:
        if not names or any(_MEASURED.search(name.casefold()) for name in names):
            return None
        read = [read_name(name) for name in names]
        said = [name for name, _ in read]
        while len(said) > 1 and said[-1] in _VALUE_KEYS:
            said.pop()
        slot, figures = "", ()
        # A key that says too little is read together with those above it: {"throughput": {"downlink": 100}}.
        for count in range(1, len(said) + 1):
            joined = "".join(said[-count:])
            found = self._figures(joined)
            if found and (not figures or len(found) < len(figures)):
                slot, figures = joined, found
            if len(figures) == 1:
                break
        if not figures:
            return None
        in_key = next((found for _, found in reversed(read) if found), None)
        readings = {}
        for figure in figures:
            quantity = FIGURES[figure]
            stated = in_key or unit
            if stated and stated.startswith(_PERHAPS):
                stated = stated[1:] if is_unit_of(stated[1:], quantity) else None
            readings[figure] = NOTHING if value is UNSAID else read_figure(value, quantity, stated, self.plain_rates)
        rate = any(FIGURES[figure] == "rate" for figure in figures)
        return Statement(figures, slot, _variant_of(slot) if rate else "", readings)

    def _read_expression(self, text: str, names: tuple[str, ...]) -> Iterator[Statement]:
        """A figure inside a text: JSON within JSON, or the name and value pairs of Turtle and prose."""
        if text[:1] in ("{", "[") and len(text) <= 100_000:
            try:
                inner = json.loads(text)
            except (ValueError, RecursionError):
                inner = None
            if isinstance(inner, (dict, list)):
                yield from self.walk(inner, names)
                return
        for name, number, unit in _PAIR.findall(text[:20_000]):
            self.left -= 1
            written = number.rstrip(".,") + (f" {unit}" if name_unit(unit) else "")
            statement = self._state(written, (name,), None)
            if statement is not None and self.left > 0:
                yield statement


def _variant_of(slot: str) -> str:
    """What a rate is of: so many for a device and so many for a slice are no contradiction, nor least and most."""
    per = next((word for word in ("slice", "cell", "session") if f"per{word}" in slot), "")
    bound = "most" if slot.endswith("maxthpt") or slot.startswith("max") or "mfbr" in slot else ""
    return f"{per}{bound}"


def is_right(reading: Reading, right: float, quantity: Quantity, relative: float, share: float, count: float) -> bool:
    """Whether a figure is right within the tolerances: relative for times and rates, of what lacks to 100 % for shares.

    An integer with a unit, as the CAMARA interfaces ask for, is right when it is next to a value that no integer up to
    1024 in a smaller unit could state.
    """
    for value in reading.values:
        gap = abs(value - right)
        if quantity == "share":
            allowed = share * abs(100.0 - right) + 1e-9
        elif quantity == "count":
            allowed = count * abs(right)
        else:
            allowed = relative * abs(right) + 1e-9
        if gap <= allowed:
            return True
        step = reading.whole_step
        if quantity == "rate" and step is not None and gap < step and right > step and right / (step / 1000) > 1024:
            return True
    return False
