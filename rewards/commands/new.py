"""Write a working plugin package: a reward function, its test by the contract kit, and rows to try it on."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from rewards.errors import UserError
from rewards.screen.command_line import show_commands

EXAMPLES = """\
examples:
  python -m rewards new my_reward
  python -m rewards new polite_tone --folder plugins/polite_tone

docs/plugins.md explains what such a package is made of.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the reward function: lower-case letters, digits, underscores")
    parser.add_argument("--folder", metavar="FOLDER", help="a new folder for it (default: recompensa-NAME here)")


def run(options: argparse.Namespace) -> int:
    from rewards.commands.plugin_scaffold import write_plugin
    from rewards.plugins import load_rewards

    registry = load_rewards(options.plugin)
    if options.name in registry:
        entry = registry.get(options.name)
        raise UserError(f"'{options.name}' is a reward function of '{entry.distribution}' already; choose another name")
    folder = Path(options.folder or f"recompensa-{options.name.strip('_').replace('_', '-')}")
    written = write_plugin(options.name, folder)
    module = next(path for path in written if path.name.startswith("recompensa_"))
    print("wrote " + ", ".join(str(path) for path in written))
    plugin = f"python -m rewards --plugin {shlex.quote(str(module))}"
    print("try it, without installing anything:")
    print(show_commands(f"  {plugin} score --reward {options.name} --input {shlex.quote(str(folder / 'rows.jsonl'))}"))
    print(show_commands(f"  {plugin} attack {options.name}"))
    print("use it from any trainer:")
    print(show_commands(f"  {plugin} serve --reward {options.name}"))
    print("install it, and run its test:")
    print(f"  pip install --editable {shlex.quote(str(folder))} && pytest {shlex.quote(str(folder))}")
    return 0
