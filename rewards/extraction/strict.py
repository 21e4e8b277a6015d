"""The fast path: text that is strict JSON, read by orjson, or by the standard library where orjson would lose something."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

_DIGITS_AS_ZERO = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG_DIGITS = b"0" * 19


class _NotStrict(ValueError):
    """Raised for what is not JSON or cannot be kept: NaN, Infinity, numbers beyond a double."""


def has_long_integer(text: str) -> bool:
    """True where the text has 19 digits in a row, so that an integer in it may not fit 64 bits."""
    encoded = text.encode("utf-8", "surrogatepass")
    # Every sixth byte first: a run of 19 digits shows three in a row there, and most texts show none.
    if b"000" not in encoded[::6].translate(_DIGITS_AS_ZERO):
        return False
    return _LONG_DIGITS in encoded.translate(_DIGITS_AS_ZERO)


def _refuse(constant: str) -> Any:
    raise _NotStrict(constant)


def _read_finite(token: str) -> float:
    value = float(token)
    if not math.isfinite(value):
        raise _NotStrict(token)
    return value


_DECODER: Any = json.JSONDecoder(parse_constant=_refuse, parse_float=_read_finite)
_PLAIN_DECODER: Any = json.JSONDecoder(parse_constant=_refuse)


def read_exactly(text: str) -> Any:
    """Reads text that orjson refuses or rounds: integers of up to 4,300 digits, lone surrogates. Raises ValueError."""
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise _NotStrict("too deep") from error


def read_strict(text: str) -> Any:
    """Reads text that is strict JSON as a whole. Raises ValueError where it is not, or where only our own reader is exact."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reason = error.msg
        if "surrogate" in reason:
            return read_exactly(text)
        raise
    return read_exactly(text) if has_long_integer(text) else value


_STARTS_STRICT = re.compile(r'\{[ \t\r\n]*+["}]|\[[ \t\r\n]*+["\[\]{0-9tfn-]')


def read_prefix(text: str, start: int) -> tuple[Any, int] | None:
    """Reads the strict JSON that begins at `start` and says where it ends; None where there is none."""
    found = scan_prefix(text, start)
    return found if isinstance(found, tuple) else None


def scan_prefix(text: str, start: int) -> tuple[Any, int] | int | None:
    """As `read_prefix`, but where the text stops being strict JSON its place is given, as far as the scanner says it."""
    if _STARTS_STRICT.match(text, start) is None:
        return None
    try:
        value, end = _PLAIN_DECODER.scan_once(text, start)
    except json.JSONDecodeError as error:
        return error.pos
    except StopIteration as stop:
        return int(stop.value)
    except (ValueError, RecursionError):
        return None
    if "e" in text[start:end] or "E" in text[start:end]:
        try:
            value, end = _DECODER.scan_once(text, start)
        except (ValueError, StopIteration, RecursionError):
            return None
    return value, end
