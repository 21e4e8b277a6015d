"""Where the numbers of a run go: metrics.jsonl and timings.jsonl always; W&B, TensorBoard, MLflow and trackio beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import orjson

from callbacks.config import TrackingSection
from callbacks.tracking import backends as tracking_backends
from callbacks.tracking.messages import Messages
from callbacks.tracking.queue import Backend, QueuedBackend
from rewards.errors import UserError
from rewards.identity import read_identities
from rewards.writing.files import write_whole
from rewards.writing.secrets import redact
from rewards.writing.writable import to_line

STAGES = ("before", "warmup", "start", "train", "final", "judged")
# What TRL and the Trainer log of the clock: it differs between two runs with the same seed.
_CLOCK_KEYS = ("step_time", "seconds", "runtime", "_per_second", "profiling/", "timing/")


class Tracker:
    """Writes rows of metrics as they come; a context manager.

    `resume_from` is the (stage, step) the run continues after: rows beyond it are cut from both files, so that a run
    that was killed and resumed ends with the bytes of one that was not. None starts both files afresh. Within the
    supervised stage, whose rows all stand at step 0, `supervised_step` is the last of its own steps that counts.

    Messages to the trackers are written down and cut in the same way, and each tracker's place among them is kept: a
    resumed run sends what was not delivered, and nothing twice.
    """

    def __init__(
        self,
        run_directory: Path | str,
        section: TrackingSection | None = None,
        *,
        run_name: str | None = None,
        config: Mapping[str, Any] | None = None,
        resume_from: tuple[str, int] | None = None,
        supervised_step: int | None = None,
        notify: Callable[[str], None] = print,
    ):
        self.run_directory = Path(run_directory)
        self.section = section or TrackingSection()
        self._notify = notify
        self._closed = False
        # The backends come first: when one fails the start, no file of an earlier run has been touched.
        tracking_backends.remove_offline_parts(self.run_directory)
        opened = _open_backends(
            self.section, self.run_directory, run_name or self.run_directory.name, config or {}, notify
        )
        self._warned: set[str] = set()
        tracked = self.run_directory / "tracked"
        paths = [self.run_directory / "metrics.jsonl", self.run_directory / "timings.jsonl", tracked / "messages.jsonl"]
        for path in paths:
            if resume_from is None:
                path.unlink(missing_ok=True)
            else:
                cut_rows_beyond(path, *resume_from)
                if supervised_step is not None:
                    cut_supervised_beyond(path, supervised_step)
        self._metrics, self._timings = (path.open("ab") for path in paths[:2])
        self._messages: Messages | None = None
        self._backends: list[QueuedBackend] = []
        if opened:
            tracked.mkdir(exist_ok=True)
            self._messages = Messages(paths[2], self.run_directory)
            self._backends = [
                QueuedBackend(
                    backend,
                    cursor=tracked / f"{re.sub('[^a-z]', '', backend.name.lower())}.json",
                    earlier=self._messages.earlier,
                )
                for backend in opened
            ]

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
        self._send(stage, step, "log", {**known, **clock}, stage, step)

    def log_seconds(self, *, stage: str, step: int, **seconds: float) -> None:
        """Write wall-clock seconds under their names; `stage_seconds` is what a whole stage took."""
        _check_stage(stage)
        _append(self._timings, {**seconds, "stage": stage, "step": step})

    def log_margins(self, nodes: Iterable[Any], *, stage: str, step: int) -> None:
        """Send `decision/<node>/margin` of each node (`name`, `margin`) that has one; not to metrics.jsonl, which it follows from."""
        row = {
            f"decision/{name_of_node(node.name)}/margin": float(node.margin)
            for node in nodes
            if getattr(node, "margin", None) is not None
        }
        if row:
            self._send(stage, step, "log", row, stage, step)

    def log_completions(self, path: Path, *, stage: str, step: int) -> None:
        """Send a file of stored completions; whoever is sent it reads it in its own time."""
        if self.section.completions:
            self._send(stage, step, "log_completions", Path(path), stage, step)

    def alert(self, title: str, text: str, *, stage: str, step: int, level: str = "warn") -> None:
        """Send something a person should look at, such as a broken watch rule; `level` is `warn` or `stop`."""
        self._send(stage, step, "alert", title, text, level, stage, step)

    def close(self) -> None:
        """Finish all files and backends; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._metrics.close()
        self._timings.close()
        if self._messages:
            self._messages.close()
        for backend in self._backends:
            backend.close()
        self._report_faults()

    def _send(self, stage: str, step: int, method: str, *arguments: Any) -> None:
        number = self._messages.add(stage, step, method, arguments) if self._messages else None
        for backend in self._backends:
            backend.send(method, *arguments, number=number)
        self._report_faults()

    def _report_faults(self) -> None:
        # Said here and not where it happened: that is another thread, which must not write between two progress bars.
        for backend in self._backends:
            if backend.fault is not None and backend.name not in self._warned:
                self._warned.add(backend.name)
                self._notify(
                    f"warning: {backend.name} failed ({backend.fault}) and gets no more numbers of this run; "
                    f"all of them are in {self.run_directory / 'metrics.jsonl'}"
                )


