"""The tolerant reader of one JSON value: iterative, with a stack of its own, repairing as it goes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from rewards.extraction import patterns as P
from rewards.extraction.budget import Budget, BudgetSpent
from rewards.extraction.calls import resolve_call
from rewards.extraction.numbers import pair_decimals, read_integer
from rewards.extraction.repairs import Repair, RepairKind
from rewards.extraction.scalars import read_bare, read_cut
from rewards.extraction.strings import Text, decode, find_close

MAX_DEPTH = 1_200
MAX_REPAIRS = 2_000
K = RepairKind
_LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_CLOSER = {"{": "}", "[": "]", "(": ")"}
_MISSING: Any = object()
_SKIPPED: Any = object()


class Reading(NamedTuple):
    """One value read from text[start:end]; `closed` says that its root ended properly, `cut` that the text ended inside it."""

    value: Any
    start: int
    end: int
    repairs: tuple[Repair, ...]
    closed: bool
    cut: bool
    too_deep: bool = False

    @property
    def guesses(self) -> int:
        return sum(repair.kind.structural for repair in self.repairs)


class Frame:
    """An open container: where it began, the key it goes under, and what its style has been so far."""

    __slots__ = ("bare", "call", "closer", "comma", "doubled", "key", "kind", "members", "numbers", "place", "quote", "value")

    def __init__(self, kind: str, place: int, key: Any, quote: str):
        self.kind = kind
        self.place = place
        self.key = key
        self.quote = quote
        self.value: Any = {} if kind == "{" else []
        self.closer = _CLOSER[kind]
        self.bare = False
        self.comma = True
        self.doubled = False
        self.call = ""
        self.members = -1
        self.numbers: list[tuple[int, int]] | None = None


class Parser:
    """Reads one value. `indented` makes the indentation of keys and closers decide what they belong to."""

    def __init__(self, text: str, start: int, end: int, budget: Budget, *, indented: bool = False):
        self.text = text
        self.start = start
        self.i = start
        self.end = end
        self.budget = budget
        self.indented = indented
        self.repairs: list[Repair] = []
        self.stack: list[Frame] = []
        self.root: Any = _MISSING
        self.closed = self.cut = self.too_deep = False
        self.decimals = 0
        self.doubtful: list[tuple[list[Any], list[Any], int]] = []

    # -- the loop ---------------------------------------------------------------------------------------------------

    def parse(self, *, implicit: bool = False) -> Reading | None:
        """Reads the value at `start`, or bare members there where `implicit`; None where it is no value at all."""
        if implicit:
            self.stack.append(Frame("{", self.start, None, '"'))
            self.note(K.MISSING_OPENER, self.start)
        else:
            self.open_at_root()
        stack = self.stack
        try:
            while stack:
                frame = stack[-1]
                if frame.kind == "{":
                    self.read_members(frame)
                else:
                    self.read_elements(frame)
        except BudgetSpent:
            self.note(K.GARBAGE, self.i)
        if stack:
            self.abandon(implicit)
        if self.root is _MISSING:
            return None
        for target, alternative, place in self.doubtful:
            if self.decimals:
                target[:] = alternative
                self.note(K.DECIMAL_COMMA, place)
        repairs = tuple(sorted(set(self.repairs), key=lambda repair: repair.place))
        return Reading(self.root, self.start, self.i, repairs, self.closed, self.cut, self.too_deep)

    def open_at_root(self) -> None:
        text, i = self.text, self.i
        call = P.CALL.match(text, i, self.end)
        if call is not None:
            self.push("(", i, None, call[1])
            self.i = call.end()
        else:
            self.push(text[i], i, None)

    def push(self, kind: str, place: int, key: Any, call: str = "") -> None:
        """Opens a container at `place` and moves behind its bracket."""
        stack = self.stack
        if len(stack) >= MAX_DEPTH:
            self.too_deep = True
            raise BudgetSpent
        frame = Frame(kind, place, key, stack[-1].quote if stack else '"')
        frame.call = call
        self.i = place + 1
        if kind == "{" and self.text.startswith("{", self.i) and (not stack or stack[-1].doubled):
            frame.doubled = True
            self.note(K.DOUBLED_BRACE, place)
            self.i += 1
        stack.append(frame)

    def note(self, kind: RepairKind, place: int) -> None:
        if len(self.repairs) < MAX_REPAIRS:
            self.repairs.append(Repair(kind, place))
        if kind is K.DECIMAL_COMMA:
            self.decimals += 1

    def skip(self, i: int) -> int:
        """Moves over whitespace, comments, ellipses and quoted-reply marks, noting what JSON does not know."""
        text, end = self.text, self.end
        while True:
            stop = P.SKIP.match(text, i, end).end()  # type: ignore[union-attr]
            if stop > i and text[i:stop].strip(" \t\r\n"):
                self.note(K.WHITESPACE, i)
            i = stop
            if i >= end:
                return end
            c = text[i]
            if c in "/#<":
                match = P.COMMENT.match(text, i, end)
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
            self.budget.spend()
            self.note(kind, i)
            i = match.end()

    # -- objects ----------------------------------------------------------------------------------------------------

    def read_members(self, frame: Frame) -> None:
        """Reads members until a container opens or closes: well-formed ones with one match each, others by steps."""
        text, end, members = self.text, self.end, frame.value
        match_member = P.MEMBER[frame.quote].match
        i = self.i
        while True:
            match = None if self.indented else match_member(text, i, end)
            if match is None:
                self.i = i
                self.read_member(frame)
                if not self.stack or self.stack[-1] is not frame or frame.kind != "{":
                    return
                i = self.i
                match_member = P.MEMBER[frame.quote].match
                continue
            key, string, other, number, decimal, literal, opener = match.groups()
            if frame.quote != '"':
                self.note(K.QUOTE_STYLE, match.start(1))
            if frame.members < 0:
                frame.members = match.start(1) - 1
            if opener is not None:
                self.i = match.end() - 1
                self.open_container(opener, self.i, key)
                return
            if string is not None:
                members[key] = string
            elif other is not None:
                members[key] = other
                if frame.quote == '"':
                    self.note(K.QUOTE_STYLE, match.start(3))
            elif number is not None:
                members[key] = self.number(number, match.start(4))
            elif decimal is not None:
                members[key] = float(decimal.replace(",", "."))
                self.note(K.DECIMAL_COMMA, match.start(5))
            else:
                members[key] = _LITERALS[literal]
                if literal[0] in "TFN":
                    self.note(K.LITERAL, match.start(6))
            i = match.end()
            frame.comma = text[i - 1] == ","
            if not frame.comma and not frame.doubled:
                self.i = i + 1
                self.pop()
                return

    def number(self, token: str, place: int) -> Any:
        if token.isdigit() or (token[0] == "-" and token[1:].isdigit()):
            if len(token) < 300:
                return int(token)
            value = read_integer(token)
            if isinstance(value, str):
                self.note(K.NUMBER_FORMAT, place)
            return value
        value = float(token)
        if math.isfinite(value):
            return value
        self.note(K.NON_FINITE, place)
        return None

    def read_member(self, frame: Frame) -> None:
        """Reads one step of an object that is not well formed: a separator, a closer, or a key and its value."""
        text, end = self.text, self.end
        self.budget.spend(3)
        i = self.i = self.skip(self.i)
        if i >= end:
            self.finish(cut=True)
            return
        c = text[i]
        if c in "}])":
            if frame.comma and frame.value and c == "}":
                self.note(K.TRAILING_COMMA, i)
            self.close(c)
            return
        if c in ",;，、|":
            if frame.comma:
                self.note(K.EXTRA_COMMA, i)
            elif c != ",":
                self.note(K.SEPARATOR, i)
            frame.comma = True
            self.i = P.COMMAS.match(text, i + 1, end).end()  # type: ignore[union-attr]
            return
        if self.dedent(frame, i):
            return
        if c in "-*•" and text[i + 1 : i + 2] == " ":
            self.note(K.GARBAGE, i)
            i = self.i = i + 1
            return
        key = self.read_key(frame, i)
        if not self.stack or self.stack[-1] is not frame or key is _SKIPPED:
            return
        if key is _MISSING:
            self.resync(frame)
            return
        if not frame.comma and frame.value:
            self.note(K.MISSING_COMMA, i)
        frame.comma = False
        if frame.members < 0:
            frame.members = i
        self.read_value(frame, key)

    def read_key(self, frame: Frame, i: int) -> Any:
        """Reads a key and its colon, leaving `i` at the value; _MISSING where there is none."""
        text, end = self.text, self.end
        c = text[i]
        if c in P.QUOTES:
            match = P.QUOTED_KEY.match(text, i, end)
            if match is not None:
                raw, after = match[1][1:-1], match.end()
            else:
                match = P.OPEN_QUOTED_KEY.match(text, i, end)
                if match is not None:
                    raw, after = match[1], match.end()
                    self.note(K.MISSING_QUOTE, i)
            if match is not None:
                if c in "\"'":
                    frame.quote = c
                if c != '"':
                    self.note(K.QUOTE_STYLE, i)
                if text.startswith(c * 2, i) and not raw:
                    return self.read_odd_key(frame, i)
                self.check_colon(match, after)
                key, kinds = decode(raw, c)
                for kind in kinds:
                    self.note(kind, i)
                self.i = after
                return key
            return self.read_odd_key(frame, i)
        match = P.BARE_KEY_START.match(text, i, end)
        if match is not None:
            self.note(K.MISSING_QUOTE if match[2] else K.BARE_KEY, i)
            self.check_colon(match, match.end())
            frame.bare = frame.bare or not match[2]
            self.i = match.end()
            return match[1]
        return _MISSING

    def check_colon(self, match: Any, after: int) -> None:
        if self.text[after - 1] != ":":
            self.note(K.SEPARATOR, after - 1)

    def read_odd_key(self, frame: Frame, i: int) -> Any:
        """Reads a quoted key that is long, doubled, or without a colon; a lone text makes the object a set."""
        text, end = self.text, self.end
        found = self.find_key_end(i)
        if found is not None and not found.cut and not {K.MISSING_QUOTE, K.ESCAPE} & set(found.kinds):
            colon = P.FOLLOWS_KEY.match(text, found.after, end)
            if colon is not None and found.stop - i < 400:
                self.i = colon.end()
                for kind in found.kinds:
                    self.note(kind, i)
                return decode(text[found.start : found.stop], text[i])[0]
        lone = P.LONE_KEY.match(text, i, end)
        if lone is None:
            if P.CUT_KEY.match(text, i, end):
                self.i = end
                self.finish(cut=True)
            return _MISSING
        self.i = lone.end()
        following = text[self.i : self.i + 1]
        if not following:
            self.finish(cut=True)
            return _MISSING
        if following in ",}":
            if frame.value or P.KEY_AHEAD.match(text, self.i, end):
                frame.value[decode(lone[1][1:-1], text[i])[0]] = None
                frame.comma = False
                self.note(K.MISSING_VALUE, i)
            else:
                self.i = i
                self.turn_into_list(frame)
            return _SKIPPED
        self.note(K.MISSING_COLON, self.i)
        return decode(lone[1][1:-1], text[i])[0]

    def find_key_end(self, i: int) -> Text | None:
        """Where the quoted key at `i` ends; None when that takes too long to find out."""
        allowance = Budget(100)
        try:
            return find_close(self.text, i, self.end, P.FOLLOWS_KEY.match, self.fits, "", allowance)
        except BudgetSpent:
            return None
        finally:
            self.budget.spend(100 - max(0, allowance.left))

    def turn_into_list(self, frame: Frame) -> None:
        """What looked like an object is a set, or a list in braces."""
        self.note(K.SHAPE, frame.place)
        frame.kind, frame.value, frame.comma = "[", [frame.value] if frame.value else [], True

    def resync(self, frame: Frame) -> None:
        """Nothing here can be a member: take in a nested value without a key, skip a remark, or give the object up."""
        text, i = self.text, self.i
        c = text[i]
        if not frame.value and (c in "{[" or P.SET_ITEM.match(text, i, self.end)):
            self.turn_into_list(frame)
            return
        if c == "{" and frame.comma:
            self.note(K.SHAPE, i)
            self.open_container(c, i, _MISSING)
            return
        match = P.RESYNC.match(text, i, self.end) if frame.value else None
        if match is not None and match.end() > i:
            self.budget.spend(4)
            self.note(K.GARBAGE, i)
            self.i = match.end()
            frame.comma = text[self.i - 1] in ",\n"
            return
        self.finish(cut=False)

    def read_value(self, frame: Frame, key: Any) -> None:
        """Reads the value of a member of `frame`."""
        text, end = self.text, self.end
        i = self.i = self.skip(self.i)
        if i >= end:
            self.finish(cut=True)
            return
        c = text[i]
        if c in "{[":
            self.open_container(c, i, key)
        elif c in P.QUOTES:
            if "\n" in text[max(frame.place, i - 200) : i].rpartition(":")[2] and P.KEY_WITH_VALUE.match(text, i, end):
                self.note(K.MISSING_VALUE, i)
                frame.value[key] = None
                frame.comma = True
                return
            follows = P.FOLLOWS_BARE_MEMBER if frame.bare else P.FOLLOWS_MEMBER
            self.store(frame, key, self.read_string(i, follows.match))
        elif c in "}]);" or (c == "," and not text[i + 1 : i + 2].isdigit()):
            self.note(K.MISSING_VALUE, i)
            frame.value[key] = None
        else:
            self.read_bare_value(frame, key, i)

    def store(self, frame: Frame, key: Any, value: Any) -> None:
        if value is _MISSING:
            return
        if frame.kind == "{":
            frame.value[key] = value
        else:
            frame.value.append(value)

    def read_string(self, i: int, follows: Any) -> Any:
        """Reads the quoted text at `i` and moves behind it, with what is concatenated to it."""
        text, end = self.text, self.end
        pieces = []
        while True:
            found = find_close(text, i, end, follows, self.fits, self.closers(), self.budget)
            value, kinds = decode(text[found.start : found.stop], text[i], cut=found.cut)
            for kind in (*found.kinds, *kinds):
                self.note(kind, i)
            pieces.append(value)
            self.i = found.after
            if found.cut:
                self.cut = True
                break
            more = P.CONCATENATION.match(text, self.i, end)
            if more is None:
                break
            self.note(K.CONCATENATION, self.i)
            i = more.end()
        return "".join(pieces)

    def closers(self) -> str:
        return "".join(frame.closer * (2 if frame.doubled else 1) for frame in reversed(self.stack[-64:]))

    def fits(self, at: int) -> bool:
        """Says whether the closing bracket at `at` may follow a string here."""
        c, stack = self.text[at], self.stack
        if stack[-1].closer == c and len(stack) == 1:
            return True
        opener = "{" if c == "}" else "[" if c == "]" else "("
        if not any(frame.kind == opener for frame in stack[-64:]):
            return False
        return P.AFTER_CLOSER.match(self.text, at + 1, self.end) is not None

    # -- bare values ------------------------------------------------------------------------------------------------

    def read_bare_value(self, frame: Frame, key: Any, i: int) -> None:
        """Reads a value without quotes: number, literal, call, tuple, or text up to where the next member begins."""
        text, end = self.text, self.end
        prefixed = P.PREFIXED_STRING.match(text, i, end)
        if prefixed is not None:
            self.note(K.QUOTE_STYLE, i)
            follows = P.FOLLOWS_ELEMENT if frame.kind != "{" else P.FOLLOWS_MEMBER
            self.store(frame, key, self.read_string(prefixed.end(), follows.match))
            return
        call = P.CALL.match(text, i, end)
        if call is not None:
            self.note(K.CALL, i)
            self.push("(", i, key, call[1])
            self.i = call.end()
            return
        if text[i] == "(":
            flat = P.FLAT_TUPLE.match(text, i, end)
            if flat is not None and flat[1].strip() and not flat[1].strip().replace("-", "").isalpha():
                self.note(K.LITERAL, i)
                values = self.read_flat(flat[1], i + 1)
                alone = len(values) == 1 and "," not in flat[1]
                self.i = flat.end()
                self.store(frame, key, values[0] if alone else values)
                return
            if P.TUPLE_START.match(text, i, end):
                self.note(K.LITERAL, i)
                self.push("(", i, key)
                return
        stop, after, ended = self.find_bare_end(frame, i)
        run = text[i:stop].strip()
        self.i = after
        if not ended:
            self.cut = True
            value, keep = read_cut(run)
            if keep:
                self.store(frame, key, value)
                self.note(K.CUT, i)
            return
        if not run:
            self.note(K.MISSING_VALUE, i)
            self.store(frame, key, None if frame.kind == "{" else _MISSING)
            return
        value, kind = read_bare(run)
        if after > stop:
            value, kind = (value, K.MISSING_QUOTE) if kind is not K.BARE_TEXT else (run, K.MISSING_QUOTE)
        if kind is not None:
            self.note(kind, i)
        if frame.kind != "{" and isinstance(value, int | float) and not isinstance(value, bool):
            if frame.numbers is not None:
                frame.numbers.append((i, i + len(run)))
        elif frame.kind != "{":
            frame.numbers = None
        self.store(frame, key, value)

    def find_bare_end(self, frame: Frame, i: int) -> tuple[int, int, bool]:
        """Finds where bare text ends: (end of the run, where to go on, False where the text ended first)."""
        text, end, in_object = self.text, self.end, frame.kind == "{"
        split = P.SPLIT_SCALAR.match(text, i, end) if in_object else None
        if split is not None:
            return split.end(1), split.end(), True
        comma_ends = P.COMMA_ENDS_NUMBERED if frame.bare and text[frame.members : frame.members + 1].isdigit() else P.COMMA_ENDS_MEMBER
        j = i
        while True:
            match = P.BARE_EVENT.search(text, j, end)
            if match is None:
                return end, end, False
            self.budget.spend()
            e = match.start()
            c = text[e]
            if c in ",;":
                if not in_object or comma_ends.match(text, e + 1, end):
                    return e, e, True
            elif c in "\n\r}" or (c == ")" and any(open_frame.kind == "(" for open_frame in self.stack[-8:])):
                return e, e, True
            elif c == "]":
                if "[" not in text[i:e] or any(open_frame.kind == "[" for open_frame in self.stack[-8:]):
                    return e, e, True
            elif c in "[{":
                inside = P.BRACKETED_TEXT.match(text, e, end)
                if inside is None:
                    return e, e, True
                match = inside
            elif c in "\"'“”’`":
                if text[e - 1].isspace() and P.QUOTED_KEY.match(text, e, end):
                    return e, e, True
                follows = P.FOLLOWS_MEMBER if in_object else P.FOLLOWS_ELEMENT
                closes = follows.match(text, e + 1, end) if c in "\"'”’" else None
                if closes is not None and (closes[1] is None or self.fits(closes.start(1))):
                    return e, e + 1, True
            elif c == "/" or c == "<":
                if c == "<" or text[e - 1].isspace() or text.startswith("/*", e) or text[e - 1].isdigit():
                    return e, e, True
            elif c.isspace() or (c == "." and e > i):
                return e, e, True
            j = match.end()

    # -- lists ------------------------------------------------------------------------------------------------------

    def open_container(self, opener: str, i: int, key: Any) -> None:
        """Opens the container at `i`, or reads it at once where it is a list of bare scalars."""
        if opener == "[":
            flat = P.FLAT.match(self.text, i, self.end)
            if flat is not None and ("\n" not in flat[1] or "," in flat[1] or not flat[1].strip()):
                self.i = flat.end()
                if self.stack:
                    self.stack[-1].comma = False
                    if key is not _MISSING:
                        self.store(self.stack[-1], key, self.read_flat(flat[1], i + 1))
                return
        self.push(opener, i, key)

    def read_flat(self, content: str, place: int) -> list[Any]:
        """Reads the inside of a list of bare scalars; decimal commas only where nothing else makes sense."""
        if not content.strip():
            return []
        values: list[Any] = []
        separator = ";" if ";" in content else ","
        paired = pair_decimals(content) if separator == "," else None
        if paired is not None and paired[1]:
            self.note(K.DECIMAL_COMMA, place)
            return paired[0]
        if separator == ";":
            self.note(K.SEPARATOR, place)
        parts = content.split(separator)
        at = place
        for index, part in enumerate(parts):
            run = part.strip()
            where, at = at, at + len(part) + 1
            if run.isdigit() and run.isascii() and (run[0] != "0" or run == "0") and len(run) < 300:
                values.append(int(run))
                continue
            if separator == ";" and P.PLAIN_DECIMAL.fullmatch(run):
                self.note(K.DECIMAL_COMMA, where)
                values.append(float(run.replace(",", ".")))
                continue
            if not run:
                self.note(K.TRAILING_COMMA if index == len(parts) - 1 else K.EXTRA_COMMA, where)
                continue
            if run in ("...", "…"):
                self.note(K.ELLIPSIS, where)
                continue
            value, kind = read_bare(run)
            if kind is K.BARE_TEXT and P.SPACED_NUMBERS.fullmatch(run):
                self.note(K.MISSING_COMMA, where)
                values.extend(read_bare(piece)[0] for piece in run.split())
                continue
            if kind is K.NUMBER_FORMAT and P.SPACED_NUMBERS.fullmatch(run):
                self.note(K.MISSING_COMMA, where)
                values.extend(read_bare(piece)[0] for piece in run.split())
                continue
            if kind is not None:
                self.note(kind, where)
            values.append(value)
        if paired is not None:
            self.doubtful.append((values, paired[0], place))
        return values

    def read_elements(self, frame: Frame) -> None:
        """Reads elements until a container opens or closes."""
        text, end, elements = self.text, self.end, frame.value
        i = self.i
        while True:
            match = None if self.indented else P.ELEMENT[frame.quote].match(text, i, end)
            if match is None:
                self.i = i
                self.read_element(frame)
                if not self.stack or self.stack[-1] is not frame or frame.kind == "{":
                    return
                i = self.i
                continue
            string, other, opener = match.groups()
            if not frame.comma and elements:
                self.note(K.MISSING_COMMA, match.start())
            frame.comma = False
            if opener is not None:
                self.i = match.end() - 1
                self.open_container(opener, self.i, None)
                if self.stack[-1] is not frame:
                    return
                i = self.i
                continue
            if string is not None:
                elements.append(string)
                if frame.quote != '"':
                    self.note(K.QUOTE_STYLE, match.start())
            else:
                elements.append(other)
                if frame.quote == '"':
                    self.note(K.QUOTE_STYLE, match.start())
            i = match.end()
            frame.comma = text[i - 1] == ","
            if not frame.comma and frame.kind == "[":
                self.i = i + 1
                self.pop()
                return

    def read_element(self, frame: Frame) -> None:
        """Reads one step of a list that is not plain: a separator, a closer, or an element."""
        text, end = self.text, self.end
        self.budget.spend(3)
        i = self.i = self.skip(self.i)
        if i >= end:
            self.finish(cut=True)
            return
        c = text[i]
        if c in "}])":
            if frame.comma and frame.value and frame.kind == "[":
                self.note(K.TRAILING_COMMA, i)
            self.close(c)
            return
        if c in ",;，、|":
            if frame.comma:
                self.note(K.EXTRA_COMMA, i)
            elif c != ",":
                self.note(K.SEPARATOR, i)
            frame.comma = True
            self.i = P.COMMAS.match(text, i + 1, end).end()  # type: ignore[union-attr]
            return
        if c in P.QUOTES or frame.kind == "(" or frame.call or not frame.comma:
            if P.KEY_IN_LIST.match(text, i, end) and self.key_in_list(frame, i):
                return
        if not frame.comma and frame.value:
            if c not in P.QUOTES and c not in "{[(" and P.LIST_GOES_ON.match(text, i, end) is None:
                self.finish(cut=False)
                return
            if frame.kind == "(" and c in P.QUOTES and isinstance(frame.value[-1], str):
                self.note(K.CONCATENATION, i)
                piece = self.read_string(i, P.FOLLOWS_ELEMENT.match)
                frame.value[-1] += piece
                return
            self.note(K.MISSING_COMMA, i)
        if frame.numbers is None and not frame.value:
            frame.numbers = []
        frame.comma = False
        if c in "{[":
            self.open_container(c, i, None)
        elif c in P.QUOTES:
            if c in "\"'":
                frame.quote = c
            self.store(frame, None, self.read_string(i, P.FOLLOWS_ELEMENT.match))
        else:
            self.read_bare_value(frame, None, i)

    def key_in_list(self, frame: Frame, i: int) -> bool:
        """A key inside a list: the list was never closed, or was an object all along. False where neither can be."""
        stack = self.stack
        if frame.kind == "(" and frame.call:
            if not isinstance(frame.value, list) or frame.value:
                return False
        elif len(stack) > 1 and any(outer.kind == "{" for outer in stack[:-1]) and (frame.value or frame.kind == "["):
            self.note(K.MISSING_CLOSER, i)
            self.i = i
            while self.stack[-1].kind != "{":
                self.pop()
            self.stack[-1].comma = True
            return True
        elif frame.value:
            return False
        self.note(K.CALL if frame.call else K.SHAPE, i)
        frame.value = {}
        frame.kind = "{"
        frame.doubled = False
        return True

    # -- closing ----------------------------------------------------------------------------------------------------

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
        if frame.key is _MISSING:
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
            return resolve_call(frame.call, value, self.text[frame.place : self.i])
        if frame.kind == "(" and isinstance(value, list) and len(value) == 1 and "," not in self.text[self.i - 3 : self.i]:
            return value[0]
        return value

    def join_numbers(self, spans: list[tuple[int, int]]) -> str:
        text = self.text
        pieces = [text[spans[0][0] : spans[0][1]]]
        for before, here in zip(spans, spans[1:], strict=False):
            pieces.append("," if here[0] == before[1] + 1 else ", ")
            pieces.append(text[here[0] : here[1]])
        return "".join(pieces)

    def close(self, c: str) -> None:
        """Takes the closing bracket at `i`, whatever is open."""
        stack, i = self.stack, self.i
        frame = stack[-1]
        target = self.target_of(c, i)
        if target < 0:
            self.note(K.EXTRA_CLOSER, i)
            self.i = i + 1
            return
        if target == len(stack) - 1:
            if frame.closer != c:
                self.note(K.MISMATCHED_CLOSER, i)
            self.i = i + 1
            if frame.doubled:
                if self.text.startswith("}", self.i):
                    self.i += 1
                elif len(stack) == 1 and P.MORE_RECORDS.match(self.text, self.i, self.end):
                    frame.doubled = False
                    self.turn_into_list(frame)
                    frame.comma = False
                    return
            self.pop()
            return
        self.note(K.MISSING_CLOSER, i)
        while len(stack) > target + 1:
            self.pop()
        self.close(c) if stack[-1].closer == c else self.pop_at(i + 1)

    def pop_at(self, i: int) -> None:
        self.note(K.MISMATCHED_CLOSER, i - 1)
        self.i = i
        self.pop()

    def target_of(self, c: str, i: int) -> int:
        """Which open container the closer at `i` ends, as an index into the stack; -1 for none."""
        stack, text = self.stack, self.text
        top = len(stack) - 1
        matches = stack[top].closer == c
        if matches and not self.indented:
            return top
        indent = self.indent(i)
        if indent is not None and "\n" in text[stack[0].place : i]:
            for index in range(top, max(-1, top - 64), -1):
                if self.line_indent(stack[index].place) == indent:
                    if index == top or self.indented or stack[index].closer == c:
                        return index
                    break
            if self.indented:
                return -1 if indent < self.line_indent(stack[top].place) or not matches else top
        if matches:
            return top
        opener = "{" if c == "}" else "[" if c == "]" else "("
        below = next((index for index in range(top - 1, max(-1, top - 64), -1) if stack[index].kind == opener), -1)
        # Either an inner closer is missing or this one stands in its place: the brackets that follow tell which.
        remaining = self.closers_left(i + 1)
        if below < 0:
            return -1 if remaining >= len(stack) or c == ")" else top
        return top if remaining == top and remaining > below else below

    def closers_left(self, i: int) -> int:
        """How many more closing than opening brackets the rest of the text has, strings not looked into."""
        self.budget.spend(1 + (self.end - i) // 40)
        count = self.text.count
        closers = count("}", i, self.end) + count("]", i, self.end)
        return closers - count("{", i, self.end) - count("[", i, self.end)

    def indent(self, i: int) -> int | None:
        """The column of `i` when nothing but whitespace stands before it on its line."""
        line = self.text.rfind("\n", max(0, i - 400), i) + 1
        return i - line if line > 0 and self.text[line:i].strip() == "" else None

    def line_indent(self, i: int) -> int:
        """The indentation of the line that holds `i`."""
        line = self.text.rfind("\n", max(0, i - 2000), i) + 1
        stripped = self.text[line : i + 1].lstrip(" \t")
        return i + 1 - line - len(stripped)

    def dedent(self, frame: Frame, i: int) -> bool:
        """A key further left than its siblings belongs to an object further out: close what is between."""
        if (frame.comma and not self.indented) or len(self.stack) < 2 or frame.members < 0 or not frame.value:
            return False
        indent = self.indent(i)
        if indent is None or indent >= (self.indent(frame.members) or 0):
            return False
        for index in range(len(self.stack) - 2, max(-1, len(self.stack) - 64), -1):
            outer = self.stack[index]
            if outer.kind == "{" and outer.members >= 0 and self.indent(outer.members) == indent:
                self.note(K.MISSING_CLOSER, i)
                while len(self.stack) > index + 1:
                    self.pop()
                return True
        return False

    def reopen(self, frame: Frame, value: Any) -> bool:
        """Goes on with the root when it was closed too early and more members follow; its closer must still come."""
        if frame.kind != "{" or not isinstance(value, dict) or not value or frame.call:
            return False
        match = P.REOPENED.match(self.text, self.i, self.end)
        if match is None or self.text.find("}", match.end(), self.end) < 0:
            return False
        self.note(K.EARLY_CLOSER, self.i - 1)
        self.i = match.end()
        frame.comma = True
        self.stack.append(frame)
        return True

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
                if frame.key is not _MISSING:
                    self.store(outer, frame.key, value)
            else:
                self.root = value
        self.i = i

    def abandon(self, implicit: bool) -> None:
        """The budget is spent or the nesting too deep: keep what was read, unless nothing sensible can be said."""
        if self.too_deep:
            self.stack.clear()
            self.root = _MISSING
        else:
            self.finish(cut=False)
