"""The rows of a batch that is being written: what stands in each, and how its next token is chosen.

Axes end a name as in `batch`: `_N` completions (and one row that nobody reads), `_T` tokens of a completion, `_V`
vocabulary, `_B` rows of the present forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from grpo.generation.repetition import Repetitions
from grpo.generation.sampling import Sampling, draw

if TYPE_CHECKING:
    import torch

    from grpo.policy.recording import Recording


class WrittenRows:
    """The completions `numbers`, of at most `steps` tokens; the row of the forward at place `b` writes number `at_B[b]` of them.

    What fills a chunk up writes number `len(numbers)`, which is never read. `position_B` (rows, 1) is the position of the
    next token. Where `static`, everything that `choose` and `write_token` of a batch change is changed in place, the number
    of the step included: they can then be part of a CUDA graph. `uniform`, `entropies` and `recording` are a batch's.
    """

    def __init__(
        self, numbers: Sequence[int], steps: int, at_B: torch.Tensor, position_B: torch.Tensor, seen_BV: Any,
        sampling: Sampling, uniform: Any, eos: torch.Tensor, *, entropies: bool, stop_repetition: int | None,
        recording: Recording | None, static: bool,
    ):  # fmt: skip
        import torch

        device, count = at_B.device, len(numbers)
        self.numbers, self.steps, self.sampling, self.uniform, self.eos = numbers, steps, sampling, uniform, eos
        self.at_B, self.position_B, self.seen_BV, self.entropies = at_B, position_B, seen_BV, entropies
        self.token_B = torch.zeros_like(at_B)
        self.done_B = at_B == count
        self.tokens_NT = torch.zeros(count + 1, steps, dtype=torch.long, device=device)
        self.scores_NT = torch.zeros(count + 1, steps, dtype=torch.float32, device=device)
        self.spreads_NT = torch.zeros_like(self.scores_NT) if entropies else self.scores_NT
        self.written_N = torch.full((count + 1,), steps, dtype=torch.long, device=device)
        # Numbers of the whole call; what fills a chunk up draws with the first one's and is recorded behind them all.
        self.drawn_N = torch.tensor([*numbers, numbers[0]], device=device)
        self.recorded_N = torch.tensor([*numbers, count], device=device)
        self.repetitions = None if stop_repetition is None else Repetitions(count + 1, stop_repetition, device)
        self.head = None if recording is None else recording.head
        self.followers = [each for each in (recording, self.head) if each is not None]
        self.step: Any = torch.zeros(1, dtype=torch.long, device=device) if static else 0
        self.follow()

    def follow(self) -> None:
        """Look up what belongs to the rows of the present forward."""
        # By the number of the completion, not by its place: rows move when others leave, their numbers do not.
        self.drawn_B = None if self.uniform is None else self.drawn_N[self.at_B].to(self.uniform.device)
        for each in self.followers:
            each.follow(self.recorded_N[self.at_B])

    def choose(self, logits_BV: torch.Tensor) -> None:
        """Draw the next token of each row from `logits_BV`, keep it, and note which rows end with it."""
        import torch

        uniform_B = None if self.uniform is None else self.uniform[self.drawn_B, self.step]
        room = None if self.head is None else self.head.room()
        tokens_B, scores_B, spreads_B = draw(
            logits_BV.float(), self.sampling, self.seen_BV, uniform_B, self.entropies, room
        )
        if self.head is not None:
            self.head.note(self.step, tokens_B, scores_B, spreads_B)
        self.token_B.copy_(tokens_B)
        self.tokens_NT[self.at_B, self.step] = tokens_B
        if scores_B is not None:
            self.scores_NT[self.at_B, self.step] = scores_B
        if spreads_B is not None:
            self.spreads_NT[self.at_B, self.step] = spreads_B
        # A row that is done is written on until it leaves; only its first end counts.
        ends_B = (tokens_B[:, None] == self.eos).any(1)
        if self.repetitions is not None:
            ends_B |= self.repetitions.note(self.at_B, tokens_B)
        ends_B &= ~self.done_B
        self.step += 1
        self.written_N[self.at_B] = torch.where(ends_B, self.step, self.written_N[self.at_B])
        self.done_B |= ends_B
        if self.seen_BV is not None:
            self.seen_BV.scatter_(1, tokens_B[:, None], True)

    def keep(self, pick: torch.Tensor, filler: torch.Tensor) -> None:
        """Go on with the rows `pick` of the present ones; where `filler`, the row only fills a chunk up."""
        self.at_B, self.token_B, self.position_B = self.at_B[pick], self.token_B[pick], self.position_B[pick]
        self.at_B[filler], self.done_B = len(self.numbers), filler
        self.seen_BV = None if self.seen_BV is None else self.seen_BV[pick]
        self.follow()

    def written(self) -> Iterator[tuple[int, list[int], list[float], list[float]]]:
        """`(number, token ids, log-probs, entropies)` of each completion, up to its end."""
        arrays = (self.written_N, self.tokens_NT, self.scores_NT, self.spreads_NT)
        count = len(self.numbers)
        for number, length, *values in zip(self.numbers, *(each[:count].tolist() for each in arrays), strict=True):
            yield number, *(each[:length] for each in values)
