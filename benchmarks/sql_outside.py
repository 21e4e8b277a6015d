"""Measures sql_qa on three databases in the manner of public suites: rewrites that say the same, and look-alikes that agree by chance.

    python -m benchmarks.sql_outside            counts, and each statement that is paid or punished wrongly
    python -m benchmarks.sql_outside --json     the counts alone

Which statement says the same is not taken on trust: both run on a dozen databases of other seeds. A statement that is meant
to say the same and differs on one of them is `mislabelled`; a look-alike that differs on the file itself is `plain`, one that
agrees there `by chance`, `nearly` where fewer than a quarter of the others tell it, and `unproven` where none does.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sql_frame import JudgedStatement, report
from benchmarks.sql_outside_data import DATABASES, build
from benchmarks.sql_outside_pairs import PAIRS
from rewards.functions.sql_qa import SqlQa
from rewards.sql.results import same_rows
from rewards.types import Completion, Example

SEEDS = 12
_FEW = 0.25


def wrap(sql: str) -> Iterator[str]:
    """One statement as answers give it, all of them without prose."""
    yield sql
    yield f"```sql\n{sql};\n```"
    yield f"-- the answer\n{sql} -- done"
    yield f"<sql>{sql}</sql>"
    yield f"```\n{sql}\n```\n"
    yield json.dumps({"sql": sql})


def measure(folder: Path) -> Iterator[JudgedStatement]:
    """Each statement of the pairs, its reference after the name of its database."""
    function = SqlQa()
    for name in DATABASES:
        paths = [build(folder, name, seed) for seed in range(SEEDS + 1)]
        connections = [sqlite3.connect(path) for path in paths]
        for at, (reference, same, other) in enumerate(PAIRS[name]):
            example = Example("1", "sql_qa", [], reference, {"database": paths[0]})
            right = [connection.execute(reference).fetchall() for connection in connections]
            for text, meant in [*((text, "same") for text in same), *((text, "other") for text in other)]:
                given = [connection.execute(text).fetchall() for connection in connections]
                agree = [same_rows(one, two, function.tolerance) for one, two in zip(right, given, strict=True)]
                if meant == "same":
                    kind = "same" if all(agree) else "mislabelled"
                elif all(agree):
                    kind = "unproven"
                elif not agree[0]:
                    kind = "plain"
                else:
                    kind = "nearly" if agree.count(False) < _FEW * SEEDS else "by chance"
                texts = list(wrap(text)) if kind == "same" else [text]
                score = function(example, Completion(texts[at % len(texts)]))
                value = score.value or 0.0
                sound = (value == 1.0) == (kind == "same")
                yield JudgedStatement(kind, sound, f"{name}: {reference}", text, value, score.reason)
        for connection in connections:
            connection.close()


if __name__ == "__main__":
    report(__doc__, measure, ("paid in full", lambda found: found.value == 1.0))
