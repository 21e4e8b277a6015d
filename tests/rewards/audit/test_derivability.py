"""Derivability: what a prompt says, in which notation, and what nobody could know."""

from __future__ import annotations

import json

import pytest

from rewards.audit.derivability import measure_derivability, summarise
from rewards.types import Example


def count(prompt: str, value: object) -> tuple[int, int, int, int]:
    row = Example("1", "t", [{"role": "user", "content": prompt}], json.dumps({"field": value}))
    return tuple(measure_derivability([row])["t"]["field"])


@pytest.mark.parametrize(
    ("prompt", "value"),
    [
        ("Paguei R$ 1.183 pela tv", 1183),
        ("custou 52,50 no cartão", 52.5),
        ("custou R$ 1.234,56", 1234.56),
        ("A latência deve ser 10 ms", 10),
        ("downlink de 2 Gbps", 2000),
        ("disponibilidade de 99,9%", 0.999),
        ("desconto de 0.15", 15),
        ("entregue em três dias", 3),
        ("caiu para -4,5 graus", -4.5),
        ("versão 1.500", 1500),
        ("versão 1.500", 1.5),
        ("pedido de 2018-03-05", "05/03/2018"),
        ("o Carrinho de Bebê premium", "carrinho de bebê premium"),
        ("fatia embb para o porto de Santos", "Santos embb"),
    ],
)
def test_leaf_when_the_prompt_says_it_in_any_notation_then_is_stated(prompt, value):
    """Numbers by value, texts without case and accents, or by their words."""
    assert count(prompt, value) == (1, 0, 0, 0)


@pytest.mark.parametrize("value", [None, True, False, [], {}, ""])
def test_leaf_when_it_is_one_of_a_closed_set_then_is_inferable(value):
    """Two truth values, and nothing, need not be said."""
    assert count("nada disso", value) == (0, 1, 0, 0)


@pytest.mark.parametrize("value", [17, "São Paulo", "Belém do Pará", 3.25])
def test_leaf_when_the_prompt_does_not_say_it_then_is_underivable(value):
    """It may be known or computed, but is not read."""
    assert count("Qual é o total de pedidos de 2018?", value) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    "value",
    [
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "2026-11-03T10:22:00Z",
        "https://host/intents/1",
        "urn:slice:00412",
        "ORD-2291-7",
        "/intents/4411",
    ],
)
def test_leaf_when_it_is_an_identifier_a_link_or_a_time_then_is_made_up(value):
    """Nobody could guess it."""
    assert count("Crie uma fatia para o porto", value) == (0, 0, 0, 1)


def test_field_when_few_values_recur_over_the_rows_then_they_are_inferable():
    """An enumeration is learnt from the other rows; a field of values all different is not."""
    rows = [
        Example(
            str(n), "t", [{"role": "user", "content": "?"}], json.dumps({"class": "ab"[n % 2], "free": f"nome{n}x"})
        )
        for n in range(12)
    ]
    fields = measure_derivability(rows)["t"]
    assert fields["class"].inferable == 12 and fields["free"].underivable == 12
    assert summarise(fields)["underivable_fields"] == {"free": 1.0}
    assert summarise(fields)["underivable"] == 0.5


def test_reference_when_it_is_no_json_then_is_left_out():
    """SQL has no leaves."""
    row = Example("1", "sql", [{"role": "user", "content": "?"}], "SELECT 1")
    assert measure_derivability([row]) == {}


def test_field_when_it_stands_in_lists_then_has_one_name():
    """Positions are not counted."""
    row = Example("1", "t", [{"role": "user", "content": "porta 80 e porta 443"}], '{"ports": [{"n": 80}, {"n": 443}]}')
    assert measure_derivability([row])["t"]["ports[].n"].stated == 2


@pytest.mark.parametrize("value", [0, 0.0, "none", "N/A", "Não informado", "-"])
def test_leaf_when_it_stands_for_nothing_then_is_inferable(value):
    """A discount of 0 is what a prompt says that names none."""
    assert count("Um pedido de caneca azul", value) == (0, 1, 0, 0)
