"""What an evaluation found: means with intervals by group, mean, best and majority at k, failures by kind, counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import comb
from statistics import fmean
from typing import Any

import orjson

from callbacks.task_scores import Estimate, estimate_mean
from grpo.comparison.recorded import ALL, SPLIT_COLUMNS, kind_of
from grpo.evaluation.failures import collect_failures
from grpo.evaluation.measures import TITLES
from grpo.evaluation.stripping import strip_answer
from rewards.types import Completion

_FIRST = ("reward", "parse", "exact", "field_f1", "key_f1", "kpi", "semantic_overall", "semantic_core", "semantic_kpi")


def summarise_rows(rows: Sequence[Mapping[str, Any]], samples: int) -> dict[str, Any]:
    """`results` by group and metric (value, n, std, low, high over examples), `at_k`, `failures` and `counts`."""
    return {
        "results": _estimate(rows),
        "at_k": measure_at_k(rows, samples) if samples > 1 else {},
        "failures": collect_failures(rows),
        "counts": count_rows(rows),
    }


def count_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Completions, and of them those that were truncated, stripped, repaired, unscored or failed."""
    stripped = Counter(kind for row in rows for kind in row["stripped"])
    repairs = Counter(kind for row in rows for kind in dict.fromkeys(row["repairs"]))
    return {
        "examples": len({(row["task"], row["id"]) for row in rows}),
        "completions": len(rows),
        "tokens": sum(row["tokens"] for row in rows),
        "truncated": sum(row["truncated"] for row in rows),
        "empty": sum(not row["completion"].strip() for row in rows),
        "unscored": sum(row["reward"] is None for row in rows),
        "failed": sum(row["failure"] is not None for row in rows),
        "stripped": {"completions": sum(bool(row["stripped"]) for row in rows), **dict(stripped.most_common())},
        "repaired": {"completions": sum(bool(row["repairs"]) for row in rows), **dict(repairs.most_common())},
        "score_errors": sum(score["status"] == "error" for row in rows for score in row["scores"].values()),
    }


def measure_at_k(rows: Sequence[Mapping[str, Any]], samples: int) -> dict[str, Any]:
    """For reward and exact, by k: `mean`, `best` and `majority` over examples, each with its interval.

    `best` is the expected best of k answers drawn from those there are; `majority` the answer that most of the first k
    give, the earliest of equals, and what it earns.
    """
    by_example: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_example[row["task"], row["id"]].append(row)
    sizes = sorted({k for k in (1, 2, 4, 8, 16, 32, 64) if k < samples} | {samples})
    found: dict[str, Any] = {}
    for metric in ("reward", "exact"):
        groups = [
            [(row, value) for row in group if (value := _value(row, metric)) is not None]
            for group in by_example.values()
        ]
        groups = [group for group in groups if len(group) == samples]
        if groups:
            found[metric] = {str(k): _measure_k(groups, k) for k in sizes}
    return found


def order_metrics(names: Iterable[str]) -> list[str]:
    """Metrics in reading order; functions and their parts last."""
    known = list(dict.fromkeys((*_FIRST, *TITLES)))
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def write_markdown(summary: Mapping[str, Any]) -> str:
    """The summary as a page: how it was made, the table of metrics, by group, at k, and the failures by kind."""
    settings = summary["settings"]
    lines = [
        f"# Evaluation of {_plain(summary['name'])}",
        "",
        f"{summary['counts']['examples']} examples of {_plain(summary['data']['source'])}, {settings['samples']} "
        f"sample{'s' if settings['samples'] > 1 else ''} each; temperature {settings['temperature']:g}, "
        f"top_p {settings['top_p']:g}, top_k {settings['top_k']}, repetition_penalty "
        f"{settings['repetition_penalty']:g}, at most {settings['max_completion_length']} tokens, seed {settings['seed']}.",
        "",
    ]
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    lines += [f"Rewards: {versions or 'none'}. Intervals: 95 %, over examples.", ""]
    results = summary["results"]
    shown = [name for name in order_metrics(results.get(ALL, {})) if "/" not in name and "." not in name]
    if shown:
        lines += ["## Over all", "", "| metric | mean | 95 % interval | n | what it is |", "|---|---|---|---|---|"]
        for name in shown:
            cell = results[ALL][name]
            lines.append(
                f"| {name} | {_number(cell['value'])} | {_interval(cell)} | {cell['n']} | {TITLES.get(name, '')} |"
            )
        lines.append("")
    groups = [group for group in results if group != ALL]
    if groups:
        lines += [
            "## By group", "", f"| group | n | {' | '.join(shown)} |", f"|---|---|{'---|' * len(shown)}"
        ]  # fmt: skip
        for group in groups:
            cells = [_number((results[group].get(name) or {}).get("value")) for name in shown]
            n = max((cell["n"] for cell in results[group].values()), default=0)
            lines.append(f"| {_plain(group)} | {n} | {' | '.join(cells)} |")
        lines.append("")
    for metric, by_k in summary["at_k"].items():
        lines += [f"## {metric} at k", "", "| k | mean | best | majority |", "|---|---|---|---|"]
        for k, cells in by_k.items():
            values = [
                f"{_number(cells[way]['value'])} ({_interval(cells[way])})" for way in ("mean", "best", "majority")
            ]
            lines.append(f"| {k} | {' | '.join(values)} |")
        lines.append("")
    lines += ["## Counts", ""] + [f"- {name}: {text}" for name, text in describe_counts(summary["counts"])] + [""]
    if summary["failures"]:
        lines += ["## Failures", "", "| kind | completions |", "|---|---|"]
        lines += [f"| {failure['kind']} | {failure['count']} |" for failure in summary["failures"]] + [""]
        for failure in summary["failures"]:
            lines += [f"### {failure['kind']}", ""]
            for example in failure["examples"]:
                reward = "none" if example["reward"] is None else f"{example['reward']:.3f}"
                reason = f", {_plain(example['reason'])}" if example["reason"] else ""
                lines += [f"{_plain(example['id'])} ({_plain(example['task'])}), reward {reward}{reason}", ""]
                lines += _fence("written", example["completion"]) + _fence("wanted", example["reference"])
    return "\n".join(lines).rstrip() + "\n"


