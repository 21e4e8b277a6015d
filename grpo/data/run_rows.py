"""The rows of a run: generated into a cache or read from the user's files, with the splits checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from grpo.data.any_rows import read_any_rows
from grpo.data.rows import read_rows
from grpo.data.section import ShopSection, Tmf921Section
from grpo.data.splits import leaks, normalise_prompt
from grpo.machine.cache import cache_folder
from rewards.errors import UserError
from rewards.types import Example
from sft_warmup.config import SftWarmupSection

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig

SHOWN = 3


@dataclass(frozen=True)
class RunRows:
    """`train` and `held_out` rows; `warmup` the demonstrations of the SFT stage, [] where it is off.

    `database` is the shop's SQLite file, None for the user's own files.
    """

    train: list[Example]
    held_out: list[Example]
    warmup: list[Example]
    database: Path | None = None

    @property
    def taught(self) -> list[Example]:
        """Every row the policy learns from; the embedded policy's tokenizer is trained on these, in this order."""
        return [*self.train, *self.warmup]


def load_inputs(config: RunConfig) -> RunRows:
    """All rows the config asks for; `UserError` with everything wrong in any of the files."""
    section = config.data
    problems: list[str] = []
    database = None
    extra: list[Example] = []
    if section.source == "shop":
        from grpo.data.shop.build import build_shop

        files = build_shop(_shop_folder(section.shop), section.shop)
        database = Path(files.database)
        train, held_out = read_rows(files.train), read_rows(files.held_out)
        extra = read_rows(files.warmup) if files.warmup is not None and section.shop.warmup_rows else []
    elif section.source == "tmf921":
        train, held_out = _build_tmf921(section.tmf921)
    elif section.source == "tool_calls":
        from grpo.data.tool_calls.build import build_tool_calls

        train, held_out = _read_generated(
            build_tool_calls(_generated_folder("tool_calls", section.tool_calls), section.tool_calls)
        )
    elif section.source == "personas":
        from grpo.data.personas.build import build_personas

        train, held_out = _read_generated(
            build_personas(_generated_folder("personas", section.personas), section.personas)
        )
    elif section.hub is not None:
        train = read_any_rows(section.hub.source(section.hub.train), task_column=section.task_column)
        held_out = read_any_rows(
            section.hub.source(section.hub.held_out), unnamed="held-out-", task_column=section.task_column
        )
    else:
        train = _collect("data.train", section.train, problems, column=section.task_column)
        # Rows without an id are called by their line: two such files would share all their ids.
        held_out = _collect(
            "data.held_out", section.held_out, problems, unnamed="held-out-", column=section.task_column
        )
    warmup: list[Example] = []
    if config.sft_warmup.enabled:
        given = (
            _collect("sft_warmup.data", config.sft_warmup.data, problems, column=section.task_column)
            if config.sft_warmup.data
            else None
        )
        # Where a file of the user's could not be read, the complaint about it is enough.
        if not problems:
            warmup = _select_demonstrations(config.sft_warmup, given, extra or train, problems)
    problems += leaks(train, held_out)
    if config.sft_warmup.data:
        problems += _find_leaked_demonstrations(warmup, held_out)
    if problems:
        raise UserError(problems)
    return RunRows(train, held_out, warmup, database)


def _build_tmf921(section: Tmf921Section) -> tuple[list[Example], list[Example]]:
    from grpo.data.tmf921.build import build_tmf921
    from grpo.data.tmf921.weak import choose_stage_2

    whole = section.model_copy(update={"weak": None, "weak_count": None, "replay": 0.3})
    files = build_tmf921(_generated_folder("tmf921", whole), whole)
    train = read_any_rows(files[section.train], task_column="target_layer")
    held_out = read_any_rows(files["held_out"], task_column="target_layer")
    if section.weak is not None:
        from grpo.data.tmf921.layers import LAYERS

        # A layer that `layers` leaves out (profile embedded has three) has no rows to be trained on.
        weak = [name for name in section.weak if section.takes(name) or name not in LAYERS]
        train = choose_stage_2(train, weak, section.replay, section.seed)
    return train, held_out


def _read_generated(files: Mapping[str, Path]) -> tuple[list[Example], list[Example]]:
    return read_any_rows(files["train"]), read_any_rows(files["held_out"])


def _shop_folder(section: ShopSection) -> Path:
    return _generated_folder("shop", section)


def _generated_folder(name: str, section: BaseModel) -> Path:
    # A folder a section: the two profiles of one recipe then do not build over each other.
    digest = hashlib.sha256(section.model_dump_json().encode()).hexdigest()[:16]
    folder = cache_folder() / f"{name}-{digest}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cache: {folder.parent} cannot be made ({error.strerror}); set RECOMPENSA_CACHE to a folder you can write"
        ) from None
    if not os.access(folder.parent, os.W_OK):
        raise UserError(f"cache: {folder.parent} cannot be written; set RECOMPENSA_CACHE to a folder you can write")
    return folder


def _collect(
    key: str, path: Path | None, problems: list[str], *, unnamed: str = "", column: str | None = None
) -> list[Example]:
    if path is None:
        problems.append(f"{key}: not given; write the path of a JSON Lines file")
        return []
    try:
        return read_any_rows(path, unnamed=unnamed, task_column=column)
    except UserError as error:
        problems += [f"{key}: {problem}" for problem in error.problems]
        return []


def _select_demonstrations(
    section: SftWarmupSection, given: list[Example] | None, otherwise: list[Example], problems: list[str]
) -> list[Example]:
    rows = otherwise if given is None else given
    where = section.data or "the training rows"
    usable = [row for row in rows if row.reference is not None]
    if section.tasks is not None:
        known = sorted({row.task for row in usable})
        problems += [
            f"sft_warmup.tasks: {task!r} is not a task of {where}; there are {', '.join(known) or 'none'}"
            for task in section.tasks
            if task not in known
        ]
        usable = [row for row in usable if row.task in section.tasks]
    if not usable and not problems:
        problems.append(f"sft_warmup: {where} hold no row with a reference to learn from; give sft_warmup.data")
    return usable[: section.max_rows]


def _find_leaked_demonstrations(warmup: Sequence[Example], held_out: Sequence[Example]) -> list[str]:
    held = {normalise_prompt(example): example.id for example in held_out}
    twins = [(row.id, held[prompt]) for row in warmup if (prompt := normalise_prompt(row)) in held]
    lines = [
        f"sft_warmup.data: demonstration {row!r} has the prompt of held-out row {twin!r}; remove one of them"
        for row, twin in twins[:SHOWN]
    ]
    return lines + ([f"sft_warmup.data: and {len(twins) - SHOWN} more held-out prompts"] if len(twins) > SHOWN else [])
