"""The command line of the rewards: `python -m rewards COMMAND`; each command is imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from rewards.commands.selection import parse_reward
from rewards.errors import UserError
from rewards.screen.command_line import BAD_INPUT, CommandParser, run_command, show_commands
from rewards.screen.nearest import nearest

__all__ = ["main", "parse_reward"]

_EXAMPLES = """\
examples:
  python -m rewards list
  python -m rewards score --reward field_f1:ignore_fields=[id,href] --input rows.jsonl --output scores.jsonl
  python -m rewards audit --config v4_1.yaml
  python -m rewards rescore runs/v4_1 --reward extraction
  python -m rewards explain --text '{"nota": 4,5}'
  python -m rewards attack extraction
  python -m rewards new my_reward
  python -m rewards --plugin ./my_rewards.py score --reward my_reward --input rows.jsonl
  python -m rewards COMMAND --help

exit codes: 0 done · 1 some scores are errors, or a cheat won · 2 bad input, or an audit that a run would not pass
"""
COMMANDS = {
    "list": "the reward functions, their plugins and options",
    "score": "score the completions of a file",
    "audit": "check rows and rewards before a run spends anything on them",
    "rescore": "score a run's stored completions again, and compare its stages, or two runs",
    "explain": "one completion: what was read, each repair, each part of each score",
    "new": "write a working plugin package with its test",
    "schema": "JSON Schemas: take a component out of an OpenAPI file",
    "attack": "try to cheat a reward function",
    "serve": "answer any trainer over HTTP",
    "ping": "ask a server whether it answers, and with which rewards",
    "rows": "write rows as another trainer wants them",
    "export": "a folder for NeMo Gym",
    "import-grader": "a grader file of OpenAI's or Azure's as rewards",
}
_MODULES = {"list": "rewards.commands.listing", "import-grader": "rewards.commands.import_grader"}
# It reads its own arguments.
_WHOLE = {"attack": "rewards.cheats.attack"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 done, 1 something failed, 2 bad input or an audit that a run would not pass."""
    return run_command(lambda: _dispatch(arguments))


def _dispatch(arguments: Sequence[str] | None) -> int:
    parser = make_parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help(sys.stderr)
        return BAD_INPUT
    return _run(given.command, given.rest, given.plugin)


def _make_main_parser() -> CommandParser:
    commands = "\n".join(f"  {name:<14}{said}" for name, said in COMMANDS.items())
    parser = CommandParser(
        "python -m rewards",
        f"Reward functions: what there is, what they say, and whether to trust it.\n\ncommands:\n{commands}",
        _EXAMPLES,
        usage=show_commands("python -m rewards [-h] [--plugin MODULE|PATH] COMMAND ..."),
        allow_abbrev=False,
    )
    _add_plugin(parser)
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _run(command: str, rest: list[str], plugins: list[str]) -> int:
    if command not in COMMANDS:
        raise UserError(f"{command}: no such command of 'python -m rewards'{nearest(command, COMMANDS)}")
    if command in _WHOLE:
        module = importlib.import_module(_WHOLE[command])
        return module.run([*(part for plugin in plugins for part in ("--plugin", plugin)), *rest])
    options = make_parser(command).parse_args(rest)
    options.plugin = [*plugins, *options.plugin]
    return _find_module(command).run(options)


def make_parser(command: str | None = None) -> CommandParser:
    """The parser of one command, or the one that finds the command; `attack` has its own, in its module."""
    if command is None:
        return _make_main_parser()
    if command in _WHOLE:
        return importlib.import_module(_WHOLE[command]).make_parser()
    module = _find_module(command)
    parser = CommandParser(
        f"python -m rewards {command}", (module.__doc__ or "").partition("\n\n")[0], module.EXAMPLES, allow_abbrev=False
    )
    _add_plugin(parser)
    module.add_arguments(parser)
    return parser


def _find_module(command: str) -> ModuleType:
    return importlib.import_module(_MODULES.get(command, f"rewards.commands.{command}"))


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE|PATH",
        help="one more plugin: a module, a .py file, or a folder of a package or project",
    )


if __name__ == "__main__":
    sys.exit(main())
