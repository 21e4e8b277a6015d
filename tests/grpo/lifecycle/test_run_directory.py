"""The folder of a run: when it is made, when it is refused, and which checkpoint a resumed run takes."""

import json
import multiprocessing
import os
import re
import shlex

import pytest

from grpo.lifecycle.run_directory import ANSWERED, RunDirectory, name_policy, read_peak_memory
from rewards.errors import UserError
from rewards.writing.manifests import write_manifest

FILES = {"config.json": {"profile": "embedded"}, "plan.json": {"max_steps": 4}}


def save_checkpoint(directory: RunDirectory, step: int, *, finished: bool = True) -> None:
    folder = directory.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    if finished:
        write_manifest(folder)


def test_create_when_the_folder_is_new_then_all_files_are_there(tmp_path):
    """The folder appears with its files, and nothing else is left beside it."""
    directory = RunDirectory.create(tmp_path / "runs" / "a", FILES)
    assert {path.name for path in directory.path.iterdir()} == {"config.json", "plan.json", "status.json"}
    assert (directory.read_json("plan.json"), directory.stage()) == ({"max_steps": 4}, "sft")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a"]


@pytest.mark.parametrize("done", range(4))
def test_create_when_it_is_killed_halfway_then_the_same_command_starts_the_run(tmp_path, monkeypatch, done):
    """No folder without a config is left that can neither be resumed nor be started."""
    written, write = [], RunDirectory.write_json

    def write_some(self, name, value):
        if len(written) == done:
            raise KeyboardInterrupt
        written.append(name)
        write(self, name, value)

    path = tmp_path / "a"
    monkeypatch.setattr(RunDirectory, "write_json", write_some)
    if done < 3:
        with pytest.raises(KeyboardInterrupt):
            RunDirectory.create(path, FILES)
        assert not path.exists()
    monkeypatch.setattr(RunDirectory, "write_json", write)
    assert RunDirectory.create(path, FILES).read_json("config.json") == {"profile": "embedded"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_create_when_two_are_given_one_name_then_the_first_has_it_whole_and_the_other_is_told(tmp_path, monkeypatch):
    """The second begins while the first one writes: neither touches the draft of the other."""
    path, write, others = tmp_path / "a", RunDirectory.write_json, []
    (tmp_path / ".a.7.partial").mkdir()  # of one that was killed
    (tmp_path / ".a.b.7.partial").mkdir()  # of another run

    def write_late(self, name, value):
        if not others:
            others.append(name)
            monkeypatch.setattr("os.getpid", lambda: 8)
            RunDirectory.create(path, {"config.json": {"of": "the other"}})
        write(self, name, value)

    monkeypatch.setattr(RunDirectory, "write_json", write_late)
    with pytest.raises(UserError, match=r"exists already; resume it by --resume"):
        RunDirectory.create(path, FILES)
    assert json.loads((path / "config.json").read_text()) == {"of": "the other"}
    assert sorted(each.name for each in tmp_path.iterdir()) == [".a.b.7.partial", "a"]


def test_create_when_the_folder_is_empty_then_it_is_taken(tmp_path):
    """A folder that was made for the run is not a run."""
    (tmp_path / "a").mkdir()
    assert RunDirectory.create(tmp_path / "a", FILES).stage() == "sft"


def test_create_when_something_is_there_then_it_is_refused_and_left_alone(tmp_path):
    """A run says how to continue with it, any other folder and file that another name is wanted."""
    RunDirectory.create(tmp_path / "run", FILES)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"exists already; resume it by --resume .*run"):
        RunDirectory.create(tmp_path / "run", FILES)
    for path in (tmp_path / "other", tmp_path / "other" / "notes.txt"):
        with pytest.raises(UserError, match="exists already; choose another name"):
            RunDirectory.create(path, FILES)
    assert sorted(tmp_path.rglob("*")) == before


