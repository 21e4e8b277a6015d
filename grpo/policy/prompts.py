"""The one prompt builder: SFT, GRPO and evaluation all turn messages into tokens here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rewards.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[Mapping[str, str]]


class PromptBuilder:
    """Messages to token ids by the tokenizer's own chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer

    def prompt_ids(self, messages: Messages) -> list[int]:
        """The prompt as the policy sees it, up to and including the assistant's header."""
        return self.tokenizer.apply_chat_template(
            [dict(m) for m in messages], add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]

    def training_ids(self, messages: Messages) -> tuple[list[int], list[int]]:
        """A whole conversation and its mask: 1 on the tokens an assistant wrote, its end marker included."""
        encoded = self.tokenizer.apply_chat_template(
            [dict(m) for m in messages], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        return encoded["input_ids"], list(encoded["assistant_masks"])

    def text(self, completion_ids: Sequence[int]) -> str:
        """What the policy wrote, without special tokens."""
        return self.tokenizer.decode(completion_ids, skip_special_tokens=True)

    def check(self, messages: Messages, reference: str, *, where: str) -> None:
        """Raise `UserError` unless the SFT rendering begins with the GRPO prompt, its mask covers exactly the answer,
        and the template's markers are single tokens of the vocabulary."""
        problems = []
        prompt = self.prompt_ids(messages)
        try:
            ids, mask = self.training_ids([*messages, {"role": "assistant", "content": reference}])
        except (ValueError, KeyError) as fault:
            raise UserError(
                f"{where}: the chat template cannot mark assistant turns ({fault}); it needs {{% generation %}} blocks"
            ) from None
        if ids[: len(prompt)] != prompt:
            problems.append(
                f"{where}: the template renders the prompt differently for SFT and for generation "
                f"(SFT {self.tokenizer.decode(ids[: len(prompt)])[-60:]!r}, GRPO {self.tokenizer.decode(prompt)[-60:]!r}); "
                "the policy would be trained on prompts it never sees"
            )
        elif any(mask[: len(prompt)]) or not any(mask[len(prompt) :]):
            problems.append(
                f"{where}: the assistant mask of the template does not cover the answer alone "
                f"({sum(mask)} of {len(mask)} tokens, {sum(mask[: len(prompt)])} of them in the prompt)"
            )
        for marker in {t for t in (self.tokenizer.eos_token, *self.tokenizer.all_special_tokens) if t}:
            pieces = self.tokenizer.encode(marker, add_special_tokens=False)
            if len(pieces) != 1:
                problems.append(
                    f"{where}: the marker {marker} splits into {len(pieces)} tokens; "
                    "role markers must be single tokens of the vocabulary"
                )
        if problems:
            raise UserError(problems)
