"""Seconds, bytes and counts as a person says them."""

from __future__ import annotations

_GIB = 1024**3


def format_seconds(seconds: float) -> str:
    """Seconds as a person says them: `8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_size(size: float, digits: int = 1) -> str:
    """Bytes as `1.5 GiB`, small ones as `38.5 MiB` or `12 KiB`."""
    if size >= 0.1 * _GIB:
        return f"{size / _GIB:.{digits}f} GiB"
    return f"{size / 1024**2:.1f} MiB" if size >= 0.05 * 1024**2 else f"{size / 1024:.0f} KiB"


def format_count(number: float) -> str:
    """`1308299` as `1.31M`."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"
