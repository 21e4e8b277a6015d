"""What the data commands share: their parser, sources, tokenizer, and the file that rows are written to."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.screen.command_line import CommandParser
from rewards.writing.files import replacing

Count = Callable[[Sequence[str]], list[int]]
_CHARACTERS = 4
"""Characters of a token where no tokenizer is named: English prose; JSON has fewer."""


def make_tool_parser(name: str, what: str, examples: str) -> CommandParser:
    return CommandParser(f"python -m grpo.data {name}", what, examples)


def add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE",
        help="files (JSON Lines, JSON, CSV, Parquet), folders, patterns in quotes, or hub:owner/name@revision#split",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def add_out(parser: argparse.ArgumentParser, name: str = "--out") -> None:
    parser.add_argument(name, type=Path, required=True, metavar="FILE", help="JSON Lines to write")


def add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=7, help="the seed of everything that is drawn (default: 7)")


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokenizer", metavar="MODEL", help=f"count tokens as this model does (default: {_CHARACTERS} characters each)"
    )


def make_counter(model: str | None) -> tuple[Count, str]:
    """How tokens are counted, and the words for it; `UserError` where the model's tokenizer is not on this machine."""
    if model is None:
        return (lambda texts: [-(-len(text) // _CHARACTERS) for text in texts]), f"{_CHARACTERS} characters a token"
    from grpo.config.sections import ModelSection
    from grpo.policy.tokenizer import find_token_counter

    counter = find_token_counter(ModelSection(name=model), [])
    if not counter.exact:
        raise UserError(f"--tokenizer {model}: its tokenizer is not on this machine; download it, or give a folder")
    return counter.count_texts, counter.source


@contextmanager
def writing(path: Path | None) -> Iterator[Callable[[bytes], Any]]:
    """What writes lines into a file that appears whole or not at all; nowhere for None."""
    if path is None:
        yield lambda line: None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            yield file.write
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another file") from None


def read_shares(text: str, what: str) -> dict[str, float]:
    """`train=0.8,test=0.2` as a mapping; `UserError` where it is none."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            shares[name.strip()] = float(number)
        except ValueError:
            raise UserError(f"{what} {text}: {part!r} is not NAME=SHARE, such as train=0.8") from None
    if any(share < 0 for share in shares.values()) or "" in shares:
        raise UserError(f"{what} {text}: names with shares of 0 or more, such as train=0.8,test=0.2")
    return shares