def test_create_when_the_parent_is_a_file_then_one_line(tmp_path):
    """What cannot be made is the user's to change."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be"):
        RunDirectory.create(tmp_path / "file" / "run", FILES)


@pytest.mark.parametrize("manifest", [None, "", '{"files": {'])
def test_latest_checkpoint_when_the_newest_was_not_finished_then_it_is_the_one_before(tmp_path, manifest):
    """A kill while a checkpoint is written leaves one without its manifest, and the run continues from the one before."""
    directory = RunDirectory(tmp_path)
    assert directory.latest_checkpoint() is None
    save_checkpoint(directory, 8)
    save_checkpoint(directory, 10, finished=False)
    if manifest is not None:
        (directory.checkpoints / "checkpoint-10" / "manifest.json").write_text(manifest)
    (directory.checkpoints / "checkpoint-12").mkdir()
    assert directory.latest_checkpoint().name == "checkpoint-8"


def test_latest_checkpoint_when_steps_have_different_lengths_then_the_highest_number_is_taken(tmp_path):
    """Step 10 comes after step 9."""
    directory = RunDirectory(tmp_path)
    for step in (9, 10):
        save_checkpoint(directory, step)
    assert directory.latest_checkpoint().name == "checkpoint-10"


@pytest.mark.parametrize(
    "name", ["status.json", "metrics.jsonl", "best/manifest.json", ".lock", "not_finite", "best/checkpoint-4"]
)
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_open_when_a_file_of_the_run_is_something_else_then_it_is_refused_in_a_line(tmp_path, name, kind):
    """Reading a pipe never comes to an end; where a file belongs no folder can be replaced."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "best").mkdir()
    if name in ("not_finite", "best/checkpoint-4") and kind == "folder":
        (tmp_path / name).write_text("a file")
    elif kind == "folder":
        (tmp_path / name).mkdir()
    else:
        os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=re.escape(name)) as refused:
        RunDirectory.open(tmp_path)
    assert len(refused.value.problems) == 1


def test_folder_when_its_path_has_spaces_then_commands_name_it_as_one_word(tmp_path):
    """What a run prints at its end is pasted into a shell."""
    folder = tmp_path / "área de trabalho" / "it's 1"
    assert shlex.split(f"--resume {RunDirectory(folder).quoted}") == ["--resume", str(folder)]


@pytest.mark.parametrize(
    ("folders", "stage"),
    [
        ((), "sft"),
        (("sft-checkpoints",), "sft"),
        (("sft", "sft-checkpoints"), "sft"),  # its weights are there, its evaluation is not
        (("sft",), "grpo"),
        (("checkpoints",), "grpo"),
        (("sft", "checkpoints"), "grpo"),
        (("checkpoints", "sft-checkpoints"), "grpo"),
    ],
)
@pytest.mark.parametrize("status", [None, "{", '{"stage": "lunch"}'])
def test_stage_when_the_status_does_not_tell_then_it_follows_from_the_folders(tmp_path, folders, stage, status):
    """The checkpoints of the warm-up are deleted when it is over."""
    for name in folders:
        (tmp_path / name).mkdir()
    if status is not None:
        (tmp_path / "status.json").write_text(status)
    assert RunDirectory(tmp_path).stage() == stage


def test_stage_when_it_was_reached_then_the_status_says_so_with_its_step(tmp_path):
    """`finished` is true of the last stage alone; other facts stand beside."""
    directory = RunDirectory(tmp_path)
    directory.reach("grpo")
    assert directory.read_json("status.json") == {"stage": "grpo", "step": 0, "finished": False}
    assert directory.stage() == "grpo"
    directory.reach("done", 6, stopped_by="a_rule")
    assert directory.read_json("status.json") == {"stage": "done", "step": 6, "finished": True, "stopped_by": "a_rule"}


def test_folder_when_its_parts_are_named_then_each_lies_where_the_docs_say(tmp_path):
    """And a process that does not write leaves all of them alone."""
    directory = RunDirectory(tmp_path, writes=False)
    assert [
        path.relative_to(tmp_path).as_posix()
        for path in (
            directory.sft, directory.checkpoints, directory.warmup_checkpoints, directory.best, directory.evaluations,
            directory.completions,
        )
    ] == ["sft", "checkpoints", "sft-checkpoints", "best", "eval", "completions"]  # fmt: skip
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / ANSWERED).write_text("{}")
    directory.reach("grpo")
    directory.forget_answers()
    assert [path.name for path in tmp_path.rglob("*")] == ["eval", ANSWERED]
    writer = RunDirectory(tmp_path)
    writer.forget_answers()
    writer.forget_answers()  # nothing is left to forget
    assert not (tmp_path / "eval" / ANSWERED).exists()


@pytest.mark.parametrize("name", ["config.json", "plan.json", "identity.json", "status.json"])
def test_run_when_one_of_its_first_files_is_missing_then_it_is_not_whole(tmp_path, name):
    """Whoever resumes it still finds its settings in config.json or identity.json."""
    directory = RunDirectory.create(tmp_path / "a", {**FILES, "identity.json": {}})
    assert directory.is_whole and directory.has_settings
    (directory.path / name).unlink()
    assert not directory.is_whole and directory.has_settings
    assert RunDirectory.open(directory.path).path == directory.path
    for left in ("config.json", "identity.json"):
        (directory.path / left).unlink(missing_ok=True)
    assert not directory.has_settings
    with pytest.raises(UserError, match=r"no run there \(config\.json is missing\)"):
        RunDirectory.open(directory.path)


