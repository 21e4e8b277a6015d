"""Rows of the four tasks: one generated text turned into an example, checked against the real orders where it can be."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grpo.data.shop.facts import ShopFacts
from grpo.data.shop.insights import write_insight
from grpo.data.shop.instructions import INSTRUCTIONS
from grpo.data.shop.pushes import MAX_CHARACTERS, write_push
from grpo.data.shop.questions import Query, ask_question
from grpo.data.shop.reviews import write_review
from grpo.data.shop.slips import corrupt_extraction, corrupt_insight, corrupt_push, corrupt_query
from grpo.data.shop.vocabulary import Side
from rewards.types import Example

DATABASE = "commerce.db"


@dataclass(frozen=True)
class ShopSource:
    """Where rows are drawn from: a side of the grammar over a shop's facts.

    `slips` spoils references (0 leaves them right); `small` draws from few words (see `vocabulary.pick_name`); with
    `orders` given, questions whose answer is empty, zero or a tie are refused.
    """

    side: Side
    facts: ShopFacts
    instructions: str
    slips: float = 0.0
    small: bool = False
    orders: sqlite3.Connection | None = None


def draw_row(task: str, row_id: str, rng: random.Random, source: ShopSource) -> Example | None:
    """One example of the task, or None where the drawn question has no usable answer."""
    drawn = _DRAW[task](rng, source)
    if drawn is None:
        return None
    text, reference, columns = drawn
    prompt = [
        {"role": "system", "content": INSTRUCTIONS[source.instructions][task]},
        {"role": "user", "content": text},
    ]
    return Example(row_id, task, prompt, reference, columns)


Drawn = tuple[str, str, dict[str, Any]]


def _draw_extraction(rng: random.Random, source: ShopSource) -> Drawn:
    review = write_review(rng, source.side, source.facts, small=source.small)
    if source.slips:
        return review.text, corrupt_extraction(rng, review.fields, source.slips), {}
    return review.text, json.dumps(review.fields, ensure_ascii=False), {}


def _draw_sql_qa(rng: random.Random, source: ShopSource) -> Drawn | None:
    question = ask_question(rng, source.side, source.facts, source.small)
    if source.orders is not None and not has_one_answer(source.orders, question.query):
        return None
    reference = corrupt_query(rng, question.query, source.facts, source.slips) if source.slips else str(question.query)
    columns = {"database": DATABASE, "question": question.text, "terms": list(question.terms)}
    return question.text, reference, columns


def _draw_insights(rng: random.Random, source: ShopSource) -> Drawn | None:
    segments = source.facts.segments[source.side]
    if not segments:
        return None
    insight = write_insight(rng, source.side, segments)
    reference = corrupt_insight(rng, insight, source.slips) if source.slips else insight.reference
    return insight.prompt, reference, {"figures": insight.figures}


def _draw_push(rng: random.Random, source: ShopSource) -> Drawn:
    push = write_push(rng, source.side, source.small)
    reference = corrupt_push(rng, push, source.slips) if source.slips else push.reference
    return push.prompt, reference, {
        "product": push.product.name, "offer": push.offer, "max_characters": MAX_CHARACTERS
    }  # fmt: skip


_DRAW: dict[str, Callable[[random.Random, ShopSource], Drawn | None]] = {
    "extraction": _draw_extraction,
    "sql_qa": _draw_sql_qa,
    "insights": _draw_insights,
    "push": _draw_push,
}


def has_one_answer(orders: sqlite3.Connection, query: Query) -> bool:
    """Whether the query's answer is a value other than NULL and 0, and no tie between two groups.

    A wrong query often gives 0 or nothing, so a question whose right answer is that would reward it.
    """
    rows = orders.execute(str(query)).fetchall()
    if not rows or not rows[0][0]:
        return False
    if "LIMIT 1" not in query.tail:
        return True
    measure = query.tail.split("ORDER BY ")[1].split(" DESC")[0]
    ranked = Query(measure, query.conditions, query.tail.replace("LIMIT 1", "LIMIT 2"))
    best = orders.execute(str(ranked)).fetchall()
    return len(best) > 1 and best[0] != best[1]
