"""Checks of what a run left: weights as they were written, references that earned full reward, rules that fired, the gain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from callbacks.evaluation.judged import find_judged
from grpo.checklist.checks import FAILED, NOT_CHECKED, PASSED, WARNING, Check
from grpo.compare.differences import WORSE, find_difference, judge
from grpo.compare.reading import find_stage, list_stages, read_recorded
from grpo.compare.recorded import ALL, REWARD, RecordedRun, kind_of
from rewards.writing.files import read_object
from rewards.writing.manifests import find_damage

_CONFIDENCE = 0.95
_FALLING_LOSS = "sft_loss_without_task"


def check_files(run: Path) -> Iterator[Check]:
    """Every check that needs the run's files alone."""
    yield _check_end(run)
    yield _check_weights(run)
    yield _check_references(run)
    yield from _check_rules(run)
    yield from _check_gain(run)


def _check_end(run: Path) -> Check:
    status = read_object(run / "status.json")
    done = status.get("finished") is True
    said = (
        "the run came to its end" if done else f"the run stands at {status.get('stage', 'an unknown stage')}: resume it"
    )
    return Check("finished", PASSED if done else FAILED, said)


def _check_weights(run: Path) -> Check:
    weights = find_judged(run).weights
    if weights is None:
        return Check("weights", FAILED, "the run kept no policy: it never got better than the model it started from")
    damage = find_damage(weights)
    said = f"{weights.name}/: {damage}" if damage else f"{weights.name}/ is as it was written, by its manifest"
    return Check("weights", FAILED if damage else PASSED, said)


def _check_references(run: Path) -> Check:
    audit = read_object(run / "audit.json")
    if not isinstance(audit.get("passed"), bool):
        return Check("references", NOT_CHECKED, "the run has no audit.json")
    said = f"{audit.get('references')} reference answers scored before training"
    if not audit["passed"]:
        return Check("references", FAILED, f"{said}: not all earned full reward")
    warnings = audit.get("warnings") or []
    if warnings:
        return Check("references", WARNING, f"{said}, all with full reward; {len(warnings)} warnings: {warnings[0]}")
    return Check("references", PASSED, f"{said}, all with full reward")


def _check_rules(run: Path) -> Iterator[Check]:
    try:
        lines = (run / "watch.jsonl").read_bytes().splitlines()
    except OSError:
        lines = []
    events: list[dict[str, Any]] = []
    for line in lines:
        try:
            event = orjson.loads(line)
        except ValueError:
            continue
        events += [event] if isinstance(event, dict) else []
    stops = [event for event in events if event.get("action") == "stop"]
    named = ", ".join(dict.fromkeys(str(event.get("rule")) for event in (stops or events)))
    said = f"{len(events)} watch {'event' if len(events) == 1 else 'events'} while it trained{f' ({named})' if named else ''}"
    yield Check("watch_rules", FAILED if stops else WARNING if events else PASSED, said, float(len(events)))
    alone = any(event.get("rule") == _FALLING_LOSS for event in events)
    said = "the loss fell while a task stayed at 0" if alone else "no task stayed at 0 while the loss fell"
    yield Check("loss_and_task", FAILED if alone else PASSED, said)


def _check_gain(run: Path) -> Iterator[Check]:
    stages, end = list_stages(run), find_stage(run)
    start = next((stage for stage in ("start", "warmup", "before") if stage in stages), None)
    if start is None:
        yield Check("gain", NOT_CHECKED, "no evaluation before training was kept")
        return
    before, after = read_recorded([f"{run}@{start}", f"{run}@{end}"])
    whole = find_difference(before, after, ALL, REWARD, _CONFIDENCE)
    if whole is None:
        yield Check("gain", NOT_CHECKED, "the two evaluations have no rewards in common")
        return
    change = whole.change
    low, high = change.low, change.high
    said = f"{whole.before.value:.3f} ({start}) to {whole.after.value:.3f}: {change.mean:+.3f}"
    said += "" if low is None else f" ({low:+.3f} to {high:+.3f}, paired)"
    status = PASSED if low is not None and low > 0 else FAILED if high is not None and high < 0 else WARNING
    said += {PASSED: "", FAILED: "; training hurt", WARNING: "; within the noise"}[status]
    yield Check("gain", status, said, change.mean, low, high, change.n)
    yield _check_regressed(before, after)


def _check_regressed(before: RecordedRun, after: RecordedRun) -> Check:
    tasks = [group for group in after.groups() if kind_of(group) == "task"]
    found = [find_difference(before, after, group, REWARD, _CONFIDENCE) for group in tasks]
    worse = [each for each in judge([one for one in found if one], "holm", 1 - _CONFIDENCE) if each.verdict == WORSE]
    named = ", ".join(f"{each.group.partition(':')[2]} {each.change.mean:+.3f}" for each in worse)
    said = f"tasks that fell beyond the noise: {named}" if worse else "no task fell beyond the noise"
    return Check("regressed_tasks", FAILED if worse else PASSED, said, float(len(worse)), n=len(tasks))
