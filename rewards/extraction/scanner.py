"""Finds every value in a text that could be the answer: reasoning cut away, fences and tags noted, each value read once."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cached_property
from typing import Any

from rewards.extraction import patterns as P
from rewards.extraction.budget import Budget, BudgetSpent
from rewards.extraction.candidates import Candidate
from rewards.extraction.cut import read_cut
from rewards.extraction.escaped import ENTITY_START, ESCAPED_START, read_escaped
from rewards.extraction.parser import ParsedValue, parse
from rewards.extraction.quotations import next_document, quote_around
from rewards.extraction.reasoning import list_tags
from rewards.extraction.repairs import Repair, RepairKind
from rewards.extraction.roots import read_root
from rewards.extraction.second_look import find_members
from rewards.extraction.starts import ASIDE, LIST_START, OBJECT_START, PLACEHOLDER
from rewards.extraction.state import State
from rewards.extraction.strict import scan_prefix

MAX_CANDIDATES = 4_000
DEEP_COST = 20_000
LOOSE_FENCE = 20_000
_DATA_FENCES = {"", "json", "json5", "jsonc", "yaml", "yml", "text", "txt"}

# What a fence that was never closed is followed by: another that says what it holds.
_REOPENED = {"json", "json5", "jsonc", "jsonl"}
_LINE_END = re.compile(r"[ \t\r]*\n")
_EVENT = re.compile(
    r"(?P<bracket>[{\[])|(?P<fence>```|~~~|''')(?P<info>[ \t]*[\w+.-]*)|(?P<comment>/\*|<!--)|(?P<line>(?<![^\n])[ \t]*(?://|--[ \t]))"
)
_BRACKET = re.compile(r"[{\[]")
_MEMBERS = re.compile(rf"{P.W}{P.QUOTED}{P.W}:")
_BARE_LINES = re.compile(r"\s*(?:[^\W\d][\w \-]{0,60}:[ \t]+\S[^\n]*(?:\n\s*|\Z))++\Z")
_FENCE_LINE = re.compile(r"\n[ \t]*(?:```|~~~|''')")
_CALL_BEFORE = re.compile(r"(?:OrderedDict|dict|deque|defaultdict)\(\Z")


class Scanner:
    """Walks over the text once, from bracket to bracket."""

    def __init__(self, text: str, budget: Budget):
        # Blanks for the marks of a quoted reply keep every offset.
        quoted = "\n>" in text and _QUOTED_LINES.search(text) is not None
        self.text = text = _QUOTE_MARK.sub(lambda mark: " " * len(mark[0]), text) if quoted else text
        self.end = len(text)
        self.budget = budget
        self.found: list[Candidate] = []
        self.fence: str | None = None
        self.previous = 0
        self.floor = self.content = 0
        self.is_open = False
        # Each of these readings may end far behind the place where the search goes on: without a number of them a text
        # of openings alone would be read in quadratic time.
        self.retries = 12
        self.escapes = 4
        self.after_deep = False
        self.loose_fences = self.loose_members = 20
        self.strict_tries = 24
        self.tags = list_tags(text)

    def scan(self) -> list[Candidate]:
        """All candidates in the order of the text; reasoning that closes is skipped, reasoning that does not ends the text."""
        with suppress(BudgetSpent):
            self.walk()
        return self.found

    def walk(self) -> None:
        text, found = self.text, self.found
        special = (
            "`" in text
            or "~~~" in text
            or "'''" in text
            or "/*" in text
            or "<!--" in text
            or "//" in text
            or "-- " in text
        )
        search = (_EVENT if special else _BRACKET).search
        position, tag_index = 0, 0
        if _MEMBERS.match(text) is not None:
            position = self.take_members(0)
        event, searched = None, False
        while True:
            if not searched or (event is not None and event.start() < position):
                event, searched = search(text, position, self.end), True
            start = event.start() if event is not None else self.end
            while tag_index < len(self.tags) and self.tags[tag_index][0] < position:
                tag_index += 1
            if tag_index < len(self.tags) and self.tags[tag_index][0] <= start:
                tag = self.tags[tag_index]
                if tag[2]:
                    found.clear()
                    position = self.previous = self.floor = tag[1]
                    tag_index += 1
                else:
                    position, tag_index = self.skip_reasoning(tag_index)
                    if position < 0:
                        self.is_open = True
                        return
                    self.previous = self.floor = position
                self.fence = None
                if _MEMBERS.match(text, position) is not None:
                    position = self.take_members(position)
                continue
            if event is None:
                return
            if not special or event["bracket"]:
                limit = self.tags[tag_index][0] if tag_index < len(self.tags) else self.end
                position = self.take(start, limit)
                if len(found) >= MAX_CANDIDATES:
                    return
            elif event["fence"]:
                position = self.cross_fence(event)
            elif event["comment"]:
                closer = "*/" if event["comment"] == "/*" else "-->"
                stop = text.find(closer, event.end())
                position = stop + len(closer) if stop >= 0 else event.end()
            else:
                stop = text.find("\n", event.end())
                position = stop if stop >= 0 else self.end

    def skip_reasoning(self, index: int) -> tuple[int, int]:
        """Moves behind the block that tag `index` opens; (-1, ...) when it never closes."""
        depth, last = 0, -1
        for at in range(index, len(self.tags)):
            tag = self.tags[at]
            if tag[2]:
                depth -= 1
                last = at
                if depth <= 0:
                    break
            else:
                depth += 1
        if last < 0:
            return -1, index
        return self.tags[last][1], last + 1

    def cross_fence(self, event: re.Match[str]) -> int:
        """Goes over a fence mark; an opening one may hold members without their braces."""
        line = max(0, event.start() - 200)
        line = max(line, self.text.rfind("\n", line, event.start()) + 1)
        marks = event["fence"]
        reopens = event["info"].strip().lower() in _REOPENED and _LINE_END.match(self.text, event.end()) is not None
        if self.fence is not None and not reopens:
            self.fence = None
            return event.end()
        if marks == "'''" and self.text[line : event.start()].strip():
            return event.end()
        self.fence = event["info"].strip().lower()
        content = self.content = event.end()
        if self.fence in ("json", "json5", "jsonc", "yaml", "yml") and self.loose_fences > 0:
            self.loose_fences -= 1
            closing = _FENCE_LINE.search(self.text, content, min(self.end, content + LOOSE_FENCE))
            stop = closing.start() if closing is not None else self.end
            lines = stop - content < LOOSE_FENCE and _BARE_LINES.match(self.text, content, stop)
            if lines and "{" not in self.text[content:stop]:
                return max(content, self.take_members(content))
        if self.fence in _DATA_FENCES and _MEMBERS.match(self.text, content) is not None:
            return max(content, self.take_members(content))
        return content

    def take_members(self, start: int) -> int:
        """Reads members that stand without braces, to the end of the fence or text."""
        if self.loose_members <= 0:
            return start
        self.loose_members -= 1
        text = self.text
        begin = P.SKIP.match(text, start).end()  # type: ignore[union-attr]
        fence = _FENCE_LINE.search(text, begin)
        stop = fence.start() if fence is not None else self.end
        self.budget.spend((stop - begin) // 50)
        reading = parse(State(text, begin, stop, self.budget), implicit=True)
        if reading is None or not isinstance(reading.value, dict) or not reading.value:
            return start
        if not reading.closed and (not reading.cut or text[reading.end : stop].strip()):
            return start
        self.keep(reading)
        return reading.end

    def take(self, start: int, limit: int) -> int:
        """Reads the value whose bracket is at `start`; returns where to go on looking."""
        text = self.text
        self.budget.spend()
        if self.after_deep and text[max(0, start - 8) : start].rstrip()[-1:] in (":", ",", "[", "{", "("):
            # The inside of a value that was nested too deeply is no answer of its own.
            return start + 1
        if text[start + 1 : start + 2] in _PLAIN_QUOTES:
            # A quote right behind the bracket: neither a placeholder nor a fence nor an escape, whatever follows.
            return self.take_value(start, limit)
        if text.startswith(("```", "~~~"), start + 1):
            # A fence in brackets: the value is inside the fence.
            return start + 1
        placeholder = PLACEHOLDER.match(text, start)
        if placeholder is not None and text[start + 1] not in "}]" and not self.is_whole(start, placeholder.end()):
            if (
                text[start] != "["
                or "," not in placeholder[0]
                or not (text[max(0, start - 3) : start].rstrip().endswith(":") or _OWN_LINE.match(text, start))
            ):
                return placeholder.end()
            # Words in brackets behind a colon, or on lines of their own, are a list.
            listed = self.read(start, self.end)
            if isinstance(listed, ParsedValue) and listed.closed:
                self.keep(listed)
            return placeholder.end()
        aside = ASIDE.match(text, start) if text[start] == "[" else None
        if aside is not None and (aside["link"] is not None or not self.is_whole(start, aside.end())):
            return aside.end()
        begins = (OBJECT_START if text[start] == "{" else LIST_START).match(text, start, self.end)
        if begins is None and not (text[start] == "[" and self.is_bare_list(start)):
            return start + 1
        if _SPACE_ESCAPES.match(text, start) is not None and self.escapes > 0:
            # \n between tokens, quotes as they are: blanks of the same length keep every offset.
            self.escapes -= 1
            self.text = text = text[:start] + _STRING_OR_SPACE.sub(lambda found: found[1] or "  ", text[start:])
        escaped = ESCAPED_START.match(text, start) or ENTITY_START.match(text, start)
        if escaped is not None and self.escapes > 0:
            self.escapes -= 1
            after = self.take_escaped(start, escaped.lastindex is not None)
            if after > start:
                return after
        return self.take_value(start, limit)

    def take_value(self, start: int, limit: int) -> int:
        """Reads and keeps the value that is known to begin at `start`; returns where to go on looking."""
        text = self.text
        reading = self.read(start, self.end)
        if (
            isinstance(reading, ParsedValue)
            and not reading.closed
            and reading.end > limit
            and not self.is_content(reading, limit)
        ):
            # The value runs into a reasoning tag without ending: the tag is no part of it.
            self.budget.spend((reading.end - start) // 4)
            reading = self.read(start, limit)
        if isinstance(reading, int):
            return reading
        wild = sum([repair.kind in _WILD for repair in reading.repairs]) if reading.repairs else 0
        doubtful = (not reading.closed and (wild > 0 or not reading.cut)) or (text[start] == "[" and wild > 0)
        doubtful = doubtful or (wild > 0 and any(repair.kind is RepairKind.MISSING_QUOTE for repair in reading.repairs))
        doubtful = doubtful or (not reading.closed and quote_around(text, start, self.floor) != "")
        self.keep(reading)
        if reading.closed and (remark := _REMARK_BEHIND.match(text, reading.end)) is not None:
            return remark.end()
        if doubtful and reading.end - start > 1 and self.retries > 0:
            self.retries -= 1
            self.budget.spend((reading.end - start) // 4)
            return next_document(text, start, reading.end, self.floor)
        return max(reading.end, start + 1)

    def is_content(self, reading: ParsedValue, tag: int) -> bool:
        """True where the tag at `tag` stands inside a text of a value that is strict JSON up to the end."""
        strict = len(reading.repairs) == 1 and reading.repairs[0].kind is RepairKind.CUT
        return strict and self.text.find('"', tag, reading.end) >= 0

    def is_bare_list(self, start: int) -> bool:
        """True when a list of bare words begins at `start` and nothing stands around it."""
        if P.SKIP.match(self.text, max(self.previous, self.content)).end() < start:  # type: ignore[union-attr]
            return False
        stop = self.text.find("]", start)
        if stop >= 0 and self.text.find("[", start + 1, stop) >= 0:
            stop = self.text.rfind("]", start, start + 4_000)
        return stop >= 0 and self.is_whole(start, stop + 1)

    def is_whole(self, start: int, end: int) -> bool:
        """True when text[start:end] is all there is, or all there is in its fence."""
        if P.SKIP.match(self.text, max(self.previous, self.content)).end() < start:  # type: ignore[union-attr]
            return False
        if self.found and self.text[start] == "[" and "," not in self.text[start:end]:
            # A single word in brackets behind a value is a remark.
            return False
        after = self.text[end : end + 80].strip(" \t\r\n,;.")
        return not after or (self.fence is not None and after.startswith(("```", "~~~", "'''")))

    @cached_property
    def has_spare_closers(self) -> bool:
        """True where the text has more closing than opening brackets, so that a list may have been closed too early."""
        count = self.text.count
        return count("}") + count("]") > count("{") + count("[")

    def read(self, start: int, end: int) -> ParsedValue | int:
        """Reads one value by the strict reader where it will do, by the tolerant one otherwise; or says where to go on."""
        text = self.text
        if self.strict_tries > 0 and end == self.end:
            strict = scan_prefix(text, start)
            if isinstance(strict, tuple):
                value, stop = strict
                stray: Any = _STRAY_CLOSER.match(text, stop, end) and "\n" in text[start:stop]
                stray = stray or P.STRING_GOES_ON.match(text, stop, end)
                stray = stray or (self.has_spare_closers and P.LIST_REOPENED.match(text, stop, end))
                if not stray and (P.REOPENED.match(text, stop, end) is None or not isinstance(value, dict)):
                    return ParsedValue(value, start, stop, (), True, False)
            else:
                self.strict_tries -= 1
                cut = read_cut(text, start, strict)
                if cut is not None:
                    return cut
        is_argument = start > 0 and text[start - 1] == "("
        before = _CALL_BEFORE.search(text, max(0, start - 16), start) if is_argument else None
        begin = before.start() if before is not None else start
        state = State(text, begin, end, self.budget)
        reading = parse(state)
        if reading is None:
            if not state.too_deep:
                return start + 1
            self.budget.spend(DEEP_COST)
            self.after_deep = True
            return max(state.i, start + 1)
        return self.reread(state, reading)

    def reread(self, state: State, reading: ParsedValue) -> ParsedValue:
        """Reads a pretty-printed value again by its indentation when its brackets do not add up."""
        broken = not reading.closed or any([repair.kind in _BRACKETS for repair in reading.repairs])
        trailing = _STRAY_CLOSER.match(self.text, reading.end, self.end) if reading.closed else None
        if not (broken or trailing) or self.text.count("\n", reading.start, reading.end) < 3:
            return reading
        if not reading.closed and self.text[: reading.end].rstrip()[-1:] not in ("}", "]"):
            return reading
        second = parse(State(self.text, state.start, state.end, self.budget, indented=True))
        if second is None or not second.closed or second.end < reading.end:
            return reading
        return second

    def take_escaped(self, start: int, backslashes: bool) -> int:
        """Reads a value whose text is itself escaped, as in {\\"a\\": 1}; places are those of its start."""
        reading = read_escaped(self.text, start, backslashes, self.budget)
        if reading is None:
            return start
        self.keep(reading)
        return reading.end

    def take_root(self) -> Candidate | None:
        """The answer that no bracket opens, if there is one; asked for when nothing better was found."""
        with suppress(BudgetSpent):
            reading = read_root(self.text, self.floor, self.budget)
            if reading is not None:
                self.keep(reading)
                return self.found.pop()
        return None

    def take_loose(self, before: int) -> Candidate | None:
        """Members that stand without an opening brace, behind prose or as all of the text, and begin before `before`."""
        start = find_members(self.text, self.floor)
        with suppress(BudgetSpent):
            if 0 <= start < before and self.take_members(start) > start and self.found:
                return self.found.pop()
        return None

    def keep(self, reading: ParsedValue) -> None:
        stray = _STRAY_CLOSER.match(self.text, reading.end) if reading.closed else None
        if stray is not None and "," not in stray[0]:
            reading = reading._replace(repairs=(*reading.repairs, Repair(RepairKind.EXTRA_CLOSER, stray.end() - 1)))
        self.found.append(
            Candidate(
                reading.value,
                reading.start,
                reading.end,
                reading.repairs,
                reading.closed,
                reading.cut,
                self.fence,
                self.previous,
                self.floor,
                reading.duplicates,
            )
        )
        self.previous = reading.end


_PLAIN_QUOTES = ('"', "'")
_OWN_LINE = re.compile(r"(?:(?<=\n)|(?<![^\n]))\[[^\[\]\n]*\][ \t\r]*(?:\Z|\n[ \t\r]*(?:\n|</)|</|<\|)")
# A remark on the line of a value's end; what it holds is no answer.
_REMARK_BEHIND = re.compile(r"[ \t]*(?://|#[ \t])[^\n]*+")
_BRACKETS = frozenset(
    {RepairKind.MISSING_CLOSER, RepairKind.MISMATCHED_CLOSER, RepairKind.EXTRA_CLOSER, RepairKind.EARLY_CLOSER}
)
_WILD = frozenset(
    {RepairKind.INNER_QUOTE, RepairKind.MISSING_QUOTE, RepairKind.GARBAGE, RepairKind.SHAPE, RepairKind.MISSING_COLON}
)
_SPACE_ESCAPES = re.compile(r"[{\[]\s{0,20}+\\[nrt](?:\\[nrt]|\s){0,40}+[\"'{\[\w]")
_STRING_OR_SPACE = re.compile(r"(\"(?:[^\"\\]|\\.)*+\")|\\[nrt]", re.DOTALL)
_QUOTED_LINES = re.compile(r"(?m)^>[^\n]*\n>[^\n]*\n>")
_QUOTE_MARK = re.compile(r"(?m)^>[ \t]?")
_STRAY_CLOSER = re.compile(r"\s*,?\s*[}\]]")
