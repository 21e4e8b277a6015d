"""An evaluation that was interrupted: any kill, any change, any number of processes; the same bytes or a clear refusal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from grpo.evaluate.__main__ import main
from grpo.evaluate.content import JournalContents
from tests.timing import at_most

pytest.importorskip("torch")

FINAL = ("rows.jsonl", "evaluation.json", "evaluation.md")


def interrupt(whole, out, in_place, pending=(), torn=b""):
    """A folder as a kill leaves it: so many rows in their place, these others pending, half a line, and what was noted."""
    out.mkdir()
    lines = (whole / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (out / "rows.jsonl").write_bytes(b"".join(lines[:in_place]) + (b"" if pending else torn))
    if pending:
        (out / "pending.jsonl").write_bytes(b"".join(lines[place] for place in pending) + torn)
    summary = json.loads((whole / "evaluation.json").read_text())
    del summary["rows_sha256"]
    (out / "evaluation.json").write_text(json.dumps({**summary, "finished": False}))
    contents = JournalContents(out, ("rows.jsonl", "pending.jsonl"))
    contents.add("rows.jsonl", lines[:in_place])
    contents.add("pending.jsonl", [lines[place] for place in pending])
    contents.note()


def is_whole(out, whole):
    """Whether the three files have the bytes of the uninterrupted evaluation and nothing else is left behind."""
    assert [(out / name).read_bytes() == (whole / name).read_bytes() for name in FINAL] == [True] * 3
    return {path.name for path in out.iterdir()} <= {*FINAL, "timings.jsonl"}


@pytest.mark.parametrize(
    ("in_place", "pending", "torn"),
    [
        (0, (), b""),
        (0, (23, 7, 1), b'{"id": "half'),
        (5, (), b'{"id": "half'),
        (5, (4, 3, 20, 5, 6), b'{"id"'),  # killed after rows went to their place, before they left the pending ones
        (12, tuple(range(12, 24)), b""),
        (0, (2,), b"\x00\x00\n"),  # what a power cut may leave
        (24, (), b""),
    ],
)
def test_evaluate_when_resumed_after_a_kill_then_the_same_bytes(whole, arguments, tmp_path, in_place, pending, torn):
    """What was on disk is kept, a half-written line is dropped, and the end is that of an uninterrupted evaluation."""
    out = tmp_path / "whole"
    interrupt(whole, out, in_place, pending, torn)
    assert main([*arguments[:-1], str(out), "--resume"]) == 0
    assert is_whole(out, whole)


@pytest.mark.parametrize("place", ["rows.jsonl", "pending.jsonl", "finished", "journal.json"])
def test_evaluate_when_one_letter_of_its_rows_changed_then_resuming_is_refused(
    whole, arguments, tmp_path, capsys, place
):
    """Each line still reads: only its hash tells that it is not what was written."""
    out = tmp_path / "whole"
    if place == "finished":
        shutil.copytree(whole, out)
    else:
        interrupt(whole, out, 10, (12, 13))
    path = out / ("rows.jsonl" if place == "finished" else place)
    changed = path.read_bytes().replace(b'"truncated":false', b'"truncated":true ', 1).replace(b'"bytes"', b'"bites"')
    assert changed != path.read_bytes() or place not in ("journal.json",)
    if changed == path.read_bytes():
        changed = changed.replace(b'"truncated":true', b'"truncated":null', 1)
    path.write_bytes(changed)
    assert main([*arguments[:-1], str(out), "--resume"]) == 2
    said = capsys.readouterr().err
    assert f"{path}: " in said and "start again with another --out" in said and len(said.splitlines()) == 1


def test_evaluate_when_stopped_by_hand_then_75_and_resumable(whole, arguments, tmp_path, monkeypatch, capsys, read):
    """Ctrl-C after two batches keeps their rows; --resume ends with the bytes of an uninterrupted evaluation."""
    from grpo.evaluate import backends as writers

    answer, calls = writers.answer_batch, []

    def stop_at_third(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(*given)

    out = tmp_path / "whole"
    monkeypatch.setattr(writers, "answer_batch", stop_at_third)
    assert main([*arguments[:-1], str(out)]) == 75
    assert "the rows so far are kept, resume with --resume" in capsys.readouterr().err
    assert len(read(out / "pending.jsonl")) == 12
    monkeypatch.setattr(writers, "answer_batch", answer)
    assert main([*arguments[:-1], str(out), "--resume"]) == 0
    assert is_whole(out, whole)
    assert [row["answers"] for row in read(out / "timings.jsonl")] == [12, 12]


def test_evaluate_when_the_disk_is_full_then_75_in_one_line_and_resumable(whole, arguments, tmp_path, capsys):
    """No traceback, nothing lost: once there is room, --resume goes on."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    out = tmp_path / "whole"
    out.mkdir()
    (out / "pending.jsonl").symlink_to("/dev/full")
    assert main([*arguments[:-1], str(out)]) == 75
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "No space left on device" in error and "--resume" in error
    (out / "pending.jsonl").unlink()
    assert main([*arguments[:-1], str(out), "--resume"]) == 0
    assert is_whole(out, whole)


