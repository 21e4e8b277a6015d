"""`recompensa data tmf921`: write the seeded TMF921 data set with all its splits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from grpo.data.section import Tmf921Section
from grpo.data.tmf921.build import build_tmf921
from grpo.data_tools.options import add_json, add_seed, make_tool_parser
from rewards.errors import UserError
from rewards.screen.command_line import DONE, print_json
from rewards.screen.invalid import explain_flags

EXAMPLES = """examples:
  python -m grpo.data tmf921 --out tmf921                        train_base, train_sota, validation and five tests
  python -m grpo.data tmf921 --out tmf921 --rows 26357 --held-out-rows 15458      as many as the Hub's research set
"""


def make_parser() -> Any:
    parser = make_tool_parser(
        "tmf921", "Write intents and configurations in the Hub set's columns and splits.", EXAMPLES
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the files, one a split")
    parser.add_argument("--rows", type=int, default=2600, help="rows of train_base (default: 2600)")
    parser.add_argument(
        "--held-out-rows", type=int, default=400, help="rows of validation and the tests (default: 400)"
    )
    parser.add_argument(
        "--instructions", choices=("full", "short"), default="full", help="length of the system prompts"
    )
    add_seed(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    try:
        section = Tmf921Section(
            seed=options.seed, train_rows=options.rows, held_out_rows=options.held_out_rows,
            instructions=options.instructions,
        )  # fmt: skip
        files = build_tmf921(options.out, section)
    except ValidationError as error:
        raise UserError(explain_flags(error, Tmf921Section)) from None
    except OSError as error:
        raise UserError(f"{options.out}: cannot be written ({error.strerror}); give another folder") from None
    counts = {name: path.read_bytes().count(b"\n") for name, path in files.items()}
    if options.json:
        print_json({name: {"rows": counts[name], "file": str(path)} for name, path in files.items()})
    else:
        for name, path in files.items():
            print(f"{path}: {counts[name]:,} rows")
    return DONE
