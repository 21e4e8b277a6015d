"""`recompensa data tmf921`, `tool_calls` and `personas`: the generated rows of those pipelines, written as files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from grpo.data.personas.build import build_personas
from grpo.data.section import PersonasSection, Tmf921Section, ToolCallsSection
from grpo.data.tmf921.build import build_tmf921
from grpo.data.tool_calls.build import build_tool_calls
from grpo.data_tools.options import add_json, add_seed, make_tool_parser
from rewards.errors import UserError
from rewards.screen.command_line import DONE, print_json
from rewards.screen.invalid import explain_flags

TMF921_EXAMPLES = """examples:
  python -m grpo.data tmf921 --out tmf921                        train_base, train_sota, validation and five tests
  python -m grpo.data tmf921 --out tmf921 --rows 26357 --held-out-rows 15458      as many as the Hub's research set
"""
CALL_EXAMPLES = """examples:
  python -m grpo.data tool_calls --form hermes --out rows        calls in <tool_call>, several at once, or none
  python -m grpo.data tool_calls --form cep --out rows           rules over events, nested arguments
  python -m grpo.data tool_calls --form structured --out rows    one JSON record out of a text
"""
PERSONA_EXAMPLES = """examples:
  python -m grpo.data personas --out rows                        six voices, two other voices' answers as contrasts
  python -m grpo.data personas --out rows --personas 3 --contrasts 1 --rows 600
"""


def make_tmf921_parser() -> Any:
    parser = make_tool_parser(
        "tmf921", "Write intents and configurations in the Hub set's columns and splits.", TMF921_EXAMPLES
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the files, one a split")
    parser.add_argument("--rows", type=int, default=2600, help="rows of train_base (default: 2600)")
    parser.add_argument(
        "--held-out-rows", type=int, default=400, help="rows of validation and the tests (default: 400)"
    )
    return _add_common(parser)


def make_call_parser() -> Any:
    parser = make_tool_parser("tool_calls", "Write rows of function calling in one of three forms.", CALL_EXAMPLES)
    parser.add_argument(
        "--form", choices=("structured", "hermes", "cep"), default="hermes", help="how answers are written (hermes)"
    )
    parser.add_argument("--no-call", type=float, default=0.1, metavar="SHARE", help="rows without a right call (0.1)")
    return _add_sizes(parser)


def make_persona_parser() -> Any:
    parser = make_tool_parser("personas", "Write one message told in several voices, with contrasts.", PERSONA_EXAMPLES)
    parser.add_argument("--personas", type=int, default=6, metavar="N", help="voices, at most 6 (6)")
    parser.add_argument("--contrasts", type=int, default=2, metavar="N", help="other voices' answers a row (2)")
    return _add_sizes(parser)


def _add_sizes(parser: Any) -> Any:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of train.jsonl and held_out.jsonl"
    )
    parser.add_argument("--rows", type=int, default=1200, help="training rows (1200)")
    parser.add_argument("--held-out-rows", type=int, default=160, help="held-out rows (160)")
    return _add_common(parser)


def _add_common(parser: Any) -> Any:
    parser.add_argument(
        "--instructions", choices=("full", "short"), default="full", help="length of the system prompts"
    )
    add_seed(parser)
    add_json(parser)
    return parser


def run_tmf921(options: argparse.Namespace) -> int:
    return _build(options, Tmf921Section, build_tmf921, {})


def run_calls(options: argparse.Namespace) -> int:
    given = {"form": options.form, "no_call": options.no_call}
    return _build(options, ToolCallsSection, build_tool_calls, given)


def run_personas(options: argparse.Namespace) -> int:
    given = {"personas": options.personas, "contrasts": options.contrasts}
    return _build(options, PersonasSection, build_personas, given)


def _build(options: argparse.Namespace, model: type[BaseModel], build: Any, given: dict[str, Any]) -> int:
    try:
        section = model(
            seed=options.seed, train_rows=options.rows, held_out_rows=options.held_out_rows,
            instructions=options.instructions, **given,
        )  # fmt: skip
        files = build(options.out, section)
    except ValidationError as error:
        lines = explain_flags(error, model)
        raise UserError([line.replace("--train-rows", "--rows") for line in lines]) from None
    except OSError as error:
        raise UserError(f"{options.out}: cannot be written ({error.strerror}); give another folder") from None
    counts = {name: path.read_bytes().count(b"\n") for name, path in files.items()}
    if options.json:
        print_json({name: {"rows": counts[name], "file": str(path)} for name, path in files.items()})
    else:
        for name, path in files.items():
            print(f"{path}: {counts[name]:,} rows")
    return DONE
