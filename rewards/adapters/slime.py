"""slime and miles in the process: `--custom-rm-path rewards.adapters.slime.reward`, which sees more than the URL does."""

from __future__ import annotations

from typing import Any

from rewards.adapters.source import CompletionVerdict, make_row, open_source


async def reward(args: Any, sample: Any, **_: Any) -> Any:
    """The number of one sample, or of each sample of a list (`--group-rm`); raises ScoringFailed where there is none."""
    many = sample if isinstance(sample, list) else [sample]
    rows = []
    for each in many:
        metadata = getattr(each, "metadata", None)
        example = make_row(dict(metadata) if isinstance(metadata, dict) else {}, each.prompt, each.label)
        cut = getattr(getattr(each, "status", None), "value", getattr(each, "status", None)) == "truncated"
        rows.append((example, each.response, cut))
    verdicts = await open_source().score_async(rows)
    key = getattr(args, "reward_key", None)
    numbers = [_shape(verdict, key) for verdict in verdicts]
    return numbers if isinstance(sample, list) else numbers[0]


def _shape(verdict: CompletionVerdict, key: str | None) -> Any:
    number = verdict.number()
    if not key:
        return number
    return {**{name: -1.0 if value is None else value for name, value in verdict.functions.items()}, key: number}