def test_evaluate_when_two_processes_resume_then_the_bytes_are_those_of_one(whole, arguments, tmp_path, read):
    """--processes 2 starts them as torchrun would: rows are shared out, only the first writes, also where one had begun."""
    out = tmp_path / "whole"
    interrupt(whole, out, 3, (5, 20), b'{"id"')
    ended = start([*arguments[:-1], str(out), "--resume", "--processes", "2"])
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert is_whole(out, whole)
    assert ended.stdout.count("everything is in") == 1
    assert read(out / "timings.jsonl")[-1]["processes"] == 2


def test_evaluate_when_its_processes_fail_then_it_says_so_once_and_ends_with_their_code(arguments, tmp_path):
    """The exit codes of one process, which torchrun would hide behind its own."""
    ended = start([*arguments, "--data", str(tmp_path / "gone.jsonl"), "--processes", "2"])
    assert ended.returncode == 2 and ended.stderr.count("gone.jsonl") == 1, ended.stderr[-3000:]


def start(words):
    """The command in processes of its own."""
    command = [sys.executable, "-m", "grpo.evaluate", *words]
    return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--processes", "0"], "--processes: 0 is not at least 1"), (["--processes", "9999"], "processor cores; give at most")],
)  # fmt: skip
def test_evaluate_when_processes_make_no_sense_then_one_line_says_so(arguments, words, said, capsys):
    """Before anything is started."""
    assert main([*arguments, *words]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_evaluate_when_one_prompt_has_processes_then_one_line_says_so(arguments, capsys):
    """Before anything is started."""
    model = arguments[arguments.index("--model") + 1]
    assert main(["--model", model, "--prompt", "a", "--processes", "2"]) == 2
    assert "one prompt is answered by one process" in capsys.readouterr().err


def test_evaluate_when_something_is_in_the_folder_then_it_is_not_written_over(whole, arguments, capsys):
    """An evaluation is continued or left alone."""
    before = (whole / "rows.jsonl").read_bytes()
    assert main([*arguments[:-1], str(whole)]) == 2
    assert "resume with --resume" in capsys.readouterr().err
    assert (whole / "rows.jsonl").read_bytes() == before


def test_evaluate_when_resumed_with_something_else_then_what_differs_is_named(whole, arguments, capsys):
    """Other settings, rows or weights make another evaluation; nothing to resume is said as well."""
    for changes, said in (
        (("--set", "evaluation.temperature=0.3"), "something else: settings (temperature: 1.0, now 0.3)"),
        (("--limit", "3"), "something else: data"),
        (("--set", "model.dtype=bfloat16"), "something else: loading (dtype: auto, now bfloat16)"),
        (("--set", "evaluation.batch_size=7"), "something else: batch_size (6, now 7)"),
        (("--set", "rewards.functions=[{name: text_overlap}]"), "something else: rewards"),
    ):
        assert main([*arguments[:-1], str(whole), "--resume", *changes]) == 2
        assert said in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 2
    assert "leave --resume out to begin" in capsys.readouterr().err


def test_evaluate_when_resumed_with_a_newer_reward_function_then_refused(whole, arguments, monkeypatch, capsys):
    """Scores of two versions must not stand in one file."""
    from rewards.host.scoring import RewardHost

    identities = RewardHost.identities
    monkeypatch.setattr(RewardHost, "identities", lambda host: {**identities(host), "push": "99 (0123456789ab)"})
    assert main([*arguments[:-1], str(whole), "--resume"]) == 2
    assert "something else: versions (push: " in capsys.readouterr().err


def test_evaluate_when_a_file_changed_since_then_resuming_is_refused(folder, whole, arguments, tmp_path, capsys):
    """The rows, the database their SQL is run on, the weights: each is noticed; other paths to the same are not."""
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    database = next(line["database"] for line in lines if "database" in line)
    shutil.copy(database, tmp_path / "shop.db")
    shutil.copytree(folder / "policy", tmp_path / "policy")
    for line in lines:
        if "database" in line:
            line["database"] = "shop.db"
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ours = [*arguments[:-1], str(tmp_path / "out"), "--data", str(rows), "--model", str(tmp_path / "policy")]
    assert main(ours) == 0
    rows.rename(moved := tmp_path / "moved.jsonl")
    ours[-3] = str(moved)
    (tmp_path / "policy").rename(tmp_path / "elsewhere")
    (tmp_path / "policy").symlink_to(tmp_path / "elsewhere")
    assert main([*ours, "--resume"]) == 0
    capsys.readouterr()
    os.utime(tmp_path / "policy" / "model.safetensors", (1, 1))
    assert main([*ours, "--resume"]) == 2
    assert "something else: model (fingerprint: " in capsys.readouterr().err
    with (tmp_path / "shop.db").open("ab") as file:
        file.write(b"\0")
    assert main([*ours, "--resume", "--model", str(folder / "policy")]) == 2
    assert "something else: data (fingerprint: " in capsys.readouterr().err


def test_evaluate_when_the_rows_file_changes_while_it_is_read_then_nothing_of_it_is_answered(
    folder, arguments, tmp_path, monkeypatch, capsys
):
    """Rows of two files must not stand in one evaluation."""
    from grpo.evaluate import windows

    rows = tmp_path / "rows.jsonl"
    shutil.copy(folder / "rows.jsonl", rows)
    measure = windows.measure_prompts

    def measure_and_change(*given):
        with rows.open("a") as file:
            file.write("\n")
        return measure(*given)

    monkeypatch.setattr(windows, "measure_prompts", measure_and_change)
    assert main([*arguments, "--data", str(rows)]) == 2
    assert "was changed while it was read" in capsys.readouterr().err
    assert not (tmp_path / "out" / "pending.jsonl").exists()


def test_evaluate_when_all_is_answered_then_resuming_loads_no_model(whole, arguments, tmp_path, monkeypatch):
    """A finished evaluation is only summed up again."""
    out = tmp_path / "whole"
    shutil.copytree(whole, out)
    monkeypatch.setattr("grpo.evaluate.backends.load_source", None)
    assert main([*arguments[:-1], str(out), "--resume"]) == 0
    assert is_whole(out, whole)


def test_evaluate_when_its_rows_were_edited_then_resuming_names_the_line(whole, arguments, tmp_path, capsys):
    """A row that is gone, or is no row any more, is no beginning of this evaluation."""
    for name, change in (("gone", lambda lines: lines[:3] + lines[4:]), ("bad", lambda lines: [*lines[:3], b"{}\n"])):
        out = tmp_path / name / "whole"
        out.parent.mkdir()
        interrupt(whole, out, 10)
        lines = (out / "rows.jsonl").read_bytes().splitlines(keepends=True)
        (out / "rows.jsonl").write_bytes(b"".join(change(lines)))
        assert main([*arguments[:-1], str(out), "--resume"]) == 2
        assert "rows.jsonl:4: no" in capsys.readouterr().err


def test_evaluate_when_another_process_writes_there_then_refused(whole, arguments, tmp_path, capsys):
    """Two processes in one folder would write each row twice."""
    fcntl = pytest.importorskip("fcntl")
    out = tmp_path / "whole"
    interrupt(whole, out, 10)
    with (out / "rows.jsonl").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main([*arguments[:-1], str(out), "--resume"]) == 2
    assert "another process is writing there" in capsys.readouterr().err


def test_evaluate_when_it_ended_before_it_had_begun_then_it_simply_begins(whole, arguments, tmp_path):
    """A kill between the first two files leaves nothing that has to be deleted by hand."""
    out = tmp_path / "whole"
    out.mkdir()
    (out / "rows.jsonl").touch()
    assert main([*arguments[:-1], str(out)]) == 0
    assert is_whole(out, whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows.jsonl", "pending.jsonl", "journal.json", "evaluation.json"])
def test_evaluate_when_a_file_of_it_is_damaged_then_the_same_bytes_or_one_line(
    whole, arguments, tmp_path, capsys, monkeypatch, name
):
    """Gone, empty, cut, zeroed, another's, a list, a folder, a pipe, a device: never other numbers, a traceback or a hang."""
    damages = {
        "gone": lambda path: path.unlink(), "empty": lambda path: path.write_bytes(b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
        "doubled": lambda path: path.write_bytes(path.read_bytes() * 2),
        "a list": lambda path: path.write_bytes(b"[1, null]\n"), "a number": lambda path: path.write_bytes(b"7\n"),
        "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe{}\n"),
        "a folder": lambda path: (path.unlink(), path.mkdir()), "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
        "a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    }  # fmt: skip
    for what, damage in damages.items():
        out = tmp_path / what / "whole"
        out.parent.mkdir()
        interrupt(whole, out, 10, (12, 13))
        damage(out / name)
        with at_most(60, time.monotonic):
            code = main([*arguments[:-1], str(out), "--resume"])
        said = capsys.readouterr().err.splitlines()
        if code == 0:
            assert is_whole(out, whole), what
        else:
            assert code in (1, 2) and len(said) == 1 and name in said[0], (what, code, said)
