"""The rows of the report's tables, as plain values; the templates only lay them out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from callbacks.evaluation.history import Evaluation
from callbacks.progress import find_direction
from grpo.report.run_files import Record, RunFiles, as_mapping, is_number
from rewards.identity import read_identities
from rewards.screen.amounts import format_seconds, format_size
from rewards.screen.harmless_text import make_label
from rewards.statistics.estimates import ALL, Estimate, estimate_mean, paired_differences, unpaired_difference

STAGE_NAMES = {
    "before": "before training",
    "warmup": "SFT warm-up",
    "train": "GRPO",
    "final": "final evaluation",
    "start": "start, kept rows",
    "judged": "judged checkpoint",
}


def list_tasks(run: RunFiles) -> list[str]:
    """`all`, then every task that was ever evaluated, in alphabetical order."""
    names = {name for evaluation in run.evaluations for name in evaluation.estimates}
    return [name for name in (ALL,) if name in names] + sorted(names - {ALL})


def make_task_rows(run: RunFiles) -> list[dict[str, Any]]:
    """A row a task: estimates before, after the warm-up, at the best and the last evaluation, and the change."""
    before, warmup = run.find_evaluation("before"), find_start(run)
    final = find_end(run)
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
                "sft": _find_sft(run, name),
            }
        )
    return rows


def measure_change(run: RunFiles, name: str = ALL) -> Estimate | None:
    """The change from the warm-up to the end: paired by example where both were stored, else from the two means."""
    sides = [
        {
            (str(r.get("task")), str(r.get("id"))): r["reward"]
            for r in run.records.get(stage, [])
            if is_number(r.get("reward"))
        }
        for stage in ("warmup", "final")
    ]
    if all(sides):
        paired = paired_differences(*sides).get(name)
        if paired is not None and paired.mean is not None:
            return paired
    warmup, final = find_start(run), find_end(run)
    first, last = _pick(warmup, name), _pick(final, name)
    if final is warmup or first is None or last is None or first.mean is None or last.mean is None:
        return None
    return unpaired_difference(first, last)


def find_end(run: RunFiles) -> Evaluation | None:
    """What training led to: the judged checkpoint; else the last step, or the last evaluation of a run on its way."""
    judged = run.find_evaluation("judged")
    if judged is not None and judged.step:
        return judged
    return run.find_evaluation("final") or (run.evaluations[-1] if run.evaluations else None)


def is_over(run: RunFiles) -> bool:
    """Whether what is shown last is what the run ended with, and not an evaluation on the way."""
    final = find_end(run)
    return final is not None and final.stage in ("final", "judged")


def find_start(run: RunFiles) -> Evaluation | None:
    """What the end is held against: what GRPO began with, on the rows that the judged checkpoint answered."""
    end = find_end(run)
    kept = run.find_evaluation("start") if end is not None and end.stage == "judged" else None
    return kept or run.find_evaluation("warmup")


def make_function_rows(run: RunFiles) -> list[dict[str, Any]]:
    """A row a reward function: version, counts, and mean of its value and of its parts after the warm-up and at the end."""
    reported = as_mapping(run.environment.get("rewards"))
    identities = read_identities(run.audit.get("reward_identities"))
    planned = {**as_mapping(run.audit.get("reward_versions")), **{name: str(each) for name, each in identities.items()}}
    stages = {stage: _collect_scores(run.records.get(stage, [])) for stage in ("warmup", "final")}
    names = sorted({*stages["warmup"], *stages["final"], *map(str, reported), *map(str, planned)})[:60]
    rows = []
    for name in names:
        first, last = (stages[stage].get(name) for stage in ("warmup", "final"))
        said = as_mapping(reported.get(name))
        seen = [side for side in (first, last) if side is not None]
        versions = sorted(
            {version for side in seen for version in side["versions"]}
            | ({str(said["version"])} if "version" in said and not seen else set())
        ) or ([str(planned[name])] if name in planned else [])
        parts = sorted({part for side in seen for part in side["parts"]})[:40]
        rows.append(
            {
                "name": name,
                "versions": versions,
                "mixed": len(versions) > 1,
                "weight": said["weight"] if is_number(said.get("weight")) else None,
                "tasks": sorted({task for side in seen for task in side["tasks"]}),
                "n": last["n"] if last else None,
                "warmup": first["mean"] if first else None,
                "warmup_estimate": first["estimate"] if first else None,
                "final": last["mean"] if last else None,
                "final_estimate": last["estimate"] if last else None,
                "errors": said["errors"] if is_number(said.get("errors")) else sum(side["errors"] for side in seen),
                "seconds": said["mean_seconds"] if is_number(said.get("mean_seconds")) else None,
                "trained": [
                    (row["step"], row[f"reward/{name}"])
                    for row in run.metrics
                    if row["stage"] == "train" and row.get(f"reward/{name}") is not None
                ],
                "parts": [_make_part(part, first, last) for part in parts],
            }
        )
    return rows


def make_time_rows(run: RunFiles) -> list[dict[str, Any]]:
    """Where the time went: a row a stage, then what of it the evaluations and the parts of GRPO's steps took.

    `share` is the part of all stages together, 0..1; `planned` the seconds the plan gave it, where it named any.
    """
    stages: dict[str, float] = defaultdict(float)
    steps: dict[str, float] = defaultdict(float)
    parts: dict[str, float] = defaultdict(float)
    for row in run.timings:
        stage = row["stage"]
        for key, value in row.items():
            if not is_number(value) or value < 0:
                continue
            if key == "stage_seconds":
                stages[stage] += value
            elif key == "step_time":
                steps[stage] += value
            elif key.endswith("_seconds"):
                parts[key.removesuffix("_seconds").replace("_", " ")] += value
    # A resumed stage notes only what it took after the resume; its steps are all there.
    whole = {stage: max(stages.get(stage, 0.0), steps.get(stage, 0.0)) for stage in {**stages, **steps}}
    order = [stage for stage in STAGE_NAMES if stage in whole] + sorted(set(whole) - set(STAGE_NAMES))
    total = sum(whole.values()) or 1.0
    planned = as_mapping(run.plan.get("seconds_estimated"))
    meant = {"warmup": planned.get("sft_warmup"), "train": _add(planned.get("generation"), planned.get("training"))}
    rows = [(STAGE_NAMES.get(stage, make_label(stage)), whole[stage], meant.get(stage), False) for stage in order]
    rows += [
        ("held-out evaluations" if name == "evaluation" else make_label(name), value, planned.get(name), True)
        for name, value in parts.items()
    ]
    return [
        {
            "what": name,
            "said": format_seconds(value),
            "share": min(1.0, value / total),
            "planned": _say_seconds(wanted),
            "inner": inner,
        }
        for name, value, wanted, inner in rows
    ]


def make_plan_rows(run: RunFiles) -> list[dict[str, Any]]:
    """What was planned against what happened; a row only where at least one side is known."""
    plan = run.plan
    train = [row for row in run.metrics if row["stage"] == "train"]
    steps = max((row["step"] for row in train), default=None)
    tokens = next((row["num_tokens"] for row in reversed(train) if is_number(row.get("num_tokens"))), None)
    a_step, prompts = plan.get("completions_per_step"), plan.get("prompts_per_step")
    lengths = [row["completions/mean_length"] for row in train if is_number(row.get("completions/mean_length"))]
    peak = max(
        (row["peak_memory_bytes"] for row in run.timings if is_number(row.get("peak_memory_bytes"))), default=None
    )
    on_gpu = run.environment.get("device") == "cuda"
    supervised = max((row["sft/step"] for row in run.metrics if is_number(row.get("sft/step"))), default=None)
    alone = run.config.get("stages") == ["sft"]
    if alone:
        steps, a_step, prompts = None, None, None
    rows = [
        ("SFT steps", _dig(plan, "sft_warmup", "steps"), supervised, ""),
        ("GRPO steps", None if alone else plan.get("max_steps"), steps, ""),
        ("prompts seen", None if alone else plan.get("prompts_seen"), _times(steps, prompts), ""),
        ("completions", _times(plan.get("max_steps"), a_step), _times(steps, a_step), ""),
        ("tokens", _dig(plan, "tokens", "total_expected"), tokens, ""),
        (
            "mean completion, tokens",
            _dig(plan, "tokens", "reference_mean"),
            fmean(lengths) if lengths else None,
            "planned: that of the references",
        ),
        ("time", _say_seconds(_dig(plan, "seconds_estimated", "total")), _say_seconds(run.status.get("seconds")), ""),
        (
            "peak memory",
            _say_bytes(_dig(plan, "memory_bytes", "peak")),
            _say_bytes(peak),
            "" if on_gpu or peak is None else "happened: the whole process, libraries included",
        ),
    ]
    return [
        {"what": what, "planned": _say(planned), "happened": _say(happened), "note": note}
        for what, planned, happened, note in rows
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
            return [(prefix, ", ".join(f"{_name(key)} {_say(item)}" for key, item in value.items())[:1000] or "none")]
        for key, item in value.items():
            if len(rows) >= limit:
                break
            rows += flatten(item, f"{prefix}.{_name(key)}" if prefix else _name(key), limit, compact)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for number, item in enumerate(value[:20]):
            rows += flatten(item, f"{prefix}[{number}]", limit, compact)
        if len(value) > 20:
            rows.append((prefix, f"and {len(value) - 20} more"))
    elif isinstance(value, list):
        rows.append((prefix, ", ".join(map(_say, value[:50])) or "none"))
    else:
        rows.append((prefix, _say(value)))
    return rows[:limit]


def _name(key: Any) -> str:
    return make_label(key, 100)


def _collect_scores(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    values: dict[str, list[float]] = defaultdict(list)
    parts: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    versions: dict[str, set[str]] = defaultdict(set)
    tasks: dict[str, set[str]] = defaultdict(set)
    errors: dict[str, int] = defaultdict(int)
    for record in records:
        for name, score in as_mapping(record.get("scores")).items():
            if not isinstance(score, Mapping):
                continue
            errors[name] += score.get("status") == "error"
            if not is_number(score.get("value")):
                continue
            values[name].append(float(score["value"]))
            mark = f" ({score['fingerprint']})" if isinstance(score.get("fingerprint"), str) else ""
            versions[name].add(make_label(f"{score.get('version')}{mark}", 60))
            tasks[name].add(make_label(record.get("task", "default"), 60))
            for part, share in as_mapping(score.get("parts")).items():
                if is_number(share):
                    parts[name][part].append(float(share))
    return {
        name: {
            "n": len(values[name]),
            "mean": fmean(values[name]) if values[name] else None,
            "estimate": _estimate(values[name]),
            "versions": versions[name],
            "tasks": tasks[name],
            "errors": errors[name],
            "parts": {part: _estimate(shares) for part, shares in parts[name].items()},
        }
        for name in {*values, *errors}
    }


def _estimate(values: Sequence[float]) -> Estimate | None:
    """With an interval where all values lie in 0..1, as scores and their parts should."""
    if not values:
        return None
    if min(values) < 0.0 or max(values) > 1.0:
        return Estimate(fmean(values), len(values), None, None, None)
    return estimate_mean(values)


def _make_part(part: str, first: Mapping[str, Any] | None, last: Mapping[str, Any] | None) -> dict[str, Any]:
    """A part of a function's score: means and estimates after the warm-up and at the end."""
    found: dict[str, Any] = {"name": part}
    for stage, side in (("warmup", first), ("final", last)):
        estimate = side["parts"].get(part) if side else None
        found |= {stage: estimate.mean if estimate else None, f"{stage}_estimate": estimate}
    return found


