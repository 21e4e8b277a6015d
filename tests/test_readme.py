"""The README: every command in it is one that the parsers accept, and those that take seconds are run."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from grpo.console import COMMANDS, find_main, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What needs nothing but the repository and a few seconds.
QUICK = (("plan",), ("rewards", "list"), ("rewards", "new"), ("config", "schema"), ("config", "list"))


def find_line_commands() -> list[list[str]]:
    """The words of every `python -m grpo.X ...`, `python -m rewards ...` and `recompensa ...` of the README, console style."""
    lines = re.findall(r"`([^`\n]+)`", README) + [
        line.strip() for block in re.findall(r"```\w*\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
    ]
    found = []
    for line in lines:
        start = re.match(r"(?:python -m (?:grpo\.)?(?=grpo\.|rewards|[a-z]+)|recompensa )(.+)", line)
        words = shlex.split(start[1].partition(" > ")[0].partition("  #")[0]) if start else []
        if words and words[0] in COMMANDS and (len(words) > 1 or words[0] == "ladder"):
            found.append(words)
    return found


COMMAND_LINES = find_line_commands()


def test_readme_when_searched_then_it_has_the_commands_of_the_line():
    """The search finds what a reader would: else the tests below would pass on nothing."""
    assert {"run", "plan", "evaluate", "compare", "decide", "report", "watch", "rewards", "config"} <= {
        words[0] for words in COMMAND_LINES
    }


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_command_of_the_readme_when_parsed_then_it_is_one(words):
    """A renamed option or subcommand is noticed here."""
    command, rest = words[0], words[1:]
    module = import_module(find_main(COMMANDS[command][0]))
    if command == "rewards":
        module.make_parser(rest[0]).parse_args(rest[1:])
    elif command == "data" and rest[0] in module.TOOLS:
        place, parse, *_ = module.TOOLS[rest[0]]
        getattr(import_module(f"grpo.data_tools.{place}"), parse)().parse_args(rest[1:])
    else:
        module.make_parser().parse_args(rest)


@pytest.mark.parametrize("words", [words for words in COMMAND_LINES if tuple(words[:2]) in QUICK or tuple(words[:1]) in QUICK], ids=" ".join)  # fmt: skip
def test_command_of_the_readme_when_it_takes_seconds_then_it_works(words, tmp_path, monkeypatch, capsys):
    """Run as they stand, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    assert capsys.readouterr().out


def test_readme_when_it_names_files_then_they_are_there():
    """Links and pictures lead somewhere, and each folder of the tree exists."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    tree = re.findall(r"^(?:[├└│─ ]*)([\w.]+/)\s{2,}", README, re.MULTILINE)
    assert links and not [link for link in links if not (ROOT / link).exists()]
    assert len(tree) >= 8
