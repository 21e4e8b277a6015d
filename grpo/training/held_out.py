"""Which held-out rows an evaluation asks, and how the best checkpoint of a run is judged at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from callbacks.config import EvaluationSection
from callbacks.evaluation.judged import FILE, JUDGED, note_judged
from rewards.types import Example

if TYPE_CHECKING:
    from grpo.training.stages import Stages


def take_evenly(rows: Sequence[Example], wanted: int | None) -> list[Example]:
    """At most `wanted` rows, spread evenly over the file, so that every task keeps its share."""
    if wanted is None or wanted >= len(rows):
        return list(rows)
    return [rows[index * len(rows) // wanted] for index in range(wanted)]


def find_kept(rows: Sequence[Example], section: EvaluationSection) -> list[Example]:
    """The held-out rows that no evaluation on the way asks, where there are enough of them to judge by; else none."""
    if not section.kept_examples or section.max_examples is None:
        return []
    asked = {(row.task, row.id) for row in take_evenly(rows, section.max_examples)}
    kept = take_evenly([row for row in rows if (row.task, row.id) not in asked], section.max_examples)
    return kept if len(kept) >= section.kept_examples else []


def choose_rows(
    rows: Sequence[Example], section: EvaluationSection, *, anew: bool
) -> tuple[EvaluationSection, list[Example]]:
    """What an evaluation asks and how; `anew`: with random numbers, and rows where some were kept, that chose nothing."""
    examples = take_evenly(rows, section.max_examples)
    return (take_fresh_seed(section), find_kept(rows, section) or examples) if anew else (section, examples)


def take_fresh_seed(section: EvaluationSection) -> EvaluationSection:
    """The section with random numbers that chose nothing."""
    seed = section.seed + 1 if section.fresh_seed is None else section.fresh_seed
    return section.model_copy(update={"seed": seed})


def evaluate_kept(stages: Stages) -> None:
    """The start on the rows that are kept for the judged checkpoint, where there are such rows."""
    if find_kept(stages.inputs.held_out, stages.config.evaluation):
        stages.evaluate("start", 0)


def judge(stages: Stages) -> None:
    """Estimate the best checkpoint anew, and write down that it is the one this run is judged by.

    It was chosen for its numbers, so those are too good; fresh ones are not.
    """
    step = stages.record.best.step or 0
    if step != stages.config.grpo.max_steps:
        stages.take_up(stages.directory.best if step else stages.directory.sft)
    stages.evaluate(JUDGED, step)
    stages.directory.write_json(FILE, note_judged(step, seed=take_fresh_seed(stages.config.evaluation).seed))
