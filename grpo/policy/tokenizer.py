"""Tokens without a model: the embedded policy's tokenizer, the ChatML template, and token counts for a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from grpo.config.sections import ModelSection
from grpo.policy.chat_template import render_template
from grpo.policy.light_tokenizer import LightTokenizer, open_prompts
from grpo.policy.prompts import PromptBuilder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from rewards.types import Example

Messages = Sequence[Mapping[str, str]]

MARKERS = ("<|im_start|>", "<|im_end|>", "<|pad|>")

# ChatML. The generation block is what an assistant wrote, its end marker included: it must learn to stop.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}{{- '\\n' -}}"
    "{%- else -%}"
    "{{- message['content'] + '<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

# What may become one token, first match first: a JSON key with its punctuation (an object of ten keys then costs ten
# tokens and its values, not eighty), a short word with the space before it, a longer or capitalised word WITHOUT it, two
# digits, a run of marks, space. A name or a number is then the same tokens after a space, a quote or a comma: copying it
# from the prompt into an answer is copying tokens, which a small policy learns, and not a translation between two
# spellings of each, which it does not learn in minutes.
_PIECES = (
    r"""[{,"]*[ ]?"[\p{L}_]+":[ ]?"?| ?[\p{Ll}\p{M}]{1,3}(?![\p{L}\p{M}_])|[\p{L}\p{M}_]+|\p{N}{1,2}"""
    r"""| ?[^\s\p{L}\p{M}\p{N}_]+|\s+(?!\S)|\s+"""
)

# The vocabulary of a templated corpus is settled long before this; more text only costs start-up time.
_TRAINING_CHARACTERS = 1_500_000

# Measured on Portuguese prose and JSON with vocabularies of about 50 thousand tokens.
CHARACTERS_PER_TOKEN = 3.2


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE of at most `vocabulary` tokens, markers and all 256 bytes included.

    Deterministic in `texts`; any text survives encoding and decoding. Long corpora are thinned evenly before training.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(MARKERS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    # Every prompt holds the role names, no row does: often enough to become one token each.
    roles = ["system\nuser\nassistant\n"] * 2000
    tokenizer.train_from_iterator([*_thin(list(texts)), *roles], trainer)
    return tokenizer


def training_texts(examples: Iterable[Example]) -> list[str]:
    """The texts of these rows a tokenizer should learn from: what is said to the policy, and what it should answer."""
    texts: list[str] = []
    for example in examples:
        texts.extend(message["content"] for message in example.prompt)
        if example.reference is not None:
            texts.append(example.reference)
    return texts


def render_chat(messages: Messages, *, template: str = CHAT_TEMPLATE, add_generation_prompt: bool = True) -> str:
    """The conversation as one text; jinja2's TemplateError where the template cannot render it."""
    return render_template(
        template,
        messages,
        add_generation_prompt=add_generation_prompt,
        variables={"bos_token": "", "eos_token": "<|im_end|>"},
    )


class TokenCounter(Protocol):
    """Counts tokens of prompts and of answers; `exact` tells whether it uses the policy's own tokenizer."""

    @property
    def exact(self) -> bool: ...

    @property
    def source(self) -> str: ...

    def count_prompts(self, prompts: Sequence[Messages]) -> list[int]:
        """Tokens of each prompt as the policy sees it, up to and including the assistant's header."""

    def count_texts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text alone."""


@dataclass(frozen=True)
class TokenizerCounter:
    """Counts with a tokenizer and its chat template."""

    tokenizer: Tokenizer
    source: str
    template: str = CHAT_TEMPLATE
    exact: bool = True
    known: dict[str, int] | None = field(default=None, compare=False, repr=False)

    def count_prompts(self, prompts: Sequence[Messages]) -> list[int]:
        return self.count_texts([render_chat(prompt, template=self.template) for prompt in prompts])

    def count_texts(self, texts: Sequence[str]) -> list[int]:
        return _count(self.tokenizer, texts, self.known)


@dataclass(frozen=True)
class PromptCounter:
    """Counts with the prompt builder of a pretrained model: its tokenizer, the run's template and variables."""

    prompts: PromptBuilder
    source: str
    exact: bool = True
    known: dict[str, int] | None = field(default=None, compare=False, repr=False)

    def count_prompts(self, prompts: Sequence[Messages]) -> list[int]:
        return self.count_texts([self._render(prompt) for prompt in prompts])

    def count_texts(self, texts: Sequence[str]) -> list[int]:
        tokenizer = self.prompts.tokenizer
        if isinstance(tokenizer, LightTokenizer):
            return _count(tokenizer.tokenizer, texts, self.known)
        return [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]

    def _render(self, prompt: Messages) -> str:
        try:
            return self.prompts.render(prompt, reply=True)
        except Exception:  # whether a template can render a row is for the plan to say; here it is counted as ChatML
            return render_chat(prompt)


@dataclass(frozen=True)
class EstimatedCounter:
    """Counts by characters, where there is no tokenizer on this machine."""

    source: str
    exact: bool = False

    def count_prompts(self, prompts: Sequence[Messages]) -> list[int]:
        # A ChatML message costs about five tokens beside its content; the assistant's header three.
        return [sum(_estimate(message["content"]) + 5 for message in prompt) + 3 for prompt in prompts]

    def count_texts(self, texts: Sequence[str]) -> list[int]:
        return [_estimate(text) for text in texts]


def find_token_counter(section: ModelSection, examples: Iterable[Example]) -> TokenCounter:
    """The best counter this machine has for the model, without a download.

    For the embedded policy its tokenizer is trained on `examples`, the rows the run trains it on.
    """
    if section.embedded is not None:
        tokenizer = train_tokenizer(training_texts(examples), section.embedded.vocabulary)
        return TokenizerCounter(tokenizer, f"embedded byte-level BPE of {tokenizer.get_vocab_size()} tokens")
    prompts = open_prompts(section)
    if prompts is None:
        return EstimatedCounter(f"an estimate of {CHARACTERS_PER_TOKEN} characters a token")
    return PromptCounter(prompts, f"the tokenizer of {section.gguf or section.name}")


def count_once(counter: TokenCounter) -> TokenCounter:
    """The same counter with a memory: a text is tokenised once, however often its length is asked."""
    return replace(counter, known={}) if isinstance(counter, TokenizerCounter | PromptCounter) else counter


def _count(tokenizer: Tokenizer, texts: Sequence[str], known: dict[str, int] | None) -> list[int]:
    if known is None:
        return [len(encoding) for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
    new = [text for text in dict.fromkeys(texts) if text not in known]
    known.update(zip(new, _count(tokenizer, new, None), strict=True))
    return [known[text] for text in texts]


def _thin(texts: list[str]) -> list[str]:
    # Evenly spaced rather than the first ones: files are often sorted by task.
    distinct = list(dict.fromkeys(texts))
    total = sum(map(len, distinct))
    if total <= _TRAINING_CHARACTERS:
        return distinct
    stride = total / _TRAINING_CHARACTERS
    return [distinct[int(index * stride)] for index in range(int(len(distinct) / stride))]


def _estimate(text: str) -> int:
    return round(len(text) / CHARACTERS_PER_TOKEN)
