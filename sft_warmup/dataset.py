"""Demonstrations as tokens and labels: the loss falls on assistant turns only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

IGNORED = -100  # the label that cross entropy leaves out
Messages = Sequence[Mapping[str, str]]
Encode = Callable[[Messages], tuple[list[int], list[int]]]


def label_rows(conversations: Iterable[Messages], encode: Encode, *, max_tokens: int) -> tuple[Dataset, int]:
    """Token rows `input_ids`, `labels` and the count of conversations left out for being longer than `max_tokens`.

    `encode` gives ids and a 0/1 mask of the tokens an assistant wrote. Labels equal the ids there and -100 elsewhere.
    A conversation is dropped, never cut: a cut answer teaches the policy to stop early.
    """
    from datasets import Dataset

    input_ids, labels, too_long = [], [], 0
    for messages in conversations:
        ids, mask = encode(messages)
        if len(ids) > max_tokens:
            too_long += 1
            continue
        input_ids.append(ids)
        labels.append([token if written else IGNORED for token, written in zip(ids, mask, strict=True)])
    return Dataset.from_dict(
        {"input_ids": input_ids, "labels": labels, "length": [len(i) for i in input_ids]}
    ), too_long
