"""Groups of a step that teach nothing, and the fresh prompts that take their place, round by round."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass
class Rollouts:
    """What was written for the rows of one process, in their order; None where the engine does not tell."""

    completion_ids: list[list[int]]
    logprobs: list[list[float]] | None
    entropies: list[list[float]] | None

    def replace(self, places: Sequence[int], other: Rollouts) -> None:
        """Put the rows of `other` in these places."""
        for mine, theirs in ((getattr(self, name), getattr(other, name)) for name in vars(self)):
            if mine is not None:
                for place, value in zip(places, theirs, strict=True):
                    mine[place] = value


@dataclass
class Draw:
    """A step's rows (indexes of examples) after all rounds, what was written for them and its scores."""

    rows: list[int]
    rollouts: Rollouts
    scored: list[Any]
    rounds: int = 0
    replaced: int = 0
    flat_share: float = 0.0

    def metrics(self) -> dict[str, float]:
        """Extra rounds, groups replaced in them, and the share of zero-spread groups before the first."""
        return {
            "dynamic_sampling/rounds": float(self.rounds),
            "dynamic_sampling/replaced": float(self.replaced),
            "dynamic_sampling/frac_reward_zero_std_before": self.flat_share,
        }


def draw_until_rewards_differ(
    rows: Sequence[int],
    write: Callable[[list[int], int, int], tuple[Rollouts | None, list[Any]]],
    gather: Callable[[torch.Tensor], torch.Tensor],
    *,
    first: int,
    num_generations: int,
    examples: int,
    most_rounds: int,
    seed: int,
    step: int,
) -> Draw:
    """Write and score completions; prompts whose completions all got one reward give way to fresh ones.

    `rows` are this process's share of the step, an example's index for each completion, `first` the number of rows of
    the processes before it. `write(rows, round, before)` returns what was written and scored for some rows, `before`
    the number of such rows in earlier processes; it is called in every process in every round. `gather` joins the
    tensors of all processes. At most `most_rounds` rounds follow the first, and none once no example is left.
    """
    import torch

    rollouts, scored = write(list(rows), 0, first)
    assert rollouts is not None  # every process has rows at first
    draw = Draw(list(rows), rollouts, scored)
    groups = [(first + place) // num_generations for place in range(len(rows))]
    used = set(gather(torch.tensor(draw.rows)).tolist())
    while True:
        flat = find_flat_groups(gather(read_rewards(draw.scored)), num_generations).tolist()
        if not draw.rounds:
            draw.flat_share = sum(flat) / len(flat)
        if draw.rounds == most_rounds or not any(flat):
            return draw
        fresh = draw_fresh_rows(examples, used, sum(flat), seed=seed, step=step, attempt=draw.rounds)
        if not fresh:
            return draw
        used.update(fresh)
        draw.rounds, draw.replaced = draw.rounds + 1, draw.replaced + len(fresh)
        # Where fewer examples are left than groups, the last groups stay.
        chosen = dict(zip((group for group, is_flat in enumerate(flat) if is_flat), fresh, strict=False))
        places = [place for place, group in enumerate(groups) if group in chosen]
        for place in places:
            draw.rows[place] = chosen[groups[place]]
        before = sum(min(max(first - group * num_generations, 0), num_generations) for group in chosen)
        rollouts, scored = write([draw.rows[place] for place in places], draw.rounds, before)
        if places:
            assert rollouts is not None
            draw.rollouts.replace(places, rollouts)
            for place, score in zip(places, scored, strict=True):
                draw.scored[place] = score


def read_rewards(scored: Sequence[Any]) -> torch.Tensor:
    """Float32 rewards, NaN where nothing could score."""
    import torch

    return torch.tensor([float("nan") if each.reward is None else each.reward for each in scored], dtype=torch.float32)


def find_flat_groups(rewards_PG: torch.Tensor, num_generations: int) -> torch.Tensor:
    """Which groups have no two different rewards, (P,) bool; NaN is a completion that nothing could score.

    The advantage of such a group is zero whatever the scaling; subtracting a rounded mean may leave some 1e-8 of it.
    """
    import torch

    rewards = rewards_PG.view(-1, num_generations)
    known = ~rewards.isnan()
    highest = torch.where(known, rewards, -torch.inf).amax(1)
    lowest = torch.where(known, rewards, torch.inf).amin(1)
    return highest <= lowest


def draw_fresh_rows(
    examples: int, used: Collection[int], count: int, *, seed: int, step: int, attempt: int
) -> list[int]:
    """At most `count` different rows below `examples` that are not among `used`; fewer where fewer are left.

    The choice depends on its arguments alone, so that every process and a resumed run make the same one.
    """
    import torch

    generator = torch.Generator().manual_seed(mix_seeds(seed, step, attempt))
    order = torch.randperm(examples, generator=generator).tolist()
    return [row for row in order if row not in used][:count]


def mix_seeds(*numbers: int) -> int:
    """One seed of 63 bits out of several numbers; neighbours give unrelated seeds."""
    import hashlib

    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
