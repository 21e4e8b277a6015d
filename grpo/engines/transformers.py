"""The engine of plain transformers: our own generation and loss, in which a group shares its prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.config.sections import ModelSection
from grpo.engines.engine import ahead_problems

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.policy.loading import Policy


class TransformersEngine:
    """Runs everywhere, and is the only engine whose loss shares prompts."""

    packages: tuple[str, ...] = ()

    def __init__(self, section: ModelSection):
        self.section = section

    def problems(self, config: RunConfig, world_size: int) -> list[str]:
        return ahead_problems(config, world_size)

    def prepare(self) -> None:
        pass

    def load(self, *, texts: Iterable[str], seed: int, device: str) -> Policy:
        from grpo.policy.loading import load_policy

        return load_policy(self.section, texts=texts, seed=seed, device=device)

    def restore(self, directory: Path, *, device: str) -> Policy:
        from grpo.policy.loading import read_saved

        return read_saved(directory, self.section, device)

    def arguments(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def serving(self, policy: Policy, directory: Path, *, device: str) -> Iterator[None]:
        yield

    def attach(self, trainer: Any) -> None:
        widen_adapters(trainer.model, self.section)

    def observe(self, logs: Mapping[str, Any]) -> None:
        pass


def widen_adapters(model: Any, section: ModelSection) -> None:
    """Make adapters over 4-bit weights float32, as they are everywhere else.

    TRL's trainer has just made them bfloat16, in which most updates of GRPO's small learning rates round to nothing.
    """
    if section.quantization == "none":
        return
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
