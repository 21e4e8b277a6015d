"""Units beside the number of a final answer, in English, Portuguese and symbols, and when two of them measure the same."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from rewards.documents.units import FACTORS, KINDS, SPELLINGS
from rewards.text.portuguese import fold

_READ = 48
"""Characters behind a number in which its unit is looked for."""

_MOST_TOKENS = 5


class Unit(NamedTuple):
    """One meaning of a unit: an amount is `(number + offset) * factor` in the first unit of its kind."""

    kind: str
    factor: float
    offset: float = 0.0

    def amount(self, number: float) -> float:
        """The number in the first unit of its kind."""
        return (number + self.offset) * self.factor


class FoundUnit(NamedTuple):
    """What a unit may mean, the factor of `million` and the like before it, and how much of the text it is."""

    meanings: tuple[Unit, ...] = ()
    scale: int = 1
    percent: bool = False
    length: int = 0


_LENGTHS = {
    "nm nanometer nanometre nanometro": 1e-9,
    "um µm micrometer micrometre micron micrometro": 1e-6,
    "mm millimeter millimetre milimetro": 1e-3,
    "cm centimeter centimetre centimetro": 1e-2,
    "dm decimeter decimetre decimetro": 1e-1,
    "m meter metre metro": 1.0,
    "km kilometer kilometre quilometro": 1e3,
    "inch inches polegada": 0.0254,
    "ft foot feet": 0.3048,
    "yd yard jarda": 0.9144,
    "mi mile milha": 1609.344,
}
_TIMES = {
    "min minute minuto": 60.0,
    "h hr hour hora": 3600.0,
    "s sec second segundo": 1.0,
    "d day dia": 86400.0,
    "week wk semana": 604800.0,
}
_OTHERS: dict[str, dict[str, float]] = {
    "time": {**_TIMES, "ms": 1e-3, "us µs": 1e-6, "ns": 1e-9},
    "calendar": {"month mes meses": 1, "year yr ano": 12, "decade decada": 120, "century centuries seculo": 1200},
    "area": {"hectare ha": 1e4, "acre": 4046.8564224},
    "volume": {
        "l liter litre litro": 1e-3, "ml milliliter millilitre mililitro": 1e-6, "cl centiliter": 1e-5, "dl deciliter": 1e-4,
        "gallon galao galoes": 3.785411784e-3,
    },
    "mass": {
        "kg kilogram kilo quilo quilograma kilogramme": 1.0, "g gram grama gramme": 1e-3, "mg milligram miligrama": 1e-6,
        "ug µg mcg microgram micrograma": 1e-9, "t tonne tonelada": 1e3, "lb lbs pound libra": 0.45359237, "oz ounce onca": 0.028349523125,
    },
    "speed": {"mph": 1609.344 / 3600, "kph kmh kmph": 1 / 3.6, "knot kn": 1852 / 3600},
    "size": {"b byte": 1.0, "kilobyte": 1e3, "megabyte": 1e6, "gigabyte": 1e9, "terabyte": 1e12},
    "bits": {"bit": 1.0},
    "energy": {"j joule": 1.0, "kj kilojoule": 1e3, "cal caloria calorie": 4.184, "kcal kilocalorie": 4184.0, "wh": 3600.0, "kwh": 3.6e6},
    "power": {"w watt": 1.0, "kw kilowatt quilowatt": 1e3, "megawatt": 1e6},
    "frequency": {"hz hertz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    "voltage": {"v volt": 1.0, "mv millivolt": 1e-3, "kv": 1e3},
    "current": {"ampere amp": 1.0, "ma milliampere": 1e-3},
    "resistance": {"ohm ω": 1.0, "kohm kω": 1e3},
    "force": {"newton": 1.0},
    "pressure": {"pa pascal": 1.0, "kpa": 1e3, "bar": 1e5, "atm": 101325.0},
    "power ratio": {"db decibel": 1.0},
    "power level": {"dbm": 1.0},
    "angle": {"deg degree grau ° º": 1.0, "rad radian radiano": 57.29577951308232},
    "dollars": {"$ us$ usd dollar dolar dolares buck": 1.0, "cent centavo ¢": 0.01},
    "reais": {"$ r$ brl real reais": 1.0, "centavo": 0.01},
    "euros": {"€ eur euro": 1.0, "cent centimo": 0.01},
    "pounds": {"£ gbp pound libra": 1.0, "penny pence": 0.01},
    "yen": {"¥ jpy yen iene": 1.0},
    "yuan": {"¥ cny rmb yuan": 1.0},
    "rupees": {"₹ inr rupee rupia": 1.0},
}  # fmt: skip
_TEMPERATURES = {
    "°c ºc degc degreec degreesc grausc celsius degreecelsius degreescelsius graucelsius grauscelsius °celsius c": Unit("temperature", 1.0),
    "°f ºf degf degreef degreesf grausf fahrenheit degreefahrenheit degreesfahrenheit grausfahrenheit °fahrenheit f":
        Unit("temperature", 5 / 9, -32.0),
    "kelvin kelvins °k": Unit("temperature", 1.0, -273.15),
    "deg degree degrees grau graus ° º": Unit("temperature", 1.0),
}  # fmt: skip
_SCALES = {
    "k thousand mil": 1_000, "million milhao milhoes mi": 10**6, "billion bilhao bilhoes": 10**9,
    "trillion trilhao trilhoes": 10**12, "dozen duzia": 12,
}  # fmt: skip
_PERCENT = frozenset(("%", "percent", "percentage", "pct", "porcento"))
_ONLY_LAST = frozenset(("in", "c", "f", "d", "b", "v"))
"""Words of prose or names of choices as well: units where nothing follows them."""

_TOKEN = re.compile(r"[ ]*([a-z°ºω₹$€£¥¢%µμ]+|\^\{?[23]\}?|[/])")
_BEFORE = re.compile(r"(?:\b(?:r|us|u)\\?\$|[$€£¥₹]|\b(?:usd|brl|eur|gbp|jpy|cny|inr))\s*\Z", re.IGNORECASE)
_BY_TIME = re.compile(r"(?P<length>\w{1,20}?)(?:/|per|por)(?P<time>\w{1,12}?)(?P<squared>\^2)?")
_OF = re.compile(r"[ ]*(?:of|de)(?=[ ])")


def _spell(words: str) -> list[str]:
    """The words with their plurals."""
    return [form for word in words.split() for form in ((word, word + "s") if len(word) > 2 else (word,))]


@lru_cache(maxsize=1)
def _make_table() -> dict[str, list[Unit]]:
    """The meanings of each spelling; made when a number is first read."""
    table: dict[str, list[Unit]] = {}

    def add(spelling: str, unit: Unit) -> None:
        meanings = table.setdefault(spelling, [])
        if unit not in meanings:
            meanings.append(unit)

    for spelling, short in SPELLINGS.items():
        if KINDS[short] != "share":
            add(fold(spelling), Unit(KINDS[short], FACTORS[KINDS[short]][short]))
    for words, factor in _LENGTHS.items():
        for word in _spell(words):
            add(word, Unit("length", factor))
            for power, kind, names in ((2, "area", ("square", "sq")), (3, "volume", ("cubic", "cu"))):
                add(f"{word}^{power}", Unit(kind, factor**power))
                for name in (*names, f"{names[0]}d"):
                    add(f"{name}{word}", Unit(kind, factor**power))
                add(f"{word}{names[0]}d", Unit(kind, factor**power))
                add(f"{word}{'quadrado' if power == 2 else 'cubico'}", Unit(kind, factor**power))
                add(f"{word}{'quadrados' if power == 2 else 'cubicos'}", Unit(kind, factor**power))
    for kind, units in _OTHERS.items():
        for words, factor in units.items():
            for word in _spell(words):
                add(fold(word) or word, Unit(kind, factor))
    for words, unit in _TEMPERATURES.items():
        for word in words.split():
            add(word, unit)
    table["in"] = [Unit("length", 0.0254)]
    table["m"].append(Unit("time", 60.0))
    table["ton"] = table["tons"] = [Unit("mass", 1e3), Unit("mass", 907.18474)]
    return table


def _find(key: str) -> tuple[Unit, ...]:
    """The meanings of a unit, or of a length by a time."""
    table = _make_table()
    if key in table:
        return tuple(table[key])
    parts = _BY_TIME.fullmatch(key)
    if parts is None:
        return ()
    kind = "acceleration" if parts["squared"] else "speed"
    lengths = [unit for unit in table.get(parts["length"], ()) if unit.kind == "length"]
    times = [unit for unit in table.get(parts["time"], ()) if unit.kind == "time"]
    return tuple(
        Unit(kind, length.factor / (time.factor**2 if parts["squared"] else time.factor))
        for length in lengths
        for time in times
    )


_SCALE_OF = {form: scale for words, scale in _SCALES.items() for form in _spell(words)}


@lru_cache(maxsize=4096)
def read_unit(before: str, after: str) -> FoundUnit:
    """The unit of a number from the text right before it (a currency) and right after it; empty where none is known."""
    sign = _BEFORE.search(before[-8:])
    found = _read_after(after[:_READ])
    if found.meanings or found.percent or sign is None:
        return found
    return found._replace(meanings=_find(fold(sign[0]).replace("\\", "").strip()))


def _read_after(after: str) -> FoundUnit:
    text = after.replace("²", "^2").replace("³", "^3").replace("**", "^").replace("\\", " ")
    # Folding must not move places, or the length would be another text's.
    folded = "".join(fold(letter)[:1] or letter for letter in text)
    grown = len(text) - len(after)
    first = _TOKEN.match(folded)
    if first is None:
        return FoundUnit()
    scale = _SCALE_OF.get(first[1], 1)
    place = first.end() if scale > 1 else 0
    of = _OF.match(folded, place) if place else None
    meanings, percent, end = _read_tokens(folded, of.end() if of else place)
    if scale > 1 and not meanings and not percent:
        alone = _find(first[1])
        return FoundUnit(alone, 1, False, place) if alone else FoundUnit((), scale, False, place)
    return FoundUnit(meanings, scale, percent, max(0, end - grown))


def _read_tokens(text: str, start: int) -> tuple[tuple[Unit, ...], bool, int]:
    """The longest unit that the tokens from `start` on make."""
    tokens: list[str] = []
    ends: list[int] = []
    place = start
    while len(tokens) < _MOST_TOKENS and (token := _TOKEN.match(text, place)) is not None:
        tokens.append(token[1].replace("{", "").replace("}", "").replace("μ", "µ"))
        ends.append(token.end())
        place = token.end()
    for count in range(len(tokens), 0, -1):
        key, end = "".join(tokens[:count]), ends[count - 1]
        if end < len(text) and text[end].isalnum() and text[end - 1].isalpha():
            continue
        if key in _PERCENT:
            return (), True, end
        meanings = _find(key)
        if meanings and not (key in _ONLY_LAST and text[end:].strip(" .,;:!?)")):
            return meanings, False, end
    return (), False, start
