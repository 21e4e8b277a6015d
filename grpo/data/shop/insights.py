"""The `insights` task: a segment's figures, and a diagnosis with two actions that uses them as they stand."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from grpo.data.shop.facts import Segment
from grpo.data.shop.vocabulary import Side, label_category, label_month

NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")

# What each figure is called in the prompt.
_LABELS: dict[Side, dict[str, tuple[str, ...]]] = {
    "train": {
        "orders": ("{n} pedidos", "pedidos: {n}", "total de pedidos {n}"),
        "delayed": ("{n}% de atraso", "atraso: {n}%", "{n}% atrasados"),
        "score": ("nota média {n}", "nota: {n}", "avaliação média {n}"),
        "days": ("entrega em {n} dias", "prazo médio: {n} dias", "{n} dias de entrega"),
        "revenue": ("faturamento R$ {n}", "receita: R$ {n}", "R$ {n} de faturamento"),
        "freight": ("frete médio R$ {n}", "frete: R$ {n}", "R$ {n} de frete médio"),
    },
    "held_out": {
        "orders": ("total: {n} pedidos", "número de pedidos {n}"),
        "delayed": ("atraso de {n}%", "atrasados: {n}%"),
        "score": ("avaliação: {n}", "nota média de {n}"),
        "days": ("prazo de {n} dias", "entrega: {n} dias"),
        "revenue": ("receita R$ {n}", "faturamento: R$ {n}"),
        "freight": ("frete R$ {n}", "frete médio: R$ {n}"),
    },
}
_PROMPTS = {
    "train": (
        "{where}: {figures}",
        "dados de {where}: {figures}",
        "analise {where}: {figures}",
        "{where} tem {figures}",
        "{where} em números: {figures}",
    ),
    "held_out": ("analise os dados de {where}: {figures}", "números de {where}: {figures}"),
}
# The first condition that holds decides; each diagnosis uses the figures that every prompt of its kind shows.
_DIAGNOSES: dict[str, dict[Side, tuple[str, ...]]] = {
    "late": {
        "train": (
            "em {where}, o atraso de {delayed}% em {orders} pedidos pesa na nota {score}",
            "{where} tem {delayed}% de atraso em {orders} pedidos e nota {score}",
            "o atraso de {delayed}% pesa em {where}, com nota {score} em {orders} pedidos",
        ),
        "held_out": (
            "{where} tem atraso de {delayed}% em {orders} pedidos, com nota {score}",
            "em {where}, {delayed}% de atraso pesa na nota {score} de {orders} pedidos",
        ),
    },
    "unhappy": {
        "train": (
            "em {where}, a nota {score} em {orders} pedidos é baixa, mesmo com atraso de {delayed}%",
            "{where} tem nota baixa, {score}, em {orders} pedidos e atraso de {delayed}%",
            "a nota {score} é baixa em {where}, com {orders} pedidos e {delayed}% de atraso",
        ),
        "held_out": (
            "{where} tem nota {score} em {orders} pedidos, baixa mesmo com {delayed}% de atraso",
            "em {where}, a nota é baixa, {score}, com {orders} pedidos e atraso de {delayed}%",
        ),
    },
    "healthy": {
        "train": (
            "em {where}, os {orders} pedidos vão bem, com nota {score} e atraso de {delayed}%",
            "{where} vai bem: nota {score} em {orders} pedidos e só {delayed}% de atraso",
            "a nota {score} mostra que {where} vai bem, com {orders} pedidos e {delayed}% de atraso",
        ),
        "held_out": (
            "{where} vai bem, com {orders} pedidos, nota {score} e atraso de {delayed}%",
            "em {where}, a nota {score} em {orders} pedidos mostra só {delayed}% de atraso",
        ),
    },
}
_ACTIONS: dict[str, dict[Side, tuple[str, ...]]] = {
    "late": {
        "train": (
            "renegociar o prazo com as transportadoras",
            "avisar os clientes sobre cada atraso",
            "trocar a transportadora mais lenta",
            "revisar o prazo prometido no site",
            "abrir um estoque mais perto dos clientes",
        ),
        "held_out": (
            "avisar os clientes sobre o prazo",
            "renegociar com a transportadora mais lenta",
            "revisar cada atraso",
        ),
    },
    "unhappy": {
        "train": (
            "revisar a qualidade dos produtos",
            "treinar o atendimento da loja",
            "responder as avaliações ruins em um dia",
            "corrigir as fotos e descrições do site",
            "oferecer troca grátis aos clientes",
        ),
        "held_out": (
            "revisar as avaliações ruins",
            "treinar a loja para responder em um dia",
            "corrigir os produtos do site",
        ),
    },
    "healthy": {
        "train": (
            "ampliar o estoque dos mais vendidos",
            "criar um cupom para quem já comprou",
            "divulgar as boas avaliações no site",
            "investir em anúncios para novos clientes",
            "oferecer frete grátis na próxima compra",
        ),
        "held_out": ("ampliar os anúncios no site", "oferecer um cupom na próxima compra", "divulgar os mais vendidos"),
    },
}


class Insight(NamedTuple):
    """A prompt, its reference in two parts, and the prompt's numbers as the prompt writes them."""

    prompt: str
    diagnosis: str
    actions: tuple[str, str]
    figures: list[str]

    @property
    def reference(self) -> str:
        return f"Diagnóstico: {self.diagnosis}. Ações: 1) {self.actions[0]}; 2) {self.actions[1]}."


def judge_segment(segment: Segment) -> str:
    """`late` from 15 % of delay, else `unhappy` below a score of 3.9, else `healthy`."""
    return "late" if segment.delayed_percent >= 15 else "unhappy" if segment.score < 3.9 else "healthy"


def write_insight(rng: random.Random, side: Side, segments: Sequence[Segment]) -> Insight:
    """An analysis of one of the segments; which figures stand beside the three main ones is chance."""
    segment = rng.choice(segments)
    figures = {
        "orders": str(segment.orders),
        "delayed": _write(segment.delayed_percent, 1),
        "score": _write(segment.score, 1),
        "days": str(segment.days),
        "revenue": _write(segment.revenue, 2),
        "freight": _write(segment.freight, 2),
    }
    shown = ["orders", "delayed", "score", *rng.sample(("days", "revenue", "freight"), rng.randint(0, 2))]
    rng.shuffle(shown)
    where = _name_place(segment)
    said = "; ".join(rng.choice(_LABELS[side][name]).format(n=figures[name]) for name in shown)
    prompt = rng.choice(_PROMPTS[side]).format(where=where, figures=said)
    kind = judge_segment(segment)
    diagnosis = rng.choice(_DIAGNOSES[kind][side]).format(where=where, **figures)
    first, second = rng.sample(_ACTIONS[kind][side], 2)
    return Insight(prompt, diagnosis, (first, second), list(dict.fromkeys(NUMBER.findall(prompt))))


def _write(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}".replace(",", "_").replace(".", ",").replace("_", ".")


def _name_place(segment: Segment) -> str:
    parts = []
    if segment.category:
        parts.append(label_category(segment.category))
    if segment.state:
        parts.append(segment.state)
    if segment.month:
        parts.append(label_month(segment.month))
    return " em ".join(parts)
