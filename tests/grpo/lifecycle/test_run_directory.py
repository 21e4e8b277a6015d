"""The folder of a run: when it is made, when it is refused, and which checkpoint a resumed run takes."""

import json
import os
import re
import shlex

import pytest

from grpo.lifecycle.run_directory import RunDirectory
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
