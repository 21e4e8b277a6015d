"""The reward for tool calls: four dialects, names, arguments, several calls."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.functions.tool_call import ToolCall
from rewards.testing import check_reward
from rewards.tool_calls.dialects import read_calls
from rewards.types import Completion, Example

CALL = {"name": "get_weather", "arguments": {"city": "São Paulo", "days": 3, "metric": True}}
JSON = json.dumps(CALL, ensure_ascii=False)
MARKUP = (
    "<function=get_weather><parameter=city>São Paulo</parameter><parameter=days>3</parameter>"
    "<parameter=metric>true</parameter></function>"
)
LAID_OUT = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nSão Paulo\n</parameter>\n<parameter=days>\n3\n</parameter>\n"
    "<parameter=metric>\ntrue\n</parameter>\n</function>\n</tool_call>"
)
DIALECTS = {
    "tags": f"<tool_call>{JSON}</tool_call>",
    "tags over lines": f"Vou ver.\n<tool_call>\n{JSON}\n</tool_call>",
    "fence": f"Claro!\n```json\n{JSON}\n```\nPronto.",
    "markup": MARKUP,
    "markup in tags": LAID_OUT,
    "markup without the tag that opens": LAID_OUT.removeprefix("<tool_call>\n"),
    "markup without its opening": MARKUP.removeprefix("<function="),
    "bare": JSON,
    "list": f"[{JSON}]",
    "wrapped": json.dumps({"tool_calls": [{"id": "1", "type": "function", "function": CALL}]}),
    "arguments as text": json.dumps({"name": "get_weather", "arguments": json.dumps(CALL["arguments"])}),
    "parameters": json.dumps({"name": "get_weather", "parameters": CALL["arguments"]}),
    "after thinking": f"<think>{JSON.replace('Paulo', 'Luís')}</think>{JSON}",
}
EXAMPLE = Example("1", "any", [], JSON)


def score_of(text: str, reference: object = CALL, **options: object):
    reference = reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False)
    return ToolCall(**options)(Example("1", "any", [], reference), Completion(text))


def call(name: str, **arguments: object) -> dict[str, object]:
    return {"name": name, "arguments": arguments}


def test_tool_call_when_checked_by_the_kit_then_keeps_the_contract():
    """The whole contract, on hostile texts too."""
    check_reward(
        ToolCall(),
        EXAMPLE,
        right=list(DIALECTS.values()),
        partial=[JSON.replace("Paulo", "Luís"), JSON.replace("3", "4"), repr(CALL), f"{JSON}\n{JSON}"],
        wrong=["", "não sei", "{}", JSON.replace("get_weather", "search"), "<tool_call></tool_call>"],
    )


@pytest.mark.parametrize("reference", DIALECTS.values(), ids=list(DIALECTS))
@pytest.mark.parametrize("text", DIALECTS.values(), ids=list(DIALECTS))
def test_tool_call_when_dialects_are_mixed_then_the_same_call_is_right(reference, text):
    """The reference may be written in any dialect, and so may the completion."""
    function, example = ToolCall(), Example("1", "any", [], reference)
    assert function.problems(example) == []
    assert function(example, Completion(text)).value == 1.0


def test_tool_call_when_written_as_python_then_is_read_and_costs_a_tenth():
    """Unless the reference is written so itself: then a model that learnt it is right."""
    python = repr(CALL)
    assert score_of(python).value == pytest.approx(0.9)
    assert score_of(python, python).value == score_of(JSON, python).value == 1.0


def test_tool_call_when_half_of_the_arguments_are_right_then_parts_say_so():
    """Name 0.2, and half of two thirds (precision and recall 2/3) of the arguments' 0.5."""
    score = score_of(JSON.replace("Paulo", "Luís"))
    assert score.value == pytest.approx(0.2 + 0.5 * 2 / 3)
    assert score.parts == {
        "valid": 1.0, "name": 1.0, "args_exact": 0.0, "args": pytest.approx(2 / 3),
        "args_precision": pytest.approx(2 / 3), "args_recall": pytest.approx(2 / 3),
    }  # fmt: skip


