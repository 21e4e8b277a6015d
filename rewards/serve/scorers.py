"""The rewards that a server holds: read from YAML, checked before it opens its door, named with versions and one pin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.config import RewardsSection, anchor_options, build_host
from rewards.discovery.plugin_files import is_path
from rewards.errors import UserError
from rewards.identity import identify
from rewards.plugins import load_rewards
from rewards.screen.invalid import explain, show_path
from rewards.screen.nearest import nearest
from rewards.writing.yaml_files import read_yaml

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost


@dataclass(slots=True)
class Scorer:
    """One rewards section; `pin` changes with everything that could change a score, weights and tasks too."""

    name: str
    section: RewardsSection
    versions: dict[str, str]
    described: list[dict[str, Any]]
    pin: str
    grouped: bool = False
    folder: Path = field(default_factory=Path.cwd)
    weights: dict[str, float] = field(default_factory=dict)


def read_scorers(
    configs: Sequence[str], named: RewardsSection | None = None, plugins: Sequence[str] = ()
) -> dict[str, Scorer]:
    """The scorers of the files, by the name of each file, and one called `default` of a section.

    A file is a `rewards:` section, or any configuration that has one. Raises UserError with every problem.
    """
    problems: list[str] = []
    scorers: dict[str, Scorer] = {}
    sections = []
    for config in configs:
        path = Path(config)
        try:
            sections.append((path.stem, read_section(path, plugins), path.resolve().parent))
        except UserError as error:
            problems += error.problems
    if named is not None:
        named.plugins = [_anchor_plugin(each, Path.cwd()) for each in named.plugins]
        sections.append(("default", named, Path.cwd()))
    for name, section, folder in sections:
        if name in scorers:
            problems.append(
                f"--config: two files are called {name}; rename one: a client asks for rewards by that name"
            )
            continue
        try:
            scorers[name] = make_scorer(name, section, folder)
        except UserError as error:
            problems += [f"{name}: {line}" for line in error.problems]
    if not sections and not problems:
        problems.append("no rewards; name a file by --config, or functions by --reward")
    if problems:
        raise UserError(problems)
    return scorers


def read_section(path: Path, plugins: Sequence[str] = ()) -> RewardsSection:
    """The `rewards` section of a YAML file, relative paths absolute; UserError where there is none or it is wrong."""
    from pydantic import ValidationError

    content = read_yaml(path)
    fields = list(RewardsSection.model_fields)
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds no settings; write rewards: with functions: below it")
    section = content.get("rewards") if "rewards" in content else content
    if not isinstance(section, Mapping) or "functions" not in section:
        unknown = [str(key) for key in content if key not in fields and key != "rewards"]
        hint = nearest(unknown[0], ["rewards", *fields]) if unknown else ""
        raise UserError(f"{path}: names no reward functions; write rewards: with functions: below it{hint}")
    try:
        read = RewardsSection.model_validate(dict(section))
    except ValidationError as error:
        raise UserError(explain(error, RewardsSection, lambda key: f"{path}: rewards.{show_path(key)}")) from None
    folder = path.resolve().parent
    read.plugins = [*(_anchor_plugin(each, folder) for each in read.plugins), *plugins]
    registry = load_rewards(read.plugins)
    for spec in read.functions:
        if spec.name in registry:
            spec.options = anchor_options(registry.get(spec.name), spec.options, lambda _: folder)
    return read


def make_scorer(name: str, section: RewardsSection, folder: Path) -> Scorer:
    """Check a section and describe it; raises UserError."""
    with build_host(section) as host:
        return describe_scorer(name, section, host, folder)


def describe_scorer(name: str, section: RewardsSection, host: RewardHost, folder: Path) -> Scorer:
    described = []
    for entry in host.functions:
        tasks = entry.function.tasks if entry.tasks is None else entry.tasks
        described.append(
            {
                "name": entry.function.name,
                "version": entry.function.version,
                "fingerprint": identify(entry).fingerprint,
                "weight": entry.weight,
                "tasks": list(tasks),
                "options": entry.function.model_dump(mode="json"),
                "plugin": entry.plugin,
                "distribution": entry.distribution,
                "sees": entry.function.together or "one",
            }
        )
    counted = [{key: each[key] for key in ("name", "version", "fingerprint", "weight", "tasks")} for each in described]
    pin = hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:12]
    grouped = any(entry.function.together == "group" for entry in host.functions)
    weights = {entry.function.name: entry.weight for entry in host.functions}
    return Scorer(name, section, host.versions(), described, pin, grouped, folder, weights)


def _anchor_plugin(named: str, folder: Path) -> str:
    if is_path(named):
        return str((folder / Path(named).expanduser()).resolve())
    beside = folder / f"{named}.py"
    return str(beside) if beside.is_file() else named
