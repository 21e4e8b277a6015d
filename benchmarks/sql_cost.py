"""Measures the processor time that sql_qa takes for a completion, its SQL processes included, now and at another commit.

    python -m benchmarks.sql_cost                    of the tree as it is
    python -m benchmarks.sql_cost --against e108c4c  beside that of another commit (e108c4c has sql_qa 3)

Groups of eight completions for every question of `sql_outside_pairs`, as a policy that has learnt gives them: the reference
itself, rewrites, and look-alikes, each several times, in two epochs. Copies and results are remembered for the run, as in training.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.sql_outside_data import DATABASES, build
from benchmarks.sql_outside_pairs import PAIRS

GROUP, EPOCHS = 8, 2

# Run on its own, over either tree's `rewards`.
SCORING = """
import json, resource, sys, time
from rewards.functions.sql_qa import SqlQa
from rewards.sql.processes import find_pool
from rewards.types import Completion, Example
function, value = SqlQa(), 0.0
rows = json.load(open(sys.argv[1]))
started = time.process_time()
for reference, database, text in rows:
    value += function(Example("1", "sql_qa", [], reference, {"database": database}), Completion(text)).value
own = time.process_time() - started
find_pool().close()
children = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"own_ms": 1e3 * own / len(rows), "sql_ms": 1e3 * (children.ru_utime + children.ru_stime) / len(rows), "mean": value / len(rows)}))
"""


def draw_rows(folder: Path, honest: bool) -> list[tuple[str, str, str]]:
    """Reference, database and completion; `honest` rows have no look-alikes."""
    draw, rows = random.Random(0), []
    for name in DATABASES:
        path = build(folder, name, 0)
        for _ in range(EPOCHS):
            for reference, same, other in PAIRS[name]:
                pool = [reference, reference, *same, *(() if honest else other)]
                rows += [(reference, path, text) for text in draw.choices(pool, k=GROUP)]
    return rows


def measure(tree: Path, rows: list[tuple[str, str, str]], folder: Path) -> dict[str, float]:
    file = folder / "rows.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCORING, str(file)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="COMMIT")
    options = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = {"now": here}
        if options.against:
            trees[options.against] = folder / "other"
            trees[options.against].mkdir()
            packed = subprocess.run(
                ["git", "archive", options.against, "rewards"], cwd=here, check=True, capture_output=True
            )
            subprocess.run(["tar", "-x", "-C", str(trees[options.against])], input=packed.stdout, check=True)
        for kind, honest in (("honest", True), ("mixed", False)):
            part = folder / kind
            part.mkdir()
            rows = draw_rows(part, honest)
            found[kind] = {"rows": len(rows), **{tree: measure(path, rows, part) for tree, path in trees.items()}}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
