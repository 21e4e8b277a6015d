"""Reward functions as a command line names them: `NAME:option=value,option=value`, and the host made of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rewards.discovery.existing import PREFIXES, split_options
from rewards.errors import UserError
from rewards.screen.command_line import print_problem
from rewards.writing.yaml_files import parse_yaml

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost
    from rewards.host.verdicts import ScoredCompletion
    from rewards.plugins import Registry
    from rewards.types import Example


def parse_reward(text: str) -> tuple[str, dict[str, Any]]:
    """`name:key=value,...` as a name and options; values are YAML, `[a,b]` a list and `{a: b}` a mapping.

    Raises UserError for an option without a value.
    """
    kind, _, after = text.partition(":")
    if kind in PREFIXES:
        name, rest = split_options(text)
    else:
        name, rest = kind, after
    options: dict[str, Any] = {}
    if not rest:
        return name.strip(), options
    for piece in _split_options(rest):
        key, equals, value = piece.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--reward: '{piece}' is not an option; write NAME:key=value,key=value")
        options[key.strip()] = parse_yaml(value, f"--reward: {key.strip()}: '{value[:100]}'")
    return name.strip(), options


def make_host(
    rewards: Sequence[str],
    plugins: Sequence[str] = (),
    *,
    timeout_seconds: float = 2.0,
    any_task: bool = False,
    tasks: Collection[str] | None = None,
    registry: Registry | None = None,
    in_process: bool = False,
) -> RewardHost:
    """The host of the functions that `--reward` names, each with weight 1; faults are counted and stop nothing.

    With `any_task` a function is called whatever a row's task: it was asked for by name. `tasks` are those of the rows at
    hand: a function for none of them is called for all, any other only for its own. `in_process` calls plugins in this
    process, for breakpoints, without a time limit. Raises UserError with every unknown
    name and wrong option.
    """
    from rewards.config import FunctionSpec, RewardsSection, build_host
    from rewards.plugins import load_rewards

    if not timeout_seconds > 0:
        raise UserError(f"--timeout-seconds: {timeout_seconds:g}; give seconds above 0")
    named = [parse_reward(reward) for reward in rewards]
    registry = registry or load_rewards(plugins)

    def is_for_all(name: str) -> bool:
        own = registry.get(name).tasks if name in registry else ()
        return any_task or (tasks is not None and bool(own) and not set(own) & set(tasks))

    section = RewardsSection(
        functions=[
            FunctionSpec(name=name, options=options, tasks=[] if is_for_all(name) else None) for name, options in named
        ],
        timeout_seconds=timeout_seconds,
        error_budget=1.0,
        plugins=list(plugins),
    )
    try:
        return build_host(section, registry, in_process=in_process)
    except UserError as error:
        raise UserError([_name_option(line) for line in error.problems]) from None


def add_in_process(parser: argparse.ArgumentParser) -> None:
    """The option `--in-process`, for whoever debugs a plugin."""
    parser.add_argument(
        "--in-process", action="store_true", help="call plugins in this process: breakpoints work, time limits do not"
    )


def show_traces(scored: Iterable[ScoredCompletion], most: int = 3) -> None:
    """On standard error, the plugins' own lines of the first faults that differ."""
    seen: dict[str, str] = {}
    for row in scored:
        for outcome in row.outcomes:
            if outcome.trace and outcome.trace not in seen and len(seen) < most:
                seen[outcome.trace] = f"'{outcome.function}' on example '{row.example.id}':"
    for trace, where in seen.items():
        print_problem(f"{where}\n{trace}")


def give_task(host: RewardHost, example: Example) -> Example:
    """A row without a task becomes one of the only function that is named, which was asked for by name."""
    if example.task != "default" or len(host.functions) > 1 or host.functions_for("default"):
        return example
    return replace(example, task=host.functions[0].function.tasks[0])


def _name_option(line: str) -> str:
    """A problem of the configuration as a problem of the command line."""
    return re.sub(r"rewards\.functions\[\d+\](?:\.options\.|\.name: |)", "--reward: ", line)


def _split_options(text: str) -> list[str]:
    """Cut at the commas that no bracket encloses."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece for piece in pieces if piece.strip()]
