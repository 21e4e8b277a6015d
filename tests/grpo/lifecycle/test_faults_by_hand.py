"""What is said of a fault from outside, and what is advised: each kind alone, with numbers that can be worked out by hand."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from grpo.lifecycle import faults
from grpo.lifecycle.faults import describe_last, explain, guard
from grpo.lifecycle.run_directory import RunDirectory
from grpo.plan.memory_estimate import MemoryEstimate
from rewards.errors import RecompensaError
from rewards.writing.manifests import write_manifest

GIB = 1 << 30


def make_plan(present=64, memory=24 * GIB, activations=32, kv_cache=1):
    """4 GiB of weights, gradients and moments; activations of so many rows."""
    estimate = MemoryEstimate(2 * GIB, 1 * GIB, 1 * GIB, activations * GIB, kv_cache * GIB)
    return SimpleNamespace(
        config=SimpleNamespace(grpo=SimpleNamespace(micro_batch_size=None)),
        trl=SimpleNamespace(per_device_train_batch_size=present),
        memory=estimate, device=SimpleNamespace(memory_bytes=memory),
    )  # fmt: skip


@pytest.fixture
def directory(tmp_path):
    """The folder of a run, whole as far as it is looked at."""
    for name in ("config.json", "plan.json", "identity.json", "status.json"):
        (tmp_path / name).write_text("{}")
    return RunDirectory(tmp_path)


# -- memory -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "size", "needed"),
    [
        ({}, 32, "20.0"),  # nine tenths of 24 less 4 are 17.6: 16 for 32 rows
        ({"memory": 12 * GIB}, 8, "8.0"),  # 6.8: 4 for 8
        ({"memory": None}, 32, "20.0"),  # seven tenths of the 36 that were expected, less 4: 21.2
        ({"memory": 1000 * GIB}, 32, "20.0"),  # it did not fit, whatever the plan said
        ({"memory": 5 * GIB}, 1, "5.0"),  # the cache is larger than what one row keeps
        ({"present": 6, "activations": 12, "memory": 12 * GIB}, 3, "10.0"),  # 6.8: 6 for 3, a divisor of 6
        ({"present": 6, "activations": 12, "memory": 11 * GIB}, 2, "8.0"),  # 5.9
        ({"present": 5, "activations": 10, "memory": 30 * GIB}, 1, "6.0"),
        ({"present": 2, "activations": 2, "kv_cache": 7}, 1, "11.0"),
    ],
    ids=str,
)
def test_advice_when_memory_gives_out_then_it_is_the_largest_cut_that_fits(directory, settings, size, needed):
    """Whole cuts of what is there, at least one step down."""
    line = explain(MemoryError(), directory, make_plan(**settings))
    assert line.startswith("out of memory: the plan expected ")
    assert f"start a new run with --set grpo.micro_batch_size={size} (about {needed} GiB, the same gradients" in line


@pytest.mark.parametrize("settings", [{"present": 1}, {"present": 0}, None], ids=str)
def test_advice_when_a_pass_cannot_be_smaller_or_nothing_was_estimated_then_it_is_to_ask_for_less(directory, settings):
    """Shorter completions, fewer prompts, fewer bits."""
    plan = make_plan(**settings or {})
    plan.memory = plan.memory if settings else None
    line = explain(MemoryError(), directory, plan)
    assert line == (
        "out of memory: lower grpo.max_completion_length or grpo.prompts_per_step, or take model.quantization: nf4 or model.lora"
    )


class OutOfMemoryError(Exception):
    """As torch has it."""


class AcceleratorError(Exception):
    """As torch has it since 2.8."""


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (OutOfMemoryError(), True),
        (AcceleratorError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("Cannot allocate memory"), True),
        (RuntimeError("not enough memory: you tried"), True),
        (RuntimeError("memory"), False),
        (ValueError("out of memory"), False),
    ],
    ids=repr,
)
def test_fault_when_it_is_of_the_memory_then_it_is_known_by_its_class_or_its_words(directory, error, is_memory):
    """What a library's own error says in passing is not torch's."""
    line = explain(error, directory, make_plan())
    assert line.startswith("out of memory: ") if is_memory else line is None


# -- the disk ---------------------------------------------------------------------------------------------------------------


class SafetensorError(Exception):
    """As safetensors has it."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EDQUOT, "x", "/a"), "/a: the quota of the disk is used up"),
        (OSError(errno.EIO, "x"), "{folder}: the disk fails"),
        (OSError(errno.EINVAL, "x", "/a"), None),
        (OSError("no number"), None),
        (RuntimeError("PytorchStreamWriter failed writing file"), "{folder}: cannot be written (is the disk full?)"),
        (SafetensorError("os error 28"), "{folder}: cannot be written (is the disk full?)"),
        (ValueError("No space left on device"), None),
        (RuntimeError("a bug"), None),
        (FileNotFoundError(errno.ENOENT, "x", "/elsewhere/file"), None),
    ],
    ids=repr,
)
def test_fault_when_it_is_of_the_disk_then_its_number_or_its_words_say_which(directory, error, said, monkeypatch):
    """With the file where the error names one, else the folder of the run."""
    monkeypatch.setattr(faults, "_SECONDS_TO_DELETE", 0.0)
    found = explain(error, directory, make_plan())
    assert found == (said and said.format(folder=directory.path))


