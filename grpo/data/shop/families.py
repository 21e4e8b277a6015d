"""The kinds of question about the orders, and how each kind and each filter is said."""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """A kind of question: what is selected, what follows the conditions, and its phrasings; `{f}` takes the filters.

    `closed` names the columns that may not be filtered, because the question is about them.
    """

    select: str
    tail: str
    closed: tuple[str, ...]
    train: tuple[str, ...]
    held_out: tuple[str, ...]


_NOT_DELAYED = ("delayed",)
_DELIVERY = ("delayed", "order_status")


def _family(select: str, closed: tuple[str, ...], train: tuple[str, ...], held_out: tuple[str, ...], tail: str = ""):
    return Family(select, tail, closed, train, held_out)


def _top(column: str, measure: str, train: tuple[str, ...], held_out: tuple[str, ...]) -> Family:
    closed = (column, "price") if "price" in measure else (column,)
    return Family(column, f" GROUP BY {column} ORDER BY {measure} DESC LIMIT 1", closed, train, held_out)


FAMILIES: dict[str, Family] = {
    "count": _family(
        "COUNT(*)",
        (),
        (
            "quantos pedidos {f} tivemos?",
            "qual o número de pedidos {f}?",
            "quantos pedidos {f} existem?",
            "conte os pedidos {f}",
            "total de pedidos {f}?",
            "me diga quantos pedidos {f} temos",
            "qual a quantidade de pedidos {f}?",
        ),
        ("me diga o número de pedidos {f}", "conte a quantidade de pedidos {f}", "qual o total de pedidos {f}?"),
    ),
    "revenue": _family(
        "SUM(price)",
        ("price",),
        (
            "qual o faturamento dos pedidos {f}?",
            "quanto faturamos com pedidos {f}?",
            "some o preço dos pedidos {f}",
            "qual a receita total dos pedidos {f}?",
            "faturamento total com pedidos {f}?",
            "qual a soma dos preços dos pedidos {f}?",
        ),
        (
            "me diga o faturamento com pedidos {f}",
            "qual a receita dos pedidos {f}?",
            "quanto é a soma dos preços dos pedidos {f}?",
        ),
    ),
    "average_price": _family(
        "AVG(price)",
        ("price",),
        (
            "qual o ticket médio dos pedidos {f}?",
            "preço médio dos pedidos {f}?",
            "qual o preço médio de pedidos {f}?",
            "em média quanto custam os pedidos {f}?",
            "calcule o ticket médio de pedidos {f}",
        ),
        ("me diga o ticket médio dos pedidos {f}", "calcule o preço médio dos pedidos {f}"),
    ),
    "highest_price": _family(
        "MAX(price)",
        ("price",),
        (
            "qual o maior preço entre os pedidos {f}?",
            "preço do pedido mais caro entre os {f}?",
            "quanto custou o pedido mais caro {f}?",
            "qual o preço máximo dos pedidos {f}?",
        ),
        ("me diga o maior preço dos pedidos {f}", "quanto foi o pedido mais caro entre os {f}?"),
    ),
    "lowest_price": _family(
        "MIN(price)",
        ("price",),
        (
            "qual o menor preço entre os pedidos {f}?",
            "preço do pedido mais barato entre os {f}?",
            "quanto custou o pedido mais barato {f}?",
            "qual o preço mínimo dos pedidos {f}?",
        ),
        ("me diga o menor preço dos pedidos {f}", "quanto foi o pedido mais barato entre os {f}?"),
    ),
    "average_days": _family(
        "AVG(delivery_days)",
        _DELIVERY,
        (
            "qual o prazo médio de entrega dos pedidos {f}?",
            "quantos dias em média leva a entrega dos pedidos {f}?",
            "tempo médio de entrega de pedidos {f}?",
            "em média em quantos dias chegam os pedidos {f}?",
            "calcule o prazo médio de entrega de pedidos {f}",
        ),
        ("me diga o prazo médio de entrega dos pedidos {f}", "em média quantos dias leva a entrega de pedidos {f}?"),
    ),
    "longest_days": _family(
        "MAX(delivery_days)",
        _DELIVERY,
        (
            "qual a entrega mais demorada dos pedidos {f}?",
            "qual o maior prazo de entrega dos pedidos {f}?",
            "quantos dias levou a entrega mais demorada {f}?",
            "prazo máximo de entrega de pedidos {f}?",
        ),
        (
            "me diga o maior prazo de entrega de pedidos {f}",
            "quantos dias foi a entrega mais demorada dos pedidos {f}?",
        ),
    ),
    "freight": _family(
        "SUM(freight_value)",
        (),
        (
            "quanto foi o frete total dos pedidos {f}?",
            "qual a soma do frete dos pedidos {f}?",
            "some o frete dos pedidos {f}",
            "total de frete com pedidos {f}?",
        ),
        ("me diga o total de frete dos pedidos {f}", "quanto é a soma do frete dos pedidos {f}?"),
    ),
    "average_freight": _family(
        "AVG(freight_value)",
        (),
        (
            "qual o frete médio dos pedidos {f}?",
            "em média quanto foi o frete dos pedidos {f}?",
            "calcule o frete médio de pedidos {f}",
            "valor médio do frete dos pedidos {f}?",
        ),
        ("me diga o frete médio dos pedidos {f}", "calcule o valor médio do frete de pedidos {f}"),
    ),
    "average_score": _family(
        "AVG(review_score)",
        ("review_score",),
        (
            "qual a nota média dos pedidos {f}?",
            "avaliação média dos pedidos {f}?",
            "em média que nota deram aos pedidos {f}?",
            "calcule a nota média de pedidos {f}",
            "qual a avaliação média de pedidos {f}?",
        ),
        ("me diga a nota média dos pedidos {f}", "calcule a avaliação média dos pedidos {f}"),
    ),
    "delayed_percent": _family(
        "100.0 * AVG(delayed)",
        _NOT_DELAYED,
        (
            "qual o percentual de atraso dos pedidos {f}?",
            "que porcentagem dos pedidos {f} atrasou?",
            "percentual de pedidos {f} que atrasaram?",
            "calcule a porcentagem de atraso dos pedidos {f}",
        ),
        ("me diga o percentual de atraso de pedidos {f}", "qual a porcentagem de pedidos {f} que atrasou?"),
    ),
    "cities": _family(
        "COUNT(DISTINCT customer_city)",
        (),
        (
            "em quantas cidades temos pedidos {f}?",
            "quantas cidades têm pedidos {f}?",
            "número de cidades com pedidos {f}?",
            "conte as cidades com pedidos {f}",
        ),
        ("me diga quantas cidades têm pedidos {f}", "qual o número de cidades com pedidos {f}?"),
    ),
    "top_state": _top(
        "customer_state",
        "COUNT(*)",
        ("qual estado tem mais pedidos {f}?", "estado com mais pedidos {f}?", "que estado fez mais pedidos {f}?"),
        ("me diga o estado com mais pedidos {f}", "que estado tem mais pedidos {f}?"),
    ),
    "top_category": _top(
        "product_category",
        "COUNT(*)",
        (
            "qual categoria tem mais pedidos {f}?",
            "categoria com mais pedidos {f}?",
            "que categoria teve mais pedidos {f}?",
        ),
        ("me diga a categoria com mais pedidos {f}", "que categoria tem mais pedidos {f}?"),
    ),
    "top_month": _top(
        "purchase_month",
        "COUNT(*)",
        ("qual mês tem mais pedidos {f}?", "mês com mais pedidos {f}?", "em que mês tivemos mais pedidos {f}?"),
        ("me diga o mês com mais pedidos {f}", "em que mês temos mais pedidos {f}?"),
    ),
    "top_state_revenue": _top(
        "customer_state",
        "SUM(price)",
        ("qual estado mais faturou com pedidos {f}?", "estado com maior faturamento em pedidos {f}?"),
        ("me diga o estado com maior faturamento em pedidos {f}", "que estado mais faturou com pedidos {f}?"),
    ),
    "top_category_revenue": _top(
        "product_category",
        "SUM(price)",
        ("qual categoria mais faturou com pedidos {f}?", "categoria com maior faturamento em pedidos {f}?"),
        ("me diga a categoria com maior faturamento em pedidos {f}", "que categoria mais faturou com pedidos {f}?"),
    ),
}

