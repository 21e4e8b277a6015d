"""Prompts that begin alike, such as those of one task with its page of instructions: what they share is read once."""

from __future__ import annotations

from collections.abc import Sequence

# A shorter beginning is not worth a pass of its own.
LEAST_STEM = 16


def find_stems(prompts: Sequence[Sequence[int]], least: int = LEAST_STEM) -> list[tuple[int, list[int]]]:
    """Runs of prompts that begin alike, as (tokens they share, numbers of the prompts); every prompt is in one run.

    A prompt that is alone shares 0 tokens. At least one token of each prompt is not shared: the one whose logits are
    wanted. A prompt joins a run when it shares at least half of what the run shares.
    """
    runs: list[tuple[int, list[int]]] = []
    for number in sorted(range(len(prompts)), key=lambda n: tuple(prompts[n])):
        if runs:
            shared, members = runs[-1]
            before, prompt = prompts[members[-1]], prompts[number]
            # In sorted order a prompt that begins with the whole one before it is the longer of the two.
            common = min(count_common(before, prompt), len(before) - 1)
            if common >= max(least, shared / 2):
                runs[-1] = (min(common, shared) if shared else common, [*members, number])
                continue
        runs.append((0, [number]))
    return runs


def count_common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts have in common from their start."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def are_worth_it(stems: Sequence[tuple[int, list[int]]], tokens: int) -> bool:
    """Whether sharing saves an eighth of all `tokens` of the prompts: it costs a second pass."""
    return 8 * sum(shared * (len(members) - 1) for shared, members in stems) >= tokens
