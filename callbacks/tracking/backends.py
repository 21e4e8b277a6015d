"""Weights & Biases, TensorBoard, MLflow and trackio behind one small interface; each is imported only where it is opened."""

from __future__ import annotations

import importlib.util
import netrc
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from callbacks.config import TrackingSection
from callbacks.tracking.queue import describe_fault
from rewards.errors import UserError
from rewards.writing.files import write_json
from rewards.writing.secrets import redact_text

RUN_ID_FILE = "wandb_run.json"
MLFLOW_ID_FILE = "mlflow_run.json"


def open_wandb(
    section: TrackingSection,
    run_directory: Path,
    run_name: str,
    config: Mapping[str, Any],
    notify: Callable[[str], None],
) -> Any:
    """Start the W&B run, or the earlier one again when the run directory holds its id; None when it is off."""
    mode = choose_wandb_mode(section.wandb)
    if mode == "off":
        return None
    if importlib.util.find_spec("wandb") is None:
        if section.wandb == "auto":
            notify("W&B: not installed, numbers go to metrics.jsonl only (`pip install -e '.[track]'` adds it)")
            return None
        raise UserError(
            f"tracking.wandb: {section.wandb} needs W&B, which is not installed; run `pip install -e '.[track]'` "
            "or set tracking.wandb to off"
        )
    from callbacks.tracking.wandb import start_wandb

    known = _read_wandb_id(run_directory)
    run_id = known or uuid.uuid4().hex[:12]
    try:
        # Before it starts: a run that is killed meanwhile goes on under this id.
        write_json(run_directory / RUN_ID_FILE, {"id": run_id})
        backend = start_wandb(section, run_directory, run_name, config, mode=mode, run_id=run_id)
    except Exception as error:
        if known is None:
            (run_directory / RUN_ID_FILE).unlink(missing_ok=True)
        raise UserError(
            f"tracking.wandb: W&B could not start in {mode} mode ({redact_text(describe_fault(error))}); check the key "
            "and the network, or set tracking.wandb to offline or off"
        ) from error
    notify(f"W&B: {backend.place}")
    return backend


def open_tensorboard(section: TrackingSection, run_directory: Path) -> Any:
    """The event file writer, or None when it is not wanted; UserError when TensorBoard is not installed."""
    if not section.tensorboard:
        return None
    try:
        from callbacks.tracking.tensorboard import TensorBoardBackend

        return TensorBoardBackend(run_directory / "tensorboard")
    except ImportError as error:
        raise UserError(
            "tracking.tensorboard: TensorBoard is not installed; run `pip install -e '.[track]'` or set it to false"
        ) from error
    except OSError as error:
        raise UserError(f"tracking.tensorboard: cannot write under {run_directory}: {error.strerror}") from error


def open_mlflow(
    section: TrackingSection,
    run_directory: Path,
    run_name: str,
    config: Mapping[str, Any],
    notify: Callable[[str], None],
) -> Any:
    """Start the MLflow run, or the earlier one again; None when it is not wanted."""
    if not section.mlflow:
        return None
    if importlib.util.find_spec("mlflow") is None:
        raise UserError("tracking.mlflow: MLflow is not installed; run `pip install mlflow` or set it to false")
    from callbacks.tracking.mlflow import start_mlflow

    place = run_directory / MLFLOW_ID_FILE
    try:
        earlier = str(orjson.loads(place.read_bytes())["id"])
    except (OSError, ValueError, KeyError, TypeError):
        earlier = None
    try:
        backend = start_mlflow(section, run_directory, run_name, config, run_id=earlier)
        write_json(place, {"id": backend.run_id})
    except Exception as error:
        raise UserError(
            f"tracking.mlflow: MLflow could not start ({redact_text(describe_fault(error))}); check MLFLOW_TRACKING_URI "
            "or set tracking.mlflow to false"
        ) from error
    notify(f"MLflow: {redact_text(backend.place)}")
    return backend


def open_trackio(
    section: TrackingSection, run_name: str, config: Mapping[str, Any], notify: Callable[[str], None]
) -> Any:
    """Start the trackio run, or go on with the one of this name; None when it is not wanted."""
    if not section.trackio:
        return None
    if importlib.util.find_spec("trackio") is None:
        raise UserError(
            "tracking.trackio: trackio is not installed; run `pip install 'recompensa[track]'` or set it to false"
        )
    from callbacks.tracking.trackio import start_trackio

    try:
        backend = start_trackio(section, run_name, config)
    except Exception as error:
        raise UserError(
            f"tracking.trackio: trackio could not start ({redact_text(describe_fault(error))}); check TRACKIO_DIR and "
            "TRACKIO_SPACE_ID or set tracking.trackio to false"
        ) from error
    notify(f"trackio: {redact_text(backend.place)}")
    return backend


def choose_wandb_mode(wanted: str, environment: Mapping[str, str] | None = None, home: Path | None = None) -> str:
    """`online`, `offline` or `off` for the section's `wandb`; `auto` looks at WANDB_MODE, the key and netrc."""
    if wanted != "auto":
        return wanted
    environment = os.environ if environment is None else environment
    declared = environment.get("WANDB_MODE", "")
    if declared in ("online", "offline", "disabled"):
        return "off" if declared == "disabled" else declared
    if environment.get("WANDB_API_KEY") or _has_netrc_login(environment, home or Path.home()):
        return "online"
    return "offline"


def _has_netrc_login(environment: Mapping[str, str], home: Path) -> bool:
    host = urlsplit(environment.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    named = environment.get("NETRC")
    for path in [Path(named).expanduser()] if named else [home / ".netrc", home / "_netrc"]:
        try:
            if netrc.netrc(str(path)).authenticators(host) is not None:
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def remove_offline_parts(run_directory: Path) -> None:
    """Take away what W&B wrote offline for a run that is begun or resumed: the part that it starts now holds all of it."""
    for part in (run_directory / "wandb").glob("offline-run-*"):
        shutil.rmtree(part, ignore_errors=True)


def _read_wandb_id(run_directory: Path) -> str | None:
    try:
        return str(orjson.loads((run_directory / RUN_ID_FILE).read_bytes())["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
