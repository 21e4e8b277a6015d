"""Objects: well-formed members with one match each, all others by steps."""

from __future__ import annotations

from typing import Any

from rewards.extraction import patterns as P
from rewards.extraction.bare import read_bare_value, read_quoted
from rewards.extraction.closing import at_fence, close, dedent
from rewards.extraction.flat import open_container
from rewards.extraction.keys import read_key
from rewards.extraction.repairs import RepairKind as K
from rewards.extraction.state import LITERALS, MISSING, SKIPPED, Frame, State


def read_members(state: State, frame: Frame) -> None:
    """Reads members until a container opens or closes: well-formed ones with one match each, others by steps."""
    text, end, members = state.text, state.end, frame.value
    match_member = P.MEMBER[frame.quote].match
    i = state.i
    while True:
        # One match a member where nothing is wrong, which is nearly always: going by steps asks many questions of each.
        # By indentation every key must be looked at, for its column tells which object it belongs to.
        match = None if state.indented else match_member(text, i, end)
        if match is None:
            if not frame.comma and not state.indented and i < end:
                # What stands after a nested container, mostly.
                if text[i] == ",":
                    frame.comma = True
                    i += 1
                    continue
                if text[i] == "}" and not frame.doubled and frame.closer == "}":
                    state.i = i + 1
                    state.pop()
                    return
            state.i = i
            read_member(state, frame)
            if not state.stack or state.stack[-1] is not frame or frame.kind != "{":
                return
            i = state.i
            match_member = P.MEMBER[frame.quote].match
            continue
        key, string, other, number, decimal, literal, opener = match.groups()
        if not frame.comma and members:
            state.note(K.MISSING_COMMA, match.start())
        frame.comma = False
        if frame.quote != '"':
            state.note(K.QUOTE_STYLE, match.start(1) - 1)
        if frame.members < 0:
            frame.members = match.start(1) - 1
        if opener is not None:
            state.i = match.end() - 1
            open_container(state, opener, state.i, key)
            return
        value: Any
        if string is not None:
            value = string
        elif other is not None:
            value = other
            if frame.quote == '"':
                state.note(K.QUOTE_STYLE, match.start(3) - 1)
        elif number is not None:
            value = state.number(number, match.start(4))
        elif decimal is not None:
            value = float(decimal.replace(",", "."))
            state.note(K.DECIMAL_COMMA, match.start(5))
        else:
            value = LITERALS[literal]
            if literal[0] in "TFN":
                state.note(K.LITERAL, match.start(6))
        if key in members:
            state.repeat(members, key, value)
        members[key] = value
        i = match.end()
        frame.comma = text[i - 1] == ","
        if not frame.comma and not frame.doubled and text.startswith("}", i):
            if len(state.stack) == 1 and P.STRING_GOES_ON.match(text, i + 1, end):
                # The brace is quoted inside a text that goes on: read this member again, by steps.
                state.i, frame.comma = match.start(), True
                read_member(state, frame)
                if not state.stack or state.stack[-1] is not frame:
                    return
                i = state.i
                continue
            state.i = i + 1
            state.pop()
            return


def read_member(state: State, frame: Frame) -> None:
    """Reads one step of an object that is not well formed: a separator, a closer, or a key and its value."""
    text, end = state.text, state.end
    state.budget.spend(3)
    i = state.i = state.skip(state.i)
    if i >= end:
        state.finish(cut=True)
        return
    c = text[i]
    if c in "}])":
        if frame.comma and frame.value and c == "}":
            state.note(K.TRAILING_COMMA, i)
        close(state, c)
        return
    if c in ",;，、；،|":
        state.separate(frame, i)
        return
    if dedent(state, frame, i):
        return
    if c in "`~'" and (at_fence(state, i) or text.startswith("```", i)):
        state.finish(cut=False)
        return
    if c in "-*•" and text[i + 1 : i + 2] == " ":
        state.note(K.GARBAGE, i)
        i = state.i = i + 1
        return
    if c == "*" and text.startswith("**{", i):
        # A mapping that Python unpacks into this one.
        state.note(K.LITERAL, i)
        state.i = i + 2
        open_container(state, "{", i + 2, MISSING)
        return
    if c == "*" and (unpacked := P.UNPACKED.match(text, i, end)) is not None:
        # One that is known by its name only.
        state.note(K.ELLIPSIS, i)
        state.i = unpacked.end()
        return
    key = read_key(state, frame, i)
    if not state.stack or state.stack[-1] is not frame or key is SKIPPED:
        return
    if key is MISSING:
        resync(state, frame)
        return
    if not frame.comma and frame.value:
        state.note(K.MISSING_COMMA, i)
    frame.comma = False
    if frame.members < 0:
        frame.members = i
    read_value(state, frame, key)


