"""What is known while one value is read: the open containers, the repairs so far, and the place in the text."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from rewards.extraction import patterns as P
from rewards.extraction.budget import Budget, BudgetSpent
from rewards.extraction.calls import resolve_call, takes_options
from rewards.extraction.numbers import pair_decimals, read_integer
from rewards.extraction.repairs import Repair
from rewards.extraction.repairs import RepairKind as K

MAX_DEPTH = 1_200
MAX_REPAIRS = 2_000
LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
MISSING: Any = object()
SKIPPED: Any = object()
_CHARACTERS_A_STEP = 32
_CLOSER = {"{": "}", "[": "]", "(": ")"}


class Frame:
    """An open container: where it began, the key it goes under, and what its style has been so far."""

    __slots__ = (
        "bare",
        "call",
        "closer",
        "colonless",
        "comma",
        "doubled",
        "key",
        "kind",
        "members",
        "numbers",
        "place",
        "quote",
        "value",
    )

    def __init__(self, kind: str, place: int, key: Any, quote: str):
        self.kind = kind
        self.place = place
        self.key = key
        self.quote = quote
        self.value: Any = {} if kind == "{" else []
        self.closer = _CLOSER[kind]
        self.bare = False
        self.comma = True
        self.doubled = 0
        self.colonless = False
        self.call = ""
        self.members = -1
        self.numbers: list[tuple[int, int]] | None = None


class State:
    """One reading. `indented` makes the indentation of keys and closers decide what they belong to."""

    def __init__(self, text: str, start: int, end: int, budget: Budget, *, indented: bool = False):
        self.text = text
        self.start = start
        self.i = start
        self.end = end
        self.budget = budget
        self.indented = indented
        self.repairs: list[Repair] = []
        self.stack: list[Frame] = []
        self.root: Any = MISSING
        self.closed = self.cut = self.too_deep = False
        self.decimals = 0
        self.repeated: list[tuple[int, str]] = []
        self._last_closer = -2
        self.doubtful: list[tuple[list[Any], list[Any], int]] = []

    @property
    def last_closer(self) -> int:
        """Where the last closing bracket of the text stands; -1 for none."""
        if self._last_closer == -2:
            self._last_closer = max(self.text.rfind("}", 0, self.end), self.text.rfind("]", 0, self.end))
        return self._last_closer

    def push(self, kind: str, place: int, key: Any, call: str = "") -> None:
        """Opens a container at `place` and moves behind its bracket."""
        stack = self.stack
        if len(stack) >= MAX_DEPTH:
            self.too_deep = True
            raise BudgetSpent
        frame = Frame(kind, place, key, stack[-1].quote if stack else '"')
        frame.call = call
        self.i = place + 1
        if kind == "{" and self.text.startswith("{", self.i):
            # A template's braces: those of the root say how many each object has.
            most = self.outer_doubled() if stack else 8
            while frame.doubled < most and self.text.startswith("{", self.i):
                frame.doubled += 1
                self.i += 1
            if frame.doubled:
                self.note(K.DOUBLED_BRACE, place)
        stack.append(frame)

    def outer_doubled(self) -> int:
        """How many braces too many the object around has."""
        return next((frame.doubled for frame in reversed(self.stack[-8:]) if frame.kind == "{"), 0)

    def note(self, kind: K, place: int) -> None:
        if len(self.repairs) < MAX_REPAIRS:
            self.repairs.append(Repair(kind, place))
        if kind is K.DECIMAL_COMMA:
            self.decimals += 1

    def skip(self, i: int, *, value: bool = False) -> int:
        """Moves over whitespace, comments, ellipses and quoted-reply marks, noting what JSON does not know.

        Where a `value` is due `#ff0000` is one, not a comment.
        """
        text, end = self.text, self.end
        while True:
            stop = P.SKIP.match(text, i, end).end()  # type: ignore[union-attr]
            if stop > i and text[i:stop].strip(" \t\r\n"):
                self.note(K.WHITESPACE, i)
            i = stop
            if i >= end:
                return end
            c = text[i]
            if c == "#" and value and P.HASH_WORD.match(text, i, end):
                return i
            if c in "/#<-":
                if c == "-" and text[i + 1 : i + 2] != "-":
                    return i
                match = P.COMMENT.match(text, i, end) if c != "-" or not value or text[i + 2 : i + 3] in " \t" else None
                kind = K.COMMENT
            elif c in ".…":
                match = P.ELLIPSIS.match(text, i, end)
                kind = K.ELLIPSIS
            elif c == "\\":
                match = P.ESCAPED_SPACE.match(text, i, end)
                kind = K.WHITESPACE
            elif c == ">" and text[max(0, text.rfind("\n", 0, i)) : i].strip() == "":
                match = P.QUOTE_MARK.match(text, i, end)
                kind = K.WHITESPACE
            else:
                return i
            if match is None:
                return i
            # A comment that never ends is looked through to the end of the text, again and again.
            self.budget.spend(1 + (match.end() - i) // _CHARACTERS_A_STEP)
            self.note(kind, i)
            i = match.end() if kind is not K.COMMENT or self.stack == [] else self.comment_end(i, match.end())

    def comment_end(self, i: int, stop: int) -> int:
        """Where the comment at `i` ends: before the closers, or the next key, that a comment on the last line would swallow."""
        text = self.text
        if text[i] == "<" or text.startswith("/*", i):
            if text.startswith("*/", stop - 2) or text.startswith("-->", stop - 3):
                return stop
        elif self.last_closer >= stop:
            return stop
        key = P.KEY_AFTER_WORDS.search(text, i + 2, stop)
        for match in P.CLOSER.finditer(text, i + 2, min(stop, i + 600)):
            if key is not None and key.end() <= match.start():
                break
            at = match.start()
            alone = len(self.stack) == 1 and at == self.last_closer
            if text[at] == self.stack[-1].closer and (alone or P.AFTER_CLOSER.match(text, at + 1, self.end)):
                return at
        return key.end() if key is not None else stop

    def separate(self, frame: Frame, i: int) -> None:
        """Takes the comma at `i`, or what stands for one, and those right behind it."""
        if frame.comma:
            self.note(K.EXTRA_COMMA, i)
        elif self.text[i] != ",":
            self.note(K.SEPARATOR, i)
        frame.comma = True
        self.i = P.COMMAS.match(self.text, i + 1, self.end).end()  # type: ignore[union-attr]

    def store(self, frame: Frame, key: Any, value: Any) -> None:
        if value is MISSING:
            return
        if frame.kind == "{":
            if key in frame.value:
                self.repeat(frame.value, key, value)
            frame.value[key] = value
        else:
            frame.value.append(value)

    def repeat(self, members: dict[Any, Any], key: Any, value: Any) -> None:
        """Remembers that `key` is written again, with another value; by their writing, for 1 and true are equal in Python."""
        kept = members[key]
        if kept is value or len(self.repeated) >= MAX_REPAIRS:
            return
        before, now = repr(kept), repr(value)
        self.budget.spend((len(before) + len(now)) // 100)
        if before != now:
            self.repeated.append((id(members), key))

    def closers(self) -> str:
        return "".join(frame.closer * (1 + frame.doubled) for frame in reversed(self.stack[-64:]))

    def fits(self, at: int) -> bool:
        """Says whether the closing bracket at `at` may follow a string here."""
        c, stack = self.text[at], self.stack
        if stack[-1].closer == c and len(stack) == 1:
            return P.STRING_GOES_ON.match(self.text, at + 1, self.end) is None
        if not any(frame.closer == c for frame in stack[-64:]):
            after = P.ONLY_CLOSERS.match(self.text, at + 1, self.end) or P.MISTYPED_CLOSER.match(
                self.text, at + 1, self.end
            )
            return c != ")" and after is not None
        return P.AFTER_CLOSER.match(self.text, at + 1, self.end) is not None

    def pop(self) -> None:
        """Closes the innermost container and puts it into the one around it."""
        frame = self.stack.pop()
        value = self.settle(frame)
        if not self.stack:
            self.root = value
            if not self.reopen(frame, value):
                self.closed = True
            return
        outer = self.stack[-1]
        outer.comma = False
        if frame.key is MISSING:
            if isinstance(value, dict) and isinstance(outer.value, dict):
                outer.value.update(value)
        else:
            self.store(outer, frame.key, value)

    def settle(self, frame: Frame) -> Any:
        """Gives a finished container its final value: pairs of decimals joined, calls resolved, sets made lists."""
        value = frame.value
        if frame.numbers and len(frame.numbers) == len(value) and isinstance(value, list):
            content = self.join_numbers(frame.numbers)
            paired = pair_decimals(content)
            if paired is not None:
                if paired[1]:
                    self.note(K.DECIMAL_COMMA, frame.place)
                    value[:] = paired[0]
                else:
                    self.doubtful.append((value, paired[0], frame.place))
        if frame.call:
            source = self.text[frame.place : self.i]
            if frame.members >= 0 and isinstance(value, list):
                if not takes_options(frame.call):
                    return source.strip()
                value = value[: frame.members]
            return resolve_call(frame.call, value, source)
        if (
            frame.kind == "("
            and isinstance(value, list)
            and len(value) == 1
            and self.text[max(frame.place, self.i - 200) : self.i - 1].rstrip()[-1:] != ","
        ):
            return value[0]
        return value

    def join_numbers(self, spans: list[tuple[int, int]]) -> str:
        text = self.text
        pieces = [text[spans[0][0] : spans[0][1]]]
        for before, here in pairwise(spans):
            pieces.append("," if here[0] == before[1] + 1 else ", ")
            pieces.append(text[here[0] : here[1]])
        return "".join(pieces)

    def reopen(self, frame: Frame, value: Any) -> bool:
        """Goes on with the root when it was closed too early and more members follow; its closer must still come."""
        if not value or frame.call or not isinstance(value, dict | list):
            return False
        items = isinstance(value, list) or isinstance(next(reversed(value.values())), list)
        # Two lists side by side are two answers; only a closer left over behind them says that they were one.
        match = P.LIST_REOPENED.match(self.text, self.i, self.end) if items else None
        if match is not None and self.surplus(match.end()) >= (1 if isinstance(value, list) else 2):
            self.note(K.EARLY_CLOSER, self.i - 1)
            self.i = match.end()
            frame.comma = True
            self.stack.append(frame)
            if isinstance(value, dict):
                key, inner = next(reversed(value.items()))
                self.stack.append(Frame("[", match.start(), key, frame.quote))
                self.stack[-1].value = inner
            return True
        match = P.REOPENED.match(self.text, self.i, self.end) if frame.kind == "{" else None
        if match is None or self.text.find("}", match.end(), self.end) < 0:
            return False
        self.note(K.EARLY_CLOSER, self.i - 1)
        self.i = match.end()
        frame.comma = True
        self.stack.append(frame)
        return True

    def surplus(self, i: int) -> int:
        """How many more closing than opening brackets the rest of the text has, strings not looked into."""
        self.budget.spend(1 + (self.end - i) // 40)
        count = self.text.count
        closers = count("}", i, self.end) + count("]", i, self.end)
        return closers - count("{", i, self.end) - count("[", i, self.end)

    def finish(self, *, cut: bool) -> None:
        """Ends the reading here, closing everything that is open."""
        self.cut = self.cut or cut
        self.note(K.CUT if self.cut else K.MISSING_CLOSER, self.i)
        i = self.i
        while self.stack:
            frame = self.stack.pop()
            value = self.settle(frame)
            if self.stack:
                outer = self.stack[-1]
                if frame.key is not MISSING:
                    self.store(outer, frame.key, value)
            else:
                self.root = value
        self.i = i

    def indent(self, i: int) -> int | None:
        """The column of `i` when nothing but whitespace stands before it on its line."""
        line = self.text.rfind("\n", max(0, i - 400), i) + 1
        return i - line if line > 0 and self.text[line:i].strip() == "" else None

    def line_indent(self, i: int) -> int:
        """The indentation of the line that holds `i`."""
        line = self.text.rfind("\n", max(0, i - 2000), i) + 1
        stripped = self.text[line : i + 1].lstrip(" \t")
        return i + 1 - line - len(stripped)

    def number(self, token: str, place: int) -> Any:
        if token.isdigit() or (token[0] == "-" and token[1:].isdigit()):
            if len(token) < 300:
                return int(token)
            value = read_integer(token)
            if isinstance(value, str):
                self.note(K.LONG_INTEGER, place)
            return value
        number = float(token)
        if math.isfinite(number):
            return number
        self.note(K.NON_FINITE, place)
        return None

    def turn_into_list(self, frame: Frame) -> None:
        """What looked like an object is a set, or a list in braces."""
        self.note(K.SHAPE, frame.place)
        frame.kind, frame.value, frame.comma = "[", [frame.value] if frame.value else [], True
