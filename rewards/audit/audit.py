"""The audit before a run: are rows and rewards fit for it? Pure over rows and a reward host; every run's preflight calls it."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from rewards.audit import derivability, near_duplicates, probes
from rewards.audit.comparisons import find_comparisons
from rewards.audit.masking import ENOUGH_LEAVES, MASKING_OPTION, ignores, mask_made_up
from rewards.audit.references import GoldFailure, gold_self_test
from rewards.host.scoring import RewardHost
from rewards.types import Example

SHOWN = 5
"""Failing rows named in one message; the rest is counted."""

ENOUGH_HELD_OUT = 40
_MANY_UNDERIVABLE = 0.1
_LONGEST_LITERAL = 20_000


@dataclass(frozen=True)
class Audit:
    """What was found: `facts` for JSON, `errors` that would waste the run, `warnings` to read."""

    facts: Mapping[str, Any]
    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether there are no errors; warnings do not count."""
        return not self.errors

    def to_json(self) -> dict[str, Any]:
        """The facts, warnings, errors and whether it passed, ready for JSON."""
        return {**self.facts, "warnings": list(self.warnings), "errors": list(self.errors), "passed": self.passed}


@dataclass
class _Findings:
    facts: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def audit_rows(
    host: RewardHost,
    train: Sequence[Example],
    held_out: Sequence[Example] = (),
    on_progress: Callable[[int], object] = lambda done: None,
) -> Audit:
    """Check the rows against the very rewards of a run.

    Where a function has the option `ignore_fields`, fields that hold made-up identifiers, links and times are put there:
    the host is changed, which is why it must not have scored anything yet. Nothing is counted against its error budget.
    `on_progress` hears how many references are scored.
    """
    rows = [*train, *held_out]
    found = _Findings()
    found.facts["references"] = len(rows)
    found.facts["without_reference"] = sum(row.reference is None for row in rows)
    _check_references(host, rows, found)
    _check_derivability(host, rows, found)
    unfit = _check_gold(host, rows, found, on_progress)
    _collect_warnings(host, [row for row in rows if row.id not in unfit], found)
    _check_tasks(host, train, held_out, found)
    _check_strictness(rows, found)
    _check_probes(host, [row for row in rows if row.id not in unfit], found)
    _check_near_duplicates(train, held_out, found)
    return Audit(found.facts, found.errors, found.warnings)


def say_gold(facts: Mapping[str, Any]) -> str:
    """What the references of an audit that passed have shown, and of which functions."""
    versions = facts["reward_versions"]
    judging = {name: version for name, version in versions.items() if name in facts["judging"]}
    others = [f"{name} {version}" for name, version in versions.items() if name not in judging]
    shown = ", ".join(f"{name} {version}" for name, version in judging.items())
    if not judging:
        return f"{facts['references']:,} rows; no function is held to its reference answers ({', '.join(others)})"
    line = f"all {facts['references']:,} reference answers earn full reward ({shown})"
    return f"{line}; not held to them: {', '.join(others)}" if others else line


def _check_references(host: RewardHost, rows: Sequence[Example], found: _Findings) -> None:
    """Of rows without a single reference nothing can be said: no answer is known that must earn the maximum."""
    judging = [entry.function.name for entry in host.functions if entry.function.judges_content]
    if rows and judging and all(row.reference is None for row in rows):
        found.errors.append(
            f"no row has a reference, so nothing that {', '.join(judging)} pays for can be checked; "
            "write the right answer under 'reference'"
        )


def classify_reference(text: str) -> str:
    """`strict` JSON object or list; `literal` of Python; `repaired` where a reader finds JSON; `unreadable`."""
    try:
        return "strict" if isinstance(orjson.loads(text), dict | list) else "unreadable"
    except ValueError:
        pass
    if len(text) <= _LONGEST_LITERAL:
        try:
            if isinstance(ast.literal_eval(text.strip()), dict | list):
                return "literal"
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            pass
    from rewards.extraction import extract_json

    return "repaired" if isinstance(extract_json(text).value, dict | list) else "unreadable"


def _check_gold(
    host: RewardHost, rows: Sequence[Example], found: _Findings, on_progress: Callable[[int], object]
) -> set[str]:
    """The ids of the rows that a function cannot use: what is wrong with them need not be said twice."""
    failures = gold_self_test(host, [row for row in rows if row.reference is not None], on_progress)
    by_function: dict[str, list[GoldFailure]] = defaultdict(list)
    for failure in failures:
        by_function[failure.function].append(failure)
    for function, failed in sorted(by_function.items()):
        found.errors += [f"gold self-test: {failure}" for failure in failed[:SHOWN]]
        if len(failed) > SHOWN:
            found.errors.append(f"gold self-test: {function}: {len(failed) - SHOWN} more references fail")
    found.facts["gold_failures"] = [
        {"id": f.example_id, "function": f.function, "value": f.value, "reason": f.reason} for f in failures
    ]
    found.facts["reward_versions"] = host.versions()
    found.facts["judging"] = [entry.function.name for entry in host.functions if entry.function.judges_content]
    return {failure.example_id for failure in failures if failure.value is None}


def _collect_warnings(host: RewardHost, rows: Sequence[Example], found: _Findings) -> None:
    """What the functions cannot judge well of usable rows; the same words are said once, with the rows counted."""
    for entry in host.functions:
        said: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            if entry.applies_to(row.task) and row.reference is not None:
                for line in host.warnings(entry, row):
                    said[line].append(row.id)
        for line, ids in said.items():
            shown = ", ".join(f"'{name}'" for name in ids[:SHOWN]) + (
                f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            )
            found.warnings.append(f"reward '{entry.function.name}', {len(ids)} rows ({shown}): {line}")


