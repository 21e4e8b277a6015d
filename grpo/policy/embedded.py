"""The small policy made on the spot: the architecture of the real one, random weights, a tokenizer trained on the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from grpo.config.sections import EmbeddedSection
from grpo.policy.tokenizer import CHAT_TEMPLATE, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


def make_tokenizer(texts: Iterable[str], section: EmbeddedSection) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `section.vocabulary` tokens with a ChatML template; deterministic in `texts`."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(texts, section.vocabulary),
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_model(
    tokenizer: PreTrainedTokenizerFast, section: EmbeddedSection, *, context: int, seed: int
) -> PreTrainedModel:
    """A Qwen3 causal model with random weights drawn from `seed`."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=section.hidden_size,
        intermediate_size=section.intermediate_size,
        num_hidden_layers=section.layers,
        num_attention_heads=section.heads,
        num_key_value_heads=section.kv_heads,
        head_dim=section.hidden_size // section.heads,
        max_position_embeddings=context,
        initializer_range=section.initializer_range,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model
