"""Values in quotes that cannot be trusted, and values without quotes: numbers, literals, calls, tuples, text."""

from __future__ import annotations

import re
from typing import Any

from rewards.extraction import patterns as P
from rewards.extraction.flat import read_flat
from rewards.extraction.repairs import RepairKind as K
from rewards.extraction.scalars import read_bare, read_cut
from rewards.extraction.state import MISSING, Frame, State
from rewards.extraction.strings import decode, find_close, trim_guillemets


def read_quoted(state: State, i: int, follows: Any, *, raw: bool = False) -> Any:
    """Reads the quoted text at `i` and moves behind it, with what is concatenated to it; `raw`: its backslashes are its own."""
    text, end = state.text, state.end
    pieces = []
    closers = state.closers()
    while True:
        found = find_close(text, i, end, follows, state.fits, closers, state.budget)
        content = trim_guillemets(text[found.start : found.stop], text[i])
        value, kinds = (content, ()) if raw else decode(content, text[i], cut=found.cut)
        for kind in (*found.kinds, *kinds):
            state.note(kind, i)
        pieces.append(value)
        state.i = found.after
        if found.cut:
            state.cut = True
            break
        more = P.CONCATENATION.match(text, state.i, end)
        joined = None if more is not None or text[i] not in "\"'" else P.CONCATENATED.match(text, state.i, end)
        if more is None and (joined is None or state.stack[-1].kind != "{"):
            break
        state.budget.spend(3)
        state.note(K.CONCATENATION, state.i)
        i = more.end() if more is not None else joined.start(1)  # type: ignore[union-attr]
    return "".join(pieces)


def read_bare_value(state: State, frame: Frame, key: Any, i: int) -> None:
    """Reads a value without quotes: number, literal, call, tuple, or text up to where the next member begins."""
    text, end = state.text, state.end
    prefixed = P.PREFIXED_STRING.match(text, i, end)
    if prefixed is not None:
        state.note(K.QUOTE_STYLE, i)
        follows = P.FOLLOWS_ELEMENT if frame.kind != "{" else P.FOLLOWS_MEMBER
        raw = "r" in prefixed[0].lower()
        state.store(frame, key, read_quoted(state, prefixed.end(), follows.match, raw=raw))
        return
    escaped = P.ESCAPED_QUOTED.match(text, i, end)
    if escaped is not None:
        state.note(K.ESCAPE, i)
        state.i = escaped.end()
        state.store(frame, key, escaped[1])
        return
    function = P.FUNCTION.match(text, i, end) if text[i] in "af(" or text.startswith("=>", i + 2) else None
    if function is not None:
        state.note(K.BARE_TEXT, i)
        state.i = function.end()
        state.store(frame, key, function[0])
        return
    call = P.CALL.match(text, i, end)
    if call is not None:
        state.note(K.CALL, i)
        state.push("(", i, key, call[1])
        state.i = call.end()
        return
    if text[i] == "(":
        flat = P.FLAT_TUPLE.match(text, i, end)
        if flat is not None and flat[1].strip() and not flat[1].strip().replace("-", "").isalpha():
            state.note(K.LITERAL, i)
            values = read_flat(state, flat[1], i + 1)
            alone = len(values) == 1 and "," not in flat[1]
            state.i = flat.end()
            state.store(frame, key, values[0] if alone else values)
            return
        if P.TUPLE_START.match(text, i, end):
            state.note(K.LITERAL, i)
            state.push("(", i, key)
            return
    read_bare_text(state, frame, key, i)


def read_bare_text(state: State, frame: Frame, key: Any, i: int) -> None:
    """Reads a number, a literal or a text without quotes that is neither call nor tuple."""
    text = state.text
    stop, after, ended = find_bare_end(state, frame, i)
    run = text[i:stop].strip()
    if not run.isascii():
        run = run.strip(P.NO_WIDTH)
    state.i = after
    if not ended:
        state.cut = True
        before_key = P.CUT_BEHIND_SCALAR.fullmatch(run) if frame.kind == "{" else None
        value, keep = read_cut(run if before_key is None else before_key[1])
        if keep:
            state.store(frame, key, value)
        return
    if not run:
        state.note(K.MISSING_VALUE, i)
        state.store(frame, key, None if frame.kind == "{" else MISSING)
        return
    if frame.kind != "{" and P.SPACED_SCALARS.fullmatch(run):
        state.note(K.MISSING_COMMA, i)
        frame.value.extend(read_bare(piece)[0] for piece in run.split())
        return
    value, kind = read_bare(run)
    if after > stop and text[stop] in P.QUOTES:
        value, kind = run, K.MISSING_QUOTE
    if kind is K.BARE_TEXT and isinstance(value, str):
        junction = P.SCALAR_AND_JUNCTION.fullmatch(run) if frame.kind == "{" else None
        if junction is not None:
            state.note(K.SEPARATOR if junction["junction"] else K.GARBAGE, i + junction.end(1))
            value, kind = read_bare(junction[1])
        elif _RUN_ON.search(run) is not None:
            state.note(K.RUN_ON, i)
    if kind is not None:
        state.note(kind, i)
    if frame.kind != "{" and isinstance(value, int | float) and not isinstance(value, bool):
        if frame.numbers is not None:
            frame.numbers.append((i, i + len(run)))
    elif frame.kind != "{":
        frame.numbers = None
    state.store(frame, key, value)


