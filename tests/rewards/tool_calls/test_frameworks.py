"""One call in the notations of agents, APIs and parsers beside those of `DIALECTS`: each is worth 1, and spoilt ones are worth less."""

from __future__ import annotations

import json

import pytest

from rewards.functions.tool_call import ToolCall
from rewards.tool_calls.dialects import read_calls
from rewards.types import Completion, Example
from tests.timing import at_most

_CITY = "Santa Bárbara d'Oeste"
_ARGUMENTS = {"city": _CITY, "days": 3, "opts": {"unit": "c", "tags": ["a", "b"]}, "ok": True}
_JSON = json.dumps(_ARGUMENTS, ensure_ascii=False)
_CALL = f'{{"name": "get_weather", "arguments": {_JSON}}}'
_OPTS = '{"unit": "c", "tags": ["a", "b"]}'
_PYTHON = f'city="{_CITY}", days=3, opts={_OPTS}, ok=True'
_TAGS = f"<city>{_CITY}</city>\n<days>3</days>\n<opts>{_OPTS}</opts>\n<ok>true</ok>\n"
_KEYS = "".join(
    f"<longcat_arg_key>{key}</longcat_arg_key>\n<longcat_arg_value>{value}</longcat_arg_value>\n"
    for key, value in (("city", _CITY), ("days", 3), ("opts", _OPTS), ("ok", "true"))
)
_DSML = "".join(
    f'<｜DSML｜parameter name="{key}" string="{said}">{value}</｜DSML｜parameter>\n'
    for key, value, said in (("city", _CITY, "true"), ("days", 3, "false"), ("opts", _OPTS, "false"), ("ok", "true", "false"))
)  # fmt: skip

_SOLAR = "".join(
    f"<|tool_arg:start|>{key}<|tool_arg:value|>{value}<|tool_arg:end|>\n"
    for key, value in (("city", _CITY), ("days", 3), ("opts", _OPTS), ("ok", "true"))
)
_PAIRS = _SOLAR.replace("<|tool_arg:start|>", "<arg_key>").replace("<|tool_arg:value|>", "</arg_key><arg_value>")
_PAIRS = _PAIRS.replace("<|tool_arg:end|>", "</arg_value>")
_XTML = "".join(
    f'<|open|>argument key="{key}" type="{kind}"<|sep|>{value}<|close|>argument<|sep|>'
    for key, kind, value in (
        ("city", "string", _CITY),
        ("days", "number", 3),
        ("opts", "object", _OPTS),
        ("ok", "boolean", "true"),
    )
)
_NESTED = "<city>Santa Bárbara d'Oeste</city><days>3</days><opts><unit>c</unit><tags><item>a</item><item>b</item></tags></opts><ok>true</ok>"
_MINIMAX = f'<tool_call>\n<invoke name="get_weather">{_NESTED}</invoke>\n</tool_call>'.replace("<", "]<]minimax[>[<")

