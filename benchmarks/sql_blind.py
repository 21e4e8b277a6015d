"""Measures sql_qa on pairs that were written before its code was read: eight databases, 90 references, right, lucky and wrong statements.

    python -m benchmarks.sql_blind          counts, and each statement that is paid or punished wrongly
    python -m benchmarks.sql_blind --json   the counts alone

`right` says the same on every database and earns 1; `chance` gives the same result on this one only, and `wrong` another one:
both earn less than half. `text` is one statement with other text around it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sql_blind_data import build
from benchmarks.sql_blind_pairs import PAIRS
from benchmarks.sql_frame import JudgedStatement, report
from benchmarks.sql_more_blind_pairs import MAJOR, MORE_PAIRS, TEXTS
from rewards.functions.sql_qa import SqlQa
from rewards.sql.results import same_rows
from rewards.types import Completion, Example

HALF = 0.4501


def measure(folder: Path) -> Iterator[JudgedStatement]:
    """Each statement of the pairs, then the answers with text around one."""
    function, paths = SqlQa(), build(folder)
    for database, reference, right, chance, wrong in PAIRS + MORE_PAIRS:
        connection = sqlite3.connect(paths[database])
        example = Example("1", "sql_qa", [], reference.strip(), {"database": paths[database]})
        expected = connection.execute(reference).fetchall()
        for kind, texts in (("right", right), ("other", chance + wrong)):
            for text in texts:
                try:
                    same = same_rows(expected, connection.execute(text).fetchall(), function.tolerance)
                except sqlite3.Error:
                    same = False
                score = function(example, Completion(text.strip()))
                value = score.value or 0.0
                named = kind if kind == "right" else "chance" if same else "wrong"
                sound = value > 0.9995 if kind == "right" else value <= HALF
                yield JudgedStatement(named, sound, reference, text, value, score.reason)
        connection.close()
    example = Example("1", "sql_qa", [], MAJOR, {"database": paths["cells"]})
    for text, wanted in TEXTS:
        score = function(example, Completion(text))
        low, high = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        value = score.value or 0.0
        yield JudgedStatement("text", low - 1e-9 <= value <= high + 1e-9, MAJOR, text, value, score.reason)


if __name__ == "__main__":
    report(__doc__, measure, ("as it should", lambda found: found.sound))
