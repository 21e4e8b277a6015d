"""Cheap stand-ins for a policy: right and wrong answers made from the references, to see whether the rewards tell them apart."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import fsum
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from rewards.discovery.existing import PREFIXES
from rewards.statistics.estimates import estimate_mean
from rewards.types import Completion, Example

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost

GOLD, OTHER, CHANGED, PART, NOISE, EMPTY = KINDS = ("gold", "other", "changed", "part", "noise", "empty")
"""The reference; another row's; the reference with some of it changed; its first part; words of no meaning; nothing."""

ROWS_A_TASK = 12
_NOISE = "talvez sim, talvez não; depende do caso"
_SAME = 1e-9
_FEW = 4
"""Fewer values than this say nothing about a function."""

_MOST_ERRORS = 20
"""A function that has failed so often is not asked again: each call may take the whole time limit."""


class Probe(NamedTuple):
    """An answer of one kind to one example, its value by function and its reward, None where nothing gave a value."""

    example: Example
    kind: str
    text: str
    values: dict[str, float]
    reward: float | None
    errors: tuple[str, ...]


def probe_rewards(host: RewardHost, examples: Iterable[Example], rows_a_task: int = ROWS_A_TASK) -> list[Probe]:
    """Score answers of every kind to some rows of each task, spread evenly; nothing is counted against the budget."""
    by_task: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.reference is not None:
            by_task[example.task].append(example)
    asked: list[tuple[Example, str, str]] = []
    for task in sorted(by_task):
        rows = by_task[task]
        wanted = min(rows_a_task, len(rows))
        for place in (index * len(rows) // wanted for index in range(wanted)):
            asked += [(rows[place], kind, text) for kind, text in make_answers(rows, place)]
    return _score(host, asked)


def make_answers(rows: Sequence[Example], place: int) -> list[tuple[str, str]]:
    """Kind and text of the answers to one of the rows of a task; a kind that would repeat the reference is left out."""
    right = rows[place].reference or ""
    partner = _find_partner(rows, place)
    answers = {
        GOLD: right,
        OTHER: partner,
        CHANGED: _change(right, partner),
        PART: right[: len(right) // 2],
        NOISE: _NOISE,
        EMPTY: "",
    }
    return [(kind, text) for kind, text in answers.items() if text is not None and (kind == GOLD or text != right)]


def summarise(probes: Iterable[Probe]) -> dict[str, dict[str, Any]]:
    """By task: the mean reward of each kind of answer, the mean spread (standard deviation) over the answers to a row,
    and the share of rows whose answers all earn the same; under `estimates` n, std and 95 % interval of each of them."""
    summary: dict[str, dict[str, Any]] = {}
    for task, rows in _by_task(probes).items():
        spreads = [pstdev(rewards) for rewards in rows.rewards.values() if len(rewards) > 1]
        values = {
            **{kind: rows.kinds[kind] for kind in KINDS},
            "spread": spreads,
            "flat_rows": [float(spread < _SAME) for spread in spreads],
        }
        summary[task] = {
            "rows": len(rows.rewards),
            **{name: _round(fmean(found)) if found else None for name, found in values.items()},
            "estimates": {name: _describe(found) for name, found in values.items() if found},
        }
    return summary


def _describe(values: Sequence[float]) -> dict[str, float | int | None]:
    """n, std and interval; the values are rewards, which lie in 0..1, or their spreads, which do so too."""
    found = estimate_mean(values)
    ends = {"std": found.std, "low": found.low, "high": found.high}
    return {"n": found.n, **{name: None if value is None else _round(value) for name, value in ends.items()}}


def find_alarms(host: RewardHost, probes: Iterable[Probe]) -> tuple[list[str], list[str]]:
    """Errors (the run would be wasted) and warnings: rewards that say the same of right and wrong answers."""
    probes = list(probes)
    errors: list[str] = []
    warnings: list[str] = []
    for task, rows in _by_task(probes).items():
        values = [value for rewards in rows.rewards.values() for value in rewards]
        if len(values) < 2:
            continue
        gold = fmean(rows.kinds[GOLD]) if rows.kinds[GOLD] else None
        if max(values) - min(values) < _SAME:
            said = f"task {task}: the reward is {values[0]:.4f} for right answers, for wrong ones and for none"
            if not all(entry.distribution in PREFIXES for entry in host.functions_for(task)):
                errors.append(f"{said}: there is nothing to learn from it; add a function that judges content")
            else:
                # Written for other trainers, where the reference is a label that no policy should write as it stands.
                warnings.append(
                    f"{said}; where the references are labels and not answers in the form that the rewards read, nothing is "
                    "proven: score a right answer of yours (python -m rewards score), and set sft_warmup.enabled: false"
                )
            continue
        if gold is None:
            continue
        # Rows without a partner have nobody whose answer could be told apart.
        pairs = [(right, other) for right, other in zip(rows.gold, rows.other, strict=True) if other is not None]
        if len(pairs) >= _FEW and is_overpaid(
            OTHER, fmean(other for _, other in pairs), fmean(right for right, _ in pairs)
        ):
            warnings.append(
                f"task {task}: another row's answer earns as much as the right one; "
                "a policy need not read the prompt; add a function that compares with the reference"
            )
        for kind, said in ((EMPTY, "an empty answer"), (NOISE, "an answer of no meaning")):
            if rows.kinds[kind] and is_overpaid(kind, fmean(rows.kinds[kind]), gold):
                warnings.append(
                    f"task {task}: {said} earns {fmean(rows.kinds[kind]):.2f}, the right one {gold:.2f}; "
                    "give what it fails at more weight"
                )
    errors_of, warnings_of = _judge_functions(host, probes)
    return errors_of + errors, warnings_of + warnings


def is_overpaid(kind: str, mean: float, gold: float) -> bool:
    """Whether probes of this kind earn what no such answer should, beside the mean of the right answers.

    Another row's answer must earn less than the right one, an empty answer and one of no meaning less than half of it; of
    the kinds that are partly right nothing can be said.
    """
    if kind == OTHER:
        return mean >= gold - 0.001
    return kind in (EMPTY, NOISE) and gold > 0 and mean >= 0.5 * gold


def _judge_functions(host: RewardHost, probes: Sequence[Probe]) -> tuple[list[str], list[str]]:
    errors, warnings = [], []
    for entry in host.functions:
        name = entry.function.name
        by_task: dict[str, list[float]] = defaultdict(list)
        for probe in probes:
            if name in probe.values:
                by_task[probe.example.task].append(probe.values[name])
        values = [value for task in by_task.values() for value in task]
        if _is_constant(values):
            line = f"reward '{name}' is {values[0]:.4f} for right answers, for wrong ones and for none"
            if entry.function.judges_content:
                errors.append(f"{line}: a metric that never changes is a broken scorer; fix it or leave it out")
            else:
                warnings.append(f"{line}; leave it out unless a policy can do worse than the audit's answers")
        elif entry.function.judges_content:
            warnings += [
                f"task {task}: reward '{name}' is {found[0]:.4f} for right answers, for wrong ones and for none; "
                "keep it to other tasks with `tasks`"
                for task, found in by_task.items()
                if _is_constant(found)
            ]
        right, wrong = _count_faults(probes, name, gold=True), _count_faults(probes, name, gold=False)
        if right and not entry.function.judges_content:  # the gold self-test has told of the others
            error, _ = right.most_common(1)[0]
            line = f"reward '{name}' failed on {right.total()} right answers ({error})"
            # A server that does not answer is no fault of the function.
            (warnings if error.startswith("network:") else errors).append(line)
        if wrong and not (right and wrong.keys() <= right.keys()):
            error, _ = wrong.most_common(1)[0]
            warnings.append(
                f"reward '{name}' failed on {wrong.total()} of the audit's wrong answers ({error}); "
                "a completion must never raise: return a Score of 0.0 with a reason"
            )
    return errors, warnings


def _count_faults(probes: Sequence[Probe], name: str, *, gold: bool) -> Counter[str]:
    return Counter(
        error for probe in probes if (probe.kind == GOLD) == gold for at, error in _named(probe.errors) if at == name
    )


def _is_constant(values: Sequence[float]) -> bool:
    return len(values) >= _FEW and max(values) - min(values) < _SAME


class _TaskProbes:
    """The rewards of one task's probes, by kind and by row."""

    def __init__(self) -> None:
        self.kinds: dict[str, list[float]] = defaultdict(list)
        self.rewards: dict[str, list[float]] = defaultdict(list)
        self.gold: list[float] = []
        self.other: list[float | None] = []


def _by_task(probes: Iterable[Probe]) -> dict[str, _TaskProbes]:
    tasks: dict[str, _TaskProbes] = {}
    for probe in probes:
        task = tasks.setdefault(probe.example.task, _TaskProbes())
        if probe.reward is None:
            continue
        task.kinds[probe.kind].append(probe.reward)
        task.rewards[probe.example.id].append(probe.reward)
        if probe.kind == GOLD:
            task.gold.append(probe.reward)
            task.other.append(None)
        elif probe.kind == OTHER and task.other:
            task.other[-1] = probe.reward
    return tasks


def _score(host: RewardHost, asked: Sequence[tuple[Example, str, str]]) -> list[Probe]:
    pairs = [(example, Completion(text)) for example, _, text in asked]
    values: list[dict[str, float]] = [{} for _ in pairs]
    errors: list[list[str]] = [[] for _ in pairs]
    for entry in host.functions:
        name = entry.function.name
        for place, outcome in enumerate(host.judge_many(entry, pairs, _MOST_ERRORS)):
            if outcome.value is not None:
                values[place][name] = outcome.value
            elif outcome.status == "error":
                errors[place].append(f"{name}: {outcome.reason}")
    weights = {entry.function.name: entry.weight for entry in host.functions}
    return [
        Probe(*row, given, _weigh(given, weights), tuple(failed))
        for row, given, failed in zip(
            ((example, kind, text) for example, kind, text in asked), values, errors, strict=True
        )
    ]


def _weigh(values: dict[str, float], weights: dict[str, float]) -> float | None:
    total = fsum(weights[name] for name in values)
    return fsum(weights[name] * value for name, value in values.items()) / total if total else None


def _find_partner(rows: Sequence[Example], place: int) -> str | None:
    """The reference of a row as far away as possible that has another one; None where all rows have the same."""
    right, half = rows[place].reference, max(1, len(rows) // 2)
    for step in range(len(rows)):
        other = rows[(place + half + step) % len(rows)].reference
        if other != right:
            return other
    return None


def _change(right: str, partner: str | None) -> str:
    """The reference with every second leaf of its JSON, or every second word, taken from elsewhere."""
    try:
        value, other = orjson.loads(right), orjson.loads(partner or "null")
    except ValueError:
        words = right.split()
        return " ".join(word[::-1] if at % 2 else word for at, word in enumerate(words))
    if not isinstance(value, dict | list):
        return f"{right} {right}"
    changed, _ = _change_leaves(value, other, 0)
    return json.dumps(changed, ensure_ascii=False)


def _change_leaves(value: Any, other: Any, count: int) -> tuple[Any, int]:
    if count > 2_000:
        return value, count
    if isinstance(value, dict):
        changed = {}
        for key, child in value.items():
            changed[key], count = _change_leaves(child, other.get(key) if isinstance(other, dict) else None, count)
        return changed, count
    if isinstance(value, list):
        items = []
        for at, child in enumerate(value):
            twin = other[at] if isinstance(other, list) and at < len(other) else None
            item, count = _change_leaves(child, twin, count)
            items.append(item)
        return items, count
    if count % 2:
        return value, count + 1
    if isinstance(other, type(value)) and other != value and not isinstance(other, dict | list):
        return other, count + 1
    if isinstance(value, bool):
        return not value, count + 1
    if isinstance(value, int | float):
        return value + 1, count + 1
    return (f"{value} x" if isinstance(value, str) else "x"), count + 1


def _named(errors: Iterable[str]) -> Iterable[tuple[str, str]]:
    for error in errors:
        name, _, said = error.partition(": ")
        yield name, said


def _round(value: float) -> float:
    return round(value, 4)
