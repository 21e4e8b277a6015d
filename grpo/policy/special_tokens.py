"""Which tokens end an answer, and which one pads: tokenizer, config and generation_config brought to one answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from grpo.policy.chat_reasoning import ASKED
from grpo.policy.chat_template import ChatTemplate
from grpo.policy.prompts import PromptBuilder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def reconcile(model: Any, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate | None = None) -> list[int]:
    """Make model and tokenizer agree on ends and padding; every token that ends an answer, in ascending order.

    An end is what any of them names, and what the chat template writes after an assistant's text. A token that the
    template opens a turn with, and does not end one with, is not an end, whoever names it (a tokenizer read from a GGUF
    file takes `<|im_start|>` for one). Where several remain, the tokenizer's `eos_token` stays if it is one of them,
    else it becomes the template's.
    """
    named = [
        *_as_list(tokenizer.eos_token_id),
        *_as_list(getattr(model.generation_config, "eos_token_id", None)),
        *_as_list(getattr(model.config.get_text_config(), "eos_token_id", None)),
    ]
    written, opening = find_markers(tokenizer, template, named)
    size = model.get_input_embeddings().weight.shape[0]
    ends = sorted(
        {i for i in (written, *named) if i is not None and 0 <= i < size and (i == written or i not in opening)}
    )
    if not ends:
        return []
    if tokenizer.eos_token_id not in ends:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(written if written is not None else ends[0])
    choose_padding(model, tokenizer, ends, size)
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return ends


def choose_padding(model: Any, tokenizer: PreTrainedTokenizerBase, ends: list[int], size: int) -> None:
    """Give the tokenizer a padding token where it has none that the model knows.

    One that is not an end is preferred; padding with an end is safe all the same, since every mask here is made of lengths.
    """
    present = tokenizer.pad_token_id
    if present is not None and 0 <= present < size:
        return
    configs = (model.generation_config, model.config.get_text_config())
    candidates = [i for config in configs for i in _as_list(getattr(config, "pad_token_id", None)) if 0 <= i < size]
    chosen = next((i for i in candidates if i not in ends), (candidates or ends)[0])
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(chosen)


def find_markers(
    tokenizer: PreTrainedTokenizerBase, template: ChatTemplate | None = None, named: Iterable[int] = ()
) -> tuple[int | None, set[int]]:
    """The token that the chat template ends an answer with, None without one, and the markers it opens turns with.

    `named` are tokens that anyone takes for an end; of several behind an answer one of these is.
    A marker is a token of its own outside of the merges. No template, or one that cannot render this: (None, none).
    """
    prompts = PromptBuilder(tokenizer, template, named)
    end = prompts.find_end_token()
    try:
        header = prompts.render([{"role": "user", "content": ASKED}], reply=True)
    except Exception:  # templates raise what they like; what the run cannot render it refuses where it renders it
        return end, set()
    markers = set(tokenizer.get_added_vocab().values())
    before = [i for i in tokenizer.encode(header.partition(ASKED)[0], add_special_tokens=False) if i in markers]
    # Before the first question a default system turn may have been closed: without a known end only the last opens.
    return end, set(before if end is not None else before[-1:]) - {end}


def _as_list(value: Any) -> list[int]:
    return [i for i in (value if isinstance(value, list | tuple) else [value]) if isinstance(i, int)]
