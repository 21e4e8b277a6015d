"""What questions and figures can be asked of: the distinct values of a shop's orders, and its segments with their figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from grpo.data.shop.database import Order
from grpo.data.shop.vocabulary import Side, names_held_out_person

SMALLEST_SEGMENT = 8


class Segment(NamedTuple):
    """Orders that share a state, a category or a month (or two of them; the other is None), and their figures.

    `delayed_percent` is in 0..100 with one decimal; `days` is the mean of the delivered orders.
    """

    state: str | None
    category: str | None
    month: str | None
    orders: int
    delayed_percent: float
    score: float
    days: int
    revenue: float
    freight: float


@dataclass(frozen=True)
class ShopFacts:
    """Distinct values, most frequent first; `scores` and `common_*` repeat them as often as they occur.

    One in five segments is kept for held-out rows.
    """

    states: tuple[str, ...]
    seller_states: tuple[str, ...]
    cities: tuple[str, ...]
    categories: tuple[str, ...]
    payments: tuple[str, ...]
    statuses: tuple[str, ...]
    scores: tuple[int, ...]
    common_states: tuple[str, ...]
    common_categories: tuple[str, ...]
    common_months: tuple[str, ...]
    segments: Mapping[Side, tuple[Segment, ...]]


def gather_facts(orders: Sequence[Order]) -> ShopFacts:
    """The facts of these orders, in an order that depends on the orders alone."""

    def by_frequency(values: list) -> tuple:
        counts = Counter(value for value in values if value is not None)
        return tuple(value for value, _ in sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))))

    def sample_of(values: list) -> tuple:
        known = sorted(value for value in values if value is not None)
        return tuple(known[:: max(1, len(known) // 500)])

    columns = {name: list(values) for name, values in zip(Order._fields, zip(*orders, strict=True), strict=True)}
    segments = _cut_segments(orders)
    return ShopFacts(
        states=by_frequency(columns["customer_state"]),
        seller_states=by_frequency(columns["seller_state"]),
        cities=tuple(
            _name_city(city) for city in by_frequency(columns["customer_city"])[:60] if not names_held_out_person(city)
        ),
        categories=by_frequency(columns["product_category"]),
        payments=by_frequency(columns["payment_type"]),
        statuses=by_frequency(columns["order_status"]),
        scores=sample_of(columns["review_score"]),
        common_states=sample_of(columns["customer_state"]),
        common_categories=sample_of(columns["product_category"]),
        common_months=sample_of(columns["purchase_month"]),
        segments={
            "train": tuple(each for index, each in enumerate(segments) if index % 5),
            "held_out": segments[::5],
        },
    )


def _name_city(city: str) -> str:
    """Olist writes cities in lower case; people do not."""
    if not city.islower():
        return city
    return " ".join(word if word in ("de", "do", "da", "dos", "das") else word.capitalize() for word in city.split())


class _Figures(NamedTuple):
    delayed: int
    review_score: int
    delivery_days: int
    price: float
    freight_value: float


def _cut_segments(orders: Sequence[Order]) -> tuple[Segment, ...]:
    groups: dict[tuple[str, str, str], list[_Figures]] = defaultdict(list)
    for order in orders:
        if order.delivery_days is None or order.product_category is None or order.review_score is None:
            continue
        if order.price is None or order.freight_value is None:
            continue
        figures = _Figures(order.delayed, order.review_score, order.delivery_days, order.price, order.freight_value)
        state, category, month = order.customer_state, order.product_category, order.purchase_month
        for key in ((state, "", ""), ("", category, ""), ("", "", month), (state, category, ""), (state, "", month),
                    ("", category, month)):  # fmt: skip
            groups[key].append(figures)
    return tuple(
        Segment(
            state or None,
            category or None,
            month or None,
            len(group),
            round(100 * fmean(order.delayed for order in group), 1),
            round(fmean(order.review_score for order in group), 1),
            round(fmean(order.delivery_days for order in group)),
            round(sum(order.price for order in group), 2),
            round(fmean(order.freight_value for order in group), 2),
        )
        for (state, category, month), group in sorted(groups.items())
        if len(group) >= SMALLEST_SEGMENT
    )
