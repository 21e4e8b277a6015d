"""Which process of a run this is, by the environment that torchrun and accelerate launch set."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rank:
    """This process among `count`; `local` is its index on this machine, `local_count` how many are here."""

    index: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that speaks and writes."""
        return self.index == 0


def find_rank() -> Rank:
    """This process by the environment that `torchrun` and `accelerate launch` set; the only one where they did not."""
    count = _read("WORLD_SIZE", 1)
    return Rank(_read("RANK", 0), count, _read("LOCAL_RANK", 0), _read("LOCAL_WORLD_SIZE", count))


def _read(name: str, otherwise: int) -> int:
    return int(os.environ.get(name) or otherwise)
