"""What an evaluation found: means with intervals by group, mean, best and majority at k, failures by kind, counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import comb, sqrt
from statistics import fmean
from typing import Any

import orjson

from grpo.compare.recorded import ALL, CROSSED, SPLIT_COLUMNS, kind_of
from grpo.evaluate.failures import Failures
from grpo.evaluate.metrics import TITLES
from grpo.evaluate.stripping import strip_answer
from rewards.statistics.estimates import Estimate, interval_of, stratify
from rewards.text.bleu import CorpusBleu, tokenize_13a
from rewards.text.portuguese import compose
from rewards.types import Completion

Row = Mapping[str, Any]
MAXIMUM_TEXT = 20_000
"""Characters of a text that are compared, as `text_overlap` does."""

_FIRST = ("reward", "parse", "exact", "field_f1", "key_f1", "kpi", "semantic_overall", "semantic_core", "semantic_kpi")
_FLAGS = ("truncated", "repeated", "empty", "unscored", "failed")


def summarise_rows(rows: Iterable[Row], samples: int) -> dict[str, Any]:
    """`results` by group and metric (value, n, std, low, high over examples), `at_k`, `failures`, `counts` and `corpus`.

    The rows are gone through once and not kept; the samples of an example stand side by side.
    """
    results, at_k, failures, counts, corpus = _Results(), _AtK(samples), Failures(), _Counts(), _Corpus()
    for _, each in groupby(rows, key=lambda row: (row["task"], row["id"])):
        example = list(each)
        results.add(example)
        counts.add(example)
        corpus.add(example)
        if samples > 1:
            at_k.add(example)
        for row in example:
            failures.add(row)
    return {
        "results": results.to_json(), "at_k": at_k.to_json(), "failures": failures.to_json(),
        "counts": counts.to_json(), "corpus": corpus.to_json(),
    }  # fmt: skip


def order_metrics(names: Iterable[str]) -> list[str]:
    """Metrics in reading order; functions and their parts last."""
    known = list(dict.fromkeys((*_FIRST, *TITLES)))
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def estimates_by_task(results: Mapping[str, Any]) -> dict[str, Estimate]:
    """The reward of all and of each task, as the progress display takes it."""
    found = {}
    for group, metrics in results.items():
        if "reward" in metrics and kind_of(group) in (ALL, "task"):
            found[group.removeprefix("task:")] = _as_estimate(metrics["reward"])
    return found


def estimates_by_function(results: Mapping[str, Any]) -> dict[str, Estimate]:
    """Each function over the rows it gave a value; empty where no row was scored by more than one."""
    metrics = results.get(ALL, {})
    cells = {name.removeprefix("reward/"): cell for name, cell in metrics.items() if name.startswith("reward/")}
    if sum(cell["n"] for cell in cells.values()) <= metrics.get("reward", {"n": 0})["n"]:
        return {}
    return {name: _as_estimate(cell) for name, cell in cells.items()}


def _as_estimate(cell: Mapping[str, Any]) -> Estimate:
    return Estimate(*(cell[key] for key in ("value", "n", "std", "low", "high")))


class _Mean:
    """Mean and spread of values in 0..1 that come one by one.

    The squares are Welford's (1962), the sum is compensated (Neumaier 1974): neither loses digits over many rows.
    """

    __slots__ = ("_center", "_highest", "_lowest", "_n", "_rest", "_squares", "_total")

    def __init__(self) -> None:
        self._n, self._total, self._rest = 0, 0.0, 0.0
        self._center, self._squares, self._lowest, self._highest = 0.0, 0.0, 1.0, 0.0

    def add(self, value: float) -> None:
        self._n += 1
        total = self._total + value
        larger, smaller = (self._total, value) if self._total >= value else (value, self._total)
        self._rest += (larger - total) + smaller
        self._total = total
        change = value - self._center
        self._center += change / self._n
        self._squares += change * (value - self._center)
        self._lowest, self._highest = min(self._lowest, value), max(self._highest, value)

    def estimate(self) -> Estimate:
        """As `callbacks.evaluation.task_scores.estimate_mean` gives it for all values together."""
        if self._n < 2:
            return Estimate(self._total, self._n, None, 0.0, 1.0)
        if self._lowest == self._highest:
            return interval_of(self._lowest, self._n, 0.0)
        return interval_of((self._total + self._rest) / self._n, self._n, sqrt(self._squares / (self._n - 1)))


class _Results:
    """An example's value is the mean over its samples; `all` first, then tasks, splits and layers in order of their names."""

    def __init__(self) -> None:
        self._means: dict[tuple[str, str], _Mean] = defaultdict(_Mean)

    def add(self, example: Sequence[Row]) -> None:
        groups = _groups_of(example[0])
        for metric in dict.fromkeys(name for row in example for name in _names(row)):
            values = [value for row in example if (value := _value(row, metric)) is not None]
            if values:
                for group in groups:
                    self._means[group, metric].add(fmean(values))

    def to_json(self) -> dict[str, Any]:
        kinds = {ALL: 0, "task": 1, **{kind: place for place, kind in enumerate(SPLIT_COLUMNS, 2)}, CROSSED: 9}
        groups = sorted({group for group, _ in self._means}, key=lambda group: (kinds[kind_of(group)], group))
        results: dict[str, dict[str, Any]] = {}
        for group in groups:
            metrics = order_metrics(metric for name, metric in self._means if name == group)
            results[group] = {metric: _cell(self._estimate(group, metric, groups)) for metric in metrics}
        return results

    def _estimate(self, group: str, metric: str, groups: Iterable[str]) -> Estimate:
        """That of `all` has the noise within the tasks only, as a run's evaluation has it."""
        estimate = self._means[group, metric].estimate()
        if group != ALL:
            return estimate
        tasks = [name for name in groups if kind_of(name) == "task" and (name, metric) in self._means]
        return stratify({ALL: estimate, **{name: self._means[name, metric].estimate() for name in tasks}})


