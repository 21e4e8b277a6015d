"""The built shop: its files, its two sides, its references, and when it is built again."""

import hashlib
import json
import re
import sqlite3

import pytest

from grpo.data.rows import read_rows
from grpo.data.section import ShopSection
from grpo.data.shop import build_shop
from grpo.data.shop.build import VERSION
from grpo.data.shop.database import TABLES, Order
from grpo.data.shop.reviews import CLASSES, FIELDS, judge_churn, judge_sentiment, write_number
from grpo.data.shop.vocabulary import FIRST_NAMES, PRODUCTS, SURNAMES
from grpo.data.splits import leaks
from rewards.errors import UserError
from tests.timing import at_most


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The default shop, with some warm-up rows, as (files, rows of each file)."""
    files = build_shop(tmp_path_factory.mktemp("shops") / "shop", ShopSection(warmup_rows=2000))
    return files, {name: read_rows(getattr(files, name)) for name in ("train", "held_out", "warmup")}


def test_rows_when_built_then_have_v4s_numbers_and_shares(shop):
    """40, 40, 10 and 10 percent of 1,480 and of 320."""
    _, rows = shop
    for name, counts in (("train", (592, 592, 148, 148)), ("held_out", (128, 128, 32, 32))):
        tasks = [row.task for row in rows[name]]
        assert tuple(tasks.count(task) for task in ("extraction", "sql_qa", "insights", "push")) == counts
    assert rows["train"][0].id.endswith("-train-00001")


def test_prompts_when_compared_then_are_all_different_and_none_leaks(shop):
    """Within each file, and between training or warm-up and held-out."""
    _, rows = shop
    assert leaks(rows["train"], rows["held_out"]) == [] and leaks(rows["warmup"], rows["held_out"]) == []
    prompts = [row.prompt[-1]["content"] for row in rows["train"]]
    assert len(set(prompts)) == len(prompts)


def test_training_texts_when_searched_then_hold_no_held_out_product_or_name(shop):
    """Neither in prompts nor in references, as whole words."""
    _, rows = shop
    text = "\n".join(f"{row.prompt[-1]['content']}\n{row.reference}" for row in rows["train"] + rows["warmup"])
    words = set(re.findall(r"\w+", text))
    assert words & {*FIRST_NAMES["held_out"], *SURNAMES["held_out"]} == set()
    assert [product.name for product in PRODUCTS["held_out"] if re.search(rf"\b{product.name}\b", text)] == []


def test_small_shop_when_built_then_holds_out_combinations_of_few_words(tmp_path):
    """Every held-out name and product is new, and made of words that training knows; questions have one condition."""
    files = build_shop(tmp_path / "s", ShopSection(size="small", warmup_rows=2000))
    rows = {name: read_rows(getattr(files, name)) for name in ("train", "held_out", "warmup")}
    seen, held_out = set(), set()
    for name, values in (("train", seen), ("warmup", seen), ("held_out", held_out)):
        for row in rows[name]:
            if row.task == "extraction":
                values |= {json.loads(row.reference)[field] for field in ("customer", "product")} - {None}
            elif row.task == "push":
                values.add(row.columns["product"])
    assert held_out and not held_out & seen
    assert {word for value in held_out for word in value.split()} <= {word for value in seen for word in value.split()}
    questions = [row.reference for row in rows["train"] if row.task == "sql_qa"]
    assert not [query for query in questions if " AND " in query]
    prices = [json.loads(row.reference)["price"] for row in rows["train"] if row.task == "extraction"]
    assert all(10 <= price < 100 for price in prices if price is not None)


def test_extraction_when_read_then_every_field_follows_from_the_review(shop):
    """Texts and numbers stand in the review; sentiment and churn risk follow by rule; keys keep their order."""
    _, rows = shop
    for row in rows["train"] + rows["held_out"] + rows["warmup"]:
        if row.task != "extraction":
            continue
        text, fields = row.prompt[-1]["content"], json.loads(row.reference)
        assert tuple(fields) == FIELDS
        assert fields["product"] in text and (fields["customer"] or "") in text
        assert re.search(rf"(?<![\d,]){write_number(fields['sentiment_score'])}(?![\d]|,\d)", text)
        assert fields["delivery_days"] is None or f"{fields['delivery_days']} dias" in text
        if fields["price"] is not None:
            assert write_number(fields["price"]) in text
        else:
            assert "R$" not in text and "reais" not in text
        assert all(fields[name] in CLASSES[name] for name in CLASSES)
        assert fields["sentiment"] == judge_sentiment(fields["sentiment_score"])
        assert fields["churn_risk"] == judge_churn(
            fields["complaint_category"], fields["would_buy_again"], fields["requested_action"]
        )


def test_extraction_when_counted_then_every_class_is_common(shop):
    """A class that is never seen cannot be learnt."""
    _, rows = shop
    answers = [json.loads(row.reference) for row in rows["train"] if row.task == "extraction"]
    for name, classes in CLASSES.items():
        for value in classes:
            assert sum(answer[name] == value for answer in answers) >= 0.05 * len(answers), (name, value)
    for name in ("customer", "delivery_days", "price", "would_buy_again"):
        missing = sum(answer[name] is None for answer in answers) / len(answers)
        assert 0.15 < missing < 0.75, name


def test_reviews_when_counted_then_are_as_long_as_reviews_are(shop):
    """Nine of ten have 25 to 55 words, and none is a novel."""
    _, rows = shop
    words = sorted(len(row.prompt[-1]["content"].split()) for row in rows["train"] if row.task == "extraction")
    assert words[len(words) // 20] >= 22 and words[-len(words) // 20] <= 55 and words[-1] <= 70


def test_sql_when_run_on_the_real_file_then_answers_with_one_value(shop):
    """Every reference runs on the view and answers neither nothing nor zero; its terms stand in it."""
    files, rows = shop
    connection = sqlite3.connect(f"file:{files.database}?mode=ro", uri=True)
    for row in [*rows["train"], *rows["held_out"]]:
        if row.task == "sql_qa":
            answer = connection.execute(row.reference).fetchall()
            assert len(answer) == 1 and len(answer[0]) == 1 and answer[0][0], row.reference
            assert row.columns["terms"] and all(term in row.reference for term in row.columns["terms"])
            assert row.columns["question"] == row.prompt[-1]["content"]
            assert row.columns["database"] == str(files.database.resolve())
    connection.close()


def test_insights_when_read_then_use_the_figures_of_the_prompt_only(shop):
    """Every number but the actions' own is a figure, and the form is the agreed one."""
    _, rows = shop
    for row in [*rows["train"], *rows["held_out"]]:
        if row.task == "insights":
            form = re.fullmatch(r"Diagnóstico: (.+)\. Ações: 1\) ([^;]+); 2\) ([^;]+)\.", row.reference)
            assert form, row.reference
            used = re.findall(r"\d+(?:[.,]\d+)*", form[1])
            assert len(used) >= 2 and set(used) <= set(row.columns["figures"])
            assert all(figure in row.prompt[-1]["content"] for figure in row.columns["figures"])
            assert not re.search(r"\d", form[2] + form[3]) and form[2] != form[3]
            assert all(action.split()[0].endswith("r") for action in (form[2], form[3]))
            assert 20 <= len(row.reference.split()) <= 45


