"""A disk that is full, a folder that is gone, memory that is not there: one line, and a run that can be resumed."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from callbacks.watch.rules import WatchSection
from callbacks.watch.watch import Watch, make_callback
from grpo.config.loading import load_config
from grpo.engines.choose import choose_engine
from grpo.engines.packages import require_training_stack
from grpo.lifecycle.begin import require_room
from grpo.lifecycle.faults import explain, guard
from grpo.lifecycle.resume import list_reliance, read_reliance
from grpo.lifecycle.run_directory import RunDirectory
from grpo.plan.disk_estimate import estimate_disk
from grpo.plan.memory_estimate import MemoryEstimate, find_shape
from grpo.run import finish
from rewards.errors import RecompensaError, UserError
from rewards.writing.manifests import find_changes, write_manifest

PLAN = SimpleNamespace(
    config=SimpleNamespace(grpo=SimpleNamespace(micro_batch_size=None)),
    trl=SimpleNamespace(per_device_train_batch_size=64),
    memory=MemoryEstimate(
        weights=2 << 30, gradients=1 << 30, optimiser=1 << 30, activations=32 << 30, kv_cache=1 << 30
    ),
    device=SimpleNamespace(memory_bytes=24 << 30),
)


class SafetensorError(Exception):
    """As safetensors has it."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/metrics.jsonl"), "/x/metrics.jsonl: the disk is full"),
        (OSError(errno.EROFS, "Read-only file system", "/x/a"), "/x/a: the disk is read-only"),
        (OSError(errno.EACCES, "Permission denied", "/x/a"), "writing is not permitted"),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), "is the disk full?"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "is the disk full?",
        ),
        (MemoryError(), "out of memory: "),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
            "micro_batch_size=",
        ),
    ],
)
def test_explain_when_disk_or_memory_give_out_then_says_which_in_one_line(tmp_path, error, said):
    """Whoever raised it: Python, torch or safetensors, also as the cause of another error."""
    outer = ValueError("while saving")
    outer.__cause__ = error
    for each in (error, outer):
        line = explain(each, RunDirectory(tmp_path), PLAN)
        assert said in line and "\n" not in line
    (tmp_path / "config.json").write_text("{}")
    assert explain(ValueError("a bug"), RunDirectory(tmp_path), PLAN) is None
    gone = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "metrics.jsonl"))
    assert "files of this run were deleted" in explain(gone, RunDirectory(tmp_path), PLAN)
    gone.filename = "/elsewhere"
    assert explain(gone, RunDirectory(tmp_path), PLAN) is None


@pytest.mark.parametrize("left", [(), ("config.json", "identity.json", "plan.json")])
def test_explain_when_the_folder_is_being_deleted_then_waits_until_that_is_plain(tmp_path, left):
    """torch and safetensors name no file, and fail while the settings are still there."""
    for name in ("config.json", "identity.json", "plan.json", "status.json"):
        (tmp_path / name).write_text("{}")

    def delete():
        time.sleep(0.3)
        for path in tmp_path.iterdir():
            if path.name not in left:
                path.unlink()

    deleting = threading.Thread(target=delete)
    deleting.start()
    line = explain(RuntimeError("Parent directory checkpoint-2 does not exist."), RunDirectory(tmp_path), PLAN)
    deleting.join()
    assert "is gone" in line and "\n" not in line
    assert explain(ValueError("a bug"), RunDirectory(tmp_path), PLAN) is None or not left