class _AtK:
    """For reward and exact, by k: `mean`, `best` and `majority` over examples, each with its interval.

    `best` is the expected best of k answers drawn from those there are; `majority` the answer that most of the first k
    give, the earliest of equals, and what it earns. Examples of which a sample has no value are left out.
    """

    def __init__(self, samples: int):
        self._samples = samples
        self._sizes = sorted({k for k in (1, 2, 4, 8, 16, 32, 64) if k < samples} | {samples})
        self._means: dict[tuple[str, int, str], _Mean] = defaultdict(_Mean)

    def add(self, example: Sequence[Row]) -> None:
        answers = [_canonical(row) for row in example]
        for metric in ("reward", "exact"):
            values = [value for row in example if (value := _value(row, metric)) is not None]
            if len(values) != self._samples:
                continue
            for k in self._sizes:
                self._means[metric, k, "mean"].add(fmean(values))
                self._means[metric, k, "best"].add(_expect_best(values, k))
                self._means[metric, k, "majority"].add(_take_majority(answers[:k], values))

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for (metric, k, way), mean in self._means.items():
            found.setdefault(metric, {}).setdefault(str(k), {})[way] = _cell(mean.estimate())
        return {metric: found[metric] for metric in ("reward", "exact") if metric in found}


class _Corpus:
    """By group, the BLEU of all texts together, which is not the mean of their own (see `rewards.text.bleu`)."""

    def __init__(self) -> None:
        self._bleu: dict[str, CorpusBleu] = defaultdict(CorpusBleu)

    def add(self, example: Sequence[Row]) -> None:
        pairs = []
        for row in example:
            if "bleu" in row["metrics"]:
                answer = strip_answer(row["completion"], Completion.from_row(row).style).text
                reference, given = (tokenize_13a(compose(text[:MAXIMUM_TEXT])) for text in (row["reference"], answer))
                pairs.append((reference, given))
        for group in _groups_of(example[0]) if pairs else ():
            self._bleu[group].add(*pairs)

    def to_json(self) -> dict[str, Any]:
        found = {}
        for group, bleu in self._bleu.items():
            low, high = bleu.interval() or (None, None)
            found[group] = {"bleu": bleu.value(), "n": bleu.count, "low": low, "high": high}
        return found