def test_pushes_when_read_then_name_product_and_offer_within_the_limit(shop):
    """At most 120 characters, as Python counts them."""
    _, rows = shop
    for row in [*rows["train"], *rows["held_out"]]:
        if row.task == "push":
            assert 40 <= len(row.reference) <= row.columns["max_characters"] == 120
            assert row.columns["product"] in row.reference and row.columns["offer"] in row.reference
            assert (
                row.columns["product"] in row.prompt[-1]["content"]
                and row.columns["offer"] in row.prompt[-1]["content"]
            )


def test_database_when_opened_then_has_olists_tables_and_the_view(shop):
    """Nine tables under Olist's names, none empty; the view's columns; reviews that people wrote."""
    files, _ = shop
    connection = sqlite3.connect(files.database)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == set(TABLES) and len(TABLES) == 9
    for table in TABLES:
        assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] > 0, table
    view = connection.execute("SELECT * FROM orders_enriched")
    assert tuple(column[0] for column in view.description) == Order._fields
    orders = [Order(*row) for row in view]
    assert len(orders) == 1000 and {order.delayed for order in orders} == {0, 1}
    comments = "SELECT COUNT(review_comment_message) FROM olist_order_reviews"
    assert 300 < connection.execute(comments).fetchone()[0] < 500
    connection.close()


def test_comments_when_they_state_a_score_then_it_is_the_orders(shop):
    """A written review of the database agrees with the row it stands in."""
    files, _ = shop
    connection = sqlite3.connect(files.database)
    query = """SELECT v.review_score, r.review_comment_message FROM orders_enriched v JOIN olist_order_reviews r
               ON r.order_id = v.order_id WHERE r.review_comment_message IS NOT NULL"""
    for score, text in connection.execute(query):
        assert re.search(rf"\b{score}\b", text)
    connection.close()


def test_view_when_computed_by_hand_then_agrees(shop):
    """Price and freight are sums over the items; days and delay compare dates."""
    files, _ = shop
    connection = sqlite3.connect(files.database)
    connection.row_factory = sqlite3.Row
    two_items = connection.execute("SELECT order_id FROM olist_order_items WHERE order_item_id = 2 LIMIT 1").fetchone()[
        0
    ]
    items = connection.execute(
        "SELECT price, freight_value FROM olist_order_items WHERE order_id = ?", [two_items]
    ).fetchall()
    seen = connection.execute("SELECT * FROM orders_enriched WHERE order_id = ?", [two_items]).fetchone()
    assert seen["price"] == pytest.approx(sum(item["price"] for item in items))
    assert seen["freight_value"] == pytest.approx(sum(item["freight_value"] for item in items), abs=0.01)
    query = "SELECT * FROM orders_enriched JOIN olist_orders USING (order_id)"
    for row in connection.execute(query):
        delivered, promised = row["order_delivered_customer_date"], row["order_estimated_delivery_date"]
        assert row["delayed"] == int(delivered is not None and delivered[:10] > promised[:10])
        assert (row["delivery_days"] is None) == (delivered is None)
    connection.close()