def test_tool_call_when_the_name_is_wrong_then_its_arguments_earn_nothing():
    """Right arguments to another function are another call."""
    assert score_of(JSON.replace("get_weather", "delete_all")).value == 0.0


def test_tool_call_when_several_calls_are_asked_then_are_matched_in_any_order():
    """Two calls of one function are told apart by their arguments; order counts when asked."""
    calls = [call("f", x=1), call("f", x=2), call("g", y="a")]
    swapped = json.dumps([calls[2], calls[1], calls[0]])
    assert score_of(swapped, calls).value == 1.0
    assert score_of(swapped, calls, ordered=True).value < 0.6
    assert score_of(json.dumps(calls[:2]), calls).value == pytest.approx(0.2 * 0.8 + 0.5 * 0.8 + 0.3 * 0.8)


def test_tool_call_when_every_function_is_called_then_is_worth_less_than_one_honest_guess():
    """A call that nobody asked for is an action."""
    every = json.dumps([CALL, call("search", q="x"), call("refund", id=1), call("track", id=1)])
    assert score_of(every).value < score_of(json.dumps(call("get_weather", city="São Paulo"))).value


def test_tool_call_when_members_stand_around_the_call_then_count_as_arguments_that_nobody_asked():
    """An id is not a harm, invented members are."""
    assert score_of(json.dumps({**CALL, "id": "c1", "type": "function"})).value == 1.0
    assert score_of(json.dumps({**CALL, "city": "São Paulo", "extra": 1})).value < 0.7


def test_tool_call_when_no_call_is_asked_then_any_call_is_wrong():
    """`[]` is a reference too."""
    assert score_of("Não preciso de ferramenta.", []).value == 1.0
    assert score_of(JSON, []).value == score_of("<tool_call>?</tool_call>", []).value == 0.0


def test_tool_call_when_arguments_are_written_as_text_then_take_the_type_of_the_other_side():
    """Markup has no types: `3` is 3 or "3", whichever is asked, but never another value."""
    markup = (
        "<function=f><parameter=a>3</parameter><parameter=b>[1, 2]</parameter><parameter=c>null</parameter></function>"
    )
    assert score_of(markup, call("f", a=3, b=[1, 2], c=None)).value == 1.0
    assert score_of(markup, call("f", a="3", b="[1, 2]", c="null")).value == 1.0
    assert score_of(markup, call("f", a=4, b=[1, 2], c=None)).value < 1.0


def test_tool_call_when_a_parameter_is_given_twice_then_it_is_wrong():
    """In markup as in JSON."""
    twice = MARKUP.replace("<parameter=days>3", "<parameter=days>4</parameter><parameter=days>3")
    for text in (twice, JSON.replace('"days": 3', '"days": 4, "days": 3')):
        assert score_of(text).value < 0.7


@pytest.mark.parametrize(
    ("text", "names", "broken"),
    [
        ("<tool_call>{}</tool_call>", [], 1),
        ("<tool_call>", [], 1),
        (f"<tool_call>{JSON}", ["get_weather"], 0),
        (f"<tool_call>{JSON}</tool_call><tool_call>{JSON}</tool_call>", ["get_weather"] * 2, 0),
        (f"{JSON}\n{JSON.replace('3', '4')}", ["get_weather"] * 2, 0),
        (f"{JSON} e de novo {JSON}\n{JSON}", ["get_weather"] * 3, 0),
        (f"{JSON}\n{MARKUP.replace('get_weather', 'f')}\n{JSON}", ["get_weather", "f", "get_weather"], 0),
        (f"{MARKUP} e {JSON.replace('get_weather', 'g')} e {MARKUP}", ["get_weather", "g", "get_weather"], 0),
        (f"```json\n{JSON}\n```\n{JSON}", ["get_weather"] * 2, 0),
        ('{"name": "Ana", "idade": 3} não é chamada, mas <function=f></function> é', ["f"], 0),
        ("<function=a b><parameter=x>1</parameter></function>", [], 1),
        ("<parameter=x>1</parameter>", [""], 0),
        ('{"name": 3, "arguments": {}}', [], 0),
        ('{"name": "f", "arguments": [1]}', [], 0),
        (f"<think>{JSON}", [], 0),
    ],
)
def test_read_calls_when_texts_are_broken_then_counts_what_was_meant(text, names, broken):
    """Broken calls are counted, objects of another kind are none."""
    found = read_calls(text)
    assert ([one.name for one in found.calls], found.broken) == (names, broken)