def publish_files(
    run_directory: Path | str,
    section: TrackingSection,
    paths: Iterable[Path],
    *,
    name: str = "report",
    run_name: str | None = None,
    notify: Callable[[str], None] = print,
) -> None:
    """Add files, such as the report, to the run that the trackers already have; a failure is a warning and no more."""
    folder = Path(run_directory)
    wanted = [path for path in map(Path, paths) if path.is_file()]
    try:
        opened = _open_backends(section, folder, run_name or folder.name, {}, lambda _: None)
    except UserError as error:
        notify(f"warning: the {name} was not sent ({error.problems[0]}); it is in {folder}")
        return
    backends = [QueuedBackend(backend) for backend in opened]
    for backend in backends:
        backend.send("log_files", wanted, name)
    for backend in backends:
        backend.close()
        if backend.fault is not None:
            notify(f"warning: {backend.name} failed ({backend.fault}): the {name} was not sent; it is in {folder}")


def name_of_node(name: str) -> str:
    """A node of the decision as a part of a metric's name: `floor: extraction` is `floor_extraction`."""
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name).split()) or "node"


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
        write_whole(path, b"".join(kept))
    return len(lines) - len(kept)


def cut_supervised_beyond(path: Path, step: int) -> None:
    """Remove from a JSONL file the first row after that step of the supervised stage, and all that was written after it."""
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = list(takewhile(lambda line: _is_supervised_within(line, step), lines))
    if len(kept) < len(lines):
        write_whole(path, b"".join(kept))


def _is_supervised_within(line: bytes, step: int) -> bool:
    row = orjson.loads(line)
    if row["stage"] != "warmup":
        # Where no GRPO follows, evaluations on the way count the supervised steps.
        return row["stage"] == "before" or (row["stage"] == "train" and row["step"] <= step)
    numbers = row["arguments"][0] if row.get("method") == "log" else row
    at = numbers.get("sft/step")
    return at <= step if at is not None else "eval/mean_reward" not in numbers


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
    file.write(to_line(row, orjson.OPT_SORT_KEYS))
    file.flush()


def _open_backends(
    section: TrackingSection,
    run_directory: Path,
    run_name: str,
    config: Mapping[str, Any],
    notify: Callable[[str], None],
) -> list[Backend]:
    """Open what the section asks for; all that cannot be opened is one UserError and nothing stays open."""
    opened: list[Backend] = []
    problems: list[str] = []
    settings = redact({**config, **_read_facts(run_directory)}) if config else {}
    openers = (
        lambda: tracking_backends.open_wandb(section, run_directory, run_name, settings, notify),
        lambda: tracking_backends.open_tensorboard(section, run_directory),
        lambda: tracking_backends.open_mlflow(section, run_directory, run_name, settings, notify),
        lambda: tracking_backends.open_trackio(section, run_name, settings, notify),
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


def _read_facts(run_directory: Path) -> dict[str, Any]:
    """What the run directory holds beside the config when training begins: audit, plan, and the rewards' versions."""
    facts = {}
    for name in ("audit", "plan"):
        try:
            value = orjson.loads((run_directory / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(value, dict):
            # Lists of rows are for the report; here they would be thousands of settings.
            facts[name] = {key: item for key, item in value.items() if not isinstance(item, list) or len(item) <= 20}
    audit = facts.get("audit", {})
    identities = read_identities(audit.get("reward_identities"))
    versions = {name: str(identity) for name, identity in identities.items()} or audit.get("reward_versions")
    return {**facts, "reward_versions": versions} if versions else facts
