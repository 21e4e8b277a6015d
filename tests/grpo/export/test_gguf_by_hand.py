"""A GGUF file read back field by field and number by number, and tokenizers whose vocabulary can be worked out by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")

from grpo.export import gguf_writer  # noqa: E402
from grpo.export.gguf_vocabulary import Vocabulary, read_vocabulary  # noqa: E402
from grpo.export.gguf_writer import TurnTokens, find_obstacle, write_gguf  # noqa: E402
from grpo.policy.gguf_file import PIECES  # noqa: E402
from rewards.errors import UserError  # noqa: E402

spec = importlib.util.spec_from_file_location("gguf_families", Path(__file__).parents[1] / "policy" / "families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

SHAPE = {
    "vocab_size": 7, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
}  # fmt: skip
TOKENS = TurnTokens(end=5, ends=(5, 6), padding=None, start=1, adds_start=True)
WORDS = Vocabulary("gpt2", "qwen2", [f"t{number}" for number in range(7)], [1, 3, 1, 1, 1, 3, 4], merges=["a b"])


def build(kind, **changes):
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**{**SHAPE, **changes})).eval()


def read(path):
    """The file's fields as plain values, and its tensors as float32 arrays by name."""
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {each.name: each for each in reader.tensors}


def write_and_read(model, tmp_path, vocabulary=WORDS, tokens=TOKENS, kind="f32"):
    path = tmp_path / "tiny.gguf"
    write_gguf(model, vocabulary, tokens, "{{ template }}", path, kind=kind, name="tiny")
    return read(path)


# -- fields -----------------------------------------------------------------------------------------------------------------


def test_fields_when_a_llama_is_written_then_each_is_that_of_its_config(tmp_path):
    """Shape, positions, norm, type of the file; and the tokens that start and end a turn."""
    model = build("llama", rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0})
    fields, _ = write_and_read(model, tmp_path)
    wanted = {
        "general.architecture": "llama", "general.type": "model", "general.name": "tiny", "general.file_type": 0,
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
        "llama.context_length": 64, "llama.embedding_length": 32, "llama.block_count": 1,
        "llama.feed_forward_length": 48, "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 8, "llama.attention.value_length": 8, "llama.rope.dimension_count": 8,
        "llama.vocab_size": 7, "llama.rope.freq_base": 5000.0, "llama.rope.scaling.type": "linear",
        "llama.rope.scaling.factor": 4.0,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": WORDS.tokens,
        "tokenizer.ggml.token_type": WORDS.types, "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.eos_token_id": 5,
        "tokenizer.ggml.eot_token_id": 6, "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{{ template }}",
    }  # fmt: skip
    assert fields.pop("llama.attention.layer_norm_rms_epsilon") == pytest.approx(1e-5)
    assert {name: value for name, value in fields.items() if not name.startswith("GGUF.")} == wanted


