"""From where a run goes on, and when it does not: checkpoints, the files beside them, its settings, rows and rewards."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
from types import SimpleNamespace

import pytest

from grpo.config.loading import load_config, read_config
from grpo.lifecycle import run_identity
from grpo.lifecycle.resume import find_resume_point, kept_reliance, list_reliance, seal_checkpoint
from grpo.lifecycle.run_directory import RunDirectory
from grpo.lifecycle.run_lock import locked
from rewards.errors import UserError
from rewards.types import Example
from rewards.writing.manifests import find_damage, write_manifest
from tests.grpo.lifecycle.killed_runs import CONFIG, flip

ROWS = SimpleNamespace(
    train=[Example("1", "t", [{"role": "user", "content": "a"}], "b", {"n": 1})],
    held_out=[Example("2", "t", [{"role": "user", "content": "c"}], "d", {})],
    warmup=[],
)


def test_resume_point_when_all_is_whole_then_is_the_newest_checkpoint(run):
    """Nothing to say; a checkpoint at the last step leaves the final evaluation."""
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.step, point.notes) == ("grpo", 4, ())
    (run.checkpoints / "checkpoint-4").rename(run.checkpoints / "checkpoint-6")
    seal_checkpoint(run.checkpoints / "checkpoint-6", run.path)
    assert find_resume_point(run, CONFIG).stage == "final"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda c: flip(c / "optimizer.pt"), "optimizer.pt has another content"),
        (lambda c: (c / "optimizer.pt").unlink(), "optimizer.pt is missing"),
        (lambda c: (c / "model.safetensors").write_bytes(b""), "model.safetensors has 0 bytes"),
        (lambda c: (c / "trainer_state.json").write_bytes(bytes(99)), "trainer_state.json has 99 bytes"),
        (lambda c: (c / "manifest.json").unlink(), "was not finished"),
        (lambda c: (c / "manifest.json").write_text('{"files": 3}'), "cannot be read"),
        (lambda c: flip(c.parents[1] / "completions" / "step-000004.jsonl"), "step-000004.jsonl has another content"),
    ],
)
def test_resume_point_when_the_newest_is_damaged_then_is_the_one_before_and_says_why(run, damage, said):
    """A flipped byte, a short, an empty, a missing file; and files of the run that it goes with."""
    damage(run.checkpoints / "checkpoint-4")
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.step) == ("grpo", 2)
    (line,) = point.notes
    assert line.startswith("checkpoints/checkpoint-4: ") and said in line


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda sft: flip(sft / "model.safetensors"), "model.safetensors has another content"),
        (lambda sft: (sft / "manifest.json").unlink(), "was not finished"),
        (lambda sft: (sft / "manifest.json").write_text("[]"), "its manifest.json cannot be read"),
        (shutil.rmtree, "is missing"),
    ],
)
def test_resume_point_when_the_end_of_the_warm_up_is_damaged_then_refused_though_a_checkpoint_is_whole(
    run, damage, said
):
    """It is what is judged in the end where no step was better; the line names it, not the checkpoints that rely on it."""
    damage(run.sft)
    with pytest.raises(UserError, match=f"sft/, the end of the warm-up: {re.escape(said)}") as refused:
        find_resume_point(run, CONFIG)
    assert len(refused.value.problems) == 1


def test_resume_point_when_killed_in_the_warm_up_then_is_its_newest_whole_checkpoint(warming):
    """A torn one is passed over for the one before it; where none is whole it starts over, which changes no number."""
    point = find_resume_point(warming, CONFIG)
    assert (point.stage, point.step, point.warmed, point.notes) == ("sft", 14, False, ())
    (warming.path / "status.json").unlink()
    assert find_resume_point(warming, CONFIG).step == 14
    flip(warming.warmup_checkpoints / "checkpoint-14" / "model.safetensors")
    point = find_resume_point(warming, CONFIG)
    assert point.step == 7 and "sft-checkpoints/checkpoint-14: model.safetensors has another" in point.notes[-1]
    flip(warming.path / "eval" / "before.jsonl")
    point = find_resume_point(warming, CONFIG)
    assert (point.stage, point.checkpoint) == ("sft", None) and "it starts over" in point.notes[-1]


def test_resume_point_when_the_warm_up_was_over_then_only_its_evaluation_is_left(warming):
    """Its weights say so, unless they are damaged, or a watch rule ended it early."""
    warming.sft.mkdir()
    (warming.sft / "model.safetensors").write_bytes(b"weights")
    write_manifest(warming.sft)
    assert find_resume_point(warming, CONFIG).step == 14, "stopped by a rule"
    write_manifest(warming.sft, relies_on=list_reliance(warming.path, but="sft/"))
    point = find_resume_point(warming, CONFIG)
    assert (point.stage, point.warmed, point.checkpoint, point.notes) == ("sft", True, None, ())
    flip(warming.sft / "model.safetensors")
    point = find_resume_point(warming, CONFIG)
    assert point.step == 14 and point.notes[0].startswith("sft/: model.safetensors has another content")


def test_resume_point_when_best_is_damaged_then_goes_back_before_it_was_made(run):
    """The evaluation of step 3 is made again, and `best/` with it."""
    flip(run.best / "model.safetensors")
    point = find_resume_point(run, CONFIG)
    assert point.step == 2 and "best/, saved at step 3" in point.notes[0]


def test_resume_point_when_best_holds_the_start_and_is_damaged_then_it_needs_a_warm_up_to_be_made_again(run):
    """With `sft/` it is copied from there; without one only a policy that has not been trained can be."""
    rows = [row for row in (run.path / "metrics.jsonl").read_bytes().splitlines() if b"0.3" not in row]
    (run.path / "metrics.jsonl").write_bytes(b"\n".join(rows) + b"\n")
    for step in (2, 4):
        seal_checkpoint(run.checkpoints / f"checkpoint-{step}", run.path)
    flip(run.best / "model.safetensors")
    assert find_resume_point(run, CONFIG).step == 4
    cold = SimpleNamespace(**{**vars(CONFIG), "sft_warmup": SimpleNamespace(enabled=False)})
    with pytest.raises(UserError, match=r"--from-warmup"):
        find_resume_point(run, cold)


def test_resume_point_when_only_the_decision_is_left_then_best_is_looked_at_too(run):
    """What a run hands over is checked to the very end: damaged, the step that made it is done again."""
    run.reach("decision", 6, relies_on=list_reliance(run.path))
    assert find_resume_point(run, CONFIG).stage == "decision"
    flip(run.best / "model.safetensors")
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.step) == ("grpo", 2) and point.notes[0].startswith(
        "best/: model.safetensors has another"
    )


def test_resume_point_when_no_checkpoint_is_whole_then_offers_the_end_of_the_warm_up(run):
    """Going back that far is for the user to say; where the warm-up is damaged too, there is nothing to continue from."""
    for step in (2, 4):
        flip(run.checkpoints / f"checkpoint-{step}" / "model.safetensors")
    with pytest.raises(UserError) as caught:
        find_resume_point(run, CONFIG)
    assert len(caught.value.problems) == 3 and "--from-warmup" in caught.value.problems[-1]
    point = find_resume_point(run, CONFIG, from_warmup=True)
    assert (point.stage, point.checkpoint) == ("grpo", None) and point.notes
    flip(run.sft / "model.safetensors")
    for from_warmup in (False, True):
        with pytest.raises(UserError, match=r"sft/, the end of the warm-up: model\.safetensors has another content"):
            find_resume_point(run, CONFIG, from_warmup=from_warmup)


def test_resume_point_when_killed_before_the_first_checkpoint_then_begins_at_the_warm_up_without_asking(run):
    """Nothing was lost: the kill came first."""
    import shutil

    shutil.rmtree(run.checkpoints / "checkpoint-4")
    (run.checkpoints / "checkpoint-2" / "manifest.json").unlink()
    rows = (run.path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "metrics.jsonl").write_bytes(b"".join(rows[:3]))
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.checkpoint) == ("grpo", None) and "was not finished" in point.notes[0]


@pytest.mark.parametrize("content", ["", "{", '{"stage": "lunch"}', None])
def test_resume_point_when_the_status_is_damaged_then_follows_from_the_other_files(run, content):
    """Empty, cut, without sense, missing."""
    status = run.path / "status.json"
    status.unlink() if content is None else status.write_text(content)
    point = find_resume_point(run, CONFIG)
    assert (point.stage, point.step) == ("grpo", 4)


def test_manifest_when_it_names_a_file_outside_then_is_not_followed(tmp_path):
    """A folder of another's says nothing of what lies beside it."""
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"files": {"../secret": {"bytes": 1, "sha256": ""}}}))
    assert "cannot be read" in find_damage(folder)


