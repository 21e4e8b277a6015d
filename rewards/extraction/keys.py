"""Keys: quoted, half quoted, bare, or without their colon."""

from __future__ import annotations

from typing import Any

from rewards.extraction import patterns as P
from rewards.extraction.budget import Budget, BudgetSpent
from rewards.extraction.repairs import RepairKind as K
from rewards.extraction.state import MISSING, SKIPPED, Frame, State
from rewards.extraction.strings import Text, decode, find_close, trim_guillemets


def read_key(state: State, frame: Frame, i: int) -> Any:
    """Reads a key and its colon, leaving `i` at the value; MISSING where there is none."""
    text, end = state.text, state.end
    prefix = P.PREFIXED_STRING.match(text, i, end)
    if prefix is not None and P.QUOTED_KEY.match(text, prefix.end(), end):
        state.note(K.QUOTE_STYLE, i)
        i = prefix.end()
    c = text[i]
    if c in P.QUOTES:
        match = P.QUOTED_KEY.match(text, i, end)
        inner = match is not None and P.INNER_COLON.search(match[1], 1, len(match[1]) - 1)
        if match is None or (inner and not (c == '"' and P.STRICT_VALUE.match(text, match.end(), end))):
            lone = P.LONE_KEY.match(text, i, end)
            if lone is not None and lone.end() == end:
                state.i = end
                state.finish(cut=True)
                return SKIPPED
            misquoted = P.MISQUOTED_KEY.match(text, i, end) or (match is None and P.OPEN_QUOTED_KEY.match(text, i, end))
            if not misquoted:
                return read_odd_key(state, frame, i)
            match, raw = misquoted, misquoted[1]
            state.note(K.MISSING_QUOTE, i)
        else:
            raw = match[1][1:-1]
            if len(raw) > 2 and raw[0] == raw[-1] == c and c in "\"'":
                raw = raw[1:-1]
                state.note(K.QUOTE_STYLE, i)
        if c in "\"'":
            frame.quote = c
        if c != '"':
            state.note(K.QUOTE_STYLE, i)
        check_colon(state, match.end())
        key, kinds = decode(trim_guillemets(raw, c), c)
        for kind in kinds:
            state.note(kind, i)
        state.i = match.end()
        return key
    match = P.BARE_KEY_START.match(text, i, end)
    if match is not None and frame.value and not (frame.bare or frame.comma) and _is_heading(state, i, match.end()):
        state.finish(cut=False)
        return SKIPPED
    if match is not None:
        state.note(K.MISSING_QUOTE if match[2] else K.BARE_KEY, i)
        check_colon(state, match.end())
        frame.bare = frame.bare or not match[2]
        state.i = match.end()
        return match[1]
    odd = P.ODD_KEY.match(text, i, end) if len(state.stack) > 0 and frame.comma else None
    if odd is not None:
        state.note(K.BARE_KEY, i)
        state.i = odd.end()
        return odd[1]
    return MISSING


def _is_heading(state: State, i: int, after: int) -> bool:
    """True where a line of words and a colon stands behind a blank line, and a bracket on the line below: another value."""
    text = state.text
    return (
        P.PARAGRAPH_BEFORE.search(text, max(0, i - 40), i) is not None and P.VALUE_BELOW.match(text, after) is not None
    )


def check_colon(state: State, after: int) -> None:
    if state.text[after - 1] != ":":
        state.note(K.SEPARATOR, after - 1)


def read_odd_key(state: State, frame: Frame, i: int) -> Any:
    """Reads a quoted key that is long, doubled, or without a colon; a lone text makes the object a set."""
    text, end = state.text, state.end
    found = find_key_end(state, i)
    if found is not None and not found.cut and not {K.MISSING_QUOTE, K.ESCAPE} & set(found.kinds):
        colon = P.FOLLOWS_KEY.match(text, found.after, end)
        strange = K.INNER_QUOTE in found.kinds and P.STRUCTURE.search(text, found.start, found.stop)
        if colon is not None and found.stop - i < 400 and not strange:
            state.i = colon.end()
            key, kinds = decode(text[found.start : found.stop], text[i])
            for kind in (*found.kinds, *kinds):
                state.note(kind, i)
            return key
    lone = P.LONE_KEY.match(text, i, end)
    if lone is None:
        if P.CUT_KEY.match(text, i, end):
            state.i = end
            state.finish(cut=True)
        return MISSING
    state.i = lone.end()
    following = text[state.i : state.i + 1]
    if not following:
        state.finish(cut=True)
        return MISSING
    if following in ",}":
        if frame.value or P.KEY_AHEAD.match(text, state.i, end):
            frame.value[decode(lone[1][1:-1], text[i])[0]] = None
            frame.comma = False
            state.note(K.MISSING_VALUE, i)
        else:
            state.i = i
            state.turn_into_list(frame)
        return SKIPPED
    if P.STRUCTURE.search(lone[1]):
        state.i = i
        return MISSING
    if following == ";" and P.SEMICOLON_VALUE.match(text, state.i, end):
        state.note(K.SEPARATOR, state.i)
        state.i += 1
        return decode(lone[1][1:-1], text[i])[0]
    state.note(K.MISSING_COLON, state.i)
    frame.colonless = True
    return decode(lone[1][1:-1], text[i])[0]


def find_key_end(state: State, i: int) -> Text | None:
    """Where the quoted key at `i` ends; None when that takes too long to find out."""
    allowance = Budget(100)
    try:
        return find_close(state.text, i, state.end, P.FOLLOWS_KEY.match, state.fits, "", allowance)
    except BudgetSpent:
        return None
    finally:
        state.budget.spend(100 - max(0, allowance.left))