RIGHT = [
    f"<|think:start|>hm<|think:end|>Claro.<|tool_call:start|>get_weather\n{_SOLAR}<|tool_call:end|>",
    f"<tool_calls><tool_call>get_weather<tool_sep>{_PAIRS}</tool_call></tool_calls>",
    "<tool_calls:opensource><tool_call:opensource>get_weather"
    + _PAIRS.replace("arg_key>", "arg_key:opensource>").replace("arg_value>", "arg_value:opensource>")
    + "</tool_call:opensource></tool_calls:opensource>",
    "<ifm|tool_calls><ifm|tool_call>get_weather" + _PAIRS.replace("<arg_", "<ifm|arg_").replace("</arg_", "</ifm|arg_")
    + "</ifm|tool_call></ifm|tool_calls>",
    f"<ifm|tool_calls><ifm|tool_call>{_CALL}</ifm|tool_call></ifm|tool_calls>",
    f'<｜GCML｜tool_calls><｜GCML｜invoke name="get_weather">{_DSML.replace("DSML", "GCML")}</｜GCML｜invoke></｜GCML｜tool_calls>',
    "Sim.<|plamo:begin_tool_requests:plamo|><|plamo:begin_tool_request:plamo|><|plamo:begin_tool_name:plamo|>get_weather"
    f"<|plamo:end_tool_name:plamo|><|plamo:begin_tool_arguments:plamo|><|plamo:constrain|>json<|plamo:msg|>{_JSON}"
    "<|plamo:end_tool_arguments:plamo|><|plamo:end_tool_request:plamo|><|plamo:end_tool_requests:plamo|><|plamo:tag|>",
    "hm<|close|>think<|sep|><|open|>response<|sep|>Sim.<|close|>response<|sep|><|open|>tools<|sep|>"
    f'<|open|>call tool="get_weather" index="1"<|sep|>{_XTML}<|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>',
    _MINIMAX,
    f"<iquestcoder_tool_call>get_weather{_PAIRS}</iquestcoder_tool_call>",
    f'<dots_function_call>{_CALL}</dots_function_call>',
    f"<invoke>\n<tool_name>get_weather</tool_name>\n<parameters>\n{_TAGS}</parameters>\n</invoke>",
    f"<function_calls>\n<invoke>\n<tool_name>get_weather</tool_name>\n<parameters>\n{_TAGS}</parameters>\n</invoke>\n</function_calls>",
    f"<invoke><tool_name>get_weather</tool_name><parameters>{_JSON}</parameters></invoke>",
    f'<invoke name="get_weather"><parameters>{_JSON}</parameters></invoke>',
    f"<tool_use>\n<name>get_weather</name>\n<input>{_JSON}</input>\n</tool_use>",
    f"<tool_call>\n<name>get_weather</name>\n<arguments>\n{_TAGS}</arguments>\n</tool_call>",
    f'<tool_call name="get_weather">\n{_JSON}\n</tool_call>',
    f'<tool name="get_weather">\n{_TAGS}</tool>',
    f"<get_weather>\n{_TAGS}</get_weather>",
    f"<longcat_tool_call>get_weather\n{_KEYS}</longcat_tool_call>",
    f'<｜DSML｜tool_calls>\n<｜DSML｜invoke name="get_weather">\n{_DSML}</｜DSML｜invoke>\n</｜DSML｜tool_calls>',
    f'[get_weather(city="{_CITY}", days=3, opts=dict(unit="c", tags=["a", "b"]), ok=True)]',
    f'get_weather(city: "{_CITY}", days: 3, opts: {{unit: "c", tags: ["a", "b"]}}, ok: true)',
    f"get_weather(**{_JSON})",
    f"result = get_weather({_PYTHON})",
    f"```py\nresult = get_weather({_PYTHON})\nprint(result)\n```",
    f"Thought: x\n<code>\nresult = get_weather({_PYTHON})\n</code>",
    f"Call: get_weather({_PYTHON})<bot_end> \nThought: x",
    f"await functions.get_weather({_JSON});",
    f">>>all\nSure.>>>get_weather\n{_JSON}",
    f"<|recipient|>get_weather\n<|content|>{_JSON}<|stop|>",
    f"Action: get_weather\nAction Input: ```json\n{_JSON}\n```",
    f"Tool: get_weather\nArguments: {_JSON}",
    f'<scratch_pad>\nActions: [get_weather(city="x")]\n</scratch_pad>\n<tool_call>\n{_CALL}\n</tool_call>',
    json.dumps({"thoughts": {"text": "x"}, "command": {"name": "get_weather", "args": _ARGUMENTS}}),
    json.dumps({"choices": [{"message": {"tool_calls": [{"type": "function", "function": json.loads(_CALL)}]}}]}),
    json.dumps([{"type": "message", "content": "ok"}, {"type": "function_call", "name": "get_weather", "arguments": _JSON}]),
    json.dumps([{"type": "text", "text": "ok"}, {"type": "tool_use", "name": "get_weather", "input": _ARGUMENTS}]),
    json.dumps({"parts": [{"functionCall": {"name": "get_weather", "args": _ARGUMENTS}}]}),
    json.dumps({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "get_weather", "arguments": _ARGUMENTS}}),
    json.dumps(_CALL),
    json.dumps({"candidates": [{"content": {"role": "model", "parts": [{"functionCall": {"name": "get_weather", "args": _ARGUMENTS}}]}}]}),
    json.dumps({"output": {"message": {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "get_weather", "input": _ARGUMENTS}}]}}}),
    json.dumps({"parts": [{"text": "ok"}, {"function_call": {"name": "get_weather", "args": _ARGUMENTS}}], "role": "model"}),
    json.dumps([{"type": "tool-call", "toolCallId": "1", "toolName": "get_weather", "input": _ARGUMENTS}]),
    json.dumps({"action": "get_weather", "parameters": _ARGUMENTS}),
    json.dumps({"command": "get_weather", "args": _ARGUMENTS}),
    json.dumps({"tool_name": "get_weather", "tool_params": _ARGUMENTS}),
    f"tool: get_weather\narguments: {_JSON}",
    f"**get_weather({_PYTHON})**",
    f"→ get_weather({_PYTHON})",
    json.dumps({"plan": "x", "steps": [{"tool": "get_weather", "arguments": _ARGUMENTS}]}),
    f"<use_mcp_tool>\n<server_name>air</server_name>\n<tool_name>get_weather</tool_name>\n<arguments>\n{_JSON}\n</arguments>\n</use_mcp_tool>",
    f"**Tool**: `get_weather`\n**Arguments**:\n```json\n{_JSON}\n```",
    f"```tool_code\n# reserva\nprint(get_weather({_PYTHON}))\n# fim\n```",
    f"<code>\nfinal_answer(get_weather({_PYTHON}))\n</code>",
    f"<functioncall> {{\"name\": \"get_weather\", \"arguments\": '{_JSON}'}} <|endoftext|>",
]  # fmt: skip


