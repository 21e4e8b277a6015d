"""The same rows have the same interval in every command: decide, report, compare, rescore and the evaluation's screen."""

from __future__ import annotations

from collections import defaultdict

import orjson
import pytest

from callbacks.evaluation.task_scores import ALL, read_estimates, summarise
from grpo.compare.differences import find_difference
from grpo.compare.leaderboard import rank
from grpo.compare.reading import read_recorded
from grpo.decide.decide_run import pair_evaluations
from grpo.report.run_files import read_run
from grpo.report.tables import measure_change
from rewards.rescore import compare, old_verdicts, read_stored


@pytest.fixture(scope="module")
def run(write_run, tmp_path_factory):
    """A made-up run of four tasks, both evaluations asked the same questions."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "one")
    first, last = (read(folder, stage) for stage in ("warmup", "final"))
    for one, other in zip(first, last, strict=True):
        one |= {key: other[key] for key in ("prompt", "reference")}
    (folder / "eval" / "warmup.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in first))
    return folder


def read(folder, stage):
    return [orjson.loads(line) for line in (folder / "eval" / f"{stage}.jsonl").read_bytes().splitlines()]


def test_change_when_asked_of_every_command_then_mean_and_interval_are_the_same(run):
    """From the warm-up to the end, for all and for each task, to nine figures."""
    stages = [run / "eval" / f"{stage}.jsonl" for stage in ("warmup", "final")]
    decided = pair_evaluations(*stages)
    rescored = {
        row.task: row.change for row in compare(*(old_verdicts(p.stem, read_stored(p)) for p in stages), threshold=0.5)
    }
    (before, after), report = read_recorded([f"{run}@warmup", f"{run}@final"]), read_run(run)
    assert len(decided) == 5
    for name, expected in decided.items():
        compared = find_difference(before, after, name if name == ALL else f"task:{name}", "reward", 0.95).change
        for other in (measure_change(report, name), rescored[name], compared):
            assert (other.mean, other.low, other.high) == pytest.approx(
                (expected.mean, expected.low, expected.high), rel=1e-9
            )
            assert other.n == expected.n


def test_mean_when_asked_of_every_command_then_interval_is_the_same(run):
    """The recorded row, the rows scored again and the leaderboard."""
    from_rows = summarise((row["task"], row["reward"]) for row in read(run, "final"))
    by_stage = defaultdict(dict)
    for line in (run / "metrics.jsonl").read_bytes().splitlines():
        row = orjson.loads(line)
        by_stage[row["stage"]] |= row
    recorded = read_estimates(by_stage["final"])
    (place,) = rank(read_recorded([f"{run}@final"]), "reward", 0.95, "holm").places
    assert recorded.keys() == from_rows.keys()
    for name, estimate in from_rows.items():
        assert (recorded[name].low, recorded[name].high) == pytest.approx((estimate.low, estimate.high), rel=1e-9)
    assert (place.low, place.high) == pytest.approx((from_rows[ALL].low, from_rows[ALL].high), rel=1e-9)
