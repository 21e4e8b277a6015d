"""The page of an evaluation: how it was made, its metrics, groups and failures, whatever the completions hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grpo.compare.recorded import ALL
from grpo.evaluate.metrics import TITLES
from grpo.evaluate.summary import order_metrics


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
        if ALL in summary.get("corpus", {}):
            bleu = summary["corpus"][ALL]
            known = {"low": None, "high": None, "n": "", **bleu}
            lines.append(
                f"| corpus bleu | {_number(bleu['bleu'])} | {_interval(known)} | {known['n']} | BLEU of all texts together |"
            )
        lines.append("")
    groups = [group for group in results if group != ALL]
    if groups:
        lines += [
            "## By group", "", f"| group | {' | '.join(shown)} |", f"|---|{'---|' * len(shown)}"
        ]  # fmt: skip
        for group in groups:
            cells = [_with_interval(results[group].get(name)) for name in shown]
            lines.append(f"| {_plain(group)} | {' | '.join(cells)} |")
        lines.append("")
    for metric, by_k in summary["at_k"].items():
        lines += [f"## {metric} at k", "", "| k | mean | best | majority |", "|---|---|---|---|"]
        for k, cells in by_k.items():
            values = [_with_interval(cells[way]) for way in ("mean", "best", "majority")]
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
    for name in ("truncated", "repeated", "empty", "unscored", "score_errors", "failed"):
        if name == "repeated" and not counts.get(name):  # evaluation.stop_repetition is off by default
            continue
        lines.append((name.replace("_", " "), f"{counts[name]} of {whole}"))
    for name in ("stripped", "repaired"):
        kinds = ", ".join(f"{kind} {count}" for kind, count in counts[name].items() if kind != "completions")
        lines.append((name, f"{counts[name]['completions']} of {whole}{f' ({kinds})' if kinds else ''}"))
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _with_interval(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    ends = f"{_interval(cell)}, " if cell["low"] is not None else ""
    return f"{_number(cell['value'])} ({ends}n {cell['n']})"


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