def describe_counts(counts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The counts as names and words."""
    whole = counts["completions"]
    lines = [("completions", f"{whole} ({counts['tokens']} tokens)")]
    for name in ("truncated", "empty", "unscored", "score_errors", "failed"):
        lines.append((name.replace("_", " "), f"{counts[name]} of {whole}"))
    for name in ("stripped", "repaired"):
        kinds = ", ".join(f"{kind} {count}" for kind, count in counts[name].items() if kind != "completions")
        lines.append((name, f"{counts[name]['completions']} of {whole}{f' ({kinds})' if kinds else ''}"))
    return lines


def estimates_by_task(results: Mapping[str, Any]) -> dict[str, Estimate]:
    """The reward of all and of each task, as the progress display takes it."""
    found = {}
    for group, metrics in results.items():
        if "reward" in metrics and kind_of(group) in (ALL, "task"):
            cell = metrics["reward"]
            found[group.removeprefix("task:")] = Estimate(*(cell[key] for key in ("value", "n", "std", "low", "high")))
    return found


def _estimate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An example's value is the mean over its samples; `all` first, then tasks, splits and layers in order of their names."""
    values: dict[tuple[str, str], dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        columns = row.get("columns") or {}
        groups = [ALL, f"task:{row['task']}"]
        groups += [f"{kind}:{columns[kind]}" for kind in SPLIT_COLUMNS if isinstance(columns.get(kind), str)]
        for metric in _names(row):
            value = _value(row, metric)
            if value is not None:
                for group in groups:
                    values[group, metric][row["task"], row["id"]].append(value)
    kinds = {ALL: 0, "task": 1, **{kind: place for place, kind in enumerate(SPLIT_COLUMNS, 2)}}
    results: dict[str, dict[str, Any]] = {}
    for group in sorted({group for group, _ in values}, key=lambda group: (kinds[kind_of(group)], group)):
        metrics = order_metrics(metric for name, metric in values if name == group)
        results[group] = {}
        for metric in metrics:
            estimate = estimate_mean([fmean(samples) for samples in values[group, metric].values()])
            results[group][metric] = _cell(estimate)
    return results


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


def _measure_k(groups: Sequence[Sequence[tuple[Mapping[str, Any], float]]], k: int) -> dict[str, Any]:
    return {
        "mean": _cell(estimate_mean([fmean(value for _, value in group) for group in groups])),
        "best": _cell(estimate_mean([_expect_best([value for _, value in group], k) for group in groups])),
        "majority": _cell(estimate_mean([_take_majority(group[:k]) for group in groups])),
    }


def _expect_best(values: Sequence[float], k: int) -> float:
    """The mean of the largest over all choices of k of the values (pass@k of Chen et al. 2021, for any values)."""
    ordered, n = sorted(values), len(values)
    return sum(value * comb(place, k - 1) for place, value in enumerate(ordered)) / comb(n, k)


def _take_majority(group: Sequence[tuple[Mapping[str, Any], float]]) -> float:
    keys = [_canonical(row) for row, _ in group]
    counts = Counter(keys)
    winner = max(counts, key=lambda key: (counts[key], -keys.index(key)))
    return group[keys.index(winner)][1]


def _canonical(row: Mapping[str, Any]) -> str:
    """The answer without its spelling: JSON with sorted keys, a text with single spaces."""
    completion = Completion(row["completion"], row["truncated"])
    if (row["reference"] or "").lstrip()[:1] in ("{", "["):
        value = completion.extraction.value
        if value is not None:
            try:
                return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
            except TypeError:
                return repr(value)
    return " ".join(strip_answer(row["completion"]).text.split())


def _cell(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.mean, "n": estimate.n, "std": estimate.std, "low": estimate.low, "high": estimate.high
    }  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(cell: Mapping[str, Any]) -> str:
    return "" if cell["low"] is None else f"{cell['low']:.4f} to {cell['high']:.4f}"


def _plain(text: str) -> str:
    """Hostile text for one line of Markdown: no line ends, no table cells, no markup."""
    cleaned = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in cleaned)


def _fence(title: str, text: str) -> list[str]:
    """A block in a fence longer than any in the text."""
    longest = run = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return [f"{title}:", "", f"{fence}text", text, fence, ""]