def test_shop_when_built_twice_with_one_seed_then_has_the_same_bytes(tmp_path):
    """The database too."""
    section = ShopSection(warmup_rows=50, warmup_slips=0.3, train_rows=60, held_out_rows=20)
    first, second = build_shop(tmp_path / "a", section), build_shop(tmp_path / "b", section)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    third = build_shop(tmp_path / "c", section.model_copy(update={"seed": 8}))
    assert third.train.read_bytes() != first.train.read_bytes()


def test_slips_when_turned_on_then_only_warmup_references_change(tmp_path):
    """Training and held-out rows stay right, whatever the annotators do."""
    section = ShopSection(warmup_rows=200, train_rows=60, held_out_rows=20)
    clean = build_shop(tmp_path / "a", section)
    spoilt = build_shop(tmp_path / "b", section.model_copy(update={"warmup_slips": 0.5}))
    assert clean.train.read_bytes() == spoilt.train.read_bytes()
    assert clean.held_out.read_bytes() == spoilt.held_out.read_bytes()
    assert clean.warmup.read_bytes() != spoilt.warmup.read_bytes()


def test_shop_when_it_stands_already_then_is_reused_and_else_built_anew(tmp_path):
    """An equal section reuses; another section, or a damaged file, builds."""
    section = ShopSection(train_rows=60, held_out_rows=20)
    files = build_shop(tmp_path / "s", section)
    stamp = files.train.stat().st_mtime_ns
    assert build_shop(tmp_path / "s", section).train.stat().st_mtime_ns == stamp
    files.train.write_text("half")
    assert len(read_rows(build_shop(tmp_path / "s", section).train)) == 60
    build_shop(tmp_path / "s", section.model_copy(update={"train_rows": 40}))
    assert len(read_rows(files.train)) == 40
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_shop_when_the_directory_holds_other_things_then_refuses_and_touches_nothing(tmp_path):
    """Neither a foreign folder nor a shop to which somebody added a file is deleted."""
    section = ShopSection(train_rows=60, held_out_rows=20)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="holds no shop"):
        build_shop(tmp_path / "d", section)
    build_shop(tmp_path / "s", section)
    (tmp_path / "s" / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"notes\.txt"):
        build_shop(tmp_path / "s", section.model_copy(update={"seed": 8}))
    assert (tmp_path / "s" / "notes.txt").exists() and (tmp_path / "d" / "thesis.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "s"]


def test_shop_when_built_then_takes_little_time(tmp_path):
    """A dry run may take three seconds in all, of which the shop gets 1.2 of a quiet machine."""
    with at_most(1.2):
        build_shop(tmp_path / "s", ShopSection())


def test_instructions_when_short_then_are_one_word(tmp_path):
    """The embedded policy has few tokens to spend."""
    files = build_shop(tmp_path / "s", ShopSection(train_rows=40, held_out_rows=10, instructions="short"))
    systems = {row.task: row.prompt[0]["content"] for row in read_rows(files.train)}
    assert systems == {"extraction": "extração", "sql_qa": "sql", "insights": "análise", "push": "push"}


def test_instructions_when_full_then_name_every_key_class_and_column(shop):
    """A real model reads the format there, and nowhere else."""
    _, rows = shop
    systems = {row.task: row.prompt[0]["content"] for row in rows["train"]}
    assert all(f"{name}:" in systems["extraction"] for name in FIELDS)
    assert all(f'"{value}"' in systems["extraction"] for values in CLASSES.values() for value in values)
    assert all(column in systems["sql_qa"] for column in Order._fields)
    assert "120 caracteres" in systems["push"]
    assert "Diagnóstico:" in systems["insights"] and "Ações: 1)" in systems["insights"]


def test_generator_when_its_output_changes_then_its_version_must_rise(tmp_path):
    """A stored shop is reused by version, so new output under an old version would never be seen."""
    digests = []
    for size in ("full", "small"):
        section = ShopSection(size=size, train_rows=200, held_out_rows=40, warmup_rows=200, warmup_slips=0.2)
        files = build_shop(tmp_path / size, section)
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in (files.train, files.held_out, files.warmup)))
        digests.append(digest.hexdigest()[:16])
    assert (VERSION, *digests) == ("2", "399edf168d9d7eda", "e3730501496c155e"), (
        "raise VERSION in build.py and put the new pair here"
    )
