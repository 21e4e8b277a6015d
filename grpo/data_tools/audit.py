"""`recompensa data audit`: the audit of the rewards over any source that a run reads, not only JSON Lines."""

from __future__ import annotations

import argparse
from typing import Any

from grpo.data.any_rows import read_any_rows
from grpo.data_tools.options import make_tool_parser
from rewards.commands import audit

EXAMPLES = """examples:
  python -m grpo.data audit --data train.jsonl --held-out held_out.jsonl --reward field_f1
  python -m grpo.data audit --data rows.csv --reward text_overlap
  python -m grpo.data audit --data 'shards/*.parquet' --json
  python -m grpo.data audit --config v4_1.yaml
exit codes: 0 passed · 2 a run on these rows and rewards would be wasted
"""


def make_parser() -> Any:
    parser = make_tool_parser("audit", "Check rows and rewards before a run spends anything on them.", EXAMPLES)
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="MODULE|PATH", help="reward functions of yours (repeatable)"
    )
    audit.add_arguments(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    # Rows that are left out are lines of a file: --drop reads it as such.
    return audit.run(options, None if options.drop else read_any_rows)
