"""Where a quoted text ends when its quotes cannot be trusted, and what its escapes stand for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from rewards.extraction.budget import Budget
from rewards.extraction.patterns import (
    BACKTICKS,
    BARE_KEY_BEFORE,
    CLOSED_VALUE,
    CLOSING_QUOTES,
    CONCATENATED,
    DOUBLE_QUOTES,
    FENCED_TEXT,
    FOLLOWS_ELEMENT,
    KEY_WITH_VALUE,
    MISMATCHED_CLOSE,
    NEXT_ELEMENT,
    SINGLE_QUOTES,
    SWALLOWED_MEMBER,
    WEAK_ELEMENT,
    WEAK_MEMBER,
)
from rewards.extraction.repairs import RepairKind


class Text(NamedTuple):
    """A string that was read: its raw content is text[start:stop], reading goes on at `after`."""

    start: int
    stop: int
    after: int
    kinds: tuple[RepairKind, ...] = ()
    cut: bool = False


def _next_quote(quotes: str) -> re.Pattern[str]:
    return re.compile(rf"[^{quotes}\\]*+(?:\\.[^{quotes}\\]*+)*+([{quotes}])", re.DOTALL)


# A plain quote is closed by its like; a typographic one by any of its class.
_NEXT = {quote: _next_quote(quote) for quote in "\"'"}
_NEXT.update({quote: _next_quote(DOUBLE_QUOTES) for quote in DOUBLE_QUOTES[1:]})
_NEXT.update({quote: _next_quote(SINGLE_QUOTES) for quote in SINGLE_QUOTES[1:]})
_NEXT.update({quote: _next_quote(BACKTICKS) for quote in BACKTICKS})

_ANY_QUOTE = re.compile(rf"[{CLOSING_QUOTES}]")
_CONTROL = re.compile(r"[\x00-\x1f]")
_FENCE_END = re.compile(
    r"\n[ \t]*(?:```|~~~|'''|</\w+>\s*\Z)|```[ \t\r\n]*\Z|(?<=[}\]])[ \t\r]*\n[ \t\r]*\n[^\"{}\[\]]*\Z"
)
# It begins where a line ends, so that a long run of blank lines is gone through once.
_NEW_DOCUMENT = re.compile(r"(?<=\S)[ \t\r]*+\n\s*+(?:[^\n{\[]{0,200}+\n\s*+)?+[{\[]\s*+[\"'{\[]")
_ESCAPED_CLOSE = re.compile(r"\\[\"']")
# The quote that was found opens the next text: this one was closed by a typographic quote.
_MISTYPED_CLOSE = re.compile(r"[”’»][ \t]*,\s*\Z")
_PATH = re.compile(r"\\[^\"]")
_TAIL = re.compile(r"([\s}\])]*+)\Z")

Follows = Callable[[str, int, int], "re.Match[str] | None"]
Fits = Callable[[int], bool]


def find_close(text: str, i: int, end: int, follows: Follows, fits: Fits, open_closers: str, budget: Budget) -> Text:
    """Finds where the string that opens at `i` ends.

    A quote closes it only when what follows is plausible: `follows` matches right after it, and `fits` accepts the closing
    bracket that it matched, if any. `open_closers` are the brackets that would close everything open, innermost first.
    """
    quote = text[i]
    if text.startswith(quote * 3, i) and quote in "\"'`":
        tripled = _find_tripled(text, i, end, follows, fits)
        if tripled is not None:
            return tripled
    if text.startswith(quote * 2, i):
        doubled = _find_doubled(text, i, end, follows, fits)
        if doubled is not None:
            return doubled
    match_next = _NEXT[quote].match
    kinds = () if quote == '"' else (RepairKind.QUOTE_STYLE,)
    # Of the quotes passed over: how many, and the first that would have closed the text had no brace of a document quoted
    # in it been open. Where nothing closes the text later, that one did.
    at, inner, opened, spare = i + 1, 0, 0, -1
    while True:
        match = match_next(text, at, end)
        if match is None:
            stop = -1 if opened else _mismatched_close(text, at, end, i + 1, end)
            if stop >= 0:
                return Text(i + 1, stop, stop + 1, (*kinds, RepairKind.MISSING_QUOTE))
            return _end_open_string(text, i, end, follows, fits, open_closers, spare, kinds)
        budget.spend()
        q = match.end() - 1
        if opened:
            opened = max(0, opened - text.count("}", at, q))
        closes = follows(text, q + 1, end)
        if closes is not None and (closes[1] is None or fits(closes.start(1))):
            if not opened:
                mistyped = _MISTYPED_CLOSE.search(text, max(i + 1, q - 8), q) if quote == '"' and not inner else None
                if mistyped is not None:
                    return Text(i + 1, mistyped.start(), mistyped.start() + 1, (*kinds, RepairKind.MISSING_QUOTE))
                if quote not in "\"'" and text[q] in "\"'" and _closes_later(text, q, end, quote, follows, fits):
                    inner, at = inner + 1, q + 1
                    continue
                return _trim_doubled(text, i, q, at, kinds) if inner == 1 else _close_at(i, q, inner, kinds)
            if spare < 0:
                spare = q
        elif not inner and q > i + 1:
            weak = WEAK_ELEMENT if follows == FOLLOWS_ELEMENT.match else WEAK_MEMBER
            joined = weak is WEAK_MEMBER and quote in "\"'" and CONCATENATED.match(text, q + 1, end) is not None
            found = None if joined else weak.match(text, q + 1, end)
            if joined or (found is not None and (found.lastgroup == "sure" or not _is_inch(text, i, q))):
                return Text(i + 1, q, q + 1, kinds)
        if not opened:
            stop = _mismatched_close(text, at, q, i + 1, end)
            if stop >= 0:
                return Text(i + 1, stop, stop + 1, (*kinds, RepairKind.MISSING_QUOTE))
        # Quotes inside a text come in pairs; only behind whole pairs can this one open the next key instead.
        if not opened and inner % 2 == 0:
            stop = _missing_close(text, i + 1, q, end, follows)
            if stop >= 0:
                return Text(i + 1, stop, stop, (*kinds, RepairKind.MISSING_QUOTE))
        if text[at:q].rstrip().endswith("{"):
            opened += 1
        inner += 1
        at = q + 1


def _is_inch(text: str, i: int, q: int) -> bool:
    """True where the quote at `q` stands behind a number of its own, as the mark of inches does."""
    at = q
    while at > i + 1 and text[at - 1] in "0123456789.,/":
        at -= 1
    return at < q and (at == i + 1 or text[at - 1].isspace())


def _close_at(i: int, q: int, inner: int, kinds: tuple[RepairKind, ...]) -> Text:
    return Text(i + 1, q, q + 1, (*kinds, RepairKind.INNER_QUOTE) if inner else kinds)


def _trim_doubled(text: str, i: int, q: int, after_inner: int, kinds: tuple[RepairKind, ...]) -> Text:
    """A single inner quote next to either end is that end's quote typed twice, unless it may be an inch mark."""
    kinds = (*kinds, RepairKind.INNER_QUOTE)
    if after_inner == i + 2:
        return Text(i + 2, q, q + 1, kinds)
    if after_inner == q and not text[q - 2].isdigit():
        return Text(i + 1, q - 1, q + 1, kinds)
    return Text(i + 1, q, q + 1, kinds)


