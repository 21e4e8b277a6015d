"""Explain one completion: what was read out of it, each repair at its place, and each part of each score."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.commands.selection import add_in_process
from rewards.errors import UserError
from rewards.screen.command_line import print_json
from rewards.types import Completion, Example
from rewards.writing.writable import to_document

if TYPE_CHECKING:
    from rich.console import Console

    from rewards.extraction import Extraction

EXAMPLES = """\
examples:
  python -m rewards explain --text "{'nota': 4,5, 'dias': 3,}"
  python -m rewards explain --file answer.txt --reference '{"nota": 4.5, "dias": 3}' --reward field_f1
  python -m rewards explain runs/v4_1 --id extraction-held-out-00007
  python -m rewards explain runs/v4_1 --id sql_qa-held-out-00003 --stage warmup --reward sql_qa
  python -m rewards explain rows.jsonl --id 12 --reward extraction
  some_model | python -m rewards explain --json

Without --text, --file and RUN the completion is read from standard input. Of a stored completion the scores of the time
are shown, with --reward new ones.
"""
_AROUND = 32
_MOST_REPAIRS = 40
_MOST_TEXT = 4_000
_MOST_COMPARED = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="the folder of a run, or a file of rows with completions")
    parser.add_argument("--id", help="with RUN: the example")
    parser.add_argument(
        "--stage", help="with the folder of a run: before, warmup, step-000050, final (the last there is)"
    )
    parser.add_argument("--index", type=int, default=0, help="with RUN: which of several completions of the id, from 0")
    parser.add_argument("--text", help="the completion itself")
    parser.add_argument("--file", metavar="FILE", help="a file that holds the completion")
    parser.add_argument(
        "--reward", action="append", default=[], metavar="NAME[:k=v,...]", help="a function (repeatable)"
    )
    parser.add_argument("--reference", help="with --text, --file or standard input: the right answer")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of colours")
    add_in_process(parser)


def run(options: argparse.Namespace) -> int:
    example, completion, scores = _find_completion(options)
    extraction = completion.extraction
    if options.reward:
        scores = _score(options, example, completion)
    if options.json:
        print_json(_to_json(example, completion, extraction, scores))
    else:
        _show(example, completion, extraction, scores)
    return 1 if any(score["status"] == "error" for score in scores.values()) else 0


def _find_completion(options: argparse.Namespace) -> tuple[Example, Completion, dict[str, Any]]:
    given = [name for name in ("run", "text", "file") if getattr(options, name) is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)}: give one of RUN, --text and --file")
    if options.run is not None:
        return _find_stored(options)
    misplaced = [f"--{name}" for name in ("id", "stage") if getattr(options, name) is not None]
    if misplaced:
        raise UserError(f"{', '.join(misplaced)}: goes with RUN, the folder of a run or a file of rows")
    if options.text is not None:
        text = options.text
    elif options.file is not None:
        try:
            text = Path(options.file).read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"--file: {options.file}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError as error:
            raise UserError(f"--file: {options.file}: not UTF-8 ({error.reason})") from None
    else:
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    return Example("completion", "default", [], options.reference), Completion(text), {}


def _find_stored(options: argparse.Namespace) -> tuple[Example, Completion, dict[str, Any]]:
    from rewards.rescore import list_stored, read_stored

    files = list_stored(Path(options.run), training=True)
    evaluations = [name for name in files if not name.startswith("train/")] or list(files)
    stage = options.stage or evaluations[-1]
    if stage not in files:
        raise UserError(f"--stage: no stage '{stage}'; there are: {', '.join(files)}")
    rows = read_stored(files[stage])
    if options.id is None:
        raise UserError(f"--id: {files[stage]} holds {len(rows)} completions; name one, such as {rows[0].example.id}")
    found = [row for row in rows if row.example.id == options.id]
    if not found:
        near = get_close_matches(options.id, [row.example.id for row in rows[:_MOST_COMPARED]], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"it holds {len(rows)} completions, such as {rows[0].example.id}"
        raise UserError(f"--id: no '{options.id}' in {files[stage]}; {hint}")
    if not 0 <= options.index < len(found):
        raise UserError(f"--index: {options.index}; '{options.id}' has {len(found)} completions there, counted from 0")
    row = found[options.index]
    stored = row.record.get("scores")
    return row.example, row.completion, dict(stored) if isinstance(stored, Mapping) else {}


def _score(options: argparse.Namespace, example: Example, completion: Completion) -> dict[str, Any]:
    from rewards.commands.selection import make_host, show_traces

    with make_host(options.reward, options.plugin, any_task=True, in_process=options.in_process) as host:
        problems = [
            f"reward '{entry.function.name}': {line}"
            for entry in host.functions
            for line in host.problems(entry, example)
        ]
        if problems:
            raise UserError(problems)
        scored = host.score([(example, completion)])
        show_traces(scored)
        return host.to_record(scored[0])["scores"]


def _to_json(
    example: Example, completion: Completion, extraction: Extraction, scores: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "id": example.id,
        "completion": completion.text,
        "reference": example.reference,
        "value": extraction.value,
        "span": extraction.span,
        "truncated": extraction.truncated,
        "candidates": extraction.candidates,
        "confidence": extraction.confidence,
        "repairs": [
            {
                "kind": str(repair.kind),
                "place": repair.place,
                "context": "".join(show_place(completion.text, repair.place)),
            }
            for repair in extraction.repairs
        ],
        "scores": dict(scores),
    }


def show_place(text: str, place: int, around: int = _AROUND) -> tuple[str, str, str]:
    """What stands before a place, the letter there, and what follows, on one line."""
    place = min(max(place, 0), len(text))
    before, letter, after = text[max(0, place - around) : place], text[place : place + 1], text[place + 1 :][:around]
    return _on_one_line(before), _on_one_line(letter or "⏎"), _on_one_line(after)


def _on_one_line(text: str) -> str:
    return "".join({"\n": "↵", "\t": "→"}.get(letter, letter if letter.isprintable() else "�") for letter in text)


def _show(example: Example, completion: Completion, extraction: Extraction, scores: Mapping[str, Any]) -> None:
    from rich.text import Text

    from rewards.screen.terminal import make_console

    console = make_console()
    if example.id != "completion":
        console.print(Text.assemble(("example ", "dim"), example.id, ("  task ", "dim"), example.task))
    for turn in example.prompt:
        if turn.get("role") != "system":
            console.print(Text.assemble((f"{turn.get('role')}: ", "dim"), _cut(turn["content"])), soft_wrap=True)
    _show_completion(console, completion, extraction)
    if example.reference is not None:
        console.print(Text.assemble(("reference  ", "bold"), _cut(example.reference)), soft_wrap=True)
    _show_reading(console, completion, extraction)
    _show_scores(console, scores)


def _show_completion(console: Console, completion: Completion, extraction: Extraction) -> None:
    """The text; what was read as JSON stands out, places of repairs more so."""
    from rich.text import Text

    text = Text(_cut(completion.text) or "(nothing)")
    if extraction.span is not None:
        text.stylize("cyan", *extraction.span)
        for repair in extraction.repairs:
            text.stylize("bold red reverse", repair.place, repair.place + 1)
    console.print(
        Text.assemble(("completion ", "bold"), ("(cut by its length limit) " if completion.truncated else "")), end=""
    )
    console.print(text, soft_wrap=True)


def _show_reading(console: Console, completion: Completion, extraction: Extraction) -> None:
    from rich.table import Table
    from rich.text import Text

    if extraction.value is None:
        console.print(Text.assemble(("read       ", "bold"), ("no JSON found", "yellow")))
        return
    repairs = len(extraction.repairs)
    notes = [
        "strict" if not repairs else f"{repairs} repair{'s' if repairs > 1 else ''}",
        f"confidence {extraction.confidence:.2f}",
        *([f"{extraction.candidates} candidates"] if extraction.candidates > 1 else []),
        *(["cut before its end"] if extraction.truncated else []),
    ]
    value = _cut(to_document(extraction.value).decode())
    console.print(Text.assemble(("read       ", "bold"), (", ".join(notes), "dim")))
    console.print(Text(value, "green"))
    if not repairs:
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for repair in extraction.repairs[:_MOST_REPAIRS]:
        before, letter, after = show_place(completion.text, repair.place)
        kind = Text(str(repair.kind), "red" if getattr(repair.kind, "structural", False) else "yellow")
        # Where colours are not shown, such as in a file, brackets show the place.
        letter = letter if console.color_system else f"⟦{letter}⟧"
        shown = Text.assemble((before, "dim"), (letter, "bold red reverse"), (after, "dim"))
        table.add_row(kind, f"at {repair.place}", shown)
    console.print(table)
    if repairs > _MOST_REPAIRS:
        console.print(Text(f"and {repairs - _MOST_REPAIRS} more", "dim"))


def _show_scores(console: Console, scores: Mapping[str, Any]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    for name, score in scores.items():
        if score.get("status") == "unscored" and len(scores) > 1:
            continue
        value = score.get("value")
        said = Text(score.get("status", "none"), "red") if value is None else Text(f"{value:.4f}", _colour(value))
        head = Text.assemble((name, "bold"), (f" version {score.get('version')}  ", "dim"), said)
        console.print(head.append(f"  {score.get('reason', '')}"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for part, share in (score.get("parts") or {}).items():
            table.add_row(part, f"{share:.3f}", Text(_bar(share), _colour(share)))
        console.print(Padding(table, (0, 0, 0, 4), expand=False))


def _bar(share: float, width: int = 20) -> str:
    full = round(width * min(1.0, max(0.0, share)))
    return "█" * full + "░" * (width - full)


def _colour(value: float) -> str:
    return "green" if value >= 0.999 else "yellow" if value > 0 else "red"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} ... ({len(text) - _MOST_TEXT} more characters)"
