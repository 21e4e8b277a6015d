"""The recorded history that a decision is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from callbacks.watch.rules import rename_metrics
from grpo.lifecycle.run_group import hint_group
from rewards.errors import UserError
from rewards.rows import shorten
from rewards.writing.yaml_files import require_regular


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; UserError with every line that cannot be read.

    Other trainers' names of metrics are read as ours. A last line without its end is one that is being written, or was
    when the run was killed, and is left out.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "metrics.jsonl"
    require_regular(path, f"--metrics {path}")
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        told = hint_group(path.parent) or "; give a metrics.jsonl"
        raise UserError(f"--metrics {path}: cannot be read ({error.strerror}){told}") from error
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except ValueError:
            if number == len(lines) and not line.endswith(b"\n"):
                continue
            problems.append(f'{path}: line {number}: not JSON; each line is one object such as {{"step": 10, ...}}')
            continue
        row = _rename(row)
        problems += [f"{path}: line {number}: {problem}" for problem in _find_problems(row)]
        rows.append(row)
    if not rows and not problems:
        problems.append(f"{path}: holds no rows; give the metrics.jsonl of a run that has begun")
    if problems:
        raise UserError(shorten(problems, path, " such lines"))
    return rows


def _rename(row: Any) -> Any:
    """A row under the names used here, its step too."""
    if not isinstance(row, dict):
        return row
    row = rename_metrics(row)
    if "step" not in row:
        found = next((row[key] for key in ("global_step", "_step") if key in row), None)
        row |= {"step": found} if found is not None else {}
    return row


def _find_problems(row: Any) -> list[str]:
    if not isinstance(row, dict):
        return ['not an object; each line is one object such as {"step": 10, ...}']
    evaluation = {key: value for key, value in row.items() if key.startswith("eval/")}
    if not evaluation:
        return []
    problems = []
    step = row.get("step")
    if isinstance(step, bool) or not isinstance(step, int | float) or step != int(step):
        problems.append(f'step is {step!r}; an evaluation row needs "step", a whole number')
    for key, value in evaluation.items():
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            continue
        problems.append(f"{key} is {value!r}; it must be a number")
    mean = row.get("eval/mean_reward")
    if isinstance(mean, int | float) and not 0.0 <= mean <= 1.0:
        problems.append(f"eval/mean_reward is {mean}; rewards lie in 0..1")
    return problems
