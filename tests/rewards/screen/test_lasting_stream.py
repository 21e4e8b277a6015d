"""A long command outlives what shows it: a pipe whose reader has left, a full disk, streams that a shell has closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WORK = """
import os, sys
from callbacks.progress import Progress
from rewards.screen.command_line import run_command

def work():
    progress = Progress()
    with progress.stage("train", 2000) as stage:
        for at in range(2000):
            progress.say("x" * 100)
            stage.advance()
    with open(sys.argv[1], "w") as file:
        file.write(f"{file.fileno()}")
    print("printed")
    return 75

sys.exit(run_command(work))
"""


def run(tail: str, note: Path) -> tuple[int, str, str]:
    """Exit code and standard error of a command that says 200 KB, and what it wrote down at its end."""
    script = f"'{sys.executable}' -c \"$WORK\" '{note}' {tail}"
    environment = {**os.environ, "WORK": WORK, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stderr, note.read_text() if note.exists() else ""


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        ("| head -1; exit ${PIPESTATUS[0]}", "Broken pipe"),
        ("> /dev/full", "No space left on device"),
        (">&-", ""),
        (">&- <&-", ""),
    ],
    ids=["head", "full", "closed", "both closed"],
)
def test_work_when_its_output_is_gone_then_it_ends_as_it_would_have(tmp_path, tail, reason):
    """The exit code is the command's own; the one line about it stands on standard error."""
    code, errors, wrote = run(tail, tmp_path / "note")
    assert code == 75 and "Traceback" not in errors and "Exception" not in errors
    assert int(wrote) > 2, "a file of the work is none of the standard streams"
    assert len(errors.splitlines()) == bool(reason) and reason in errors


@pytest.mark.parametrize("tail", ["> /dev/full 2> /dev/full", ">&- 2>&-"], ids=["full", "closed"])
def test_work_when_nothing_can_be_told_at_all_then_the_exit_code_tells(tmp_path, tail):
    """Nor does a complaint that cannot be made end it."""
    assert run(tail, tmp_path / "note")[0] == 75
