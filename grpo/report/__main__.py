"""`python -m grpo.report RUN`: build the report of a run again, whatever state the run is in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grpo.report.page import write_report
from rewards.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m grpo.report",
        description="Write report.html and report.md into the folder of a run, from what the folder holds.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, such as runs/mine")
    options = parser.parse_args(arguments)
    try:
        for path in write_report(options.run):
            print(path)
    except UserError as error:
        print("\n".join(f"error: {line}" for line in error.problems), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
