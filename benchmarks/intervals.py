"""Coverage and error rates of every method that docs/statistics.md states; prints tables.

python benchmarks/intervals.py                     all of it, under three minutes on one core
python benchmarks/intervals.py --fast              a tenth of the repeats: the test
python benchmarks/intervals.py --json found.json --only means plateau
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.interval_methods import METHODS, take_samples
from benchmarks.interval_runs import (
    measure_advice,
    measure_best,
    measure_decisions,
    measure_plateau,
    measure_promotions,
    measure_seeds,
)
from rewards.statistics.changes import paired_change, stratified_change
from rewards.statistics.estimates import ALL, Estimate, estimate_mean, interval_of, stratify, unpaired_difference
from rewards.text.bleu import CorpusBleu

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Row = dict[str, Any]


def share(p: float) -> Draw:
    return lambda random, size: (random.random(size) < p).astype(float)


def beta(a: float, b: float) -> Draw:
    return lambda random, size: random.beta(a, b, size)


def levels(values: Sequence[float], shares: Sequence[float]) -> Draw:
    return lambda random, size: random.choice(values, size, p=shares)


def failing(q: float, draw: Draw, value: float = 0.0) -> Draw:
    """A part q earns `value` outright, the rest as drawn."""
    return lambda random, size: np.where(random.random(size) < q, value, draw(random, size))


SHARES = {f"share {p:g}": share(p) for p in (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98)}
GRADED = {
    "spread wide: beta(2, 3)": beta(2, 3),
    "at both bounds: beta(.5, .5)": beta(0.5, 0.5),
    "near 1: beta(5, 1)": beta(5, 1),
    "near 1: beta(20, 1)": beta(20, 1),
    "near 0: beta(1, 20)": beta(1, 20),
    "near 0: beta(.3, 3)": beta(0.3, 3),
    "close together: beta(30, 10)": beta(30, 10),
    "five levels": levels((0.0, 0.25, 0.5, 0.75, 1.0), (0.2,) * 5),
    "mostly 1, some part": levels((0.0, 0.5, 0.9, 1.0), (0.05, 0.05, 0.3, 0.6)),
    "0, 1 and between": failing(0.3, failing(3 / 7, beta(1, 1), 1.0)),
    "nine in ten 1": failing(0.9, beta(2, 2), 1.0),
    "nine in ten 0": failing(0.9, beta(2, 2), 0.0),
    "5 % fail: beta(8, 2)": failing(0.05, beta(8, 2)),
    "10 % fail: beta(8, 2)": failing(0.1, beta(8, 2)),
    "10 % fail: beta(30, 2)": failing(0.1, beta(30, 2)),
    "30 % fail: beta(8, 2)": failing(0.3, beta(8, 2)),
}


def draw_smooth(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    first = random.beta(2, 3, size)
    return np.clip(first + random.normal(0.03, 0.15, size), 0.0, 1.0) - first


def draw_sparse(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return np.where(random.random(size) < 0.25, random.uniform(-0.4, 0.7, size), 0.0)


def draw_rare(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return np.where(random.random(size) < 0.06, random.uniform(-0.9, 0.2, size), 0.0)


def draw_sampled(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    first, second = (failing(0.1, beta(8, 2))(random, size) for _ in range(2))
    return second - first


CHANGES: dict[str, Draw] = {
    "all change a little": draw_smooth,
    "a quarter changes": draw_sparse,
    "6 % change, most fall": draw_rare,
    "a tenth lost, a quarter gained": levels((-0.8, 0.3, 0.0), (0.1, 0.25, 0.65)),
    "right or wrong": levels((1.0, -1.0, 0.0), (0.1, 0.05, 0.85)),
    "hardly any, right or wrong": levels((1.0, -1.0, 0.0), (0.03, 0.01, 0.96)),
    "two samples of a policy": draw_sampled,
}


@cache
def find_truth(draw: Draw, seed: int = 1) -> float:
    random = np.random.default_rng(seed)
    return float(np.mean([draw(random, (500_000,)).mean() for _ in range(4)]))


def row(part: str, case: str, n: int | str, found: float, low: float, high: float, **more: Any) -> Row:
    """One line of the tables; `wanted` are the bounds of the issue, `within` allows three errors of the simulation."""
    repeats = more.get("repeats")
    slack = 3.0 * (max(found * (1 - found), 0.02) / repeats) ** 0.5 if repeats else 0.0
    return {
        "part": part, "case": case, "n": n, "found": round(found, 4), "wanted": [low, high],
        "within": bool(low - slack <= found <= high + slack), **more,
    }  # fmt: skip


def measure_means(repeats: int, sizes: Sequence[int] = (12, 20, 32, 64, 320, 3000)) -> list[Row]:
    """Coverage of the interval of a mean, of zeros and ones and of graded values."""
    rows = []
    for kind, shapes in (("share", SHARES), ("mean", GRADED)):
        for number, (name, draw) in enumerate(shapes.items()):
            truth = find_truth(draw)
            for n in sizes:
                random = np.random.default_rng([number, n])
                count = min(repeats, 1_200_000 // n)
                samples = take_samples(draw(random, (count, n)))
                found = [interval_of(m, n, s) for m, s in zip(samples.mean.tolist(), samples.std.tolist(), strict=True)]
                hits = np.mean([e.low - 1e-12 <= truth <= e.high + 1e-12 for e in found])
                width = np.mean([e.high - e.low for e in found])
                rows.append(row(kind, name, n, hits, 0.93, 0.97, repeats=count, width=round(float(width), 4)))
    return rows


def measure_candidates(repeats: int, sizes: Sequence[int] = (12, 32, 320)) -> list[Row]:
    """The same of the methods that were considered: the lowest, the mean and the highest coverage over the shapes."""
    rows = []
    for n in sizes:
        covered: dict[str, list[float]] = {}
        widths: dict[str, list[float]] = {}
        for number, draw in enumerate(GRADED.values()):
            truth = find_truth(draw)
            samples = take_samples(draw(np.random.default_rng([number, n]), (repeats, n)))
            ends = {name: method(samples) for name, method in METHODS.items()}
            ours = [interval_of(m, n, s) for m, s in zip(samples.mean.tolist(), samples.std.tolist(), strict=True)]
            ends["ours"] = np.array([e.low for e in ours]), np.array([e.high for e in ours])
            for name, (low, high) in ends.items():
                covered.setdefault(name, []).append(float(np.mean((low <= truth) & (truth <= high))))
                width = np.minimum(high, 1) - np.maximum(low, 0)
                widths.setdefault(name, []).append(float(np.mean(width)))
        for name, found in covered.items():
            rows.append(
                row("candidates", name, n, float(np.mean(found)), 0.0, 1.0, lowest=round(min(found), 3),
                    highest=round(max(found), 3), width=round(float(np.mean(widths[name])), 4))
            )  # fmt: skip
    return rows


def measure_stratified(repeats: int) -> list[Row]:
    """Coverage of the mean over four tasks, the shares of which are fixed."""
    rows = []
    cases = {
        "shop, 128/128/32/32": ((128, beta(3, 2)), (128, failing(0.3, beta(8, 2))), (32, beta(2, 5)), (32, beta(2, 6))),
        "shares near 1, 33 each": tuple((33, share(p)) for p in (0.9, 0.95, 0.98, 1.0)),
        "small and graded, 12 each": tuple((12, beta(a, 2)) for a in (1, 2, 4, 8)),
    }
    for name, tasks in cases.items():
        random, hits = np.random.default_rng(3), 0
        whole = sum(n for n, _ in tasks)
        truth = sum(n * find_truth(draw) for n, draw in tasks) / whole
        for _ in range(repeats):
            values = [draw(random, (n,)).tolist() for n, draw in tasks]
            estimates = {str(task): estimate_mean(each) for task, each in enumerate(values)}
            found = stratify({ALL: estimate_mean([v for each in values for v in each]), **estimates})
            hits += found.low <= truth <= found.high
        rows.append(row("mean over tasks", name, whole, hits / repeats, 0.93, 0.97, repeats=repeats))
    return rows


def measure_changes(repeats: int, sizes: Sequence[int] = (12, 20, 33, 75, 320)) -> list[Row]:
    """Coverage of paired changes, alone and over four tasks, and of Welch's."""
    rows = []
    for number, (name, draw) in enumerate(CHANGES.items()):
        truth = find_truth(draw)
        for n in sizes:
            values = draw(np.random.default_rng([number, n]), (repeats, n)).tolist()
            found = [paired_change(each) for each in values]
            hits = np.mean([change.low <= truth <= change.high for change in found])
            rows.append(row("paired change", name, n, hits, 0.93, 0.97, repeats=repeats))
        values = draw(np.random.default_rng([number, 0]), (repeats, 4, 40)).tolist()
        found = [stratified_change({str(task): each for task, each in enumerate(tasks)}) for tasks in values]
        hits = np.mean([change.low <= truth <= change.high for change in found])
        rows.append(row("paired change, four tasks", name, 160, hits, 0.93, 0.97, repeats=repeats))
    for n, other in ((33, 33), (60, 320)):
        random = np.random.default_rng(n)
        first, second = take_samples(random.beta(2, 3, (repeats, n))), take_samples(random.beta(5, 2, (repeats, other)))
        pairs = zip(first.mean, first.std, second.mean, second.std, strict=True)
        found = [
            unpaired_difference(Estimate(a, n, s, None, None), Estimate(b, other, t, None, None))
            for a, s, b, t in pairs
        ]
        hits = np.mean([e.low <= 5 / 7 - 2 / 5 <= e.high for e in found])
        rows.append(
            row("unpaired change", "two beta distributions", f"{n}, {other}", hits, 0.93, 0.97, repeats=repeats)
        )
    return rows


