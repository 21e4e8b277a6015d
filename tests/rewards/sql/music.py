"""A music shop's database with declared keys, other rows for each seed: invoices have the totals of their lines."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

SCHEMA = """
CREATE TABLE genre (genre_id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE artist (artist_id INTEGER PRIMARY KEY, name TEXT NOT NULL, label TEXT);
CREATE TABLE track (track_id INTEGER PRIMARY KEY, title TEXT NOT NULL, genre_id INTEGER NOT NULL REFERENCES genre (genre_id),
  artist_id INTEGER NOT NULL REFERENCES artist (artist_id), seconds INTEGER NOT NULL, price REAL NOT NULL);
CREATE TABLE employee (employee_id INTEGER PRIMARY KEY, name TEXT NOT NULL, reports_to INTEGER REFERENCES employee (employee_id));
CREATE TABLE customer (customer_id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL,
  support_id INTEGER REFERENCES employee (employee_id));
CREATE TABLE invoice (invoice_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (customer_id),
  day TEXT NOT NULL, billing_country TEXT NOT NULL, total REAL NOT NULL, paid INTEGER NOT NULL);
CREATE TABLE invoice_line (line_id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL REFERENCES invoice (invoice_id),
  track_id INTEGER NOT NULL REFERENCES track (track_id), price REAL NOT NULL, quantity INTEGER NOT NULL);
CREATE VIEW sale AS SELECT i.invoice_id, c.country, g.name AS genre, l.price, l.quantity, i.paid FROM invoice_line l
  JOIN invoice i USING (invoice_id) JOIN customer c USING (customer_id) JOIN track t USING (track_id) JOIN genre g USING (genre_id);
"""
GENRES = ("Choro", "Forró", "Frevo", "Jazz", "MPB", "Pop", "Rock", "Samba")
COUNTRIES = ("Brazil", "Brazil", "Brazil", "Canada", "Chile", "France", "Germany", "Portugal", "USA", "USA")


def build_music(path: Path, seed: int = 0, customers: int = 60) -> str:
    """Write the database and give its path."""
    draw = random.Random(seed)
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)

    def fill(table: str, rows: list[tuple]) -> None:
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    fill("genre", [(at, name) for at, name in enumerate(GENRES, 1)])
    fill("artist", [(at, f"Artist {at * 37 % 101}", draw.choice(("Indie", "Major", None))) for at in range(1, 31)])
    tracks = [
        (at, f"Song {at * 53 % 307}", draw.choice((1, 2, 3, 5, 7, 7, 7, 8)), draw.randint(1, 26), draw.randint(120, 480),
         draw.choice((0.99, 0.99, 1.29, 1.99)))
        for at in range(1, 151)
    ]  # fmt: skip
    fill("track", tracks)
    fill("employee", [(1, "Ana", None), (2, "Bia", 1), (3, "Caio", 1), (4, "Davi", 2), (5, "Eva", 2)])
    invoices, lines = [], []
    people = []
    for at in range(1, customers + 1):
        country = draw.choice(COUNTRIES)
        people.append((at, f"Customer {at * 29 % 211}", country, draw.randint(3, 5)))
        for _ in range(draw.randint(1, 6)):
            number = len(invoices) + 1
            day = f"{draw.randint(2021, 2024)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
            total = 0.0
            for _ in range(draw.randint(1, 5)):
                track = draw.choice(tracks)
                quantity = draw.choice((1, 1, 1, 2, 3))
                lines.append((len(lines) + 1, number, track[0], track[5], quantity))
                total += track[5] * quantity
            invoices.append((number, at, day, country, round(total, 2), int(draw.random() < 0.8)))
    fill("customer", people)
    fill("invoice", invoices)
    fill("invoice_line", lines)
    connection.commit()
    connection.close()
    return str(path)
