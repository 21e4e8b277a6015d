"""What is gathered from a shop's orders: hand-computed segments, values by frequency, and the held-out fifth."""

from __future__ import annotations

from grpo.data.shop.database import Order
from grpo.data.shop.facts import SMALLEST_SEGMENT, gather_facts


def make_order(number: int, state: str = "SP", category: str | None = "books", **columns) -> Order:
    values = {
        "order_id": str(number), "customer_state": state, "customer_city": "são paulo", "seller_state": "SP",
        "order_status": "delivered", "purchase_date": "2018-03-05", "purchase_month": "2018-03", "delivery_days": 10,
        "delayed": 0, "product_category": category, "payment_type": "boleto", "price": 10.0, "freight_value": 2.0,
        "review_score": 4,
    }  # fmt: skip
    return Order(**{**values, **columns})


def test_gather_facts_when_a_segment_is_large_enough_then_its_figures_are_those_by_hand():
    """Two of eight orders late, one of 20 days among seven of 10, one of 30.5 among seven of 10.0."""
    orders = [make_order(number) for number in range(6)]
    orders += [make_order(6, delayed=1, delivery_days=20), make_order(7, delayed=1, price=30.5, review_score=1)]
    facts = gather_facts(orders)
    segments = {each[:3]: each for side in facts.segments.values() for each in side}
    assert len(orders) == SMALLEST_SEGMENT and len(segments) == 6
    found = segments["SP", "books", None]
    assert (found.orders, found.delayed_percent, found.score, found.days) == (8, 25.0, 3.6, 11)
    assert (found.revenue, found.freight) == (100.5, 2.0)


def test_gather_facts_when_figures_are_missing_then_the_order_is_in_no_segment():
    """Seven whole orders and one without a price are too few."""
    orders = [make_order(number) for number in range(7)]
    for missing in ("price", "delivery_days", "review_score", "freight_value", "product_category"):
        facts = gather_facts([*orders, make_order(7, **{missing: None})])
        assert not facts.segments["train"] and not facts.segments["held_out"], missing


def test_gather_facts_when_segments_are_split_then_every_fifth_from_the_first_is_held_out():
    """No segment stands on both sides."""
    orders = [make_order(number * 10 + at, state) for number, state in enumerate("ABCDEF") for at in range(8)]
    facts = gather_facts(orders)
    train, held_out = facts.segments["train"], facts.segments["held_out"]
    assert not set(train) & set(held_out)
    assert len(held_out) == -(-(len(train) + len(held_out)) // 5)


def test_gather_facts_when_values_repeat_then_the_most_frequent_stands_first():
    """Equals are in the order of their names, missing values are none, and cities have capitals but for `de`."""
    orders = [
        make_order(1, "SP"),
        make_order(2, "RJ"),
        make_order(3, "RJ", None, customer_city="rio de janeiro"),
        make_order(4, "BA"),
    ]
    facts = gather_facts(orders)
    assert facts.states == ("RJ", "BA", "SP") and facts.categories == ("books",)
    assert facts.cities == ("São Paulo", "Rio de Janeiro") and facts.common_states == ("BA", "RJ", "RJ", "SP")
