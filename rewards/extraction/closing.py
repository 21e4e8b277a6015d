"""Which open container a closing bracket ends, and what indentation says where the brackets do not add up."""

from __future__ import annotations

from rewards.extraction import patterns as P
from rewards.extraction.bare import read_bare_text
from rewards.extraction.repairs import RepairKind as K
from rewards.extraction.state import Frame, State


def close(state: State, c: str) -> None:
    """Takes the closing bracket at `i`, whatever is open."""
    stack, i = state.stack, state.i
    frame = stack[-1]
    target = target_of(state, c, i)
    if target < 0:
        state.note(K.EXTRA_CLOSER, i)
        state.i = i + 1
        return
    if target == len(stack) - 1:
        rows = c == "]" and frame.value and isinstance(frame.value, list) and isinstance(frame.value[0], list)
        if rows and wrap_row(state, frame, i):
            return
        if frame.call and len(stack) > 1 and P.CALL_GOES_ON.match(state.text, i + 1, state.end):
            # Not a call: a text such as f(x) = 2.
            state.budget.spend(8 + (i - frame.place) // 8)
            stack.pop()
            read_bare_text(state, stack[-1], frame.key, frame.place)
            return
        if frame.closer != c:
            state.note(K.MISMATCHED_CLOSER, i)
        state.i = i + 1
        if frame.doubled:
            for _ in range(frame.doubled):
                state.i += state.text.startswith("}", state.i)
            if state.i == i + 1 and len(stack) == 1 and P.MORE_RECORDS.match(state.text, state.i, state.end):
                frame.doubled = 0
                state.turn_into_list(frame)
                frame.comma = False
                return
        state.pop()
        return
    state.note(K.MISSING_CLOSER, i)
    while len(stack) > target + 1:
        state.pop()
    close(state, c) if stack[-1].closer == c else pop_at(state, i + 1)


def wrap_row(state: State, frame: Frame, i: int) -> bool:
    """The closer at `i` ends a row that lost its opener, where another list follows and a closer is left over at the end."""
    items = frame.value
    if isinstance(items[-1], list | dict) or frame.kind != "[":
        return False
    if P.LIST_FOLLOWS.match(state.text, i + 1, state.end) is None or state.surplus(i + 1) < len(state.stack):
        return False
    first = len(items)
    while not isinstance(items[first - 1], list):
        first -= 1
    items[first:] = [items[first:]]
    state.note(K.MISSING_OPENER, i)
    frame.comma = False
    state.i = i + 1
    return True


def pop_at(state: State, i: int) -> None:
    state.note(K.MISMATCHED_CLOSER, i - 1)
    state.i = i
    state.pop()


def target_of(state: State, c: str, i: int) -> int:
    """Which open container the closer at `i` ends, as an index into the stack; -1 for none."""
    stack, text = state.stack, state.text
    top = len(stack) - 1
    matches = stack[top].closer == c
    if matches and not state.indented:
        return top
    # Of a bracket of the wrong kind the column says more than the kind: models lose count, seldom the indentation.
    indent = state.indent(i)
    if indent is not None and "\n" in text[stack[0].place : i]:
        for index in range(top, max(-1, top - 64), -1):
            if state.line_indent(stack[index].place) == indent:
                if index == top or state.indented or stack[index].closer == c:
                    return index
                break
        if state.indented:
            return -1
    if matches:
        line = text[text.rfind("\n", max(0, i - 400), i) + 1 : i]
        closers_only = state.indented and "\n" in text[stack[top].place : i] and not line.strip(" \t}])")
        return -1 if closers_only and state.line_indent(stack[top].place) != state.line_indent(i) else top
    below = next((index for index in range(top - 1, max(-1, top - 64), -1) if stack[index].closer == c), -1)
    # Either an inner closer is missing or this one stands in its place: the brackets that follow tell which.
    remaining = state.surplus(i + 1)
    if remaining >= len(stack):
        return -1
    if below < 0:
        return -1 if c == ")" else top
    return top if remaining == top and remaining > below else below


def dedent(state: State, frame: Frame, i: int) -> bool:
    """A key further left than its siblings belongs to an object further out: close what is between."""
    if (frame.comma and not state.indented) or len(state.stack) < 2 or frame.members < 0 or not frame.value:
        return False
    indent = state.indent(i)
    if indent is None or indent >= (state.indent(frame.members) or 0):
        return False
    for index in range(len(state.stack) - 2, max(-1, len(state.stack) - 64), -1):
        outer = state.stack[index]
        if outer.kind == "{" and outer.members >= 0 and state.indent(outer.members) == indent:
            state.note(K.MISSING_CLOSER, i)
            while len(state.stack) > index + 1:
                state.pop()
            return True
    return False


def at_fence(state: State, i: int) -> bool:
    """True where a fence mark stands at the start of a line."""
    return P.FENCE.match(state.text, i, state.end) is not None and state.indent(i) is not None