def test_fields_when_pieces_have_scores_then_they_and_the_space_are_said_and_no_merges(tmp_path):
    """The other kind of tokenizer; without a second end, a start or what is the config's default nothing is made up."""
    model = build("qwen2", rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    words = Vocabulary("llama", "default", WORDS.tokens, WORDS.types, None, [-float(n) for n in range(7)], True)
    fields, _ = write_and_read(model, tmp_path, words, TurnTokens(5, (5,), 0, None, False), "q8_0")
    assert fields["tokenizer.ggml.scores"] == [-0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0]
    assert fields["tokenizer.ggml.add_space_prefix"] is True and fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.ggml.padding_token_id"] == 0
    for name in ("merges", "eot_token_id", "bos_token_id"):
        assert f"tokenizer.ggml.{name}" not in fields
    assert fields["general.file_type"] == int(gguf.LlamaFileType.MOSTLY_Q8_0)
    assert "qwen2.rope.scaling.type" not in fields


@pytest.mark.parametrize(("window", "context"), [(16, 16), (None, 64), (128, 64)])
def test_fields_when_a_mistral_has_a_window_then_the_context_is_what_both_see(tmp_path, window, context):
    """llama.cpp knows no window of Mistral's: up to it both are the same."""
    fields, _ = write_and_read(build("mistral", sliding_window=window), tmp_path)
    assert fields["general.architecture"] == "llama" and fields["llama.context_length"] == context


def test_fields_when_a_gemma_has_windows_then_both_kinds_of_positions_are_said(tmp_path):
    """The window, the base of the sliding layers and of the global ones."""
    rope = {
        "full_attention": {"rope_type": "default", "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
    }
    model = build("gemma3_text", sliding_window=16, rope_parameters=rope, query_pre_attn_scalar=8)
    fields, tensors = write_and_read(model, tmp_path)
    assert fields["gemma3.attention.sliding_window"] == 16 and fields["gemma3.context_length"] == 64
    assert (fields["gemma3.rope.freq_base"], fields["gemma3.rope.freq_base_swa"]) == (1e6, 2e4)
    # transformers multiplies by 1 + weight, llama.cpp by the weight.
    with torch.no_grad():
        model.model.norm.weight.copy_(torch.linspace(-1, 1, 32))
        model.model.layers[0].self_attn.q_norm.weight.fill_(0.25)
    _, tensors = write_and_read(model, tmp_path)
    assert tensors["output_norm.weight"].data.tolist() == pytest.approx(torch.linspace(0, 2, 32).tolist())
    assert set(tensors["blk.0.attn_q_norm.weight"].data.tolist()) == {1.25}
    assert "output.weight" not in tensors  # tied: one matrix for both


# -- numbers ----------------------------------------------------------------------------------------------------------------


def test_tensors_when_llamas_heads_are_turned_then_their_rows_come_in_pairs(tmp_path):
    """transformers turns the first half of a head against the second, llama.cpp neighbours: 0 4 1 5 2 6 3 7 of each eight."""
    model = build("llama", tie_word_embeddings=False)
    attention = model.model.layers[0].self_attn
    with torch.no_grad():
        for projection, rows in ((attention.q_proj, 32), (attention.k_proj, 16), (attention.v_proj, 16)):
            projection.weight.copy_(torch.arange(rows).float()[:, None].expand(rows, 32))
    _, tensors = write_and_read(model, tmp_path)
    pairs = [0, 4, 1, 5, 2, 6, 3, 7]
    wanted = [8 * head + row for head in range(4) for row in pairs]
    assert tensors["blk.0.attn_q.weight"].data[:, 3].tolist() == wanted
    assert tensors["blk.0.attn_k.weight"].data[:, 3].tolist() == wanted[:16]
    assert tensors["blk.0.attn_v.weight"].data[:, 3].tolist() == list(range(16))
    assert set(tensors) == {
        "token_embd.weight", "output.weight", "output_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight",
        "blk.0.attn_v.weight", "blk.0.attn_output.weight", "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight",
        "blk.0.ffn_down.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight",
    }  # fmt: skip


def test_tensors_when_a_qwen_is_written_then_every_number_is_the_models(tmp_path):
    """Nothing is turned there; biases and tied ends as they are."""
    model = build("qwen2", tie_word_embeddings=True)
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.bias.normal_()
    _, tensors = write_and_read(model, tmp_path)
    state = model.state_dict()
    for name, target in (
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"),
        ("model.layers.0.self_attn.q_proj.bias", "blk.0.attn_q.bias"),
        ("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"),
        ("model.norm.weight", "output_norm.weight"),
    ):
        assert torch.equal(torch.tensor(tensors[target].data), state[name]), target
    assert "output.weight" not in tensors


@pytest.mark.parametrize(
    ("kind", "matrix", "narrow"),
    [("f32", "F32", "F32"), ("f16", "F16", "F16"), ("bf16", "BF16", "BF16"), ("q8_0", "Q8_0", "F16")],
)
def test_types_when_a_kind_is_asked_for_then_norms_and_biases_keep_float32(tmp_path, kind, matrix, narrow):
    """Rows that do not fill blocks of 32 stay in half precision, and what was rounded is near what was there."""
    model = build("qwen2")
    _, tensors = write_and_read(model, tmp_path, kind=kind)
    types = {name: each.tensor_type.name for name, each in tensors.items()}
    assert types["blk.0.attn_q.weight"] == matrix and types["token_embd.weight"] == matrix
    assert types["blk.0.ffn_down.weight"] == narrow  # 48 wide
    assert {types[name] for name in types if name.endswith(("norm.weight", "bias"))} == {"F32"}
    found = gguf.quants.dequantize(tensors["blk.0.attn_q.weight"].data, tensors["blk.0.attn_q.weight"].tensor_type)
    torch.testing.assert_close(
        torch.tensor(found), model.state_dict()["model.layers.0.self_attn.q_proj.weight"], atol=1e-3, rtol=1e-2
    )


def test_positions_when_llama_3_stretches_them_then_the_factors_are_transformers_own(tmp_path):
    """Of 16 frequencies some are left, some divided by 8, some in between."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }  # fmt: skip
    model = build("llama", head_dim=32, rope_parameters=rope)
    _, tensors = write_and_read(model, tmp_path)
    stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](model.config, torch.device("cpu"))
    plain = 1.0 / 10000.0 ** (torch.arange(0, 32, 2) / 32)
    factors = torch.tensor(tensors["rope_freqs.weight"].data)
    torch.testing.assert_close(factors, plain / stretched)
    assert factors[0] == 1.0 and factors[-1] == 8.0 and ((factors > 1.0) & (factors < 8.0)).any()


def test_tensor_when_the_architecture_has_none_of_that_name_then_it_is_refused(tmp_path):
    """Left out in silence it would be another model."""
    model = build("qwen2")
    model.model.register_parameter("extra", torch.nn.Parameter(torch.zeros(3)))
    with pytest.raises(UserError, match=r"the model has a tensor model\.extra, which the qwen2 architecture does not"):
        write_and_read(model, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layer_types": ["sliding_attention"] * 6}, "not every sixth"),
        ({"layer_types": ["full_attention"] + ["sliding_attention"] * 5}, "not every sixth"),
        ({"use_bidirectional_attention": True}, "both directions"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({}, None),
    ],
)
def test_obstacle_when_a_gemma_differs_from_llama_cpps_then_the_line_says_in_what(changes, said):
    """Six layers, of which the last is global, are what llama.cpp takes it to be."""
    from transformers import CONFIG_MAPPING

    settings = {**SHAPE, "num_hidden_layers": 6, "query_pre_attn_scalar": 8, **changes}
    found = find_obstacle(CONFIG_MAPPING["gemma3_text"](**settings))
    assert found is None if said is None else said in found


@pytest.mark.parametrize(("kind", "activation"), [("llama", "gelu"), ("qwen2", "relu")])
def test_obstacle_when_the_activation_is_another_then_the_line_names_it(kind, activation):
    """llama.cpp's is silu, whatever the config says."""
    from transformers import CONFIG_MAPPING

    assert f"its activation is {activation}" in find_obstacle(CONFIG_MAPPING[kind](**SHAPE, hidden_act=activation))
    assert find_obstacle(CONFIG_MAPPING[kind](**SHAPE)) is None


def test_file_when_writing_fails_then_it_is_closed(tmp_path, monkeypatch):
    """Whoever deletes the draft on Windows, or counts open files, finds none."""
    closed = []
    close = gguf.GGUFWriter.close
    monkeypatch.setattr(gguf.GGUFWriter, "close", lambda self: closed.append(1) or close(self))
    monkeypatch.setattr(gguf_writer, "_tensors", lambda model, config: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_gguf(build("qwen2"), WORDS, TOKENS, "", tmp_path / "x.gguf", kind="f32", name="x")
    assert closed


# -- vocabularies -----------------------------------------------------------------------------------------------------------


def tokenizer_of(described, added=(), is_fast=True):
    """A tokenizer by its own description: what `read_vocabulary` asks of one."""
    import json

    return SimpleNamespace(
        is_fast=is_fast, backend_tokenizer=SimpleNamespace(to_str=lambda: json.dumps(described)),
        added_tokens_decoder={
            number: SimpleNamespace(content=content, special=special) for number, content, special in added
        },
    )  # fmt: skip


def split(pattern, **changes):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False, **changes}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 4}, "merges": [["a", "b"]], "unk_token": "<unk>"}


