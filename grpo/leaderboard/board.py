"""The leaderboard as plain values: a line a run, a line a family, alarms and notes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import orjson

from grpo.compare.comparability import check_likeness
from grpo.compare.leaderboard import rank
from grpo.compare.promotion_rules import load_rules
from grpo.compare.reading import read_recorded
from grpo.compare.recorded import ALL, REWARD, RecordedRun
from grpo.leaderboard.families import compare_families, describe_family, find_model, pair_families
from grpo.leaderboard.voices import Voices, listen
from rewards.errors import UserError
from rewards.statistics.ratios import RelativeChange, relative_change


def make_board(
    names: Sequence[str], *, metric: str | None, target: float | None, limit: float, allowed: Collection[str] = ()
) -> dict[str, Any]:
    """Everything that the runs tell together; the first is what relative differences are against. `UserError` for runs that
    cannot be read or compared, or that do not all have the metric."""
    runs, rules = read_recorded(names), load_rules(None)
    notes = check_likeness(runs, set(allowed)) if len(runs) > 1 else []
    metric = _find_metric(runs, metric)
    board = rank(runs, metric, rules.confidence, rules.adjust)
    voices = {run.name: _listen(run) for run in runs}
    lines = []
    by_name = {run.name: run for run in runs}
    for place in board.to_json()["places"]:
        run = by_name[place["run"]]
        relative = _compare(runs[0], run, metric, rules.confidence)
        heard = voices[run.name]
        lines.append(
            {
                **place,
                "model": find_model(run),
                "relative": None if relative is None else dict(zip(RelativeChange._fields, relative, strict=True)),
                "of_target": None if target is None else place["mean"] / target,
                "voices": heard.to_json() if heard else None,
                "alarm": heard.alarm(limit) if heard else "",
            }
        )  # fmt: skip
    pairs = pair_families({run.name: find_model(run) for run in runs})
    families = compare_families(runs, pairs, metric, rules.confidence, rules.adjust)
    return {
        "metric": metric,
        "baseline": runs[0].name,
        "target": target,
        "statement": board.statement,
        "tests": board.tests,
        "runs": lines,
        "families": [describe_family(family, difference) for family, difference in families],
        "alarms": [f"{line['run']}: {line['alarm']}" for line in lines if line["alarm"]],
        "notes": notes,
    }


def _find_metric(runs: Sequence[RecordedRun], wanted: str | None) -> str:
    """The metric that all runs have: the one that was asked for, else their reward."""
    shared = [name for name in runs[0].metrics() if all((ALL, name) in run.cells for run in runs)]
    metric = wanted or REWARD
    # A run's own evaluation keeps the parts of its rewards, an evaluation's file metrics: rouge1 is asked for either way.
    found = next((name for name in shared if name == metric or name.endswith(f".{metric}")), None)
    if found is None:
        raise UserError(f"--metric {metric}: not recorded in all runs; they share {', '.join(shared[:30]) or 'none'}")
    return found


def _compare(before: RecordedRun, after: RecordedRun, metric: str, confidence: float) -> RelativeChange | None:
    """The relative difference, paired by example; of recorded means the value alone. None of the baseline itself."""
    if before is after:
        return None
    mine, theirs = before.members(ALL, metric), after.members(ALL, metric)
    keys = [key for key in sorted(mine.keys() & theirs.keys()) if before.rows[key].question == after.rows[key].question]
    if not keys:
        was, now = before.cells[ALL, metric].value, after.cells[ALL, metric].value
        return RelativeChange(now / was - 1.0 if was else None, None, None, 0)
    first: dict[str, list[float]] = defaultdict(list)
    second: dict[str, list[float]] = defaultdict(list)
    for key in keys:
        first[key[0]].append(mine[key])
        second[key[0]].append(theirs[key])
    return relative_change(first, second, confidence)


def _listen(run: RecordedRun) -> Voices | None:
    path = Path(run.place)
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    return listen(orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip())
