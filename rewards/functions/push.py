"""Reward for a push notification: short enough, names the product and the offer, in lively Portuguese."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from rewards.hookspecs import hookimpl
from rewards.screen.allowed import show_value
from rewards.text.portuguese import fold, judge_echo, list_words, numbers_in, split_words
from rewards.types import Completion, Example, RewardFunction, Score

MAXIMUM_TEXT = 2_000
"""Characters that are read; a notification of half of them already earns nothing."""

LIVELY_WORDS = list_words(
    """agora amanha aniversario aproveita aproveite arrasa arrase bora chega chegou compre confira corra corre curte curta
    descubra ei eita esqueceu festa garanta garante ganhe ganhou hein hoje imperdivel ja leve merece novidade oba oi ola
    opa parabens pegue presente primeiro quentinho saudade so surpresa uau ultimas ultima vem venha voce volta volte
    voa"""
)
FORMAL_PHRASES = (
    "prezado", "prezada", "prezados", "caro cliente", "cara cliente", "estimado", "senhor", "senhora", "informamos",
    "comunicamos", "encontra-se", "encontram-se", "disponivel em nossa loja", "conforme o regulamento", "atenciosamente",
    "cordialmente", "vimos por meio", "por meio desta", "solicitamos", "gostariamos de", "mediante", "vossa",
)  # fmt: skip
PORTUGUESE_WORDS = list_words(
    """a o as os um uma uns de do da dos das em no na nos nas ao aos pra pro para por com sem e ou mas que se seu sua seus suas
    voce te tem ta esta sao so ja hoje agora ate mais muito bom boa leve aproveite garanta corre desconto frete gratis loja
    oferta compre nao nosso nossa meu minha este essa esse isso foi ser vem ver venha parabens oi ola ei quem aqui seja"""
)
FOREIGN_WORDS = frozenset(
    list_words(
        """the and your you with get now today only our this is are of to buy hurry dont miss save order new from it
        los las con y su hoy ahora descuento envio"""
    )
)
_PARTS = ("length", "product", "offer", "portuguese", "tone", "repetition")
_LONG_WORD = 4
_MOST_MARKS = 3
_SEVERAL_LINES = 0.7
"""Factor for more than the one line that a notification is, such as `Aqui está a notificação:`."""


class Push(RewardFunction):
    """Length and repetition times what is left after product, offer, tone and language have each taken off their cost."""

    name: ClassVar[str] = "push"
    version: ClassVar[str] = "3"
    tasks: ClassVar[tuple[str, ...]] = ("push",)

    maximum_characters: int = Field(120, ge=1, description="Limit for rows without a column max_characters.")
    minimum_characters: int = Field(30, ge=0, description="Characters below which the length costs.")
    lively_words: tuple[str, ...] = Field(LIVELY_WORDS, description="Words of a lively tone, without accents.")
    formal_phrases: tuple[str, ...] = Field(FORMAL_PHRASES, description="Phrases of a stiff tone, without accents.")
    portuguese_words: tuple[str, ...] = Field(
        PORTUGUESE_WORDS, description="Words that show Portuguese, without accents."
    )
    maximum_hashtags: int = Field(1, ge=0, description="Hashtags beyond which each costs a quarter of the tone.")
    product_cost: float = Field(0.6, ge=0, le=1, description="Share lost by not naming the product.")
    offer_cost: float = Field(0.6, ge=0, le=1, description="Share lost by not naming the offer.")
    tone_cost: float = Field(0.5, ge=0, le=1, description="Share lost by a stiff or a dull tone.")
    portuguese_cost: float = Field(0.6, ge=0, le=1, description="Share lost by another language.")

    def problems(self, example: Example) -> list[str]:
        problems = (
            [] if example.reference else ["reference: missing; give the notification a perfect model would write"]
        )
        for column in ("product", "offer"):
            value = example.columns.get(column)
            if not isinstance(value, str) or not split_words(fold(value)):
                problems.append(f"{column}: {show_value(value)}; give the words that the notification must name")
        limit = example.columns.get("max_characters", self.maximum_characters)
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            problems.append(f"max_characters: {show_value(limit)}; give a number of characters")
        return problems

    def __call__(self, example: Example, completion: Completion) -> Score:
        whole = completion.answer.strip()
        text = whole[:MAXIMUM_TEXT]
        folded = fold(text)
        words = split_words(folded)
        if not words:
            return Score(0.0, "no words", dict.fromkeys(_PARTS, 0.0))
        limit = int(example.columns.get("max_characters", self.maximum_characters))
        wanted_product, wanted_offer = fold(example.columns["product"]), fold(example.columns["offer"])
        length = _judge_length(len(whole), self.minimum_characters, limit)
        if "\n" in text:
            length *= _SEVERAL_LINES
        product = _judge_product(words, split_words(wanted_product))
        offer = _judge_offer(folded, wanted_offer, wanted_product)
        portuguese = self._judge_portuguese(words)
        tone, tone_reason = self._judge_tone(text, folded, words)
        # Handing the request back is not a notification; it counts like saying the same thing again.
        echo = judge_echo(words, example.prompt)
        repetition = _judge_repetition(_without(words, split_words(wanted_product))) * echo
        notes = [
            ""
            if length == 1.0
            else f"{len(text)} characters, allowed {min(self.minimum_characters, limit)} to {limit} in a line",
            "" if product == 1.0 else f"does not name the product '{example.columns['product']}'",
            "" if offer == 1.0 else f"does not name the offer '{example.columns['offer']}' alone",
            "" if portuguese == 1.0 else "hardly Portuguese",
            tone_reason,
            "" if repetition == 1.0 else "repeats the prompt" if echo < 1.0 else "repeats itself",
        ]
        parts = (length, product, offer, portuguese, tone, repetition)
        costs = (self.product_cost, self.offer_cost, self.portuguese_cost, self.tone_cost)
        # Multiplied, so that no three virtues make up for a missing fourth.
        value = (
            length * repetition * math.prod(1 - cost * (1 - part) for cost, part in zip(costs, parts[1:5], strict=True))
        )
        return Score(value, "; ".join(filter(None, notes)), dict(zip(_PARTS, parts, strict=True)))

    def _judge_portuguese(self, words: Sequence[str]) -> float:
        """Whether at least one word in eight is a common Portuguese one, after taking off the foreign ones."""
        common = _as_set(self.portuguese_words)
        hits = sum(word in common for word in words) - sum(word in FOREIGN_WORDS for word in words)
        return min(1.0, max(0.0, 8 * hits / len(words)))

    def _judge_tone(self, text: str, folded: str, words: Sequence[str]) -> tuple[float, str]:
        """Two lively signs of two kinds for the whole: a word, an emoji, a mark; a formal phrase costs half."""
        lively = _as_set(self.lively_words)
        marks = text.count("!") + text.count("?")
        emoji = sum(ord(letter) >= 0x2600 and not letter.isalpha() for letter in text)
        signs = min(2, sum(word in lively for word in words)) + (marks > 0) + (emoji > 0)
        formal = sorted(set(_any_phrase(self.formal_phrases).findall(folded))) if self.formal_phrases else []
        stuffed = max(0, marks - _MOST_MARKS) + max(0, emoji - _MOST_MARKS)
        hashtags = max(0, len(re.findall(r"#\w", text)) - self.maximum_hashtags)
        tone = min(1.0, signs / 2) - 0.5 * len(formal) - 0.25 * (stuffed + hashtags)
        notes = [f"formal: {', '.join(formal)}"] if formal else []
        notes += ["too many marks, emoji or hashtags"] if stuffed or hashtags else []
        notes += ["not lively"] if signs < 2 else []
        return min(1.0, max(0.0, tone)), ", ".join(notes)


def _judge_length(count: int, minimum: int, maximum: int) -> float:
    """1 from minimum to maximum; a phone cuts what is longer, so that a third too much is already worth nothing."""
    minimum = min(minimum, maximum)
    if count < minimum:
        return count / minimum
    return max(0.0, 1.0 - 3 * max(0, count - maximum) / maximum)


def _without(words: Sequence[str], phrase: Sequence[str]) -> list[str]:
    """The words less the first place where the phrase stands: naming a product whose name repeats a word is not a repetition."""
    size = len(phrase)
    for at in range(len(words) - size + 1):
        if list(words[at : at + size]) == list(phrase):
            return [*words[:at], *words[at + size :]]
    return list(words)


def _judge_product(words: Sequence[str], wanted: Sequence[str]) -> float:
    """1 for the product's words in their order; half the share of its longer words found anywhere otherwise."""
    size = len(wanted)
    if any(tuple(words[at : at + size]) == tuple(wanted) for at in range(len(words) - size + 1)):
        return 1.0
    longer = [word for word in wanted if len(word) > 2] or list(wanted)
    return 0.5 * sum(word in words for word in longer) / len(longer)


