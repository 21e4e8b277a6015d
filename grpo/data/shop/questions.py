"""The `sql_qa` task: a question about the shop's orders, and the one `SELECT` over `orders_enriched` that answers it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from grpo.data.shop.facts import ShopFacts
from grpo.data.shop.families import FAMILIES, FILTERS, Family
from grpo.data.shop.vocabulary import MONTHS, STATES, Side, label_category

TABLE = "orders_enriched"


# The order of conditions in the SQL, whatever the order in the question; also how often each column is asked about.
_COLUMNS = {
    "customer_state": 10, "seller_state": 2, "product_category": 8, "purchase_month": 5, "payment_type": 4,
    "order_status": 3, "review_score": 4, "delayed": 5, "price": 3,
}  # fmt: skip
_PAYMENT_LABELS = {
    "credit_card": "cartão de crédito",
    "debit_card": "cartão de débito",
    "voucher": "vale",
    "boleto": "boleto",
}
_STATUS_LABELS = {
    "delivered": "entregues", "canceled": "cancelados", "shipped": "enviados", "processing": "em processamento",
    "unavailable": "indisponíveis", "invoiced": "faturados",
}  # fmt: skip
# What a filter's value is drawn from; the columns not named here have values of their own.
_VALUES: dict[str, Callable[[ShopFacts], Sequence[str]]] = {
    "customer_state": lambda facts: facts.common_states,
    "seller_state": lambda facts: facts.seller_states[:8],
    "product_category": lambda facts: facts.common_categories,
    "purchase_month": lambda facts: facts.common_months,
    "payment_type": lambda facts: [each for each in facts.payments if each in _PAYMENT_LABELS],
    "order_status": lambda facts: [each for each in facts.statuses if each in _STATUS_LABELS],
}
_WEIGHTS = {"count": 5, "revenue": 2, "average_price": 2, "average_score": 2, "average_days": 2}


class Condition(NamedTuple):
    """One comparison of a query: `column operator value`, the value as SQL writes it."""

    column: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.value}"


@dataclass(frozen=True)
class Query:
    """A query in the one canonical style, in pieces so that a slip can change one of them."""

    select: str
    conditions: tuple[Condition, ...]
    tail: str = ""

    def __str__(self) -> str:
        where = f" WHERE {' AND '.join(map(str, self.conditions))}" if self.conditions else ""
        return f"SELECT {self.select} FROM {TABLE}{where}{self.tail}"


@dataclass(frozen=True)
class Question:
    """A question, its query, and the domain words (columns, and values that are text) that a right query uses."""

    text: str
    family: str
    query: Query
    terms: tuple[str, ...]


def ask_question(rng: random.Random, side: Side, facts: ShopFacts, small: bool = False) -> Question:
    """One question with one to three filters, in the small shop one; nothing is executed: its answer may be empty or a tie."""
    names = list(FAMILIES)
    name = rng.choices(names, [_WEIGHTS.get(each, 1) for each in names])[0]
    family = FAMILIES[name]
    columns = _pick_columns(rng, family, facts, 1 if small else rng.choices((1, 2, 3), (45, 48, 7))[0])
    filters = [_make_filter(rng, side, facts, column) for column in columns]
    if len(filters) > 1 and rng.random() < 0.4:
        filters = [filters[-1], *filters[:-1]]
    said = " ".join(text for text, _ in filters)
    conditions = tuple(
        sorted((condition for _, condition in filters), key=lambda each: list(_COLUMNS).index(each.column))
    )
    text = rng.choice(family.train if side == "train" else family.held_out).format(f=said)
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    query = Query(family.select, conditions, family.tail)
    return Question(text, name, query, _list_terms(query))


def _pick_columns(rng: random.Random, family: Family, facts: ShopFacts, count: int) -> list[str]:
    open_columns = {
        column: weight
        for column, weight in _COLUMNS.items()
        if column not in family.closed and (column not in _VALUES or _VALUES[column](facts))
    }
    chosen: list[str] = []
    while len(chosen) < count and open_columns:
        column = rng.choices(list(open_columns), list(open_columns.values()))[0]
        del open_columns[column]
        chosen.append(column)
        if column in ("delayed", "order_status"):
            # A cancelled order is never late; asking for both gives an empty answer.
            open_columns.pop("delayed", None)
            open_columns.pop("order_status", None)
    return chosen


def _make_filter(rng: random.Random, side: Side, facts: ShopFacts, column: str) -> tuple[str, Condition]:
    """A filter's words and its condition."""
    key, operator = column, "="
    slots: dict[str, str] = {}
    value: Any
    if column in ("customer_state", "seller_state"):
        value = rng.choice(_VALUES[column](facts))
        slots = {"code": value, "name": STATES.get(value, f"de {value}")}
    elif column == "product_category":
        value = rng.choice(_VALUES[column](facts))
        slots = {"label": label_category(value)}
    elif column == "purchase_month":
        value = rng.choice(_VALUES[column](facts))
        year, number = value.split("-")
        slots = {"year": year, "number": number, "month": MONTHS[int(number) - 1]}
    elif column == "payment_type":
        value = rng.choice(_VALUES[column](facts))
        slots = {"label": _PAYMENT_LABELS[value]}
    elif column == "order_status":
        value = rng.choice(_VALUES[column](facts))
        slots = {"label": _STATUS_LABELS[value]}
    elif column == "delayed":
        value = 1 if rng.random() < 0.75 else 0
        key = f"delayed={value}"
    elif column == "review_score":
        operator, value = rng.choice((("=", rng.randint(1, 5)), ("<=", rng.randint(2, 3)), (">=", rng.randint(3, 4))))
        key, slots = f"review_score{operator}", {"n": str(value)}
    else:
        operator, value = rng.choice("><"), rng.choice((50, 80, 100, 120, 150, 200, 250, 300))
        key, slots = f"price{operator}", {"n": str(value)}
    text = rng.choice(FILTERS[key][side]).format_map(slots)
    return text, Condition(
        column, operator, str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
    )


def _list_terms(query: Query) -> tuple[str, ...]:
    terms: list[str] = []
    for column in ("customer_state", "product_category", "purchase_month", "customer_city", "price", "delivery_days",
                   "freight_value", "review_score", "delayed"):  # fmt: skip
        if column in query.select or column in query.tail:
            terms.append(column)
    for condition in query.conditions:
        terms.append(condition.column)
        if condition.value.startswith("'"):
            terms.append(condition.value[1:-1].replace("''", "'"))
    return tuple(dict.fromkeys(terms))