# Marks in a bare text that may be structure of the document, so that the text may be too long.
_RUN_ON = re.compile(r"[,:] |[{}\[\"\n]")


def find_bare_end(state: State, frame: Frame, i: int) -> tuple[int, int, bool]:
    """Finds where bare text ends: (end of the run, where to go on, False where the text ended first)."""
    text, end, in_object = state.text, state.end, frame.kind == "{"
    split = P.SPLIT_SCALAR.match(text, i, end) if in_object else None
    if split is not None:
        return split.end(1), split.end(), True
    comma_ends = (
        P.COMMA_ENDS_NUMBERED
        if frame.bare and text[frame.members : frame.members + 1].isdigit()
        else P.COMMA_ENDS_MEMBER
    )
    j = i
    while True:
        match = P.BARE_EVENT.search(text, j, end)
        if match is None:
            return end, end, False
        state.budget.spend()
        e = match.start()
        c = text[e]
        if c == ";" and P.ENTITY_BEFORE.search(text, max(i, e - 10), e) is not None:
            pass
        elif c in ",;，、；،":
            if not in_object or frame.colonless or comma_ends.match(text, e + 1, end):
                return e, e, True
            if P.LINE_ENDS.match(text, e + 1, end) and P.SOUND_SCALAR.fullmatch(text[i:e].strip()):
                return e, e, True
        elif c in "\n\r" and in_object and e > i and state.last_closer > e and goes_on(state, i, e):
            pass
        elif (
            c in "\n\r}"
            or (c == ")" and any(open_frame.closer == ")" for open_frame in state.stack[-8:]))
            or (
                c == ")"
                and "(" not in text[i:e]
                and (not in_object or P.CLOSERS_FOLLOW.match(text, e + 1, end))
                and P.SOUND_SCALAR.fullmatch(text[i:e].strip())
            )
        ):
            return e, e, True
        elif c == "]":
            if "[" not in text[i:e] or any(open_frame.closer == "]" for open_frame in state.stack[-8:]):
                return e, e, True
        elif c in "[{":
            inside = P.BRACKETED_TEXT.match(text, e, end)
            if inside is None or ('"' in inside[0] and P.SOUND_SCALAR.fullmatch(text, i, e)):
                return e, e, True
            match = inside
        elif c in "\"'“”’`":
            key_next = text[e - 1].isspace() or P.SCALAR_BEFORE_KEY.fullmatch(text, i, e)
            if key_next and P.QUOTED_KEY.match(text, e, end):
                return e, e, True
            follows = P.FOLLOWS_MEMBER if in_object else P.FOLLOWS_ELEMENT
            closes = follows.match(text, e + 1, end) if c in "\"'”’" else None
            if closes is not None and c == '"' and text.count(c, i, e) % 2:
                # The second of a pair of quotes in the text.
                closes = None
            if closes is not None and (closes[1] is None or state.fits(closes.start(1))):
                return e, e + 1, True
        elif c == "/" or c == "<":
            if c == "<" or text[e - 1].isspace() or text[e - 1].isdigit():
                return e, e, True
            # A lone /* in a path or a command opens nothing.
            if text.startswith("/*", e) and text.find("*/", e + 2, min(end, e + 2_000)) >= 0:
                return e, e, True
        elif c.isspace() or (c == "." and e > i):
            return e, e, True
        j = match.end()


def goes_on(state: State, i: int, e: int) -> bool:
    """True where the bare text that began at `i` has another line behind the break at `e`."""
    if P.SOUND_SCALAR.fullmatch(state.text[i:e].strip()):
        return False
    state.budget.spend(10)
    return P.LINE_ENDS_VALUE.match(state.text, e + 1, state.end) is None
