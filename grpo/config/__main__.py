"""The command `python -m grpo.config`: shipped configs, one resolved, the JSON Schema for editors."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from grpo.config.loading import configs_folder, list_configs, load_config
from grpo.config.run_config import json_schema
from grpo.config.yaml_layer import write_yaml
from rewards.errors import UserError
from rewards.screen.command_line import (
    BAD_INPUT,
    DONE,
    CommandParser,
    add_overrides,
    print_json,
    run_command,
    show_commands,
)

EXAMPLES = """\
examples:
  python -m grpo.config list
  python -m grpo.config show v4_1 --set grpo.max_steps=100
  python -m grpo.config schema > recompensa.schema.json
  python -m grpo.config from-trl grpo.yaml > from_trl.yaml
  python -m grpo.config from-trl train_grpo.py --processes 8 --output from_trl.yaml
  python -m grpo.config from-trl run_grpo.sh --output from_trl.yaml          with the script and the YAML that it names
  python -m grpo.config from-trl grpo.ipynb --json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.config`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.config",
        "Look at configs: the shipped ones, one with everything resolved, the JSON Schema for editors.",
        EXAMPLES,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="names of the shipped configs, with the first line of each")
    listed.add_argument("--json", action="store_true", help="one JSON object in place of a table")
    commands.add_parser("schema", help="JSON Schema of a config file")
    show = commands.add_parser("show", help="every resolved value of a config")
    show.add_argument("config", help="a path, or a shipped name such as v4_1")
    add_overrides(show)
    show.add_argument("--profile", default="auto", help="auto, gpu, small or embedded")
    show.add_argument("--json", action="store_true", help="JSON in place of YAML")
    trl = commands.add_parser(
        "from-trl",
        help="translate a GRPO training with TRL into a config",
        description="Translate a GRPO training with TRL into a config; what has no counterpart is noted or refused.",
    )
    trl.add_argument(
        "file",
        type=Path,
        help="YAML of `trl grpo` or axolotl, a Python script or notebook that calls GRPOConfig, or the shell script that "
        "starts it (also of ms-swift)",
    )
    trl.add_argument("--processes", type=int, default=1, help="processes that it was started with (default 1)")
    trl.add_argument("--output", type=Path, help="where to write the config (default: standard output)")
    trl.add_argument("--json", action="store_true", help="config, notes and refusals as one JSON object")
    return parser


def run(options: argparse.Namespace) -> int:
    if options.command == "list":
        about = {name: _read_first_line(configs_folder() / f"{name}.yaml") for name in list_configs()}
        if options.json:
            print_json({"configs": [{"name": name, "about": first} for name, first in about.items()]})
        else:
            for name, first in about.items():
                print(f"{name:10} {first}")
    elif options.command == "schema":
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    elif options.command == "from-trl":
        return write_translation(options)
    else:
        config = load_config(options.config, options.overrides, options.profile)
        print(f"# from {', then '.join(config.sources)}; profile {config.profile}", file=sys.stderr)
        print(config.to_json() if options.json else write_yaml(config.model_dump(mode="json")), end="")
    return DONE


def _read_first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def write_translation(options: argparse.Namespace) -> int:
    """Print or write the translated config; what has no counterpart goes to stderr and, as comments, into the file."""
    from grpo.config.from_trl import translate
    from grpo.config.trl_reading import read_trl_file

    if options.processes < 1:
        raise UserError(f"--processes: {options.processes} is not at least 1")
    translation = translate(read_trl_file(options.file), options.processes)
    text = write_yaml(translation.config)
    problems = [f"{options.file}: {reason}" for reason in translation.refusals]
    problems = problems or find_config_problems(text, options.file)
    if options.json:
        print_json({"config": translation.config, "notes": translation.notes, "refusals": problems})
        return BAD_INPUT if problems else DONE
    if problems:
        raise UserError(problems)
    for note in translation.notes:
        print(f"note: {note}", file=sys.stderr)
    head = [
        f"# Made from {options.file.name} by grpo.config from-trl. Rows and rewards of your own, with these settings:",
        f"# recompensa init DATA --extends {options.output or 'THIS_FILE'}",
        *(f"# {note}" for note in translation.notes),
    ]
    written = "\n".join(head) + "\n" + text
    if options.output is None:
        print(written, end="")
    else:
        options.output.write_text(written, encoding="utf-8")
        line = f"{options.output}: written; next: python -m grpo.init DATA --extends {options.output}"
        print(show_commands(line), file=sys.stderr)
    return DONE


def find_config_problems(text: str, source: Path) -> list[str]:
    """Why our own config would refuse what was translated, told of the file that it came from."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "from_trl.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load_config(path, [], None)
        except UserError as refusal:
            return [line.replace(str(path), str(source)) for line in refusal.problems]
    return []


if __name__ == "__main__":
    raise SystemExit(main())
