"""Example rows of a reward function: `SAMPLES` in its module, or `rewards/samples/<name>.jsonl`."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.errors import UserError
from rewards.types import Example

if TYPE_CHECKING:
    from rewards.plugins import Registered

FOLDER = Path(__file__).parent / "samples"


def find_options(entry: Registered) -> dict[str, Any]:
    """Options without which the sample rows make no sense: `SAMPLE_OPTIONS` in the function's module."""
    return dict(getattr(sys.modules.get(entry.function.__module__), "SAMPLE_OPTIONS", {}))


@contextmanager
def open_samples(entry: Registered) -> Iterator[list[Example]]:
    """The sample rows of a function, while the context lasts: a column `database` that names a `.sql` script is built.

    `SAMPLES` is a sequence of rows as mappings, as they would stand in a file. Raises UserError when there are none.
    """
    from rewards.rows import make_example, read_examples

    rows = getattr(sys.modules.get(entry.function.__module__), "SAMPLES", ())
    path = FOLDER / f"{entry.name}.jsonl"
    if rows:
        where = f"{entry.function.__module__}.SAMPLES"
        examples = [make_example(dict(row), f"{where}[{at}]", at, FOLDER) for at, row in enumerate(rows)]
    elif path.is_file():
        examples = read_examples(str(path))
    else:
        raise UserError(
            f"'{entry.name}' has no sample rows; give --data rows.jsonl, or set SAMPLES in {entry.path or entry.plugin}"
        )
    with tempfile.TemporaryDirectory(prefix="recompensa-") as folder:
        yield [_with_database(example, Path(folder)) for example in examples]


def _with_database(example: Example, folder: Path) -> Example:
    script = example.columns.get("database")
    if not isinstance(script, str) or not script.endswith(".sql"):
        return example
    path = folder / f"{Path(script).stem}.db"
    if not path.exists():
        connection = sqlite3.connect(path)
        try:
            connection.executescript(Path(script).read_text(encoding="utf-8"))
            connection.commit()
        finally:
            connection.close()
    return replace(example, columns={**example.columns, "database": str(path)})
