"""verl: `reward.custom_reward_function.path=pkg://rewards.adapters.verl`, its `reward_kwargs` are `config` or `url`.

A result has the same keys each time: verl takes them from the first sample and reads them from all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.adapters.source import CompletionVerdict, make_row, open_source


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    config: str | None = None,
    url: str | None = None,
    on_error: str = "raise",
    **_: Any,
) -> dict[str, float]:
    """The score, `acc` (1 for a full score), and the value of each function, -1 where it gave none.

    `on_error`: `raise` stops the run at a completion without a score; `zero` continues with 0 and `recompensa_error` 1.
    """
    source = open_source(config, url)
    row = {key: value for key, value in dict(extra_info or {}).items() if key not in _OF_VERL}
    example = make_row({"task": data_source, **row}, row.get("prompt"), ground_truth)
    (verdict,) = await source.score_async([(example, solution_str, False)])
    return to_result(verdict, on_error)


def to_result(verdict: CompletionVerdict, on_error: str) -> dict[str, float]:
    """A verdict with verl's keys."""
    failed = verdict.value is None
    value = 0.0 if failed and on_error == "zero" else verdict.number()
    values = {name: -1.0 if each is None else float(each) for name, each in verdict.functions.items()}
    return {"score": value, "acc": float(value >= 1.0), "recompensa_error": float(failed), **values}


_OF_VERL = frozenset({"num_turns", "rollout_reward_scores", "index", "split"})
