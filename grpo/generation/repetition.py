"""Answers that repeat themselves: the rule of `evaluation.stop_repetition`, by which one is ended before its limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Tokens of the longest block whose repeats are seen, and of the shortest text that counts as a loop: a row of dashes, a
# number with many zeros or an empty table repeat a few tokens too, and go on.
MOST_BLOCK, LEAST_TOKENS = 64, 32


class Repetitions:
    """Which of many texts end in a block that stands there `times` times in a row, as they grow token by token.

    A text loops where its last `max(times * b, LEAST_TOKENS)` tokens repeat a block of `b`, at most MOST_BLOCK, tokens.
    Axes: `_N` texts, `_B` those of the present step, `_K` lengths of a block.
    """

    def __init__(self, texts: int, times: int, device: Any = None):
        import torch

        blocks_K = torch.arange(1, MOST_BLOCK + 1, device=device)
        # A text of n tokens that repeats a block of b has n - b tokens that equal the one b places before.
        self.wanted_K = (times * blocks_K).clamp(min=LEAST_TOKENS) - blocks_K
        # The newest token first; -1 is none.
        self.last_NK = torch.full((texts, MOST_BLOCK), -1, dtype=torch.long, device=device)
        self.equal_NK = torch.zeros(texts, MOST_BLOCK, dtype=torch.long, device=device)

    def note(self, rows_B: Any, tokens_B: Any) -> Any:
        """Take one more token of each of these texts; whether each loops now, (B,)."""
        import torch

        last_BK = self.last_NK[rows_B]
        equal_BK = torch.where(last_BK == tokens_B[:, None], self.equal_NK[rows_B] + 1, 0)
        self.equal_NK[rows_B] = equal_BK
        self.last_NK[rows_B] = torch.cat((tokens_B[:, None], last_BK[:, :-1]), 1)
        return (equal_BK >= self.wanted_K).any(1)


def find_stop(ids: Sequence[int], times: int) -> int | None:
    """After how many tokens a text that was written whole would have been ended; None where it never loops."""
    equal = [0] * (MOST_BLOCK + 1)
    for place, token in enumerate(ids):
        for block in range(1, min(place, MOST_BLOCK) + 1):
            equal[block] = equal[block] + 1 if ids[place - block] == token else 0
            if equal[block] >= max(times * block, LEAST_TOKENS) - block:
                return place + 1
    return None