def _groups_of(row: Row) -> list[str]:
    columns = row.get("columns") or {}
    named = {kind: columns[kind] for kind in SPLIT_COLUMNS if isinstance(columns.get(kind), str)}
    crossed = [f"{CROSSED}:{' x '.join(named.values())}"] if len(named) == len(SPLIT_COLUMNS) else []
    return [ALL, f"task:{row['task']}", *(f"{kind}:{value}" for kind, value in named.items()), *crossed]


class _Counts:
    """Counts completions: all, truncated, ended as loops, stripped, repaired, unscored and failed."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._kinds: dict[str, Counter[str]] = {"stripped": Counter(), "repaired": Counter()}

    def add(self, example: Sequence[Row]) -> None:
        self._sums["examples"] += 1
        for row in example:
            self._sums["completions"] += 1
            self._sums["tokens"] += row["tokens"]
            self._sums["truncated"] += row["truncated"]
            self._sums["repeated"] += row.get("repeated", False)
            self._sums["empty"] += not row["completion"].strip()
            self._sums["unscored"] += row["reward"] is None
            self._sums["failed"] += row["failure"] is not None
            self._sums["score_errors"] += sum(score["status"] == "error" for score in row["scores"].values())
            for name, kinds in (("stripped", row["stripped"]), ("repaired", row["repairs"])):
                self._sums[name] += bool(kinds)
                self._kinds[name].update(dict.fromkeys(kinds, 1))

    def to_json(self) -> dict[str, Any]:
        plain = ("examples", "completions", "tokens", *_FLAGS)
        return {
            **{name: self._sums[name] for name in plain},
            **{
                name: {"completions": self._sums[name], **dict(kinds.most_common())}
                for name, kinds in self._kinds.items()
            },
            "score_errors": self._sums["score_errors"],
        }


def _names(row: Mapping[str, Any]) -> list[str]:
    names = ["reward", *row["metrics"]]
    for function, score in row["scores"].items():
        names.append(f"reward/{function}")
        names += [f"{function}.{part}" for part in score.get("parts") or {}]
    return names


def _value(row: Mapping[str, Any], metric: str) -> float | None:
    if metric == "reward":
        return row["reward"]
    if metric in row["metrics"]:
        return row["metrics"][metric]
    if metric.startswith("reward/"):
        return (row["scores"].get(metric.removeprefix("reward/")) or {}).get("value")
    function, dot, part = metric.partition(".")
    return (((row["scores"].get(function) or {}).get("parts") or {}).get(part)) if dot else None


def _expect_best(values: Sequence[float], k: int) -> float:
    """The mean of the largest over all choices of k of the values (pass@k of Chen et al. 2021, for any values)."""
    ordered, n = sorted(values), len(values)
    return sum(value * comb(place, k - 1) for place, value in enumerate(ordered)) / comb(n, k)


def _take_majority(answers: Sequence[str], values: Sequence[float]) -> float:
    counts = Counter(answers)
    winner = max(counts, key=lambda answer: (counts[answer], -answers.index(answer)))
    return values[answers.index(winner)]


def _canonical(row: Mapping[str, Any]) -> str:
    """The answer without its spelling: JSON with sorted keys, a text with single spaces."""
    completion = Completion.from_row(row)
    if (row["reference"] or "").lstrip()[:1] in ("{", "["):
        value = completion.extraction.value
        if value is not None:
            try:
                return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
            except TypeError:
                return repr(value)
    return " ".join(strip_answer(completion.text, completion.style).text.split())


def _cell(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.mean, "n": estimate.n, "std": estimate.std, "low": estimate.low, "high": estimate.high
    }  # fmt: skip
