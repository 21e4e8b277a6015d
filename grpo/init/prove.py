"""What was made is tried as a run would try it before it is kept: read, planned, and each reference scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.config.run_config import RunConfig
from grpo.data.run_rows import RunRows
from grpo.init.lengths import measure_lengths, pick_rows
from grpo.policy.tokenizer import TokenCounter, count_once
from rewards.errors import UserError

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost


@dataclass
class Proof:
    """The audit of the run to be, the profile it was planned under, and the settings that profile needs for these rows."""

    audit: dict[str, Any]
    profile: str
    overrides: list[str] = field(default_factory=list)


class UnfitRows(UserError):
    """Rows whose own reference does not earn full reward: `reasons` by id, the first of each."""

    def __init__(self, lines: list[str], reasons: dict[str, str]):
        super().__init__(lines)
        self.reasons = reasons


def prove_config(config_path: Path, on_progress: Callable[[int], object] = lambda done: None) -> Proof:
    """Plan and preflight of the config on this machine, as `grpo.run --dry-run` does them; raises `UserError`.

    Where the machine has no CUDA device a smaller policy rehearses the run, made for shorter texts: what it needs to be
    told for these rows is found and given back as `overrides`. Rows and rewards are the same then: they are audited once.
    References that do not earn full reward raise `UnfitRows`. `on_progress` hears how many are scored.
    """
    from grpo.config.loading import load_config
    from grpo.data.run_rows import load_inputs
    from grpo.machine.device import resolve_profile
    from grpo.plan.make_plan import make_plan
    from grpo.policy.tokenizer import find_token_counter
    from rewards.config import build_host

    profile, _ = resolve_profile("auto")
    # The recipe itself must stand, whatever this machine rehearses.
    config = load_config(config_path, [], "gpu")
    inputs = load_inputs(config)
    with build_host(config.rewards) as host:
        make_plan(config, inputs, profile="gpu")
        audit = _audit(config, inputs, host, on_progress)
    if profile == "gpu":
        return Proof(audit, profile)
    unfitted = load_config(config_path, profile=profile)
    counter = count_once(find_token_counter(unfitted.model, inputs.taught))
    # Its lengths are those of some of many rows: the recipe's plan has counted all.
    some = replace(
        inputs, train=pick_rows(inputs.train), held_out=pick_rows(inputs.held_out), warmup=pick_rows(inputs.warmup)
    )
    overrides = _fit_lengths(unfitted, some, counter)
    if unfitted.sft_warmup.enabled and not config.sft_warmup.enabled:
        overrides.append("sft_warmup.enabled=false")  # a profile stands above the recipe; there is nothing to show
    rehearsal = load_config(config_path, overrides, profile)
    # Lengths are no part of what a tokenizer is made of: one serves both.
    make_plan(rehearsal, some, counter, profile=profile)
    if rehearsal.rewards != config.rewards:
        with build_host(rehearsal.rewards) as host:
            audit = _audit(rehearsal, inputs, host, on_progress)
    return Proof(audit, profile, overrides)


def _audit(
    config: RunConfig, inputs: RunRows, host: RewardHost, on_progress: Callable[[int], object]
) -> dict[str, Any]:
    from grpo.preflight import PreflightError, run_preflight

    try:
        return run_preflight(config, inputs, host, on_progress)
    except PreflightError as error:
        reasons: dict[str, str] = {}
        for failed in error.audit.facts["gold_failures"]:
            value = failed["value"]
            scored = "" if value is None else f"its own answer earns {value:.3f}, not 1: "
            reasons.setdefault(failed["id"], f"reward {failed['function']}: {scored}{failed['reason']}")
        if not reasons:
            raise
        raise UnfitRows(error.problems, reasons) from None


def _fit_lengths(config: RunConfig, inputs: RunRows, counter: TokenCounter) -> list[str]:
    """Settings of lengths that the rehearsal needs for these rows; none where its own will do."""
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
