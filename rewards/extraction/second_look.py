"""What a reading that leaves doubts may have stumbled over, blanked or mended in place: remarks in the marks of other languages, keys without a colon."""

from __future__ import annotations

import re

from rewards.extraction import patterns as P
from rewards.extraction.repairs import STRUCTURAL, Extraction, Repair, RepairKind

_SCALAR = rf"(?:{P.PLAIN_NUMBER}(?:[eE][-+]?[0-9]++)?(?![\w%])|(?:{P.ANY_LITERAL})\b)"
_TEXT = r"(?:\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+')"
_SOUND = re.compile(rf"(?:(?:[\s}}\[\],:]|\{{(?!\#))++|{_TEXT}|{_SCALAR}|//[^\n]*+|[^\W\d][\w$@.-]*+(?=[ \t]*+:))*+")
_REMARK = re.compile(
    r"(?P<mark>\*{1,3}(?=\s*[,}\]:\"])|__(?=\s*[,}\]:\"]))|(?P<bounded>\(\*(?:[^*\n]|\*(?!\)))*+\*\)|\{#[^\n#]*+#\}|<%--(?:[^-\n]|-(?!-%>))*+--%>|--\[\[[^\]\n]*+\]\]|\([^()\"\n:]*+\))"
    r"|(?P<semicolon>;)[^\n]*+|(?:%|←|<-|[-=]>|→|REM\b|!!|\*[ \t])(?=[^\n]*\w)[^\n]*+"
)
_MARKS = re.compile(r"\(|;|%|←|→|\*|__|\{\#|<%|--\[\[|<-|->|=>|REM|!!")
"""What every remark has in it: most texts have none of these, and are not gone through."""

_SEMICOLON_TEXT = re.compile(r";[^\n\"':{}\[\]]*\w[^\n\"':{}\[\]]*\Z")
_MEMBER_BEHIND = re.compile(rf"{P.QUOTED}{P.COLON}")
_KEY_AND_VALUE = re.compile(
    rf"[{{,][ \t\r\n]*[^\W\d][\w-]{{0,40}}([ \t]+)(?=(?:{_TEXT}|{_SCALAR}|[\[{{])[ \t\r\n]*(?:[,}}\[{{\"'\w]))"
)
_ONE_OBJECT = re.compile(r"\s*+(?:```\w*+\s\s*+)?\{[^{}]*+\}\s*+(?:```\s*+)?\Z")
# Members of sound values alone, two at least: prose that names a figure is none.
_FLAT_MEMBERS = re.compile(
    rf"\s*+(?:[^\W\d][\w-]{{0,40}}[ \t]*:[ \t]*(?:{_TEXT}|{_SCALAR}|\[[^\[\]{{}}\n]*\])[ \t]*+(?:,\s*+|(?=\s*\Z))){{2,200}}+\s*\Z"
)
_MEMBER_LINE = re.compile(rf"\n[ \t]*(?={P.QUOTED}[ \t]*:)")
_UNSURE = STRUCTURAL | {RepairKind.BARE_TEXT}
_DOUBTED = _UNSURE | {RepairKind.SEPARATOR, RepairKind.MISSING_COMMA, RepairKind.EXTRA_CLOSER}


def is_unsure(reading: Extraction) -> bool:
    """True for a reading that is nothing, or holds bare text, guesses at the structure, or separators that may open remarks."""
    if reading.value is None or reading.truncated:
        return True
    return any([repair.kind in _DOUBTED for repair in reading.repairs])


def is_clean(reading: Extraction) -> bool:
    """True for a reading with light repairs alone, and without bare text."""
    return reading.value is not None and not any([repair.kind in _UNSURE for repair in reading.repairs])


def mend(text: str) -> tuple[str, Repair] | None:
    """The text with such remarks as blanks or such keys with colons, every offset kept, and the first repair; None where there is none."""
    remarks = _blank_remarks(text) if _MARKS.search(text) else None
    if remarks is not None:
        return remarks
    first = _KEY_AND_VALUE.search(text) if ":" not in text and _ONE_OBJECT.match(text) else None
    if first is None:
        return None
    return _KEY_AND_VALUE.sub(_put_colon, text), Repair(RepairKind.MISSING_COLON, first.start(1))


def find_members(text: str, floor: int) -> int:
    """Where members stand without an opening brace: all of the text, or from a line behind prose on; -1 for nowhere."""
    if _FLAT_MEMBERS.match(text, floor):
        return floor
    line = _MEMBER_LINE.search(text, floor)
    return line.end() if line is not None else -1


def _put_colon(found: re.Match[str]) -> str:
    at = found.start(1) - found.start()
    return f"{found[0][:at]}:{found[0][at + 1 :]}"


def _blank_remarks(text: str) -> tuple[str, Repair] | None:
    """Remarks are found only where all else in the value is sound; none counts unless one stands where no value can."""
    opener = re.search(r"[{\[]", text)
    last = max(text.rfind("}"), text.rfind("]"))
    if opener is None or last < opener.start():
        return None
    at = opener.start()
    pieces, first = [text[:at]], -1
    sure = doubtful = plain = False
    while True:
        stop = _SOUND.match(text, at).end()  # type: ignore[union-attr]
        pieces.append(text[at:stop])
        at = stop
        if stop > last:
            break
        remark = _REMARK.match(text, stop)
        before = text[max(opener.start(), stop - 200) : stop].rstrip(" \t")[-1:]
        if remark is not None and remark["mark"] is not None:
            # Markdown's emphasis around a text, or the star of a footnote behind it.
            sure = plain = True
        elif (
            remark is None
            or before == ":"
            or (
                remark["bounded"] is None
                and (text[stop - 1] not in " \t\n,{[" or _MEMBER_BEHIND.search(remark[0]) is not None)
            )
        ):
            return None
        apart = remark["semicolon"] is not None and before != ","
        doubtful = doubtful or (apart and not _SEMICOLON_TEXT.match(remark[0]))
        plain = plain or before == ","
        # Behind a number the mark may belong to it, as in 5 % or 4 (of 5).
        sure = sure or not before.isdigit() or (apart and remark.end() < last)
        first = stop if first < 0 else first
        pieces.append(" " * len(remark[0]))
        at = remark.end()
        if at > last:
            # The closer stands in the remark.
            return None
    return (
        ("".join(pieces) + text[at:], Repair(RepairKind.COMMENT, first)) if sure and (plain or not doubtful) else None
    )
