"""The `extraction` task: a review as a person writes it, and the ten fields that follow from it."""

from __future__ import annotations

import random
import re
import unicodedata
from functools import lru_cache
from typing import Any, NamedTuple

from grpo.data.shop import phrasings
from grpo.data.shop.database import Order
from grpo.data.shop.facts import ShopFacts
from grpo.data.shop.vocabulary import Side, label_category, pick_name, pick_product

FIELDS = (
    "customer",
    "product",
    "sentiment",
    "sentiment_score",
    "complaint_category",
    "churn_risk",
    "delivery_days",
    "price",
    "would_buy_again",
    "requested_action",
)
CLASSES: dict[str, tuple[str, ...]] = {
    "sentiment": ("positivo", "neutro", "negativo"),
    "complaint_category": ("entrega", "produto", "atendimento", "preco", "nenhuma"),
    "churn_risk": ("baixo", "medio", "alto"),
    "requested_action": ("troca", "reembolso", "contato", "nenhuma"),
}
_COMPLAINTS = CLASSES["complaint_category"][:-1]
# What people ask for after which complaint.
_ACTIONS = {
    "entrega": ("reembolso", "contato", "contato"),
    "produto": ("troca", "troca", "reembolso", "contato"),
    "atendimento": ("contato", "contato", "reembolso"),
    "preco": ("reembolso", "contato", "troca"),
}


class Review(NamedTuple):
    """A review's text, and the value of each of `FIELDS` in that order."""

    text: str
    fields: dict[str, Any]


def judge_sentiment(score: float) -> str:
    """`negativo` up to 2, `positivo` from 4, `neutro` between."""
    return "negativo" if score <= 2 else "positivo" if score >= 4 else "neutro"


def judge_churn(complaint_category: str, would_buy_again: bool | None, requested_action: str) -> str:
    """`alto` for who will not buy again or wants the money back; `medio` for any other complaint unless they will buy
    again; else `baixo`."""
    if would_buy_again is False or requested_action == "reembolso":
        return "alto"
    if complaint_category != "nenhuma" and would_buy_again is not True:
        return "medio"
    return "baixo"


