"""What was made is tried as a run would try it before it is kept: read, planned, and each reference scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpo.config.run_config import RunConfig
from grpo.data.run_rows import RunRows
from grpo.init.proposals import Reward
from grpo.policy.tokenizer import TokenCounter
from rewards.types import Example


@dataclass
class Proof:
    """The audit of the run to be, the profile it was planned under, and the settings that profile needs for these rows."""

    audit: dict[str, Any]
    profile: str
    overrides: list[str] = field(default_factory=list)


_AT_A_TIME = 500


def find_unfit(
    rows: Sequence[Example],
    rewards: Sequence[Reward],
    schema: dict[str, Any] | None,
    on_progress: Callable[[int], object] = lambda done: None,
) -> dict[str, str]:
    """Rows whose own reference does not earn full reward, by id, each with the first reason.

    `on_progress` hears how many rows are done.
    """
    from rewards.audit.references import gold_self_test
    from rewards.config import FunctionSpec, RewardsSection, build_host

    functions = [
        FunctionSpec(
            name=reward.name,
            weight=reward.weight,
            tasks=reward.tasks,
            options={**reward.options, **({"schema": schema} if "schema" in reward.options else {})},
        )
        for reward in rewards
    ]
    found: dict[str, str] = {}
    with build_host(RewardsSection(functions=functions)) as host:
        for start in range(0, len(rows), _AT_A_TIME):
            for failure in gold_self_test(host, rows[start : start + _AT_A_TIME]):
                scored = "" if failure.value is None else f"its own answer earns {failure.value:.3f}, not 1: "
                found.setdefault(failure.example_id, f"reward {failure.function}: {scored}{failure.reason}")
            on_progress(min(start + _AT_A_TIME, len(rows)))
    return found


def prove_config(config_path: Path) -> Proof:
    """Plan and preflight of the config on this machine, as `grpo.run --dry-run` does them; raises `UserError`.

    Where the machine has no CUDA device a smaller policy rehearses the run, made for shorter texts: what it needs to be
    told for these rows is found and given back as `overrides`. Rows and rewards are the same then: they are audited once.
    """
    from grpo.config.loading import load_config
    from grpo.data.run_rows import load_inputs
    from grpo.machine.device import resolve_profile
    from grpo.plan.make_plan import make_plan
    from grpo.policy.tokenizer import find_token_counter
    from grpo.preflight import run_preflight
    from rewards.config import build_host

    profile, _ = resolve_profile("auto")
    # The recipe itself must stand, whatever this machine rehearses.
    config = load_config(config_path, [], "gpu")
    inputs = load_inputs(config)
    with build_host(config.rewards) as host:
        make_plan(config, inputs, profile="gpu")
        audit = run_preflight(config, inputs, host)
    if profile == "gpu":
        return Proof(audit, profile)
    unfitted = load_config(config_path, profile=profile)
    counter = find_token_counter(unfitted.model, inputs.taught)
    overrides = _fit_lengths(unfitted, inputs, counter)
    rehearsal = load_config(config_path, overrides, profile)
    # Lengths are no part of what a tokenizer is made of: one serves both.
    make_plan(rehearsal, inputs, counter, profile=profile)
    if rehearsal.rewards != config.rewards:
        with build_host(rehearsal.rewards) as host:
            audit = run_preflight(rehearsal, inputs, host)
    return Proof(audit, profile, overrides)


def _fit_lengths(config: RunConfig, inputs: RunRows, counter: TokenCounter) -> list[str]:
    """Settings of lengths that the rehearsal needs for these rows; none where its own will do."""
    from grpo.init.lengths import measure_lengths

    lengths = measure_lengths([*inputs.train, *inputs.held_out], config.model, counter)
    overrides = []
    completion = max(config.grpo.max_completion_length, lengths.max_completion_length)
    if completion > config.grpo.max_completion_length:
        overrides.append(f"grpo.max_completion_length={completion}")
    if config.evaluation.max_completion_length is not None and completion > config.evaluation.max_completion_length:
        overrides.append(f"evaluation.max_completion_length={completion}")
    needed = 64 * -(-(lengths.prompt_longest + completion) // 64)
    if needed > config.model.max_sequence_length:
        overrides.append(f"model.max_sequence_length={needed}")
    return overrides
