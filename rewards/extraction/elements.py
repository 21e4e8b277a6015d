"""Lists: well-formed texts with one match each, all others by steps."""

from __future__ import annotations

from rewards.extraction import patterns as P
from rewards.extraction.bare import read_bare_value, read_quoted
from rewards.extraction.closing import at_fence, close, wrap_row
from rewards.extraction.flat import open_container
from rewards.extraction.repairs import RepairKind as K
from rewards.extraction.state import Frame, State


def read_elements(state: State, frame: Frame) -> None:
    """Reads elements until a container opens or closes."""
    text, end, elements = state.text, state.end, frame.value
    i = state.i
    while True:
        match = None if state.indented else P.ELEMENT[frame.quote].match(text, i, end)
        if match is None:
            state.i = i
            read_element(state, frame)
            if not state.stack or state.stack[-1] is not frame or frame.kind == "{":
                return
            i = state.i
            continue
        string, other, opener = match.groups()
        if not frame.comma and elements:
            state.note(K.MISSING_COMMA, match.start())
        frame.comma = False
        if opener is not None:
            state.i = match.end() - 1
            open_container(state, opener, state.i, None)
            if state.stack[-1] is not frame:
                return
            i = state.i
            continue
        if string is not None:
            elements.append(string)
            if frame.quote != '"':
                state.note(K.QUOTE_STYLE, match.start(1) - 1)
        else:
            elements.append(other)
            if frame.quote == '"':
                state.note(K.QUOTE_STYLE, match.start(2) - 1)
        i = match.end()
        frame.comma = text[i - 1] == ","
        if not frame.comma and frame.kind == "[":
            if isinstance(elements[0], list) and wrap_row(state, frame, i):
                i = state.i
                continue
            state.i = i + 1
            state.pop()
            return


def read_element(state: State, frame: Frame) -> None:
    """Reads one step of a list that is not plain: a separator, a closer, or an element."""
    text, end = state.text, state.end
    state.budget.spend(3)
    i = state.i = state.skip(state.i, value=frame.comma)
    if i >= end:
        state.finish(cut=True)
        return
    c = text[i]
    if c in "}])":
        if frame.comma and frame.value and frame.kind == "[":
            state.note(K.TRAILING_COMMA, i)
        close(state, c)
        return
    if c in ",;，、；،|":
        state.separate(frame, i)
        return
    if c in "`~'" and at_fence(state, i):
        state.finish(cut=False)
        return
    is_keyword = P.KEYWORD.match(text, i, end) if frame.call and frame.kind == "(" else None
    if is_keyword and frame.value and isinstance(frame.value, list):
        # Keywords behind an argument, as in tensor([1], device="cpu"): they are read, and do not count as arguments.
        frame.members = len(frame.value) if frame.members < 0 else frame.members
        i = state.i = state.skip(is_keyword.end(), value=True)
        if i >= end:
            state.finish(cut=True)
            return
        c = text[i]
        frame.comma = True
    elif (is_keyword or P.KEY_IN_LIST.match(text, i, end)) and key_in_list(state, frame, i):
        return
    if not frame.comma and frame.value:
        if c not in P.QUOTES and c not in "{[(" and P.LIST_GOES_ON.match(text, i, end) is None:
            stray = None if P.PARAGRAPH_BEFORE.search(text, max(0, i - 40), i) else P.STRAY_ELEMENT.match(text, i, end)
            if stray is None or not (text[i - 1] == "\n" or state.indent(i) is not None or text[stray.end()] != "\n"):
                state.finish(cut=False)
                return
            state.note(K.GARBAGE, i)
        if frame.kind == "(" and c in P.QUOTES and isinstance(frame.value[-1], str):
            state.note(K.CONCATENATION, i)
            piece = read_quoted(state, i, P.FOLLOWS_ELEMENT.match)
            frame.value[-1] += piece
            return
        state.note(K.MISSING_COMMA, i)
    if frame.numbers is None and not frame.value:
        frame.numbers = []
    frame.comma = False
    if c in "{[":
        open_container(state, c, i, None)
    elif c in P.QUOTES:
        if c in "\"'":
            frame.quote = c
        state.store(frame, None, read_quoted(state, i, P.FOLLOWS_ELEMENT.match))
    else:
        read_bare_value(state, frame, None, i)


def is_alike(state: State, frame: Frame, i: int) -> bool:
    """True where the key at `i` is one of the record before it, and the record that it begins has a closer of its own."""
    match = P.KEY_IN_LIST.match(state.text, i, state.end)
    name = match[0].strip(" \t\r\n:=>\"'“”") if match is not None else ""
    return name in frame.value[-1] and state.surplus(i) > len(state.stack) - 1


def key_in_list(state: State, frame: Frame, i: int) -> bool:
    """A key inside a list: the list was never closed, or was an object all along. False where neither can be."""
    stack = state.stack
    if frame.kind == "(" and frame.call:
        if not isinstance(frame.value, list) or frame.value:
            return False
    elif frame.kind == "[" and frame.value and isinstance(frame.value[-1], dict) and is_alike(state, frame, i):
        state.note(K.MISSING_OPENER, i)
        state.push("{", i, None)
        state.i = i
        state.stack[-1].doubled = 0
        frame.comma = False
        return True
    elif (
        frame.kind == "["
        and frame.value
        and isinstance(frame.value[-1], dict)
        and frame.comma
        and state.surplus(i) > len(stack)
    ):
        # A member behind an object that was closed too early: the brackets left over at the end say so.
        state.note(K.EARLY_CLOSER, i)
        last = frame.value.pop()
        state.push("{", i, None)
        state.i = i
        stack[-1].value, stack[-1].doubled = last, 0
        return True
    elif frame.value and any(outer.kind == "{" for outer in stack[-64:-1]):
        state.note(K.MISSING_CLOSER, i)
        state.i = i
        while state.stack[-1].kind != "{":
            state.pop()
        state.stack[-1].comma = True
        return True
    elif frame.value:
        return False
    elif frame.kind == "[" and not state.text.startswith("=>", P.KEY_IN_LIST.match(state.text, i, state.end).end() - 2):  # type: ignore[union-attr]
        # The braces of a list's only object are missing.
        state.note(K.SHAPE, i)
        state.push("{", i, None)
        state.i = i
        state.stack[-1].doubled = 0
        return True
    state.note(K.CALL if frame.call else K.SHAPE, i)
    frame.value = {}
    frame.kind = "{"
    frame.doubled = 0
    return True
