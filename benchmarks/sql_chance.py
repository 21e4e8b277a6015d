"""Measures what sql_qa pays for by chance: pairs of statements that agree on one made-up shop and not on other ones.

    python -m benchmarks.sql_chance             drawn over the shop's view, judged by running both on eight other shops
    python -m benchmarks.sql_chance --show      each pair that is paid wrongly, or right and not paid

A condition is added, dropped or exchanged, or the select list is another one. A pair that agrees on every shop is `same`; one
that differs on some is `chance`, and `nearly` where all but two of them agree: nobody who sees one shop can tell.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from grpo.data.shop.database import (
    create_database,
    fill_with_made_up_orders,
    finish_database,
    load_into_memory,
    read_orders,
)
from grpo.data.shop.families import FAMILIES
from rewards.functions.sql_qa import SqlQa
from rewards.sql.results import finds_something, same_rows
from rewards.types import Completion, Example

OTHERS = 8
CONDITIONS = (
    "customer_state = 'SP'", "customer_state = 'DF'", "customer_state = 'GO'", "customer_city = 'Brasília'", "seller_state = 'SP'",
    "customer_city = 'Campinas'", "product_category = 'brinquedos'", "product_category = 'perfumaria'", "purchase_month = '2018-03'",
    "purchase_month >= '2018-01'", "purchase_date >= '2017-01-01'", "payment_type = 'voucher'", "payment_type <> 'voucher'",
    "payment_type = 'debit_card'", "order_status = 'delivered'", "order_status <> 'unavailable'", "order_status <> 'canceled'",
    "order_status IN ('delivered', 'shipped')", "delayed = 0", "delayed = 1", "delivery_days IS NOT NULL", "delivery_days > 0",
    "delivery_days < 60", "delivery_days <= 90", "review_score >= 1", "review_score >= 2", "review_score > 3", "review_score = 5",
    "price > 0", "price > 20", "price < 900", "price >= 100", "freight_value < 100", "freight_value > 5", "seller_state IS NOT NULL",
)  # fmt: skip


def build(folder: Path, seed: int) -> str:
    path = folder / f"{seed}.db"
    connection = create_database(path)
    fill_with_made_up_orders(connection, seed)
    finish_database(connection)
    connection.close()
    return str(path)


def draw_pairs(draw: random.Random, count: int) -> Iterator[tuple[str, str]]:
    """Two statements that differ in one place."""
    families = list(FAMILIES.values())
    for _ in range(count):
        family = draw.choice(families)
        chosen = draw.sample(CONDITIONS, draw.choice((1, 1, 2)))
        more = draw.choice(CONDITIONS)
        kind = draw.choice(("add", "add", "drop", "exchange", "exchange", "select"))
        others = [*chosen, more] if kind == "add" else chosen[1:] if kind == "drop" else [*chosen[1:], more]
        select = family.select
        if kind == "select":
            others = chosen
            select = draw.choice([each.select for each in families if each.tail == family.tail])
        yield (
            write(family.select, chosen, family.tail),
            write(select, others, family.tail),
        )


def write(select: str, conditions: list[str], tail: str) -> str:
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {select} FROM orders_enriched{where}{tail}"


def run(connection: sqlite3.Connection, sql: str) -> list[tuple]:
    return connection.execute(sql).fetchall()


def measure(seed: int, drawn: int, show: bool) -> dict[str, object]:
    counts: Counter[str] = Counter()
    function = SqlQa()
    with tempfile.TemporaryDirectory() as folder:
        paths = [build(Path(folder), seed + at) for at in range(OTHERS + 1)]
        shops = []
        for path in paths:
            connection = sqlite3.connect(path)
            shops.append(load_into_memory(read_orders(connection)))
            connection.close()
        for gold, text in dict.fromkeys(draw_pairs(random.Random(seed), drawn)):
            here = run(shops[0], gold)
            if (
                gold == text
                or not finds_something(here)
                or not same_rows(here, run(shops[0], text), function.tolerance)
            ):
                continue
            differ = sum(not same_rows(run(shop, gold), run(shop, text), function.tolerance) for shop in shops[1:])
            kind = "same" if not differ else "nearly" if differ <= 2 else "chance"
            score = function(Example("1", "sql_qa", [], gold, {"database": paths[0]}), Completion(text))
            paid = score.value is not None and score.value > 0.9
            counts[kind] += 1
            counts[f"{kind}_paid"] += paid
            if show and paid != (kind == "same"):
                print(f"{kind} ({differ} of {OTHERS}) {score.value:.3f} {score.reason}\n  {gold}\n  {text}")
    return dict(sorted(counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=2_000, help="drawn; those that agree on the first shop are judged")
    parser.add_argument("--show", action="store_true", help="print each pair that is judged wrongly")
    options = parser.parse_args()
    print(json.dumps(measure(options.seed, options.pairs, options.show), indent=2))


if __name__ == "__main__":
    main()
