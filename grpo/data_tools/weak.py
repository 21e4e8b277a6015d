"""`recompensa data weak`: the tasks, or layers, that an evaluation found weak, as the setting that trains on them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from grpo.data.tmf921.weak import choose_weak, find_last_evaluation, find_weak, read_estimates
from grpo.data_tools.options import add_json, make_tool_parser
from rewards.screen.command_line import DONE, print_json

EXAMPLES = """examples:
  python -m grpo.data weak runs/stage1                            the three lowest layers of its last evaluation, of those with 8 rows or more
  python -m grpo.data weak runs/stage1 --below 0.8                all below 0.8
  python -m grpo.run --config tmf921_stage2 --set continue_from=runs/stage1 \\
      --set "data.tmf921.weak=$(python -m grpo.data weak runs/stage1 --below 0.8 --setting)"
"""


def make_parser() -> Any:
    parser = make_tool_parser("weak", "Name the tasks with the lowest means of an evaluation.", EXAMPLES)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, or a file of stored completions")
    parser.add_argument("--below", type=float, metavar="MEAN", help="all below this mean, in place of the lowest ones")
    parser.add_argument("--count", type=int, default=3, metavar="N", help="how many of the lowest (default: 3)")
    parser.add_argument("--setting", action="store_true", help="only the list, as --set takes it")
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    path = find_last_evaluation(options.run) if options.run.is_dir() else options.run
    estimates = read_estimates(path)
    weak = (
        find_weak(estimates, below=options.below)
        if options.below is not None
        else choose_weak(estimates, options.count)
    )
    if options.setting:
        print(orjson.dumps(weak).decode())
    elif options.json:
        print_json({name: asdict(estimates[name]) for name in weak})
    else:
        for name in weak:
            each = estimates[name]
            print(f"{name}: {each.mean:.3f} ({each.low:.3f} to {each.high:.3f}, n {each.n})")
        if not weak:
            print("no task is that weak")
    return DONE