def write_review(
    rng: random.Random, side: Side, facts: ShopFacts, order: Order | None = None, small: bool = False
) -> Review:
    """One review, of some 25 to 55 words; a field that the text does not state is None (or `nenhuma`).

    `small` as in `pick_name`. With an order, the score, days, price and places that are said are that order's.
    """
    if order is None:
        score = _pick_score(rng, facts)
    else:
        # A comment is written only for a reviewed order of a known category.
        assert order.review_score is not None and order.product_category is not None
        score = float(order.review_score)
    sentiment = judge_sentiment(score)
    complaint = _pick_complaint(rng, sentiment)
    action = rng.choice(_ACTIONS[complaint]) if complaint != "nenhuma" and rng.random() < 0.55 else "nenhuma"
    again = _pick_buying_again(rng, sentiment, complaint)
    days = _pick_days(rng, complaint) if rng.random() < 0.6 else None
    price = _pick_price(rng, small) if rng.random() < 0.6 else None
    name = pick_name(rng, side, small) if rng.random() < 0.7 else None
    product = pick_product(rng, side, small)

    city, category = rng.choice(facts.cities), rng.choice(facts.categories)
    if order is not None and order.product_category is not None:
        days = order.delivery_days if days is not None and (order.delivery_days or 0) > 1 else None
        price = order.price if price is not None else None
        city, category = order.customer_city, order.product_category

    slots = {
        **product.articles,
        "score": write_number(score),
        "days": str(days),
        "price": "" if price is None else _write_price(rng, price),
        "name": name or "",
        "city": city,
        "category": label_category(category),
    }
    hand = _Hand(rng, angry=sentiment == "negativo")
    middle = []
    if complaint != "nenhuma":
        text = hand.write(rng.choice(phrasings.COMPLAINTS[complaint][side]), slots, may_shout=True)
        if sentiment != "negativo" or rng.random() < 0.4:
            praise = phrasings.PRAISES[rng.choice([aspect for aspect in _COMPLAINTS if aspect != complaint])][side]
            text = f"{hand.write(rng.choice(praise), slots)} {rng.choice(('mas', 'só que', 'porém'))} {text}"
        middle.append(text)
    elif sentiment == "positivo" or rng.random() < 0.6:
        middle.append(hand.write(rng.choice(phrasings.PRAISES[rng.choice(_COMPLAINTS)][side]), slots))
    if days is not None:
        middle.append(hand.write(rng.choice(phrasings.DELIVERY_DAYS[side]), slots))
    if price is not None:
        middle.append(hand.write(rng.choice(phrasings.PRICES[side]), slots))
    middle.append(hand.write(rng.choice(phrasings.SCORES[side]), slots))
    if again is not None:
        middle.append(hand.write(rng.choice(phrasings.BUYING_AGAIN[again][side]), slots, may_shout=True))
    if action != "nenhuma":
        middle.append(hand.write(rng.choice(phrasings.ACTIONS[action][side]), slots, may_shout=True))
    asides = rng.sample(phrasings.ASIDES[side], 2)
    words = sum(sentence.count(" ") + 1 for sentence in middle)
    middle += [hand.write(aside, slots) for aside in asides[: (words < 22) + (words < 16)]]
    rng.shuffle(middle)
    sentences = [hand.write(rng.choice(phrasings.OPENINGS[sentiment][side]), slots), *middle]
    if name is not None:
        sentences.append(hand.write(rng.choice(phrasings.SIGNATURES[side]), slots))
    fields = {
        "customer": name,
        "product": product.name,
        "sentiment": sentiment,
        "sentiment_score": int(score) if score == int(score) else score,
        "complaint_category": complaint,
        "churn_risk": judge_churn(complaint, again, action),
        "delivery_days": days,
        "price": int(price) if price is not None and price == int(price) else price,
        "would_buy_again": again,
        "requested_action": action,
    }
    return Review(hand.join(sentences), fields)


def write_number(value: float) -> str:
    """A number as Brazilians write it: `4,5`, `3`, `1.299,90` (two digits after the comma where there are two)."""
    if value == int(value):
        return f"{int(value):,}".replace(",", ".")
    text = f"{value:,.1f}" if round(value, 1) == value else f"{value:,.2f}"
    return text.replace(",", "_").replace(".", ",").replace("_", ".")


def _pick_score(rng: random.Random, facts: ShopFacts) -> float:
    # The shop's own spread of scores, evened out: an unhappy customer writes more, and every class must be seen.
    star = rng.choice(facts.scores) if rng.random() < 0.4 else rng.randint(0, 5)
    if rng.random() < 0.45 and star < 5:
        return round(star + rng.choice((0.5, 0.5, 0.5, 0.2, 0.3, 0.7, 0.8)), 1)
    return float(star)


def _pick_complaint(rng: random.Random, sentiment: str) -> str:
    silent = {"positivo": 0.75, "neutro": 0.2, "negativo": 0.0}[sentiment]
    return "nenhuma" if rng.random() < silent else rng.choice(_COMPLAINTS)


def _pick_buying_again(rng: random.Random, sentiment: str, complaint: str) -> bool | None:
    yes, no = {"positivo": (0.55, 0.0), "neutro": (0.25, 0.2), "negativo": (0.05, 0.5)}[sentiment]
    chance = rng.random()
    return True if chance < yes else False if chance < yes + no and complaint != "nenhuma" else None


def _pick_days(rng: random.Random, complaint: str) -> int:
    return rng.randint(15, 60) if complaint == "entrega" else rng.randint(2, 20)