def measure_bleu(repeats: int) -> list[Row]:
    """Coverage of the interval of a corpus's BLEU, by texts in which words are wrong at random."""

    def add(corpus: CorpusBleu, random: Random, count: int) -> CorpusBleu:
        for _ in range(count):
            wrong = random.betavariate(2, 6)
            said = [f"w{random.randrange(500)}" for _ in range(random.randrange(12, 30))]
            given = [word if random.random() > wrong else "x" for word in said][: len(said) - random.randrange(3)]
            corpus.add((said, given))
        return corpus

    truth = add(CorpusBleu(), Random(0), 12_000).value()
    rows = []
    for n in (32, 100):
        random = Random(n)
        ends = [add(CorpusBleu(), random, n).interval() for _ in range(repeats)]
        hits = np.mean([low <= truth <= high for low, high in (each for each in ends if each is not None)])
        rows.append(row("corpus BLEU", "words wrong at random", n, hits, 0.92, 0.97, repeats=repeats))
    return rows


def measure_all(scale: float = 1.0, only: Sequence[str] = ()) -> list[Row]:
    """All rows; `scale` multiplies the repeats."""

    def times(repeats: int) -> int:
        return max(20, int(repeats * scale))

    parts: dict[str, Callable[[], list[Row]]] = {
        "means": lambda: measure_means(times(4000)),
        "candidates": lambda: measure_candidates(times(600)),
        "stratified": lambda: measure_stratified(times(3000)),
        "changes": lambda: measure_changes(times(2500)),
        "bleu": lambda: measure_bleu(times(300)),
        "plateau": lambda: measure_plateau(times(2000), row),
        "best": lambda: measure_best(times(400), row),
        "decisions": lambda: measure_decisions(times(1500), row),
        "promotions": lambda: measure_promotions(times(400), row),
        "seeds": lambda: measure_seeds(times(600), row),
        "advice": lambda: measure_advice(times(1500), row),
    }
    unknown = [name for name in only if name not in parts]
    if unknown:
        raise SystemExit(f"--only {', '.join(unknown)}: allowed are {', '.join(parts)}")
    rows = []
    for name, part in parts.items():
        if not only or name in only:
            start = time.process_time()
            rows += part()
            print(f"{name}: {time.process_time() - start:.0f} s", file=sys.stderr, flush=True)
    return rows