def test_fault_when_it_lies_below_others_then_the_chain_is_gone_through_once(directory):
    """As a cause or in passing; also where an error is its own cause in the end."""
    deep = OSError(errno.ENOSPC, "x", "/a")
    middle, outer = ValueError("middle"), KeyError("outer")
    middle.__context__, outer.__cause__ = deep, middle
    assert explain(outer, directory, make_plan()) == "/a: the disk is full"
    deep.__cause__ = outer
    assert explain(outer, directory, make_plan()) == "/a: the disk is full"
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert explain(one, directory, make_plan()) is None


def test_fault_when_files_of_the_run_are_missing_then_it_is_told_how_much_is_gone(directory, monkeypatch):
    """One file, the settings, the whole folder; what is missing elsewhere is no fault of the disk."""
    monkeypatch.setattr(faults, "_SECONDS_TO_DELETE", 0.0)
    vague = RuntimeError("Parent directory x does not exist.")
    assert explain(vague, directory, make_plan()) is None  # nothing is
    mine = FileNotFoundError(errno.ENOENT, "x", str(directory.path / "metrics.jsonl"))
    deleted = "is gone: files of this run were deleted while it was running"
    assert explain(mine, directory, make_plan()) == f"{directory.path / 'metrics.jsonl'}: {deleted}"
    (directory.path / "plan.json").unlink()
    assert explain(vague, directory, make_plan()) == f"{directory.path}: {deleted}"
    assert explain(RuntimeError("a bug"), directory, make_plan()) is None
    for name in ("config.json", "identity.json"):
        (directory.path / name).unlink()
    gone = f"{directory.path}: the folder of the run is gone; what it held is lost"
    assert explain(RuntimeError("a bug"), directory, make_plan()) == gone
    nowhere = RunDirectory(directory.path / "nowhere")
    assert explain(MemoryError(), nowhere, make_plan()) == gone.replace(str(directory.path), str(nowhere.path))


# -- what is left -----------------------------------------------------------------------------------------------------------


def test_last_state_when_it_is_described_then_it_is_the_newest_that_is_whole(directory):
    """Of GRPO, of the warm-up, its end, nothing."""
    assert describe_last(directory) == "fix the cause"
    directory.sft.mkdir()
    assert describe_last(directory) == "the last intact state is the end of the warm-up; fix the cause"
    for folder, said in ((directory.warmup_checkpoints, "sft-checkpoints"), (directory.checkpoints, "checkpoints")):
        for step, whole in ((7, True), (14, False)):
            (folder / f"checkpoint-{step}").mkdir(parents=True)
            (folder / f"checkpoint-{step}" / "x").write_text("x")
            if whole:
                write_manifest(folder / f"checkpoint-{step}")
        assert describe_last(directory) == f"the last intact state is {said}/checkpoint-7; fix the cause"


def guarded(directory, error):
    """The exit code of work that ends so, and what was said, with whether a quiet run says it too."""
    said = []

    def work():
        raise error

    progress = SimpleNamespace(say=lambda line, always=False: said.append((line, always)))
    return guard(work, directory, make_plan(), progress), said


def test_run_when_it_ends_from_outside_then_two_lines_say_why_and_how_it_goes_on(directory):
    """Also in a run that is told to be quiet; a folder without settings cannot be resumed."""
    code, said = guarded(directory, OSError(errno.ENOSPC, "x", "/a"))
    assert code == 75 and said == [
        ("error: /a: the disk is full", True),
        (f"fix the cause; then resume with: python -m grpo.run --resume {directory.quoted}", True),
    ]
    for name in ("config.json", "identity.json"):
        (directory.path / name).unlink()
    assert guarded(directory, MemoryError())[1][1:] == []
    (directory.path / "config.json").write_text("{}")
    with pytest.raises(KeyError):
        guarded(directory, KeyError())  # a bug is shown whole
    assert guard(lambda: 3, directory, make_plan(), None) == 3


@pytest.mark.parametrize(
    ("code", "said"), [(0, "no reason given"), (None, "no reason given"), (7, "7"), ("bye", "bye")]
)
def test_run_when_a_library_ends_the_process_then_it_is_not_done(directory, code, said):
    """Whatever code it asks for."""
    with pytest.raises(RecompensaError, match=rf"a library or plugin ended the process \({said}\)"):
        guarded(directory, SystemExit(code))
