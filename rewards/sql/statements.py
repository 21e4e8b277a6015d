"""Finding the one SELECT that a text offers: bare, commented, in a fence, in tags, in JSON, or amid prose."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from rewards.sql.grammar import parses
from rewards.sql.tokens import KEYWORDS, find_semicolon, tokenise
from rewards.text.portuguese import list_words
from rewards.types import Completion

MAXIMUM_TEXT = 20_000
"""Characters of an answer that are looked at; a right SELECT is far shorter."""

MAXIMUM_STATEMENT = 4_000

_LAYERS = 3
_STARTS, _CUTS = 40, 60
"""Starts and ends of statements that are tried in one text; more of them are not an answer."""

_WORDS_OF_PROSE = 3

_SEVERAL = "several statements"
_NONE = "no SELECT found"

_BEGINS = re.compile(
    r"""\b(?:select\b | with\s+(?:recursive\s+)?(?:\w{1,80}|"[^"]{1,80}"|`[^`]{1,80}`|\[[^\]]{1,80}\])\s*
    (?:\([^()]{0,500}\)\s*)?as\b)""",
    re.VERBOSE | re.IGNORECASE,
)
_COMMENTS = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)
# What stands before a statement that was put somewhere on purpose, rather than named within a sentence.
_PLACE = re.compile(r"(?:\A|[\n:;`>\"*]|\*/)[ \t]*\Z")
_FENCE = re.compile(r"`{3,}|(?:(?<=\n)|\A)[ \t]*~{3,}")
_INFO = re.compile(r"[ \t]*[\w+.{}-]*[ \t]*\n|[ \t]*sql(?:ite3?)?[ \t]", re.IGNORECASE)
_TAGGED = re.compile(
    r"<(answer|final_answer|final|resposta|sql|query|consulta|code|output|response|tool_call)>(.*?)(?:</\1>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_SPECIAL = re.compile(
    r"\A(?:\s*(?:<\|[\w.-]{1,40}\|>|<s>|<bos>|\[(?:SQL|sql)\]))+"
    r"|(?:\s*(?:<\|[\w.-]{1,40}\|>|</s>|<eos>|<end_of_turn>|\[/(?:SQL|sql)\]))+\s*\Z"
)
_OTHER = re.compile(
    r"""(?:explain(?:\s+query\s+plan)?\s+(?:select|with|insert|update|delete)\b | insert\s+(?:or\s+\w+\s+)?into\b
    | replace\s+into\b | update\s+\S{1,80}\s+set\b | delete\s+from\b
    | create\s+(?:temp(?:orary)?\s+|unique\s+|virtual\s+)?(?:table|view|index|trigger)\b
    | drop\s+(?:table|view|index|trigger)\b | alter\s+table\b | attach\s+(?:database\s+)?\S | detach\s+\S
    | pragma\s+\w | vacuum\b | (?:begin|commit|rollback)\s*(?:transaction)?\s*;)""",
    re.VERBOSE | re.IGNORECASE,
)
_CUT = re.compile(r"\n|`|</|\*\*|[.!?](?=\s|\Z)|\"\s*\Z")
_BLANK = re.compile(r"\n[ \t]*(?=\n)")
_STARTS_ANEW = re.compile(r"[\s`*_#>.!?-]*(?:select|with)\b", re.IGNORECASE)
# What follows a statement that is whole and begins like one: another statement, or a remark such as "Select carefully."
_REMARK = re.compile(r"\bfrom\s+(?:the|your|this|these|those|each)\s+[a-z]", re.IGNORECASE)
_LISTED = re.compile(r"[0-9]{1,2}[.)][ \t]+")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)?", re.UNICODE)
_RUN = re.compile(r"[^\W\d_]+(?:,?[ \t]+[^\W\d_]+){2,}")
_MARKS = re.compile(r"[(*='\"0-9]")
_COMPOUND = frozenset({"union", "except", "intersect", "all"})
_KEYS = frozenset(list_words("sql query sql_query consulta statement answer resposta sqlquery final_sql"))


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """The one SELECT of a text: `sql` None and a `reason` when there is none to run; `wrapped` when prose stands around it."""

    sql: str | None
    tokens: tuple[str, ...] = ()
    wrapped: bool = False
    reason: str = ""


def find_statement(text: str) -> SqlStatement:
    """The SELECT (or WITH) that an answer offers; refused when it offers several. Fences, tags and comments are not prose."""
    # Only what is cut is remembered, or hostile texts would fill the memory.
    return _find(text[:MAXIMUM_TEXT].strip())


def find_answer(completion: Completion) -> SqlStatement:
    """The same of what stands after a completion's reasoning."""
    if completion.split.unclosed:
        return SqlStatement(None, reason="reasoning never ends")
    return find_statement(completion.answer)


@lru_cache(maxsize=512)
def _find(text: str) -> SqlStatement:
    return _read(text, _LAYERS)


