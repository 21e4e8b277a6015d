"""The split between training and held-out rows: what occurs in both would be learnt by heart and then counted as skill."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from rewards.types import Example

SHOWN = 3


def leaks(train: Iterable[Example], held_out: Iterable[Example]) -> list[str]:
    """One line for each held-out prompt or id that training also has (the first three, then their number); [] if none.

    Prompts are compared without their system turn, and without case, accents and repeated white space.
    """
    train_ids: set[str] = set()
    first_with: dict[str, str] = {}
    for example in train:
        train_ids.add(example.id)
        first_with.setdefault(normalise_prompt(example), example.id)
    same_prompt, same_id = [], []
    for example in held_out:
        twin = first_with.get(normalise_prompt(example))
        if twin is not None:
            same_prompt.append(
                f"held-out row {example.id!r} has the prompt of training row {twin!r}; remove one of them"
            )
        if example.id in train_ids:
            same_id.append(f"held-out id {example.id!r} is also a training id; ids are unique over both files")
    return _shorten(same_prompt, "held-out prompts that are also in training") + _shorten(same_id, "shared ids")


def normalise_prompt(example: Example) -> str:
    """The prompt as it is compared: all turns but the system's, folded to plain lower-case words."""
    text = "\n".join(str(turn["content"]) for turn in example.prompt if turn["role"] != "system")
    if text.isascii():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(char for char in decomposed if not unicodedata.combining(char)).split())


def _shorten(lines: list[str], what: str) -> list[str]:
    rest = len(lines) - SHOWN
    return lines[:SHOWN] + ([f"and {rest} more {what}"] if rest > 0 else [])