def _check_tasks(host: RewardHost, train: Sequence[Example], held_out: Sequence[Example], found: _Findings) -> None:
    trained, held = Counter(row.task for row in train), Counter(row.task for row in held_out)
    for task in sorted({*trained, *held}):
        if not host.functions_for(task):
            found.errors.append(f"task {task}: no reward function applies to it; add one to rewards.functions")
    only = sorted(held.keys() - trained.keys())
    if only:
        found.warnings.append(f"held-out rows of {', '.join(only)}: no training row has this task; it is not trained")
    if held_out and len(held_out) < ENOUGH_HELD_OUT:
        found.warnings.append(
            f"{len(held_out)} held-out rows: differences of less than 0.1 will be noise; hold out {ENOUGH_HELD_OUT} or more"
        )
    found.facts["train_tasks"] = dict(sorted(trained.items()))
    found.facts["held_out_tasks"] = dict(sorted(held.items()))
    found.facts["held_out_only_tasks"] = only


_WRITTEN_CALL = re.compile(r"\[\s*[A-Za-z_][\w.]*\(")


def _check_strictness(rows: Iterable[Example], found: _Findings) -> None:
    """Only of tasks whose references are mostly written as objects or lists; the others are not JSON."""
    texts: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.reference is not None:
            texts[row.task].append(row.reference.strip())
    strictness = {}
    for task, references in sorted(texts.items()):
        # `[f(x=1)]` is a call as programs write it, and no JSON.
        opened = sum(text[:1] in ("{", "[") and not _WRITTEN_CALL.match(text) for text in references)
        if 2 * opened < len(references):
            continue
        counts = Counter(map(classify_reference, references))
        kinds = {kind: counts[kind] for kind in ("strict", "repaired", "literal", "unreadable")}
        strictness[task] = kinds
        if counts["strict"] < len(references):
            others = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count and kind != "strict")
            found.warnings.append(
                f"task {task}: {len(references) - counts['strict']} of {len(references)} references are not strict JSON "
                f"({others}); a policy would learn to write them so; write them with json.dumps"
            )
    found.facts["strictness"] = strictness


def _check_derivability(host: RewardHost, rows: Sequence[Example], found: _Findings) -> None:
    measured = derivability.measure_derivability(rows)
    masked = mask_made_up(host, rows, measured)
    found.facts["derivability"] = {}
    found.facts["underivable_fields"] = {}
    found.facts["masked"] = masked
    for name, left_out in masked.items():
        found.warnings.append(
            f"reward '{name}': {', '.join(left_out)} cannot follow from the prompts and are left out of the reward; "
            f"write {MASKING_OPTION}: [{', '.join(left_out)}] to say so yourself"
        )
    for task, fields in measured.items():
        summary = derivability.summarise(fields)
        missing = summary.pop("underivable_fields")
        found.facts["derivability"][task] = summary
        if missing:
            found.facts["underivable_fields"][task] = missing
        for entry in host.functions_for(task):
            # A function without the option may well judge by meaning, such as by running the answer.
            if not entry.function.judges_content or not hasattr(entry.function, MASKING_OPTION):
                continue
            left = [
                f"{name} ({count.missing_share:.0%})"
                for name, count in fields.items()
                if count.missing_share >= _MANY_UNDERIVABLE
                and count.leaves >= ENOUGH_LEAVES
                and not ignores(entry.function, name)
            ]
            if left:
                shown = ", ".join(left[:SHOWN]) + (f" and {len(left) - SHOWN} more" if len(left) > SHOWN else "")
                found.warnings.append(
                    f"task {task}: the prompts do not say what '{entry.function.name}' compares in {shown}; "
                    f"put the value into the prompt, or the field into {MASKING_OPTION}"
                )


def _check_probes(host: RewardHost, rows: Iterable[Example], found: _Findings) -> None:
    probed = probes.probe_rewards(host, rows)
    errors, warnings = probes.find_alarms(host, probed)
    found.errors += errors
    found.warnings += [*warnings, *find_comparisons(host, probed)]
    found.facts["probes"] = probes.summarise(probed)


def _check_near_duplicates(train: Sequence[Example], held_out: Sequence[Example], found: _Findings) -> None:
    pairs = near_duplicates.find_near_duplicates(train, held_out)
    found.facts["near_duplicates"] = near_duplicates.count_near_duplicates(pairs)
    found.facts["near_duplicate_rows"] = [
        {
            "held_out": pair.held_out.id,
            "train": pair.train.id,
            "similarity": round(pair.similarity, 4),
            "same_answer": pair.same_answer,
        }
        for pair in sorted(pairs, key=lambda pair: (not pair.same_answer, -pair.similarity, pair.held_out.id))[:20]
    ]
    # A template's prompts resemble each other; where the answer differs too, a policy still has to read.
    leaked = [pair for pair in pairs if pair.same_answer and pair.similarity >= near_duplicates.THRESHOLDS[1]]
    if leaked:
        share = len(leaked) / len(held_out)
        found.warnings.append(
            f"{len(leaked)} held-out rows ({share:.0%}) appear in the training rows almost word for word, with the same answer (such as "
            f"'{leaked[0].held_out.id}' and '{leaked[0].train.id}'); their scores measure memory; remove them from one side"
        )
