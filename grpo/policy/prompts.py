"""The one prompt builder: SFT, GRPO and evaluation all turn messages into tokens, and tokens into answers, here."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from grpo.policy.chat_reasoning import ASKED, MARKER, SAID, find_style
from grpo.policy.chat_template import ChatTemplate, find_training_template, has_marks
from rewards.errors import UserError
from rewards.extraction.reasoning import TAG, ReasoningStyle, split_reasoning
from rewards.types import Completion, Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from grpo.policy.light_tokenizer import LightTokenizer

Messages = Sequence[Mapping[str, str]]

# Harmony (gpt-oss) says with these special tokens which part of a text is the answer.
_CHANNELS = ("<|channel|>", "<|message|>", "<|start|>")


class AnswerEnd(NamedTuple):
    """The token that ends an answer, and how many tokens the template writes after it.

    `borrowed`: the template writes it only where the conversation goes on (GLM's `<|user|>`).
    """

    token: int
    trailing: int = 0
    borrowed: bool = False


class PromptBuilder:
    """Messages to token ids by one chat template, and back. `ends` are tokens that the model is known to stop at."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | LightTokenizer,
        template: ChatTemplate | None = None,
        ends: Iterable[int] = (),
    ):
        self.tokenizer: Any = tokenizer
        self.template = template or ChatTemplate()
        self.known_ends = frozenset({*ends, tokenizer.eos_token_id} - {None})

    @property
    def template_text(self) -> str:
        """The template itself, whoever brought it."""
        return self.template.text or self.tokenizer.get_chat_template()

    def render(self, messages: Messages, *, reply: bool, **variables: Any) -> str:
        """The conversation as text; `reply` ends it with the assistant's header. Templates raise what they like."""
        return self._apply(messages, add_generation_prompt=reply, tokenize=False, **variables)

    def prompt_ids(self, messages: Messages) -> list[int]:
        """The prompt as the policy sees it, up to and including the assistant's header."""
        return self._apply(messages, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]

    def training_ids(self, messages: Messages) -> tuple[list[int], list[int]]:
        """A whole conversation and its mask: 1 on the tokens an assistant wrote, its end marker included.

        What the last turn is follows from the prompt alone: all that the policy would have to write after `prompt_ids`.
        Earlier assistant turns count where the template, or TRL's twin of it, marks them. Raises ValueError where the
        conversation does not begin with the prompt that GRPO would show.
        """
        if self._marks_exactly:
            return self._marked(messages, self.template.text)
        prompt, text = self.prompt_ids(messages[:-1]), self.render(messages[:-1], reply=True)
        whole = self.render(messages, reply=False)
        if not whole.startswith(text):
            differs = next((at for at, (a, b) in enumerate(zip(whole, text, strict=False)) if a != b), len(whole))
            raise ValueError(
                f"renders the prompt differently for SFT and for generation (SFT {whole[differs:][:60]!r}, GRPO "
                f"{text[differs:][:60]!r})"
            )
        ids = self._encode(whole)
        if ids[: len(prompt)] != prompt:
            # A token across the seam: the policy continues from the prompt's tokens, so that is what it is shown.
            ids = prompt + self._encode(whole[len(text) :])
            if self._decode(ids) != self._decode(self._encode(whole)):
                raise ValueError("renders a prompt whose last token cannot be told from the answer's first")
        end = self.end
        if end.borrowed:
            ids = [*ids, end.token]
        written = len(ids) - end.trailing
        if written <= len(prompt) or ids[written - 1] != end.token:
            raise ValueError(
                f"does not end this answer with {self._decode([end.token])!r} as it ends others ({whole[-60:]!r})"
            )
        return ids, self._mark_earlier(messages, prompt) + [1] * (written - len(prompt)) + [0] * end.trailing

    def text(self, completion_ids: Sequence[int]) -> str:
        """What the policy wrote, without special tokens but for those that part its reasoning from its answer."""
        if not self._telling:
            return self.tokenizer.decode(completion_ids, skip_special_tokens=True)
        kept = [token for token in completion_ids if token not in self._silent]
        return self.tokenizer.decode(kept, skip_special_tokens=False)

    def completion(self, completion_ids: Sequence[int], *, truncated: bool) -> Completion:
        """What the policy wrote, for the rewards to judge."""
        return Completion(self.text(completion_ids), truncated, self.style)

    @cached_property
    def style(self) -> ReasoningStyle:
        """How the template has the model reason, as far as its completions cannot say it themselves."""
        try:
            return find_style(self.render)
        except Exception:  # whatever a template raises, its own rows will say in better words
            return ReasoningStyle()

    @cached_property
    def end(self) -> AnswerEnd:
        """How an answer ends, found by tokenising what the template writes after one; ValueError where nothing ends it.

        Of several markers one that the model is known to stop at is preferred, else it is the last. Where the template
        writes nothing behind a last answer, a known end with which the conversation goes on ends it.
        """
        turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
        tail = self._encode(self.render(turns, reply=False).rpartition(SAID)[2])
        if end := self._find_end(tail):
            return end
        after = self.render([*turns, {"role": "user", "content": ASKED}], reply=False)
        following = self._encode(after.rpartition(SAID)[2].partition(ASKED)[0])[:1]
        if not tail and following and following[0] in self._markers & self.known_ends:
            return AnswerEnd(following[0], borrowed=True)
        written = self._decode(tail or following)
        raise ValueError(
            f"ends an answer with no single token of the vocabulary (it writes {written!r} after one), so that the "
            "policy could never learn to stop"
        )

    def find_end_token(self) -> int | None:
        """The token of `end`; None where there is none, which `problems` then says."""
        try:
            return self.end.token
        except Exception:  # templates raise what they like
            return None

    @cached_property
    def _markers(self) -> frozenset[int]:
        return frozenset(self.tokenizer.get_added_vocab().values())

    def _find_end(self, tail: Sequence[int]) -> AnswerEnd | None:
        """The end among the markers that follow an answer at once, else a known end that comes later."""
        start = next((place for place, token in enumerate(tail) if self._decode([token]).strip()), len(tail))
        stop = start
        while stop < len(tail) and tail[stop] in self._markers:
            stop += 1
        places = [*range(start, stop), *range(stop, len(tail))]
        if stop > start and not self.known_ends.intersection(tail[start:stop]):
            places = [stop - 1]
        for place in places:
            if tail[place] in self.known_ends or place == stop - 1:
                return AnswerEnd(tail[place], len(tail) - place - 1)
        return None

    def find_split_markers(self, conversation: Messages) -> dict[str, int]:
        """The template's markers that are not single tokens, with the number of tokens each is split into.

        `conversation` is one that the template can render; what its messages say is not looked at.
        """
        frame = self.render(conversation, reply=True)
        for message in conversation:
            frame = frame.replace(message["content"], " ")
        markers = dict.fromkeys(found[0] for found in MARKER.finditer(frame) if not TAG.fullmatch(found[0]))
        counts = {marker: len(self._encode(marker)) for marker in markers}
        return {marker: count for marker, count in counts.items() if count > 1}

    def plain_words(self, text: str) -> str:
        """A part of a rendered conversation without its markers, in one line."""
        for token in self.tokenizer.get_added_vocab():
            text = text.replace(token, " ")
        return " ".join(MARKER.sub(" ", text).split())

    def problems(
        self, messages: Messages, reference: str | None, *, where: str, demonstrations: bool = True
    ) -> list[str]:
        """Why this row cannot be trained on by this template, one line each.

        With `demonstrations` the SFT rendering must begin with the GRPO prompt and end in a token that ends the answer;
        without a warm-up nobody asks for a mask, and only the prompt is looked at.
        """
        source = self.template.source
        try:
            text = self.render(messages, reply=True)
        except Exception as fault:
            return [f"{where}: {source} cannot render its prompts ({describe(fault)}); {advise(fault)}"]
        if lost := self.find_lost(messages, text):
            return [
                f"{where}: {source} leaves out or rewrites what the {lost['role']} says "
                f"({lost['content'][:40]!r}); give another in model.chat_template, or change the rows"
            ]
        problems = self._find_split_specials(where)
        try:
            _ = self.end
            if demonstrations and reference is not None:
                self._check_mask(messages, reference)
        except Exception as fault:
            remedy = "give another in model.chat_template"
            if "differently" in str(fault) and self._moves_system(messages, reference):
                remedy += ", put what the system says into the first user message, or set sft_warmup.enabled=false"
            elif "differently" in str(fault):
                remedy += (
                    ", set model.chat_template_kwargs (such as enable_thinking: false), or sft_warmup.enabled=false"
                )
            problems.append(f"{where}: {source} {describe(fault)}; {remedy}")
        return problems

    def find_lost(self, messages: Messages, text: str) -> Mapping[str, str] | None:
        """The first message whose words are not in the rendered `text`; an earlier answer may lose its reasoning alone."""
        flat = _squeeze(text)
        for message in messages:
            said = message["content"]
            said = split_reasoning(said, self.style).answer if message["role"] == "assistant" else said
            forms = (
                said,
                *(json.dumps(said, ensure_ascii=ascii)[1:-1] for ascii in (False, True)),
            )  # Llama 3.1's tools
            if not any(_squeeze(form) in flat for form in forms):
                return message
        return None

    def find_special(self, text: str) -> str | None:
        """A special token that stands in a text as its own words: it would be one token there, and in no completion's text."""
        return next((match[0] for match in self._special.finditer(text)), None) if self._special else None

    def check(self, example: Example, *, demonstrations: bool = True) -> None:
        """Raise `UserError` with the `problems` of this row's task, where there are any."""
        where = f"task {example.task}"
        if problems := self.problems(example.prompt, example.reference, where=where, demonstrations=demonstrations):
            raise UserError(problems)

    def _check_mask(self, messages: Messages, reference: str) -> None:
        prompt = self.prompt_ids(messages)
        ids, mask = self.training_ids([*messages, {"role": "assistant", "content": reference}])
        if ids[: len(prompt)] != prompt:
            raise ValueError(
                f"renders the prompt differently for SFT and for generation (SFT {self._decode(ids[: len(prompt)])[-60:]!r}, "
                f"GRPO {self._decode(prompt)[-60:]!r})"
            )
        written = [token for token, counts in zip(ids[len(prompt) :], mask[len(prompt) :], strict=True) if counts]
        if not written or _squeeze(reference) not in _squeeze(self._decode(written)):
            raise ValueError(f"does not write the reference as it stands (it writes {self._decode(written)[:60]!r})")
        answer = self.completion(written, truncated=False).answer
        # A marker of calls may be a special token, which no reward is shown, neither of an answer nor of the reference.
        alone = self.completion(self._encode(reference), truncated=False).answer
        expected = (reference, split_reasoning(reference, self.style).answer, alone)
        if _squeeze(answer) not in map(_squeeze, expected):
            raise ValueError(f"writes more than the reference (it writes {self._decode(written)[:60]!r})")

    def _moves_system(self, messages: Messages, reference: str | None) -> bool:
        """Whether a system message is shown in the prompt alone, as where it stands in the last turn of a user (Mistral)."""
        if reference is None or messages[0]["role"] != "system":
            return False
        whole = self.render([*messages, {"role": "assistant", "content": reference}], reply=False)
        return _squeeze(messages[0]["content"]) not in _squeeze(whole)

    def _find_split_specials(self, where: str) -> list[str]:
        names = {self.tokenizer.eos_token, *self.tokenizer.all_special_tokens} if self._is_full else set()
        counts = {name: len(self._encode(name)) for name in sorted(name for name in names if name)}
        return [
            f"{where}: the marker {name} splits into {count} tokens; role markers must be single tokens of the vocabulary"
            for name, count in counts.items()
            if count != 1
        ]

    # -- marks -----------------------------------------------------------------------------------------------------

    @cached_property
    def _marks_exactly(self) -> bool:
        """Whether the template's own marks cover all of the last turn, and nothing of the prompt before it."""
        if not has_marks(self.template_text) or not self._is_full:
            return False
        turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
        try:
            prompt = self.prompt_ids(turns[:1])
            ids, mask = self._marked(turns, self.template.text)
            written = len(ids) - self.end.trailing
        except Exception:  # no fast tokenizer, a template that refuses the trial: the prompt says it then
            return False
        wanted = [0] * len(prompt) + [1] * (written - len(prompt)) + [0] * (len(ids) - written)
        return ids[: len(prompt)] == prompt and mask == wanted and not self.end.borrowed

    @cached_property
    def _marking_template(self) -> str | None:
        if not self._is_full:
            return None
        text = self.template_text
        return text if has_marks(text) else find_training_template(self.tokenizer, text)

    def _mark_earlier(self, messages: Messages, prompt: Sequence[int]) -> list[int]:
        """The mask of the prompt: earlier assistant turns, where a template that renders the same text marks them."""
        mask = [0] * len(prompt)
        if self._marking_template is None or all(message["role"] != "assistant" for message in messages[:-1]):
            return mask
        try:
            marked_ids, marked = self._marked(messages, self._marking_template)
        except Exception:  # marks are a gain, not a need
            return mask
        if list(marked_ids[: len(prompt)]) != list(prompt):
            return mask
        mask = self._trim_marks(messages[:-1], prompt, list(marked[: len(prompt)]))
        # The last turn may begin in the prompt, with a block that the template has written for it.
        for place in reversed(range(len(mask))):
            if not mask[place]:
                break
            mask[place] = 0
        return mask

    def _trim_marks(self, messages: Messages, prompt: Sequence[int], mask: list[int]) -> list[int]:
        """The marks without headers before earlier answers, and without what follows their ends: no policy writes those."""
        for at, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            start = len(asked := self.prompt_ids(messages[:at]))
            if list(prompt[:start]) != asked:
                continue
            stop = next((place for place in range(start, len(prompt)) if prompt[place] == self.end.token), None)
            before, after = start - 1, len(prompt) if stop is None else stop + 1
            while before >= 0 and mask[before]:
                mask[before], before = 0, before - 1
            while after < len(prompt) and mask[after]:
                mask[after], after = 0, after + 1
        return mask

    def _marked(self, messages: Messages, template: str | None) -> tuple[list[int], list[int]]:
        encoded = self._apply(
            messages, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        return encoded["input_ids"], list(encoded["assistant_masks"])

    # -- tokens and texts ------------------------------------------------------------------------------------------

    @cached_property
    def _is_full(self) -> bool:
        """Whether the tokenizer is transformers' own."""
        return hasattr(self.tokenizer, "all_special_tokens")

    def _apply(self, messages: Messages, **options: Any) -> Any:
        settings = {"chat_template": self.template.text, **self.template.fill(self.template_text), **options}
        return self.tokenizer.apply_chat_template([dict(m) for m in messages], **settings)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)

    @cached_property
    def _telling(self) -> frozenset[int]:
        """Special tokens that a completion keeps: without them its reasoning could not be told from its answer."""
        own = "".join(tag for pair in self.style.tags for tag in pair)
        own += "".join(_CHANNELS) if "<|channel|>" in self.template_text else ""
        return frozenset(
            number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.special and (TAG.fullmatch(token.content) or token.content in own)
        )

    @cached_property
    def _special(self) -> re.Pattern[str] | None:
        kept = self._telling
        decoder = self.tokenizer.added_tokens_decoder.items()
        words = [token.content for number, token in decoder if token.special and number not in kept]
        longest = sorted(filter(None, words), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest))) if longest else None

    @cached_property
    def _silent(self) -> frozenset[int]:
        special = {number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        return frozenset(special - self._telling)


def describe(fault: Exception) -> str:
    """What a template or its check raised, in one line."""
    return " ".join(str(fault).split())[:200] or type(fault).__name__


def advise(fault: Exception) -> str:
    """What to do about rows that a template refuses to render."""
    said = str(fault).lower()
    if "system" in said:
        return "put the instructions into the first user message, or give another template in model.chat_template"
    if "alternat" in said:
        return "write turns that alternate between user and assistant, or give another template in model.chat_template"
    return "change the rows, or give another template in model.chat_template"


def _squeeze(text: str) -> str:
    """A text as far as a tokenizer must keep it: some normalise, many are free with spaces."""
    return "".join(unicodedata.normalize("NFKC", text).split())
