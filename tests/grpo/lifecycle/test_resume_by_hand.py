"""Which state a run goes on from when several files are lost at once, and what the files it wrote say they rely on."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import orjson
import pytest

from grpo.lifecycle.resume import (
    RELIES_ON,
    find_resume_point,
    kept_reliance,
    list_reliance,
    read_reliance,
    seal_checkpoint,
    seal_start,
)
from rewards.errors import UserError
from rewards.writing.files import read_object
from rewards.writing.manifests import find_changes, write_manifest
from tests.grpo.lifecycle.killed_runs import CONFIG, flip, write_row

COLD = SimpleNamespace(**{**vars(CONFIG), "sft_warmup": SimpleNamespace(enabled=False)})


def cut_metrics(run, rows: int) -> None:
    path = run.path / "metrics.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:rows]))


# -- what relies on what --------------------------------------------------------------------------------------------------


def test_reliance_when_listed_then_has_what_a_resumed_run_reads(run):
    """Evaluations, completions, the metrics as far as they go, and the warm-up, which is left out of its own list."""
    found = list_reliance(run.path)
    completions = [f"completions/step-{step:06d}.jsonl" for step in range(1, 6)]
    assert list(found) == [*completions, "eval/warmup.jsonl", "metrics.jsonl", "sft/manifest.json"]
    assert found["metrics.jsonl"]["grows"] is True
    assert found["metrics.jsonl"]["bytes"] == (run.path / "metrics.jsonl").stat().st_size
    assert "grows" not in found["eval/warmup.jsonl"]
    assert "sft/manifest.json" not in list_reliance(run.path, but="sft/")
    (run.path / "metrics.jsonl").unlink()
    shutil.rmtree(run.sft)
    assert list(list_reliance(run.path)) == [*completions, "eval/warmup.jsonl"]


def test_reliance_when_the_status_notes_some_then_it_is_read_back_and_else_nothing(run):
    """A status that is written again keeps what it relied on."""
    assert read_reliance(run.path) == {}
    run.reach("decision", 6, relies_on=list_reliance(run.path))
    assert read_reliance(run.path) == {RELIES_ON: list_reliance(run.path)}


def test_reliance_when_metrics_are_changed_row_by_row_then_each_file_relies_on_its_own_rows(run):
    """Rows get longer: the checkpoint of step 2 relies on the first three rows, that of step 4 on six."""
    run.reach("decision", 6, relies_on=list_reliance(run.path))
    with kept_reliance(run.path):
        flip(run.sft / "model.safetensors")  # on purpose, as its manifest says after
        write_manifest(run.sft)
        rows = (run.path / "metrics.jsonl").read_bytes().splitlines()
        longer = [row[:-1] + b',"more":"%d"}\n' % number for number, row in enumerate(rows)]
        (run.path / "metrics.jsonl").write_bytes(b"".join(longer))
    for name, count in (
        ("start.json", 1), ("checkpoints/checkpoint-2/manifest.json", 3), ("checkpoints/checkpoint-4/manifest.json", 6),
        ("status.json", 7),
    ):  # fmt: skip
        noted = read_object(run.path / name)
        assert noted[RELIES_ON]["metrics.jsonl"]["bytes"] == sum(map(len, longer[:count])), name
        assert find_changes(run.path, noted[RELIES_ON]) == "", name
    assert find_resume_point(run, CONFIG).stage == "decision"


def test_reliance_when_a_file_was_damaged_before_the_change_then_it_is_not_made_good_by_it(run):
    """What checkpoint 4 relies on had been flipped: changing other files on purpose must not seal it anew."""
    flip(run.completions / "step-000004.jsonl")
    before = (run.checkpoints / "checkpoint-4" / "manifest.json").read_bytes()
    with kept_reliance(run.path):
        (run.evaluations / "warmup.jsonl").write_text('{"reward": 0.75}\n')
    assert (run.checkpoints / "checkpoint-4" / "manifest.json").read_bytes() == before
    point = find_resume_point(run, CONFIG)
    assert point.step == 2 and len(point.notes) == 1


def test_reliance_when_a_list_has_no_metrics_then_it_gets_none(run):
    """The list of a run that had written no row yet."""
    files = {"eval/warmup.jsonl": list_reliance(run.path)["eval/warmup.jsonl"]}
    run.reach("decision", 6, relies_on=files)
    with kept_reliance(run.path):
        (run.evaluations / "warmup.jsonl").write_text('{"reward": 0.75}\n')
    assert list(read_reliance(run.path)[RELIES_ON]) == ["eval/warmup.jsonl"]
    assert find_resume_point(run, CONFIG).stage == "decision"


# -- the end of a run -----------------------------------------------------------------------------------------------------


def test_resume_point_when_the_decision_relies_on_a_damaged_evaluation_then_it_is_made_again(run):
    """`best/` is whole, but the last evaluation is not the one that was decided from."""
    (run.evaluations / "final.jsonl").write_text('{"reward": 1.0}\n')
    run.reach("decision", 6, relies_on=list_reliance(run.path))
    flip(run.evaluations / "final.jsonl")
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.step) == ("grpo", 4)
    assert point.notes == ("eval/final.jsonl has another content than was written: it is made again",)


def test_resume_point_when_nothing_was_ever_evaluated_then_no_best_is_missed(run):
    """No warm-up, no evaluation, no `best/`: that is how such a run looks when it is whole."""
    rows = (run.path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "metrics.jsonl").write_bytes(b"".join(row for row in rows if b"eval/" not in row))
    for folder in (run.best, run.sft):
        shutil.rmtree(folder)
    for step in (2, 4):
        seal_checkpoint(run.checkpoints / f"checkpoint-{step}", run.path)
    assert find_resume_point(run, COLD).step == 4
    run.reach("decision", 6, relies_on=list_reliance(run.path))
    assert find_resume_point(run, COLD).stage == "decision"


def test_resume_point_when_asked_for_the_warm_up_then_checkpoints_and_the_decision_are_passed_over(run):
    """Though all of them are whole; the line says so, and only then."""
    run.reach("decision", 6, relies_on=list_reliance(run.path))
    point = find_resume_point(run, CONFIG, from_warmup=True)
    assert (point.stage, point.checkpoint, point.step) == ("grpo", None, 0)
    assert point.notes == ("the checkpoints are ignored: GRPO starts again from the end of the warm-up",)


# -- checkpoints ----------------------------------------------------------------------------------------------------------


def test_resume_point_when_a_checkpoint_was_renamed_then_it_is_not_taken_for_another_step(run):
    """Its weights would be gone on with as those of step 6, which would leave out two updates."""
    (run.checkpoints / "checkpoint-4").rename(run.checkpoints / "checkpoint-6")
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.step) == ("grpo", 2)
    assert point.notes == ("checkpoints/checkpoint-6: it was saved at step 4; the one before it is taken",)


@pytest.mark.parametrize(("rows", "trained", "asks"), [(7, 5, True), (4, 3, True), (3, 2, False), (1, 0, False)])
def test_resume_point_when_no_checkpoint_is_there_then_it_asks_only_where_one_was_lost(run, rows, trained, asks):
    """One is saved every two steps: whoever has trained three had one, whoever has trained two may have been killed before."""
    cut_metrics(run, rows)
    shutil.rmtree(run.checkpoints)
    if rows == 4:  # the evaluation of step 3 is the last of them
        write_row(run.path, stage="train", step=3, loss=0.1)
    written = (run.path / "metrics.jsonl").read_bytes().splitlines()
    assert max(orjson.loads(row)["step"] for row in written) == trained
    if asks:
        with pytest.raises(UserError, match="no checkpoint is intact; to train again from the end of the warm-up"):
            find_resume_point(run, CONFIG)
        return
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.checkpoint, point.notes) == ("grpo", None, ())


def test_resume_point_when_a_row_of_metrics_is_torn_then_what_came_before_it_counts(run):
    """A kill tears the last row; what a checkpoint relies on lies before it."""
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"stage": "train"}\n3\n{"stage": "tr')
    assert find_resume_point(run, CONFIG).step == 4
    (run.path / "metrics.jsonl").unlink()
    with pytest.raises(UserError) as refused:
        find_resume_point(run, CONFIG)
    assert [line.partition(": ")[2] for line in refused.value.problems[:2]] == [
        "metrics.jsonl is missing; the one before it is taken"
    ] * 2


def test_resume_point_when_the_start_is_not_whole_then_there_is_nothing_to_go_back_to(run):
    """No checkpoint, and what the warm-up was evaluated on is gone: a new run, and the lines say why."""
    shutil.rmtree(run.checkpoints)
    flip(run.evaluations / "warmup.jsonl")
    for config in (CONFIG, COLD):
        with pytest.raises(
            UserError,
            match=r"nor is the end of the warm-up \(eval/warmup\.jsonl has another content than was written\)",
        ):
            find_resume_point(run, config)
    (run.path / "start.json").write_text("[")
    with pytest.raises(UserError, match=r"\(start\.json is missing or damaged\); start a new run"):
        find_resume_point(run, CONFIG)


def test_resume_point_when_the_evaluation_before_the_first_checkpoint_made_best_then_a_damaged_one_is_missed(run):
    """It was saved at step 1, and no checkpoint lies before that."""
    rows = (run.path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    best = orjson.loads(rows[3])
    assert best["eval/mean_reward"] == 0.3
    early = orjson.dumps({**best, "step": 1, "eval/mean_reward": 0.2}) + b"\n"
    (run.path / "metrics.jsonl").write_bytes(b"".join([rows[0], early, *rows[1:]]))
    for step in (2, 4):
        seal_checkpoint(run.checkpoints / f"checkpoint-{step}", run.path)
    assert find_resume_point(run, CONFIG).step == 4
    flip(run.best / "model.safetensors")
    with pytest.raises(UserError) as refused:
        find_resume_point(run, CONFIG)
    assert [line.partition(":")[0] for line in refused.value.problems[:2]] == [
        "checkpoints/checkpoint-4", "checkpoints/checkpoint-2"
    ]  # fmt: skip
    assert "best/, saved at step 3" in refused.value.problems[0]
    assert "best/, saved at step 1" in refused.value.problems[1]


def test_resume_point_when_other_folders_lie_among_the_checkpoints_then_they_are_none(run):
    """One that somebody has copied or put aside."""
    for name in ("checkpoint-9.old", "checkpoint-best", "checkpoint-"):
        shutil.copytree(run.checkpoints / "checkpoint-4", run.checkpoints / name)
    point = find_resume_point(run, CONFIG)
    assert (point.step, point.notes) == (4, ())


# -- the warm-up ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["status", "checkpoints"])
def test_resume_point_when_the_warm_up_is_damaged_then_it_was_over_as_the_stage_or_a_checkpoint_says(run, lost):
    """Either is enough to know that `sft/` is what will be judged."""
    flip(run.sft / "model.safetensors")
    if lost == "status":
        (run.path / "status.json").unlink()
    else:
        shutil.rmtree(run.checkpoints)
    with pytest.raises(UserError, match=r"sft/, the end of the warm-up: model\.safetensors has another content"):
        find_resume_point(run, CONFIG)


def test_resume_point_when_a_run_has_no_warm_up_then_its_folder_is_not_asked_for(run):
    """What it never made is not damaged."""
    shutil.rmtree(run.sft)
    seal_start(run)
    for step in (2, 4):
        seal_checkpoint(run.checkpoints / f"checkpoint-{step}", run.path)
    assert find_resume_point(run, COLD).step == 4
    cut_metrics(run, 1)
    seal_start(run)
    shutil.rmtree(run.checkpoints)
    point = find_resume_point(run, COLD)
    assert (point.stage, point.checkpoint) == ("grpo", None)


def test_resume_point_when_neither_status_nor_start_tells_then_the_warm_up_starts_over_and_says_so(run):
    """Its end is damaged and nobody noted that it was reached: the first stage again, which changes no number."""
    shutil.rmtree(run.checkpoints)
    (run.path / "status.json").unlink()
    flip(run.sft / "model.safetensors")
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.checkpoint, point.warmed) == ("sft", None, False)
    assert point.notes == ("status.json cannot be read; what was reached follows from the other files",)


def test_resume_point_when_the_first_stage_of_a_run_without_warm_up_was_killed_then_it_is_done_again(warming):
    """There is nothing to go on from, and the notes are kept."""
    point = find_resume_point(warming, COLD)
    assert (point.stage, point.checkpoint, point.notes) == ("sft", None, ())
    (warming.path / "status.json").unlink()
    point = find_resume_point(warming, COLD)
    assert point.stage == "sft" and len(point.notes) == 1


def test_resume_point_when_the_stage_says_warm_up_then_a_start_that_is_there_already_does_not_end_it(warming):
    """Killed between the seal and the next stage: the evaluation after the warm-up is still to be noted as done."""
    warming.sft.mkdir()
    (warming.sft / "model.safetensors").write_bytes(b"weights")
    write_manifest(warming.sft, relies_on=list_reliance(warming.path, but="sft/"))
    seal_start(warming)
    point = find_resume_point(warming, CONFIG)
    assert (point.stage, point.warmed) == ("sft", True)
    (warming.path / "status.json").unlink()
    point = find_resume_point(warming, CONFIG)
    assert (point.stage, point.warmed, len(point.notes)) == ("sft", True, 1)


def test_resume_point_when_what_the_warmed_policy_relies_on_has_changed_then_its_newest_checkpoint_is_taken(warming):
    """The weights of `sft/` are whole, the completions beside them are not those it was saved with."""
    warming.completions.mkdir()
    (warming.completions / "step-000000.jsonl").write_text("{}\n")
    warming.sft.mkdir()
    (warming.sft / "model.safetensors").write_bytes(b"weights")
    write_manifest(warming.sft, relies_on=list_reliance(warming.path, but="sft/"))
    flip(warming.completions / "step-000000.jsonl")
    point = find_resume_point(warming, CONFIG)
    assert (point.step, point.warmed) == (14, False)
    assert point.notes == (
        "sft/: completions/step-000000.jsonl has another content than was written; the warm-up's newest checkpoint is taken",
    )
