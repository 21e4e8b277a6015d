"""Pruning: weights go, what a report reads stays, and nothing that a run still needs is touched."""

from __future__ import annotations

import json
import os

import pytest

from grpo.prune.__main__ import main


@pytest.fixture
def run(tmp_path):
    """A finished run of a few files."""
    folder = tmp_path / "run"
    for part in (
        "best",
        "sft",
        "checkpoints/checkpoint-1",
        "checkpoints/checkpoint-2",
        "eval",
        "completions",
        "sft.partial",
    ):
        (folder / part).mkdir(parents=True)
        (folder / part / "weights.bin").write_bytes(b"x" * 1000)
    for number in (1, 2):
        (folder / f"checkpoints/checkpoint-{number}/trainer_state.json").write_text("{}", encoding="utf-8")
    (folder / "config.json").write_text('{"config": {}}', encoding="utf-8")
    (folder / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    (folder / "status.json").write_text('{"stage": "done", "finished": true}', encoding="utf-8")
    return folder


def names(run):
    return {path.name for path in run.iterdir()}


def test_prune_when_best_is_kept_then_the_report_loses_nothing(run, capsys):
    """Only weights go, and leftovers of a killed process."""
    assert main([str(run), "--keep", "best"]) == 0
    assert names(run) == {"best", "eval", "completions", "config.json", "metrics.jsonl", "status.json"}
    assert "freed" in capsys.readouterr().out


def test_prune_when_nothing_is_asked_for_then_it_lists_and_deletes_nothing(run, capsys):
    """What weighs how much, and what it is there for."""
    before = names(run)
    assert main([str(run), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)[str(run)]
    assert names(run) == before and said["deleted"] == []
    assert said["parts"]["best"] == 1000 and said["parts"]["checkpoints/checkpoint-2"] >= 1000


def test_prune_when_dry_then_it_says_what_would_go(run, capsys):
    """The same list, and nothing gone."""
    before = names(run)
    assert main([str(run), "--keep", "best,last", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert names(run) == before and "checkpoint-1" in out and out.count("would go") == 3


def test_prune_when_two_folders_share_their_bytes_then_they_count_once(run, capsys):
    """best/ of a warm-up that was never bettered is linked to sft/."""
    os.unlink(run / "sft" / "weights.bin")
    os.link(run / "best" / "weights.bin", run / "sft" / "weights.bin")
    assert main([str(run), "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)[str(run)]["parts"]
    assert parts["best"] == 1000 and parts["sft"] == 0
    assert main([str(run), "--keep", "best"]) == 0
    assert (run / "best" / "weights.bin").read_bytes() == b"x" * 1000


@pytest.mark.parametrize("keep", ("bst", "", ","))
def test_prune_when_keep_is_no_part_then_exit_2_and_nothing_goes(keep, run, capsys):
    """A typing error must not cost weights."""
    before = names(run)
    assert main([str(run), "--keep", keep]) == 2
    assert "allowed: best, sft, last" in capsys.readouterr().err and names(run) == before


def test_prune_when_the_run_is_not_finished_then_it_keeps_what_it_resumes_from(run, capsys):
    """Unless told to."""
    (run / "status.json").write_text('{"stage": "grpo", "finished": false}', encoding="utf-8")
    assert main([str(run), "--keep", "best"]) == 2
    assert "not finished" in capsys.readouterr().err and (run / "checkpoints").is_dir()
    assert main([str(run), "--keep", "best", "--force"]) == 0


def test_prune_when_nothing_of_what_is_kept_is_there_then_it_refuses(run, capsys):
    """No policy would be left."""
    import shutil

    shutil.rmtree(run / "best")
    assert main([str(run), "--keep", "best"]) == 2
    assert "no policy would be left" in capsys.readouterr().err and (run / "sft").is_dir()


def test_prune_when_a_folder_is_no_run_then_nothing_of_any_goes(run, tmp_path, capsys):
    """All are looked at first."""
    (tmp_path / "other").mkdir()
    assert main([str(run), str(tmp_path / "other"), "--keep", "best"]) == 2
    assert "not the folder of a run" in capsys.readouterr().err and (run / "sft").is_dir()
