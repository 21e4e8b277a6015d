"""What is wrong with a config, told with what is known of TRL's names."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from grpo.config.run_config import RunConfig
from grpo.config.trl_fields import advise
from rewards.screen.invalid import KeyPath, explain, show_path


def explain_config(
    error: ValidationError, locate: Callable[[KeyPath], tuple[str, int | None]], *, alone: bool = False
) -> list[str]:
    """One line for each wrong key; see `explain` for `alone`.

    `locate` tells for a path of keys which source wrote it (or its nearest parent) and in which line.
    """

    def place(path: KeyPath) -> str:
        name, _ = locate(path)
        return f"{name}: {show_path(path)}" if path else name

    def at(path: KeyPath) -> str:
        _, line = locate(path)
        return f" (line {line})" if line is not None else ""

    return explain(error, RunConfig, place, at=at, advise=_advise, alone=alone)


def _advise(path: KeyPath) -> str | None:
    return advise(str(path[-1])) if path[0] in ("grpo", "model") or len(path) == 1 else None
