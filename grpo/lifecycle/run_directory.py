"""The folder of a run: its files, what was reached, and how it is taken up again."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from rewards.errors import UserError
from rewards.writing.files import is_alive, read_object, write_json
from rewards.writing.manifests import MANIFEST

STAGES = ("sft", "grpo", "final", "decision", "done")
ANSWERED = "answered.partial"
"""In `eval/`: the answers so far of the evaluation that is under way."""
_FOLDERS = ("sft", "checkpoints", "sft-checkpoints", "best", "eval", "completions", "not_finite", "tracked")
_FILES_END = (".json", ".jsonl", ".html", ".md", ".safetensors", ".pt", ".pth", ".bin", ".lock")
POLICY_NOTE = "policy.json"
"""In `best/`: what the folder holds."""


@dataclass(frozen=True)
class RunDirectory:
    """Paths of one run. Every file is written whole or not at all, and by the process that `writes` only."""

    path: Path
    writes: bool = True

    @property
    def quoted(self) -> str:
        """The folder as a word of a command: a path with spaces or accents can be pasted as it is printed."""
        return shlex.quote(str(self.path))

    @classmethod
    def create(cls, path: Path, files: Mapping[str, Any]) -> RunDirectory:
        """A fresh folder with these JSON files, all of them at once; `UserError` when something is there already."""
        _refuse_used(path)
        # A run that is killed before its folder is whole has none, and the same command starts it again. A draft of its own
        # for each process: of two that are given one name, the first to be done has it, and the other is told so.
        name = path.absolute().name
        draft = cls(path.absolute().with_name(f".{name}.{os.getpid()}.partial"))
        try:
            shutil.rmtree(draft.path, ignore_errors=True)
            draft.path.mkdir(parents=True)
            for file, value in files.items():
                draft.write_json(file, value)
            draft.reach("sft")
            draft.path.rename(path)
            for left in path.absolute().parent.glob(".*.partial"):
                if re.fullmatch(rf"\.{re.escape(name)}\.[0-9]+\.partial", left.name):
                    shutil.rmtree(left, ignore_errors=True)
        except OSError as fault:
            shutil.rmtree(draft.path, ignore_errors=True)
            _refuse_used(path)
            raise UserError(
                f"--run-dir {path}: cannot be made ({fault.strerror}); choose a folder you may write to"
            ) from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run; `UserError` when it is none."""
        directory = cls(path)
        if not directory.has_settings:
            raise UserError(f"--resume {path}: no run there (config.json is missing); give the folder of a run")
        links = _find_links_out(path)
        if links:
            raise UserError(
                f"--resume {path}: {', '.join(links)}: leads out of the run's folder, and a run writes and deletes only inside "
                "it; put what it leads to in its place (the whole folder may be such a link)"
            )
        odd = _find_odd_entries(path)
        if odd:
            raise UserError([f"--resume {path}: {line}; remove it, or restore what was there" for line in odd])
        return directory

    @property
    def has_settings(self) -> bool:
        """Whether what a run begins with and is resumed from is there: its config, or at least its identity."""
        return any((self.path / name).is_file() for name in ("config.json", "identity.json"))

    @property
    def is_whole(self) -> bool:
        """Whether every file that a run has from its beginning to its end is there."""
        return all(
            (self.path / name).is_file() for name in ("config.json", "plan.json", "identity.json", "status.json")
        )

    def latest_checkpoint(self) -> Path | None:
        """The newest checkpoint of GRPO that was finished, by step; None where there is none."""
        return _find_latest(self.checkpoints)

    def latest_warmup_checkpoint(self) -> Path | None:
        """The newest one of the warm-up that was finished; None where there is none, or the warm-up is over."""
        return _find_latest(self.warmup_checkpoints)

    @property
    def sft(self) -> Path:
        """The policy after the warm-up."""
        return self.path / "sft"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of GRPO."""
        return self.path / "checkpoints"

    @property
    def warmup_checkpoints(self) -> Path:
        """Of the warm-up, for as long as it is not over."""
        return self.path / "sft-checkpoints"

    @property
    def best(self) -> Path:
        """The best policy by held-out evaluation."""
        return self.path / "best"

    @property
    def evaluations(self) -> Path:
        """Results of the held-out evaluations."""
        return self.path / "eval"

    @property
    def completions(self) -> Path:
        """Stored completions."""
        return self.path / "completions"

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file into the directory; nothing on processes that do not write."""
        if not self.writes:
            return
        write_json(self.path / name, value)

    def read_json(self, name: str) -> Any:
        """The value of a JSON file in the directory; raises OSError if it is missing, ValueError if it is not JSON."""
        return orjson.loads((self.path / name).read_bytes())

    def forget_answers(self) -> None:
        """Drop what is left of the answers of an evaluation that was cut short: none is to come."""
        if self.writes:
            (self.evaluations / ANSWERED).unlink(missing_ok=True)

    def forget_drafts(self) -> None:
        """Drop what processes that were killed left of files they were writing; for whoever holds the run's lock."""
        for path in self.path.rglob(".*.draft"):
            number = path.name.rsplit(".", 2)[1]
            if number.isdecimal() and not is_alive(int(number)):
                path.unlink(missing_ok=True)

    def reach(self, stage: str, step: int = 0, **more: Any) -> None:
        """Note that `stage` (one of STAGES) is the one to do next."""
        self.write_json("status.json", {"stage": stage, "step": step, "finished": stage == "done", **more})

    def stage(self) -> str:
        """The stage to do next; where status.json does not tell, as far as the other files do."""
        stage = read_object(self.path / "status.json").get("stage")
        if stage in STAGES:
            return stage
        begun = self.checkpoints.is_dir() or (self.sft.is_dir() and not self.warmup_checkpoints.is_dir())
        return "grpo" if begun else "sft"


