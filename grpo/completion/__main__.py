"""The command `recompensa completion`: subcommands, options and the names of shipped configs, completed by the shell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from grpo.completion.shells import write_bash, write_fish
from grpo.completion.words import collect_words
from rewards.screen.command_line import DONE, CommandParser, run_command

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """\
examples:
  source <(recompensa completion bash)                                          in ~/.bashrc
  source <(recompensa completion zsh)                                           in ~/.zshrc, after compinit
  recompensa completion fish > ~/.config/fish/completions/recompensa.fish
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `recompensa completion`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("recompensa completion", "Print the completion of a shell.", EXAMPLES)
    parser.add_argument("shell", choices=SHELLS)
    return parser


def run(options: argparse.Namespace) -> int:
    places = collect_words()
    print(write_fish(places) if options.shell == "fish" else write_bash(places, zsh=options.shell == "zsh"), end="")
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
