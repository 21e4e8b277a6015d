"""Which cells of a table are numbers, and how their texts are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from grpo.data.sources import FoundRecords

ReadNumber = Callable[[Any], Any]


def find_numeric(found: FoundRecords, reference: Sequence[str]) -> dict[str, ReadNumber]:
    """Of several columns of an answer, those whose texts are all numbers, and how they are read.

    A cell of CSV does not say what it is; with semicolons between them, cells may have decimal commas.
    """
    readers: dict[str, ReadNumber] = {}
    for name in reference if len(reference) > 1 else ():
        cells = [record.values.get(name) for record in found.records]
        for read in (as_number, as_comma_number) if "semicolons" in found.form else (as_number,):
            if all(cell is None or read(cell) is not None for cell in cells):
                readers[name] = read
                break
    return readers


def as_number(value: Any) -> Any:
    """A number in the notation of JSON; None for another text, any other value as it is."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d{1,12})?", value.strip()):
        return None
    return json.loads(value.strip())


def as_comma_number(value: Any) -> Any:
    """`1.234,50` and `12,5`, as spreadsheets of half of the world write numbers."""
    if not isinstance(value, str):
        return value
    bare = value.strip()
    if not re.fullmatch(r"-?(0|[1-9]\d{0,14}|[1-9]\d{0,2}(\.\d{3}){1,4})(,\d{1,12})?", bare):
        return None
    return json.loads(bare.replace(".", "").replace(",", "."))