# -- settings, rows, rewards ----------------------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path):
    """A run's folder as it is made, with the settings of the recipe."""
    config = load_config("v4_1", [], "embedded").model_dump(mode="json")
    settings = {"profile": "embedded", "source": "v4_1.yaml", "overrides": [], "config": config}
    identity = run_identity.make_identity(settings, ROWS, [{"name": "push", "version": "1"}])
    return RunDirectory.create(tmp_path / "run", {"config.json": settings, run_identity.FILE: identity})


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("grpo", "max_steps"), 7, "grpo.max_steps: 7; the run was started with 240"),
        (("seed",), 7, "seed: 7; the run was started with 42"),
        (("data", "shop", "train_rows"), 5, "data.shop.train_rows: 5"),
        (("grpo", "no_such_key"), 1, "grpo.no_such_key: 1 was not there"),
        (("grpo", "learning_rate"), "many", "grpo.learning_rate: "),
        (("rewards", "functions"), [], "rewards.functions: []"),
    ],
)
def test_settings_when_config_json_was_edited_then_each_key_is_named(begun, path, value, said):
    """Whatever changes a number is refused, a line a key."""
    document = begun.read_json("config.json")
    at = document["config"]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    begun.write_json("config.json", document)
    with pytest.raises(UserError) as caught:
        run_identity.read_settings(begun)
    assert said in caught.value.problems[0] and len(caught.value.problems) == 2


