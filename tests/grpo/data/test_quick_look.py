"""`data validate`'s quick look passes only rows in which the strict reader finds nothing."""

from __future__ import annotations

import copy
import json
import random

import orjson

from grpo.console import main
from grpo.data_tools.conversation import structure_of
from grpo.data_tools.quick_look import is_plain
from rewards.rows import find_row_problems

CALL = {"id": "1", "type": "function", "function": {"name": "g", "arguments": '{"a": 1}'}}
ASKED, ANSWERED = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
USUAL = [
    {"id": "a", "task": "t", "prompt": [ASKED], "reference": "y"},
    {"id": "a", "messages": [ASKED, ANSWERED, ASKED, ANSWERED]},
    {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}], "system": "s"},
    {"prompt": "a", "completion": "b"},
    {"instruction": "a", "input": "", "output": "b"},
    {
        "tools": [{"type": "function", "function": {"name": "g"}}],
        "messages": [
            ASKED, {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "4", "tool_call_id": "1", "name": "g"}, ANSWERED,
        ],
    },
]  # fmt: skip
ODD = [
    None, "", [], {}, 0, 1.5, True, " ", "user", "assistant", "human", "gpt", "function_call", "all", "{}", "[1]", "{",
    10**25, [{}], [{"name": "g"}], "developer", ANSWERED, [ANSWERED],
]  # fmt: skip
KEYS = [
    "id", "task", "prompt", "reference", "messages", "conversations", "completion", "tools", "functions", "database", "role",
    "content", "from", "value", "tool_calls", "name", "arguments", "function", "instruction", "output", "system",
]  # fmt: skip


def spoil(value, draw):
    """A value with one place in it changed, taken away or put in."""
    kind = draw.random()
    if isinstance(value, dict):
        key = draw.choice([*value, "id"])
        if kind < 0.25:
            value[draw.choice(KEYS)] = copy.deepcopy(draw.choice(ODD))
        elif kind < 0.5:
            value.pop(key, None)
        elif key in value:
            value[key] = spoil(value[key], draw)
        return value
    if isinstance(value, list) and value:
        place = draw.randrange(len(value))
        value[place] = spoil(value[place], draw)
        return value
    return copy.deepcopy(draw.choice(ODD))


def test_rows_when_of_a_usual_form_then_the_quick_look_passes_them():
    """All of them: else fifty thousand a second are out of reach."""
    assert all(is_plain(row, orjson.dumps(row)) for row in USUAL)


def test_rows_when_spoilt_then_what_is_passed_has_no_problem():
    """Eight thousand rows with one to three faults, of which some happen to be none."""
    draw, passed = random.Random(3), 0
    for _ in range(8000):
        row = copy.deepcopy(draw.choice(USUAL))
        for _ in range(draw.randrange(1, 4)):
            row = spoil(row, draw)
        raw = json.dumps(row).encode()
        if is_plain(orjson.loads(raw), raw):
            passed += 1
            assert find_row_problems(json.loads(raw), raw, "rows", "1") == [], row
    assert 500 < passed < 5000


def test_validate_when_a_database_is_not_there_then_its_row_is_named(tmp_path, capsys):
    """As a run would; a relative path starts at the folder of the rows."""
    rows = [{**USUAL[0], "id": name, "database": name} for name in ("there.db", "gone.db")]
    (tmp_path / "there.db").touch()
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "validate", str(tmp_path / "rows.jsonl")]) == 2
    said = capsys.readouterr()
    assert "rows.jsonl:2: database: no such file" in said.err and "2 rows, 1 cannot be trained on" in said.out


def test_structures_when_keys_stand_in_another_order_then_they_are_one():
    """Keys sorted, kinds of values told apart, the kinds of a list once each; by hand."""
    shape = "{a:[n|s],a!:null,b:{c:b}}"
    assert structure_of('{"b": {"c": true}, "a!": null, "a": [1, "x", 2.5]}') == shape
    assert structure_of('{"a": ["x", 1], "b": {"c": false}, "a!": null}') == shape
    assert structure_of("[]") == "[]" and structure_of("3") is None and structure_of("no") is None
