"""The parts of a run's folder: what each weighs, who needs it, and which may be deleted."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from grpo.evaluate.policy_source import is_run
from grpo.lifecycle.run_directory import RunDirectory, read_step
from rewards.errors import UserError
from rewards.writing.files import read_object

KEEPABLE = ("best", "sft", "last")
# Weights, and leftovers of a process that was killed: no report reads them.
_TRACKED = ("tracked", "wandb", "tensorboard", "mlruns")
_LEFTOVERS = ("*.partial", "*.old", "sft-checkpoints", ".*.draft")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing in the folder: `name` is its path in the run, `use` what it is there for, `weights` whether it may go."""

    name: str
    path: Path
    bytes: int
    use: str
    weights: bool = False


def weigh(run: Path) -> list[Part]:
    """Every part, the heaviest first; a byte that two parts share (best/ and sft/ may) is counted in the first alone."""
    seen: set[tuple[int, int]] = set()
    parts = []
    checkpoints = sorted(run.glob("checkpoints/checkpoint-*"), key=_step)
    leftovers = sorted({path for pattern in _LEFTOVERS for path in run.glob(pattern)})
    weights = [
        (run / "best", "the best policy"),
        *((path, "a checkpoint that a stopped run resumes from") for path in reversed(checkpoints)),
        (run / "sft", "what the SFT warm-up left"),
        *((path, "left by a process that was killed") for path in leftovers),
    ]
    for path, use in weights:
        if path.exists():
            parts.append(Part(path.relative_to(run).as_posix(), path, _count(path, seen), use, weights=True))
    named = {part.path for part in parts} | {run / "checkpoints"}
    for path in sorted(run.iterdir()):
        if path not in named:
            use = "what trackers were or are to be sent" if path.name in _TRACKED else "the report and compare read it"
            parts.append(Part(path.name, path, _count(path, seen), use))
    return sorted(parts, key=lambda part: -part.bytes)


def choose_parts(run: Path, keep: Collection[str], *, force: bool) -> list[Part]:
    """The parts to delete so that `keep` (of KEEPABLE) and all that a report needs stay.

    UserError for a run that is not finished, which resumes from them, or where no policy would be left.
    """
    status = read_object(run / "status.json")
    if not status.get("finished") and not force:
        raise UserError(
            f"{run}: not finished (stage {status.get('stage', 'unknown')}), and would resume from its checkpoints; --force"
        )
    parts = [part for part in weigh(run) if part.weights]
    # An earlier version's checkpoints do not say that they are whole.
    newest = RunDirectory(run).latest_checkpoint() or max(run.glob("checkpoints/checkpoint-*"), key=_step, default=None)
    kept = {run / name for name in ("best", "sft") if name in keep}
    kept |= {newest} if "last" in keep and newest is not None else set()
    there = [part for part in parts if part.path in kept]
    if not there:
        has = ", ".join(part.name for part in parts) or "none"
        raise UserError(f"--keep {','.join(keep)}: {run} has none of them, so no policy would be left; it has {has}")
    return [part for part in parts if part.path not in kept]


def delete(parts: Sequence[Part]) -> None:
    """Delete them; each is renamed first, so that nobody finds half a checkpoint."""
    for part in parts:
        if part.path.is_symlink() or part.path.is_file():
            part.path.unlink()
            continue
        grave = part.path.with_name(f".{part.path.name}.old")
        shutil.rmtree(grave, ignore_errors=True)
        part.path.rename(grave)
        shutil.rmtree(grave)
        if part.path.parent.name == "checkpoints" and not any(part.path.parent.iterdir()):
            part.path.parent.rmdir()


def require_run(path: Path) -> Path:
    """The folder, which must be a run's."""
    if not (path.is_dir() and is_run(path)):
        raise UserError(f"{path}: not the folder of a run; give one, such as runs/mine")
    return path


def _step(path: Path) -> int:
    try:
        return read_step(path)
    except ValueError:
        return -1


def _count(path: Path, seen: set[tuple[int, int]]) -> int:
    total = 0
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if file.is_symlink() or not file.is_file():
            continue
        state = file.stat()
        if (state.st_dev, state.st_ino) not in seen:
            seen.add((state.st_dev, state.st_ino))
            total += state.st_size
    return total
