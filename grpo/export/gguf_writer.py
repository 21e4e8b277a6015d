"""A plain model as a GGUF file, written tensor by tensor: Qwen2, Qwen3, Llama (SmolLM2), Mistral and Gemma 3."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from grpo.export.gguf_vocabulary import Vocabulary

FAMILIES = {"qwen2": "qwen2", "qwen3": "qwen3", "llama": "llama", "mistral": "llama", "gemma3_text": "gemma3"}
"""transformers' model_type, and the architecture of the file."""
TYPES = ("f32", "f16", "bf16", "q8_0")
LLAMA_CPP = "b11549"
"""The release of llama.cpp that these files, and the lines for others, were tried with."""
_GEMMA_PATTERN = 6  # llama.cpp takes every sixth layer of a Gemma 3 for a global one


@dataclass(frozen=True, slots=True)
class TurnTokens:
    """What the file says of the conversation: the token that ends an answer, further ends, padding and the start."""

    end: int
    ends: tuple[int, ...]
    padding: int | None
    start: int | None
    adds_start: bool


def find_obstacle(config: Any) -> str | None:
    """Why this model cannot be written as GGUF here; None where it can. `config` is transformers' of the model."""
    whole, config = config, config.get_text_config()
    kind = config.model_type
    if kind in FAMILIES and whole.model_type != kind:
        return f"its texts are a part of {whole.model_type}, which is not written here"
    if kind not in FAMILIES:
        return f"model_type {kind} is not written here (written are {', '.join(FAMILIES)})"
    rope = _rope(config)
    if rope.get("rope_type", "default") not in ("default", "linear", "llama3"):
        return f"its rotary positions are scaled by {rope.get('rope_type')}, which is not written here"
    if rope.get("rope_type") == "llama3" and FAMILIES[kind] != "llama":
        return f"its rotary positions are scaled as Llama 3's, which llama.cpp does not do for {kind}"
    if (rope.get("partial_rotary_factor") or 1.0) != 1.0:
        return "only a part of each head is turned by its position, which is not written here"
    if FAMILIES[kind] in ("qwen3", "gemma3") and getattr(config, "attention_bias", False):
        return f"its attention has biases, which llama.cpp's {kind} has not"
    if kind == "gemma3_text":
        return _find_gemma_obstacle(config)
    if kind.startswith("qwen") and getattr(config, "use_sliding_window", False):
        return "it attends within a sliding window, which llama.cpp does not do for Qwen"
    if getattr(config, "hidden_act", "silu") != "silu":
        return f"its activation is {config.hidden_act}, and llama.cpp's is silu"
    return None


def conversion_line(folder: Path, kind: str) -> str:
    """The command of llama.cpp's own converter, for what is not written here."""
    return (
        f"git clone --depth 1 --branch {LLAMA_CPP} https://github.com/ggml-org/llama.cpp && "
        f"python llama.cpp/convert_hf_to_gguf.py {folder} --outtype {kind} --outfile {folder / f'model-{kind}.gguf'}"
    )


def require_gguf() -> None:
    """UserError where the package that writes the format is not installed."""
    if find_spec("gguf") is None:
        raise UserError("--format gguf: needs the package gguf; pip install 'gguf>=0.17,<1'")


def write_gguf(
    model: Any, vocabulary: Vocabulary, tokens: TurnTokens, template: str, path: Path, *, kind: str, name: str
) -> None:
    """Write the model to `path` with weights of `kind` (one of TYPES); at most two tensors are in memory beside it."""
    import gguf

    config = model.config.get_text_config()
    writer = gguf.GGUFWriter(path, FAMILIES[config.model_type])
    try:
        _write_shape(writer, config, name, kind)
        _write_tokens(writer, vocabulary, tokens, template)
        wanted = gguf.GGMLQuantizationType[kind.upper()]
        plan = []
        for target, make in _tensors(model, config):
            shape = make(True)
            type_ = _choose_type(shape, wanted)
            bytes_shape = gguf.quant_shape_to_byte_shape(shape, type_) if type_ not in _plain_types() else shape
            size = math.prod(shape) * gguf.GGML_QUANT_SIZES[type_][1] // gguf.GGML_QUANT_SIZES[type_][0]
            dtype = _numpy_type(type_)
            writer.add_tensor_info(target, bytes_shape, dtype, size, raw_dtype=type_)
            plan.append((make, type_))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for make, type_ in plan:
            writer.write_tensor_data(gguf.quants.quantize(make(False), type_))
    finally:
        writer.close()


def _plain_types() -> tuple[Any, ...]:
    import gguf

    return gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16


def _numpy_type(type_: Any) -> np.dtype[Any]:
    import gguf
    import numpy as np

    plain = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
    return np.dtype(plain.get(type_, np.uint8))


def _choose_type(shape: tuple[int, ...], wanted: Any) -> Any:
    """Norms and biases stay float32; rows that do not fill blocks of 32 stay float16."""
    import gguf

    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    if shape[-1] % gguf.GGML_QUANT_SIZES[wanted][0]:
        return gguf.GGMLQuantizationType.F16
    return wanted