def _closes_later(text: str, q: int, end: int, quote: str, follows: Follows, fits: Fits) -> bool:
    """True where a plain quote inside a typographic string is followed at once by a better, typographic close."""
    match = _NEXT[quote].match(text, q + 1, end)
    if match is None or text[match.end() - 1] in "\"'" or match.end() - 1 != q + 1:
        return False
    closes = follows(text, match.end(), end)
    return closes is not None and (closes[1] is None or fits(closes.start(1)))


def _find_tripled(text: str, i: int, end: int, follows: Follows, fits: Fits) -> Text | None:
    """Reads a text in three quotes, to the first three that can close it; a fence goes without its language and line breaks."""
    quote, start = text[i], i + 3
    stop = first = text.find(quote * 3, start, end)
    for _ in range(8):
        if stop < 0:
            break
        while text.startswith(quote * 4, stop):
            stop += 1
        closes = follows(text, stop + 3, end)
        if closes is not None and (closes[1] is None or fits(closes.start(1))):
            first = stop
            break
        stop = text.find(quote * 3, stop + 3, end)
    if first < 0:
        return None
    after = first + 3
    if quote == "`":
        start = FENCED_TEXT.match(text, i, end).end()  # type: ignore[union-attr]
        stop = first
        while stop > start and text[stop - 1] in " \t":
            stop -= 1
        if stop > start and text[stop - 1] == "\n":
            first = stop - 1 - (text[stop - 2] == "\r")
    return Text(min(start, first), first, after, (RepairKind.QUOTE_STYLE,))


