"""The `push` task: a product, an offer and an audience, and a lively notification of at most 120 characters."""

from __future__ import annotations

import random
from typing import NamedTuple

from grpo.data.shop.vocabulary import Product, Side, pick_product

MAX_CHARACTERS = 120

_PROMPTS = {
    "train": (
        "{product}, {offer}, para {audience}",
        "produto: {product}; oferta: {offer}; público: {audience}",
        "push para {audience}: {product} com {offer}",
        "crie um push de {product} com {offer} para {audience}",
        "público {audience}, oferta {offer}, produto {product}",
    ),
    "held_out": (
        "produto {product} com {offer} para público {audience}",
        "crie um push para {audience}: {product}, {offer}",
        "oferta: {offer}; produto: {product}; público: {audience}",
    ),
}
# For each audience, how a prompt names it and openings of a text for it.
_AUDIENCES: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "cart": {
        "train": {
            "said": ("quem largou o carrinho", "carrinho abandonado", "clientes com carrinho cheio"),
            "hook": ("Esqueceu algo? ", "Seu carrinho te espera! ", "Ei, volta aqui! "),
        },
        "held_out": {
            "said": ("quem tem carrinho abandonado", "quem largou carrinho cheio"),
            "hook": ("Ei, esqueceu algo? ", "Volta aqui, seu carrinho te espera! "),
        },
    },
    "away": {
        "train": {
            "said": (
                "clientes sumidos",
                "quem não compra há meses",
                "clientes que não compram mais",
                "cliente sumido",
                "quem anda longe",
            ),
            "hook": ("Que saudade! ", "Sumiu, hein? ", "Saudade de você! "),
        },
        "held_out": {
            "said": ("quem anda sumido", "clientes que não compram há meses"),
            "hook": ("Que saudade, sumiu! ", "Hein, que saudade de você! "),
        },
    },
    "new": {
        "train": {
            "said": ("novos clientes", "quem acabou de chegar", "primeira compra"),
            "hook": ("Chegou agora? ", "Oi, que bom te ver! ", "Presente de boas-vindas! "),
        },
        "held_out": {
            "said": ("clientes na primeira compra", "quem faz a primeira compra"),
            "hook": ("Oi, chegou agora? ", "Que bom te ver, presente! "),
        },
    },
    "fans": {
        "train": {
            "said": ("clientes vip", "quem compra sempre", "clientes fiéis"),
            "hook": ("Só pra você! ", "Você merece! ", "Vip primeiro! "),
        },
        "held_out": {
            "said": ("clientes vip fiéis", "quem é vip e compra sempre"),
            "hook": ("Você merece, vip! ", "Só pra você, primeiro! "),
        },
    },
    "birthday": {
        "train": {
            "said": ("aniversariantes", "quem faz aniversário", "aniversariantes do mês"),
            "hook": ("Parabéns! ", "Hoje é seu dia! ", "Festa pra você! "),
        },
        "held_out": {
            "said": ("clientes aniversariantes", "quem faz aniversário no mês"),
            "hook": ("Parabéns, é seu dia! ", "Hoje é festa! "),
        },
    },
}
_BODIES = {
    "train": (
        "{Art} {product} está com {offer}",
        "Leve {art} {product} com {offer}",
        "{offer} {no} {product}",
        "Tem {product} com {offer}",
        "{Seu} {product} com {offer}",
    ),
    "held_out": ("Tem {offer} {no} {product}", "Leve {seu} {product} com {offer}", "{Seu} {product} está com {offer}"),
}
_ENDINGS = {
    "train": (". Corre!", "! Só hoje 🔥", ". Vem ver 😍", "! Aproveita já", ". É só até amanhã!", "! Garanta o seu 🎁"),
    "held_out": (". Corre, só hoje!", "! Aproveita até amanhã 🔥", ". Vem, garanta já 🎁"),
}


class WrittenPush(NamedTuple):
    """A prompt, its reference, and what the reference must name: the product, and the offer's amount."""

    prompt: str
    reference: str
    product: Product
    offer: str


def write_push(rng: random.Random, side: Side, small: bool = False) -> WrittenPush:
    """One notification, of 40 to 120 characters; `small` as in `pick_name`."""
    while True:
        product = pick_product(rng, side, small)
        amount, said, told = _pick_offer(rng)
        audience = rng.choice(list(_AUDIENCES.values()))[side]
        prompt = rng.choice(_PROMPTS[side]).format(
            product=product.name, offer=said, audience=rng.choice(audience["said"])
        )
        slots = {**product.articles, "offer": told, "Art": product.gender.upper()}
        slots["Seu"] = slots["seu"].capitalize()
        text = rng.choice(audience["hook"]) + rng.choice(_BODIES[side]).format_map(slots) + rng.choice(_ENDINGS[side])
        if 40 <= len(text) <= MAX_CHARACTERS:
            return WrittenPush(prompt, text, product, amount)


def _pick_offer(rng: random.Random) -> tuple[str, str, str]:
    """The amount that must appear, how the prompt says the offer, and how the notification tells it."""
    chance = rng.random()
    if chance < 0.75:
        amount = f"{rng.choice((5, 10, 12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 60, 70))}%"
    elif chance < 0.9:
        amount = f"R$ {rng.choice((10, 15, 20, 25, 30, 40, 50, 80, 100))}"
    else:
        return "frete grátis", "frete grátis", "frete grátis"
    return amount, amount + rng.choice((" de desconto", " off")), amount + rng.choice((" OFF", " de desconto"))
