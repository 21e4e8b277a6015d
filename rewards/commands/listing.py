"""List the reward functions: name, version, where it comes from, tasks and options."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rewards.screen.command_line import print_problem

EXAMPLES = """\
examples:
  python -m rewards list
  python -m rewards list --json
  python -m rewards list --plugin ./my_rewards.py
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON array instead of tables")


def run(options: argparse.Namespace) -> int:
    from rewards.discovery.existing import PREFIXES
    from rewards.discovery.on_demand import ON_DEMAND
    from rewards.plugins import load_rewards

    registry = load_rewards(options.plugin)
    for line in registry.broken:
        print_problem(f"warning: {line}")
    if options.json:
        print(json.dumps([entry.summary() for entry in registry], ensure_ascii=False, indent=2))
        return 0
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from rewards.screen.terminal import make_console

    console = make_console()
    for entry in registry:
        source = " ".join(filter(None, (entry.distribution, entry.distribution_version)))
        source += f", working copy {entry.copy}" if entry.copy else ""
        head = Text.assemble(
            (entry.name, "bold cyan"), f" version {entry.version}", (f"  {source}: {entry.plugin}", "dim"),
            f"  tasks: {', '.join(entry.tasks) or 'all'}",
        )  # fmt: skip
        console.print(head)
        summary = entry.summary()
        console.print(Text(f"  {summary['description']}"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for option, described in summary["options"].items():
            default = "required" if described["required"] else _shorten(described["default"])
            table.add_row(Text(option, "green"), Text(default), Text(described["description"], "dim"))
        console.print(Padding(table, (0, 0, 1, 4), expand=False))
    named = ", ".join([*ON_DEMAND, *(f"{prefix}:MODULE.NAME" for prefix in PREFIXES)])
    console.print(Text(f"and, where they are named: {named} (docs/first_reward.md)"))
    return 0


def _shorten(value: Any) -> str:
    """A default as it would be written in YAML, cut after 40 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
