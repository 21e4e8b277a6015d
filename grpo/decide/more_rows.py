"""A decision on more rows: an evaluation of the judged checkpoint in place of the run's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callbacks.evaluation.judged import JUDGED, find_judged
from callbacks.evaluation.pairs import pair_evaluations, read_rewards
from callbacks.evaluation.task_scores import evaluation_metrics, summarise
from grpo.decide.decide_run import find_outcome, read_scorers
from rewards.errors import UserError
from rewards.identity import refuse_differences
from rewards.statistics.estimates import Estimate
from rewards.writing.files import read_object


def add_evaluation(
    folder: Path, history: list[dict[str, Any]], given: Path, allowed: bool
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Estimate]]]:
    """The history with this evaluation as that of the judged checkpoint, and its paired changes.

    `UserError` where there are no rows, where it is of another policy than the run's, or scored by other rewards (unless
    `allowed`). Changes are paired with the warm-up where it answered the same rows, else they are not.
    """
    path = given / "rows.jsonl" if given.is_dir() else given
    rewards = read_rewards(path)
    if not rewards:
        raise UserError(
            f"--with-evaluation {given}: no scored rows; give a folder that python -m grpo.evaluate --model {folder} wrote"
        )
    location = (read_object(path.parent / "evaluation.json").get("model") or {}).get("location")
    if isinstance(location, str) and folder.resolve() not in (
        Path(location).resolve(),
        *Path(location).resolve().parents,
    ):
        raise UserError(
            f"--with-evaluation {given}: is of {location}, not of this run's judged checkpoint; evaluate that: "
            f"python -m grpo.evaluate --model {folder} --data MORE.jsonl"
        )
    refuse_differences(
        f"--with-evaluation {given}", read_scorers(find_outcome(folder)), read_scorers(path), allowed=allowed
    )
    estimates = summarise([(task, reward) for (task, _), reward in rewards.items()])
    row: dict[str, Any] = {"stage": JUDGED, "step": find_judged(folder).step, **evaluation_metrics(estimates)}
    kept = [each for each in history if each.get("stage") not in (JUDGED, "start")]
    paired = {
        name: pair_evaluations(folder / "eval" / f"{stage}.jsonl", path)
        for name, stage in (("paired", "warmup"), ("paired_zero_shot", "before"))
    }
    return [*kept, row], paired
