"""AReaL: `reward_fn="rewards.adapters.areal.reward"`. It waits 15 s and then takes 0, so a late score raises before that."""

from __future__ import annotations

from typing import Any

from rewards.adapters.source import make_row, open_source
from rewards.serve.dialects.openrlhf import cut_ending

SECONDS = 12.0


def reward(prompt: Any, completions: str, prompt_ids: Any = None, completion_ids: Any = None, **data: Any) -> float:
    """The number of one completion; raises ScoringFailed or NetworkError where there is none."""
    text, _ = cut_ending(completions)
    messages = data.pop("messages", None)
    example = make_row(
        {key: value for key, value in data.items() if value is not None}, messages or prompt, data.get("answer")
    )
    return open_source(seconds=SECONDS).score([(example, text, False)])[0].number()
