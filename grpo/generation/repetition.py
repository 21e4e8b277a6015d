"""The rule of `evaluation.stop_repetition`: an answer that keeps repeating itself is ended before its limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Tokens of the longest block whose repeats are detected, and of the shortest loop: a row of dashes, a number with many
# zeros or an empty table also repeats a few tokens, and then goes on.
MOST_BLOCK, LEAST_TOKENS = 64, 32


class Repetitions:
    """Detects, token by token, which of many texts end in a block that has occurred `times` times in a row.

    A text loops if its last `max(times * b, LEAST_TOKENS)` tokens repeat a block of `b` tokens, 1 <= b <= MOST_BLOCK.
    Axes: `_N` texts, `_B` texts of the current step, `_K` block lengths.
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
        """Add one token to each of these texts (`rows_B`, `tokens_B`: (B,) integers); returns whether each loops now,
        (B,) booleans.
        """
        import torch

        last_BK = self.last_NK[rows_B]
        equal_BK = torch.where(last_BK == tokens_B[:, None], self.equal_NK[rows_B] + 1, 0)
        self.equal_NK[rows_B] = equal_BK
        self.last_NK[rows_B] = torch.cat((tokens_B[:, None], last_BK[:, :-1]), 1)
        return (equal_BK >= self.wanted_K).any(1)


def find_stop(ids: Sequence[int], times: int) -> int | None:
    """The number of tokens after which a finished text would have been ended; None if it never loops."""
    equal = [0] * (MOST_BLOCK + 1)
    for place, token in enumerate(ids):
        for block in range(1, min(place, MOST_BLOCK) + 1):
            equal[block] = equal[block] + 1 if ids[place - block] == token else 0
            if equal[block] >= max(times * block, LEAST_TOKENS) - block:
                return place + 1
    return None
