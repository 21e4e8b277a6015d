"""Which policy of a run is exported, from which folder it is read, and what the run recorded of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.evaluation.judged import find_judged
from callbacks.evaluation.pairs import name_evaluation_file
from grpo.evaluate.policy_source import PolicySource, find_source, is_run, load_run_config
from grpo.lifecycle.run_directory import read_policy_note
from grpo.report.run_files import RunFiles, read_run
from rewards.errors import UserError
from rewards.statistics.estimates import Estimate
from rewards.writing.manifests import MANIFEST, find_damage

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig


@dataclass(frozen=True, slots=True)
class PolicyToExport:
    """A policy to export. `run`, `step` and `files` are None for a folder or Hub model that no run here made.

    `stage` is `warmup`, `train`, `final` or `judged`: the evaluation that judged this step, where one did.
    """

    source: PolicySource
    config: RunConfig
    run: Path | None = None
    step: int | None = None
    stage: str | None = None
    files: RunFiles | None = None

    @property
    def name(self) -> str:
        """What the exported model is called: the run's name, or the folder's."""
        return self.run.resolve().name if self.run is not None else self.source.name

    @property
    def folder(self) -> Path:
        """The folder of the weights."""
        return Path(self.source.location)

    def describe(self) -> str:
        """One line for people: which policy this is."""
        form = "LoRA adapter" if self.source.kind == "adapter" else "whole model"
        at = "" if self.step is None else (" of the warm-up" if self.step == 0 else f" of step {self.step}")
        return f"{form}{at}, {self.source.location}"

    def recorded(self) -> dict[str, Estimate]:
        """The run's own evaluation of this step, by task; empty where it made none."""
        if self.files is None:
            return {}
        found = [item for item in self.files.evaluations if item.step == self.step and item.stage == self.stage]
        return dict(found[-1].estimates) if found else {}

    def recorded_answers(self) -> Path | None:
        """The stored answers of that evaluation; None where there are none."""
        if self.run is None or self.stage is None or self.step is None:
            return None
        path = self.run / "eval" / name_evaluation_file(self.stage, self.step)
        return path if path.is_file() else None


def choose(model: str, *, step: int | None = None, part: str | None = None) -> PolicyToExport:
    """The policy that the command line names; `part` is `best` or `sft`, `step` a checkpoint's, neither the best.

    UserError where the run has no such policy; the line says which it has.
    """
    path = Path(model).expanduser()
    if not (path.is_dir() and is_run(path)):
        if step is not None or part is not None:
            option = f"--step {step}" if step is not None else f"--{part}"
            raise UserError(f"{option}: {model} is not the folder of a run; leave the option out")
        return _outside(_named(model))
    files = read_run(path)
    config = load_run_config(path, rows=True)
    config = _as_trained(config, files)
    folder = _find_folder(path, step, part)
    if (folder / MANIFEST).is_file() and (damage := find_damage(folder)):
        raise UserError(
            f"{folder}: not as the run left it: {damage}; copy the run again, or export another of its policies: {_list_kept(path, folder)}"
        )
    source = _named(str(folder))
    source = replace(source, run=path, revision=config.model.revision)
    reached, stage = _find_stage(files, folder, step)
    return PolicyToExport(source, config, path, reached, stage, files)


def _named(model: str) -> PolicySource:
    try:
        return find_source(model)
    except UserError as error:
        raise UserError([line.replace("--model ", "", 1) for line in error.problems]) from None


def _outside(source: PolicySource) -> PolicyToExport:
    from grpo.config.run_config import RunConfig

    if source.run is not None:
        config = _as_trained(load_run_config(source.run, rows=True), read_run(source.run))
        return PolicyToExport(replace(source, revision=config.model.revision), config, source.run)
    gguf = source.location if source.location.endswith(".gguf") else None
    # Any file that is read is read as it is: how long rows may be is nobody's question here.
    section = {"name": source.base or source.location, "gguf": gguf, "lora": None, "max_sequence_length": 16}
    return PolicyToExport(source, RunConfig.model_validate({"model": section}))


def _as_trained(config: RunConfig, files: RunFiles) -> RunConfig:
    """The config with the type of weights that training had on its device: what `auto` means here may differ."""
    device = files.environment.get("device")
    if config.model.dtype != "auto" or device not in ("cuda", "mps", "cpu"):
        return config
    dtype = config.model.effective_dtype(device)
    return config.model_copy(update={"model": config.model.model_copy(update={"dtype": dtype})})


def _find_folder(run: Path, step: int | None, part: str | None) -> Path:
    kept, has = _find_checkpoints(run), _list_kept(run)
    if step is not None:
        if step not in kept:
            raise UserError(f"--step {step}: {run} keeps no checkpoint of that step; it has: {has}")
        return kept[step]
    wanted = [part] if part is not None else ["best", "sft"]
    for name in wanted:
        if (run / name).is_dir():
            return run / name
    asked = f"--{part}: " if part is not None else ""
    raise UserError(f"{asked}{run} holds no {' and no '.join(f'{name}/' for name in wanted)}; it has: {has}")


def _find_checkpoints(run: Path) -> dict[int, Path]:
    return {
        int(path.name.rsplit("-", 1)[1]): path
        for path in sorted(run.glob("checkpoints/checkpoint-*"))
        if path.name.rsplit("-", 1)[1].isdecimal()
    }


def _list_kept(run: Path, but: Path | None = None) -> str:
    """The options that name the policies a run keeps, `but` for the one in this folder."""
    there = [name for name in ("best", "sft") if (run / name).is_dir() and run / name != but]
    steps = sorted(step for step, folder in _find_checkpoints(run).items() if folder != but)
    return ", ".join([*(f"--{name}" for name in there), *(f"--step {number}" for number in steps)]) or "none"


def _find_stage(files: RunFiles, folder: Path, step: int | None) -> tuple[int | None, str | None]:
    """The step that the folder holds and the stage of its evaluation."""
    if folder.name == "sft":
        return 0, "warmup"
    if step is None:
        judged = find_judged(folder.parent)
        noted = read_policy_note(folder.parent).get("step", judged.step)
        if noted == judged.step:
            return judged.step, judged.stage
        step = int(noted)
    if step == 0:
        return 0, "warmup"
    stages = [item.stage for item in files.evaluations if item.step == step and item.stage in ("train", "final")]
    return step, stages[-1] if stages else "train"


def identify_base(choice: PolicyToExport) -> dict[str, Any]:
    """The model below: its name, revision, and the file it was read from where that was a GGUF."""
    model = choice.config.model
    if model.embedded is not None:
        return {"name": None, "made": "on the spot from the run's rows and seed"}
    name = choice.source.base if choice.run is None and choice.source.base else model.name
    return {"name": name, "revision": model.revision, "gguf": model.gguf}
