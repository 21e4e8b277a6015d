"""Reading SQL out of a completion and outlining it, with a light tokeniser and no grammar: SQLite itself judges the rest."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from rewards.text.portuguese import list_words

MAXIMUM_TEXT = 20_000
"""Characters of an answer that are looked at; a right SELECT is far shorter."""

MAXIMUM_STATEMENT = 4_000

# Every alternative consumes what it starts, even unclosed, so that hostile text stays linear.
_TOKEN = re.compile(
    r"""\s+ | --[^\n]* | /\*.*?(?:\*/|\Z) | '[^']*'? | "[^"]*"? | `[^`]*`? | \[[^\]]*\]?
      | [0-9]+(?:\.[0-9]+)? | [^\W\d]\w* | <> | != | <= | >= | == | \|\| | .""",
    re.VERBOSE | re.DOTALL,
)
_START = re.compile(r"(?:\A|[\n:`>])[ \t]*(?=(?:select|with)\b)", re.IGNORECASE)
_ANYWHERE = re.compile(r"\bselect[ \t\n]", re.IGNORECASE)
_INFO = re.compile(r"[ \t]*[\w+-]*[ \t]*\n|[ \t]*sql(?:ite)?[ \t]", re.IGNORECASE)
_CONTINUES = frozenset(
    list_words(
        """select from where group order having limit join left inner outer cross natural on union except intersect
        and or"""
    )
)
_STATEMENTS = frozenset(
    list_words(
        """select with insert update delete replace create drop alter attach detach pragma vacuum begin commit"""
    )
)
_NOT_BEFORE = frozenset(
    list_words("""explain insert update delete replace create drop alter attach detach pragma vacuum""")
)
_COMPOUND = frozenset({"union", "except", "intersect", "all"})
_SAME = {"==": "=", "<>": "!="}


@dataclass(frozen=True, slots=True)
class Statement:
    """The one SELECT of a text: `sql` None and a `reason` when there is none to run; `wrapped` when text stands around it."""

    sql: str | None
    tokens: tuple[str, ...] = ()
    wrapped: bool = False
    reason: str = ""


def find_statement(text: str) -> Statement:
    """The SELECT (or WITH) that a text offers: bare, in a fence, or after prose; refused when it offers several."""
    end_of_thought = text.rfind("</think>")
    if end_of_thought >= 0:
        text = text[end_of_thought + len("</think>") :]
    elif "<think>" in text[:MAXIMUM_TEXT]:
        return Statement(None, reason="reasoning never ends")
    # Only what is cut is remembered, or hostile texts would fill the memory.
    return _find(text[:MAXIMUM_TEXT].strip())


@lru_cache(maxsize=2048)
def _find(text: str) -> Statement:
    pieces = text.split("```")
    fenced = [
        piece for piece in (_INFO.sub("", inner, count=1) for inner in pieces[1::2]) if _START.match(piece.strip())
    ]
    if len(fenced) > 1:
        return Statement(None, reason="several statements")
    if fenced:
        around = any(piece.strip() for piece in pieces[::2]) or len(pieces) > 3
        return _cut(fenced[0].strip(), around)
    found = _START.search(text) or _ANYWHERE.search(text)
    if not found:
        return Statement(None, reason="no SELECT found")
    start = found.start() if found.re is _ANYWHERE else found.end()
    if set(re.findall(r"[a-z]+", text[:start].lower())) & _NOT_BEFORE:
        return Statement(None, reason="not a SELECT")
    return _cut(text[start:].strip("`").strip(), start > 0)


def _cut(sql: str, wrapped: bool) -> Statement:
    """Cut a text that starts with a statement at its end."""
    kept, rest = _split_paragraphs(sql)
    tokens: list[str] = []
    end, after = len(kept), ""
    for match in _TOKEN.finditer(kept):
        if match[0] == ";":
            end, after = match.start(), kept[match.end() :]
            break
        token = _normalise(match[0])
        if token:
            tokens.append(token)
    rest = f"{after}\n{rest}".strip()
    if rest and ({word.lower() for word in re.findall(r"[A-Za-z]+", rest)} & _STATEMENTS):
        return Statement(None, reason="several statements")
    if len(kept[:end]) > MAXIMUM_STATEMENT:
        return Statement(None, reason=f"statement longer than {MAXIMUM_STATEMENT} characters")
    if tokens[:1] not in (["select"], ["with"]):
        return Statement(None, reason="not a SELECT")
    if _count_selects(tokens) > 1:
        return Statement(None, reason="several statements")
    return Statement(kept[:end].strip(), tuple(tokens), wrapped or bool(rest.strip("` \n")))


def _split_paragraphs(sql: str) -> tuple[str, str]:
    """The statement and the prose after it, which starts at a blank line that no clause follows."""
    paragraphs = re.split(r"\n[ \t]*\n", sql)
    for index, paragraph in enumerate(paragraphs[1:], 1):
        first = re.match(r"\s*(?:([A-Za-z]+)|[(),;])", paragraph)
        if not first or (first[1] and first[1].lower() not in _CONTINUES):
            return "\n".join(paragraphs[:index]), "\n".join(paragraphs[index:])
    return sql, ""


def _normalise(token: str) -> str:
    """A token as it compares: words and quoted names in lower case, comments and spaces gone."""
    if token.isspace() or token.startswith(("--", "/*")):
        return ""
    if token[0] in '"`[':
        return token.strip('"`[]').lower()
    if token[0] == "'":
        return token
    if token[0].isdigit() and token.isascii():
        return f"{float(token):.12g}"
    return _SAME.get(token, token.lower())


def _count_selects(tokens: list[str]) -> int:
    """Number of top-level SELECTs that no UNION joins."""
    depth = count = 0
    previous = ""
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == "select" and depth <= 0 and previous not in _COMPOUND:
            count += 1
        previous = token
    return count


@dataclass(frozen=True, slots=True)
class Outline:
    """The top-level clauses of a statement as bags of normalised texts."""

    select: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether the select list names no column and counts no rows: its result would be made up."""
        return not any(_names_data(item) for item in self.select)


