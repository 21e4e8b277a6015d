"""What may follow each word of the command line, read from the parsers themselves."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import NamedTuple


class Words(NamedTuple):
    """What may follow the words of a command: `options` with a sentence each, and values of an option that are known."""

    subcommands: dict[str, str]
    options: dict[str, str]
    values: dict[str, list[str]]


def collect_words() -> dict[tuple[str, ...], Words]:
    """By the words typed so far (none, `run`, `rewards score`) what may follow."""
    from grpo.config.loading import list_configs
    from grpo.console import find_commands, find_main

    configs = list_configs()
    places: dict[tuple[str, ...], Words] = {}
    places[()] = Words({name: said for name, (_, said) in find_commands().items()}, {}, {})
    for name, (module, _) in find_commands().items():
        main = find_main(module)
        assert main is not None  # find_commands lists only those that are there
        found = import_module(main)
        if name == "rewards":
            places[name,] = Words(dict(found.COMMANDS), *_read_options(found.make_parser(), configs))
            for command in found.COMMANDS:
                places[name, command] = Words({}, *_read_options(found.make_parser(command), configs))
            continue
        parser = found.make_parser() if hasattr(found, "make_parser") else argparse.ArgumentParser()
        below = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
        said = {choice.dest: choice.help or "" for choice in below._choices_actions} if below else {}
        places[name,] = Words(said, *_read_options(parser, configs))
        for command, inner in (below.choices if below else {}).items():
            places[name, command] = Words({}, *_read_options(inner, configs))
    return places


def _read_options(parser: argparse.ArgumentParser, configs: list[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    options: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for action in parser._actions:
        for flag in action.option_strings or ([""] if action.choices or action.dest == "config" else []):
            if flag:
                options[flag] = (action.help or "").partition(";")[0]
            if action.dest == "config":
                values[flag] = configs
            elif action.choices and not isinstance(action, argparse._SubParsersAction):
                values[flag] = [str(choice) for choice in action.choices]
    if "--profile" in options:
        values.setdefault("--profile", ["auto", "gpu", "small", "embedded"])
    return options, values
