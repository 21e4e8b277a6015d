"""A telecom row's reference as its layer looks at it, and what comparing an answer with it gave."""

from __future__ import annotations

from typing import Any, NamedTuple

from rewards.documents.leaves import Flat, LeafRules
from rewards.schemas import Judgement, Schema
from rewards.telecom.contents import Contents
from rewards.telecom.pairing import Paired
from rewards.telecom.paths import Path, ValuePlaces


class Compared(NamedTuple):
    """What comparing gave, and both values made ready to be compared, without what is masked; `reference` None where all is."""

    likeness: float | None
    size: float
    reference: Flat | None
    answer: Flat
    plausible: float | None
    paired: Paired
    pairs: Paired
    """What of the reference's pairs is right, and how many there are."""


class Gold(NamedTuple):
    """A reference as a layer looks at it; `masked` are the leaves, by place and value, that its prompt lacks."""

    value: Any
    places: ValuePlaces
    required: frozenset[Path]
    enumerated: frozenset[Path]
    masked: frozenset[tuple[Path, Any]]
    rules: LeafRules
    flat: Flat
    contents: Contents
    schema: Schema | None
    judged: Judgement | None
    pairs: Paired
    named: frozenset[Path]
    """Places of identifiers that the comparison leaves out, though they can be known."""
    notation: str = ""
    """That of its expression; `GRAPHS` where it was brought into the form that all notations share."""
