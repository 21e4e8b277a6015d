"""Weights & Biases and TensorBoard behind the tracker's small interface."""

from __future__ import annotations

import importlib.util
import netrc
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from callbacks.config import TrackingSection
from rewards.errors import UserError

RUN_ID_FILE = "wandb_run.json"
# An offline run cannot ask how far an earlier part of it came, and rows at a known step are dropped when it is synced:
# each part begins this much further.
_PART_STEPS = 1_000_000


class WandbBackend:
    """One W&B run; metrics stand on the axis `step`, those of the warm-up's training on `sft/step`."""

    name = "W&B"

    def __init__(self, run: Any, first_step: int | None = None):
        self._run = run
        self._next_step = first_step
        run.define_metric("step", hidden=True)
        run.define_metric("sft/step", hidden=True)
        run.define_metric("*", step_metric="step")
        run.define_metric("sft/*", step_metric="sft/step")

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None:
        # W&B's own step only grows and would swallow rows of a resumed run: the axis is ours.
        self._run.log({**row, "stage": stage, "step": step}, step=self._next_step)
        if self._next_step is not None:
            self._next_step += 1

    def close(self) -> None:
        self._run.finish()


class TensorBoardBackend:
    """Event files under tensorboard/ of the run directory; the warm-up's training stands on its own steps."""

    name = "TensorBoard"

    def __init__(self, directory: Path):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer = EventFileWriter(str(directory))

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None:
        values = [
            self._summary.Value(tag=f"{stage}/{key}" if stage != "train" else key, simple_value=float(value))
            for key, value in row.items()
        ]
        axis = int(row.get("sft/step", step))
        self._writer.add_event(
            self._event(wall_time=time.time(), step=axis, summary=self._summary(value=values)),
        )

    def close(self) -> None:
        self._writer.close()


def open_tensorboard(section: TrackingSection, run_directory: Path) -> TensorBoardBackend | None:
    """The event file writer, or None when it is not wanted; UserError when TensorBoard is not installed."""
    if not section.tensorboard:
        return None
    try:
        return TensorBoardBackend(run_directory / "tensorboard")
    except ImportError as error:
        raise UserError(
            "tracking.tensorboard: TensorBoard is not installed; run `pip install recompensa[track]` or set it to false"
        ) from error
    except OSError as error:
        raise UserError(f"tracking.tensorboard: cannot write under {run_directory}: {error.strerror}") from error


def open_wandb(
    section: TrackingSection,
    run_directory: Path,
    run_name: str,
    config: Mapping[str, Any],
    notify: Callable[[str], None],
) -> WandbBackend | None:
    """Start the W&B run, or the earlier one again when the run directory holds its id; None when it is off."""
    mode = choose_wandb_mode(section.wandb)
    if mode == "off":
        return None
    if importlib.util.find_spec("wandb") is None:
        if section.wandb == "auto":
            notify("W&B: not installed, numbers go to metrics.jsonl only (`pip install recompensa[track]` adds it)")
            return None
        raise UserError(
            f"tracking.wandb: {section.wandb} needs W&B, which is not installed; run `pip install recompensa[track]` "
            "or set tracking.wandb to off"
        )
    import wandb

    run_id, part = _read_identity(run_directory)
    try:
        run = wandb.init(
            project=section.project,
            entity=section.entity,
            name=run_name,
            id=run_id,
            resume="allow",
            mode=mode,
            dir=str(run_directory),
            config=dict(config),
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, save_code=False),
        )
        backend = WandbBackend(run, part * _PART_STEPS if mode == "offline" else None)
        (run_directory / RUN_ID_FILE).write_bytes(orjson.dumps({"id": run_id, "parts": part + 1}))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"tracking.wandb: W&B could not start in {mode} mode ({reason}); check the key and the network, or set "
            "tracking.wandb to offline or off"
        ) from error
    if mode == "offline":
        notify(f"W&B: offline; send it later with `wandb sync {Path(run.dir).parent}`")
    else:
        notify(f"W&B: {run.url}")
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


def _read_identity(run_directory: Path) -> tuple[str, int]:
    """The run's id and how many times it was started before; a fresh id and 0 the first time."""
    try:
        saved = orjson.loads((run_directory / RUN_ID_FILE).read_bytes())
        return str(saved["id"]), int(saved["parts"])
    except (OSError, ValueError, KeyError, TypeError):
        return uuid.uuid4().hex[:12], 0