def _read(text: str, layers: int) -> SqlStatement:
    """Look into tags, fences and JSON, in that order, and then at the text itself."""
    text = _unquote(_SPECIAL.sub("", text).strip())
    for split in (_split_tags, _split_fences, _split_json) if layers else ():
        blocks, around = split(text)
        found = [_read(block, layers - 1) for block in blocks if _BEGINS.search(block)]
        found = [statement for statement in found if statement.reason != _NONE]
        if not found:
            continue
        if any(statement.reason == _SEVERAL for statement in found) or len({item.tokens for item in found}) > 1:
            return SqlStatement(None, reason=_SEVERAL)
        return replace(found[0], wrapped=found[0].wrapped or around or len(blocks) > 1)
    return _read_bare(text)


def _unquote(text: str) -> str:
    """Without the `>` before every line of a quotation, and the brackets around all of a statement."""
    if text.startswith(">"):
        lines = text.splitlines()
        if all(line.startswith(">") for line in lines):
            text = "\n".join(line[1:].removeprefix(" ") for line in lines).strip()
    inner = text.removesuffix(";").strip()
    if inner.startswith("(") and inner.endswith(")") and _BEGINS.match(inner[1:-1].strip()) and parses(inner[1:-1]):
        return inner[1:-1].strip()
    return text


def _split_tags(text: str) -> tuple[list[str], bool]:
    if "<" not in text:
        return [], False
    blocks = [match[2] for match in _TAGGED.finditer(text)]
    return blocks, bool(blocks) and bool(_TAGGED.sub("", text).strip())


def _split_fences(text: str) -> tuple[list[str], bool]:
    pieces = _FENCE.split(text)
    blocks = [_INFO.sub("", piece, count=1) if _INFO.match(piece) else piece for piece in pieces[1::2]]
    return blocks, any(piece.strip() for piece in pieces[::2])


def _split_json(text: str) -> tuple[list[str], bool]:
    """The text under `sql` or the like of a JSON object, or the only text of it that is SQL; a whole text in quotes."""
    if text[:1] not in ("{", '"', "["):
        return [], False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if text[0] == '"':
            return [], False
        from rewards.extraction import extract_json

        value = extract_json(text).value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return [value], False
    if not isinstance(value, dict):
        return [], False
    # The call of a tool that runs SQL has it among its arguments.
    around = len(value) > 1
    if isinstance(inner := value.get("arguments"), dict):
        value, around = inner, len(inner) > 1
    texts = {key: item for key, item in value.items() if isinstance(item, str) and _BEGINS.search(item)}
    named = [item for key, item in texts.items() if key.strip().lower() in _KEYS]
    starting = [item for item in texts.values() if _BEGINS.match(item, _COMMENTS.match(item).end())]  # type: ignore[union-attr]
    return (named or starting or list(texts.values())), around


def _read_bare(text: str) -> SqlStatement:
    """The statement amid prose: the first that SQLite's grammar accepts, put somewhere of its own before named in a sentence."""
    starts = []
    for match in _BEGINS.finditer(text):
        starts.append(match.start())
        if len(starts) == _STARTS:
            break
    if not starts:
        return SqlStatement(None, reason=_NONE)
    lead = _COMMENTS.match(text).end()  # type: ignore[union-attr]
    if _OTHER.match(text, lead) or any(
        _lies_placed(text, match.start()) for match in _OTHER.finditer(text, 0, starts[0])
    ):
        return SqlStatement(None, reason="not a SELECT")
    if re.search(r"\bexplain(?:\s+query\s+plan)?\s*\Z", text[max(0, starts[0] - 40) : starts[0]], re.IGNORECASE):
        return SqlStatement(None, reason="not a SELECT")
    placed = [start for start in starts if start == lead or _lies_placed(text, start)]
    others = [start for start in starts if start not in placed]
    for start in placed + sorted(others, key=lambda at: not _is_shouted(text, at)):
        end = _find_end(text[start:])
        if end is None:
            continue
        for earlier in others:
            # A line of its own may be the middle of a statement that starts within a sentence.
            if earlier < start and (longer := _find_end(text[earlier:])) and earlier + longer > start + 1:
                start, end = earlier, longer
                break
        if any(
            parses(text[earlier:start].strip("`*; \t\n"))
            for earlier in starts
            if earlier < start and (earlier in placed or start not in placed)
        ):
            return SqlStatement(None, reason=_SEVERAL)
        return _cut(text, start, start + end, lead)
    return _read_broken(text, (placed or starts)[0])


def _lies_placed(text: str, at: int) -> bool:
    return bool(_PLACE.search(text[max(0, at - 20) : at]) if at > 20 else _PLACE.search(text[:at]))


def _is_shouted(text: str, at: int) -> bool:
    return text[at].isupper() and text[at + 1].isupper()


