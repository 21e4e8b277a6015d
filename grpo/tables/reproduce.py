"""What makes a paper's runs again: the command, rows, rewards, seed and versions of each, and what was not recorded."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from grpo.tables.writers import escape_markdown
from rewards.screen.command_line import show_commands

WANTED = ("command", "seed", "rows", "rewards", "versions", "commit", "device")
"""What a run must say of itself for another to make it again."""


def describe_runs(places: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Of each run or evaluation (its name, and the file or folder it was read from) what `WANTED` names; None where unknown."""
    return [{"name": name, **dict.fromkeys(WANTED), **_read(Path(place))} for name, place in places]


def to_markdown(described: Sequence[Mapping[str, Any]]) -> str:
    """A checklist a run: every item that is known is ticked and stands there, every other one is open."""
    lines = ["# How to make these tables again", ""]
    for each in described:
        lines.append(f"## {escape_markdown(each['name'])}\n")
        for item in WANTED:
            value = each[item]
            lines.append(f"- [{' ' if value is None else 'x'}] {item}: {_say(value)}")
        lines.append("")
    lines.append(
        "The same command, seed and versions on the same kind of machine write the same bytes into metrics.jsonl; "
        "another device changes the last digits of sums and so, step by step, the numbers. Data and model cards: "
        f"{show_commands('`python -m grpo.data card`, `python -m grpo.export`')}.\n"
    )
    return "\n".join(lines)


def _say(value: Any) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, Mapping):
        return ", ".join(f"{escape_markdown(str(key))} {escape_markdown(str(item))}" for key, item in value.items())
    return escape_markdown(str(value), 2_000)


def _read(place: Path) -> dict[str, Any]:
    folder = place if place.is_dir() else place.parent
    if (folder / "evaluation.json").is_file():
        return _read_evaluation(_load(folder / "evaluation.json"))
    run = folder.parent if folder.name == "eval" else folder
    return _read_run(_load(run / "identity.json"), _load(run / "environment.json"))


def _read_run(identity: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    settings = _mapping(identity.get("settings"))
    command = None
    if settings.get("source"):
        words = ["--config", str(settings["source"]), "--profile", str(settings.get("profile"))]
        words += [part for each in settings.get("overrides") or [] for part in ("--set", str(each))]
        command = show_commands(f"python -m grpo.run {shlex.join(words)}")
    rows = _mapping(identity.get("rows"))
    rewards = [each for each in identity.get("rewards") or [] if isinstance(each, Mapping)]
    return {
        "command": command,
        "seed": _mapping(settings.get("config")).get("seed"),
        "rows": {str(name): str(digest)[:12] for name, digest in rows.items()} or None,
        "rewards": {str(each.get("name")): f"{each.get('version')} ({each.get('fingerprint')})" for each in rewards} or None,
        **_read_environment(environment),
    }  # fmt: skip


def _read_evaluation(found: Mapping[str, Any]) -> dict[str, Any]:
    model, data = _mapping(found.get("model")), _mapping(found.get("data"))
    settings = _mapping(found.get("settings"))
    command = f"python -m grpo.evaluate --model {model.get('name')} --data {data.get('source')}"
    return {
        "command": show_commands(command) if model.get("name") and data.get("source") else None,
        "seed": settings.get("seed"),
        "rows": {str(data["source"]): data["fingerprint"]} if data.get("fingerprint") else None,
        "rewards": dict(_mapping(found.get("versions"))) or None,
        **_read_environment(_mapping(found.get("environment"))),
    }


def _read_environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    packages = _mapping(environment.get("packages"))
    versions = {"python": environment.get("python"), **packages} if environment.get("python") else packages
    device = " ".join(str(environment[key]) for key in ("device", "name") if environment.get(key)) or None
    return {"versions": versions or None, "commit": environment.get("commit"), "device": device}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _load(path: Path) -> Mapping[str, Any]:
    try:
        return _mapping(orjson.loads(path.read_bytes()))
    except (OSError, orjson.JSONDecodeError):
        return {}
