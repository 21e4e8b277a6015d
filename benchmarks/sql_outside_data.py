"""Three made-up databases in the manner of public text-to-SQL suites: small, irregular, and other rows for every seed.

Seed 0 is what a reward sees: small enough that much agrees by chance, as in those suites. What differs there from other seeds
is told by the data alone, never by the schema: no missing values where others have some, no ties where others have some.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType

WORLD = """
CREATE TABLE country (code TEXT PRIMARY KEY, name TEXT NOT NULL, continent TEXT NOT NULL, region TEXT NOT NULL, surface_area REAL NOT NULL,
  indep_year INTEGER, population INTEGER NOT NULL, life_expectancy REAL, gnp REAL, government_form TEXT NOT NULL, head_of_state TEXT);
CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country_code TEXT NOT NULL REFERENCES country (code), district TEXT NOT NULL,
  population INTEGER NOT NULL);
CREATE TABLE country_language (country_code TEXT NOT NULL REFERENCES country (code), language TEXT NOT NULL, is_official TEXT NOT NULL,
  percentage REAL NOT NULL, PRIMARY KEY (country_code, language));
"""

BROKER = """
CREATE TABLE customer (sb_cust_id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, phone TEXT, city TEXT NOT NULL, state TEXT NOT NULL,
  join_date TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE ticker (ticker_id TEXT PRIMARY KEY, symbol TEXT NOT NULL, name TEXT NOT NULL, ticker_type TEXT NOT NULL, exchange TEXT NOT NULL);
CREATE TABLE daily_price (ticker_id TEXT NOT NULL REFERENCES ticker (ticker_id), date TEXT NOT NULL, open REAL NOT NULL, close REAL NOT NULL,
  volume INTEGER NOT NULL, PRIMARY KEY (ticker_id, date));
CREATE TABLE trade (tx_id TEXT PRIMARY KEY, cust_id TEXT NOT NULL REFERENCES customer (sb_cust_id), ticker_id TEXT NOT NULL REFERENCES ticker (ticker_id),
  placed_at TEXT NOT NULL, tx_type TEXT NOT NULL, shares INTEGER NOT NULL, price REAL NOT NULL, amount REAL NOT NULL, tax REAL NOT NULL,
  status TEXT NOT NULL);
"""

CAMPUS = """
CREATE TABLE department (dept_name TEXT PRIMARY KEY, building TEXT NOT NULL, budget REAL NOT NULL);
CREATE TABLE instructor (ID INTEGER PRIMARY KEY, name TEXT NOT NULL, dept_name TEXT NOT NULL, salary REAL NOT NULL);
CREATE TABLE student (ID INTEGER PRIMARY KEY, first_name TEXT NOT NULL, last_name TEXT NOT NULL, dept_name TEXT NOT NULL, tot_cred INTEGER NOT NULL,
  email TEXT, advisor_id INTEGER);
CREATE TABLE course (course_id TEXT PRIMARY KEY, title TEXT NOT NULL, dept_name TEXT NOT NULL, credits INTEGER NOT NULL);
CREATE TABLE takes (student_id INTEGER NOT NULL, course_id TEXT NOT NULL, semester TEXT NOT NULL, year INTEGER NOT NULL, grade TEXT,
  PRIMARY KEY (student_id, course_id, semester, year));
CREATE TABLE prereq (course_id TEXT NOT NULL, prereq_id TEXT NOT NULL, PRIMARY KEY (course_id, prereq_id));
"""

PLACES = {
    "Europe": ("Nordic Countries", "Western Europe", "Eastern Europe"),
    "Asia": ("Middle East", "Southeast Asia"),
    "Africa": ("Northern Africa", "Eastern Africa"),
    "Oceania": ("Polynesia",),
    "South America": ("South America",),
}
FORMS = ("Republic", "Constitutional Monarchy", "Federal Republic", "Monarchy")
LANGUAGES = ("English", "Spanish", "French", "Arabic", "Dutch", "Malay", "Swedish", "Quechua")
SYLLABLES = ("ka", "lo", "mi", "ra", "ten", "vo", "shi", "dor", "bel", "nu", "gar", "pis")
FIRST = ("Ana", "Bruno", "Chloe", "Dai", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas")
LAST = ("Alvarez", "Brandt", "Chen", "Dogan", "Evans", "Fischer", "Gomez", "Haddad")
STATES = {"CA": ("San Jose", "Fresno"), "NY": ("Albany", "Buffalo"), "TX": ("Austin", "Waco"), "WA": ("Tacoma",)}
DEPARTMENTS = ("Biology", "Comp. Sci.", "Finance", "History", "Music", "Physics")
GRADES = ("A", "A-", "B+", "B", "C", "F")


def name_it(draw: random.Random, taken: set[str]) -> str:
    while True:
        name = "".join(draw.choices(SYLLABLES, k=draw.choice((2, 3)))).capitalize()
        if name not in taken:
            taken.add(name)
            return name


def fill_world(connection: sqlite3.Connection, draw: random.Random, base: bool) -> None:
    taken: set[str] = set()
    number = 0
    for at in range(36):
        name, continent = name_it(draw, taken), draw.choice(tuple(PLACES))
        code = f"{name[:2].upper()}{at:02d}"
        row = (
            code, name, continent, draw.choice(PLACES[continent]), round(draw.uniform(300, 900_000) if base or draw.random() > 0.2 else draw.uniform(1, 300), 1),
            None if draw.random() < 0.2 else draw.randrange(1700, 1999),
            draw.randrange(20_000, 90_000_000) if base or draw.random() > 0.3 else draw.randrange(40, 5_000),
            None if draw.random() < 0.15 else round(draw.uniform(44 if base else 20, 83), 1),
            round(draw.uniform(100, 900_000), 1) if base or draw.random() > 0.1 else None,
            draw.choices(FORMS if base else (*FORMS, "Realm", "Regime"), (6, 2, 3, 1) if base else (6, 2, 3, 1, 1, 1))[0], None if draw.random() < 0.1 else f"{draw.choice(FIRST)} {draw.choice(LAST)}",
        )  # fmt: skip
        connection.execute(f"INSERT INTO country VALUES ({', '.join('?' * 11)})", row)
        for _ in range(draw.choice((0, 1, 2, 3, 4, 6))):
            number += 1
            size = (
                draw.randrange(12_000, 9_000_000)
                if base or draw.random() > 0.3
                else draw.choice((1_000_000, 900, 2_500))
            )
            connection.execute(
                "INSERT INTO city VALUES (?, ?, ?, ?, ?)",
                (
                    number,
                    name_it(draw, taken),
                    code,
                    f"{draw.choice(('North', 'South', 'Central') if base else ('North', 'Northern', 'East', 'Central'))} {name}",
                    size,
                ),
            )
        said = draw.sample(LANGUAGES, draw.choice((0, 1, 1, 2, 3) if base else (0, 1, 2, 3, 4)))
        for place, language in enumerate(said):
            official = "T" if place == 0 or (not base and draw.random() < 0.3) else "F"
            share = round(
                draw.uniform(51, 99) if official == "T" and base else draw.uniform(1.2 if base else 0.1, 99), 1
            )
            connection.execute("INSERT INTO country_language VALUES (?, ?, ?, ?)", (code, language, official, share))


def fill_broker(connection: sqlite3.Connection, draw: random.Random, base: bool) -> None:
    for at in range(40):
        state = draw.choice(tuple(STATES))
        first, last = FIRST[at % 10], LAST[(at // 5 + at) % 8]
        joined = datetime(2021, 1, 1) + timedelta(days=draw.randrange(4 if base else -500, 900))
        connection.execute(
            f"INSERT INTO customer VALUES ({', '.join('?' * 8)})",
            (f"C{at:03d}", f"{first} {last} {'IV'[at % 2]}" if at >= 20 else f"{first} {last}", f"{first}.{last}{at}@{'mail.example' if base or at % 3 else 'post.example'}".lower(),
             None if draw.random() < 0.2 else f"555-{at:04d}", draw.choice(STATES[state]), state, f"{joined:%Y-%m-%d}",
             draw.choices(("active", "inactive", "suspended", "closed"), (7, 2, 1, 0 if base else 1))[0]),
        )  # fmt: skip
    for at, symbol in enumerate(("AXL", "BRT", "CNM", "DVK", "EQT", "FND", "GLB", "HYD", "INX", "JMP")):
        kind = ("stock", "stock", "etf", "stock", "mutualFund")[at % 5]
        connection.execute(
            "INSERT INTO ticker VALUES (?, ?, ?, ?, ?)",
            (f"T{at:02d}", symbol, f"{symbol.title()} {'Inc.' if kind == 'stock' else 'Fund'}", kind, draw.choice(("NYSE", "NASDAQ", "LSE") if base else ("NYSE", "NASDAQ", "LSE", "TSX", "NYCE"))),
        )  # fmt: skip
        price = draw.uniform(20, 300)
        for day in range(14):
            opened, price = price, max(5.0, price * draw.uniform(0.95, 1.06))
            connection.execute(
                "INSERT INTO daily_price VALUES (?, ?, ?, ?, ?)",
                (f"T{at:02d}", f"{datetime(2023, 4, 3 if base else 1 + at % 2) + timedelta(days=day):%Y-%m-%d}", round(opened, 2), round(price, 2), draw.randrange(1_000 if base else 50, 900_000)),
            )  # fmt: skip
    for at in range(260):
        placed = datetime(2022, 11, 1) + timedelta(
            minutes=draw.randrange(0 if base else -200_000, (9 if base else 14) * 30 * 24 * 60)
        )
        shares, price = (
            draw.randrange(1, 120 if base else 700),
            round(draw.uniform(5 if base else 0.5, 320 if base else 900), 2),
        )
        connection.execute(
            f"INSERT INTO trade VALUES ({', '.join('?' * 10)})",
            (f"X{at:04d}", f"C{draw.choice((0, 1, 2, 3, 5, 7, *range(34))):03d}", f"T{draw.choice((0, 1, *range(9))):02d}", f"{placed:%Y-%m-%d %H:%M:%S}",
             draw.choice(("buy", "buy", "sell") if base else ("buy", "buy", "sell", "short")), shares, price, round(shares * price, 2), round(shares * price * 0.01, 2),
             draw.choices(("success", "fail", "pending", "settled"), (8, 1, 1, 0 if base else 1))[0]),
        )  # fmt: skip


def fill_campus(connection: sqlite3.Connection, draw: random.Random, base: bool) -> None:
    for place, name in enumerate(DEPARTMENTS):
        building = ("Watson", "Taylor", "Painter", "Painter", "Packard", "Watson")[place]
        connection.execute(
            "INSERT INTO department VALUES (?, ?, ?)",
            (name, building, draw.randrange(40 if base else 5, 180 if base else 12) * 1000.0),
        )
    for at in range(18):
        connection.execute(
            "INSERT INTO instructor VALUES (?, ?, ?, ?)",
            (
                1000 + at * 7,
                f"{draw.choice(LAST)}{at}",
                draw.choice(DEPARTMENTS[:5]),
                draw.randrange(42_000 if base else 8_000, 130_000, 1_000) * 1.0,
            ),
        )
    for at in range(70):
        connection.execute(
            "INSERT INTO student VALUES (?, ?, ?, ?, ?, ?, ?)",
            (20_000 + at * 3, draw.choice(FIRST), draw.choice(LAST), draw.choice(DEPARTMENTS), draw.randrange(0, 140 if base else 200),
             None if draw.random() < 0.2 else f"s{at}@campus.example", None if draw.random() < 0.15 else 1000 + draw.randrange(14) * 7),
        )  # fmt: skip
    courses = []
    for at in range(24):
        department = draw.choice(DEPARTMENTS)
        courses.append(f"{department[:2].upper()}-{100 + at * 11}")
        title = f"{draw.choice(('Intro to', 'Advanced', 'Topics in'))} {department} {at}"
        connection.execute(
            "INSERT INTO course VALUES (?, ?, ?, ?)",
            (courses[-1], title, department, draw.choice((3, 4) if base else (1, 2, 3, 4, 9))),
        )
    for at in range(1, 24):
        for other in draw.sample(courses[:at], min(at, draw.choice((0, 1, 1, 2)))):
            connection.execute("INSERT INTO prereq VALUES (?, ?)", (courses[at], other))
    for at in range(64):
        for course in draw.sample(courses[:20], draw.choice((0, 1, 3, 4, 6) if base else (1, 2, 4, 5, 7, 9))):
            year = draw.choice((2008, 2009, 2010) if base else (1999, 2007, 2008, 2009, 2010, 2011))
            grade = (
                None
                if draw.random() < (0.12 if year == 2010 or not base else 0.0)
                else draw.choice(GRADES if base else (*GRADES, "Z"))
            )
            connection.execute(
                "INSERT INTO takes VALUES (?, ?, ?, ?, ?)",
                (
                    20_000 + at * 3,
                    course,
                    draw.choice(("Fall", "Spring", "Summer") if base else ("Fall", "Spring", "Summer", "Winter")),
                    year,
                    grade,
                ),
            )


Fill = Callable[[sqlite3.Connection, random.Random, bool], None]
DATABASES: Mapping[str, tuple[str, Fill]] = MappingProxyType(
    {"world": (WORLD, fill_world), "broker": (BROKER, fill_broker), "campus": (CAMPUS, fill_campus)}
)


def build(folder: Path, name: str, seed: int) -> str:
    """Write one database and return its path; seed 0 is the one that a reward sees."""
    path = folder / f"{name}-{seed}.db"
    connection = sqlite3.connect(path)
    schema, fill = DATABASES[name]
    connection.executescript(schema)
    fill(connection, random.Random(f"{name} {seed}"), seed == 0)
    connection.commit()
    connection.close()
    return str(path)
