"""One MLflow run: metrics, the config as a file, stored completions and the report as artifacts, alerts as tags."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.config import TrackingSection
from callbacks.tracking.curves import name_curve

# What the table of runs shows; all else is in config.json of the run's artifacts.
_PARAMETERS = (
    "name",
    "seed",
    "model.name",
    "grpo.max_steps",
    "grpo.learning_rate",
    "grpo.num_generations",
    "grpo.beta",
)
_BATCH = 900  # the service takes at most 1,000 metrics at once


def start_mlflow(
    section: TrackingSection, run_directory: Path, run_name: str, config: Mapping[str, Any], *, run_id: str | None
) -> MlflowBackend:
    """Start the run, or take up the one of this id; raises what MLflow raises."""
    from mlflow import MlflowClient

    place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run_directory.resolve() / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=place)
    if run_id is not None:
        client.update_run(run_id, status="RUNNING")
        return MlflowBackend(client, run_id, place)
    experiment = client.get_experiment_by_name(section.project)
    # Beside its own database the artifacts lie in the run directory as well.
    artifacts = None if "MLFLOW_TRACKING_URI" in os.environ else (run_directory.resolve() / "mlflow").as_uri()
    number = experiment.experiment_id if experiment else client.create_experiment(section.project, artifacts)
    run_id = client.create_run(number, run_name=run_name).info.run_id
    if config:
        client.log_dict(run_id, dict(config), "config.json")
    for key in _PARAMETERS:
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            client.log_param(run_id, key, str(value)[:250])
    for name, version in (config.get("reward_versions") or {}).items():
        client.set_tag(run_id, _name(f"reward_version.{name}"), str(version))
    return MlflowBackend(client, run_id, place)


class MlflowBackend:
    """Steps are GRPO's, for the warm-up's training its own; training and held-out numbers have no stage in their name."""

    name = "MLflow"
    delivered = None

    def __init__(self, client: Any, run_id: str, place: str):
        self.run_id, self.place = run_id, place
        self._client = client

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None:
        from mlflow.entities import Metric

        now, axis = int(time.time() * 1000), int(row.get("sft/step", step))
        metrics = [Metric(_name(name_curve(key, stage)), float(value), now, axis) for key, value in row.items()]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + _BATCH])

    def log_completions(self, path: Path, stage: str, step: int) -> None:
        # The folder the file lies in, completions/ or eval/, is its place there as well.
        self._client.log_artifact(self.run_id, str(path), path.parent.name)

    def alert(self, title: str, text: str, level: str, stage: str, step: int) -> None:
        self._client.set_tag(self.run_id, _name(f"watch.{title}"), f"{level}: {text}"[:5000])

    def log_files(self, paths: list[Path], name: str) -> None:
        for path in paths:
            self._client.log_artifact(self.run_id, str(path), name)

    def close(self) -> None:
        self._client.set_terminated(self.run_id)


def _name(key: str) -> str:
    """A key in the characters MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", key)[:250]
