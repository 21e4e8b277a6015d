"""The tokens of SQL, cut lightly and compared without case: no grammar, which SQLite itself knows best."""

from __future__ import annotations

import re

from rewards.text.portuguese import list_words

# Every alternative consumes what it starts, even unclosed, so that hostile text stays linear.
TOKEN = re.compile(
    r"""\s+ | --[^\n]* | /\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/)? | '[^']*(?:''[^']*)*'? | "[^"]*"? | `[^`]*`? | \[[^\]]*\]?
      | [0-9]+(?:\.[0-9]+)? | [^\W\d]\w* | <> | != | <= | >= | == | \|\| | .""",
    re.VERBOSE | re.DOTALL,
)
_SAME = {"==": "=", "<>": "!="}
_PLAIN = re.compile(r"[^\W\d]\w*")

KEYWORDS = frozenset(
    list_words(
        """select distinct all from where group by having order limit offset join left right full outer inner cross natural
        on using union except intersect and or not in is null like glob between exists as case when then else end asc desc
        with recursive values collate cast over partition window filter rows range current row preceding following
        unbounded isnull notnull escape indexed nulls first last"""
    )
)


def normalise(token: str) -> str:
    """A token as it compares: words and quoted names in lower case, comments and spaces gone."""
    if token.isspace() or token.startswith(("--", "/*")):
        return ""
    if token[0] in '"`[':
        name = _lower(token.strip('"`[]'))
        # What only quotes make a name stays in quotes: `"order"` is a column, and tokens are run as SQL again.
        return name if _PLAIN.fullmatch(name) and name not in KEYWORDS else f'"{name}"'
    if token[0] == "'":
        return token
    if token[0].isdigit() and token.isascii():
        return f"{float(token):.12g}"
    return _SAME.get(token, _lower(token))


def _lower(name: str) -> str:
    """In lower case as SQLite folds names, which leaves letters with accents as they are."""
    return name.lower() if name.isascii() else name.translate(_FOLDED)


_FOLDED = {ord(letter): ord(letter) + 32 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def name_of(token: str) -> str:
    """A name as tokens have it, without its quotes and in lower case, as columns are looked up."""
    return token.strip('"').lower()


def tokenise(sql: str) -> tuple[str, ...]:
    """The normalised tokens of a statement, up to its first semicolon."""
    tokens = []
    for match in TOKEN.finditer(sql):
        if match[0] == ";":
            break
        token = normalise(match[0])
        if token:
            tokens.append(token)
    return tuple(tokens)


def find_semicolon(sql: str) -> int:
    """Where the first semicolon outside texts and comments stands; -1 where there is none."""
    if ";" not in sql:
        return -1
    return next((match.start() for match in TOKEN.finditer(sql) if match[0] == ";"), -1)
