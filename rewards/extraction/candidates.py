"""What the scanner finds and the choice weighs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rewards.extraction.repairs import STRUCTURAL, Path, Repair


@dataclass(slots=True)
class Candidate:
    """A value that may be the answer, and the circumstances it was found in."""

    value: Any
    start: int
    end: int
    repairs: tuple[Repair, ...]
    closed: bool
    cut: bool
    fence: str | None = None
    previous: int = 0
    floor: int = 0
    duplicates: tuple[Path, ...] = ()

    @property
    def guesses(self) -> int:
        return sum([repair.kind in STRUCTURAL for repair in self.repairs]) if self.repairs else 0