def _judge_offer(folded: str, offer: str, product: str) -> float:
    """1 for the offer as it is written, halved for each number that neither offer nor product has."""
    pieces = [re.escape(piece) for piece in re.findall(r"\w+|[^\w\s]", offer)]
    named = re.search(r"(?<![\w.,])" + r"\s*".join(pieces) + r"(?!\w)(?![.,]\d)", folded)
    allowed = set(numbers_in(offer)) | set(numbers_in(product))
    invented = len({value for value in numbers_in(folded) if value not in allowed})
    return 0.5**invented if named else 0.0


def _judge_repetition(words: Sequence[str]) -> float:
    """1 with at most two longer words said twice, less for each further one or a third time; twice in a row always costs."""
    counted = Counter(word for word in words if len(word) >= _LONG_WORD)
    extra = sum(count - 1 for count in counted.values())
    thrice = sum(max(0, count - 2) for count in counted.values())
    in_a_row = sum(one == other for one, other in pairwise(words))
    return max(0.0, 1.0 - 0.25 * (max(thrice, extra - 2) + in_a_row))


@lru_cache(maxsize=64)
def _as_set(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(fold(word) for word in words)


@lru_cache(maxsize=64)
def _any_phrase(phrases: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted((re.escape(fold(phrase)) for phrase in phrases), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)")


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(Push)
