"""The command `python -m grpo.config`: shipped configs, one resolved, the JSON Schema for editors."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from grpo.config.loading import configs_folder, list_configs, load_config
from grpo.config.run_config import json_schema
from grpo.config.yaml_layer import write_yaml
from rewards.command_line import DONE, CommandParser, add_overrides, run_command

EXAMPLES = """\
examples:
  python -m grpo.config list
  python -m grpo.config show v4_1 --set grpo.max_steps=100
  python -m grpo.config schema > recompensa.schema.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.config`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)), mark="")


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.config",
        "Look at configs: the shipped ones, one with everything resolved, the JSON Schema for editors.",
        EXAMPLES,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="names of the shipped configs, with the first line of each")
    commands.add_parser("schema", help="JSON Schema of a config file")
    show = commands.add_parser("show", help="every resolved value of a config")
    show.add_argument("config", help="a path, or a shipped name such as v4_1")
    add_overrides(show)
    show.add_argument("--profile", default="auto", help="auto, gpu, small or embedded")
    show.add_argument("--json", action="store_true", help="JSON in place of YAML")
    return parser


def run(options: argparse.Namespace) -> int:
    if options.command == "list":
        for name in list_configs():
            first = (configs_folder() / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
            print(f"{name:10} {first.lstrip('# ')}")
    elif options.command == "schema":
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    else:
        config = load_config(options.config, options.overrides, options.profile)
        print(f"# from {', then '.join(config.sources)}; profile {config.profile}", file=sys.stderr)
        print(config.to_json() if options.json else write_yaml(config.model_dump(mode="json")), end="")
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
