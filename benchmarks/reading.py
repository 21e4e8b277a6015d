"""Measures the JSON reader, and json_repair where it is installed, on a corpus made by mutation: right, silently wrong, none, by family."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from benchmarks.extraction import is_same, load_peer
from benchmarks.reading_corpus import MutatedCase, make_cases
from rewards.extraction import extract_json

SURE = 0.9


def is_part(got: Any, whole: Any) -> bool:
    """True where `got` can be what is left of `whole` when its text ended early; a cut number is any number."""
    if isinstance(got, dict) and isinstance(whole, dict):
        return all(key in whole and (item is None or is_part(item, whole[key])) for key, item in got.items())
    if isinstance(got, list) and isinstance(whole, list):
        return len(got) <= len(whole) and all(map(is_part, got, whole))
    if isinstance(got, str) and isinstance(whole, str):
        return whole.startswith(got)
    if isinstance(got, bool) or isinstance(whole, bool):
        return got is whole
    return (isinstance(got, int | float) and isinstance(whole, int | float)) or got == whole


def judge(case: MutatedCase, got: Any) -> str:
    """`right`, `wrong` (a value that the case does not accept) or `none`."""
    same = is_part if case.family == "cut" else is_same
    if got is not None and any(same(got, wanted) for wanted in case.accepted):
        return "right"
    return "none" if got is None else "wrong"


def measure(count: int, seed: int, readers: dict[str, Callable[[str], Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by family and reader; `sure` counts the wrong values of ours that claim a confidence above 0.9."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for case in make_cases(count, seed):
        for name, read in readers.items():
            try:
                got = read(case.text)
            except Exception:
                got = None
            verdict = judge(case, got)
            sure = name == "ours" and verdict == "wrong" and extract_json(case.text).confidence > SURE
            for family in (case.family, "all"):
                counts = table.setdefault(family, {}).setdefault(
                    name, dict.fromkeys(("right", "wrong", "none", "sure"), 0)
                )
                counts[verdict] += 1
                counts["sure"] += sure
    return table


def show(table: dict[str, dict[str, dict[str, int]]]) -> None:
    names = list(table["all"])
    print(f"{'family':24} " + " ".join(f"{name + ': right, wrong, none':>34}" for name in names) + "   wrong and sure")
    for family, by_reader in sorted(table.items(), key=lambda item: (item[0] == "all", item[0])):
        cells = []
        for counts in by_reader.values():
            total = counts["right"] + counts["wrong"] + counts["none"]
            shares = (100 * counts[verdict] / total for verdict in ("right", "wrong", "none"))
            cells.append(" ".join(f"{share:7.1f} %" for share in shares))
        print(f"{family:24} " + " ".join(f"{cell:>34}" for cell in cells) + f"   {by_reader['ours']['sure']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=19_000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    readers: dict[str, Callable[[str], Any]] = {"ours": lambda text: extract_json(text).value}
    peer = load_peer()
    if peer is not None:
        readers["json_repair"] = peer
    table = measure(arguments.cases, arguments.seed, readers)
    if arguments.json:
        print(json.dumps(table))
    else:
        show(table)


if __name__ == "__main__":
    main()
