"""The shop's SQLite file: Olist's nine tables in miniature, and the view `orders_enriched` that questions are asked of."""

from __future__ import annotations

import random
import sqlite3
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

TABLES: dict[str, str] = {
    "olist_customers": "customer_id TEXT PRIMARY KEY, customer_unique_id TEXT, customer_zip_code_prefix TEXT, "
    "customer_city TEXT, customer_state TEXT",
    "olist_geolocation": "geolocation_zip_code_prefix TEXT, geolocation_lat REAL, geolocation_lng REAL, "
    "geolocation_city TEXT, geolocation_state TEXT",
    "olist_order_items": "order_id TEXT, order_item_id INTEGER, product_id TEXT, seller_id TEXT, "
    "shipping_limit_date TEXT, price REAL, freight_value REAL",
    "olist_order_payments": "order_id TEXT, payment_sequential INTEGER, payment_type TEXT, "
    "payment_installments INTEGER, payment_value REAL",
    "olist_order_reviews": "review_id TEXT, order_id TEXT, review_score INTEGER, review_comment_title TEXT, "
    "review_comment_message TEXT, review_creation_date TEXT, review_answer_timestamp TEXT",
    "olist_orders": "order_id TEXT PRIMARY KEY, customer_id TEXT, order_status TEXT, order_purchase_timestamp TEXT, "
    "order_approved_at TEXT, order_delivered_carrier_date TEXT, order_delivered_customer_date TEXT, "
    "order_estimated_delivery_date TEXT",
    "olist_products": "product_id TEXT PRIMARY KEY, product_category_name TEXT, product_name_lenght INTEGER, "
    "product_description_lenght INTEGER, product_photos_qty INTEGER, product_weight_g INTEGER, "
    "product_length_cm INTEGER, product_height_cm INTEGER, product_width_cm INTEGER",
    "olist_sellers": "seller_id TEXT PRIMARY KEY, seller_zip_code_prefix TEXT, seller_city TEXT, seller_state TEXT",
    "product_category_name_translation": "product_category_name TEXT PRIMARY KEY, product_category_name_english TEXT",
}
"""Each table's columns, under Olist's own names (its spelling of `lenght` too)."""

_INDEXES = (
    "CREATE INDEX items_of_order ON olist_order_items (order_id, order_item_id)",
    "CREATE INDEX payments_of_order ON olist_order_payments (order_id, payment_sequential)",
    "CREATE INDEX reviews_of_order ON olist_order_reviews (order_id)",
)

# One row an order. What an order may have several of is taken from its first item, its first payment and its last
# review; `price` and `freight_value` are sums over all items. Scalar subqueries, because SQLite does not run the ones
# whose column a query does not use.
_VIEW = """
CREATE VIEW orders_enriched AS
SELECT
  o.order_id AS order_id,
  c.customer_state AS customer_state,
  c.customer_city AS customer_city,
  (SELECT s.seller_state FROM olist_order_items i JOIN olist_sellers s ON s.seller_id = i.seller_id
   WHERE i.order_id = o.order_id ORDER BY i.order_item_id LIMIT 1) AS seller_state,
  o.order_status AS order_status,
  substr(o.order_purchase_timestamp, 1, 10) AS purchase_date,
  substr(o.order_purchase_timestamp, 1, 7) AS purchase_month,
  CAST(round(julianday(substr(o.order_delivered_customer_date, 1, 10))
             - julianday(substr(o.order_purchase_timestamp, 1, 10))) AS INTEGER) AS delivery_days,
  coalesce(substr(o.order_delivered_customer_date, 1, 10) > substr(o.order_estimated_delivery_date, 1, 10), 0) AS delayed,
  (SELECT p.product_category_name FROM olist_order_items i JOIN olist_products p ON p.product_id = i.product_id
   WHERE i.order_id = o.order_id ORDER BY i.order_item_id LIMIT 1) AS product_category,
  (SELECT p.payment_type FROM olist_order_payments p
   WHERE p.order_id = o.order_id ORDER BY p.payment_sequential LIMIT 1) AS payment_type,
  (SELECT round(sum(i.price), 2) FROM olist_order_items i WHERE i.order_id = o.order_id) AS price,
  (SELECT round(sum(i.freight_value), 2) FROM olist_order_items i WHERE i.order_id = o.order_id) AS freight_value,
  (SELECT r.review_score FROM olist_order_reviews r
   WHERE r.order_id = o.order_id ORDER BY r.review_answer_timestamp DESC LIMIT 1) AS review_score
FROM olist_orders o JOIN olist_customers c ON c.customer_id = o.customer_id
"""


