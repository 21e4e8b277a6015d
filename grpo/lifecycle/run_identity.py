"""What the numbers of a run follow from, noted when it begins: config, rows and rewards. A resumed run must have the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from grpo.config.leaves import flatten
from grpo.config.yaml_layer import YamlLayer, parse_value
from rewards.errors import UserError
from rewards.types import Example
from rewards.writing.files import read_object
from rewards.writing.manifests import hash_file

if TYPE_CHECKING:
    from grpo.data.run_rows import RunRows
    from grpo.lifecycle.run_directory import RunDirectory

FILE = "identity.json"
FREE = (
    "tracking",
    "report",
    "grpo.save_every_steps",
    "grpo.save_total_limit",
    "sft_warmup.save_every_steps",
    "rewards.error_budget",
    "rewards.error_budget_minimum",
    "rewards.memory_gib",
)
"""Keys, and sections, that change no number: a resumed run may have others."""

_SHOWN = 4


def make_identity(settings: Mapping[str, Any], inputs: RunRows, rewards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The file's content: `settings` as config.json has them, the rows as hashes, the rewards' identities."""
    noted = {"settings": dict(settings), "rows": digest_inputs(inputs), "rewards": list(rewards)}
    noted = orjson.loads(orjson.dumps(noted, option=orjson.OPT_NON_STR_KEYS))
    return {**noted, "checksum": _check(noted)}


def read_settings(directory: RunDirectory) -> tuple[dict[str, Any], list[str]]:
    """The settings a run was started with, and notes; UserError, a line a key, where config.json says others now."""
    where = f"--resume {directory.path}"
    noted = _read_noted(directory.path)
    written = read_object(directory.path / "config.json")
    if noted is None:
        raise UserError(f"{where}: {FILE} is missing or damaged, so the run cannot be identified; start a new run")
    settings = noted["settings"]
    if not written:
        directory.write_json("config.json", settings)
        return settings, [f"config.json cannot be read; it is written again from {FILE}"]
    problems = [f"{where}: config.json: {line}" for line in _compare(settings, written)]
    if problems:
        hint = f"undo the change, or start a new run; --set goes with --resume for {', '.join(FREE)}"
        more = [f"{where}: config.json: and {len(problems) - _SHOWN} more keys"] if len(problems) > _SHOWN else []
        raise UserError([*problems[:_SHOWN], *more, f"{where}: the run was started with other settings; {hint}"])
    return settings, []


def apply_free(settings: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The settings with `--set` applied; UserError for a key that could change a number."""
    config = orjson.loads(orjson.dumps(settings["config"]))
    problems = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not any(key == free or key.startswith(f"{free}.") for free in FREE):
            problems.append(f"--set {text}: with --resume only {', '.join(FREE)} can be set: they change no number")
            continue
        at = config
        *above, last = key.split(".")
        for name in above:
            at = at.get(name) if isinstance(at, dict) else None
        if not isinstance(at, dict) or last not in at:
            there = f"; {', '.join(at)} are there" if isinstance(at, dict) else ""
            problems.append(f"--set {text}: no such key{there}")
            continue
        source = YamlLayer(f"--set {key}")
        at[last] = parse_value(value, source)
        problems += source.problems
    if problems:
        raise UserError(problems)
    return {**settings, "config": config}


def check_inputs(directory: RunDirectory, inputs: RunRows) -> None:
    """UserError, a line each, for rows that are not those the run was started with."""
    noted = (_read_noted(directory.path) or {}).get("rows", {})
    problems = [
        f"--resume {directory.path}: {name}: not those the run was started with; restore them, or start a new run"
        for name, digest in digest_inputs(inputs).items()
        if noted.get(name) != digest
    ]
    if problems:
        raise UserError(problems)


def begun_rewards(directory: RunDirectory) -> Any:
    """The identities of the rewards a run was started with, as they were noted."""
    return (_read_noted(directory.path) or {}).get("rewards")


def digest_inputs(inputs: RunRows) -> dict[str, str]:
    """A hash of each set of rows, the content of the databases that they name included."""
    return {
        "training rows": _digest(inputs.train),
        "held-out rows": _digest(inputs.held_out),
        "warm-up rows": _digest(inputs.warmup),
    }


def _digest(examples: Iterable[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        columns = dict(example.columns)
        database = columns.pop("database", None)
        content = hash_file(Path(database)) if isinstance(database, str) and Path(database).is_file() else database
        turns = [dict(turn) for turn in example.prompt]
        digest.update(orjson.dumps([example.id, example.task, turns, example.reference, columns, content], default=str))
    return digest.hexdigest()


def _compare(begun: Mapping[str, Any], written: Mapping[str, Any]) -> list[str]:
    """What differs between two settings, a line a key that may change a number."""
    before, now = flatten(begun), flatten(written)
    lines = []
    for key in sorted({*before, *now}):
        name = ".".join(key[1:] if key[0] == "config" else key)
        if before.get(key) == now.get(key) or any(name == free or name.startswith(f"{free}.") for free in FREE):
            continue
        if key[0] in ("source", "overrides"):  # where the settings came from; what they are stands under config
            continue
        if key not in before:
            lines.append(f"{name}: {_show(now[key])} was not there when the run was started")
        elif key not in now:
            lines.append(f"{name}: is missing; the run was started with {_show(before[key])}")
        else:
            lines.append(f"{name}: {_show(now[key])}; the run was started with {_show(before[key])}")
    return lines


def _read_noted(run: Path) -> dict[str, Any] | None:
    noted = read_object(run / FILE)
    checksum = noted.pop("checksum", None)
    whole = checksum == _check(noted) and isinstance(noted.get("settings"), dict) and "config" in noted["settings"]
    return noted if whole else None


def _check(noted: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(noted, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _show(value: Any) -> str:
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
