"""The stored row of a scored completion: one JSON object of `completions/*.jsonl` and `eval/*.jsonl`."""

from __future__ import annotations

from typing import Any

from rewards.extraction.reasoning import PLAIN
from rewards.host.verdicts import ScoredCompletion
from rewards.types import Completion


def make_record(scored: ScoredCompletion) -> dict[str, Any]:
    """The row without `step`, `stage`, `group` and `advantage`, which are the caller's to add.

    `columns` holds the row's further columns, where it has any: other rewards can then score the row again. `reasoning` is
    there where the completion's text alone does not tell its answer.
    """
    example, completion = scored.example, scored.completion
    record: dict[str, Any] = {
        "id": example.id,
        "task": example.task,
        "prompt": [dict(message) for message in example.prompt],
        "completion": completion.text,
        "reference": example.reference,
        "truncated": completion.truncated,
        "reward": scored.reward,
        "scores": record_scores(scored),
        "repairs": repair_kinds(completion),
    }
    if completion.repeated:
        record["repeated"] = True
    if completion.style != PLAIN:
        record["reasoning"] = {
            "opened": completion.style.opened,
            "tags": [list(pair) for pair in completion.style.tags],
        }
    return {**record, "columns": dict(example.columns)} if example.columns else record


def record_scores(scored: ScoredCompletion) -> dict[str, dict[str, Any]]:
    """What each function said, by its name."""
    return {
        outcome.function: {
            "value": outcome.value,
            "status": outcome.status,
            "reason": outcome.reason,
            "version": outcome.version,
            "parts": dict(outcome.parts),
        }
        for outcome in scored.outcomes
    }


def repair_kinds(completion: Completion) -> list[str]:
    """Kinds of the repairs that reading the completion's JSON took; empty when no function has read any."""
    extraction = completion.__dict__.get("extraction")
    return [] if extraction is None else [str(getattr(r.kind, "value", r.kind)) for r in extraction.repairs]
