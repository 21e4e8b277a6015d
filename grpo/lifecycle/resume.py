"""From where a run goes on: the newest checkpoint that is whole and whose run's files are those it was saved beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from callbacks.evaluation.best import BestCheckpoint, count_looks
from callbacks.evaluation.pairs import reader_of_rewards
from grpo.lifecycle.run_directory import RunDirectory, read_step
from rewards.errors import UserError
from rewards.writing.files import read_object, write_whole
from rewards.writing.manifests import MANIFEST, UNFINISHED, describe, find_changes, find_damage, write_manifest
from rewards.writing.writable import to_document

START = "start.json"
"""What GRPO begins from: the end of the warm-up, and the files there were by then."""

RELIES_ON = "relies_on"


@dataclass(frozen=True)
class ResumePoint:
    """`stage` is the one to do next, gone on with from `checkpoint`; GRPO from the end of the warm-up where that is None.

    `warmed`: of the first stage only the evaluations after the warm-up are left. `notes` say, a line each, what was passed
    over.
    """

    stage: str
    checkpoint: Path | None = None
    notes: tuple[str, ...] = ()
    warmed: bool = False

    @property
    def step(self) -> int:
        return read_step(self.checkpoint) if self.checkpoint else 0


def seal_checkpoint(checkpoint: Path, run: Path) -> None:
    """Say that a checkpoint is whole, and what of the run's files it goes with; the last thing that is written of it."""
    write_manifest(checkpoint, step=read_step(checkpoint), **{RELIES_ON: list_reliance(run)})


def seal_start(directory: RunDirectory) -> None:
    """The same for the end of the warm-up."""
    directory.write_json(START, {RELIES_ON: list_reliance(directory.path)})


def list_reliance(run: Path, *, but: str | None = None) -> dict[str, Any]:
    """The files of a run that a resumed one reads, or never writes again, as they are now; `but` those of a folder."""
    files = {}
    for path in sorted((*run.glob("eval/*.jsonl"), *run.glob("completions/*.jsonl"))):
        files[path.relative_to(run).as_posix()] = describe(path)
    if (run / "metrics.jsonl").is_file():
        files["metrics.jsonl"] = describe(run / "metrics.jsonl", first=(run / "metrics.jsonl").stat().st_size)
    if but != "sft/" and (run / "sft" / MANIFEST).is_file():
        files[f"sft/{MANIFEST}"] = describe(run / "sft" / MANIFEST)
    return files


def read_reliance(run: Path) -> dict[str, Any]:
    """What the status of a run says of the files it goes with, to be written there again."""
    noted = read_object(run / "status.json")
    return {RELIES_ON: noted[RELIES_ON]} if RELIES_ON in noted else {}


@contextmanager
def kept_reliance(run: Path) -> Iterator[None]:
    """Inside, files of a run are changed on purpose, metrics row by row: what relied on them, and held, relies on them after."""
    held = []
    checkpoints = sorted(run.glob(f"*checkpoints/checkpoint-*/{MANIFEST}"))
    # The warm-up's first: the others rely on its file.
    for path in (run / "sft" / MANIFEST, run / START, run / "status.json", *checkpoints):
        noted = read_object(path)
        files = _reliance_of(noted)
        if files and not find_changes(run, files):
            grown = int(files.get("metrics.jsonl", {}).get("bytes", 0))
            rows = (run / "metrics.jsonl").read_bytes()[:grown].count(b"\n") if grown else 0
            held.append((path, noted, files, rows))
    yield
    for path, noted, files, rows in held:
        now = {name: describe(run / name) for name in files if name != "metrics.jsonl"}
        if "metrics.jsonl" in files:
            lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:rows]
            now["metrics.jsonl"] = describe(run / "metrics.jsonl", first=sum(map(len, lines)))
        write_whole(path, to_document({**noted, RELIES_ON: now}), settle=True)


def find_resume_point(directory: RunDirectory, config: Any, *, from_warmup: bool = False) -> ResumePoint:
    """The stage and the checkpoint to continue from.

    UserError where nothing whole is left, or where only the end of the warm-up is, and checkpoints that were there are lost:
    going back so far is for the user to say, by `from_warmup`.
    """
    noted = read_object(directory.path / "status.json")
    stage = directory.stage()
    notes = [] if noted else ["status.json cannot be read; what was reached follows from the other files"]
    if stage == "decision" and not from_warmup:
        damage = find_changes(directory.path, _reliance_of(noted)) or _find_best_damage(directory, config)
        if not damage:
            return ResumePoint(stage)  # as a status that can be read says: there is nothing to note
        notes.append(f"{damage}: it is made again")
    if stage == "sft":
        return _find_warmup_point(directory, config, notes)
    where = f"--resume {directory.path}"
    _refuse_without_warmup(directory, config, noted, notes)
    rows = _read_rows(directory.path / "metrics.jsonl")
    lost = False
    for checkpoint in [] if from_warmup else _list_checkpoints(directory.checkpoints):
        fault = (
            find_damage(checkpoint)
            or _find_mismatch(directory, checkpoint)
            or _miss_best(directory, checkpoint, rows, config)
        )
        if not fault:
            reached = read_step(checkpoint) >= config.grpo.max_steps
            return ResumePoint("final" if reached else "grpo", checkpoint, tuple(notes))
        notes.append(f"checkpoints/{checkpoint.name}: {fault}; the one before it is taken")
        lost = lost or fault != UNFINISHED
    trained = max((int(row["step"]) for row in rows if row.get("stage") == "train"), default=0)
    lost = lost or (config.trains_grpo and trained > config.grpo.save_every_steps)
    fault = _find_faulty_start(directory, config)
    if fault and noted.get("stage") in ("grpo", "final", "decision"):
        raise UserError(
            [*notes, f"{where}: no checkpoint is intact, nor is the end of the warm-up ({fault}); start a new run"]
        )
    if fault:  # nobody noted that the warm-up came to its end
        return _find_warmup_point(directory, config, notes)
    if lost and not from_warmup:
        raise UserError(
            [*notes, f"{where}: no checkpoint is intact; to train again from the end of the warm-up, add --from-warmup"]
        )
    if from_warmup:
        notes.append("the checkpoints are ignored: GRPO starts again from the end of the warm-up")
    return ResumePoint("grpo" if config.trains_grpo else "final", None, tuple(notes))