def _pick_price(rng: random.Random, small: bool) -> float:
    if small:
        return round(rng.randint(10, 99) + rng.choice((0.0, 0.9, 0.9, 0.5)), 2)
    reais = int(rng.choice((40, 90, 150, 300, 800, 1800)) * rng.uniform(0.5, 1.5))
    return round(reais + rng.choice((0.0, 0.0, 0.9, 0.9, 0.99, 0.5, 0.45)), 2)


def _write_price(rng: random.Random, price: float) -> str:
    if price == int(price):
        return write_number(price) + rng.choice(("", "", ",00"))
    return f"{write_number(int(price))},{round(price % 1 * 100):02d}"


_SLANG = {
    "muito": "mt", "não": "n", "que": "q", "também": "tb", "por favor": "pfv", "comigo": "cmg", "demais": "d+",
    "mensagem": "msg", "aniversário": "niver", "aqui": "aki",
}  # fmt: skip
_SLANG_WORDS = re.compile(r"\b(" + "|".join(sorted(_SLANG, key=len, reverse=True)) + r")\b")
_SLOT = re.compile(r"(\{\w+\})")
_LONG_WORD = re.compile(r"[^\W\d_]{6,}")
_EMOJIS = {False: ("❤️", "😍", "👏", "🙂"), True: ("😡", "😤", "👎", "😞")}


class _Hand:
    """One customer's way of writing. It changes the sentences around the facts, never a name, a product or a number."""

    def __init__(self, rng: random.Random, angry: bool):
        self.rng = rng
        self.angry = angry
        self.drops_accents = rng.random() < 0.35
        self.slang = rng.random() < 0.3
        self.capitals = rng.random() < 0.5
        self.shouts = angry and rng.random() < 0.25
        self.typos = 0.25 if rng.random() < 0.4 else 0.0
        self.stop = rng.choice((".", ".", ".", ",", "!", " -"))
        self.emoji = rng.choice(_EMOJIS[angry]) if rng.random() < 0.06 else ""

    def write(self, template: str, slots: dict[str, str], may_shout: bool = False) -> str:
        template = _restyle(template, self.drops_accents, self.slang, may_shout and self.shouts)
        if self.typos and self.rng.random() < self.typos:
            template = self._slip(template)
        return template.format_map(slots)

    def join(self, sentences: list[str]) -> str:
        if self.capitals and self.stop != ",":
            sentences = [sentence[0].upper() + sentence[1:] for sentence in sentences]
        text = f"{self.stop} ".join(sentences)
        return f"{text} {self.emoji}" if self.emoji else text

    def _slip(self, template: str) -> str:
        """Swap, double or lose one letter inside one long word."""
        pieces = _SLOT.split(template)
        spots = [(index, word) for index in range(0, len(pieces), 2) for word in _LONG_WORD.finditer(pieces[index])]
        if not spots:
            return template
        index, word = self.rng.choice(spots)
        at = self.rng.randrange(word.start() + 1, word.end() - 2)
        piece, kind = pieces[index], self.rng.randrange(3)
        if kind == 0:
            pieces[index] = piece[:at] + piece[at + 1] + piece[at] + piece[at + 2 :]
        elif kind == 1:
            pieces[index] = piece[:at] + piece[at] + piece[at:]
        else:
            pieces[index] = piece[:at] + piece[at + 1 :]
        return "".join(pieces)


@lru_cache(maxsize=4096)
def _restyle(template: str, drop_accents: bool, slang: bool, shout: bool) -> str:
    pieces = _SLOT.split(template)
    for index in range(0, len(pieces), 2):
        if slang:
            pieces[index] = _SLANG_WORDS.sub(lambda match: _SLANG[match[0]], pieces[index])
        if drop_accents:
            decomposed = unicodedata.normalize("NFD", pieces[index])
            pieces[index] = "".join(char for char in decomposed if not unicodedata.combining(char))
        if shout:
            pieces[index] = pieces[index].upper()
    return "".join(pieces)
