"""Tokens without a model: the tokenizer of the embedded policy, the template, the counters."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.config.loading import configs_folder
from grpo.config.sections import ModelSection
from grpo.policy.tokenizer import (
    MARKERS,
    EstimatedCounter,
    TokenizerCounter,
    find_token_counter,
    render_chat,
    train_tokenizer,
    training_texts,
)
from rewards.types import Example

TEXTS = [
    f'{{"customer": "{name}", "product": "{product}", "price": {price}.5, "delivery_days": null}}'
    for name in ("Ana", "João", "Conceição")
    for product in ("cafeteira", "fone", "ventilador")
    for price in range(20)
] + [
    f"A {product} chegou em {days} dias, nota {days % 5},5." for product in ("cafeteira", "mesa") for days in range(30)
]

CHAT = [{"role": "system", "content": "extração"}, {"role": "user", "content": "Olá"}]


@pytest.fixture(scope="module")
def tokenizer():
    """A tokenizer of the texts above."""
    return train_tokenizer(TEXTS, 512)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_text_when_encoded_and_decoded_then_is_the_same(tokenizer, text):
    """Bytes are the alphabet, so nothing is lost, in whatever script."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_tokenizer_when_trained_in_other_processes_then_is_the_same(tokenizer):
    """No hash seed and no thread order reaches the vocabulary."""
    code = (
        "import sys, json, hashlib\nfrom grpo.policy.tokenizer import train_tokenizer\n"
        "print(hashlib.sha256(train_tokenizer(json.load(sys.stdin), 512).to_str().encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            check=True,
            cwd=configs_folder().parent,
            env={"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": seed},
        ).stdout
        for seed in ("1", "4")
    }
    assert len(digests) == 1


def test_markers_when_encoded_then_are_one_token_each(tokenizer):
    """Role markers are single tokens, wherever they stand."""
    for marker in MARKERS:
        assert len(tokenizer.encode(marker).ids) == 1
        assert marker in tokenizer.encode(f"a{marker}b").tokens
    assert tokenizer.encode("<|im_start|>assistant\n").tokens[:2] == ["<|im_start|>", "assistant"]


def test_numbers_when_encoded_then_fall_into_pairs_of_digits(tokenizer):
    """A number is copied by copying one or two tokens, the same ones wherever it stands."""
    tokens = tokenizer.encode("1234,56 2026").tokens
    assert all(sum(character.isdigit() for character in token) <= 2 for token in tokens)
    assert all(token.isdigit() for token in tokens if any(character.isdigit() for character in token))


def test_json_keys_when_common_then_are_one_token(tokenizer):
    """A key with its punctuation costs one token: an object costs its values and little more."""
    tokens = tokenizer.encode(TEXTS[0]).tokens
    assert '",Ġ"product":Ġ"' in tokens
    assert len(tokens) < 25


def test_vocabulary_when_asked_for_then_is_not_exceeded(tokenizer):
    """At most this many tokens, fewer where the texts have no more."""
    assert tokenizer.get_vocab_size() <= 512
    assert 259 <= train_tokenizer(["a"], 320).get_vocab_size() <= 320


def test_chat_when_rendered_then_is_chatml():
    """Prompt and whole conversation, the assistant's end marker included."""
    prompt = render_chat(CHAT)
    assert prompt == "<|im_start|>system\nextração<|im_end|>\n<|im_start|>user\nOlá<|im_end|>\n<|im_start|>assistant\n"
    whole = render_chat([*CHAT, {"role": "assistant", "content": "{}"}], add_generation_prompt=False)
    assert whole == prompt + "{}<|im_end|>\n"


def test_template_when_rendered_by_transformers_then_is_the_same_text(tokenizer):
    """The dry run counts what training will see, and the mask covers the answer and its end marker."""
    transformers = pytest.importorskip("transformers")
    from grpo.policy.tokenizer import CHAT_TEMPLATE

    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|pad|>", chat_template=CHAT_TEMPLATE
    )
    assert fast.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False) == render_chat(CHAT)
    whole = fast.apply_chat_template(
        [*CHAT, {"role": "assistant", "content": "sim"}], return_dict=True, return_assistant_tokens_mask=True
    )
    taught = [token for token, mask in zip(whole["input_ids"], whole["assistant_masks"], strict=True) if mask]
    assert fast.decode(taught) == "sim<|im_end|>"
    counter = TokenizerCounter(tokenizer, "ours")
    prompt = fast.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert counter.count_prompts([CHAT]) == [len(prompt)]


def test_counter_when_there_is_no_tokenizer_then_estimates_and_says_so(monkeypatch, tmp_path):
    """3.2 characters a token, five tokens a message and three for the assistant's header."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    counter = find_token_counter(ModelSection(), [])
    assert isinstance(counter, EstimatedCounter)
    assert not counter.exact
    assert counter.count_texts(["x" * 32]) == [10]
    assert counter.count_prompts([[{"role": "user", "content": "x" * 32}]]) == [18]


def test_counter_when_the_model_is_local_then_uses_its_tokenizer_and_template(tokenizer, tmp_path):
    """A folder with tokenizer.json is counted exactly, by its own template."""
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}", encoding="utf-8"
    )
    counter = find_token_counter(ModelSection(name=str(tmp_path)), [])
    assert counter.exact
    assert counter.count_prompts([CHAT]) == counter.count_texts(["extraçãoOlá"])


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('no system turn') }}", "{% broken", "{{ messages[9].content.x }}"]
)
def test_counter_when_the_template_fails_then_counts_chatml(tokenizer, tmp_path, template):
    """A template that needs more than this one keeps the plan alive."""
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
    counter = find_token_counter(ModelSection(name=str(tmp_path)), [])
    assert counter.count_prompts([CHAT]) == counter.count_texts([render_chat(CHAT)])


def test_counter_when_the_tokenizer_file_is_broken_then_estimates(tmp_path):
    """Whether a model loads is for preflight to say."""
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    assert not find_token_counter(ModelSection(name=str(tmp_path)), []).exact


def test_texts_when_gathered_then_are_what_is_said_and_what_is_answered():
    """Prompts and references in order, rows without a reference included."""
    rows = [Example("1", "t", CHAT, "{}", {}), Example("2", "t", CHAT[1:], None, {})]
    assert training_texts(rows) == ["extração", "Olá", "{}", "Olá"]
