"""One Weights & Biases run: metrics on axes of ours, completions as tables, alerts, and the report as an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.config import TrackingSection
from callbacks.tracking_rows import make_table, read_records

# An offline run cannot ask how far an earlier part of it came, and rows at a known step are dropped when it is synced:
# each part begins this much further.
_PART_STEPS = 1_000_000
# Metrics in which the best value of the run is the one to show in W&B's table of runs.
_BEST_IS_HIGHEST = ("eval/mean_reward",)


def start_wandb(
    section: TrackingSection,
    run_directory: Path,
    run_name: str,
    config: Mapping[str, Any],
    *,
    mode: str,
    run_id: str,
    part: int,
) -> WandbBackend:
    """Start or resume the run of this id; raises what W&B raises. `part` counts how often it was started before."""
    import wandb

    run = wandb.init(
        project=section.project,
        entity=section.entity,
        name=run_name,
        id=run_id,
        resume="allow",
        mode=mode,
        dir=str(run_directory),
        config=dict(config),
        # The metadata W&B collects hold the command line, and that may hold a key.
        settings=wandb.Settings(
            silent=True, console="off", x_disable_stats=True, x_disable_meta=True, save_code=False, disable_git=True
        ),
    )
    return WandbBackend(run, part * _PART_STEPS if mode == "offline" else None)


class WandbBackend:
    """Metrics stand on the axis `step`, those of the warm-up's training on `sft/step`."""

    name = "W&B"

    def __init__(self, run: Any, first_step: int | None = None):
        self._run = run
        self._next_step = first_step
        run.define_metric("step", hidden=True)
        run.define_metric("sft/step", hidden=True)
        run.define_metric("*", step_metric="step")
        run.define_metric("sft/*", step_metric="sft/step")
        for key in _BEST_IS_HIGHEST:
            run.define_metric(key, step_metric="step", summary="max")

    @property
    def place(self) -> str:
        """Where to look, in a few words."""
        if self._next_step is None:
            return str(self._run.url)
        return f"offline; send it later with `wandb sync {Path(self._run.dir).parent}`"

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None:
        # W&B's own step only grows and would swallow rows of a resumed run: the axis is ours.
        self._run.log({**row, "stage": stage, "step": step}, step=self._next_step)
        if self._next_step is not None:
            self._next_step += 1

    def log_completions(self, path: Path, stage: str, step: int) -> None:
        import wandb

        columns, rows = make_table(read_records(path))
        # Each table is a file of its own, named by its content: none takes the place of an earlier one.
        kind = "training" if "advantage" in columns else "evaluation"
        self.log({f"completions/{kind}": wandb.Table(columns=columns, data=rows)}, stage, step)

    def alert(self, title: str, text: str, level: str) -> None:
        import wandb

        self._run.alert(
            title=title, text=text, level=wandb.AlertLevel.ERROR if level == "stop" else wandb.AlertLevel.WARN
        )

    def log_files(self, paths: list[Path], name: str) -> None:
        import wandb

        artifact = wandb.Artifact(f"{name}-{self._run.id}", type=name)
        for path in paths:
            artifact.add_file(str(path), name=path.name)
        self._run.log_artifact(artifact)

    def close(self) -> None:
        self._run.finish()
