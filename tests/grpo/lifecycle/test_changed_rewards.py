"""A run that is resumed with another scorer: refused by default, else every stored evaluation is scored by the new one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import orjson
import pytest

from callbacks.evaluation.eval import write_records
from grpo.config.loading import load_config
from grpo.lifecycle.changed_rewards import check_next_rewards, check_rewards, refuse_changed, score_anew
from grpo.lifecycle.run_directory import RunDirectory
from grpo.lifecycle.run_identity import make_identity
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
    column: str = ""

    def problems(self, example):
        return [] if not self.column or self.column in example.columns else [f"column {self.column} is missing"]

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


def test_evaluations_when_scored_anew_then_each_gets_its_own_numbers_and_no_other_row_is_touched(run):
    """Two evaluations, one row whose completions were not kept, a row of training of the same step, a torn one."""
    with RewardHost([Right()]) as host:
        pairs = [(row, Completion(row.reference)) for row in ROWS[:6]]
        records = [{**host.to_record(scored), "stage": "train", "step": 3} for scored in host.score(pairs)]
    write_records(run.evaluations / "step-000003.jsonl", records)
    old = {"eval/mean_reward": 1.0, "eval/sum": 1.0, "eval/gone": 0.5, "eval/repeated_ratio": 0.125, "note": 7}
    rows = [
        {"stage": "warmup", "step": 0, "eval/mean_reward": 0.5, "sft/loss": 2.0},
        {"stage": "warmup", "step": 0, "sft/loss": 1.0},
        {"stage": "train", "step": 3, **old},
        {"stage": "train", "step": 3, "reward": 0.5},
        {"stage": "train", "step": 6, **old},
    ]
    path = run.path / "metrics.jsonl"
    written = [orjson.dumps(row) + b"\n" for row in rows]
    path.write_bytes(b"".join(written) + b'{"stage": "tr')
    with RewardHost([Right(credit=0.5)]) as host:
        assert score_anew(run, host) == 2
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[5] == b'{"stage": "tr'
    warmup, loss, third, training, sixth = (orjson.loads(line) for line in lines[:5])
    assert (warmup["eval/mean_reward"], warmup["eval/mean_reward_n"], warmup["sft/loss"]) == (0.25, 8, 2.0)
    assert (third["eval/mean_reward"], third["eval/mean_reward_n"], third["eval/sum"]) == (0.5, 6, 0.5)
    assert (third["eval/unscored"], third["eval/repeated_ratio"], third["note"]) == (0, 0.125, 7)
    assert "eval/gone" not in third
    assert (third["stage"], third["step"]) == ("train", 3)
    assert [loss, training, sixth] == [rows[1], rows[3], rows[4]]


def test_evaluations_when_a_row_of_the_metrics_cannot_be_read_then_its_line_is_named_and_nothing_is_written(run):
    """Only a torn last one is cut off by the resumed run: this one's old numbers would stay among new ones."""
    path = run.path / "metrics.jsonl"
    path.write_bytes(b'{"stage": "tr\n\n[1]\n' + path.read_bytes())
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with RewardHost([Right(credit=0.5)]) as host, pytest.raises(UserError) as said:
        score_anew(run, host)
    assert [line.split("metrics.jsonl: ")[1] for line in said.value.problems] == [
        f"line {number} is no JSON object; put it right or delete it, and resume again" for number in (1, 3)
    ]
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_evaluations_when_a_function_now_gives_no_value_then_they_are_counted_as_unscored(run):
    """It applies to another task alone: eight completions without a reward."""

    class Product(Right):
        tasks = ("product",)

    with RewardHost([Product()]) as host:
        assert score_anew(run, host) == 1
    _, warmup = (orjson.loads(line) for line in (run.path / "metrics.jsonl").read_bytes().splitlines())
    assert warmup["eval/unscored"] == 8 and warmup.get("eval/mean_reward") is None


def test_evaluations_when_there_are_none_then_no_file_is_written(run):
    """A run that was killed before its first one."""
    (run.evaluations / "warmup.jsonl").unlink()
    (run.path / "metrics.jsonl").unlink()
    with RewardHost([Right(credit=0.5)]) as host:
        assert score_anew(run, host) == 0
    assert not (run.path / "metrics.jsonl").exists()


def test_evaluations_when_the_new_rewards_miss_a_column_then_nothing_is_scored(run):
    """The stored rows do not have it: one line for all of them, and the files stay."""
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with RewardHost([Right(column="terms")]) as host, pytest.raises(UserError, match="column terms is missing") as said:
        score_anew(run, host)
    assert "the old evaluations cannot be scored by the new rewards" in said.value.problems[-1]
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_resume_when_the_audit_is_gone_then_the_identity_says_what_the_rewards_were(run):
    """It is written again; where neither tells, nothing can be held against it."""
    kept = run.read_json("audit.json")["reward_identities"]
    (run.path / "audit.json").unlink()
    run.write_json(
        "identity.json", make_identity({"config": {}}, SimpleNamespace(train=[], held_out=[], warmup=[]), kept)
    )
    with RewardHost([Right(credit=0.5)]) as host, pytest.raises(UserError, match="still says version 1"):
        refuse_changed(run, host, allowed=False)
    with RewardHost([Right()]) as host:
        assert check_rewards(run, {"checks": 3}, host, allowed=False) == []
    assert run.read_json("audit.json") == {"checks": 3, "reward_identities": kept}