def show(rows: Sequence[Row]) -> None:
    """Markdown, a table a part; a star marks what lies outside of what is wanted."""
    for part in dict.fromkeys(each["part"] for each in rows):
        mine = [each for each in rows if each["part"] == part]
        sizes = list(dict.fromkeys(each["n"] for each in mine))
        print(f"\n**{part}**\n")
        print(f"| case | wanted | {' | '.join(f'n {n}' if isinstance(n, int) else n for n in sizes)} |")
        print(f"|---|---|{'---|' * len(sizes)}")
        for case in dict.fromkeys(each["case"] for each in mine):
            cells = {each["n"]: each for each in mine if each["case"] == case}
            low, high = next(iter(cells.values()))["wanted"]
            wanted = "" if (low, high) == (0.0, 1.0) else f"{low:g} to {high:g}"
            print(f"| {case} | {wanted} | {' | '.join(_say(cells[n]) if n in cells else '' for n in sizes)} |")


def _say(found: Row) -> str:
    between = f" ({found['lowest']} to {found['highest']}; width {found['width']:.3f})" if "lowest" in found else ""
    return f"{found['found']:.3f}{between}{'' if found['within'] else ' *'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="a tenth of the repeats")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="these parts alone")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    rows = measure_all(0.1 if options.fast else 1.0, options.only)
    show(rows)
    outside = [each for each in rows if not each["within"]]
    print(f"\n{len(rows)} figures, {len(outside)} of them outside of what is wanted (marked *)")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