def resync(state: State, frame: Frame) -> None:
    """Nothing here can be a member: take in a nested value without a key, skip a remark, or give the object up."""
    text, i = state.text, state.i
    c = text[i]
    if not frame.value and (c in "{[" or P.SET_ITEM.match(text, i, state.end)):
        state.turn_into_list(frame)
        return
    if c == "{" and len(state.stack) > 1 and state.stack[-2].kind == "[":
        # A brace where a key is due, inside a list of objects: the next object, and this one was never closed.
        state.note(K.MISSING_CLOSER, i)
        state.pop()
        state.stack[-1].comma = True
        return
    if c == "{" and frame.comma and frame.value and reopen_records(state, frame, i):
        return
    if c == "{" and frame.comma:
        state.note(K.SHAPE, i)
        open_container(state, c, i, MISSING)
        return
    if c == "[" and frame.comma and frame.value and reopen_list(state, frame, i):
        return
    index = P.INDEX.match(text, i, state.end) if c == "[" and not frame.comma else None
    if index is not None:
        state.note(K.GARBAGE, i)
        state.i = index.end()
        return
    match = P.RESYNC.match(text, i, state.end) if frame.value else None
    if match is not None and match.end() > i:
        state.budget.spend(4)
        state.note(K.GARBAGE, i)
        state.i = match.end()
        frame.comma = text[state.i - 1] in ",\n"
        return
    state.finish(cut=False)


def reopen_list(state: State, frame: Frame, i: int) -> bool:
    """A list without a key behind a member that is one: it was closed too early. Rows go on as rows, plain items as items."""
    key, last = next(reversed(frame.value.items()))
    if not isinstance(last, list):
        return False
    state.budget.spend(4)
    state.note(K.EARLY_CLOSER, i)
    rows = bool(last) and isinstance(last[0], list)
    state.stack.append(Frame("[", i, key, frame.quote))
    state.stack[-1].value = last
    state.i = i if rows else i + 1
    return True


def reopen_records(state: State, frame: Frame, i: int) -> bool:
    """An object without a key behind a list of objects, where a closer is left over at the end: the list was closed too early."""
    key, last = next(reversed(frame.value.items()))
    if not isinstance(last, list) or not last or not isinstance(last[-1], dict):
        return False
    if state.surplus(i) <= len(state.stack):
        return False
    state.note(K.EARLY_CLOSER, i)
    state.stack.append(Frame("[", i, key, frame.quote))
    state.stack[-1].value = last
    state.i = i
    return True


def read_value(state: State, frame: Frame, key: Any) -> None:
    """Reads the value of a member of `frame`."""
    text, end = state.text, state.end
    i = state.i = state.skip(state.i, value=True)
    if i >= end:
        state.finish(cut=True)
        return
    c = text[i]
    if c == ":" and P.COLONS.match(text, i, end):
        state.note(K.SEPARATOR, i)
        i = state.i = state.skip(P.COLONS.match(text, i, end).end())  # type: ignore[union-attr]
        if i >= end:
            state.finish(cut=True)
            return
        c = text[i]
    if c in "{[":
        open_container(state, c, i, key)
    elif c in P.QUOTES:
        if "\n" in text[max(frame.place, i - 200) : i].rpartition(":")[2] and P.KEY_WITH_VALUE.match(text, i, end):
            state.note(K.MISSING_VALUE, i)
            frame.value[key] = None
            frame.comma = True
            return
        follows = P.FOLLOWS_ELEMENT if frame.colonless else P.FOLLOWS_BARE_MEMBER if frame.bare else P.FOLLOWS_MEMBER
        state.store(frame, key, read_quoted(state, i, follows.match))
    elif c in "}]);；" or (c == "," and not text[i + 1 : i + 2].isdigit()):
        state.note(K.MISSING_VALUE, i)
        frame.value[key] = None
    else:
        read_bare_value(state, frame, key, i)
