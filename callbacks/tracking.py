"""Where the numbers of a run go: metrics.jsonl and timings.jsonl always, W&B and TensorBoard beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

import orjson

from callbacks.config import TrackingSection
from rewards.errors import UserError

STAGES = ("before", "warmup", "train", "final")
# What TRL and the Trainer log of the clock: it differs between two runs with the same seed.
_CLOCK_KEYS = ("step_time", "seconds", "runtime", "_per_second", "profiling/", "timing/")


class Backend(Protocol):
    """A place numbers are sent to besides the run directory. Any exception it raises silences it for the rest of the run."""

    name: str

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None: ...

    def close(self) -> None: ...


class Tracker:
    """Writes rows of metrics as they come; a context manager.

    `resume_from` is the (stage, step) the run continues after: rows beyond it are cut from both files, so that a run
    that was killed and resumed ends with the bytes of one that was not. None starts both files afresh.
    """

    def __init__(
        self,
        run_directory: Path | str,
        section: TrackingSection | None = None,
        *,
        run_name: str | None = None,
        config: Mapping[str, Any] | None = None,
        resume_from: tuple[str, int] | None = None,
        notify: Callable[[str], None] = print,
    ):
        self.run_directory = Path(run_directory)
        self.section = section or TrackingSection()
        self._notify = notify
        self._closed = False
        # The backends come first: when one fails the start, no file of an earlier run has been touched.
        self._backends = _open_backends(
            self.section, self.run_directory, run_name or self.run_directory.name, config or {}, notify
        )
        paths = [self.run_directory / name for name in ("metrics.jsonl", "timings.jsonl")]
        if resume_from is not None:
            for path in paths:
                cut_rows_beyond(path, *resume_from)
        mode = "wb" if resume_from is None else "ab"
        self._metrics, self._timings = (path.open(mode) for path in paths)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, row: Mapping[str, Any], *, stage: str, step: int) -> None:
        """Write one row of metrics; wall-clock values in it go to timings.jsonl, values that are no numbers are dropped.

        Raises ValueError for an unknown stage.
        """
        _check_stage(stage)
        numbers = {key: number for key, value in row.items() if (number := _read_number(value)) is not _NOT_A_NUMBER}
        clock = {key: value for key, value in numbers.items() if is_wall_clock(key)}
        metrics = {key: value for key, value in numbers.items() if key not in clock and key not in ("stage", "step")}
        if metrics:
            _append(self._metrics, {**metrics, "stage": stage, "step": step})
        if clock:
            self.log_seconds(stage=stage, step=step, **clock)
        known = {key: value for key, value in metrics.items() if value is not None}
        self._send({**known, **clock}, stage, step)

    def log_seconds(self, *, stage: str, step: int, **seconds: float) -> None:
        """Write wall-clock seconds under their names; `stage_seconds` is what a whole stage took."""
        _check_stage(stage)
        _append(self._timings, {**seconds, "stage": stage, "step": step})

    def close(self) -> None:
        """Finish all files and backends; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._metrics.close()
        self._timings.close()
        for backend in list(self._backends):
            self._attempt(backend, backend.close)

    def _send(self, row: Mapping[str, float], stage: str, step: int) -> None:
        for backend in list(self._backends):
            self._attempt(backend, lambda backend=backend: backend.log(row, stage, step))

    def _attempt(self, backend: Backend, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a tracker that fails must not end a run that has cost hours
            self._backends = [other for other in self._backends if other is not backend]
            self._notify(
                f"warning: {backend.name} failed ({_first_line(error)}) and gets no more numbers of this run; "
                f"all of them are in {self.run_directory / 'metrics.jsonl'}"
            )


def is_wall_clock(key: str) -> bool:
    """Whether a metric is a time or a rate by the clock, which no two runs share."""
    return any(key.startswith(part) if part.endswith("/") else key.endswith(part) for part in _CLOCK_KEYS)


def cut_rows_beyond(path: Path, stage: str, step: int) -> int:
    """Remove the rows after (stage, step) and a half-written last line from a JSONL file; returns how many went.

    Rows without a known stage and a step go too. The file is replaced in one move; a missing file is left missing.
    """
    _check_stage(stage)
    if not path.exists():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith(b"\n") and _is_within(line, STAGES.index(stage), step)]
    if len(kept) < len(lines):
        draft = path.with_name(path.name + ".draft")
        draft.write_bytes(b"".join(kept))
        os.replace(draft, path)
    return len(lines) - len(kept)


def _is_within(line: bytes, stage_index: int, step: int) -> bool:
    try:
        row = orjson.loads(line)
        return (STAGES.index(row["stage"]), int(row["step"])) <= (stage_index, step)
    except (ValueError, KeyError, TypeError):
        return False


def _check_stage(stage: str) -> None:
    if stage not in STAGES:
        raise ValueError(f"no stage {stage!r}; the stages are {', '.join(STAGES)}")


_NOT_A_NUMBER = object()


def _read_number(value: Any) -> Any:
    """An int, a float or None as Python's own type; numpy and torch scalars are read; else the marker."""
    if value is None or isinstance(value, bool):
        return value if value is None else int(value)
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else _NOT_A_NUMBER


def _append(file: Any, row: Mapping[str, Any]) -> None:
    # NaN and infinity become null: JSON has no other word for them.
    file.write(orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
    file.flush()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__


def _open_backends(
    section: TrackingSection,
    run_directory: Path,
    run_name: str,
    config: Mapping[str, Any],
    notify: Callable[[str], None],
) -> list[Backend]:
    """Open what the section asks for; all that cannot be opened is one UserError and nothing stays open."""
    from callbacks import tracking_backends

    opened: list[Backend] = []
    problems: list[str] = []
    openers = (
        lambda: tracking_backends.open_wandb(section, run_directory, run_name, config, notify),
        lambda: tracking_backends.open_tensorboard(section, run_directory),
    )
    for opener in openers:
        try:
            backend = opener()
        except UserError as error:
            problems += error.problems
            continue
        if backend is not None:
            opened.append(backend)
    if problems:
        for backend in opened:
            backend.close()
        raise UserError(problems)
    return opened
