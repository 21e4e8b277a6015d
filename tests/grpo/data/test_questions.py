"""Questions about the orders: the query says what the question asks."""

import random
import re

import pytest

from grpo.data.shop.database import (
    create_database,
    fill_with_made_up_orders,
    finish_database,
    load_into_memory,
    read_orders,
)
from grpo.data.shop.facts import gather_facts
from grpo.data.shop.families import FAMILIES, FILTERS
from grpo.data.shop.questions import Condition, Query, ask_question
from grpo.data.shop.tasks import has_one_answer


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    """The orders of a made-up shop."""
    connection = create_database(tmp_path_factory.mktemp("db") / "c.db")
    fill_with_made_up_orders(connection, seed=7, orders=400)
    finish_database(connection)
    found = read_orders(connection)
    connection.close()
    return found


def test_query_when_written_then_has_the_canonical_style():
    """One spelling for one query, so that a small policy has one thing to learn."""
    query = Query("COUNT(*)", (Condition("customer_state", "=", "'SP'"), Condition("delayed", "=", "1")))
    assert str(query) == "SELECT COUNT(*) FROM orders_enriched WHERE customer_state = 'SP' AND delayed = 1"
    assert str(Query("AVG(price)", ())) == "SELECT AVG(price) FROM orders_enriched"


@pytest.mark.parametrize("side", ["train", "held_out"])
def test_question_when_asked_then_each_condition_is_said_and_nothing_else(orders, side):
    """The values of the query stand in the question in one of the ways that its column has."""
    facts, rng = gather_facts(orders), random.Random(1)
    for _ in range(400):
        question = ask_question(rng, side, facts)
        assert 1 <= len(question.query.conditions) <= 3
        columns = [condition.column for condition in question.query.conditions]
        assert len(set(columns)) == len(columns)
        assert not set(columns) & set(FAMILIES[question.family].closed)
        assert not {"delayed", "order_status"} <= set(columns)
        for condition in question.query.conditions:
            said = [
                phrasing
                for key, sides in FILTERS.items()
                if re.match(rf"{condition.column}({condition.operator}|=?{condition.value})?$", key)
                for phrasing in sides[side]
            ]
            patterns = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(phrasing)) for phrasing in said]
            assert any(re.search(pattern, question.text) for pattern in patterns), (question, condition)
            if condition.column in ("price", "review_score"):
                assert re.search(rf"\b{condition.value}\b", question.text)


def test_families_when_compared_then_no_phrasing_asks_two_things():
    """A phrasing belongs to one family, and a filter's words to one column."""
    phrasings = [text for family in FAMILIES.values() for text in family.train + family.held_out]
    filters = [text for sides in FILTERS.values() for texts in sides.values() for text in texts]
    assert len(set(phrasings)) == len(phrasings) >= 90
    assert len({re.sub(r"\{(code|name)\}", "{code}", text) for text in filters}) >= len(filters) - 4
    assert len(set(filters)) == len(filters)


def test_question_when_all_its_values_are_missing_then_is_asked_with_what_there_is(orders):
    """A shop without payments and statuses is still asked about."""
    facts = gather_facts([order._replace(payment_type=None, order_status="new", seller_state=None) for order in orders])
    rng = random.Random(2)
    asked = [str(ask_question(rng, "train", facts).query) for _ in range(200)]
    assert not any("payment_type" in query or "order_status" in query or "seller_state" in query for query in asked)


def test_answer_when_zero_missing_or_a_tie_then_is_refused(orders):
    """Nothing can be told from such an answer."""
    two = [orders[0]._replace(customer_state="SP", price=10.0), orders[1]._replace(customer_state="RJ", price=20.0)]
    memory = load_into_memory(two)
    top = " GROUP BY customer_state ORDER BY {} DESC LIMIT 1"
    nowhere = (Condition("customer_state", "=", "'XX'"),)
    assert has_one_answer(memory, Query("COUNT(*)", ()))
    assert not has_one_answer(memory, Query("COUNT(*)", nowhere))
    assert not has_one_answer(memory, Query("AVG(price)", nowhere))
    assert not has_one_answer(memory, Query("customer_state", (), top.format("COUNT(*)")))
    assert has_one_answer(memory, Query("customer_state", (), top.format("SUM(price)")))
    assert not has_one_answer(memory, Query("customer_state", nowhere, top.format("SUM(price)")))
    memory.close()
