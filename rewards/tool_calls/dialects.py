"""Reading tool calls out of a text, in any of the dialects in which models write them."""

from __future__ import annotations

import re

from rewards.tool_calls import marks, markup
from rewards.tool_calls.calls import MAXIMUM_CALLS, Call, CallReading, list_calls
from rewards.tool_calls.child_tags import read_children, read_element
from rewards.tool_calls.gemma import read_gemma
from rewards.tool_calls.kindred import write_known
from rewards.tool_calls.pythonic import read_pythonic, starts_call
from rewards.tool_calls.values import ValueReader, read_json

MAXIMUM_TEXT = 60_000
"""Characters that are read; real calls are far shorter."""

_FAILED_TRIES = 24


def read_calls(text: str) -> CallReading:
    """Every call of a text, whichever dialects it mixes; docs/rewards/tool_call.md lists them.

    Reasoning that ended is skipped, and what an argument holds is never a call of its own. A marker behind which no call
    can be read is a broken call.
    """
    text = write_known(text[:MAXIMUM_TEXT])
    if text.lstrip()[:2] in ('"{', '"[') and text.rstrip().endswith('"'):
        # The whole answer as one JSON text.
        inside = read_json(text.strip())
        text = inside if isinstance(inside, str) else text
    if not any(mark in text for mark in marks.MARKS) and not any(word in text for word in marks.WORDS):
        return CallReading(())
    return _Scan(text).read()


