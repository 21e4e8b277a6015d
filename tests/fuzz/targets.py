"""What is fuzzed: each target takes bytes and may raise nothing but what a user is told in a line."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import orjson

from rewards.errors import UserError
from rewards.extraction import extract_json
from rewards.frames import BrokenFrame, receive
from rewards.rows import parse_file, read_completions
from rewards.sql.statements import find_statement
from rewards.tool_calls.dialects import read_calls
from rewards.writing.writable import to_document, to_line

SECONDS = 5.0
"""That one input may take; on a busy machine a hang is longer than this by far."""

_FOLDER = Path(tempfile.mkdtemp(prefix="recompensa-fuzz-"))


def reader(content: bytes) -> None:
    """The JSON reader: a text in, a value out that can be written, its span inside of the text, the same twice."""
    text = content.decode("utf-8", "surrogateescape")
    found = extract_json(text)
    assert extract_json(text) == found or found != found
    assert found.span is None or 0 <= found.span[0] <= found.span[1] <= len(text)
    assert 0.0 <= found.confidence <= 1.0
    assert all(0 <= repair.place <= len(text) for repair in found.repairs)
    orjson.loads(to_document(found.value))


def yaml(content: bytes) -> None:
    """A config file: a config, or lines that say what is wrong."""
    from grpo.config.loading import load_config

    path = _FOLDER / "fuzzed.yaml"
    path.write_bytes(content)
    try:
        load_config(path, [], "embedded")
    except UserError as error:
        assert error.problems and all(line.strip() and "\n" not in line for line in error.problems)


def rows(content: bytes) -> None:
    """A file of rows, read strictly and leniently: what is accepted can be written again."""
    path = _FOLDER / "fuzzed.jsonl"
    path.write_bytes(content)
    for parsed in parse_file(path):
        assert (parsed.example is None) == bool(parsed.problems)
        if parsed.example is not None:
            orjson.dumps(
                [parsed.example.id, parsed.example.task, parsed.example.reference, dict(parsed.example.columns)]
            )
    with contextlib.suppress(UserError):
        read_completions(str(path))


def tool_calls(content: bytes) -> None:
    """The dialects of tool calls."""
    reading = read_calls(content.decode("utf-8", "replace"))
    for call in reading.calls:
        to_line({"name": call.name, "arguments": call.arguments})


def report(content: bytes) -> None:
    """A run's folder whose metrics, decision and completions are these bytes: a page, with nothing in it that could act."""
    from grpo.report import write_report

    run = _FOLDER / "run"
    (run / "eval").mkdir(parents=True, exist_ok=True)
    part = len(content) // 3
    (run / "config.json").write_bytes(b'{"profile": "embedded", "config": {"name": "fuzz"}}')
    (run / "metrics.jsonl").write_bytes(content[:part])
    (run / "decision.json").write_bytes(content[part : 2 * part])
    (run / "eval" / "final.jsonl").write_bytes(content[2 * part :])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(UserError):
        write_report(run)
        page = (run / "report.html").read_text(encoding="utf-8")
        assert "<script" not in page.lower() and '="javascript:' not in page.lower()


def sql(content: bytes) -> None:
    """The SELECT in a text; it is found or not, and never run here."""
    statement = find_statement(content.decode("utf-8", "replace"))
    assert statement.sql is None or len(statement.sql) <= 20_000 or statement.tokens


def frames(content: bytes) -> None:
    """What a plugin's process might write into the pipe."""
    out, into = os.pipe()
    try:
        os.write(into, content[:60_000])
        os.close(into)
        with contextlib.suppress(BrokenFrame, EOFError):
            receive(out, 1.0)
    finally:
        os.close(out)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (reader, yaml, rows, tool_calls, report, sql, frames)
}
