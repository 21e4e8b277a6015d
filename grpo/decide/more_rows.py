"""A decision on more rows: an evaluation of the judged checkpoint in place of the run's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from callbacks.evaluation.judged import JUDGED, find_judged
from callbacks.evaluation.pairs import pair_evaluations, read_rewards
from callbacks.evaluation.task_scores import evaluation_metrics, summarise
from grpo.decide.decide_run import find_outcome, read_scorers
from rewards.errors import UserError
from rewards.identity import refuse_differences
from rewards.statistics.estimates import Estimate
from rewards.writing.files import read_object


def add_evaluation(
    folder: Path, history: list[dict[str, Any]], given: Path, allowed: bool, *, start: Path | None = None
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Estimate]]]:
    """The history with this evaluation as that of the judged checkpoint, and its paired changes.

    `start` is an evaluation of what GRPO began with on the same rows, which the changes are then paired with; without it
    they are paired with the warm-up's evaluation where that asked the same rows, else they are not paired. `UserError`
    where there are no rows, where one is of another policy than it should be, or scored by other rewards (unless
    `allowed`).
    """
    judged = find_judged(folder)
    option = "--with-evaluation"
    path, row = _read(option, folder, given, JUDGED, judged.step, allowed)
    _check_policy(f"{option} {given}", path, {folder, *([judged.weights] if judged.weights else [])}, folder)
    kept = [each for each in history if each.get("stage") not in (JUDGED, "start")]
    began = folder / "eval" / "warmup.jsonl"
    if start is not None:
        began, first = _read("--with-start", folder, start, "start", 0, allowed)
        _check_policy(f"--with-start {start}", began, {folder / "sft"}, folder / "sft")
        if not _asks_the_same(began, path):
            raise UserError(
                f"--with-start {start}: has not the rows of {option} {given}; evaluate both on the same rows"
            )
        kept.append(first)
    paired = {
        name: pair_evaluations(before, path) if _asks_the_same(before, path) else {}
        for name, before in (("paired", began), ("paired_zero_shot", folder / "eval" / "before.jsonl"))
    }
    return [*kept, row], paired


def _read(option: str, folder: Path, given: Path, stage: str, step: int, allowed: bool) -> tuple[Path, dict[str, Any]]:
    """The file of scored rows that is meant, and the row of metrics that belongs to it."""
    path = given / "rows.jsonl" if given.is_dir() else given
    rewards = read_rewards(path)
    if not rewards:
        raise UserError(
            f"{option} {given}: no scored rows; give a folder that python -m grpo.evaluate --model {folder} wrote"
        )
    refuse_differences(f"{option} {given}", read_scorers(find_outcome(folder)), read_scorers(path), allowed=allowed)
    estimates = summarise([(task, reward) for (task, _), reward in rewards.items()])
    return path, {"stage": stage, "step": step, **evaluation_metrics(estimates)}


def _asks_the_same(before: Path, after: Path) -> bool:
    """Whether every row of one was asked in the other: an id alone does not say so, generated rows share theirs."""
    asked, wanted = _read_questions(before), _read_questions(after)
    return bool(wanted) and all(asked.get(key) == question for key, question in wanted.items())


def _read_questions(path: Path) -> dict[tuple[str, str], Any]:
    """Prompt and reference of each row by (task, id); none where the file is not there."""
    try:
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
        return {(row["task"], row["id"]): (row.get("prompt"), row.get("reference")) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _check_policy(what: str, path: Path, meant: set[Path], model: Path) -> None:
    """That the evaluation says it is of one of these folders, where it says of which it is."""
    location = (read_object(path.parent / "evaluation.json").get("model") or {}).get("location")
    if isinstance(location, str) and Path(location).resolve() not in {each.resolve() for each in meant}:
        raise UserError(
            f"{what}: evaluates {location}, not {model}; evaluate the latter: "
            f"python -m grpo.evaluate --model {model} --data more.jsonl"
        )
