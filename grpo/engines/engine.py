"""What an engine must do, and how it fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rewards.errors import RecompensaError

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.policy.loading import Policy


class EngineFailed(RecompensaError):
    """An engine stopped working in the middle of a run, through no fault of the config; the run can be resumed."""


class Engine(Protocol):
    """What a run asks of an engine, in this order."""

    packages: tuple[str, ...]
    """Distributions that it needs beside those of the extra `train`."""

    def problems(self, config: RunConfig, world_size: int) -> list[str]:
        """Why this config cannot run on this engine, one line each. Imports nothing heavy."""

    def prepare(self) -> None:
        """Whatever must happen before torch, transformers, trl and peft are imported."""

    def load(self, *, texts: Iterable[str], seed: int, device: str) -> Policy:
        """The policy, as `grpo.policy.loading.load_policy` makes it."""

    def restore(self, directory: Path, *, device: str) -> Policy:
        """A policy of which all weights were saved in `directory`."""

    def arguments(self) -> dict[str, Any]:
        """Settings of TRL's GRPOConfig that this engine needs."""

    def serving(self, policy: Policy, directory: Path, *, device: str) -> AbstractContextManager[None]:
        """Everything the trainer needs from its making to its end; `directory` is the run's."""

    def attach(self, trainer: Any) -> None:
        """Take hold of the trainer that was just made."""

    def observe(self, logs: Mapping[str, Any]) -> None:
        """Look at the numbers of a step; raise `RecompensaError` where they say that it trains something else."""


def first_words(fault: Exception) -> str:
    """What an exception says, in one line that is not too long."""
    return " ".join(str(fault).split())[:300] or type(fault).__name__


def ahead_problems(config: RunConfig, world_size: int) -> list[str]:
    """Why `grpo.one_step_ahead` cannot be had on this engine, one line each."""
    ahead, engine, where = config.grpo.one_step_ahead, config.model.engine, "grpo.one_step_ahead"
    if ahead is None:
        return []
    problems = []
    if world_size > 1:
        problems.append(f"{where}: {ahead} is for one training process, not {world_size}; start one, or write null")
    if ahead == "server" and (engine != "vllm" or config.model.vllm.mode != "server"):
        problems.append(
            f"{where}: server is vLLM's; write model.engine: vllm and model.vllm.mode: server, or a device such as cuda:1"
        )
    if ahead == "server" and not config.model.vllm.importance_sampling_correction:
        problems.append(
            f"{where}: server needs model.vllm.importance_sampling_correction: true, as its completions are one update old"
        )
    if ahead != "server" and engine != "transformers":
        problems.append(
            f"{where}: {ahead} holds a copy that engine transformers writes with, not {engine}; write server"
        )
    return problems
