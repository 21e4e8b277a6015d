"""`recompensa data weak`: the tasks, or layers, that an evaluation found weak, as the setting that trains on them."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson

from grpo.data.tmf921.weak import find_weak
from grpo.data_tools.options import add_json, make_tool_parser
from rewards.errors import UserError
from rewards.screen.command_line import DONE, print_json
from rewards.statistics.estimates import Estimate, estimate_mean

EXAMPLES = """examples:
  python -m grpo.data weak runs/stage1                            the three lowest layers of its last evaluation
  python -m grpo.data weak runs/stage1 --below 0.8                all below 0.8
  python -m grpo.run --config tmf921_stage2 --set model.name=runs/stage1/best \\
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
    path = options.run / "eval" / "final.jsonl" if options.run.is_dir() else options.run
    estimates = _read_estimates(path)
    weak = find_weak(estimates, below=options.below, count=options.count)
    if options.setting:
        print(orjson.dumps(weak).decode())
    elif options.json:
        print_json({name: {"mean": estimates[name].mean, "n": estimates[name].n} for name in weak})
    else:
        for name in weak:
            each = estimates[name]
            print(f"{name}: {each.mean:.3f} ({each.low:.3f} to {each.high:.3f}, n {each.n})")
        if not weak:
            print("no task is that weak")
    return DONE


def _read_estimates(path: Path) -> dict[str, Estimate]:
    values: dict[str, list[float]] = defaultdict(list)
    try:
        for line in path.read_bytes().splitlines():
            row = orjson.loads(line)
            if isinstance(row.get("reward"), int | float):
                values[str(row.get("task"))].append(float(row["reward"]))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give a run that has its final evaluation"
        ) from None
    except (ValueError, AttributeError):
        raise UserError(f"{path}: a line is no stored completion; give the folder of a run") from None
    if not values:
        raise UserError(f"{path}: no rewards; give a run that has its final evaluation")
    return {name: estimate_mean(found) for name, found in sorted(values.items())}
