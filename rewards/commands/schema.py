"""JSON Schemas for `schema_valid`: take a component out of an OpenAPI 3, Swagger 2 or draft-07 file."""

from __future__ import annotations

import argparse

EXAMPLES = """\
examples:
  python -m rewards schema import openapi.yaml --component Intent --output intent.json
  python -m rewards schema import --help
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rewards.schemas import importing as schema_import

    actions = parser.add_subparsers(required=True, metavar="ACTION")
    schema_import.add_arguments(actions.add_parser("import", help="one component and all it refers to, as one schema"))


def run(options: argparse.Namespace) -> int:
    from rewards.schemas import importing as schema_import

    return schema_import.run(options)