@pytest.mark.parametrize("text", RIGHT)
def test_tool_call_when_written_in_another_notation_then_is_worth_one_and_spoilt_less(text):
    """A wrong name, key, text or number is seen in every notation."""
    row = Example("1", "default", [], _CALL)
    assert ToolCall()(row, Completion(text)).value == 1.0
    for right, wrong in (("get_weather", "get_wether"), ("days", "dias"), ("Oeste", "Leste"), ("3", "4")):
        assert ToolCall()(row, Completion(text.replace(right, wrong))).value < 1.0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[Market Trends API(country="us"), Get Price (v2)(id=1)]', ["Market Trends API", "Get Price (v2)"]),
        ("[math/add(a=1)]", ["math/add"]),
        ("[servidor:previsão(a=1)]", ["servidor:previsão"]),
        ("[北京(a=1)]", ["北京"]),
        ("[f(order-id=1)]", ["f"]),
        ("```py\na = f(x=1)\nprint(a)\nb = g(y=2)\nprint(b)\n```", ["f", "g"]),
        ('search\n{"q": 1}', ["search"]),
        ('get_a\n{"q": 1}<|assistant|>search\n{"q": 2}', ["get_a", "search"]),
        ("[veja o manual (aqui)] e [a nota (f = 2)]", []),
        ("```python\na = f(x=1)\nfor i in a:\n    g(y=i)\n```", []),
    ],
)
def test_read_calls_when_names_are_titles_or_calls_are_lines_of_a_program_then_each_is_read(text, names):
    """ToolACE's names have spaces, GLM 4 writes a name above its JSON, smolagents programs have several steps."""
    assert [call.name for call in read_calls(text).calls] == names


