"""The held-out rows: drawn by seed, the same share of each task, and no near-duplicate of a training row among them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from rewards.audit.near_duplicates import THRESHOLDS, find_near_duplicates, fold_prompt, group_near_duplicates
from rewards.errors import UserError
from rewards.types import Example

FEWEST_ROWS = 10
LEAST, MOST = 40, 320
"""Held-out rows wanted: fewer than 40 tell little, more than 320 cost time at each evaluation."""

_SHARE = 0.2
_LARGEST_GROUP = 0.5
"""From this share of one task's rows in one group on, the prompts are of one mould, and only nearer ones are kept together."""


@dataclass(frozen=True, slots=True)
class Split:
    """`similarity`: prompts as similar as that stand on one side together; `joined` rows have such a neighbour."""

    train: list[Example]
    held_out: list[Example]
    similarity: float
    joined: int


def split_rows(
    rows: Sequence[Example],
    *,
    seed: int,
    held_out: int | None = None,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Split:
    """Cut the rows in two; `held_out` is the number wanted, by default a fifth, at least 40 and at most 320 or a third.

    Rows whose prompts are similar (exact Jaccard similarity of runs of five letters, 0.9 or more) are never parted. Where
    that would leave one group of half of the rows, the measure is 0.95, 0.98, or the same prompt. Raises `UserError` where
    there are too few rows, or all prompts are one. `on_progress` hears how many rows were compared.
    """
    if len(rows) < FEWEST_ROWS:
        raise UserError(
            f"{len(rows)} usable rows; at least {FEWEST_ROWS} are needed to train on some and hold others out"
        )
    wanted = held_out or min(MOST, max(round(_SHARE * len(rows)), min(LEAST, len(rows) // 3)))
    if wanted > len(rows) - 2:
        raise UserError(f"--held-out-rows {wanted}: there are {len(rows)} rows; hold fewer out")
    for similarity in (*THRESHOLDS, 1.0):
        groups = group_near_duplicates(rows, similarity, on_progress)
        if Counter(groups).most_common(1)[0][1] <= _LARGEST_GROUP * len(rows):
            break
    else:
        if len(set(groups)) < 2:
            raise UserError("all rows ask the same: nothing can be held out; give rows with different prompts")
    return _draw(rows, groups, wanted, similarity, seed)


def set_apart(rows: Sequence[Example], held_out: Collection[str]) -> Split:
    """The rows that the user holds out himself, by their ids; near-duplicates of them are left out of training.

    `joined` of the split says how many those are. Raises `UserError` where too few are left to train on.
    """
    apart = [row for row in rows if row.id in held_out]
    train = [row for row in rows if row.id not in held_out]
    prompts = {fold_prompt(row) for row in apart}
    twins = {row.id for row in train if fold_prompt(row) in prompts}
    kept = [row for row in train if row.id not in twins]
    near = {pair.train.id for pair in find_near_duplicates(kept, apart)}
    kept = [row for row in kept if row.id not in near]
    if len(kept) < 2 or not apart:
        raise UserError(
            f"{len(kept)} rows to train on and {len(apart)} held out, once those that stand on both sides are left out of "
            "training; give more rows"
        )
    return Split(kept, apart, THRESHOLDS[0], len(train) - len(kept))


def _draw(rows: Sequence[Example], groups: Sequence[int], wanted: int, similarity: float, seed: int) -> Split:
    """Whole groups in a shuffled order, a group of each kind (task and answer, where answers repeat) in turn."""
    members: dict[int, list[int]] = defaultdict(list)
    for at, group in enumerate(groups):
        members[group].append(at)
    answers = Counter(row.reference for row in rows)
    repeats = len(answers) <= max(2, len(rows) // 5)
    kinds: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for group in members:
        first = rows[group]
        kinds[first.task, first.reference if repeats else None].append(group)
    drawn = random.Random(seed)
    chosen: set[int] = set()
    for kind in sorted(kinds, key=str):
        drawn.shuffle(kinds[kind])
    # What each kind has yet to give, so that shares are kept however small a kind is.
    share = wanted / len(rows)
    for kind in sorted(kinds, key=str):
        size = sum(len(members[group]) for group in kinds[kind])
        goal, taken = share * size, 0
        for group in kinds[kind]:
            more = len(members[group])
            if taken + more <= goal + 0.5 and taken + more < size:
                chosen.update(members[group])
                taken += more
    rest = [group for kind in sorted(kinds, key=str) for group in kinds[kind] if group not in chosen]
    drawn.shuffle(rest)
    for group in rest:
        if len(chosen) >= wanted or len(chosen) + len(members[group]) > min(wanted, len(rows) - 2):
            continue
        chosen.update(members[group])
    if not chosen:
        chosen.update(members[min(members, key=lambda group: len(members[group]))])
    joined = sum(len(group) for group in members.values() if len(group) > 1)
    train = [row for at, row in enumerate(rows) if at not in chosen]
    return Split(train, [row for at, row in enumerate(rows) if at in chosen], similarity, joined)
