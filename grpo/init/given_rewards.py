"""Rewards that the user names, in place of those that would be proposed: `--reward trl:rewards.py:f`, built-in or a plugin's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from grpo.init.proposals import Proposal, Reward
from rewards.commands.selection import parse_reward
from rewards.discovery.existing import PREFIXES
from rewards.errors import UserError

_SAID = {
    "trl": "yours, called as TRL calls it",
    "verl": "yours, called as verl calls it",
    "verifiers": "your rubric, called as verifiers calls it",
}


def take_rewards(named: Sequence[str], proposal: Proposal, folder: Path) -> Proposal:
    """The proposal with these rewards alone; files they name are written as a path from `folder`, where the config will lie.

    A function that was proposed keeps the options that were found for it, unless some are given. Raises `UserError` for what
    cannot be read; whether a function is there and fits the rows the dry run says.
    """
    proposed = {reward.name: reward for reward in proposal.rewards}
    taken = []
    for text in named:
        name, options = parse_reward(text)
        weight = options.pop("weight", None)
        if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0):
            raise UserError(f"--reward {text}: weight={weight}; write a number above 0")
        kind = name.partition(":")[0]
        if kind in PREFIXES:
            # Without a weight a function of TRL's weighs as much as its range is wide.
            own = 1.0 if weight is None and (kind != "trl" or "range" not in options) else weight
            taken.append(Reward(_place(name, folder), own, _SAID[kind], options))
        else:
            known = proposed.get(name)
            options = options or (known.options if known else {})
            reason = known.reason if known else "as you asked"
            taken.append(
                Reward(name, 1.0 if weight is None else weight, reason, options, known.tasks if known else None)
            )
    uses_schema = any(reward.options.get("schema") == "schema.json" for reward in taken)
    left = [reward.name for reward in proposal.rewards if reward.name not in {each.name for each in taken}]
    notes = [f"--reward replaces what would be proposed: {', '.join(left)}"] if left else []
    return Proposal(
        proposal.kinds, taken, proposal.schema if uses_schema else None, proposal.about, [*proposal.notes, *notes]
    )


def _place(name: str, folder: Path) -> str:
    """`trl:rewards.py:f` as it is to be written in a config in `folder`; names of modules stay as they are."""
    kind, _, target = name.partition(":")
    file, _, function = target.rpartition(":")
    if not file.endswith(".py"):
        beside = Path(f"{target.rpartition('.')[0]}.py")
        if not beside.is_file():
            return name
        file, function = str(beside), target.rpartition(".")[2]
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"--reward {name}: no file {file} here; name a Python file that defines {function}")
    relative = os.path.relpath(path, folder.resolve())
    return f"{kind}:{path if relative.startswith('../../../') else Path(relative).as_posix()}:{function}"
