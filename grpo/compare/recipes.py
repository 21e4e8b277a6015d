"""Two recipes set side by side by their seeds, where `grpo.compare` is given groups of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grpo.lifecycle.run_group import is_group
from grpo.seeds.summary import compare_groups
from rewards.errors import UserError
from rewards.screen.command_line import print_json

PROMOTED, NOT_PROMOTED = 0, 1


def compare_recipes(names: Sequence[str], *, as_json: bool) -> int:
    """Print how the second group differs from the first; 0 where its mean is higher beyond the noise of the seeds, else 1."""
    others = [name for name in names if not is_group(Path(name))]
    if others or len(names) != 2:
        said = f"{', '.join(others)}: not a group of seeds" if others else f"{len(names)} groups"
        raise UserError(f"{said}; two recipes are compared by two groups: python -m grpo.compare GROUP_A GROUP_B")
    found = compare_groups(Path(names[0]), Path(names[1]))
    difference, chance = found["difference"], found["probability_of_improvement"]
    better = difference["low"] is not None and difference["low"] > 0
    if as_json:
        print_json(found)
        return PROMOTED if better else NOT_PROMOTED
    print(f"two recipes, seeds are the unit: {names[1]} against {names[0]}")
    for name, mean in zip(names, found["mean"], strict=True):
        sd = "" if mean["sd_over_seeds"] is None else f", sd over seeds {mean['sd_over_seeds']:.3f}"
        print(f"  {name}: mean {mean['mean']:.3f} of {mean['n']} seeds{sd}")
    how = "paired by seed" if found["paired_by_seed"] else "Welch, no seeds in common"
    interval = "" if difference["low"] is None else f" ({difference['low']:+.3f} to {difference['high']:+.3f}, {how})"
    print(f"  difference {difference['mean']:+.3f}{interval}: {'better' if better else 'not better beyond the noise'}")
    for task, change in found["tasks"].items():
        ends = "" if change["low"] is None else f" ({change['low']:+.3f} to {change['high']:+.3f})"
        print(f"    {task}: {change['mean']:+.3f}{ends}, {change['n']} seeds")
    print(
        f"  probability of improvement {chance['value']:.2f} ({chance['low']:.2f} to {chance['high']:.2f}, bootstrap over "
        "seeds by task)"
    )
    return PROMOTED if better else NOT_PROMOTED
