"""eval-protocol (Fireworks): a verdict as its EvaluateResult, whose `is_score_valid` is False where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewards.adapters.source import make_row, open_source


def evaluate(messages: Sequence[Any], ground_truth: Any = None, **columns: Any) -> Any:
    """The result of a conversation whose last message is the answer."""
    from eval_protocol.models import EvaluateResult, MetricResult

    described = describe(messages, ground_truth, columns)
    metrics = {name: MetricResult(**each) for name, each in described.pop("metrics").items()}
    return EvaluateResult(**described, metrics=metrics)


def describe(messages: Sequence[Any], ground_truth: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an EvaluateResult."""
    turns = [_read(message) for message in messages]
    example = make_row(columns, turns[:-1], ground_truth)
    (verdict,) = open_source().score([(example, turns[-1]["content"], False)])
    valid = verdict.value is not None
    return {
        "score": verdict.value if verdict.value is not None else 0.0,
        "is_score_valid": valid,
        "reason": verdict.reason,
        "error": verdict.reason if verdict.status in ("error", "bad_row") else None,
        "metrics": {
            name: {
                "score": each["value"] if each["value"] is not None else 0.0,
                "is_score_valid": each["value"] is not None,
                "reason": each["reason"],
            }
            for name, each in verdict.details.items()
        },
    }


def _read(message: Any) -> dict[str, str]:
    given = message if isinstance(message, Mapping) else {"role": message.role, "content": message.content}
    return {"role": str(given["role"]), "content": str(given["content"] or "")}
