"""The order of the warm-up's rows: batches of similar length, in a shuffled order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

_POOL = 20


class LengthBatches:
    """A sampler over row indices: every `batch_size` of them in a row are of like length, and their order is chance.

    transformers' `group_by_length` sorts pools of fifty batches and keeps that order, so that a data set whose tasks
    differ in length is learnt one task after the other, again and again; the policy then forgets each in turn
    (measured in docs/decisions.md). The rows of a last batch that is short are joined by others of the same pass: a short
    batch would be another one for each number of processes that share it.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Select the order of this pass over the rows."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) * self.batch_size

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self.seed}/{self.epoch}")
        indices = list(range(len(self.lengths)))
        rng.shuffle(indices)
        indices += islice(cycle(indices[:]), len(self) - len(indices))
        pool = self.batch_size * _POOL
        for start in range(0, len(indices), pool):
            indices[start : start + pool] = sorted(indices[start : start + pool], key=self.lengths.__getitem__)
        batches = [indices[start : start + self.batch_size] for start in range(0, len(indices), self.batch_size)]
        rng.shuffle(batches)
        return (index for batch in batches for index in batch)
