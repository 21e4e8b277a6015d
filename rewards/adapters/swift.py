"""ms-swift: `--external_plugins $(python -m rewards rows --plugin-path swift) --reward_funcs recompensa`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rewards.adapters.source import cut_answer, make_row, open_source, read_text

_OF_SWIFT = frozenset(
    {
        "trainer_state",
        "messages",
        "completion_ids",
        "response_token_ids",
        "finish_reason",
        "is_truncated",
        "prompt_id",
        "request_id",
        "rollout_infos",
    }
)


def score(completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """One number a completion, None (nan in ms-swift, left out) where there is none; rewards as RECOMPENSA_REWARDS names."""
    rows = []
    for at, completion in enumerate(completions):
        own = {
            key: values[at]
            for key, values in columns.items()
            if key not in _OF_SWIFT and isinstance(values, list) and len(values) == len(completions)
        }
        messages = columns.get("messages")
        prompt = cut_answer(messages[at]) if messages else None
        cut = columns.get("is_truncated")
        example = make_row({key: value for key, value in own.items() if value is not None}, prompt)
        rows.append((example, read_text(completion), bool(cut[at]) if cut else False))
    return [verdict.value for verdict in open_source().score(rows)]


def register() -> None:
    """Put it under `recompensa` among ms-swift's reward functions."""
    from swift.rewards import ORM, orms

    def call(self: Any, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        return score(completions, **columns)

    orms["recompensa"] = type("Recompensa", (ORM,), {"__call__": call})