def _find_doubled(text: str, i: int, end: int, follows: Follows, fits: Fits) -> Text | None:
    """Reads ''text'' and ""text"", unless the two quotes are an empty string."""
    quote = text[i]
    closes = follows(text, i + 2, end)
    if closes is not None and (closes[1] is None or fits(closes.start(1))):
        return None
    stop = text.find(quote * 2, i + 2, min(end, i + 2000))
    if stop < 0 or quote in text[i + 2 : stop]:
        return None
    closes = follows(text, stop + 2, end)
    if closes is None or (closes[1] is not None and not fits(closes.start(1))):
        return None
    # ""text"" may be a text that was meant to be quoted.
    doubt = (RepairKind.INNER_QUOTE,) if quote == '"' else ()
    return Text(i + 2, stop, stop + 2, (RepairKind.QUOTE_STYLE, *doubt))


def _mismatched_close(text: str, at: int, q: int, start: int, end: int) -> int:
    """Where a quote of another kind closes the string, before the quote at `q` that does not; -1 where none does."""
    for tries, other in enumerate(_ANY_QUOTE.finditer(text, at, q)):
        if tries == 20:
            break
        if other.start() > start and MISMATCHED_CLOSE.match(text, other.start(), end):
            return other.start()
    return -1


def _missing_close(text: str, start: int, q: int, end: int, follows: Follows) -> int:
    """Where the string should have ended when the quote at `q` opens the next key; -1 where it does not."""
    before = q
    bare = BARE_KEY_BEFORE.search(text, max(start, q - 100), q) if follows != FOLLOWS_ELEMENT.match else None
    if bare is not None and CLOSED_VALUE.match(text, q, end) is not None:
        return bare.start()
    while before > start and text[before - 1] in " \t\r":
        before -= 1
    if before <= start or text[before - 1] not in ",\n":
        return -1
    if KEY_WITH_VALUE.match(text, q, end) is None and not _is_next_element(text, start, q, end, follows):
        return -1
    while before > start and text[before - 1] in " \t\r\n":
        before -= 1
    if before > start and text[before - 1] == ",":
        before -= 1
    while before > start and text[before - 1] in "}]":
        closer = text[before - 1]
        if text.count(closer, start, before) <= text.count("{" if closer == "}" else "[", start, before):
            break
        before -= 1
    return before


def _is_next_element(text: str, start: int, q: int, end: int, follows: Follows) -> bool:
    """True when the quote at `q` opens the next element of a list: the quotes up to the list's end are then odd in number."""
    if follows != FOLLOWS_ELEMENT.match or NEXT_ELEMENT.match(text, q, end) is None:
        return False
    stop = text.find("]", q, min(end, q + 2000))
    return stop >= 0 and text.count(text[q], start, stop) % 2 == 0


