"""One Weights & Biases run: metrics on axes of ours, completions as tables, alerts, and the report as an artifact."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.config import TrackingSection
from callbacks.tracking.rows import make_table, read_records

# Metrics in which the best value of the run is the one to show in W&B's table of runs.
_BEST_IS_HIGHEST = ("eval/mean_reward",)
OVERVIEW = {
    "eval/mean_reward": "overview/1 held-out mean",
    "reward": "overview/2 training reward",
    "frac_reward_zero_std": "overview/4 zero-spread groups",
    "completions/clipped_ratio": "overview/5 truncated",
    "completions/mean_length": "overview/6 length",
    "grad_norm": "overview/7 gradient norm",
}
"""What one looks at first, under one heading and in this order: W&B sorts a hundred other curves by their names."""

_MARGIN = "overview/3 decision margin"


def start_wandb(
    section: TrackingSection,
    run_directory: Path,
    run_name: str,
    config: Mapping[str, Any],
    *,
    mode: str,
    run_id: str,
) -> WandbBackend:
    """Start or resume the run of this id; raises what W&B raises."""
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
            silent=True,
            console="off",
            x_disable_stats=True,
            x_disable_meta=True,
            save_code=False,
            disable_git=True,
        ),
    )
    return WandbBackend(run, offline=mode == "offline")


class WandbBackend:
    """Metrics stand on the axis `step`, those of the warm-up's training on `sft/step`."""

    name = "W&B"

    def __init__(self, run: Any, *, offline: bool):
        self._run = run
        self._offline = offline
        # W&B's own step is the number of the message. Its service says how many it has; what it had written of an offline
        # run when that was killed nobody can say, so each part of it is the whole run.
        self.delivered = 0 if offline else run.starting_step
        self._next_step = self.delivered
        run.define_metric("step", hidden=True)
        run.define_metric("sft/step", hidden=True)
        run.define_metric("*", step_metric="step")
        run.define_metric("sft/*", step_metric="sft/step")
        for key in _BEST_IS_HIGHEST:
            run.define_metric(key, step_metric="step", summary="max")

    @property
    def place(self) -> str:
        """Where to look, in a few words."""
        if not self._offline:
            return str(self._run.url)
        return f"offline; send it later with `wandb sync {shlex.quote(str(Path(self._run.dir).parent))}`"

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None:
        # A row with a step of its own would else wait for the next one.
        self._run.log({**row, **choose_overview(row), "stage": stage, "step": step}, step=self._next_step, commit=True)
        self._next_step += 1

    def log_completions(self, path: Path, stage: str, step: int) -> None:
        import wandb

        columns, rows = make_table(read_records(path))
        # Each table is a file of its own, named by its content: none takes the place of an earlier one.
        kind = "training" if "advantage" in columns else "evaluation"
        self.log({f"completions/{kind}": wandb.Table(columns=columns, data=rows)}, stage, step)

    def alert(self, title: str, text: str, level: str, stage: str, step: int) -> None:
        import wandb

        self._run.alert(
            title=title, text=text, level=wandb.AlertLevel.ERROR if level == "stop" else wandb.AlertLevel.WARN
        )
        self._next_step += 1

    def log_files(self, paths: list[Path], name: str) -> None:
        import wandb

        artifact = wandb.Artifact(f"{name}-{self._run.id}", type=name)
        for path in paths:
            artifact.add_file(str(path), name=path.name)
        self._run.log_artifact(artifact)

    def close(self) -> None:
        self._run.finish()


def choose_overview(row: Mapping[str, Any]) -> dict[str, Any]:
    """The few metrics of a row for the overview, and the margin of the decision's question that is nearest to turning."""
    chosen = {name: row[key] for key, name in OVERVIEW.items() if key in row}
    margins = [value for key, value in row.items() if key.startswith("decision/") and key.endswith("/margin")]
    if margins:
        chosen[_MARGIN] = min(margins, key=abs)
    return chosen