def test_read_calls_when_a_call_in_tags_has_no_arguments_then_its_name_is_enough():
    """Hunyuan's separator stands behind the name all the same."""
    for text in (
        "<tool_calls><tool_call>get_date<tool_sep>\n</tool_call></tool_calls>",
        "<iquestcoder_tool_call>get_date</iquestcoder_tool_call>",
    ):
        assert [(call.name, call.arguments) for call in read_calls(text).calls] == [("get_date", {})]


def test_tool_call_when_a_record_stands_below_a_word_then_it_is_no_call_unless_the_word_is_asked_for():
    """A heading of one word and GLM 4's name of one word look the same."""
    text = 'Resultado\n{"a": 1}'
    assert ToolCall()(Example("1", "default", [], "[]"), Completion(text)).value == 1.0
    asked = '{"name": "Resultado", "arguments": {"a": 1}}'
    assert ToolCall()(Example("1", "default", [], asked), Completion(text)).value == 1.0


def test_tool_call_when_the_reference_itself_has_titles_for_names_then_it_is_read():
    """ToolACE's references are in the notation of its answers."""
    row = Example("1", "default", [], '[Market Trends API(kind="X", country="us")]')
    assert ToolCall().problems(row) == []
    assert ToolCall()(row, Completion('[Market Trends API(country="us", kind="X")]')).value == 1.0
    assert 0 < ToolCall()(row, Completion('[Market Trends API(country="br", kind="X")]')).value < 0.7
    assert ToolCall()(row, Completion('[Market Trends(country="us", kind="X")]')).value == 0.0


def test_tool_call_when_quotes_stand_unescaped_in_a_python_text_then_is_read_with_repairs():
    """Each text ends where an argument can follow."""
    text = "[f(a='Santa Bárbara d'Oeste', b=\"diz \"oi\", e sai\", c=['x'])]"
    (call,) = read_calls(text).calls
    assert call.arguments == {"a": _CITY, "b": 'diz "oi", e sai', "c": ["x"]}
    assert call.repaired


@pytest.mark.parametrize(
    "text",
    [
        "x = f(a=1)", "```python\nx = f(a=1)\nprint(x)\n```", "<minha_lista>\n<item>1</item>\n</minha_lista>",
        '{"message": "olá", "parts": ["a"]}', "Tool: martelo\nUso: pregos", ">>> 1 + 1",
        '{"name": "Maria", "parameters": "n/a"}', '{"content": [{"name": "Ana"}]}', '{"steps": ["abrir", "fechar"]}',
        '{"action": "nenhuma"}', '{"method": "GET", "params": {"q": 1}}', '{"action": "nenhuma", "params": "n/a"}',
    ],
)  # fmt: skip
def test_tool_call_when_no_call_is_asked_then_programs_and_records_are_none(text):
    """An assignment, an element and an object with the keys of APIs call nothing that was not asked for."""
    assert ToolCall()(Example("1", "default", [], "[]"), Completion(text)).value == 1.0


@pytest.mark.parametrize(
    "unit",
    [
        "<a_b><c>",
        "<invoke><tool_name>f</tool_name><parameters><a>",
        "[f(a='b'c",
        ">>>f\n{",
        "f(a=dict(",
        "[A b ",
        "[A (b) ",
        '{"name": "f", "arguments": \'{"a',
        "nome\n{",
        "```py\nx = f(a=1)\n",
    ],
)
def test_read_calls_when_a_notation_opens_again_and_again_then_takes_linear_time(unit):
    """A tag without its end is looked for a few times only."""
    with at_most(1.0):
        read_calls(unit * (60_000 // len(unit)))


@pytest.mark.parametrize("name", ["print", "final_answer"])
def test_call_when_calls_stand_in_ten_thousand_others_then_it_is_none(name):
    """Each stood for one more frame of Python's, until there were none left."""
    assert not read_calls(f"{name}(" * 10_000 + "f(a=1)" + ")" * 10_000).calls
    assert [call.name for call in read_calls(f"{name}(" * 3 + "f(a=1)" + ")" * 3).calls] == ["f"]
