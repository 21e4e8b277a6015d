"""The frame of the benchmarks that judge sql_qa by pairs of statements: each one that earns what it should not, and the counts."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple


class JudgedStatement(NamedTuple):
    """A statement of a kind, asked in place of a reference: what it earned, why, and whether that is as it should be."""

    kind: str
    sound: bool
    reference: str
    text: str
    value: float
    reason: str


def report(
    description: str | None,
    measure: Callable[[Path], Iterable[JudgedStatement]],
    counted: tuple[str, Callable[[JudgedStatement], bool]],
) -> None:
    """Run the benchmark as a command: counts a kind, and of those that are `counted` under that name."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the counts alone")
    options = parser.parse_args()
    name, counts_too = counted
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for found in measure(Path(folder)):
            counts[found.kind] += 1
            counts[f"{found.kind}, {name}"] += counts_too(found)
            if not options.json and not found.sound:
                print(f"{found.kind}, {found.value:.3f} {found.reason}\n   {found.reference}\n   {found.text}")
    print(json.dumps(dict(sorted(counts.items())), indent=2))
