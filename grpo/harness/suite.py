"""A suite: prompts by category with what is expected of each answer, read from YAML or JSON Lines, and written as rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from rewards.errors import UserError
from rewards.functions.expectations import KEYS, find_problems
from rewards.rows import make_strict_example
from rewards.writing.files import write_whole

FORM = "{id, category, prompt, expect: {tools, calls, keywords, absent, json, code, most_words}}"
_ENTRY = ("id", "category", "prompt", "messages", "system", "tools", "answer", "expect")
_SHOWN = 20


@dataclass(frozen=True)
class Suite:
    """Checked prompts as rows; `fingerprint` is of all that answers and scores follow from."""

    name: str
    rows: tuple[dict[str, Any], ...]

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any row of the suite."""
        return hashlib.sha256(orjson.dumps(self.rows, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    @property
    def categories(self) -> dict[str, int]:
        """How many prompts each category has, in the suite's order."""
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row["task"]] = counts.get(row["task"], 0) + 1
        return counts

    def write_rows(self, path: Path) -> None:
        """The prompts as rows that `python -m grpo.evaluate` reads."""
        write_whole(path, b"".join(orjson.dumps(row) + b"\n" for row in self.rows))


def read_suite(path: Path) -> Suite:
    """The suite of a file; `UserError` with everything wrong in it.

    YAML is a mapping with `prompts`, and `name`, `system` and `tools` for all of them; JSON Lines has a prompt a line.
    """
    problems: list[str] = []
    name, shared, entries = _read_entries(path)
    rows, seen = [], set()
    for number, (where, entry) in enumerate(entries, 1):
        row = _make_row(where, entry, shared, number, problems)
        if row is None:
            continue
        if row["id"] in seen:
            problems.append(f"{where}: id {row['id']!r} appears twice; ids tell answers apart")
        seen.add(row["id"])
        rows.append(row)
    if not rows and not problems:
        problems.append(f"{path}: no prompts; write {FORM}")
    if problems:
        rest = len(problems) - _SHOWN
        raise UserError(problems[:_SHOWN] + ([f"{path}: and {rest} more"] if rest > 0 else []))
    return Suite(name, tuple(rows))


def _read_entries(path: Path) -> tuple[str, Mapping[str, Any], list[tuple[str, Any]]]:
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        from grpo.data.records import read_records

        found: list[tuple[str, Any]] = []
        for record in read_records([str(path)]):
            if record.values is None:
                raise UserError(f"{record.where}: {record.problem}")
            found.append((record.where, record.values))
        return path.stem, {}, found
    from grpo.config.yaml_layer import read_source

    source = read_source(path)
    if source.problems:
        raise UserError(source.problems)
    prompts = source.data.get("prompts")
    unknown = [key for key in source.data if key not in ("name", "system", "tools", "prompts")]
    problems = [f"{path}: {key}: no such key; a suite has name, system, tools and prompts" for key in unknown]
    if not isinstance(prompts, list):
        problems.append(f"{path}: prompts: a list is needed, each entry {FORM}")
    if problems:
        raise UserError(problems)
    assert isinstance(prompts, list)
    entries = []
    for place, entry in enumerate(prompts):
        line = source.lines.get(("prompts", place))
        entries.append((f"{path}:{line}" if line else f"{path}: prompts[{place}]", entry))
    return str(source.data.get("name") or path.stem), source.data, entries


def _make_row(
    where: str, entry: Any, shared: Mapping[str, Any], number: int, problems: list[str]
) -> dict[str, Any] | None:
    """The entry as a row of the engine; None where it is none, and lines in `problems`."""
    if not isinstance(entry, dict):
        problems.append(f"{where}: {entry!r:.60}; each prompt is an object: {FORM}")
        return None
    before = len(problems)
    problems += [f"{where}: {key}: no such key; a prompt has {', '.join(_ENTRY)}" for key in entry if key not in _ENTRY]
    turns = entry.get("messages")
    if turns is None and isinstance(entry.get("prompt"), str) and entry["prompt"].strip():
        turns = [{"role": "user", "content": entry["prompt"]}]
    if not isinstance(turns, list) or not turns:
        problems.append(f"{where}: prompt: a text is needed, or a list of messages under messages")
        return None
    system = entry.get("system", shared.get("system"))
    if isinstance(system, str) and system and isinstance(turns[0], dict) and turns[0].get("role") != "system":
        turns = [{"role": "system", "content": system}, *turns]
    expect = entry.get("expect")
    problems += [f"{where}: {line}" for line in find_problems(expect)]
    tools = entry.get("tools", shared.get("tools"))
    row = {
        "id": str(entry.get("id") or f"{number:04d}"),
        "task": str(entry.get("category") or "other"),
        "prompt": turns,
        "reference": entry.get("answer"),
        **({"tools": tools} if tools else {}),
        "expect": expect,
    }
    _, found = make_strict_example(dict(row), where, row["id"])
    problems += found
    return row if len(problems) == before else None


def describe_expectations(expect: Mapping[str, Any]) -> str:
    """What is expected, in a few words for a page."""
    said = []
    for key in KEYS:
        if key in expect:
            value = expect[key]
            said.append(f"{key}: {value if isinstance(value, str | int) else orjson.dumps(value).decode()}")
    return "; ".join(said)
