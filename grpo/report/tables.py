"""The rows of the report's tables, as plain values; the templates only lay them out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from callbacks.history import Evaluation
from callbacks.progress import format_seconds
from callbacks.task_scores import ALL, Estimate, paired_difference, unpaired_difference
from grpo.report.run_files import Record, RunFiles

STAGE_NAMES = {"before": "before training", "warmup": "SFT warm-up", "train": "GRPO", "final": "final evaluation"}


def list_tasks(run: RunFiles) -> list[str]:
    """`all`, then every task that was ever evaluated, in alphabetical order."""
    names = {name for evaluation in run.evaluations for name in evaluation.estimates}
    return [name for name in (ALL,) if name in names] + sorted(names - {ALL})


def make_task_rows(run: RunFiles) -> list[dict[str, Any]]:
    """A row a task: estimates before, after the warm-up, at the best and the last evaluation, and the change."""
    before, warmup = run.find_evaluation("before"), run.find_evaluation("warmup")
    final = run.find_evaluation("final") or (run.evaluations[-1] if run.evaluations else None)
    rows = []
    for name in list_tasks(run):
        change = measure_change(run, name)
        rows.append(
            {
                "task": name,
                "before": _pick(before, name),
                "warmup": _pick(warmup, name),
                "best": run.best.estimates.get(name),
                "final": _pick(final, name) if final is not warmup and final is not before else None,
                "change": change,
                "direction": _direction(change),
                "sft": _sft_mean(run, name),
            }
        )
    return rows


def measure_change(run: RunFiles, name: str = ALL) -> Estimate | None:
    """The change from the warm-up to the end: paired by example where both were stored, else from the two means."""
    sides = [
        {
            (r.get("task"), r.get("id")): r.get("reward")
            for r in run.records.get(stage, [])
            if name in (ALL, r.get("task"))
        }
        for stage in ("warmup", "final")
    ]
    if all(sides):
        paired = paired_difference(*sides)
        if paired.mean is not None:
            return paired
    warmup, final = run.find_evaluation("warmup"), run.find_evaluation("final")
    first, last = _pick(warmup, name), _pick(final, name)
    if first is None or last is None or first.mean is None or last.mean is None:
        return None
    return unpaired_difference(first, last)


def make_function_rows(run: RunFiles) -> list[dict[str, Any]]:
    """A row a reward function: version, counts, and mean of its value and of its parts after the warm-up and at the end."""
    reported = run.environment.get("rewards")
    reported = reported if isinstance(reported, Mapping) else {}
    stages = {stage: _collect_scores(run.records.get(stage, [])) for stage in ("warmup", "final")}
    names = sorted({*stages["warmup"], *stages["final"], *reported})
    rows = []
    for name in names:
        first, last = (stages[stage].get(name) for stage in ("warmup", "final"))
        said = reported.get(name) if isinstance(reported.get(name), Mapping) else {}
        seen = [side for side in (first, last) if side is not None]
        versions = sorted(
            {version for side in seen for version in side["versions"]}
            | ({str(said["version"])} if "version" in said else set())
        )
        parts = sorted({part for side in seen for part in side["parts"]})
        rows.append(
            {
                "name": name,
                "versions": versions,
                "mixed": len(versions) > 1,
                "weight": said.get("weight"),
                "tasks": sorted({task for side in seen for task in side["tasks"]}),
                "n": last["n"] if last else None,
                "warmup": first["mean"] if first else None,
                "final": last["mean"] if last else None,
                "errors": said.get("errors", sum(side["errors"] for side in seen)),
                "seconds": said.get("mean_seconds"),
                "parts": [{"name": part, "warmup": _part(first, part), "final": _part(last, part)} for part in parts],
            }
        )
    return rows


def make_time_rows(run: RunFiles) -> list[dict[str, Any]]:
    """Where the time went: a row a stage, then what of it the evaluations and the parts of GRPO's steps took."""
    stages: dict[str, float] = defaultdict(float)
    steps: dict[str, float] = defaultdict(float)
    parts: dict[str, float] = defaultdict(float)
    for row in run.timings:
        stage = str(row.get("stage"))
        for key, value in row.items():
            if not isinstance(value, int | float) or key == "step":
                continue
            if key == "stage_seconds":
                stages[stage] += value
            elif key == "step_time":
                steps[stage] += value
            elif key == "evaluation_seconds":
                parts["of it held-out evaluations"] += value
            elif key.endswith("_seconds"):
                parts[f"of it {key.removesuffix('_seconds').replace('_', ' ')}"] += value
    # A resumed stage notes only what it took after the resume; its steps are all there.
    whole = {stage: max(stages.get(stage, 0.0), steps.get(stage, 0.0)) for stage in {**stages, **steps}}
    order = [stage for stage in STAGE_NAMES if stage in whole] + sorted(set(whole) - set(STAGE_NAMES))
    rows = [(STAGE_NAMES.get(stage, stage), whole[stage]) for stage in order] + list(parts.items())
    return [{"what": name, "seconds": value, "said": format_seconds(value)} for name, value in rows]


