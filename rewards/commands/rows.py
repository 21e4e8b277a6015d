"""Write rows as another trainer wants them, so that our rewards get the whole row back with its label."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rewards.errors import UserError

EXAMPLES = """\
examples:
  python -m rewards rows --for openrlhf --input train.jsonl --output train.openrlhf.jsonl
  python -m rewards rows --for verl --input train.jsonl --output train.parquet
  python -m rewards rows --for nemo-gym --input train.jsonl --output train.gym.jsonl
  python -m rewards rows --plugin-path ms-swift

A name that ends in .parquet is written as Parquet (needs pyarrow, which comes with `datasets`), everything else as JSON Lines.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rewards.adapters.trainer_rows import LAYOUTS

    parser.add_argument("--for", dest="trainer", choices=sorted(LAYOUTS), metavar="TRAINER", help=", ".join(LAYOUTS))
    parser.add_argument("--input", metavar="FILE", help="rows as JSON Lines, as a run reads them")
    parser.add_argument("--output", metavar="FILE", help="where to write them (default: standard output)")
    parser.add_argument(
        "--plugin-path", choices=("ms-swift", "swift"), help="print the file that the trainer loads as its plugin"
    )


def run(options: argparse.Namespace) -> int:
    from rewards.adapters.trainer_rows import LAYOUTS
    from rewards.rows import read_rows
    from rewards.writing.writable import to_line

    if options.plugin_path:
        print(Path(__file__).resolve().parents[1] / "adapters" / "swift_plugin.py")
        return 0
    missing = [f"--{name}" for name, given in (("for", options.trainer), ("input", options.input)) if given is None]
    if missing:
        raise UserError(f"give {' and '.join(missing)}, as in: python -m rewards rows --for verl --input train.jsonl")
    layout, flags = LAYOUTS[options.trainer]
    made = [layout(example, at) for at, example in enumerate(read_rows(options.input))]
    if options.output is None:
        sys.stdout.buffer.write(b"".join(map(to_line, made)))
        return 0
    path = Path(options.output)
    try:
        if path.suffix == ".parquet":
            _write_parquet(path, made)
        else:
            path.write_bytes(b"".join(map(to_line, made)))
    except OSError as error:
        raise UserError(f"--output: {path}: cannot be written ({error.strerror})") from None
    said = flags.replace("FILE.jsonl", str(path)).replace("FILE.parquet", str(path))
    print(f"{len(made)} rows in {path}; in {options.trainer}: {said}", file=sys.stderr)
    return 0


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError("--output: Parquet needs pyarrow; run `pip install pyarrow`, or name a .jsonl file") from None
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