# How a filter is said; `train` and `held_out` share no phrasing. `questions` puts the values in.
FILTERS: dict[str, dict[str, tuple[str, ...]]] = {
    "customer_state": {
        "train": ("de {code}", "do estado {name}", "de clientes {name}", "feitos em {code}", "para {code}"),
        "held_out": ("do estado de {code}", "de clientes de {code}", "feitos por clientes {name}"),
    },
    "seller_state": {
        "train": ("vendidos por lojas {name}", "de vendedores de {code}", "com vendedor de {code}"),
        "held_out": ("de vendedores {name}", "vendidos por vendedores de {code}"),
    },
    "product_category": {
        "train": ("da categoria {label}", "de {label}", "em {label}", "na linha de {label}"),
        "held_out": ("na categoria {label}", "da linha de {label}"),
    },
    "purchase_month": {
        "train": (
            "em {month} de {year}",
            "no mês {number}/{year}",
            "de {number}/{year}",
            "feitos em {month} de {year}",
        ),
        "held_out": ("no mês de {month} de {year}", "feitos em {number}/{year}"),
    },
    "payment_type": {
        "train": ("pagos com {label}", "no {label}", "com pagamento em {label}"),
        "held_out": ("pagos no {label}", "com pagamento no {label}"),
    },
    "order_status": {
        "train": ("{label}", "com status {label}", "que estão {label}"),
        "held_out": ("que têm status {label}", "com status de {label}"),
    },
    "delayed=1": {
        "train": ("atrasados", "com atraso", "que atrasaram", "entregues com atraso"),
        "held_out": ("que tiveram atraso", "que estão atrasados"),
    },
    "delayed=0": {
        "train": ("sem atraso", "no prazo", "que não atrasaram"),
        "held_out": ("que não tiveram atraso", "feitos sem atraso"),
    },
    "review_score=": {
        "train": ("com nota {n}", "de nota {n}", "avaliados com nota {n}", "que tiveram avaliação {n}"),
        "held_out": ("com avaliação {n}", "que tiveram nota {n}"),
    },
    "review_score<=": {
        "train": ("com nota até {n}", "com nota {n} ou menos", "com nota no máximo {n}"),
        "held_out": ("de nota {n} ou menos", "avaliados com nota até {n}"),
    },
    "review_score>=": {
        "train": ("com nota {n} ou mais", "com nota a partir de {n}", "com nota no mínimo {n}"),
        "held_out": ("de nota {n} ou mais", "avaliados com nota a partir de {n}"),
    },
    "price>": {
        "train": ("acima de R$ {n}", "de mais de R$ {n}", "com preço acima de R$ {n}", "que custaram mais de R$ {n}"),
        "held_out": ("com preço de mais de R$ {n}", "que custaram acima de R$ {n}"),
    },
    "price<": {
        "train": (
            "abaixo de R$ {n}",
            "de menos de R$ {n}",
            "com preço abaixo de R$ {n}",
            "que custaram menos de R$ {n}",
        ),
        "held_out": ("com preço de menos de R$ {n}", "que custaram abaixo de R$ {n}"),
    },
}
