"""The preflight: the audit with the very rewards of the run, on the shipped shop and on rows that would waste a run."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from grpo.config.loading import load_config
from grpo.data.rows import read_rows
from grpo.data.run_rows import RunRows
from grpo.data.section import ShopSection
from grpo.data.shop import build_shop
from grpo.preflight import main, run_preflight
from rewards.config import build_host
from rewards.errors import UserError
from tests.timing import stopwatch

SMALL = ["data.shop.train_rows=80", "data.shop.held_out_rows=40", "data.shop.warmup_rows=0"]


@pytest.fixture(scope="module")
def config():
    return load_config("v4_1.yaml", SMALL, "embedded")


@pytest.fixture(scope="module")
def whole_shop(tmp_path_factory):
    """The shop as v4_1 has it."""
    return build_shop(tmp_path_factory.mktemp("shop") / "files", ShopSection())


def inputs_of(files) -> RunRows:
    return RunRows(read_rows(files.train), read_rows(files.held_out), [])


def test_preflight_when_the_rows_are_the_shipped_shop_then_nothing_is_to_be_ignored(config, whole_shop):
    """1,800 rows pass without a warning, and the audit is the JSON that the report reads."""
    inputs = inputs_of(whole_shop)
    with build_host(config.rewards) as host:
        audit = run_preflight(config, inputs, host)
    assert audit["passed"] and audit["warnings"] == [] and audit["errors"] == []
    assert audit["references"] == 1800 and audit["gold_failures"] == []
    assert audit["near_duplicates"]["0.90"]["held_out"] == 0 and audit["underivable_fields"] == {}
    assert set(audit["probes"]) == {"extraction", "sql_qa", "insights", "push"}
    assert json.loads(json.dumps(audit)) == audit


def test_preflight_when_the_rows_are_the_shipped_shop_then_it_costs_little(config, whole_shop):
    """Beyond the gold self-test the audit adds well under the 0.7 s that a dry run has left for it."""
    from rewards.audit.audit import audit_rows
    from rewards.audit.references import gold_self_test

    inputs = inputs_of(whole_shop)
    with build_host(config.rewards) as host:
        gold_self_test(host, [*inputs.train, *inputs.held_out])
        with stopwatch(time.process_time) as gold:
            gold_self_test(host, [*inputs.train, *inputs.held_out])
        with stopwatch(time.process_time) as audit:
            audit_rows(host, inputs.train, inputs.held_out)
        assert audit.seconds - gold.seconds < 0.7


def test_preflight_when_a_reference_is_wrong_then_stops_with_every_problem(config, whole_shop):
    """Two rows, two functions, one list."""
    inputs = inputs_of(whole_shop)
    spoilt = [
        replace(row, reference={"extraction": "{}", "sql_qa": "SELECT 1"}.get(row.task, row.reference))
        for row in inputs.train[:12]
    ]
    with build_host(config.rewards) as host, pytest.raises(UserError) as caught:
        run_preflight(config, RunRows(spoilt, inputs.held_out, []), host)
    assert any("reward 'sql_qa'" in line for line in caught.value.problems)
    assert any("reward 'extraction'" in line for line in caught.value.problems)


def test_preflight_command_when_the_config_is_sound_then_prints_the_audit(capsys, tmp_path, monkeypatch):
    """What `python -m rewards audit --config` shows."""
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path))
    settings = [part for each in SMALL for part in ("--set", each)]
    assert main(["--config", "v4_1.yaml", "--profile", "embedded", *settings, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_preflight_command_when_the_config_is_not_there_then_one_line_and_exit_2(capsys):
    """No traceback."""
    assert main(["--config", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere.yaml: no such file")


def test_run_when_the_preflight_warns_then_the_terminal_says_so(tmp_path, capsys):
    """What a run was warned of must not wait for the audit's own command."""
    from grpo.run import main as run

    row = {"task": "t"}
    for name, count in (("train", 8), ("held", 8)):
        rows = [
            json.dumps(
                {
                    **row,
                    "id": f"{name}{n}",
                    "prompt": [{"role": "user", "content": f"{name}: say {n}."}],
                    "reference": f"{n}",
                }
            )
            for n in range(count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "few.yaml").write_text(
        "data: {source: files, train: train.jsonl, held_out: held.jsonl}\n"
        "rewards: {functions: [{name: text_overlap, options: {measure: exact}}]}\n"
    )
    assert run(["--config", str(tmp_path / "few.yaml"), "--profile", "embedded", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "preflight: all 16 reference answers earn full reward (text_overlap " in said
    assert "warning: 8 held-out rows: differences of less than 0.1 will be noise" in said
