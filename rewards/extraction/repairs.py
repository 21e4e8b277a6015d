"""What a reading yields: the value, and every liberty that was taken to get it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple


class RepairKind(StrEnum):
    """One kind of departure from strict JSON. Light kinds leave no doubt about the value; structural ones are guesses."""

    TRAILING_COMMA = "trailing_comma"
    EXTRA_COMMA = "extra_comma"
    COMMENT = "comment"
    QUOTE_STYLE = "quote_style"
    BARE_KEY = "bare_key"
    BARE_TEXT = "bare_text"
    LITERAL = "literal"
    NUMBER_FORMAT = "number_format"
    DECIMAL_COMMA = "decimal_comma"
    NON_FINITE = "non_finite"
    ESCAPE = "escape"
    CONTROL_CHARACTER = "control_character"
    SEPARATOR = "separator"
    WHITESPACE = "whitespace"
    ESCAPED_DOCUMENT = "escaped_document"
    DOUBLED_BRACE = "doubled_brace"
    CALL = "call"
    CONCATENATION = "concatenation"
    MISSING_COMMA = "missing_comma"
    EXTRA_CLOSER = "extra_closer"
    LONG_INTEGER = "long_integer"
    # From here on the text could be meant otherwise.
    MISSING_COLON = "missing_colon"
    MISSING_VALUE = "missing_value"
    MISSING_QUOTE = "missing_quote"
    INNER_QUOTE = "inner_quote"
    MISSING_CLOSER = "missing_closer"
    MISMATCHED_CLOSER = "mismatched_closer"
    MISSING_OPENER = "missing_opener"
    EARLY_CLOSER = "early_closer"
    SHAPE = "shape"
    ELLIPSIS = "ellipsis"
    GARBAGE = "garbage"
    CUT = "cut"
    RECORDS = "records"
    RUN_ON = "run_on"

    @property
    def structural(self) -> bool:
        """True where the repair guesses at the structure or at where a string ends; such readings are refused in strict mode."""
        return self in STRUCTURAL


_FIRST_GUESS = list(RepairKind).index(RepairKind.MISSING_COLON)
STRUCTURAL = frozenset(list(RepairKind)[_FIRST_GUESS:])


class Repair(NamedTuple):
    """One departure from strict JSON; `place` is a character offset in the text that was read."""

    kind: RepairKind
    place: int


Path = tuple[str | int, ...]
"""Keys and indexes from the root of a value to a place in it."""


class Extraction(NamedTuple):
    """The JSON that was found in a text.

    `value` is a dict, a list, or None where nothing can be read. `repairs` is empty for strict JSON. `truncated` says that
    the value was cut off by the end of the text. `span` holds the start and end offsets of what was read. `candidates`
    counts the values that competed. `confidence` in 0..1 is 1.0 for a text that is strict JSON as a whole, and 0.0 for None.
    `source` is the strict JSON that a text with light faults was rewritten as, "" elsewhere. `duplicates` are the paths of keys
    that the tolerant parser read with two different values; `find_duplicates` knows them for every reading. `rivals` are the
    other objects that the text offers beside `value`, without placeholders and schemas.
    """

    value: Any
    repairs: tuple[Repair, ...] = ()
    truncated: bool = False
    span: tuple[int, int] | None = None
    candidates: int = 0
    confidence: float = 0.0
    source: str = ""
    duplicates: tuple[Path, ...] = ()
    rivals: tuple[Any, ...] = ()
