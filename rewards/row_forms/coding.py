"""In which coding a file is that is not UTF-8: by its mark, or by where the zeros of its first character stand (RFC 4627)."""

from __future__ import annotations

_MARKS = (
    (b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
)  # fmt: skip
"""The longer ones first: that of UTF-32 begins with that of UTF-16."""

_ZEROS = {"1000": "utf-32-le", "0001": "utf-32-be", "1010": "utf-16-le", "0101": "utf-16-be"}


def find_wide_coding(start: bytes) -> str | None:
    """`utf-16-le` and its kin, given the first four bytes of a file or more; None for UTF-8 and for whatever else."""
    marked = next((coding for mark, coding in _MARKS if start.startswith(mark)), None)
    if marked is not None or len(start) < 4:
        return "utf-16-be" if start == b"\0\n" else marked  # an empty first line, read to its end
    first = start[:4]
    if any(byte >= 0x80 for byte in first):
        return None
    return _ZEROS.get("".join("1" if byte else "0" for byte in first))


def name_coding(coding: str) -> str:
    """`UTF-16` or `UTF-32`, as people call it."""
    return coding[:6].upper()
