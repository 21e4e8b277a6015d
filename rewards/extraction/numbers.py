"""Numbers as people and models write them: Brazilian decimals and thousands, currencies, percentages, integers of any size."""

from __future__ import annotations

import math
import re

from rewards.extraction.repairs import RepairKind

# Longer integers stay text, which is exact too: Python itself refuses to print an int of more digits.
MAX_INTEGER_DIGITS = 4_300

_DOTTED, _COMMAS, _PLAIN = "dotted", "commas", "plain"
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?+([eE][-+]?[0-9]++)?+")
_CURRENCY = r"R\$|US\$|U\$S|U\$|\$|€|£|¥|BRL\b|USD\b|EUR\b|GBP\b"
_DRESSED = re.compile(
    rf"(?P<sign>[-+−–]?)\s?(?P<prefix>(?:{_CURRENCY})?)\s{{0,3}}(?P<inner>[-+−–]?)"
    r"(?P<body>[0-9.,][0-9.,_'’   ]*+(?:[eE][-+]?[0-9]++)?+)"
    rf"\s{{0,3}}(?P<suffix>(?:%|{_CURRENCY})?)"
)
_DOTTED_GROUPS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{3})++)(?:,\s?([0-9]++))?+")
_COMMA_GROUPS = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})++)(?:\.([0-9]++))?+")
_SPACE_GROUPS = re.compile(r"([0-9]{1,3}(?:[   '’][0-9]{3})++)(?:[.,]([0-9]++))?+")
_UNDERSCORES = re.compile(r"(?=[0-9.]*+_)[0-9]++(?:_[0-9]++)*+(?:\.[0-9]++(?:_[0-9]++)*+)?+")
_DECIMAL_COMMA = re.compile(r"([0-9]*+)\s?,\s?([0-9]++)([eE][-+]?[0-9]++)?+")
_LOOSE_POINT = re.compile(r"(?:[0-9]++\.|\.[0-9]++|[0-9]++(?:\.[0-9]++)?+)(?:[eE][-+]?[0-9]++)?+")
_BASED = re.compile(r"([-+]?)0(?:[xX]([0-9a-fA-F]{1,64})|[bB]([01]{1,256})|[oO]([0-7]{1,96}))")
_SPOKEN_UNIT = re.compile(r"\s(?:reais|real|por cento)\Z", re.IGNORECASE)


def read_integer(digits: str) -> int | str:
    """Reads an optional minus and ASCII digits exactly; past MAX_INTEGER_DIGITS the text comes back as it is."""
    if len(digits.lstrip("+-")) > MAX_INTEGER_DIGITS:
        return digits
    return int(digits)


def read_json_number(token: str) -> int | float | str | None:
    """Reads a token that already has the form of a JSON number; None where it overflows a double."""
    if token.lstrip("-").isdigit():
        return read_integer(token)
    value = float(token)
    return value if math.isfinite(value) else None


def read_number(run: str) -> tuple[int | float | str | None, RepairKind | None] | None:
    """Reads a bare run of text as a number in value position; None where it is not one.

    A single group such as `1.234` is JSON's 1.234 and `1,234` is 1.234, except after a currency sign that settles it.
    Addresses, versions, dates, ranges, phone numbers, identifiers and leading zeros are not numbers.
    """
    match = _JSON_NUMBER.fullmatch(run)
    if match is not None:
        value = read_json_number(run)
        kind = RepairKind.NON_FINITE if value is None else RepairKind.LONG_INTEGER if isinstance(value, str) else None
        return value, kind
    return read_dressed(run, json_point=True)


def read_dressed(run: str, *, json_point: bool) -> tuple[int | float | str | None, RepairKind] | None:
    """Reads a number with any of: sign, currency, percent, grouping. `json_point`: a lone `1.234` is 1.234, not 1234."""
    if len(run) > MAX_INTEGER_DIGITS + 64:
        return None
    based = _BASED.fullmatch(run)
    if based is not None:
        sign, hexadecimal, binary, octal = based.groups()
        whole = int(hexadecimal or binary or octal, 16 if hexadecimal else 2 if binary else 8)
        return (-whole if sign == "-" else whole), RepairKind.NUMBER_FORMAT
    match = _DRESSED.fullmatch(run)
    if match is None:
        return None
    signs = match["sign"] + match["inner"]
    if len(signs) > 1 or (match["prefix"] and match["suffix"]):
        return None
    currency = match["prefix"] or match["suffix"].replace("%", "")
    read = _read_body(match["body"].strip(), currency, json_point)
    if read is None:
        return None
    value, kind = read
    if isinstance(value, float) and not math.isfinite(value):
        return None, RepairKind.NON_FINITE
    if currency or match["suffix"]:
        kind = RepairKind.NUMBER_FORMAT
    if signs and signs != "+" and not isinstance(value, str):
        value = -value
    return value, kind


