"""Shell completion: subcommands, their options and the names of shipped configs, made from the parsers themselves."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from rewards.command_line import DONE, CommandParser, run_command

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """\
examples:
  source <(recompensa completion bash)                                          in ~/.bashrc
  source <(recompensa completion zsh)                                           in ~/.zshrc, after compinit
  recompensa completion fish > ~/.config/fish/completions/recompensa.fish
"""


class Words(NamedTuple):
    """What may follow the words of a command: `options` with a sentence each, and values of an option that are known."""

    subcommands: dict[str, str]
    options: dict[str, str]
    values: dict[str, list[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `recompensa completion`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("recompensa completion", "Print the completion of a shell.", EXAMPLES)
    parser.add_argument("shell", choices=SHELLS)
    return parser


def run(options: argparse.Namespace) -> int:
    places = collect_words()
    print(_write_fish(places) if options.shell == "fish" else _write_bash(places, zsh=options.shell == "zsh"), end="")
    return DONE


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


def _write_bash(places: dict[tuple[str, ...], Words], *, zsh: bool) -> str:
    """One function for bash, which zsh runs too; names of files are always offered beside the words."""
    cases = []
    for place, words in places.items():
        key = " ".join(place)
        for flag, values in words.values.items():
            cases.append(f"    {shlex.quote(f'{key}|{flag}')}) values={shlex.quote(' '.join(values))} ;;")
    offered = [
        f"    {shlex.quote(' '.join(place))}) words={shlex.quote(' '.join([*words.subcommands, *words.options]))} ;;"
        for place, words in places.items()
    ]
    nested = "|".join(place[0] for place, words in places.items() if len(place) == 1 and words.subcommands)
    lines = [
        "# Completion of recompensa; made by `recompensa completion`.",
        *(["autoload -U +X bashcompinit && bashcompinit"] if zsh else []),
        "_recompensa() {",
        '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" place="" words="" values=""',
        '  if [ "$COMP_CWORD" -gt 1 ]; then place="${COMP_WORDS[1]}"; fi',
        f'  case "$place" in {nested}) if [ "$COMP_CWORD" -gt 2 ]; then place="$place ${{COMP_WORDS[2]}}"; fi ;; esac',
        '  case "$place|$previous" in',
        *cases,
        "  esac",
        '  if [ -z "$values" ] || [ "${current#-}" != "$current" ]; then case "$place" in',
        *offered,
        "  esac; fi",
        '  case "$place" in',
        *[
            f'    {shlex.quote(" ".join(place))}) values="$values {" ".join(words.values[""])}" ;;'
            for place, words in places.items()
            if "" in words.values
        ],
        "  esac",
        '  COMPREPLY=($(compgen -W "$words $values" -- "$current"))',
        '  if [ -n "$place" ] && [ "${current#-}" = "$current" ]; then',
        '    COMPREPLY+=($(compgen -f -- "$current"))',
        "  fi",
        "}",
        "complete -o filenames -F _recompensa recompensa",
    ]
    return "\n".join(lines) + "\n"


def _write_fish(places: dict[tuple[str, ...], Words]) -> str:
    lines = ["# Completion of recompensa; made by `recompensa completion`."]
    for place, words in places.items():
        if not place:
            condition = "__fish_use_subcommand"
        else:
            condition = " and ".join(f"__fish_seen_subcommand_from {word}" for word in place).replace(" and ", "; and ")
        start = f"complete -c recompensa -n {shlex.quote(condition)}"
        for name, said in words.subcommands.items():
            lines.append(f"{start} -f -a {shlex.quote(name)} -d {shlex.quote(said)}")
        for flag, said in words.options.items():
            name = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            known = f" -a {shlex.quote(' '.join(words.values[flag]))} -r" if flag in words.values else ""
            lines.append(f"{start} {name} -d {shlex.quote(said)}{known}")
        if "" in words.values:
            lines.append(f"{start} -a {shlex.quote(' '.join(words.values['']))}")
    return "\n".join(lines) + "\n"
