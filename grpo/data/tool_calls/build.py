"""Rows of function calling, written as training and held-out files; the same section writes the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from grpo.data.section import ToolCallsSection
from grpo.data.tool_calls.functions import FUNCTIONS, RULES, draw_call
from grpo.data.tool_calls.records import KEYS, draw_record
from rewards.tool_calls.rendering import render_calls
from rewards.writing.files import replacing

NO_CALL = "[]"
_OFFERED = 3
"""Functions that a row of the Hermes form lists."""
_PARALLEL = 0.15
"""Share of Hermes rows that ask for two calls."""


def build_tool_calls(folder: Path, section: ToolCallsSection) -> dict[str, Path]:
    """Write `train.jsonl` and `held_out.jsonl`, whose requests do not meet; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: frozenset[str] = frozenset()
    files = {}
    # Held-out first: whatever the number of training rows, the held-out ones stay the same.
    for name, rows in (("held_out", section.held_out_rows), ("train", section.train_rows)):
        files[name] = folder / f"{name}.jsonl"
        made = list(_draw(name, rows, section, taken))
        taken = frozenset(row["messages"][-2]["content"] for row in made)
        with replacing(files[name]) as file:
            for row in made:
                file.write(orjson.dumps(row) + b"\n")
    return files


def _draw(split: str, rows: int, section: ToolCallsSection, taken: frozenset[str]) -> Iterator[dict[str, Any]]:
    rng = random.Random(f"{section.seed}/{section.form}/{split}")
    make = {"structured": _make_record, "hermes": _make_hermes, "cep": _make_rule}[section.form]
    own: set[str] = set()
    made = tries = 0
    while made < rows:
        row = make(rng, section)
        asked, tries = row["messages"][-2]["content"], tries + 1
        # Of a small world nearly all requests may be taken: then one is repeated, but never a held-out one.
        if asked in taken or (asked in own and tries < 4 * rows):
            continue
        own.add(asked)
        made += 1
        yield {"id": f"{split.replace('_', '-')}-{made:05d}", **row}


def _make_record(rng: random.Random, section: ToolCallsSection) -> dict[str, Any]:
    record = draw_record(rng, rng.choice(tuple(KEYS)))
    keys = ", ".join(KEYS[record.kind])
    system = record.kind
    if section.instructions == "full":
        system = (
            f"Read the {record.kind} in the text and answer with one JSON object of the keys {keys}, and nothing else."
        )
    return _as_row(record.kind, system, record.text, json.dumps(record.fields))


def _make_hermes(rng: random.Random, section: ToolCallsSection) -> dict[str, Any]:
    names = list(FUNCTIONS)
    rng.shuffle(names)
    first, second, *_ = [draw_call(rng, name) for name in names]
    chance = rng.random()
    # Rows without a call stand in one task with those that ask for one: alone they could tell no right answer from none.
    asked, offered, task = [first], names[:_OFFERED], "one_call"
    if chance < section.no_call:
        asked, offered = [], names[1 : 1 + _OFFERED]
    elif chance < section.no_call + _PARALLEL:
        asked, task = [first, second], "two_calls"
    offered = sorted(offered)
    text = first.text if task != "two_calls" else f"{first.text}; {second.text}"
    # What is listed under `tools` the reader of rows tells the policy, in the system turn.
    system = " ".join(offered) if section.instructions == "short" else None
    calls = [{"name": each.name, "arguments": each.arguments} for each in asked]
    tools = [{"type": "function", "function": FUNCTIONS[name]} for name in offered]
    return {**_as_row(task, system, text, render_calls(calls) if calls else NO_CALL), "tools": tools}


def _make_rule(rng: random.Random, section: ToolCallsSection) -> dict[str, Any]:
    request = draw_call(rng, rng.choice(tuple(RULES)))
    offered = list(RULES)
    if rng.random() < section.no_call:
        offered.remove(request.name)
    system = " ".join(offered)
    if section.instructions == "full":
        described = "\n".join(json.dumps(RULES[name]) for name in offered)
        system = (
            "You turn conditions over streams of events into rules. Answer with one JSON object "
            f'{{"name": "...", "arguments": {{...}}}} for one of these, or with [] where none fits:\n{described}'
        )
    call = {"name": request.name, "arguments": request.arguments}
    answer = render_calls([call], "json") if request.name in offered else NO_CALL
    tools = [{"type": "function", "function": RULES[name]} for name in offered]
    return {**_as_row("rule", system, request.text, answer), "tools": tools}


def _as_row(task: str, system: str | None, asked: str, answer: str) -> dict[str, Any]:
    before = [] if system is None else [{"role": "system", "content": system}]
    turns = [*before, {"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"task": task, "messages": turns}