def _read_body(body: str, currency: str, json_point: bool) -> tuple[int | float | str, RepairKind] | None:
    # Thousands before decimals: 1.234,5 and 1,234.5 are sure. What is left is 1.234 alone, which only a currency or the
    # caller can settle.
    match = _DOTTED_GROUPS.fullmatch(body)
    if match is not None:
        whole, fraction = match.groups()
        lone = whole.count(".") == 1 and fraction is None
        anglo = currency in ("US$", "U$S", "U$", "$", "£", "USD", "GBP")
        if lone and (whole[0] == "0" or anglo or (json_point and not currency)):
            return float(whole), RepairKind.NUMBER_FORMAT
        if whole[0] == "0" or (fraction is None and _is_address(whole)):
            return None
        return _join(whole.replace(".", ""), fraction), RepairKind.NUMBER_FORMAT
    match = _COMMA_GROUPS.fullmatch(body)
    if match is not None:
        whole, fraction = match.groups()
        if whole.count(",") > 1 or fraction is not None or currency in ("US$", "U$S", "U$", "$", "£", "USD", "GBP"):
            return None if whole[0] == "0" else (_join(whole.replace(",", ""), fraction), RepairKind.NUMBER_FORMAT)
    match = _DECIMAL_COMMA.fullmatch(body)
    if match is not None:
        whole, fraction, exponent = match.groups()
        return float(f"{whole or '0'}.{fraction}{exponent or ''}"), RepairKind.DECIMAL_COMMA
    match = _SPACE_GROUPS.fullmatch(body)
    if match is not None and match[1][0] != "0":
        return _join(re.sub(r"[^0-9]", "", match[1]), match[2]), RepairKind.NUMBER_FORMAT
    match = _UNDERSCORES.fullmatch(body)
    if match is not None:
        plain = body.replace("_", "")
        return (float(plain) if "." in plain else read_integer(plain)), RepairKind.NUMBER_FORMAT
    if _LOOSE_POINT.fullmatch(body) is not None:
        if body.isdigit():
            return None if body[0] == "0" and len(body) > 1 else (read_integer(body), RepairKind.NUMBER_FORMAT)
        return float(body), RepairKind.NUMBER_FORMAT
    return None


def _join(whole: str, fraction: str | None) -> int | float | str:
    return read_integer(whole) if fraction is None else float(f"{whole}.{fraction}")


def _is_address(whole: str) -> bool:
    """192.168.100.200 is four octets; 1.000.000.000 is not, for no octet is written 000."""
    groups = whole.split(".")
    return len(groups) == 4 and all(group[0] != "0" and int(group) <= 255 for group in groups)


def as_number(text: str) -> int | float | None:
    """Reads a text such as "R$ 1.234,56", "12,5%", "1.234" or "-0,6" as the number a Brazilian reader would see.

    A percentage gives the figure before the sign. "1.234" is 1234 and "1,234" is 1.234, but "0.125" is 0.125 and "$1,234" is
    1234. None for anything else: words, dates, ranges, addresses, identifiers with leading zeros, values beyond a double.
    """
    run = _SPOKEN_UNIT.sub("", text.strip()) if len(text) <= MAX_INTEGER_DIGITS + 64 else ""
    match = _JSON_NUMBER.fullmatch(run)
    if match is not None and (match[2] or not _DOTTED_GROUPS.fullmatch(run.lstrip("-"))):
        value = read_json_number(run)
    elif _BASED.fullmatch(run):
        return None
    else:
        read = read_dressed(run, json_point=False)
        value = None if read is None else read[0]
    return None if isinstance(value, str) else value


_ROW_WHOLE = re.compile(r"[-+−–]?[0-9]++(?:\.[0-9]{3})*+")
_ROW_DRESSED = re.compile(rf"\s*((?:{_CURRENCY})?\s?[-+−–]?[0-9][0-9.]*+(?:,[0-9]++)?+\s?%?)\s*(?:,|\Z)")


def pair_decimals(content: str) -> tuple[list[int | float | str | None], bool] | None:
    """Reads the inside of a comma-separated list of bare numbers as decimal commas, where that makes sense.

    Comes back with the numbers and whether no other reading is possible: a fraction such as `05` cannot be an element, and a
    list of amounts or percentages says where each ends. `4,5, 3,2` is only possible; a list without both kinds of comma is None.
    """
    if "%" in content or "$" in content or "€" in content:
        runs, at = [], 0
        while at < len(content):
            match = _ROW_DRESSED.match(content, at)
            if match is None:
                return None
            runs.append(match[1])
            at = match.end()
        if all(run[-1] == "%" for run in runs) or not any(run[0] in "-+0123456789" for run in runs):
            return _read_all(runs, certain=True)
        return None
    parts = [part.strip() for part in content.split(",")]
    if len(parts) % 2 == 0 and any(len(part) > 1 and part[0] == "0" and part.isdigit() for part in parts[1::2]):
        sound = all(_ROW_WHOLE.fullmatch(part) for part in parts[::2]) and all(part.isdigit() for part in parts[1::2])
        if sound:
            return _read_all(
                [f"{whole},{fraction}" for whole, fraction in zip(parts[::2], parts[1::2], strict=True)], certain=True
            )
    runs = [run.strip() for run in re.split(r",\s", content)]
    if len(runs) < 2 or not any("," in run for run in runs):
        return None
    certain = any(re.search(r",0[0-9]", run) for run in runs)
    return _read_all(runs, certain=certain)


def _read_all(runs: list[str], *, certain: bool) -> tuple[list[int | float | str | None], bool] | None:
    values = []
    for run in runs:
        read = read_number(run) if run.count(",") <= 1 else None
        if read is None:
            return None
        values.append(read[0])
    return values, certain