def _cut(text: str, start: int, end: int, lead: int) -> SqlStatement:
    sql, before, rest = text[start:end].strip(), text[: start if start != lead else 0], text[end:]
    if _offers_another(rest):
        return SqlStatement(None, reason=_SEVERAL)
    if len(sql) > MAXIMUM_STATEMENT:
        return SqlStatement(None, reason=f"statement longer than {MAXIMUM_STATEMENT} characters")
    after = rest.lstrip(" \t\n;")
    wrapped = bool(before.strip(' \t\n`*"')) or bool(after[_COMMENTS.match(after).end() :].strip(' \t\n`*";'))  # type: ignore[union-attr]
    return SqlStatement(sql, tokenise(sql), wrapped)


def _find_end(text: str) -> int | None:
    """Where the statement that a text starts with ends; None where SQLite's grammar accepts no beginning of it."""
    semicolon = find_semicolon(text)
    body = text if semicolon < 0 else text[:semicolon]
    whole = len(body) <= MAXIMUM_TEXT and parses(body)
    # A blank line ends a statement where no clause follows; any line, a mark or a sign does where the whole is none.
    cuts = _BLANK.finditer(body) if whole else _CUT.finditer(body)
    for tried, match in enumerate(cuts):
        if tried == _CUTS or match.start() > MAXIMUM_STATEMENT:
            break
        head, rest = body[: match.start()], body[match.end() :]
        if not rest.strip() and match[0] not in '`.!?"':
            break
        told = _tells_prose(rest) or ("perhaps" if _STARTS_ANEW.match(rest) else "")
        if told and parses(head) and (told == "surely" or " from " in f" {' '.join(tokenise(head))} "):
            return match.start()
    return len(body) if whole else None


def _tells_prose(rest: str) -> str:
    """Whether what follows is a remark rather than the next clause: `surely`, `perhaps`, or empty for no."""
    rest = rest[_COMMENTS.match(rest).end() :].lstrip('`*_#>- \t\n.!?"')  # type: ignore[union-attr]
    if not rest or rest.startswith("</"):
        return "surely"
    rest = _LISTED.sub("", rest, count=1) if _LISTED.match(rest) else rest
    line = rest[:400].partition("\n")[0]
    if any(_count_plain(re.split(r",?[ \t]+", run.lower())) >= _WORDS_OF_PROSE for run in _RUN.findall(line)):
        return "surely"
    first = _WORD.match(rest)
    if not first:
        return ""
    return "" if first[0].lower() in KEYWORDS else "perhaps"


def _count_plain(words: list[str]) -> int:
    """The most words on end that SQL does not know: of names, no more than two stand side by side."""
    most = streak = 0
    for word in words:
        streak = 0 if word in KEYWORDS else streak + 1
        most = max(most, streak)
    return most


def _offers_another(rest: str) -> bool:
    """Whether what follows a statement holds one more, rather than words of prose that SQL uses too."""
    if any(_lies_placed(rest, match.start()) for match in _OTHER.finditer(rest)):
        return True
    for tried, match in enumerate(_BEGINS.finditer(rest)):
        if tried == _STARTS:
            return True
        end = _find_end(rest[match.start() :])
        if end is None:
            continue
        said = rest[match.start() : match.start() + end]
        reads, marked = re.search(r"\bfrom\b", said, re.IGNORECASE), _MARKS.search(said)
        if _REMARK.search(said) and not marked and not _is_shouted(rest, match.start()):
            continue
        placed = _lies_placed(rest, match.start()) or _is_shouted(rest, match.start())
        if (placed and (reads or marked)) or (reads and marked):
            return True
    return False


def _read_broken(text: str, start: int) -> SqlStatement:
    """What looks most like a statement in a text where SQLite's grammar accepts none."""
    sql = text[start:].strip('`*"').strip()
    semicolon = find_semicolon(sql)
    kept, after = (sql, "") if semicolon < 0 else (sql[:semicolon], sql[semicolon + 1 :])
    for match in _BLANK.finditer(kept):
        if _tells_prose(kept[match.end() :]):
            kept, after = kept[: match.start()], kept[match.end() :] + after
            break
    if _offers_another(after):
        return SqlStatement(None, reason=_SEVERAL)
    if len(kept) > MAXIMUM_STATEMENT:
        return SqlStatement(None, reason=f"statement longer than {MAXIMUM_STATEMENT} characters")
    tokens = tokenise(kept)
    if _count_selects(tokens) > 1:
        return SqlStatement(None, reason=_SEVERAL)
    return SqlStatement(kept.strip(), tokens, start > 0 or bool(after.strip("` \n")))


def _count_selects(tokens: tuple[str, ...]) -> int:
    """Number of top-level SELECTs that no UNION joins."""
    depth = count = 0
    previous = ""
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == "select" and depth <= 0 and previous not in _COMPOUND:
            count += 1
        previous = token
    return count
