"""Measures sql_qa on three databases in the manner of public suites: rewrites that say the same, and look-alikes that agree by chance.

    python -m benchmarks.sql_outside            counts, and each statement that is paid or punished wrongly
    python -m benchmarks.sql_outside --json     the counts alone

Which statement says the same is not taken on trust: both run on a dozen databases of other seeds. A statement that is meant
to say the same and differs on one of them is `mislabelled`; a look-alike that differs on the file itself is `plain`, one that
agrees there `by chance`, `nearly` where fewer than a quarter of the others tell it, and `unproven` where none does.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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


def measure(folder: Path) -> Iterator[tuple[str, str, str, str, float, str]]:
    """Of each statement: its kind, its database, the reference, itself, and what it earns for which reason."""
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
                yield kind, name, reference, text, score.value or 0.0, score.reason
        for connection in connections:
            connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the counts alone")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for kind, name, reference, text, value, reason in measure(Path(folder)):
            counts[kind] += 1
            counts[f"{kind}, paid in full"] += value == 1.0
            if not options.json and (value == 1.0) != (kind == "same"):
                print(f"{kind}, {value:.3f} {reason}\n   {name}: {reference}\n   {text}")
    print(json.dumps(dict(sorted(counts.items())), indent=2))


if __name__ == "__main__":
    main()
