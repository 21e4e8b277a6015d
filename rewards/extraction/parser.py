"""The tolerant reader of one JSON value: iterative, with a stack of its own, repairing as it goes."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, NamedTuple

from rewards.extraction import patterns as P
from rewards.extraction.budget import BudgetSpent
from rewards.extraction.duplicates import locate
from rewards.extraction.elements import read_elements
from rewards.extraction.flat import open_container
from rewards.extraction.members import read_members
from rewards.extraction.repairs import Path, Repair
from rewards.extraction.repairs import RepairKind as K
from rewards.extraction.state import MISSING, Frame, State


class ParsedValue(NamedTuple):
    """One value read from text[start:end]; `closed` says that its root ended properly, `cut` that the text ended inside it."""

    value: Any
    start: int
    end: int
    repairs: tuple[Repair, ...]
    closed: bool
    cut: bool
    too_deep: bool = False
    duplicates: tuple[Path, ...] = ()


def parse(state: State, *, implicit: bool = False) -> ParsedValue | None:
    """Reads the value at the start of `state`, or bare members there where `implicit`; None where it is not a value at all."""
    if implicit:
        state.stack.append(Frame("{", state.start, None, '"'))
        state.note(K.MISSING_OPENER, state.start)
    else:
        _open_at_root(state)
    stack = state.stack
    try:
        while stack:
            frame = stack[-1]
            if frame.kind == "{":
                read_members(state, frame)
            else:
                read_elements(state, frame)
    except BudgetSpent:
        state.note(K.GARBAGE, state.i)
    if stack:
        _abandon(state)
    if state.root is MISSING:
        return None
    for target, alternative, place in state.doubtful:
        if state.decimals:
            target[:] = alternative
            state.note(K.DECIMAL_COMMA, place)
    # Not a set: its order, and with it that of two repairs at one place, differs from process to process.
    repairs = tuple(state.repairs)
    if len(repairs) > 1:
        repairs = tuple(sorted(dict.fromkeys(repairs), key=itemgetter(1)))
    duplicates = locate(state.root, state.repeated) if state.repeated else ()
    return ParsedValue(state.root, state.start, state.i, repairs, state.closed, state.cut, state.too_deep, duplicates)


def _open_at_root(state: State) -> None:
    text, i = state.text, state.i
    call = P.CALL.match(text, i, state.end)
    if call is not None:
        state.push("(", i, None, call[1])
        state.i = call.end()
    elif text[i] == "(":
        state.push("(", i, None)
    else:
        open_container(state, text[i], i, None)


def _abandon(state: State) -> None:
    """The budget is spent or the nesting too deep: keep what was read, unless nothing sensible can be said."""
    if state.too_deep:
        state.stack.clear()
        state.root = MISSING
    else:
        state.finish(cut=False)