def in_turn(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def test_vocabulary_when_merges_are_of_bytes_then_tokens_types_and_merges_are_said():
    """Markers, tokens a user may write, the unknown one, numbers that nothing has up to the rows of the model."""
    tokenizer = tokenizer_of(
        {"model": BPE, "pre_tokenizer": in_turn(split(PIECES["qwen2"][0]), BYTES)},
        [(3, "<|end|>", True), (5, "<tool>", False)],
    )
    found = read_vocabulary(tokenizer, 8)
    assert found == Vocabulary(
        "gpt2", "qwen2", ["a", "b", "ab", "<|end|>", "<unk>", "<tool>", "[PAD6]", "[PAD7]"], [1, 1, 1, 3, 2, 4, 5, 5],
        ["a b"],
    )  # fmt: skip
    assert read_vocabulary(tokenizer, 6).tokens[-1] == "<tool>"
    written = tokenizer_of(
        {"model": {**BPE, "merges": ["a b"]}, "pre_tokenizer": in_turn(split(PIECES["qwen2"][0]), BYTES)}
    )
    assert read_vocabulary(written, 5).merges == ["a b"]
    with pytest.raises(UserError, match="has a token number 5, the model only 5 embeddings"):
        read_vocabulary(tokenizer, 5)


@pytest.mark.parametrize(
    ("cut", "whole_first", "name"),
    [
        (in_turn(split(PIECES["qwen2"][0]), BYTES), False, "qwen2"),
        (in_turn(split(PIECES["llama3"][0]), BYTES), True, "llama-bpe"),
        (in_turn(split(PIECES["tekken"][0]), BYTES), True, "tekken"),
        (in_turn({"type": "Digits", "individual_digits": True}, {**BYTES, "use_regex": True}), False, "smollm"),
        ({"type": "ByteLevel", "add_prefix_space": False}, False, "gpt-2"),
        ({"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, True, "gpt-2"),
    ],
)
def test_cut_when_llama_cpp_has_it_then_its_name_is_the_one_that_merges_alike(cut, whole_first, name):
    """By patterns in turn, by digits, by bytes with the pattern of GPT-2."""
    model = {**BPE, "ignore_merges": whole_first}
    assert read_vocabulary(tokenizer_of({"model": model, "pre_tokenizer": cut}), 5).pre == name


@pytest.mark.parametrize(
    "cut",
    [
        None,
        in_turn(split(PIECES["qwen2"][0])),  # no bytes at the end
        in_turn(split(PIECES["qwen2"][0], behavior="Removed"), BYTES),
        in_turn(split(PIECES["qwen2"][0], invert=True), BYTES),
        in_turn({"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated", "invert": False}, BYTES),
        in_turn({"type": "Digits", "individual_digits": False}, {**BYTES, "use_regex": True}),
        in_turn(split(PIECES["qwen2"][0]), {**BYTES, "add_prefix_space": True}),
        in_turn(split(PIECES["qwen2"][0]), {"type": "Whitespace"}),
        in_turn({"type": "Punctuation", "behavior": "Isolated"}, BYTES),
        in_turn(split(PIECES["qwen2"][0]), {**BYTES, "use_regex": True}),  # cut twice
        in_turn(split(r"\w+"), BYTES),
        BYTES,  # not cut at all
    ],
    ids=str,
)
def test_cut_when_llama_cpp_has_none_like_it_then_it_is_refused(cut):
    """It would cut texts otherwise, and answer worse, in silence."""
    with pytest.raises(UserError, match=r"llama\.cpp has no tokenizer for this model"):
        read_vocabulary(tokenizer_of({"model": BPE, "pre_tokenizer": cut}), 5)


def test_vocabulary_when_it_is_no_bpe_of_the_library_then_it_is_refused():
    """A slow one, and one of another model."""
    with pytest.raises(UserError, match="it is not one of the library tokenizers"):
        read_vocabulary(tokenizer_of({"model": BPE}, is_fast=False), 5)
    with pytest.raises(UserError, match="its model is Unigram"):
        read_vocabulary(tokenizer_of({"model": {"type": "Unigram"}}), 5)


@pytest.mark.parametrize(
    ("described", "has_space"),
    [
        ({}, False),
        ({"normalizer": {"type": "Prepend", "prepend": "_"}}, True),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend"}]}}, True),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}}, True),
        ({"pre_tokenizer": in_turn({"type": "Metaspace", "prepend_scheme": "always"})}, True),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "never"}}, False),
    ],
    ids=str,
)
def test_vocabulary_when_pieces_are_merged_then_scores_are_the_rank_of_the_first_merge_that_makes_them(
    described, has_space
):
    """Merged sooner is higher; what no merge makes comes last; single bytes are said to be that."""
    odd = ["<0x0A", "x0A>>>", "<0x0A)", "<0x0AB>"]
    vocab = {token: place for place, token in enumerate(["a", "b", "ab", "<0x0A>", "<unk>", "abb", *odd])}
    merges = [["a", "b"], ["ab", "b"], ["a", "bb"]]
    for written in (merges, [" ".join(pair) for pair in merges]):
        model = {"type": "BPE", "vocab": vocab, "merges": written, "byte_fallback": True, "unk_token": "<unk>"}
        found = read_vocabulary(tokenizer_of({"model": model, **described}, [(10, "<0x0B>", True)]), 11)
        assert (found.kind, found.pre, found.merges, found.space_prefix) == ("llama", "default", None, has_space)
        assert found.scores == [-3.0, -3.0, -0.0, -3.0, -3.0, -1.0, *[-3.0] * 5]
        assert found.types == [1, 1, 1, 6, 2, 1, 1, 1, 1, 1, 3]
