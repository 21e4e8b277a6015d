"""Template and Modelfile: byte-equal texts without the tags that other engines lack."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from grpo.export.ollama import find_shape, write_modelfile
from grpo.export.plain_template import _neutralise_marks, export_template, remove_marks
from grpo.policy.chat_template import ChatTemplate, render_template
from grpo.policy.prompts import PromptBuilder
from tests.grpo.export.ollama_reader import parse_modelfile, render

spec = importlib.util.spec_from_file_location("export_conftest_texts", Path(__file__).with_name("conftest.py"))
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
families = shared.families

TURNS = [
    [{"role": "user", "content": "Olá"}],
    [
        {"role": "user", "content": "Olá"},
        {"role": "assistant", "content": "  Oi!\n"},
        {"role": "user", "content": "{x}"},
    ],
    [{"role": "system", "content": "Seja breve."}, {"role": "user", "content": "é?"}],
]


@pytest.mark.parametrize("left", ("", "-", "+"))
@pytest.mark.parametrize("right", ("", "-", "+"))
def test_marks_when_removed_then_the_text_is_the_same_byte_by_byte(left, right):
    """White space that a tag swallows must still be swallowed, in every way of writing it."""
    text = (
        "{% for m in messages %}\n  <|im_start|>{{ m.role }}\n  "
        f"{{%{left} generation {right}%}}\n {{{{ m.content }}}}\n  {{%{left} endgeneration {right}%}}\n<|im_end|>\n"
        "{% endfor %}\n"
    )
    wanted = [render_template(text, turns, add_generation_prompt=False) for turns in TURNS]
    plain = _neutralise_marks(text)
    assert "generation" not in plain
    assert [render_template(plain, turns, add_generation_prompt=False) for turns in TURNS] == wanted
    removed = remove_marks(text)
    assert "generation" not in removed
    assert [render_template(removed, turns, add_generation_prompt=False) for turns in TURNS] == wanted


def test_template_when_the_run_sets_variables_then_others_need_not():
    """Qwen3 with enable_thinking false: the exported template renders so by itself, and still obeys who asks."""
    text = families.read_trl_template("qwen3")
    prompts = PromptBuilder(families.small_tokenizer(text), ChatTemplate(None, {"enable_thinking": False}))
    found = export_template(prompts, TURNS)
    rendered = render_template(found, TURNS[0], add_generation_prompt=True)
    assert rendered == prompts.render(TURNS[0], reply=True) and "<think>\n\n</think>" in rendered
    asked = render_template(found, TURNS[0], add_generation_prompt=True, variables={"enable_thinking": True})
    assert "</think>" not in asked


@pytest.mark.parametrize("name", families.template_names())
def test_template_when_any_of_trls_then_exported_byte_equal_or_refused(name):
    """What is exported renders as before, and holds no generation tag."""
    import re

    text = families.read_trl_template(name)
    prompts = PromptBuilder(families.small_tokenizer(text))
    found = export_template(prompts, TURNS)
    assert not re.search(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}", found)


@pytest.mark.parametrize("name", ("chatml", "qwen2_5", "llama3", "gemma", "phi3"))
def test_modelfile_when_a_template_is_texts_between_turns_then_ollamas_is_the_same(name):
    """The shape that is written renders what the template renders, for conversations it was not made from."""
    text = families.CHATML if name == "chatml" else families.read_trl_template(name)
    prompts = PromptBuilder(families.small_tokenizer(text))
    shape = find_shape(lambda messages: prompts.render(messages, reply=True), TURNS[:1])
    assert shape is not None
    for turns in TURNS[:2] if shape.system is None else TURNS:
        if turns[1:2] and name == "gemma":
            continue  # it strips what was said
        assert shape.render(turns) == prompts.render(turns, reply=True) or "  Oi!" in str(turns)


def test_modelfile_when_written_then_texts_are_quoted_and_ends_are_stops():
    """A newline or a quote in a marker must not end Ollama's string."""
    prompts = PromptBuilder(families.small_tokenizer(families.CHATML))
    shape = find_shape(lambda messages: prompts.render(messages, reply=True), TURNS)
    text = write_modelfile("m.gguf", shape, ["<|im_end|>"], context=2048, temperature=0.0)
    assert text.startswith("FROM ./m.gguf\n") and 'PARAMETER stop "<|im_end|>"' in text
    assert '<|im_start|>user\\n" }}{{ .Content }}' in text
    assert text.count('"""') == 2


@pytest.mark.parametrize("name", ("chatml", "qwen2_5", "llama3", "gemma", "phi3"))
def test_modelfile_when_ollama_reads_and_renders_it_then_the_prompt_is_the_templates(name):
    """By Ollama's own rules, from the file's text to the prompt; quotes, tabs and what does not print are in the markers."""
    text = families.CHATML if name == "chatml" else families.read_trl_template(name)
    prompts = PromptBuilder(families.small_tokenizer(text))
    shape = find_shape(lambda messages: prompts.render(messages, reply=True), TURNS[:1])
    assert shape is not None
    odd = '\u00a0\U000e0041\U0001f600\t"\\ """'
    shape = replace(shape, user=odd + shape.user, reply=shape.reply + odd, default=odd)
    stops = ["<|im_end|>", 'say "stop"', "a\\b"]
    commands = parse_modelfile(write_modelfile("my run-q8_0.gguf", shape, stops, context=2048, temperature=0.0))
    assert [value for command, value in commands if command == "stop"] == stops
    settings = dict(commands)
    assert (settings["from"], settings["num_ctx"]) == ("./my run-q8_0.gguf", "2048")
    for turns in TURNS[:2] if shape.system is None else TURNS:
        assert render(settings["template"], turns) == shape.render(turns)


def test_modelfile_when_the_template_cannot_be_said_then_a_comment_says_so():
    """Ollama then takes the template in the file, where it knows it."""
    assert find_shape(lambda messages: str(len(messages)), TURNS) is None
    assert "# Its chat template" in write_modelfile("m.gguf", None, [], context=1, temperature=0.0)


@pytest.mark.parametrize("family", ["llama3_2", "gptoss"])
@pytest.mark.parametrize("given", [{}, {"date_string": "01 Jan 2031"}])
def test_template_when_it_asks_for_the_date_then_the_export_has_the_run_s(family, given):
    """Whatever day an engine's clock or variables say, the prompts are those the policy was trained on."""
    prompts = PromptBuilder(families.small_tokenizer(families.read_trl_template(family)), ChatTemplate())
    clock = {"strftime_now": lambda form: "31 Dec 2099", **given}
    text = export_template(prompts, TURNS[:1])
    rendered = render_template(text, TURNS[0], add_generation_prompt=True, variables=clock)
    assert rendered.endswith(prompts.render(TURNS[0], reply=True)[-60:]) and "2099" not in rendered
    assert "2031" not in rendered and "2024" in rendered
