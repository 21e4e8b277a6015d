"""Numbers that can only be a slip of the hand: told at once, before anything is built after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewards import limits

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig


def find_absurd(config: RunConfig) -> list[str]:
    """A line a key whose number is larger than anybody means."""
    problems = []
    for key, most in limits.CONFIG_MOST.items():
        value: object = config
        for name in key.split("."):
            value = getattr(value, name, None)
        if isinstance(value, (int, float)) and value > most:
            problems.append(f"{key}: {_show(value)} is more than any run needs; at most {most:,.10g} is allowed")
    for index, spec in enumerate(config.rewards.functions):
        if spec.weight > limits.REWARD_WEIGHT:
            problems.append(
                f"rewards.functions[{index}].weight: {spec.weight:g} is more than weights differ by; "
                f"at most {limits.REWARD_WEIGHT:g} is allowed"
            )
    return problems


def _show(value: float) -> str:
    return f"{value:,}" if abs(value) < 1e18 else f"{value:.3g}"