class Order(NamedTuple):
    """A row of `orders_enriched`; the fields are the view's columns, in its order."""

    order_id: str
    customer_state: str
    customer_city: str
    seller_state: str | None
    order_status: str
    purchase_date: str
    purchase_month: str
    delivery_days: int | None
    delayed: int
    product_category: str | None
    payment_type: str | None
    price: float | None
    freight_value: float | None
    review_score: int | None


def create_database(path: Path) -> sqlite3.Connection:
    """A new file with the nine empty tables, open for filling; call `finish_database` afterwards."""
    connection = sqlite3.connect(path, isolation_level=None)
    # The file is built in a temporary folder and thrown away when anything fails, so durability buys nothing.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    for table, columns in TABLES.items():
        connection.execute(f"CREATE TABLE {table} ({columns})")
    return connection


def fill_table(connection: sqlite3.Connection, table: str, rows: list[tuple]) -> None:
    """Insert the rows, whose values stand in the order of the table's columns."""
    marks = ", ".join("?" * (TABLES[table].count(",") + 1))
    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def finish_database(connection: sqlite3.Connection) -> None:
    """Add indexes and the view, and commit."""
    for statement in _INDEXES:
        connection.execute(statement)
    connection.execute(_VIEW)
    connection.execute("COMMIT")


def read_orders(connection: sqlite3.Connection) -> list[Order]:
    """The whole view, ordered by purchase date."""
    rows = connection.execute(
        f"SELECT {', '.join(Order._fields)} FROM orders_enriched ORDER BY purchase_date, order_id"
    )
    return [Order(*row) for row in rows]


def load_into_memory(orders: list[Order]) -> sqlite3.Connection:
    """The orders as a plain table `orders_enriched` in memory, for running many queries quickly."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"CREATE TABLE orders_enriched ({', '.join(Order._fields)})")
    marks = ", ".join("?" * len(Order._fields))
    connection.execute("BEGIN")
    connection.executemany(f"INSERT INTO orders_enriched VALUES ({marks})", orders)
    connection.execute("COMMIT")
    return connection


# What a made-up shop looks like: weights, cities, days that a delivery takes.
_STATES = {
    "SP": (38, 8, ("São Paulo", "Campinas", "Santos", "Sorocaba", "Ribeirão Preto", "Guarulhos")),
    "RJ": (13, 13, ("Rio de Janeiro", "Niterói", "Petrópolis")),
    "MG": (12, 11, ("Belo Horizonte", "Uberlândia", "Juiz de Fora")),
    "RS": (8, 14, ("Porto Alegre", "Caxias do Sul", "Pelotas")),
    "PR": (7, 11, ("Curitiba", "Londrina", "Maringá")),
    "SC": (6, 13, ("Florianópolis", "Joinville", "Blumenau")),
    "BA": (5, 18, ("Salvador", "Feira de Santana")),
    "DF": (4, 12, ("Brasília",)),
    "PE": (4, 18, ("Recife", "Olinda")),
    "CE": (4, 20, ("Fortaleza", "Sobral")),
    "GO": (3, 14, ("Goiânia", "Anápolis")),
    "ES": (3, 14, ("Vitória", "Vila Velha")),
}
_CATEGORIES = {
    "cama_mesa_banho": (14, 90, "bed_bath_table"),
    "beleza_saude": (13, 110, "health_beauty"),
    "esporte_lazer": (11, 105, "sports_leisure"),
    "informatica_acessorios": (10, 130, "computers_accessories"),
    "moveis_decoracao": (10, 95, "furniture_decor"),
    "utilidades_domesticas": (9, 85, "housewares"),
    "relogios_presentes": (8, 190, "watches_gifts"),
    "telefonia": (7, 75, "telephony"),
    "automotivo": (6, 140, "auto"),
    "brinquedos": (6, 100, "toys"),
    "perfumaria": (3, 120, "perfumery"),
    "papelaria": (3, 70, "stationery"),
}
_PAYMENTS = {"credit_card": 70, "boleto": 20, "voucher": 6, "debit_card": 4}
_STATUSES = {"delivered": 88, "shipped": 5, "canceled": 4, "processing": 2, "unavailable": 1}
_FIRST_DAY = date(2017, 1, 1)
_DAYS = 600


def fill_with_made_up_orders(connection: sqlite3.Connection, seed: int, orders: int = 1000) -> None:
    """Fill the nine tables; the same seed gives the same rows."""
    rng = random.Random(f"{seed}/database")
    places = [(state, city, f"{rng.randrange(1000, 99999):05d}") for state, row in _STATES.items() for city in row[2]]
    fill_table(
        connection,
        "olist_geolocation",
        [
            (prefix, round(rng.uniform(-31, -3), 6), round(rng.uniform(-55, -35), 6), city.lower(), state)
            for state, city, prefix in places
        ],
    )
    fill_table(connection, "product_category_name_translation", [(name, row[2]) for name, row in _CATEGORIES.items()])
    sellers = _make_sellers(rng, places)
    products = _make_products(rng)
    fill_table(connection, "olist_sellers", sellers)
    fill_table(connection, "olist_products", [row for row, _ in products])
    for table, rows in _make_orders(rng, orders, places, sellers, products).items():
        fill_table(connection, table, rows)


def _make_id(rng: random.Random) -> str:
    return f"{rng.getrandbits(128):032x}"


def _make_sellers(rng: random.Random, places: list[tuple[str, str, str]]) -> list[tuple]:
    southern = [place for place in places if place[0] in ("SP", "PR", "MG", "SC", "RJ", "RS")]
    return [(_make_id(rng), prefix, city, state) for state, city, prefix in rng.choices(southern, k=40)]


def _make_products(rng: random.Random) -> list[tuple[tuple, float]]:
    """Pairs of a row of `olist_products` and the product's price."""
    products = []
    for category, (weight, price, _) in _CATEGORIES.items():
        for _ in range(3 + weight):
            row = (_make_id(rng), category, rng.randrange(20, 64), rng.randrange(80, 2000), rng.randrange(1, 7),
                   rng.randrange(100, 9000), rng.randrange(16, 70), rng.randrange(4, 50), rng.randrange(11, 50))  # fmt: skip
            products.append((row, int(price * rng.uniform(0.3, 2.2)) + rng.choice((0.9, 0.99, 0.5, 0.0))))
    return products