def test_open_when_many_entries_are_odd_then_three_are_named_and_those_of_wandb_are_its_own(tmp_path):
    """A socket of W&B's, or a log of its named `checkpoint-1`, is nobody else's; a file of that name deeper is a file."""
    (tmp_path / "config.json").write_text("{}")
    for folder in ("wandb/latest-run", "best/inner", "wandb.json"):
        (tmp_path / folder).mkdir(parents=True)
    os.mkfifo(tmp_path / "wandb" / "socket")
    (tmp_path / "wandb" / "latest-run" / "debug.log").symlink_to("/elsewhere/debug.log")
    (tmp_path / "wandb" / "checkpoint-1").write_text("")
    (tmp_path / "best" / "inner" / "checkpoint-2").write_text("")
    (tmp_path / "best" / "eval").write_text("")
    (tmp_path / "wandb.json").rmdir()
    assert RunDirectory.open(tmp_path)
    for number in range(4):
        os.mkfifo(tmp_path / f"pipe-{number}")
        (tmp_path / f"link-{number}").symlink_to("/elsewhere")
    with pytest.raises(UserError) as refused:
        RunDirectory.open(tmp_path)
    assert "link-0, link-1, link-2: leads out" in refused.value.problems[0]
    for number in range(4):
        (tmp_path / f"link-{number}").unlink()
    with pytest.raises(UserError) as refused:
        RunDirectory.open(tmp_path)
    assert [line.partition(": ")[2].partition(":")[0] for line in refused.value.problems] == [
        "pipe-0",
        "pipe-1",
        "pipe-2",
    ]
    # Only the wandb of the run itself is W&B's.
    for number in range(4):
        (tmp_path / f"pipe-{number}").unlink()
    (tmp_path / "best" / "wandb").mkdir()
    os.mkfifo(tmp_path / "best" / "wandb" / "pipe")
    with pytest.raises(UserError, match="best/wandb/pipe"):
        RunDirectory.open(tmp_path)
    (tmp_path / "best" / "wandb" / "pipe").unlink()
    (tmp_path / "best" / "wandb" / "link").symlink_to("/elsewhere")
    with pytest.raises(UserError, match="best/wandb/link: leads out"):
        RunDirectory.open(tmp_path)


def test_drafts_when_their_names_are_of_no_process_then_they_are_left_alone(tmp_path):
    """A draft of a process that is gone goes, wherever it lies; a name without a number is somebody's own."""
    (gone := multiprocessing.get_context("fork").Process(target=int)).start()
    gone.join()
    names = [f".a.json.{gone.pid}.draft", ".a.json.mine.draft", f".b.{os.getpid()}.draft", f"a.{gone.pid}.draft"]
    (tmp_path / "eval").mkdir()
    for name in names:
        (tmp_path / "eval" / name).write_text("")
    RunDirectory(tmp_path).forget_drafts()
    assert sorted(path.name for path in (tmp_path / "eval").iterdir()) == sorted(names[1:])


def test_peak_memory_when_rows_note_it_then_it_is_the_highest_of_the_end_of_the_file(tmp_path):
    """A torn row, one without it, one of another type; and of a long file the last 64 KiB alone."""
    assert read_peak_memory(tmp_path) is None
    path = tmp_path / "timings.jsonl"
    rows = [b'{"peak_memory_bytes": 500}', b'{"step": 2}', b'{"peak_memory_bytes": 700}', b'{"peak_memory_bytes": null}',
            b'{"peak_memory_bytes": 900', b'["peak_memory_bytes"]', b'{"peak_memory_bytes": 600}']  # fmt: skip
    path.write_bytes(b"\n".join(rows))
    assert read_peak_memory(tmp_path) == 700
    path.write_bytes(b"\n".join(rows) + b"\n" + b'{"step": 1}\n' * 6000 + rows[0])
    assert read_peak_memory(tmp_path) == 500
    path.write_bytes(b'{"step": 1}\n')
    assert read_peak_memory(tmp_path) is None


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ({"kind": "adapter", "step": 16, "base": "m"}, "LoRA adapter of step 16 on m"),
        ({"kind": "model", "step": 0, "base": None}, "whole model of step 0, before GRPO"),
    ],
)
def test_policy_when_its_note_is_named_then_form_step_and_base_are_said(note, said):
    """As a page and an export say it."""
    assert name_policy(note) == said