def _end_open_string(
    text: str,
    i: int,
    end: int,
    follows: Follows,
    fits: Fits,
    open_closers: str,
    spare: int,
    kinds: tuple[RepairKind, ...],
) -> Text:
    """The string never closes plausibly: a path's last backslash, a forgotten quote, a fence, or the end of the text."""
    start = i + 1
    document = _NEW_DOCUMENT.search(text, start, end)
    if spare >= 0 and (document is None or document.start() > spare):
        return Text(start, spare, spare + 1, (*kinds, RepairKind.INNER_QUOTE))
    escaped = _ESCAPED_CLOSE.search(text, start, end)
    tries = 0
    # A path's last backslash; a text that ends just behind an escaped quote was cut there.
    path = escaped is not None and _PATH.search(text, start, escaped.start()) is not None
    while escaped is not None and tries < 20 and (path or text[escaped.end() : end].strip(" \t\r\n,}]")):
        closes = follows(text, escaped.end(), end)
        if closes is not None and closes.end() > escaped.end() and (closes[1] is None or fits(closes.start(1))):
            return Text(start, escaped.start() + 1, escaped.end(), (*kinds, RepairKind.ESCAPE))
        escaped = _ESCAPED_CLOSE.search(text, escaped.end(), end)
        tries += 1
    paragraph = re.compile(rf"{text[i]}[ \t\r]*\n[ \t\r]*\n").search(text, start, end)
    if paragraph is not None and (document is None or document.start() > paragraph.start()):
        return Text(start, paragraph.start(), paragraph.start() + 1, kinds)
    fence = _FENCE_END.search(text, start, end)
    stop = min((found.start() for found in (fence, document) if found is not None), default=end)
    tail = _TAIL.search(text, max(start, stop - 400), stop)
    if tail is not None and tail[1] and open_closers and "".join(tail[1].split()) == open_closers:
        content = tail.start(1)
        if text.count(text[i], start, content) == 1 and text[text.index(text[i], start) - 1] != "\\":
            # The quote is there, with a stray word behind it.
            content = text.index(text[i], start)
            return Text(start, content, content + 1, kinds)
        swallowed = SWALLOWED_MEMBER.search(text, max(start, content - 200), content)
        if swallowed is not None and follows != FOLLOWS_ELEMENT.match and swallowed.start() > start:
            content = swallowed.start()
        return Text(start, content, content, (*kinds, RepairKind.MISSING_QUOTE))
    if stop < end:
        content = stop
        while content > start and text[content - 1].isspace():
            content -= 1
        return Text(start, content, stop, (*kinds, RepairKind.MISSING_QUOTE))
    return Text(start, end, end, kinds, cut=True)


_SIMPLE = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.)|\Z)", re.DOTALL)
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_CUT_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?\Z")


def decode(raw: str, quote: str, *, cut: bool = False) -> tuple[str, tuple[RepairKind, ...]]:
    """Resolves the escapes of a string's content; escapes that JSON does not know keep their backslash."""
    kinds: tuple[RepairKind, ...] = ()
    if "\\" in raw:
        if cut:
            tail = _CUT_ESCAPE.search(raw, max(0, len(raw) - 6))
            if tail is not None:
                before = raw[: tail.start()]
                if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
                    raw = before
        strange: list[str] = []

        def resolve(match: re.Match[str]) -> str:
            unicode, byte, single = match.groups()
            if unicode is not None:
                return chr(int(unicode, 16))
            if single in _SIMPLE:
                return _SIMPLE[single]
            strange.append(match[0])
            if byte is not None:
                return chr(int(byte, 16))
            if single is not None and (single in "'’`" or single == quote):
                return single
            return "" if single == "\n" else match[0]

        raw = _ESCAPE.sub(resolve, raw)
        if max(raw, default="") >= "\ud800" and _SURROGATES.search(raw):
            raw = _SURROGATES.sub(lambda pair: _combine(pair[0]), raw)
        if strange:
            kinds = (RepairKind.ESCAPE,)
    elif _CONTROL.search(raw):
        kinds = (RepairKind.CONTROL_CHARACTER,)
    return raw, kinds


def trim_guillemets(content: str, quote: str) -> str:
    """The text without the blanks that French sets between it and its quotes."""
    if quote in "«‹" and content[:1] in _FRENCH_SPACE and content[-1:] in _FRENCH_SPACE and len(content) > 2:
        return content[1:-1]
    return content


_FRENCH_SPACE = (" ", "\xa0", "\u202f", "\u2009")


def _combine(pair: str) -> str:
    return chr(0x10000 + ((ord(pair[0]) - 0xD800) << 10) + (ord(pair[1]) - 0xDC00))
