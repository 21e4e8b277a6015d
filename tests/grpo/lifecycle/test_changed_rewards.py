"""A run that is resumed with another scorer: refused by default, else every stored evaluation is scored by the new one."""

from __future__ import annotations

from typing import ClassVar

import orjson
import pytest

from callbacks.evaluation.eval import write_records
from grpo.config.loading import load_config
from grpo.lifecycle.changed_rewards import check_next_rewards, check_rewards, refuse_changed
from grpo.lifecycle.run_directory import RunDirectory
from rewards.config import build_host
from rewards.errors import UserError
from rewards.host.scoring import RewardHost
from rewards.rescore import read_stored
from rewards.types import Completion, Example, RewardFunction, Score


class Right(RewardFunction):
    """`credit` for the reference."""

    name: ClassVar[str] = "right"
    version: ClassVar[str] = "1"
    credit: float = 1.0

    def __call__(self, example, completion):
        return Score(self.credit if completion.text == example.reference else 0.0)


ROWS = [Example(str(i), "sum", [{"role": "user", "content": f"1+{i}"}], str(1 + i), {}) for i in range(8)]


@pytest.fixture
def run(tmp_path):
    """A run with a stored evaluation in which half is right, begun with full credit."""
    with RewardHost([Right()]) as host:
        audit = {"reward_identities": [identity.to_json() for identity in host.identities().values()]}
        directory = RunDirectory.create(tmp_path / "run", {"audit.json": audit})
        pairs = [(row, Completion("sum" if i % 2 else row.reference)) for i, row in enumerate(ROWS)]
        records = [{**host.to_record(scored), "stage": "warmup", "step": 0} for scored in host.score(pairs)]
    write_records(directory.evaluations / "warmup.jsonl", records)
    rows = [
        {"stage": "train", "step": 1, "reward": 0.5},
        {"stage": "warmup", "step": 0, "eval/mean_reward": 0.5, "eval/sum": 0.5, "eval/truncated_ratio": 0.25},
    ]
    (directory.path / "metrics.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return directory


def test_resume_when_the_scorer_is_the_same_then_nothing_is_said(run):
    """The identity that was written down is found again."""
    with RewardHost([Right()]) as host:
        assert check_rewards(run, {}, host, allowed=False) == []


def test_resume_when_the_scorer_changed_then_refused_or_the_evaluations_are_scored_anew(run):
    """The refusal touches nothing; allowed, rows and numbers are the new scorer's, and the audit keeps what happened."""
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with RewardHost([Right(credit=0.5)]) as host:
        with pytest.raises(
            UserError, match=r"'right' still says version 1, but its code, options.*--allow-changed-rewards"
        ):
            refuse_changed(run, host, allowed=False)
        refuse_changed(run, host, allowed=True)
        assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
        audit = {"reward_identities": [identity.to_json() for identity in host.identities().values()]}
        lines = check_rewards(run, audit, host, allowed=True)
        assert "1 stored evaluations were scored again" in lines[1]
        assert check_rewards(run, audit, host, allowed=False) == []
    assert [row.reward for row in read_stored(run.evaluations / "warmup.jsonl")] == [0.5, 0.0] * 4
    train, warmup = (orjson.loads(line) for line in (run.path / "metrics.jsonl").read_bytes().splitlines())
    assert train == {"stage": "train", "step": 1, "reward": 0.5}
    assert (warmup["eval/mean_reward"], warmup["eval/sum_n"], warmup["eval/truncated_ratio"]) == (0.25, 8, 0.25)
    assert run.read_json("audit.json")["reward_changes"][0]["changes"]


def test_follow_when_the_next_run_has_another_scorer_then_it_is_refused(run, tmp_path):
    """Two rungs whose rewards differ cannot be compared, and one says so before the second is paid for."""
    config = tmp_path / "next.yaml"
    config.write_text("extends: v4_1\n")
    with build_host(load_config(str(config), profile="embedded").rewards) as host:
        identities = [identity.to_json() for identity in host.identities().values()]
    run.write_json("audit.json", {"reward_identities": identities})
    assert check_next_rewards(config, run, "embedded", allowed=False) == []
    identities[0]["fingerprint"] = "0" * 12
    run.write_json("audit.json", {"reward_identities": identities})
    with pytest.raises(UserError, match=r"--follow .*its code, options, schema or database changed.*--allow-changed"):
        check_next_rewards(config, run, "embedded", allowed=False)
    assert "the rewards of the next run differ" in check_next_rewards(config, run, "embedded", allowed=True)[0]
