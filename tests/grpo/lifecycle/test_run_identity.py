"""What a resumed run must have the same, key by key and row by row, and what of it may be another."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from types import SimpleNamespace

import orjson
import pytest

from grpo.lifecycle import run_identity
from grpo.lifecycle.run_directory import RunDirectory
from grpo.lifecycle.run_lock import FILE as LOCK
from grpo.lifecycle.run_lock import locked
from rewards.errors import UserError
from rewards.types import Example

CONFIG = {
    "seed": 42,
    "grpo": {"max_steps": 6, "learning_rate": 0.1, "save_every_steps": 2, "save_total_limit": 3},
    "tracking": {"wandb": "off", "project": "p"},
    "report": {"open": False},
    "rewards": {"error_budget": 0.01, "functions": ["push"]},
    "data": {"train": "x" * 78},
}


def make_rows(**changed):
    rows = {
        "train": [Example("1", "t", [{"role": "user", "content": "a"}], "b", {"n": 1})],
        "held_out": [Example("2", "t", [{"role": "user", "content": "c"}], "d", {})],
        "warmup": [],
    }
    return SimpleNamespace(**rows | changed)


def begin(folder, config=CONFIG, rows=None) -> RunDirectory:
    settings = {"profile": "embedded", "source": "v4_1.yaml", "overrides": [], "config": config}
    identity = run_identity.make_identity(settings, rows or make_rows(), [{"name": "push"}])
    return RunDirectory.create(folder, {"config.json": settings, run_identity.FILE: identity})


def edit(directory: RunDirectory, change) -> None:
    document = directory.read_json("config.json")
    change(document)
    directory.write_json("config.json", document)


def test_settings_when_only_what_changes_no_number_was_edited_then_the_run_goes_on_with_those_it_began_with(tmp_path):
    """Trackers, the report, how often is saved, the budget of errors; and where the settings came from."""
    directory = begin(tmp_path / "run")
    begun = directory.read_json("config.json")

    def change(document):
        document["source"], document["overrides"] = "other.yaml", ["seed=42"]
        document["config"]["tracking"] = {"wandb": "on", "more": 1}
        document["config"]["report"]["open"] = True
        document["config"]["grpo"] |= {"save_every_steps": 9, "save_total_limit": None}
        document["config"]["rewards"]["error_budget"] = 0.5

    edit(directory, change)
    assert run_identity.read_settings(directory) == (begun, [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(profile="gpu"), 'profile: "gpu"; the run was started with "embedded"'),
        (lambda d: d["config"].pop("seed"), "seed: is missing; the run was started with 42"),
        (lambda d: d["config"]["grpo"].pop("max_steps"), "grpo.max_steps: is missing; the run was started with 6"),
        (lambda d: d["config"].update(savings=1), "savings: 1 was not there when the run was started"),
        (lambda d: d["config"]["grpo"].update(save_every_steps_of=1), "grpo.save_every_steps_of: 1 was not there"),
        (
            lambda d: d["config"]["data"].update(train="y" * 79),
            f'data.train: "{"y" * 76}...; the run was started with "{"x" * 78}"',
        ),
    ],
)
def test_settings_when_one_was_edited_then_its_line_says_both_values(tmp_path, change, said):
    """A key by its name in the YAML, a value of more than 80 characters cut to 77."""
    directory = begin(tmp_path / "run")
    edit(directory, change)
    with pytest.raises(UserError) as refused:
        run_identity.read_settings(directory)
    line, hint = refused.value.problems
    assert line.startswith(f"--resume {directory.path}: config.json: {said}")
    assert "the run was started with other settings; undo the change" in hint


@pytest.mark.parametrize(("count", "lines"), [(4, 5), (5, 6), (7, 6)])
def test_settings_when_many_were_edited_then_four_are_named_and_the_others_counted(tmp_path, count, lines):
    """Nobody reads a hundred lines."""
    directory = begin(tmp_path / "run")
    edit(directory, lambda d: d["config"].update({f"new_{number}": 1 for number in range(count)}))
    with pytest.raises(UserError) as refused:
        run_identity.read_settings(directory)
    assert len(refused.value.problems) == lines
    more = [line for line in refused.value.problems if line.endswith("more keys")]
    assert [line.rpartition(": ")[2] for line in more] == ([f"and {count - 4} more keys"] if count > 4 else [])


def test_identity_when_its_file_is_written_anew_in_another_order_then_it_is_whole_and_edited_it_is_not(tmp_path):
    """Its checksum is over what it says; keys of a mapping that are numbers are kept as text."""
    directory = begin(tmp_path / "run", {**CONFIG, "rewards": {"functions": [{"weights": {1: 0.5}}]}})
    noted = directory.read_json(run_identity.FILE)
    assert noted["settings"]["config"]["rewards"] == {"functions": [{"weights": {"1": 0.5}}]}
    turned = {key: noted[key] for key in reversed(list(noted))}
    (directory.path / run_identity.FILE).write_text(json.dumps(turned, indent=1))
    assert run_identity.read_settings(directory)[0] == noted["settings"]
    for settings in ([], "text", {"profile": "embedded"}, ["config"]):
        odd = {"settings": settings, "rows": {}, "rewards": []}
        checksum = hashlib.sha256(orjson.dumps(odd, option=orjson.OPT_SORT_KEYS)).hexdigest()
        directory.write_json(run_identity.FILE, {**odd, "checksum": checksum})
        with pytest.raises(UserError, match="missing or damaged"):
            run_identity.read_settings(directory)
    (directory.path / run_identity.FILE).unlink()
    assert run_identity.begun_rewards(directory) is None
    with pytest.raises(UserError) as refused:
        run_identity.check_inputs(directory, make_rows())
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed=3", "with --resume only tracking, report"),
        ("trackings.wandb=on", "with --resume only tracking, report"),
        ("grpo.save_every_steps", "with --resume only tracking, report"),
        ("tracking.no_such=1", "no such key; wandb, project are there"),
        ("tracking.wandb.deep.er=1", "no such key"),
        ("tracking.no.such=1", "no such key"),
        ("rewards.error_budget=[1", "error_budget"),
    ],
)
def test_settings_when_set_wrongly_with_resume_then_one_line_says_why_and_nothing_is_changed(tmp_path, text, said):
    """Also beside another that is right."""
    settings = begin(tmp_path / "run").read_json("config.json")
    kept = orjson.dumps(settings)
    with pytest.raises(UserError) as refused:
        run_identity.apply_free(settings, ["tracking.project=q", text])
    (line,) = refused.value.problems
    assert line.startswith("--set ") and said in line
    assert line.endswith(("they change no number", "are there", "no such key")) or "error_budget" in text
    assert orjson.dumps(settings) == kept
    assert run_identity.apply_free(settings, ["tracking.project=q"])["config"]["tracking"]["project"] == "q"


def test_rows_when_a_database_they_name_has_another_content_then_they_are_others(tmp_path):
    """Its name is the same, its content is what the rewards ask; a name that is no file counts as it is written."""
    database = tmp_path / "shop.db"
    database.write_bytes(b"one")
    moved = tmp_path / "moved.db"
    moved.write_bytes(b"one")

    def make(path):
        return make_rows(train=[Example("1", "t", [{"role": "user", "content": "a"}], "b", {"database": path, "n": 1})])

    directory = begin(tmp_path / "run", rows=make(str(database)))
    run_identity.check_inputs(directory, make(str(database)))
    run_identity.check_inputs(directory, make(str(moved)))  # the same database, moved
    digests = {run_identity.digest_inputs(make(each))["training rows"] for each in ("gone.db", "gone2.db", 3, None)}
    assert len(digests) == 4
    database.write_bytes(b"two")
    with pytest.raises(UserError, match="training rows: not those the run was started with") as refused:
        run_identity.check_inputs(directory, make(str(database)))
    assert len(refused.value.problems) == 1


# -- the lock -------------------------------------------------------------------------------------------------------------


def test_lock_when_it_ends_then_the_next_has_it_and_says_who_it_is(tmp_path):
    """What a longer name left behind is gone."""
    (tmp_path / LOCK).write_text("x" * 300)
    for _ in range(2):
        with locked(tmp_path):
            assert (tmp_path / LOCK).read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()} on "), locked(tmp_path):
        pass


def test_lock_when_its_holder_says_nothing_then_the_line_says_so(tmp_path):
    """Another program's lock on an empty file."""
    with (tmp_path / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"\(it does not say which\); wait for its end"), locked(tmp_path):
            pass


def test_lock_when_a_process_does_not_write_then_it_takes_none(tmp_path):
    """Nor makes the file."""
    with locked(tmp_path, wanted=False):
        assert not list(tmp_path.iterdir())
        with locked(tmp_path):
            pass
