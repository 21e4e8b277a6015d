"""Runs a copy of JSON-Schema-Test-Suite through schema_valid: how many verdicts are the suite's, and what is refused."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rewards.functions.schema_valid import SchemaValid
from rewards.types import Completion, Example

EXAMPLE = Example("suite", "any", [], None)
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
PARTS = {
    "required": ("*.json", False),
    "optional": ("optional/*.json", False),
    "format": ("optional/format/*.json", True),
}


def read_groups(folder: Path, pattern: str, draft: str) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Each schema of a part, with its draft named, and its tests."""
    for path in sorted(folder.glob(pattern)):
        for group in json.loads(path.read_text(encoding="utf-8")):
            schema = group["schema"]
            if isinstance(schema, dict) and "$schema" not in schema:
                schema = {"$schema": DRAFTS[draft], **schema}
            yield schema, group["tests"]


def count(groups: Iterator[tuple[Any, list[dict[str, Any]]]], formats: bool, remotes: str | None) -> Counter[str]:
    """Right verdicts, wrong ones, and tests of refused schemas; objects and lists go through the reward itself."""
    counted: Counter[str] = Counter()
    for schema, tests in groups:
        try:
            function = SchemaValid(schema=schema, formats=formats, remotes=remotes)
        except ValidationError:
            counted["refused"] += len(tests)
            continue
        compiled = function.schema_for(EXAMPLE)
        for test in tests:
            value = test["data"]
            if isinstance(value, (dict, list)):
                valid = function(EXAMPLE, Completion(json.dumps(value))).value == 1.0
            else:
                # A bare scalar is not an answer: the reader of JSON passes over it.
                valid = compiled.judge(value).share == 1.0
            counted["right" if valid == test["valid"] else "wrong"] += 1
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a copy of json-schema-org/JSON-Schema-Test-Suite")
    parser.add_argument(
        "--without-remotes", action="store_true", help="do not give the suite's folder of remote schemas"
    )
    arguments = parser.parse_args()
    remotes = None if arguments.without_remotes else str(arguments.folder / "remotes")
    print(f"{'draft':14}{'part':10}{'tests':>7}{'right':>8}{'wrong':>7}{'refused':>9}")
    for draft in DRAFTS:
        for part, (pattern, formats) in PARTS.items():
            counted = count(read_groups(arguments.folder / "tests" / draft, pattern, draft), formats, remotes)
            total = counted.total()
            share = f"{counted['right'] / total:.1%}" if total else "-"
            print(f"{draft:14}{part:10}{total:7}{share:>8}{counted['wrong']:7}{counted['refused']:9}")


if __name__ == "__main__":
    main()
