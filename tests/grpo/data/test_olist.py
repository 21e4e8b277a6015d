"""The shop built from Olist's CSV files, here small ones under the official names and headers."""

import csv
import json
import sqlite3

import pytest

from grpo.data.rows import read_rows
from grpo.data.section import ShopSection
from grpo.data.shop import build_shop
from grpo.data.shop.database import TABLES
from grpo.data.shop.olist import FILES
from rewards.errors import UserError

SMALL = ShopSection(train_rows=80, held_out_rows=20)
HEADERS = {
    "olist_customers_dataset.csv": "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
    "olist_geolocation_dataset.csv": "geolocation_zip_code_prefix,geolocation_lat,geolocation_lng,geolocation_city,"
    "geolocation_state",
    "olist_order_items_dataset.csv": "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
    "olist_order_payments_dataset.csv": "order_id,payment_sequential,payment_type,payment_installments,payment_value",
    "olist_order_reviews_dataset.csv": "review_id,order_id,review_score,review_comment_title,review_comment_message,"
    "review_creation_date,review_answer_timestamp",
    "olist_orders_dataset.csv": "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date",
    "olist_products_dataset.csv": "product_id,product_category_name,product_name_lenght,product_description_lenght,"
    "product_photos_qty,product_weight_g,product_length_cm,product_height_cm,product_width_cm",
    "olist_sellers_dataset.csv": "seller_id,seller_zip_code_prefix,seller_city,seller_state",
    "product_category_name_translation.csv": "product_category_name,product_category_name_english",
}


@pytest.fixture
def olist(tmp_path):
    """A folder with the nine files, holding the orders of a made-up shop; the translation starts with a BOM, as Olist's."""
    shop = build_shop(tmp_path / "source", SMALL.model_copy(update={"seed": 3}))
    connection = sqlite3.connect(shop.database)
    folder = tmp_path / "olist"
    folder.mkdir()
    for table, name in FILES.items():
        encoding = "utf-8-sig" if table.startswith("product_category") else "utf-8"
        with (folder / name).open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(HEADERS[name].split(","))
            writer.writerows(connection.execute(f"SELECT * FROM {table}"))
    connection.close()
    return folder


def test_shop_when_built_from_csv_files_then_has_their_orders(olist, tmp_path):
    """The view of the loaded files equals the view they were written from."""
    files = build_shop(tmp_path / "shop", SMALL.model_copy(update={"olist": olist}))
    views = []
    for database in (files.database, tmp_path / "source" / "commerce.db"):
        connection = sqlite3.connect(database)
        views.append(connection.execute("SELECT * FROM orders_enriched ORDER BY order_id").fetchall())
        connection.close()
    assert views[0] == views[1] and len(views[0]) == 1000
    assert len(read_rows(files.train)) == 80
    assert json.loads(files.manifest.read_text())["orders"] == 1000


def test_headers_when_compared_then_are_olists():
    """The tables ask for exactly the official columns, whatever their order in the file."""
    for table, columns in TABLES.items():
        assert [column.split()[0] for column in columns.split(", ")] == HEADERS[FILES[table]].split(",")


def test_shop_when_a_file_changes_then_is_built_anew(olist, tmp_path):
    """Size and time of the files are part of the manifest."""
    section = SMALL.model_copy(update={"olist": olist})
    files = build_shop(tmp_path / "shop", section)
    path = olist / "olist_orders_dataset.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:600]) + "\n")
    build_shop(tmp_path / "shop", section)
    assert json.loads(files.manifest.read_text())["orders"] == 599


def test_olist_when_files_and_columns_are_missing_then_all_are_named_together(olist, tmp_path):
    """One line each, and nothing is left behind."""
    (olist / "olist_sellers_dataset.csv").unlink()
    (olist / "olist_geolocation_dataset.csv").unlink()
    path = olist / "olist_customers_dataset.csv"
    path.write_text(path.read_text().replace("customer_city", "city", 1))
    with pytest.raises(UserError) as caught:
        build_shop(tmp_path / "shop", SMALL.model_copy(update={"olist": olist}))
    found = caught.value.problems
    assert len(found) == 3
    assert "olist_customers_dataset.csv: no column customer_city" in found[0]
    assert "olist_geolocation_dataset.csv: no such file" in found[1]
    assert "olist_sellers_dataset.csv: no such file" in found[2]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["olist", "source"]


def test_olist_when_the_folder_is_missing_then_one_line(tmp_path):
    """Nine missing files would say less."""
    with pytest.raises(UserError) as caught:
        build_shop(tmp_path / "shop", SMALL.model_copy(update={"olist": tmp_path / "none"}))
    assert len(caught.value.problems) == 1 and "no such folder" in caught.value.problems[0]


def test_olist_when_a_line_is_cut_off_then_it_is_named(olist, tmp_path):
    """A download that broke off must not become a smaller shop."""
    with (olist / "olist_order_items_dataset.csv").open("a") as file:
        file.write('"abc","1","x"\n')
    with pytest.raises(UserError, match=r"olist_order_items_dataset\.csv:\d+: 3 columns, the header has 7"):
        build_shop(tmp_path / "shop", SMALL.model_copy(update={"olist": olist}))


def test_olist_when_there_is_no_order_or_too_few_then_says_so(olist, tmp_path):
    """No endless search for questions that the orders cannot answer."""
    section = SMALL.model_copy(update={"olist": olist})
    path = olist / "olist_orders_dataset.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:4]) + "\n")
    with pytest.raises(UserError, match="do not yield"):
        build_shop(tmp_path / "shop", section)
    path.write_text(lines[0] + "\n")
    with pytest.raises(UserError, match="hold no order"):
        build_shop(tmp_path / "shop", section)
    path.write_text("")
    with pytest.raises(UserError, match="no column order_id"):
        build_shop(tmp_path / "shop", section)
    assert not (tmp_path / "shop").exists()
