"""The command `python -m grpo.config`: shipped configs, one resolved, the JSON Schema for editors."""

from __future__ import annotations

import json
from collections.abc import Sequence

from grpo.config.loading import configs_folder, list_configs, load_config
from grpo.config.run_config import json_schema
from grpo.config.yaml_layer import write_yaml
from rewards.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.config`; returns the exit code."""
    import argparse
    import sys

    parser = argparse.ArgumentParser(
        prog="python -m grpo.config",
        description="Look at configs: the shipped ones, one with everything resolved, the JSON Schema for editors.",
        epilog="examples:\n  python -m grpo.config list\n  python -m grpo.config show v4_1 --set grpo.max_steps=100\n"
        "  python -m grpo.config schema > recompensa.schema.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="names of the shipped configs, with the first line of each")
    commands.add_parser("schema", help="JSON Schema of a config file")
    show = commands.add_parser("show", help="every resolved value of a config")
    show.add_argument("config", help="a path, or a shipped name such as v4_1")
    show.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    show.add_argument("--profile", default="auto", help="auto, gpu, small or embedded")
    show.add_argument("--json", action="store_true", help="JSON in place of YAML")
    options = parser.parse_args(arguments)
    try:
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
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