@lru_cache(maxsize=4096)
def outline(tokens: tuple[str, ...]) -> Outline:
    """Split the last top-level SELECT into its select list, its AND-ed conditions, and grouping, order and limit."""
    clauses: dict[str, list[list[str]]] = {"select": [[]], "where": [[]], "tail": [[]], "": [[]]}
    current, depth, between = "", 0, False
    for token in _drop_qualifiers(tokens):
        depth += (token == "(") - (token == ")")
        if depth <= 0:
            if token == "select":
                clauses = {"select": [[]], "where": [[]], "tail": [[]], "": [[]]}
                current = "select"
                continue
            if token in ("from", "union", "except", "intersect"):
                current = ""
                continue
            if token in ("where", "having"):
                current = "where"
                clauses["where"].append([])
                continue
            if token in ("group", "order", "limit"):
                current = "tail"
                clauses["tail"].append([token])
                continue
            if (token == "," and current in ("select", "tail")) or (
                token == "and" and current == "where" and not between
            ):
                clauses[current].append([clauses["tail"][-1][0]] if current == "tail" and clauses["tail"][-1] else [])
                continue
            if token == "and":
                between = False
        if token == "between":
            between = True
        clauses[current][-1].append(token)
    return Outline(*(_join(clauses[name]) for name in ("select", "where", "tail")))


@lru_cache(maxsize=4096)
def probe_ties(tokens: tuple[str, ...]) -> tuple[str, int] | None:
    """A statement that gives the order keys of one row more than a top-level LIMIT keeps, and how many it keeps.

    None where the statement does not end in ORDER BY ... LIMIT number, or is more than one plain SELECT.
    """
    ends = [index for index, token in enumerate(tokens) if token == "order"]
    if tokens[:1] != ("select",) or len(ends) != 1 or tokens.count("select") != 1 or tokens[-2:-1] != ("limit",):
        return None
    if "from" not in tokens or not tokens[-1].isdigit() or tokens[ends[0] + 1] != "by":
        return None
    keys = [token for token in tokens[ends[0] + 2 : -2] if token not in ("asc", "desc")]
    kept = int(tokens[-1])
    body = tokens[tokens.index("from") : -1]
    return " ".join(("select", *keys, *body, str(kept + 1))), kept


def _drop_qualifiers(tokens: tuple[str, ...]) -> list[str]:
    """`t.column` as `column`."""
    kept: list[str] = []
    for index, token in enumerate(tokens):
        if token == "." or (index + 1 < len(tokens) and tokens[index + 1] == "."):
            continue
        kept.append(token)
    return kept


def _join(items: list[list[str]]) -> tuple[str, ...]:
    joined = []
    for item in items:
        if len(item) > 2 and item[-2] == "as":
            item = item[:-2]
        # ASC is what an order is anyway.
        text = " ".join(token for token in item if token not in ("by", "asc", "distinct"))
        if "distinct" in item:
            text = f"distinct {text}"
        if text:
            joined.append(text)
    return tuple(joined)


_DATALESS = frozenset(
    list_words(
        """distinct case when then else end as and or not null is in like between cast integer real text numeric
        true false"""
    )
)


def _names_data(item: str) -> bool:
    """Whether a select item depends on rows: it names a column, or counts rows."""
    tokens = item.split(" ")
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        if token == "*" and (len(tokens) == 1 or tokens[index - 1] == "("):
            return True
        if re.match(r"[^\W\d]", token) and following != "(" and token not in _DATALESS:
            return True
    return False


def likeness(right: Outline, given: Outline) -> float:
    """How much of the right statement's clauses another one has, 0..1; a clause that both lack is left out."""
    weights = ((0.3, right.select, given.select), (0.4, right.where, given.where), (0.3, right.tail, given.tail))
    present = [(weight, wanted, found) for weight, wanted, found in weights if wanted or found]
    total = sum(weight for weight, _, _ in present)
    return sum(weight * _overlap(wanted, found) for weight, wanted, found in present) / total if total else 0.0


def _overlap(wanted: tuple[str, ...], found: tuple[str, ...]) -> float:
    """F1 of two bags of items; an item that only starts alike, such as the right column with another value, is half."""
    left, right = Counter(wanted), Counter(found)
    exact = left & right
    starts = Counter(item.split(" ")[0] for item in (left - exact).elements())
    other_starts = Counter(item.split(" ")[0] for item in (right - exact).elements())
    shared = exact.total() + 0.5 * (starts & other_starts).total()
    size = left.total() + right.total()
    return 2 * shared / size if size else 0.0


def words_of(tokens: tuple[str, ...]) -> frozenset[str]:
    """The words, names and quoted values of a statement, folded, as domain terms are compared with them."""
    return frozenset(word for token in tokens for word in re.findall(r"\w+", token.casefold()))
