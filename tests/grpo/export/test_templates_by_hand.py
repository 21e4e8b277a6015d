"""Templates without their marks, with the run's settings in them, and as Ollama says them: worked out text by text."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import pytest

pytest.importorskip("transformers")

from grpo.export import plain_template
from grpo.export.ollama import TurnShape, find_shape, write_modelfile
from grpo.export.plain_template import TemplateFailed, export_template, remove_marks
from grpo.policy.chat_template import render_template

AROUND = ("", "x", " ", "\n", "x ", "x\n", "x\n  ", "\n\n\t ", " \n x")
MARKS = ("{%% %s %%}", "{%%- %s -%%}", "{%%+ %s +%%}", "{%%- %s %%}", "{%% %s -%%}", "{%%+ %s %%}", "{%% %s +%%}")


@pytest.mark.parametrize(("opens", "closes"), itertools.product(MARKS[:3], MARKS))
def test_marks_when_removed_then_the_white_space_they_swallow_goes_with_them(opens, closes):
    """Every way of writing both tags, between texts that begin and end with spaces and lines."""
    for before, inside, after in itertools.product(AROUND, ("", "y", " ", "\n", "\n  ", " \n y \n"), AROUND[:6]):
        text = before + opens % "generation" + inside + closes % "endgeneration" + after + "."
        assert render_template(remove_marks(text), [], add_generation_prompt=False) == render_template(
            text, [], add_generation_prompt=False
        ), text


def prompts_of(text, variables=None, tokens=None):
    """A prompt builder over this template."""
    settings = {"bos_token": "", "eos_token": "", "pad_token": ""} | (tokens or {}) | (variables or {})

    def render(messages, reply):
        return render_template(text, messages, add_generation_prompt=reply, variables=settings)

    return SimpleNamespace(
        template_text=text, template=SimpleNamespace(variables=variables or {}), render=render,
        tokenizer=SimpleNamespace(**{"bos_token": None, "eos_token": None, "pad_token": None} | (tokens or {})),
    )  # fmt: skip


TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
BODY = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}>{% endif %}"


@pytest.mark.parametrize("value", [True, False, None, 3, 0.5, 'text with "quotes" \\ and é', [1, "a"], {"k": [True]}])
def test_settings_when_the_template_reads_them_then_they_stand_in_it_and_others_may_be_given(value):
    """As the run had them; what the template does not read is left out."""
    said = "{{ setting | tojson }}" + BODY
    found = export_template(prompts_of(said, {"setting": value, "unread": 1}), [TALK])
    assert "unread" not in found and found.endswith(BODY)
    text = render_template(found, TALK, add_generation_prompt=True)
    assert text.endswith("user:a;assistant:b;>")
    assert json.loads(text.removesuffix("user:a;assistant:b;>").encode().decode()) == value
    other = render_template(found, TALK, add_generation_prompt=False, variables={"setting": "mine"})
    assert other == '"mine"user:a;assistant:b;'


def render_elsewhere(template, **variables):
    """The text that another engine renders on another day."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message):
        raise ValueError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals |= {"strftime_now": lambda form: "ANOTHER DAY", "raise_exception": refuse}
    settings = {"messages": TALK, "bos_token": "", "eos_token": "", "pad_token": "", "add_generation_prompt": False}
    return environment.from_string(template).render(**settings | variables)


LLAMA = """{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
Today: {{ date_string }}
"""
DIRECT = "Today: {{ strftime_now('%Y-%m-%d') }} {{ strftime_now( \"%B\" ) }}\n"


@pytest.mark.parametrize("head", [LLAMA, DIRECT], ids=["a variable first", "the clock alone"])
def test_date_when_a_template_would_ask_the_clock_then_the_runs_stands_in_it(head):
    """Whatever the day is where it is rendered, and whoever says so."""
    prompts = prompts_of(head + BODY)
    found = export_template(prompts, [TALK])
    text = render_elsewhere(found)
    assert "ANOTHER DAY" in render_elsewhere(head + BODY) and "ANOTHER DAY" not in text
    assert text == prompts.render(TALK, reply=False)
    assert render_elsewhere(found, date_string="1 Jan") == text
    own = export_template(prompts_of(head + BODY, {"date_string": "mine"}), [TALK])
    assert ("mine" in render_elsewhere(own)) == (head == LLAMA)


@pytest.mark.parametrize("name", ["llama3_1", "llama3_2", "gptoss", "muse_glimmer"])
def test_date_when_an_authors_template_writes_it_then_every_engine_writes_the_runs(name):
    """Those of TRL's wheel that ask the clock or look for a date."""
    pytest.importorskip("trl")
    from tests.grpo.policy.families import read_trl_template

    prompts = prompts_of(read_trl_template(name))
    assert render_elsewhere(export_template(prompts, [TALK])) == prompts.render(TALK, reply=False)


def test_date_when_nobody_writes_one_then_the_template_is_left_alone():
    """One that reads a date and asks no clock has its own rule for it."""
    for text in ("{{ date_string }}" + BODY, BODY):
        assert export_template(prompts_of(text), [TALK]) == text


