"""Whether a function that sees several completions at once compares them: a right answer scored alone and beside
others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rewards.audit.probes import GOLD, Probe
from rewards.types import Completion

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost

_ROWS = 3
_DIFFERENT = 0.01
"""Padding a batch changes a reward model's values a little; ranking it changes them a lot."""


def find_comparisons(host: RewardHost, probes: Sequence[Probe]) -> list[str]:
    """A warning for each function whose value of a right answer depends on the other answers scored with it, or that fails alone."""
    warnings = []
    for entry in host.functions:
        function = entry.function
        if not function.together:
            continue
        beside = [probe for probe in probes if probe.kind == GOLD and function.name in probe.values][:_ROWS]
        for probe in beside:
            outcomes = host.judge_many(entry, [(probe.example, Completion(probe.text))], 1)
            beside_others = probe.values[function.name]
            if outcomes and outcomes[0].status == "error":
                warnings.append(
                    f"reward '{function.name}' gives a right answer {beside_others:.2f} beside others and fails on it alone "
                    f"({outcomes[0].reason}); the last batch of an evaluation may hold one completion"
                )
                break
            alone = outcomes[0].value if outcomes else None
            if alone is not None and abs(alone - beside_others) > _DIFFERENT:
                warnings.append(_say(function.name, function.together, alone, beside_others))
                break
    return warnings


def _say(name: str, together: str, alone: float, beside: float) -> str:
    found = f"reward '{name}' gives a right answer {alone:.2f} alone and {beside:.2f} beside wrong ones: it compares the completions of a {together}"
    if together == "group":
        return f"{found}; it can train, but its mean does not show progress: judge checkpoints with another function as well"
    return (
        f"{found}, so its values cannot be compared between batches, evaluations or runs; "
        'judge each completion by itself, or let it see a whole group (together = "group")'
    )