def _make_orders(
    rng: random.Random,
    count: int,
    places: list[tuple[str, str, str]],
    sellers: list[tuple],
    products: list[tuple[tuple, float]],
) -> dict[str, list[tuple]]:
    rows: dict[str, list[tuple]] = {
        name: []
        for name in (
            "olist_customers",
            "olist_orders",
            "olist_order_items",
            "olist_order_payments",
            "olist_order_reviews",
        )
    }
    state_places = {state: [place for place in places if place[0] == state] for state in _STATES}
    states = rng.choices(list(_STATES), [row[0] for row in _STATES.values()], k=count)
    for state in states:
        order, customer = _make_id(rng), _make_id(rng)
        _, city, prefix = rng.choice(state_places[state])
        rows["olist_customers"].append((customer, _make_id(rng), prefix, city, state))
        status = rng.choices(list(_STATUSES), list(_STATUSES.values()))[0]
        # More orders towards the end, as in a shop that grows.
        bought = datetime.combine(_FIRST_DAY, datetime.min.time()) + timedelta(
            days=int(_DAYS * rng.random() ** 0.8), seconds=rng.randrange(86400)
        )
        usual_days = _STATES[state][1]
        days = max(1, int(rng.lognormvariate(0, 0.5) * usual_days))
        promised = usual_days + rng.randrange(4, 14)
        delivered = bought + timedelta(days=days, hours=rng.randrange(1, 12)) if status == "delivered" else None
        sent = status in ("delivered", "shipped")
        rows["olist_orders"].append(
            (
                order,
                customer,
                status,
                str(bought),
                str(bought + timedelta(hours=2)),
                str(bought + timedelta(days=1)) if sent else None,
                str(delivered) if delivered else None,
                str((bought + timedelta(days=promised)).date()) + " 00:00:00",
            )
        )
        total = 0.0
        for item in range(1, 2 + (rng.random() < 0.1)):
            product, price = rng.choice(products)
            freight = round(rng.uniform(0.7, 1.6) * (8 + usual_days), 2)
            total += price + freight
            rows["olist_order_items"].append(
                (order, item, product[0], rng.choice(sellers)[0], str(bought + timedelta(days=5)), price, freight)
            )
        payment = rng.choices(list(_PAYMENTS), list(_PAYMENTS.values()))[0]
        installments = rng.randrange(1, 11) if payment == "credit_card" else 1
        rows["olist_order_payments"].append((order, 1, payment, installments, round(total, 2)))
        late = delivered is not None and days > promised
        weights = (40, 18, 16, 14, 12) if late or status != "delivered" else (5, 4, 9, 24, 58)
        score = rng.choices((1, 2, 3, 4, 5), weights)[0]
        reviewed = (delivered or bought + timedelta(days=promised)) + timedelta(days=rng.randrange(1, 4))
        rows["olist_order_reviews"].append(
            (_make_id(rng), order, score, None, None, str(reviewed.date()) + " 00:00:00", str(reviewed))
        )
    return rows
