"""Lists of bare scalars, read whole so that their commas can be weighed together."""

from __future__ import annotations

import re
from typing import Any

from rewards.extraction import patterns as P
from rewards.extraction.numbers import pair_decimals
from rewards.extraction.repairs import RepairKind as K
from rewards.extraction.scalars import read_bare
from rewards.extraction.state import MISSING, State

# Full-width commas and semicolons, as East Asian keyboards type them.
_LINE_EDGES = " \t\r,"
_EDGES = " \t\r\n,"
_ODD_SPACE = re.compile("[\f\v\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029]")
_COMMA_AND_SPACE = re.compile(r",\s")
_WIDE = str.maketrans({"，": ",", "、": ",", "；": ";"})


def open_container(state: State, opener: str, i: int, key: Any) -> None:
    """Opens the container at `i`, or reads it at once where it is a list of bare scalars."""
    if opener == "[":
        flat = P.FLAT.match(state.text, i, state.end)
        if flat is not None and ("\n" not in flat[1] or "," in flat[1] or not flat[1].strip()):
            values = read_flat(state, flat[1], i + 1)
            state.i = flat.end()
            if not state.stack:
                state.root, state.closed = values, True
                return
            state.stack[-1].comma = False
            if key is not MISSING:
                state.store(state.stack[-1], key, values)
            return
    state.push(opener, i, key)


def read_flat(state: State, content: str, place: int) -> list[Any]:
    """Reads the inside of a list of bare scalars; decimal commas only where nothing else makes sense."""
    if not content.strip():
        return []
    values: list[Any] = []
    if not content.isascii():
        content = content.translate(_WIDE)
    if _ODD_SPACE.search(content) is not None:
        state.note(K.WHITESPACE, place)
    separator = ";" if ";" in content else ","
    paired = pair_decimals(content) if separator == "," else None
    if paired is not None and paired[1]:
        state.note(K.DECIMAL_COMMA, place)
        return paired[0]
    if separator == ";":
        state.note(K.SEPARATOR, place)
    parts = content.split(separator)
    inner = [part.rstrip(_EDGES) for part in parts] if separator == ";" else ()
    if inner and (
        ",," in content
        or (not all("," in part for part in inner) and any(_COMMA_AND_SPACE.search(part) for part in inner))
    ):
        # Both marks separate: a comma that stands for a decimal point has no space behind it, or stands in every part.
        state.note(K.SEPARATOR, place)
        content = content.replace(";", ",")
        separator, parts = ",", content.split(",")
    at = place
    for index, part in enumerate(parts):
        run = part.strip() if part.isascii() else part.strip().strip(P.NO_WIDTH)
        if run.startswith(("...", "…")) or run.endswith(("...", "…")):
            state.note(K.ELLIPSIS, at)
            run = run.strip(".… \t\r\n")
        where, at = at + part.find(run[:1]), at + len(part) + 1
        if separator == ";" and run[-1:] == ",":
            state.note(K.EXTRA_COMMA, where)
            run = run.rstrip(", \t\r\n")
        if run.isdigit() and run.isascii() and (run[0] != "0" or run == "0") and len(run) < 300:
            values.append(int(run))
            continue
        if separator == ";" and P.PLAIN_DECIMAL.fullmatch(run):
            state.note(K.DECIMAL_COMMA, where)
            values.append(float(run.replace(",", ".")))
            continue
        if not run:
            state.note(K.TRAILING_COMMA if index == len(parts) - 1 else K.EXTRA_COMMA, where)
            continue
        value, kind = read_bare(run)
        if kind is K.BARE_TEXT and P.SPACED_SCALARS.fullmatch(run):
            state.note(K.MISSING_COMMA, where)
            values.extend(read_bare(piece)[0] for piece in run.split())
            continue
        if kind is K.NUMBER_FORMAT and P.SPACED_SCALARS.fullmatch(run):
            state.note(K.MISSING_COMMA, where)
            values.extend(read_bare(piece)[0] for piece in run.split())
            continue
        if kind is K.BARE_TEXT and "\n" in run:
            state.note(K.MISSING_COMMA, where)
            values.extend(read_bare(line.strip(_LINE_EDGES))[0] for line in run.split("\n") if line.strip(_LINE_EDGES))
            continue
        if kind is not None:
            state.note(kind, where)
        values.append(value)
    if paired is not None:
        state.doubtful.append((values, paired[0], place))
    return values
