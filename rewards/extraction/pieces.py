"""Values that were written in pieces: an object over two fences, a list of texts without its brackets, braces escaped inside."""

from __future__ import annotations

import re

from rewards.extraction import patterns as P
from rewards.extraction.repairs import Repair, RepairKind

_JSON_FENCES = r"```[ \t]*(?:json[5c]?|javascript|js|python)?[ \t]*"
# The end of one fence, a few words without structure, and the start of the next, which goes on with a member or an element.
_SEAM = re.compile(
    rf"\n[ \t]*```[ \t]*\r?\n(?P<words>[^{{}}\[\]`\"]{{0,200}}?){_JSON_FENCES}\r?\n(?=\s*(?:{P.QUOTED}|[-\d}}\],{{]))"
)
_TEXT = r"\"[^\"\\\n{}\[\]:]{1,200}+\""
_LISTED = re.compile(rf"(?<=:) (?P<texts>{_TEXT}(?:[ \t]*,[ \t]*{_TEXT})+),(?=\s*{P.QUOTED}[ \t]*:)")
_ESCAPED_OBJECT = re.compile(r"(?<=[:,\[])\s*[{\[]\s*\\\"(?:[^\"\\]|\\.){1,4000}+", re.DOTALL)
_COMPUTED = re.compile(rf"([{{,]\s*)\[({P.QUOTED})\](?=[ \t]*:)")
_COMPUTED_END = re.compile(r"\][ \t]*:")
_PAIRS = re.compile(r'\\"([^"\\\n]*)\\"')


def join_fences(text: str) -> tuple[str, Repair] | None:
    """The text with the seams of a value over several fences as blanks, every offset kept; None where there is none."""
    if text.count("```") < 3:
        return None
    seam = _SEAM.search(text)
    if seam is None or not _is_open(text, seam):
        return None
    return _SEAM.sub(lambda found: " " * len(found[0]), text), Repair(RepairKind.GARBAGE, seam.start())


def _is_open(text: str, seam: re.Match[str]) -> bool:
    """True where more brackets open before the seam than close, and what follows is no value of its own."""
    before = text[: seam.start()]
    if before.count("{") + before.count("[") <= before.count("}") + before.count("]"):
        return False
    return text[seam.end() :].lstrip()[:1] != "{" or before.rstrip()[-1:] in (",", "[")


def bracket_texts(text: str) -> tuple[str, Repair] | None:
    """The text with brackets around texts that stand side by side as the value of one key: in place of the blank before them and the comma behind."""
    first = _LISTED.search(text) if ': "' in text else None
    return None if first is None else (_LISTED.sub(r"[\g<texts>]", text), Repair(RepairKind.SHAPE, first.start()))


def free_keys(text: str) -> tuple[str, Repair] | None:
    """The text with JavaScript's computed keys, `["a"]: 1`, as plain ones, every offset kept."""
    first = _COMPUTED.search(text) if _COMPUTED_END.search(text) else None
    return None if first is None else (_COMPUTED.sub(r"\1 \2 ", text), Repair(RepairKind.BARE_KEY, first.start(2)))


def unescape_inside(text: str) -> tuple[str, Repair] | None:
    """The text with plain quotes in an object that stands escaped inside an unescaped one, every offset kept."""
    if '\\"' not in text:
        return None
    first = _ESCAPED_OBJECT.search(text)
    if first is None:
        return None
    plain = _ESCAPED_OBJECT.sub(lambda found: _PAIRS.sub(r' "\1" ', found[0]), text)
    return None if plain == text else (plain, Repair(RepairKind.ESCAPED_DOCUMENT, first.start()))
