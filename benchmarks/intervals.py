"""Measures how honest the intervals of a comparison are: coverage by method and size, false promotions, power."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from math import fsum, sqrt
from random import Random

from grpo.compare.promotion import compare_runs
from grpo.compare.promotion_rules import load_rules
from grpo.compare.reading import make_cells
from grpo.compare.recorded import RecordedRun, Row
from rewards.statistics.changes import paired_change
from rewards.statistics.student import t_quantile

Draw = Callable[[Random], float]


def draw_smooth(random: Random) -> float:
    """Rewards of every size, a small gain in most."""
    first = random.betavariate(2, 3)
    return min(1.0, max(0.0, first + random.gauss(0.03, 0.15))) - first


def draw_sparse(random: Random) -> float:
    """A quarter of the examples changes."""
    return random.uniform(-0.4, 0.7) if random.random() < 0.25 else 0.0


def draw_rare(random: Random) -> float:
    """Six in a hundred change, mostly for the worse."""
    return random.uniform(-0.9, 0.2) if random.random() < 0.06 else 0.0


def draw_two_levels(random: Random) -> float:
    """A tenth is lost, a quarter gains a little."""
    place = random.random()
    return -0.8 if place < 0.1 else 0.3 if place < 0.35 else 0.0


def draw_verdicts(random: Random) -> float:
    """Right or wrong: 10 % gained, 5 % lost."""
    place = random.random()
    return 1.0 if place < 0.1 else -1.0 if place < 0.15 else 0.0


DRAWS: tuple[Draw, ...] = (draw_smooth, draw_sparse, draw_rare, draw_two_levels, draw_verdicts)


def by_t(values: list[float], seed: int) -> tuple[float, float]:
    n, mean = len(values), fsum(values) / len(values)
    half = t_quantile(n - 1) * sqrt(fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return mean - half, mean + half


def by_bootstrap(values: list[float], seed: int) -> tuple[float, float]:
    """The percentile bootstrap (Efron 1979)."""
    random, n = Random(seed), len(values)
    means = sorted(fsum(random.choices(values, k=n)) / n for _ in range(500))
    return means[12], means[487]


def by_compare(values: list[float], seed: int) -> tuple[float, float]:
    change = paired_change(values)
    return change.low, change.high


METHODS = {"compare": by_compare, "t": by_t, "bootstrap": by_bootstrap}


def measure_coverage(draw: Draw, n: int, repeats: int, seed: int) -> dict[str, dict[str, float]]:
    """By method the share of intervals that hold the truth, and their mean width."""
    random = Random(seed)
    truth = fsum(draw(random) for _ in range(400_000)) / 400_000
    found = {name: [0, 0.0, 0] for name in METHODS}
    for repeat in range(repeats):
        values = [draw(random) for _ in range(n)]
        for name, method in METHODS.items():
            if name == "bootstrap" and repeat >= repeats // 4:
                continue
            low, high = method(values, repeat)
            found[name][0] += low <= truth <= high
            found[name][1] += high - low
            found[name][2] += 1
    return {
        name: {"coverage": round(hits / count, 4), "width": round(width / count, 4)}
        for name, (hits, width, count) in found.items()
    }


def make_run(name: str, rewards: dict[str, list[float]]) -> RecordedRun:
    rows = {
        (task, f"{number}"): Row({"reward": value}, (f"task:{task}",), "q", f"{name}{number}")
        for task, values in rewards.items()
        for number, value in enumerate(values)
    }
    return RecordedRun(name, name, rows, make_cells(rows))


def measure_promotions(shifts: tuple[float, ...], n: int, candidates: int, repeats: int, seed: int) -> float:
    """The share of comparisons that promote some candidate; `shifts` is what each task truly changes by, n its rows."""
    random, rules = Random(seed), load_rules()
    promoted = 0
    for _ in range(repeats):
        base = [[random.betavariate(3, 3) for _ in range(n)] for _ in shifts]
        runs = [make_run("base", {f"{task}": values for task, values in enumerate(base)})]
        for number in range(candidates):
            runs.append(
                make_run(
                    f"candidate {number}",
                    {
                        f"{task}": [min(1.0, max(0.0, value + shift + random.gauss(0.0, 0.15))) for value in values]
                        for task, (values, shift) in enumerate(zip(base, shifts, strict=True))
                    },
                )
            )
        promoted += any(verdict.promoted for verdict in compare_runs(runs, rules).verdicts)
    return promoted / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 33, 75, 150, 300])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for draw in DRAWS:
        for n in options.sizes:
            found = measure_coverage(draw, n, options.repeats, options.seed)
            print(json.dumps({"draw": draw.__name__.removeprefix("draw_"), "n": n, **found}), flush=True)
    cases = {
        "no change, 1 candidate": ((0.0,) * 4, 60, 1),
        "no change, 5 candidates": ((0.0,) * 4, 60, 5),
        "worse by 0.02 in all": ((-0.02,) * 4, 60, 1),
        "gain of 0.12 in three tasks, fall of 0.1 in one": ((0.12, 0.12, 0.12, -0.1), 60, 1),
        "gain of 0.05 in all": ((0.05,) * 4, 60, 1),
        "gain of 0.1 in all": ((0.1,) * 4, 60, 1),
    }
    for name, (shifts, n, candidates) in cases.items():
        share = measure_promotions(shifts, n, candidates, options.repeats // 4, options.seed)
        print(json.dumps({"promotions": name, "n": n * len(shifts), "share": round(share, 4)}), flush=True)


if __name__ == "__main__":
    main()
