"""docs/export.md: every command in it is one that the parsers take."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "export.md").read_text(encoding="utf-8")
LINES = sorted(set(re.findall(r"python -m (grpo\.(?:export|chat|serve_model|prune) [^`\n]+)", PAGE)))


@pytest.mark.parametrize("line", LINES)
def test_page_when_a_command_is_pasted_then_the_parser_takes_it(line):
    """An option that was renamed is renamed on the page."""
    module, *words = shlex.split(line)
    assert import_module(f"{module}.__main__").make_parser().parse_args(words)


def test_page_when_searched_then_it_has_commands_of_every_room():
    """The test above is not empty."""
    assert {line.split()[0] for line in LINES} == {"grpo.export", "grpo.chat", "grpo.serve_model", "grpo.prune"}