def test_explain_when_a_run_was_named_by_a_relative_path_then_its_files_are_known(tmp_path, monkeypatch):
    """Libraries say the whole path of what they miss."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    missing = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "run" / "checkpoints" / "x"))
    assert "files of this run were deleted" in explain(missing, RunDirectory(Path("run")), PLAN)


def test_explain_when_memory_gives_out_then_names_the_micro_batch_that_fits():
    """32 GiB of activations at 64 rows: of 24 GiB nine tenths less 4 GiB are 17.6 GiB, which 32 rows fit into."""
    line = explain(MemoryError(), RunDirectory(Path("/")), PLAN)
    assert "--set grpo.micro_batch_size=32" in line and "auto" in line


def test_guard_when_the_disk_is_full_then_the_run_ends_resumable_with_its_last_whole_state(tmp_path):
    """Exit code 75, and no traceback."""
    directory = RunDirectory(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    checkpoint = directory.checkpoints / "checkpoint-8"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    write_manifest(checkpoint)
    said: list[str] = []

    def fail() -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    progress = SimpleNamespace(say=lambda line, always=False: said.append(line))
    assert guard(fail, directory, PLAN, progress) == 75
    assert len(said) == 2 and "the disk is full" in said[0]
    assert "checkpoints/checkpoint-8" in said[1] and f"--resume {tmp_path}" in said[1]
    shutil.rmtree(tmp_path)
    said.clear()
    assert guard(fail, directory, PLAN, progress) == 75 and said == [
        f"error: {tmp_path}: the folder of the run is gone; what it held is lost"
    ]
    # Deleted while a checkpoint was written, whose folder was made again.
    (tmp_path / "checkpoints").mkdir(parents=True)
    said.clear()
    assert guard(lambda: {}["Parent directory does not exist"], directory, PLAN, progress) == 75 and len(said) == 1
    assert "is gone" in said[0]
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(KeyError):
        guard(lambda: {}["bug"], directory, PLAN, progress)


@pytest.mark.parametrize("code", [0, None, "bad key"])
def test_guard_when_a_library_ends_the_process_then_the_run_is_not_called_done(tmp_path, code):
    """`sys.exit(0)` of somebody else in the middle of a run is no success."""
    with pytest.raises(RecompensaError, match="a library or plugin ended the process"):
        guard(lambda: sys.exit(code), RunDirectory(tmp_path), PLAN, None)


def test_disk_when_counted_by_hand_then_is_the_weights_of_all_that_is_kept():
    """Embedded: three checkpoints of weights and Adam's two moments, best twice, the warm-up, rows, 20 MiB of files."""
    config = load_config("v4_1", [], "embedded")
    shape, _ = find_shape(config.model)
    grpo = config.grpo
    stored = grpo.completions_per_step * -(-grpo.max_steps // grpo.log_completions_every)
    found = estimate_disk(config, shape, device_kind="cpu", row_tokens=200, evaluations=5, held_out_rows=320)
    weights = 4 * shape.parameters
    assert found == 3 * 3 * weights + 3 * weights + (stored + 8 * 320) * (1_500 + 800) + (20 << 20)
    config = load_config("v4_1", ["stages=[sft]"], "embedded")
    found = estimate_disk(config, shape, device_kind="cpu", row_tokens=200, evaluations=5, held_out_rows=320)
    assert found == 3 * 3 * weights + 3 * weights + 8 * 320 * (1_500 + 800) + (20 << 20)


@pytest.mark.parametrize(("stages", "missing"), [("[sft]", False), ("[grpo]", True)])
def test_stack_when_grpos_optimiser_lacks_its_package_then_only_a_run_of_grpo_is_refused(stages, missing, monkeypatch):
    """grpo.optim of a recipe says nothing of a run that leaves GRPO out."""
    monkeypatch.setattr("grpo.engines.packages.is_installed", lambda name: name != "bitsandbytes")
    config = load_config("v4_1", [f"stages={stages}", "grpo.optim=paged_adamw_8bit"], "embedded")
    with pytest.raises(UserError, match="needs bitsandbytes") if missing else nullcontext():
        require_training_stack(config, choose_engine(config.model))


def test_room_when_the_disk_is_too_small_then_the_run_is_refused_before_it_begins(tmp_path):
    """A folder that is not there yet is on the disk of its parent."""
    require_room(tmp_path / "runs" / "a", 1 << 20)
    require_room(tmp_path / "runs" / "a", None)
    with pytest.raises(UserError, match=r"takes about .* of disk, and .* are free"):
        require_room(tmp_path / "runs" / "a", shutil.disk_usage(tmp_path).free + (1 << 30))


def test_watch_when_a_loss_is_no_number_then_no_checkpoint_is_made_of_what_it_left():
    """The weights after it are not numbers either."""
    pytest.importorskip("transformers")
    watch = Watch(WatchSection(), beta=0.0, recipe=False, settings={"max_completion_length": 8, "max_steps": 9})
    watch.observe({"loss": float("nan"), "reward": 0.5}, stage="train", step=3)
    assert watch.stop is not None
    control = SimpleNamespace(should_save=True, should_training_stop=False)
    make_callback(watch).on_log(None, SimpleNamespace(global_step=3, max_steps=9), control)
    assert (control.should_training_stop, control.should_save) == (True, False)


def test_interruption_when_winding_up_hangs_after_a_second_signal_then_the_process_leaves_all_the_same():
    """Within the stated seconds, with the exit code of a run that can be resumed."""
    program = (
        "import time; from callbacks import interrupt; interrupt.LEAVE_SECONDS = 0.5\n"
        "with interrupt.Interruption():\n"
        "    print('ready', flush=True)\n"
        "    try:\n        time.sleep(60)\n"
        "    finally:\n        time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ})
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 75


def test_run_when_the_disk_is_full_in_its_decision_then_it_is_told_and_resumable(tmp_path, monkeypatch):
    """What comes after training is guarded as training is: two lines and 75, not an error of its own."""
    from grpo import run

    def decide(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "decision.json"))

    monkeypatch.setattr("grpo.decide.decide_run.decide_run", decide)
    (tmp_path / "config.json").write_text("{}")
    directory, said = RunDirectory(tmp_path), []
    progress = SimpleNamespace(say=lambda line, always=False: said.append(line))
    work = partial(run.finish, directory, None, 4, "embedded", progress, 1.0, 0)
    assert guard(work, directory, PLAN, progress) == 75
    assert "the disk is full" in said[0] and "--resume" in said[1] and len(said) == 2


def test_finish_when_killed_as_the_report_is_written_then_files_of_the_run_are_still_relied_on(tmp_path, monkeypatch):
    """The status that says how the run ended says what the decision was made from, too."""

    class Killed(BaseException):
        pass

    def be_killed(path):
        raise Killed

    monkeypatch.setattr("grpo.decide.decide_run.decide_run", lambda *_, **__: None)
    monkeypatch.setattr("grpo.report.write_report", be_killed)
    (tmp_path / "metrics.jsonl").write_text('{"stage": "train", "step": 6}\n')
    run = RunDirectory(tmp_path)
    run.reach("decision", 6, relies_on=list_reliance(tmp_path))
    with pytest.raises(Killed):
        finish(run, None, 6, "embedded", None, 1.0)
    noted = read_reliance(tmp_path)["relies_on"]
    assert run.stage() == "decision" and find_changes(tmp_path, noted) == ""
    (tmp_path / "metrics.jsonl").write_text('{"stage": "train", "step": 7}\n')
    assert "metrics.jsonl" in find_changes(tmp_path, noted)