class _Scan:
    """One pass over a text from its start to its end: each handler reads what a mark opens and says where to go on."""

    def __init__(self, text: str):
        self.text = text
        self.reader = ValueReader(text)
        self.calls: list[Call] = []
        self.broken = 0
        self.python_left = self.elements_left = _FAILED_TRIES
        self.kept = self.named_end = 0
        self.unclosed: int | None = None
        self.awaited = False
        self.awaited_from = 0
        self.notation = ""
        self.silent = False
        self.code_end = 0

    def read(self) -> CallReading:
        text, place = self.text, 0
        places = marks.PLACE_OR_WORD if any(word in text for word in marks.WORDS) else marks.PLACE
        while (start := places.search(text, place)) is not None:
            if len(self.calls) > MAXIMUM_CALLS:
                break
            match = marks.START.match(text, start.start())
            if match is None:
                place = start.start() + 1
                continue
            kind = match.lastgroup or ""
            place = max(_HANDLERS[_OUTER.get(kind, kind)](self, match), match.start() + 1)
        if self.unclosed is not None and not any(not call.name_only for call in self.calls):
            self._read_rest(self.unclosed)
        self._settle_awaited()
        sure = [call for call in self.calls if not call.name_only]
        if not sure and not self.broken and not self.silent:
            self.notation = self._find_unread()
            self.broken += bool(self.notation)
        calls = sure or self.calls
        return CallReading(
            tuple(calls[:MAXIMUM_CALLS]), self.broken + max(0, len(calls) - MAXIMUM_CALLS), self.notation
        )

    def _find_unread(self) -> str:
        if "<" not in self.text and "[" not in self.text:
            return ""
        match = marks.UNREAD.search(self.text, self.kept)
        return match[0] if match else ""

    def _settle_awaited(self) -> None:
        """A marker without a call behind it is a broken call."""
        self.broken += self.awaited
        self.awaited = False

    def _forget(self, place: int) -> int:
        """Reasoning ended at `place`: nothing before it counts."""
        self.calls.clear()
        self.broken, self.unclosed, self.awaited, self.kept = 0, None, False, place
        return place

    def _add(self, calls: list[Call]) -> None:
        self.calls.extend(calls)
        if calls:
            self.awaited = False

    def open(self, match: re.Match[str]) -> int:
        closing = self.reader.find(marks.CLOSE, match.end())
        return self._forget(closing.end()) if closing else self._end()

    def _end(self) -> int:
        self.kept = len(self.text)
        return len(self.text)

    def close(self, match: re.Match[str]) -> int:
        return self._forget(match.end())

    def analysis(self, match: re.Match[str]) -> int:
        """gpt-oss thinks in a channel of its own, which another message ends."""
        ended = self.reader.find(marks.CHANNEL_END, match.end())
        self.kept = ended.start() if ended else len(self.text)
        return self.kept

    def marker(self, match: re.Match[str]) -> int:
        if self.text[self.awaited_from : match.start()].strip():
            # Markers one after the other, `<tool_calls><tool_call>`, are one.
            self._settle_awaited()
        place = marks.SPACE.match(self.text, match.end()).end()  # type: ignore[union-attr]
        count, start = len(self.calls), place
        while True:
            found = self._read_payload(place)
            if found is None:
                break
            place = found
            between = marks.BETWEEN.match(self.text, place).end()  # type: ignore[union-attr]
            if len(self.calls) > MAXIMUM_CALLS or self.text[between : between + 1] not in ("{", "["):
                break
            if self.text.startswith("[TOOL_CALLS]", between):
                break
            place = between
        if place == start and len(self.calls) == count:
            self.awaited, self.awaited_from = True, match.end()
            return match.end()
        closing = marks.MARKER_END.match(self.text, place)
        if closing is None and self.text[place:].strip() == match[0]:
            # Opened once more instead of closed.
            return len(self.text)
        return closing.end() if closing else place

    def _read_payload(self, place: int) -> int | None:
        """What stands behind a marker: JSON, a call in Python, a name with arguments. None where it is something else."""
        text = self.text
        mark = text[place : place + 1]
        if (mark == "[" or mark.isalpha() or mark == "_") and starts_call(text, place):
            found = self._read_python(place)
            if found is not None:
                return found
        if mark in ("{", "["):
            return self._read_marked_json(place)
        gemma = read_gemma(text, place)
        if gemma:
            self._add([gemma[0]])
            return gemma[1]
        named = marks.NAMED.match(text, place)
        if named:
            return self._read_named(named["name"], named.end())
        tagged = marks.TAGGED.match(text, place)
        if tagged and tagged["tag"] is None:
            self._add([Call(tagged["name"], {})])
            return tagged.end()
        if tagged and not text.startswith("{", tagged.end()):
            inside = read_children(text, tagged.end(), f"</{tagged['tag']}>")
            if inside is None:
                return None
            self._add([Call(tagged["name"], inside[0], typed=not inside[0])])
            return inside[1]
        if tagged:
            end = self._read_named(tagged["name"], tagged.end())
            return end + len(tagged["tag"]) + 3 if text.startswith(f"</{tagged['tag']}>", end) else end
        pairs = marks.PAIRS.match(text, place)
        if pairs:
            call, end = markup.read_pairs(self.reader, pairs["name"], pairs.end())
            self._add([call])
            return end
        lone = marks.LONE_NAME.match(text, place)
        if lone:
            self._add([Call(lone["name"], {})])
            return lone.end("name")
        return None

    def _read_marked_json(self, place: int) -> int | None:
        limit = self.reader.find(marks.MARKER_END, place)
        another = self.reader.find(marks.ANOTHER, place + 1)
        ends = [found.start() for found in (limit, another) if found]
        found = self.reader.any(place, min(ends, default=len(self.text)))
        if found is None:
            return None
        calls, others = list_calls(found.value, marked=True)
        if found.value == []:
            # It says that there is nothing to call.
            self.silent = True
            return found.end
        self.broken += others
        self._add([self._mark(call, found.clean, found.repaired) for call in calls])
        return found.end

    def _mark(self, call: Call, clean: bool, repaired: bool) -> Call:
        return call._replace(clean=call.clean and clean, repaired=repaired)

    def _read_named(self, name: str, place: int) -> int:
        """Arguments in JSON behind a name that stands apart."""
        found = self.reader.any(place, len(self.text))
        if found is None or not isinstance(found.value, dict):
            self.broken += 1
            self.awaited = False
            return place + 1 if found is None else found.end
        if marks.COUNTER.search(name):
            # Kimi numbers its calls and puts a name space before each.
            name = marks.COUNTER.sub("", name).removeprefix("functions.")
        self._add([Call(name, found.value, clean=found.clean, repaired=found.repaired)])
        return found.end

    def begin(self, match: re.Match[str]) -> int:
        named = marks.NAMED.match(self.text, match.end())
        if named is None:
            self.awaited, self.awaited_from = True, match.end()
            return match.end()
        end = self._read_named(named["name"], named.end())
        return marks.AFTER_NAMED.match(self.text, end).end()  # type: ignore[union-attr]

    def harmony(self, match: re.Match[str]) -> int:
        name = match["recipient"] or match["plain"]
        message = marks.MESSAGE.match(self.text, match.end())
        place = message.end() if message else match.end()
        if self.text[place : place + 1] != "{":
            empty = marks.NO_MESSAGE.match(self.text, place)
            self.calls.extend([Call(name, {})] if empty else [])
            self.broken += not empty
            return place
        return self._read_named(name, place)

    def markup(self, match: re.Match[str]) -> int:
        opened = markup.OPEN.match(self.text, match.start())
        if opened is None:
            return match.end()
        call, end = markup.read_block(self.reader, opened)
        self._count(call)
        return end

    def parameter(self, match: re.Match[str]) -> int:
        call, end = markup.read_nameless(self.reader, match.start(), self.text[self.kept : match.start()][-300:])
        self._count(call)
        return end

    def _count(self, call: Call | None) -> None:
        if call is None:
            self.broken += 1
            self.awaited = False
        else:
            self._add([call])

    def fence(self, match: re.Match[str]) -> int:
        """The inside is read like any other text, but for calls in Python, which must fill it."""
        closing = self.text.find("```", match.end())
        self.code_end = closing if closing >= 0 else len(self.text)
        if (match["language"] or "").lower() not in marks.CODE:
            return match.end()
        place = marks.REMARKS.match(self.text, match.end()).end()  # type: ignore[union-attr]
        assigned = marks.ASSIGNED.match(self.text, place)
        if not starts_call(self.text, assigned.end() if assigned else place):
            return match.end()
        end = self._read_program(place)
        if end is None:
            self.broken += (match["language"] or "").lower().startswith("tool")
            return match.end()
        return end

    def _read_program(self, place: int) -> int | None:
        """Calls in Python that fill their fence, and the lines that show what they gave; None where there is more."""
        calls: list[Call] = []
        program = False
        while not self.text.startswith("```", place) and place < len(self.text):
            place = marks.REMARKS.match(self.text, place).end()  # type: ignore[union-attr]
            assigned = marks.ASSIGNED.match(self.text, place)
            place = assigned.end() if assigned else place
            program = program or assigned is not None
            found = read_pythonic(self.text, place) if self.python_left > 0 and starts_call(self.text, place) else None
            if found is None or len(calls) > MAXIMUM_CALLS:
                self.python_left -= 1
                return None
            calls += found[0]
            place = marks.BLANKS.match(self.text, found[1]).end()  # type: ignore[union-attr]
            place = marks.SHOWN.match(self.text, place).end()  # type: ignore[union-attr]
            place = marks.REMARKS.match(self.text, place).end()  # type: ignore[union-attr]
        if not calls:
            return None
        if program:
            # Lines of a program are calls only where their functions are asked for.
            self.calls += [call._replace(name_only=True) for call in calls]
        else:
            self._add(calls)
        return place

    def react(self, match: re.Match[str]) -> int:
        place = match.end()
        if self.text[place : place + 1] == "{":
            return self._read_named(match["action"], place)
        line = marks.LINE.match(self.text, place)
        written = line[0].strip() if line else ""
        if written.lower() in ("", "none", "null"):
            self._add([Call(match["action"], {})])
        else:
            # A tool of one text, whose argument has no name here.
            self._add([Call(match["action"], {"input": written.strip("\"'`")}, typed=False)])
        return line.end() if line else place

    def json(self, match: re.Match[str]) -> int:
        place = match.start()
        if match[0] == "[" and starts_call(self.text, place):
            end = self._read_python(place)
            if end is not None:
                return end
        start = max(self.kept, self.named_end)
        before = self.text[start:place].strip() + "\n" if place - start < 300 and match[0] == "{" else ""
        headline = marks.HEADLINE.fullmatch(before) or marks.TURN.fullmatch(before)
        if headline:
            self.named_end = self._read_named(headline["name"], place)
            return self.named_end
        found = self.reader.strict(place)
        if found is None:
            if not marks.MAY_BE_JSON.match(self.text, place):
                return place + 1
            end = self.reader.closing(place)
            if end is None:
                if self.unclosed is None and match[0] == "{":
                    self.unclosed = place
                return place + 1
            found = self.reader.mend(place, end)
            if found is None:
                return place + 1
        calls, others = list_calls(found.value, marked=False)
        if any(not call.name_only for call in calls):
            self.broken += others
            self.awaited = False
        elif not calls and isinstance(found.value, dict) and (heading := marks.HEADING.fullmatch(before)):
            calls = [Call(heading["name"], found.value, name_only=True)]
        self.calls.extend(self._mark(call, found.clean, found.repaired) for call in calls)
        return found.end

    def line(self, match: re.Match[str]) -> int:
        """A call in Python counts without a marker only where it fills its lines, and is not a line of a program."""
        if match.start() < self.code_end:
            return match.end()
        return self._read_python(match.end(), fills="\n", assigned=match["assigned"] is not None) or match.end()

    def labels(self, match: re.Match[str]) -> int:
        return self._read_named(match["labelled"], match.end())

    def functionary(self, match: re.Match[str]) -> int:
        return self._read_named(match["sender"] or match["addressee"], match.end())

    def elements(self, match: re.Match[str]) -> int:
        self.elements_left -= 1
        found = read_element(self.text, match["element"], match.end()) if self.elements_left >= 0 else None
        if found is None:
            return match.end()
        self.calls.append(found[0])
        return found[1]

    def _read_python(self, place: int, fills: str = "", assigned: bool = False) -> int | None:
        """`assigned`: the line is one of a program, so that it is a call only where its function is asked for."""
        if self.python_left <= 0:
            return None
        found = read_pythonic(self.text, place)
        if found is not None:
            calls, end = found
            rest = marks.BLANKS.match(self.text, end).end()  # type: ignore[union-attr]
            if not fills or rest >= len(self.text) or self.text.startswith(fills, rest):
                if assigned:
                    self.calls.extend(call._replace(name_only=True) for call in calls)
                else:
                    self._add(calls)
                return end
        self.python_left -= 1
        return None

    def _read_rest(self, place: int) -> None:
        """An object that never closes: cut off, or with quotes that nobody can count."""
        found = self.reader.mend(place, len(self.text))
        if found is not None:
            calls, others = list_calls(found.value)
            self.broken += others if calls else 0
            self._add([self._mark(call, found.clean, True) for call in calls])


_HANDLERS = {
    name: getattr(_Scan, name)
    for name in (
        "marker", "begin", "harmony", "analysis", "open", "close", "markup", "parameter", "fence", "react", "json", "line", "labels",
        "functionary", "elements",
    )
}  # fmt: skip
_OUTER = {
    "recipient": "harmony", "plain": "harmony", "action": "react", "language": "fence", "labelled": "labels",
    "sender": "functionary", "addressee": "functionary", "element": "elements", "assigned": "line",
}  # fmt: skip