@pytest.mark.parametrize(
    "content",
    [
        "```python\nprint(1)\n```",
        "veja ```x``` e ```json {}```",
        "<tool_call>{}</tool_call>",
        "<function=f><parameter=x>1</parameter></function>",
        'diz {"name": "g", "arguments": {}}',
    ],
)
def test_tool_call_when_an_argument_holds_code_then_is_no_call_of_its_own(content):
    """A tool that writes files is given fences, tags and JSON; the gold answer earns the maximum all the same."""
    write = call("write_file", path="a.md", content=content)
    text = json.dumps(write, ensure_ascii=False)
    assert ToolCall().problems(Example("1", "any", [], text)) == []
    ways = [text, f"```json\n{text}\n```", f"<think>Vou gravar.</think>{text}"]
    if "<tool_call>" not in content:
        ways.append(f"<tool_call>{text}</tool_call>")
    for given_text in ways:
        assert score_of(given_text, text).value == 1.0, given_text


def test_tool_call_when_an_argument_talks_of_thinking_then_is_no_reasoning():
    """A call that stands alone is read as it is."""
    text = json.dumps(call("note", text="<think>talvez</think>"))
    assert score_of(text, text).value == score_of(f"```\n{text}\n```", text).value == 1.0


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{JSON}```",
        f"```json {JSON}```",
        f"Claro: ```\n{JSON}\n```",
        f"```json\n{JSON}",
        f"  ```tool_code\n  {JSON}\n  ```\nPronto",
        f"```json\n[{JSON}]\n```\n```python\nprint(1)\n```",
    ],
)
def test_tool_call_when_fences_are_sloppy_then_are_still_read(text):
    """On one line, indented, unclosed, or beside another fence."""
    assert score_of(text).value == 1.0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["f", "g.h", "do_it"]),
            st.dictionaries(
                st.sampled_from(["a", "b", "c"]),
                st.integers(-9, 9)
                | st.booleans()
                | st.text(st.characters(codec="ascii", categories=["L"]), min_size=1),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_tool_call_when_calls_are_written_in_either_dialect_then_are_right(calls):
    """JSON in tags and markup say the same, whatever the calls."""
    reference = [{"name": name, "arguments": arguments} for name, arguments in calls]
    tagged = "\n".join(f"<tool_call>{json.dumps(one)}</tool_call>" for one in reference)
    markup = "\n".join(
        f"<function={one['name']}>"
        + "".join(
            f"<parameter={key}>{value if isinstance(value, str) else json.dumps(value)}</parameter>"
            for key, value in one["arguments"].items()
        )
        + "</function>"
        for one in reference
    )
    assert score_of(tagged, reference).value == score_of(markup, reference).value == 1.0


def test_problems_when_the_reference_has_no_call_then_says_what_to_write():
    """A sentence is not a reference; the shares must add up."""
    function = ToolCall()
    assert "no call found" in function.problems(Example("1", "any", [], "Olá"))[0]
    assert "missing" in function.problems(Example("1", "any", [], None))[0]
    assert "cannot be read" in function.problems(Example("1", "any", [], "<tool_call>x</tool_call>"))[0]
    with pytest.raises(ValueError, match="add up"):
        ToolCall(name_share=0.9)
