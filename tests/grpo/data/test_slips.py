"""The slips of hurried annotators: none at 0, everywhere at 1, and about as many as asked for between."""

import json
import random

import pytest

from grpo.data.shop.database import create_database, fill_with_made_up_orders, finish_database, read_orders
from grpo.data.shop.facts import gather_facts
from grpo.data.shop.insights import write_insight
from grpo.data.shop.pushes import write_push
from grpo.data.shop.questions import ask_question
from grpo.data.shop.reviews import FIELDS, write_review
from grpo.data.shop.slips import corrupt_extraction, corrupt_insight, corrupt_push, corrupt_query


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """The facts of a made-up shop."""
    connection = create_database(tmp_path_factory.mktemp("db") / "c.db")
    fill_with_made_up_orders(connection, seed=7)
    finish_database(connection)
    found = gather_facts(read_orders(connection))
    connection.close()
    return found


def test_references_when_slips_are_0_then_are_right(facts):
    """Nothing is touched."""
    rng = random.Random(1)
    for _ in range(50):
        fields = write_review(rng, "train", facts).fields
        assert corrupt_extraction(rng, fields, 0.0) == json.dumps(fields, ensure_ascii=False)
        query = ask_question(rng, "train", facts).query
        assert corrupt_query(rng, query, facts, 0.0) == str(query)
        insight, push = write_insight(rng, "train", facts.segments["train"]), write_push(rng, "train")
        assert corrupt_insight(rng, insight, 0.0) == insight.reference
        assert corrupt_push(rng, push, 0.0) == push.reference


def test_references_when_slips_are_1_then_are_wrong(facts):
    """Every field of every row; an invented figure may be the true one by chance, so a few may stay."""
    rng = random.Random(2)
    for _ in range(200):
        fields = write_review(rng, "train", facts).fields
        text = corrupt_extraction(rng, fields, 1.0)
        for name in FIELDS:
            right = f'"{name}": {json.dumps(fields[name], ensure_ascii=False)}'
            assert f"{right}, " not in text and not text.endswith(right + "}")
        query = ask_question(rng, "train", facts).query
        assert corrupt_query(rng, query, facts, 1.0) != str(query)
        insight, push = write_insight(rng, "train", facts.segments["train"]), write_push(rng, "train")
        assert corrupt_insight(rng, insight, 1.0) != insight.reference
        assert corrupt_push(rng, push, 1.0) != push.reference


def test_references_when_slips_are_a_fifth_then_about_a_fifth_is_wrong(facts):
    """The chance is each field's."""
    rng = random.Random(3)
    right = total = 0
    for _ in range(500):
        fields = write_review(rng, "train", facts).fields
        text = corrupt_extraction(rng, fields, 0.2)
        for name, value in fields.items():
            total += 1
            part = f'"{name}": {json.dumps(value, ensure_ascii=False)}'
            right += f"{part}, " in text or text.endswith(part + "}")
    assert 0.77 < right / total < 0.83


def test_extraction_when_spoilt_then_shows_the_known_kinds_of_slip(facts):
    """Unquoted decimal commas, English labels, other genders and left-out keys are all among them."""
    rng = random.Random(4)
    texts = [corrupt_extraction(rng, write_review(rng, "train", facts).fields, 0.3) for _ in range(400)]
    joined = "\n".join(texts)
    assert any('"churn_risk"' not in text for text in texts)
    assert '"negative"' in joined and '"alta"' in joined and "4,5" in joined
    broken = 0
    for text in texts:
        try:
            json.loads(text)
        except ValueError:
            broken += 1
    assert 10 < broken < 300
