"""What may end training from outside: a full disk, a folder that is gone, memory that is not there. One line each, resumable."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rewards.errors import RecompensaError
from rewards.screen.amounts import format_size
from rewards.screen.command_line import INTERRUPTED

if TYPE_CHECKING:
    from grpo.lifecycle.run_directory import RunDirectory
    from grpo.plan.plan import Plan

_STORAGE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing is not permitted",
    errno.EPERM: "writing is not permitted",
    errno.EIO: "the disk fails",
    errno.EFBIG: "a file is larger than the system allows",
    errno.ESTALE: "the network disk is gone",
}
# Of torch and safetensors, whose errors carry no number.
_STORAGE_WORDS = (
    "PytorchStreamWriter",
    "iostream error",
    "unexpected pos",
    "No space left",
    "I/O error",
    "os error 28",
)
_DELETED = "is gone: files of this run were deleted while it was running"
_MISSING_WORDS = (
    "No such file",
    "does not exist",
    "Parent directory",
    "os error 2",
    "not a directory",
    "Not a directory",
)
_SECONDS_TO_DELETE = 3.0
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory")


def guard(work: Callable[[], int], directory: RunDirectory, plan: Plan, progress: Any) -> int:
    """The exit code of the work; what ends it from outside is told in two lines, and the run stays resumable."""
    try:
        return work()
    except SystemExit as end:  # of a library or a model's own code: whatever its code, the run is not done
        raise RecompensaError(f"a library or plugin ended the process ({end.code or 'no reason given'})") from end
    except Exception as error:
        line = explain(error, directory, plan)
        if line is None:
            raise
        progress.say(f"error: {line}", always=True)
        if directory.has_settings:
            progress.say(
                f"{describe_last(directory)}; then resume with: python -m grpo.run --resume {directory.quoted}",
                always=True,
            )
        return INTERRUPTED


def explain(error: BaseException, directory: RunDirectory, plan: Plan) -> str | None:
    """One line about a fault of the disk or the memory; None for any other."""
    gone = f"{directory.path}: the folder of the run is gone; what it held is lost"
    if not directory.path.is_dir():
        return gone
    home = str(directory.path.absolute())
    for each in _chain(error):
        if _is_memory(each):
            return f"out of memory: {_advise(plan)}"
        where = getattr(each, "filename", None) or directory.path
        reason = _name_storage(each)
        if reason is None and isinstance(each, FileNotFoundError) and os.path.abspath(str(where)).startswith(home):
            reason = _DELETED
        if reason is not None:
            return f"{where}: {reason}"
    # Libraries make folders again that they want to write into, and fail in ways of their own. Whoever deletes a folder
    # takes a while: what fails first may fail before the settings are gone.
    missing = any(_misses_file(each, home) for each in _chain(error))
    deadline = time.monotonic() + _SECONDS_TO_DELETE
    while missing and directory.is_whole and time.monotonic() < deadline:
        time.sleep(0.1)
    if not directory.path.is_dir() or not directory.has_settings:
        return gone
    return f"{directory.path}: {_DELETED}" if missing and not directory.is_whole else None


def describe_last(directory: RunDirectory) -> str:
    """The last state that is whole."""
    checkpoint = directory.latest_checkpoint()
    if checkpoint is not None:
        return f"the last intact state is checkpoints/{checkpoint.name}; fix the cause"
    if (checkpoint := directory.latest_warmup_checkpoint()) is not None:
        folder = directory.warmup_checkpoints.name
        return f"the last intact state is {folder}/{checkpoint.name}; fix the cause"
    return (
        "the last intact state is the end of the warm-up; fix the cause" if directory.sft.is_dir() else "fix the cause"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _misses_file(error: BaseException, home: str) -> bool:
    """Whether an error may come of a file or folder of the run that is not where it was."""
    where = getattr(error, "filename", None)
    if where is not None and not os.path.abspath(str(where)).startswith(home):
        return False
    return isinstance(error, OSError) or any(word in str(error) for word in _MISSING_WORDS)


def _is_memory(error: BaseException) -> bool:
    named = isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError")
    return named or (isinstance(error, RuntimeError) and any(word in str(error) for word in _MEMORY_WORDS))


def _name_storage(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        return _STORAGE.get(error.errno or 0)
    foreign = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    full = foreign and any(word in str(error) for word in _STORAGE_WORDS)
    return "cannot be written (is the disk full?)" if full else None


def _advise(plan: Plan) -> str:
    """The largest micro-batch that should fit, by the plan's own estimate; it changes no number, only the time."""
    memory, whole = plan.memory, plan.device.memory_bytes
    present = plan.trl.per_device_train_batch_size
    if memory is None or present <= 1:
        return (
            "lower grpo.max_completion_length or grpo.prompts_per_step, or take model.quantization: nf4 or model.lora"
        )
    fixed = memory.weights + memory.gradients + memory.optimiser
    room = (0.9 * whole if whole else 0.7 * memory.peak) - fixed
    size = present
    while size > 1 and (memory.activations * size / present > room or size == present):
        size = next(n for n in range(size - 1, 0, -1) if present % n == 0)
    needed = format_size(fixed + max(memory.activations * size / present, memory.kv_cache))
    return (
        f"the plan expected {format_size(memory.peak)}; start a new run with --set grpo.micro_batch_size={size} (about "
        f"{needed}, the same gradients in more passes), or auto, which measures what fits"
    )