def test_settings_when_config_json_is_damaged_then_is_written_again_and_without_both_the_run_is_refused(begun):
    """identity.json keeps a copy, and knows whether it was edited itself."""
    before = begun.read_json("config.json")
    (begun.path / "config.json").write_bytes(b"{")
    settings, notes = run_identity.read_settings(begun)
    assert settings == before == begun.read_json("config.json") and len(notes) == 1
    edited = begun.read_json(run_identity.FILE)
    edited["settings"]["config"]["seed"] = 1
    begun.write_json(run_identity.FILE, edited)
    with pytest.raises(UserError, match="missing or damaged"):
        run_identity.read_settings(begun)


def test_settings_when_set_with_resume_then_only_what_changes_no_number_is_taken(begun):
    """The budget of errors after a fault, the trackers, how often is saved; nothing else."""
    settings, _ = run_identity.read_settings(begun)
    changed = run_identity.apply_free(
        settings, ["rewards.error_budget=0.5", "grpo.save_every_steps=5", "tracking.wandb=off"]
    )
    config = read_config(changed["config"], "--resume")
    assert (config.rewards.error_budget, config.grpo.save_every_steps) == (0.5, 5)
    for text in ("seed=3", "grpo.max_steps=9", "grpo.save_every_stepsx=1", "tracking.no_such=1", "nonsense"):
        with pytest.raises(UserError):
            run_identity.apply_free(settings, [text])
    with pytest.raises(UserError, match="error_budget"):
        read_config(run_identity.apply_free(settings, ["rewards.error_budget=many"])["config"], "--resume")


def test_inputs_when_rows_are_others_then_they_are_named(begun):
    """One changed reference among the held-out rows."""
    run_identity.check_inputs(begun, ROWS)
    other = [Example("2", "t", [{"role": "user", "content": "c"}], "e", {})]
    with pytest.raises(UserError, match="held-out rows: not those"):
        run_identity.check_inputs(begun, SimpleNamespace(**{**vars(ROWS), "held_out": other}))
    assert run_identity.begun_rewards(begun) == [{"name": "push", "version": "1"}]


def test_reliance_when_files_are_changed_on_purpose_then_checkpoints_still_rely_on_them(run):
    """Evaluations scored again, row by row; what was damaged before stays damaged."""
    flip(run.checkpoints / "checkpoint-4" / "optimizer.pt")
    with kept_reliance(run.path):
        (run.path / "eval" / "warmup.jsonl").write_text('{"reward": 0.75}\n')
        rows = (run.path / "metrics.jsonl").read_bytes().replace(b"0.1,", b"0.125,")
        (run.path / "metrics.jsonl").write_bytes(rows)
    point = find_resume_point(run, CONFIG)
    assert point.step == 2 and "optimizer.pt" in point.notes[0]


def test_open_when_a_link_leads_out_of_the_folder_then_it_is_refused_and_nothing_outside_is_touched(
    run, tmp_path_factory
):
    """Of a folder that somebody else has packed; one that is itself reached by a link is a run like any other."""
    (run.path / "config.json").write_text("{}")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious").write_text("mine")
    around = outside / "link"
    around.symlink_to(run.path)
    (run.path / "inside").symlink_to(run.path / "eval")
    logs = run.path / "wandb" / "offline-run-1" / "logs"
    logs.mkdir(parents=True)
    (logs / "debug-core.log").symlink_to(outside / "precious")  # as W&B does, to the user's cache
    assert RunDirectory.open(around).path == around
    for name in ("not_finite", "completions/step-000009.jsonl", ".lock"):
        (run.path / name).symlink_to(outside / "precious")
        with pytest.raises(UserError, match=rf"{name}: leads out of the run's folder"):
            RunDirectory.open(run.path)
        if name == ".lock":
            with pytest.raises(UserError, match="cannot be written"), locked(run.path):
                pass
        (run.path / name).unlink()
    assert (outside / "precious").read_text() == "mine"


def test_drafts_when_their_process_is_gone_then_they_are_dropped_and_a_living_ones_kept(run):
    """A kill leaves a file half written beside the one it was to replace."""
    (gone := multiprocessing.get_context("fork").Process(target=int)).start()
    gone.join()
    dead = run.path / "eval" / f".final.jsonl.{gone.pid}.draft"
    alive = run.path / f".status.json.{os.getpid()}.draft"
    for path in (dead, alive):
        path.write_bytes(b"x")
    run.forget_drafts()
    assert alive.exists() and not dead.exists()


# -- the lock -------------------------------------------------------------------------------------------------------------


def _hold(path, ready, done) -> None:
    with locked(path):
        ready.set()
        done.wait(30)


def test_lock_when_another_process_writes_there_then_names_it_and_is_free_after_a_kill(tmp_path):
    """The kernel lets go of it however the first one ends."""
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(30)
    with pytest.raises(UserError, match=f"process {holder.pid} on "), locked(tmp_path):
        pass
    holder.kill()
    holder.join()
    with locked(tmp_path):
        pass
    with pytest.raises(UserError, match="cannot be written"), locked(tmp_path / "gone"):
        pass