def read_policy_note(run: Path) -> dict[str, Any]:
    """What the run noted of its `best/`; empty where it keeps none, or an earlier version kept it."""
    return read_object(run / "best" / POLICY_NOTE)


def read_peak_memory(run: Path) -> int | None:
    """The most memory the run has held by its own account, in bytes; None where it wrote none down."""
    try:
        with (run / "timings.jsonl").open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 65536))
            lines = file.read().splitlines()
    except OSError:
        return None
    peaks = []
    for line in lines:
        if b"peak_memory_bytes" in line:
            with suppress(ValueError, AttributeError):
                peaks.append(orjson.loads(line).get("peak_memory_bytes"))
    return max((peak for peak in peaks if isinstance(peak, int)), default=None)


def name_policy(note: dict[str, Any]) -> str:
    """A note in words: `LoRA adapter of step 16 on NAME`, `whole model after the warm-up`."""
    form = "LoRA adapter" if note.get("kind") == "adapter" else "whole model"
    when = "of step 0, before GRPO" if note.get("step") == 0 else f"of step {note.get('step')}"
    on = f" on {note['base']}" if note.get("base") else ""
    return f"{form} {when}{on}"


def read_step(checkpoint: Path) -> int:
    """The step a checkpoint was saved after, which its name ends with."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def _find_links_out(run: Path) -> list[str]:
    """Up to three symbolic links in the folder that lead out of it, by their place there.

    Those inside `wandb/` are W&B's own: it links its logs to the user's cache, and nothing of ours writes there.
    """
    home, found = run.resolve(), []
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                found.append(path.relative_to(home).as_posix())
        if Path(folder) == home and "wandb" in folders:
            folders.remove("wandb")
    return sorted(found)[:3]


def _find_odd_entries(run: Path) -> list[str]:
    """Up to three entries of the folder that a run never makes: reading a pipe or a device would never come to an end."""
    home, found = run.resolve(), []
    for folder, folders, files in os.walk(home):
        if Path(folder) == home and "wandb" in folders:
            folders.remove("wandb")
        for name in (*folders, *files):
            path = Path(folder, name)
            with suppress(OSError):
                mode = path.stat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    found.append(f"{path.relative_to(home).as_posix()}: is neither a file nor a folder")
                elif stat.S_ISDIR(mode) and name.endswith(_FILES_END):
                    found.append(f"{path.relative_to(home).as_posix()}: is a folder, where a run has a file")
                elif stat.S_ISREG(mode) and (
                    (Path(folder) == home and name in _FOLDERS)
                    or (Path(folder).parent == home and re.fullmatch(r"checkpoint-[0-9]+", name))
                ):
                    found.append(f"{path.relative_to(home).as_posix()}: is a file, where a run has a folder")
    return sorted(found)[:3]


def _find_latest(folder: Path) -> Path | None:
    found = [path for path in folder.glob("checkpoint-*") if _is_finished(path)]
    return max(found, key=read_step, default=None)


def _is_finished(checkpoint: Path) -> bool:
    """Whether saving came to its end: the manifest is written last, in one move."""
    return bool(read_object(checkpoint / MANIFEST))


def _refuse_used(path: Path) -> None:
    try:
        used = path.exists() and not (path.is_dir() and next(path.iterdir(), None) is None)
    except OSError as fault:
        raise UserError(f"--run-dir {path}: cannot be read ({fault.strerror}); choose another folder") from None
    if used:
        hint = f"resume it by --resume {shlex.quote(str(path))}, or " if (path / "status.json").is_file() else ""
        raise UserError(f"--run-dir {path}: exists already; {hint}choose another name")