def _write_shape(writer: Any, config: Any, name: str, kind: str) -> None:
    import gguf

    heads, head_dim = config.num_attention_heads, _head_dim(config)
    rope = _rope(config)
    window = getattr(config, "sliding_window", None)
    context = config.max_position_embeddings
    if config.model_type == "mistral" and window:
        context = min(context, window)  # llama.cpp knows no window of Mistral's: up to it both are the same
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or 10_000.0))
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if config.model_type == "gemma3_text" and window:
        writer.add_sliding_window(window)
        writer.add_rope_freq_base_swa(float(_rope(config, "sliding_attention").get("rope_theta") or 10_000.0))
    file_types = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_file_type(gguf.LlamaFileType[file_types[kind]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_tokens(writer: Any, vocabulary: Vocabulary, tokens: TurnTokens, template: str) -> None:
    writer.add_tokenizer_model(vocabulary.kind)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges is not None:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(vocabulary.space_prefix)
    writer.add_eos_token_id(tokens.end)
    others = [token for token in tokens.ends if token != tokens.end]
    if others:
        writer.add_eot_token_id(others[0])
    if tokens.padding is not None:
        writer.add_pad_token_id(tokens.padding)
    if tokens.start is not None:
        writer.add_bos_token_id(tokens.start)
    writer.add_add_bos_token(tokens.adds_start)
    writer.add_chat_template(template)


def _tensors(model: Any, config: Any) -> Iterator[tuple[str, Any]]:
    """The file's tensors: name, and a function from whether only the shape is wanted to it or the float32 array."""
    import gguf

    family = FAMILIES[config.model_type]
    architecture = next(arch for arch, label in gguf.MODEL_ARCH_NAMES.items() if label == family)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    if family == "llama" and _rope(config).get("rope_type") == "llama3":
        yield "rope_freqs.weight", _make(_llama3_factors(config))
    tied = getattr(config, "tie_word_embeddings", False)
    for name, weight in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise UserError(f"gguf: the model has a tensor {name}, which the {family} architecture does not")
        yield target, _make(weight, _change(name, config))


def _make(weight: Any, change: Any = None) -> Any:
    def make(only_shape: bool) -> Any:
        if only_shape:
            return tuple(weight.shape)
        array = weight.detach().float().cpu().numpy()
        return array if change is None else change(array)

    return make


def _change(name: str, config: Any) -> Any:
    """What llama.cpp has otherwise than transformers: rotary halves interleaved in Llama, norms of Gemma around 1."""
    part = name.rpartition(".")[0].rpartition(".")[2]
    if config.model_type in ("llama", "mistral") and part in ("q_proj", "k_proj"):
        heads = config.num_attention_heads if part == "q_proj" else config.num_key_value_heads
        return lambda array: _interleave(array, heads)
    if config.model_type == "gemma3_text" and part.endswith("norm"):
        return lambda array: array + 1.0
    return None


def _interleave(array: Any, heads: int) -> Any:
    """Rows of each head from (first half, second half) to pairs."""
    shape = array.shape
    return array.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def _llama3_factors(config: Any) -> Any:
    """By how much Llama 3.1 stretches each frequency (transformers, modeling_rope_utils)."""
    import torch

    rope, dim = _rope(config), _head_dim(config)
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for step in range(0, dim, 2):
        length = 2 * math.pi * rope["rope_theta"] ** (step / dim)
        smooth = min(1.0, max(0.0, (old / length - low) / (high - low)))
        factors.append(1.0 / ((1.0 - smooth) / rope["factor"] + smooth))
    return torch.tensor(factors)


def _head_dim(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _rope(config: Any, layers: str = "full_attention") -> dict[str, Any]:
    """The rotary settings, of one kind of layers where a model has several."""
    found = getattr(config, "rope_parameters", None) or {}
    found = found.get(layers, found)
    return dict(found) if found else {"rope_theta": getattr(config, "rope_theta", 10_000.0)}


def _find_gemma_obstacle(config: Any) -> str | None:
    layers = config.layer_types
    wanted = ["full_attention" if (n + 1) % _GEMMA_PATTERN == 0 else "sliding_attention" for n in range(len(layers))]
    if list(layers) != wanted:
        return "its global layers are not every sixth, as llama.cpp takes them to be"
    if config.query_pre_attn_scalar != _head_dim(config):
        return f"it scales attention by {config.query_pre_attn_scalar}, and llama.cpp by the width of a head"
    if _rope(config, "sliding_attention").get("rope_type", "default") != "default":
        return "the positions of its sliding layers are scaled, which llama.cpp does for the global ones alone"
    if config.hidden_activation != "gelu_pytorch_tanh":
        return f"its activation is {config.hidden_activation}, and llama.cpp's is gelu_pytorch_tanh"
    if getattr(config, "use_bidirectional_attention", False):
        return "it attends in both directions"
    for key in ("final_logit_softcapping", "attn_logit_softcapping"):
        if getattr(config, key, None):
            return f"it has {key}, which llama.cpp's Gemma 3 does not have"
    return None