def make_plan_rows(run: RunFiles) -> list[dict[str, Any]]:
    """What was planned against what happened; a row only where at least one side is known."""
    plan = run.plan
    train = [row for row in run.metrics if row.get("stage") == "train"]
    steps = max((row["step"] for row in train if isinstance(row.get("step"), int)), default=None)
    tokens = next(
        (row["num_tokens"] for row in reversed(train) if isinstance(row.get("num_tokens"), int | float)), None
    )
    a_step, prompts = plan.get("completions_per_step"), plan.get("prompts_per_step")
    lengths = [
        row["completions/mean_length"] for row in train if isinstance(row.get("completions/mean_length"), int | float)
    ]
    rows = [
        ("GRPO steps", plan.get("max_steps"), steps),
        ("prompts seen", plan.get("prompts_seen"), _times(steps, prompts)),
        ("completions", _times(plan.get("max_steps"), a_step), _times(steps, a_step)),
        ("tokens", _dig(plan, "tokens", "total_expected"), tokens),
        ("mean completion, tokens", _dig(plan, "tokens", "reference_mean"), fmean(lengths) if lengths else None),
        ("time", _say_seconds(_dig(plan, "seconds_estimated", "total")), _say_seconds(run.status.get("seconds"))),
    ]
    return [
        {"what": what, "planned": _say(planned), "happened": _say(happened)}
        for what, planned, happened in rows
        if planned is not None or happened is not None
    ]


def flatten(value: Any, prefix: str = "", limit: int = 400, compact: bool = False) -> list[tuple[str, str]]:
    """A nested JSON value as (dotted name, text) pairs for a plain two-column table; at most `limit` of them.

    With `compact` an inner object of plain values takes one row instead of one each.
    """
    rows: list[tuple[str, str]] = []
    if isinstance(value, Mapping):
        plain = not any(isinstance(item, Mapping | list) for item in value.values())
        if compact and prefix and plain:
            return [(prefix, ", ".join(f"{key} {_say(item)}" for key, item in value.items()) or "none")]
        for key, item in value.items():
            rows += flatten(item, f"{prefix}.{key}" if prefix else str(key), limit, compact)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for number, item in enumerate(value[:20]):
            rows += flatten(item, f"{prefix}[{number}]", limit, compact)
        if len(value) > 20:
            rows.append((prefix, f"and {len(value) - 20} more"))
    elif isinstance(value, list):
        rows.append((prefix, ", ".join(map(_say, value)) or "none"))
    else:
        rows.append((prefix, _say(value)))
    return rows[:limit]


def _collect_scores(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    values: dict[str, list[float]] = defaultdict(list)
    parts: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    versions: dict[str, set[str]] = defaultdict(set)
    tasks: dict[str, set[str]] = defaultdict(set)
    errors: dict[str, int] = defaultdict(int)
    for record in records:
        scores = record.get("scores")
        for name, score in scores.items() if isinstance(scores, Mapping) else ():
            if not isinstance(score, Mapping):
                continue
            errors[name] += score.get("status") == "error"
            if not isinstance(score.get("value"), int | float):
                continue
            values[name].append(float(score["value"]))
            versions[name].add(str(score.get("version")))
            tasks[name].add(str(record.get("task")))
            for part, share in (score.get("parts") or {}).items():
                if isinstance(share, int | float):
                    parts[name][part].append(float(share))
    return {
        name: {
            "n": len(values[name]),
            "mean": fmean(values[name]) if values[name] else None,
            "versions": versions[name],
            "tasks": tasks[name],
            "errors": errors[name],
            "parts": {part: fmean(shares) for part, shares in parts[name].items()},
        }
        for name in {*values, *errors}
    }


def _part(side: Mapping[str, Any] | None, part: str) -> float | None:
    return side["parts"].get(part) if side else None


def _pick(evaluation: Evaluation | None, name: str) -> Estimate | None:
    return evaluation.estimates.get(name) if evaluation is not None else None


def _direction(change: Estimate | None) -> str:
    if change is None or change.mean is None:
        return "unknown"
    if change.low is None or change.high is None or change.low <= 0.0 <= change.high:
        return "noise"
    return "up" if change.mean > 0 else "down"


def _sft_mean(run: RunFiles, name: str) -> float | None:
    baseline = run.sft_baseline
    value = baseline.get("mean") if name == ALL else (baseline.get("per_task") or {}).get(name)
    if isinstance(value, Mapping):
        value = value.get("mean")
    return float(value) if isinstance(value, int | float) else None


def _dig(value: Any, *keys: str) -> Any:
    """The value under these keys, one inside the other; None where one is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _times(first: Any, second: Any) -> int | None:
    return first * second if isinstance(first, int) and isinstance(second, int) else None


def _say_seconds(seconds: Any) -> str | None:
    return format_seconds(seconds) if isinstance(seconds, int | float) else None


def _say(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 and value == int(value) else f"{value:.4g}"
    return str(value)
