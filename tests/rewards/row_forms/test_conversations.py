"""Conversations of every convention, read as meant or refused with the place."""

import json

import pytest

from rewards.audit.audit import audit_rows
from rewards.errors import UserError
from rewards.functions.tool_call import ToolCall
from rewards.host.scoring import RewardHost
from rewards.rows import read_rows

ASK = {"role": "user", "content": "Weather in Porto?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Porto"}'}}
RENDERED = '<tool_call>\n{"name": "weather", "arguments": {"city": "Porto"}}\n</tool_call>'


def read(tmp_path, *rows):
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_rows(path)


@pytest.mark.parametrize("content", [None, "", "Let me look."])
def test_messages_when_the_answer_is_calls_then_they_are_the_reference(tmp_path, content):
    """OpenAI's form: the calls stand beside a content that is empty, null or a text."""
    (row,) = read(tmp_path, {"messages": [ASK, {"role": "assistant", "content": content, "tool_calls": [CALL]}]})
    assert row.reference == "\n".join(filter(None, (content, RENDERED)))
    assert audit_rows(RewardHost([ToolCall()]), [row]).facts["gold_failures"] == []


def test_messages_when_calls_and_results_stand_in_the_prompt_then_they_are_text(tmp_path):
    """Several turns with a tool's result: the last answer is the reference, what stands before it the prompt."""
    turns = [
        ASK,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "21 degrees"},
        {"role": "assistant", "content": "It is 21 degrees."},
    ]
    (row,) = read(tmp_path, {"messages": turns})
    assert [(turn["role"], turn["content"]) for turn in row.prompt] == [
        ("user", ASK["content"]), ("assistant", RENDERED), ("tool", "21 degrees"),
    ]  # fmt: skip
    assert row.reference == "It is 21 degrees."


def test_messages_when_functions_are_listed_then_the_system_turn_tells_them_once(tmp_path):
    """Without them a policy could not know what it may call; a system turn that names them stays as it is."""
    answer = {"role": "assistant", "tool_calls": [CALL]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    system = {"role": "system", "content": "Be brief."}
    known = {"role": "system", "content": "You may call weather(city)."}
    rows = read(tmp_path, *({"messages": [*first, ASK, answer], "tools": tools} for first in ([], [system], [known])))
    told = [row.prompt[0]["content"] for row in rows]
    assert [row.prompt[0]["role"] for row in rows] == ["system"] * 3
    assert (
        '"name": "weather"' in told[0] and told[1].startswith("Be brief.\n\nFunctions") and told[2] == known["content"]
    )


def test_sharegpt_when_read_then_its_turns_are_ours(tmp_path):
    """from and value, a call as a turn of its own, the system text beside."""
    turns = [
        {"from": "human", "value": "Weather in Porto?"},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Porto"}}'},
        {"from": "observation", "value": "21"},
        {"from": "gpt", "value": "21 degrees"},
    ]
    (row,) = read(tmp_path, {"conversations": turns, "system": "Be brief."})
    assert [turn["role"] for turn in row.prompt] == ["system", "user", "assistant", "tool"]
    assert (row.prompt[2]["content"], row.reference) == (RENDERED, "21 degrees")


def test_content_when_it_is_a_list_of_texts_then_they_are_joined(tmp_path):
    """What an API of several media writes for plain text."""
    parts = [{"type": "text", "text": "Weather "}, {"type": "text", "text": "in Porto?"}]
    (row,) = read(
        tmp_path, {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "fine"}]}
    )
    assert row.prompt == [{"role": "user", "content": "Weather in Porto?"}]


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([ASK, {"role": "assistant", "content": None}], "messages[1].content: a string is allowed, not null; an answer needs"),
        ([ASK, {"role": "assistant", "content": ""}], "messages[1]: the answer is empty"),
        ([{"role": "user", "content": None}, {"role": "assistant", "content": "x"}], "messages[0].content: a string"),
        ([ASK, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}], "not JSON"),
        ([ASK, {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}], "has no name"),
        ([{**ASK, "tool_calls": [CALL]}, {"role": "assistant", "content": "x"}], "belongs to an assistant turn"),
        ([{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "x"}], "only text is read"),
        ([ASK, {"role": "tool", "content": "x"}], "the last turn must be the assistant's"),
        ([ASK], "the last turn must be the assistant's"),
    ],
)  # fmt: skip
def test_messages_when_they_cannot_be_meant_then_the_line_says_why(tmp_path, turns, said):
    """File, line and turn."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, {"messages": turns})
    (line,) = caught.value.problems
    assert line.startswith(f"{tmp_path / 'r.jsonl'}:1: ") and said in line