def _refuse_without_warmup(directory: RunDirectory, config: Any, noted: dict[str, Any], notes: Sequence[str]) -> None:
    """UserError where the end of the warm-up is lost: where no step was better, it is what is judged in the end."""
    over = noted.get("stage") in ("grpo", "final", "decision") or any(directory.checkpoints.glob("checkpoint-*"))
    if config.sft_warmup.enabled and over and (damage := find_damage(directory.sft)):
        raise UserError(
            [
                *notes,
                f"--resume {directory.path}: sft/, the end of the warm-up: {damage}; restore it from a copy, or start a new run",
            ]
        )


def _find_warmup_point(directory: RunDirectory, config: Any, notes: Sequence[str]) -> ResumePoint:
    """Where the first stage goes on: after the warm-up, from one of its checkpoints, or again, which costs time and no number."""
    if not config.sft_warmup.enabled:
        return ResumePoint("sft", notes=tuple(notes))
    noted = read_object(directory.sft / MANIFEST)
    if RELIES_ON in noted:
        fault = find_damage(directory.sft) or find_changes(directory.path, _reliance_of(noted))
        if not fault:
            return ResumePoint("sft", notes=tuple(notes), warmed=True)
        notes = [*notes, f"sft/: {fault}; the warm-up's newest checkpoint is taken"]
    for checkpoint in _list_checkpoints(directory.warmup_checkpoints):
        fault = find_damage(checkpoint) or _find_mismatch(directory, checkpoint)
        if not fault:
            return ResumePoint("sft", checkpoint, tuple(notes))
        notes = [*notes, f"{directory.warmup_checkpoints.name}/{checkpoint.name}: {fault}; the one before it is taken"]
    if notes and directory.warmup_checkpoints.is_dir():
        notes = [*notes, "no checkpoint of the warm-up is intact: it starts over"]
    return ResumePoint("sft", notes=tuple(notes))


def _list_checkpoints(folder: Path) -> Sequence[Path]:
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]
    return sorted(found, key=read_step, reverse=True)


def _find_mismatch(directory: RunDirectory, checkpoint: Path) -> str:
    noted = read_object(checkpoint / MANIFEST)
    if noted.get("step") != read_step(checkpoint):
        return f"it was saved at step {noted.get('step')}"
    return find_changes(directory.path, _reliance_of(noted))


def _reliance_of(noted: dict[str, Any]) -> dict[str, Any]:
    found = noted.get(RELIES_ON)
    return found if isinstance(found, dict) else {}


def _miss_best(directory: RunDirectory, checkpoint: Path, rows: Sequence[dict[str, Any]], config: Any) -> str:
    """Where `best/` is damaged, a checkpoint after the step it was saved at would never make it again.

    What it holds of step 0 is copied again from `sft/`, where there was a warm-up.
    """
    step = read_step(checkpoint)
    best = _replay_best(
        directory, [row for row in rows if row.get("stage") != "train" or int(row["step"]) <= step], config
    )
    if best is None or best > step or (best == 0 and config.sft_warmup.enabled):
        return ""
    damage = find_damage(directory.best)
    return f"best/, saved at step {best}: {damage}" if damage else ""


def _find_best_damage(directory: RunDirectory, config: Any) -> str:
    """What is wrong with `best/` once all evaluations are made; empty where it is whole, or nothing was to be kept there."""
    if _replay_best(directory, _read_rows(directory.path / "metrics.jsonl"), config) is None:
        return ""
    damage = find_damage(directory.best)
    return f"best/: {damage}" if damage else ""


def _replay_best(directory: RunDirectory, rows: Sequence[dict[str, Any]], config: Any) -> int | None:
    """The step whose policy `best/` holds after these rows; None before the first evaluation."""
    looks = count_looks(config.grpo.max_steps, config.evaluation.every_steps)
    best = BestCheckpoint(config.evaluation.task_floor_margin, looks)
    return best.replay(rows, reader_of_rewards(directory.evaluations)).step


def _find_faulty_start(directory: RunDirectory, config: Any) -> str:
    noted = read_object(directory.path / START)
    if not noted:
        return f"{START} is missing or damaged"
    if (fault := find_changes(directory.path, _reliance_of(noted))) or not config.sft_warmup.enabled:
        return fault
    damage = find_damage(directory.sft)
    return f"sft/ {damage}" if damage else ""


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics up to the first that is none: what a checkpoint relies on is checked by its hash."""
    rows: list[dict[str, Any]] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return rows
    for line in lines:
        try:
            row = orjson.loads(line)
            int(row["step"])
        except (ValueError, KeyError, TypeError):
            break
        rows.append(row)
    return rows