def test_template_when_it_cannot_be_written_so_that_it_renders_the_same_then_it_is_refused(monkeypatch):
    """With the number of the conversation; tokens of the tokenizer are given as the run gives them."""
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    text = "{{ bos_token }}" + BODY + "{{ eos_token }}{{ pad_token }}"
    assert export_template(prompts_of(text, tokens=tokens), [TALK]) == text
    odd = prompts_of(text)
    odd.render = lambda messages, reply: "other" if messages[0]["content"] == "z" else render_template(
        text, messages, add_generation_prompt=reply, variables={"bos_token": "", "eos_token": "", "pad_token": ""}
    )  # fmt: skip
    other = [{"role": "user", "content": "z"}]
    with pytest.raises(TemplateFailed, match="conversation 1 is rendered otherwise"):
        export_template(odd, [TALK, other])
    assert export_template(odd, [TALK]) == text
    refuses = prompts_of(text)
    refuses.render = lambda messages, reply: 1 / 0
    assert export_template(refuses, [TALK]) == text  # what the run's refuses, this one may refuse
    answers = prompts_of("{{ raise_exception('no') }}")
    answers.render = lambda messages, reply: "text"
    with pytest.raises(TemplateFailed, match="conversation 0"):
        export_template(answers, [TALK])
    # Where the tags cannot be taken out, they are turned into ones that every engine knows.
    marked = "{% generation %}" + BODY + "{% endgeneration %}"
    monkeypatch.setattr(plain_template, "remove_marks", lambda text: "broken")
    assert export_template(prompts_of(marked), [TALK]) == "{% if true %}" + BODY + "{% endif %}"


# -- Ollama -----------------------------------------------------------------------------------------------------------------

SHAPE = TurnShape(("1S", "S2"), "D3", "U4", "M5", "L6", "R7")


def turns(*said):
    """Messages by the first letter of their role."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[each[0]], "content": each[1:]} for each in said]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (("uq",), "D3U4qL6"),
        (("uq", "aa", "up"), "D3U4qM5aR7U4pL6"),
        (("sx", "uq"), "1SxS2U4qL6"),
        (("sx", "uq", "aa", "up", "ab", "ur"), "1SxS2U4qM5aR7U4pM5bR7U4rL6"),
    ],
)
def test_shape_when_it_renders_then_each_text_stands_where_it_belongs(said, text):
    """The last question ends otherwise than one that was answered."""
    assert SHAPE.render(turns(*said)) == text
    assert find_shape(SHAPE.render, [turns("uq", "aa", "up")]) == SHAPE


def test_shape_when_there_is_no_system_turn_then_none_is_offered():
    """The template refuses it, or drops it."""
    plain = TurnShape(None, "D3", "U4", "M5", "L6", "R7")

    def refuse(messages):
        if messages[0]["role"] == "system":
            raise ValueError
        return plain.render(messages)

    assert find_shape(refuse, []) == plain
    assert find_shape(lambda m: plain.render([each for each in m if each["role"] != "system"]), []) == plain
    assert "System" not in plain.write() and plain.write().startswith('{{ "D3" }}{{ range')
    assert "{{ if .System }}" in SHAPE.write() and '{{ else }}{{ "D3" }}{{ end }}' in SHAPE.write()


def test_shape_when_the_start_token_is_the_runtimes_then_it_is_taken_off():
    """Only at the beginning."""
    assert find_shape(lambda m: "<s>" + SHAPE.render(m), [], start="<s>") == SHAPE
    assert find_shape(lambda m: "<s>" + SHAPE.render(m), []).default == "<s>D3"


@pytest.mark.parametrize(
    "render",
    [
        lambda m: f"{len(m)}" + SHAPE.render(m),  # begins otherwise when there was an answer
        lambda m: SHAPE.render(m) + ("!" if len(m) > 1 else ""),  # ends otherwise
        lambda m: SHAPE.render(m) + m[-1]["content"],  # says a question twice
        lambda m: SHAPE.render(
            [{**each, "content": each["content"].strip("\x01")} for each in m]
        ),  # rewrites what is said
        lambda m: SHAPE.render(m[::-1]),
        lambda m: 1 / 0,
    ],
)
def test_shape_when_a_template_is_more_than_texts_between_turns_then_there_is_none(render):
    """A wrong template in a Modelfile would be used in silence."""
    assert find_shape(render, []) is None


def test_shape_when_one_of_the_runs_own_conversations_is_rendered_otherwise_then_there_is_none():
    """Three answers are numbered where two are not; a conversation that is refused is none that can be said."""

    def numbered(messages):
        return SHAPE.render(messages) + ("3" if len(messages) > 4 else "")

    long = turns("ua", "ab", "uc", "ad", "ue")
    assert find_shape(numbered, []) == SHAPE and find_shape(numbered, [long]) is None
    assert find_shape(SHAPE.render, [[]]) is None


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("", ""), ("a", '{{ "a" }}'), ('"\\', '{{ "\\"\\\\" }}'), ("\n\t\r", '{{ "\\n\\t\\r" }}'),
     ("\x01\u00a0\U000e0041é", '{{ "\\u0001\\u00a0\\U000e0041é" }}')],
)  # fmt: skip
def test_text_when_it_is_quoted_for_go_then_what_does_not_print_is_escaped(text, quoted):
    """Ollama's reader drops it elsewhere."""
    from grpo.export.ollama import _quote

    assert _quote(text) == quoted


def test_modelfile_when_it_is_written_then_stops_that_cannot_be_said_are_left_out():
    """White space and what does not print."""
    text = write_modelfile("m.gguf", None, ["<end>", "  ", "", "\n", "a\x01"], context=512, temperature=0.25)
    assert text.splitlines()[2:] == ['PARAMETER stop "<end>"', "PARAMETER temperature 0.25", "PARAMETER num_ctx 512"]
    assert text.startswith("FROM ./m.gguf\n#") and text.endswith("512\n")