def _pick(evaluation: Evaluation | None, name: str) -> Estimate | None:
    return evaluation.estimates.get(name) if evaluation is not None else None


def _direction(change: Estimate | None) -> str:
    if change is None or change.mean is None:
        return "unknown"
    return {1: "up", -1: "down", 0: "noise"}[find_direction(change)]


def _find_sft(run: RunFiles, name: str) -> Estimate | None:
    """What further SFT reached; with n and interval where they were kept."""
    baseline = run.sft_baseline
    kept = as_mapping(as_mapping(baseline.get("estimates")).get(name))
    if is_number(kept.get("mean")):
        n, std, low, high = (kept[key] if is_number(kept.get(key)) else None for key in ("n", "std", "low", "high"))
        return Estimate(kept["mean"], n, std, low, high)
    value = baseline.get("mean") if name == ALL else as_mapping(baseline.get("per_task")).get(name)
    if isinstance(value, Mapping):
        value = value.get("mean")
    return Estimate(float(value), None, None, None, None) if is_number(value) else None


def _dig(value: Any, *keys: str) -> Any:
    """The number under these keys, one inside the other; None where there is none."""
    for key in keys:
        value = as_mapping(value).get(key)
    return value if is_number(value) else None


def _times(first: Any, second: Any) -> int | None:
    return first * second if isinstance(first, int) and isinstance(second, int) else None


def _add(*values: Any) -> float | None:
    known = [value for value in values if is_number(value)]
    return sum(known) if known else None


def _say_seconds(seconds: Any) -> str | None:
    return format_seconds(seconds) if is_number(seconds) else None


def _say_bytes(count: Any) -> str | None:
    return format_size(count, 2) if is_number(count) else None


def _say(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return (
            f"{value:,}" if abs(value) < 10**18 else f"{value:.3g}" if abs(value) < 10**300 else "a very large number"
        )
    if isinstance(value, float):
        return f"{value:,.0f}" if is_number(value) and value == int(value) else f"{value:.4g}"
    return make_label(value, 400)
