"""Texts and the record that each holds, for the structured form."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from grpo.data.tool_calls.functions import CITIES, PEOPLE

PLACES = ("Luigi", "Sakura", "Tasca", "Bistro")
DAYS = ("Monday", "Tuesday", "Friday", "Sunday")
ITEMS = ("lamp", "chair", "desk", "shelf", "mirror")
TEAMS = ("sales", "support", "finance", "legal")


class TextRecord(NamedTuple):
    """A text, the kind of record it holds, and the record."""

    text: str
    kind: str
    fields: dict[str, Any]


KEYS = {
    "booking": ("place", "guests", "day", "name"),
    "purchase": ("buyer", "item", "quantity", "price", "paid"),
    "contact": ("name", "team", "city", "extension"),
}
"""The keys of each kind of record, in the order in which they are written."""


def draw_record(rng: random.Random, kind: str) -> TextRecord:
    """A text that says every field of a record of this kind."""
    if kind == "booking":
        values = [rng.choice(PLACES), rng.randrange(2, 10), rng.choice(DAYS), rng.choice(PEOPLE)]
        text = rng.choice(
            (
                "table for {1} at {0} on {2}, name {3}",
                "{3} wants to eat at {0} on {2} with {1} people",
                "please book {0} for {1} on {2} under {3}",
            )
        )
    elif kind == "purchase":
        paid = rng.random() < 0.5
        values = [rng.choice(PEOPLE), rng.choice(ITEMS), rng.randrange(2, 10), rng.randrange(10, 100), paid]
        said = "paid" if paid else "not paid"
        text = rng.choice(
            (
                f"{{0}} bought {{2}} {{1}} at {{3}} each, {said}",
                f"{{2}} times {{1}} for {{0}}, {{3}} a piece, {said}",
                f"order of {{0}}: {{1}}, {{2}} pieces, price {{3}}, {said}",
            )
        )
    else:
        values = [rng.choice(PEOPLE), rng.choice(TEAMS), rng.choice(CITIES), rng.randrange(10, 100)]
        text = rng.choice(
            (
                "{0} of {1} sits in {2}, extension {3}",
                "in {2} ask {0} from {1} at {3}",
                "{1} in {2}: {0}, number {3}",
            )
        )
    return TextRecord(text.format(*values), kind, dict(zip(KEYS[kind], values, strict=True)))
