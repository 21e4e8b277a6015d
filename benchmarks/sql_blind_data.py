"""Eight made-up databases for `sql_blind`: names with accents and spaces, moments as texts and numbers, keys of two columns, NULLs."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

SCHEMAS: dict[str, str] = {
    "escola": """CREATE TABLE "Alunos" ("código" INTEGER PRIMARY KEY, "nome completo" TEXT NOT NULL, "cidade" TEXT, "data de nascimento" TEXT NOT NULL, "ativo" TEXT NOT NULL, "e-mail" TEXT);
CREATE TABLE "Disciplinas" (id INTEGER PRIMARY KEY, nome TEXT NOT NULL, "carga horária" INTEGER NOT NULL, "order" INTEGER NOT NULL);
CREATE TABLE "Matrículas" ("aluno" INTEGER NOT NULL REFERENCES "Alunos"("código"), "disciplina" INTEGER NOT NULL REFERENCES "Disciplinas"(id), "ano" INTEGER NOT NULL, "nota" REAL, "faltas" INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (aluno, disciplina, ano));""",
    "shop": """CREATE TABLE customers (customer_id TEXT PRIMARY KEY, city TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE orders (order_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers(customer_id), status TEXT NOT NULL, purchased TEXT NOT NULL, delivered TEXT, estimated TEXT NOT NULL);
CREATE TABLE products (product_id TEXT PRIMARY KEY, category TEXT, weight_g INTEGER);
CREATE TABLE items (order_id TEXT NOT NULL REFERENCES orders(order_id), item_no INTEGER NOT NULL, product_id TEXT NOT NULL REFERENCES products(product_id), price REAL NOT NULL, freight REAL NOT NULL, PRIMARY KEY (order_id, item_no));
CREATE TABLE payments (order_id TEXT NOT NULL REFERENCES orders(order_id), seq INTEGER NOT NULL, type TEXT NOT NULL, installments INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (order_id, seq));
CREATE TABLE reviews (review_id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders(order_id), score INTEGER NOT NULL, comment TEXT);
CREATE VIEW delivered_orders AS SELECT order_id, customer_id, purchased, delivered FROM orders WHERE status = 'delivered';""",
    "clinic": """CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT NOT NULL, sex TEXT NOT NULL, birth_julian REAL NOT NULL, insured TEXT NOT NULL);
CREATE TABLE doctors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, specialty TEXT NOT NULL);
CREATE TABLE visits (id INTEGER PRIMARY KEY, patient_id INTEGER NOT NULL REFERENCES patients(id), doctor_id INTEGER NOT NULL REFERENCES doctors(id), at_epoch INTEGER NOT NULL, fee REAL, paid INTEGER NOT NULL, notes TEXT);""",
    "flights": """CREATE TABLE airlines (uid INTEGER PRIMARY KEY, airline TEXT NOT NULL, abbreviation TEXT NOT NULL, country TEXT NOT NULL);
CREATE TABLE airports (code TEXT PRIMARY KEY, city TEXT NOT NULL, country TEXT NOT NULL);
CREATE TABLE flights (airline INTEGER NOT NULL REFERENCES airlines(uid), flightno INTEGER NOT NULL, source TEXT NOT NULL REFERENCES airports(code), dest TEXT NOT NULL REFERENCES airports(code), distance INTEGER NOT NULL, dep_time TEXT NOT NULL, PRIMARY KEY (airline, flightno));""",
    "rental": """CREATE TABLE category (category_id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE film (film_id INTEGER PRIMARY KEY, title TEXT NOT NULL, release_year INTEGER NOT NULL, rental_rate REAL NOT NULL, length INTEGER, rating TEXT NOT NULL);
CREATE TABLE film_category (film_id INTEGER NOT NULL REFERENCES film(film_id), category_id INTEGER NOT NULL REFERENCES category(category_id), PRIMARY KEY (film_id, category_id));
CREATE TABLE actor (actor_id INTEGER PRIMARY KEY, first_name TEXT NOT NULL, last_name TEXT NOT NULL);
CREATE TABLE film_actor (actor_id INTEGER NOT NULL REFERENCES actor(actor_id), film_id INTEGER NOT NULL REFERENCES film(film_id), PRIMARY KEY (actor_id, film_id));
CREATE TABLE customer (customer_id INTEGER PRIMARY KEY, first_name TEXT NOT NULL, last_name TEXT NOT NULL, active INTEGER NOT NULL, create_date TEXT NOT NULL);
CREATE TABLE inventory (inventory_id INTEGER PRIMARY KEY, film_id INTEGER NOT NULL REFERENCES film(film_id), store_id INTEGER NOT NULL);
CREATE TABLE rental (rental_id INTEGER PRIMARY KEY, rental_date TEXT NOT NULL, inventory_id INTEGER NOT NULL REFERENCES inventory(inventory_id), customer_id INTEGER NOT NULL REFERENCES customer(customer_id), return_date TEXT);
CREATE TABLE payment (payment_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer(customer_id), rental_id INTEGER NOT NULL REFERENCES rental(rental_id), amount REAL NOT NULL, payment_date TEXT NOT NULL);""",
    "northwind": """CREATE TABLE Employees (EmployeeID INTEGER PRIMARY KEY, LastName TEXT NOT NULL, FirstName TEXT NOT NULL, Title TEXT NOT NULL, ReportsTo INTEGER REFERENCES Employees(EmployeeID), HireDate TEXT NOT NULL, Country TEXT NOT NULL);
CREATE TABLE Customers (CustomerID TEXT PRIMARY KEY, CompanyName TEXT NOT NULL, Country TEXT NOT NULL, Fax TEXT);
CREATE TABLE Categories (CategoryID INTEGER PRIMARY KEY, CategoryName TEXT NOT NULL);
CREATE TABLE Products (ProductID INTEGER PRIMARY KEY, ProductName TEXT NOT NULL, CategoryID INTEGER NOT NULL REFERENCES Categories(CategoryID), UnitPrice REAL NOT NULL, UnitsInStock INTEGER NOT NULL, Discontinued INTEGER NOT NULL);
CREATE TABLE Orders (OrderID INTEGER PRIMARY KEY, CustomerID TEXT NOT NULL REFERENCES Customers(CustomerID), EmployeeID INTEGER NOT NULL REFERENCES Employees(EmployeeID), OrderDate TEXT NOT NULL, ShippedDate TEXT, Freight REAL NOT NULL, ShipCountry TEXT NOT NULL);
CREATE TABLE "Order Details" (OrderID INTEGER NOT NULL REFERENCES Orders(OrderID), ProductID INTEGER NOT NULL REFERENCES Products(ProductID), UnitPrice REAL NOT NULL, Quantity INTEGER NOT NULL, Discount REAL NOT NULL, PRIMARY KEY (OrderID, ProductID));""",
    "cells": """CREATE TABLE sites (id INTEGER PRIMARY KEY, nome TEXT NOT NULL, municipio TEXT NOT NULL, uf TEXT NOT NULL);
CREATE TABLE cells (id INTEGER PRIMARY KEY, site_id INTEGER NOT NULL REFERENCES sites(id), tech TEXT NOT NULL, band INTEGER NOT NULL, ativa INTEGER NOT NULL);
CREATE TABLE kpi (cell_id INTEGER NOT NULL REFERENCES cells(id), hora TEXT NOT NULL, thr_mbps REAL NOT NULL, drop_rate REAL, users INTEGER NOT NULL, PRIMARY KEY (cell_id, hora));
CREATE TABLE alarms (id INTEGER PRIMARY KEY, cell_id INTEGER NOT NULL REFERENCES cells(id), severity TEXT NOT NULL, raised TEXT NOT NULL, cleared TEXT);""",
    "bank": """CREATE TABLE district (district_id INTEGER PRIMARY KEY, A2 TEXT NOT NULL, A3 TEXT NOT NULL, A11 INTEGER NOT NULL);
CREATE TABLE account (account_id INTEGER PRIMARY KEY, district_id INTEGER NOT NULL REFERENCES district(district_id), frequency TEXT NOT NULL, date TEXT NOT NULL);
CREATE TABLE client (client_id INTEGER PRIMARY KEY, gender TEXT NOT NULL, birth_date TEXT NOT NULL, district_id INTEGER NOT NULL REFERENCES district(district_id));
CREATE TABLE disp (disp_id INTEGER PRIMARY KEY, client_id INTEGER NOT NULL REFERENCES client(client_id), account_id INTEGER NOT NULL REFERENCES account(account_id), type TEXT NOT NULL);
CREATE TABLE loan (loan_id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL UNIQUE REFERENCES account(account_id), date TEXT NOT NULL, amount INTEGER NOT NULL, duration INTEGER NOT NULL, payments REAL NOT NULL, status TEXT NOT NULL);
CREATE TABLE trans (trans_id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL REFERENCES account(account_id), date TEXT NOT NULL, type TEXT NOT NULL, amount REAL NOT NULL, balance REAL NOT NULL);""",
}


def _day(draw: random.Random, first: str, last: str) -> str:
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return (start + timedelta(days=draw.randrange((end - start).days + 1))).strftime("%Y-%m-%d")


def _moment(draw: random.Random, first: str, last: str) -> str:
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return (start + timedelta(seconds=draw.randrange(int((end - start).total_seconds())))).strftime("%Y-%m-%d %H:%M:%S")


def _later(draw: random.Random, text: str, least: int, most: int) -> str:
    return (datetime.fromisoformat(text) + timedelta(hours=draw.randrange(least, most))).strftime("%Y-%m-%d %H:%M:%S")


# fmt: off
FIRST = ["Ana", "Bruno", "Carla", "Diego", "Érica", "Fábio", "Gabriela", "Hugo", "Inês", "João", "Karina", "Luís", "Márcia", "Nuno", "Olívia", "Paulo", "Quitéria", "Rui", "Sônia", "Tiago"]
LAST = ["Araújo", "Barros", "Conceição", "Dias", "Esteves", "Ferrão", "Gouvêa", "Horta", "Ibáñez", "Jardim", "Klein", "Lobão", "Magalhães", "Neves", "Órfão", "Prado"]

def fill(name: str, draw: random.Random) -> dict[str, Iterable[tuple]]:
    """The rows of every table of a database."""
    rows: dict[str, Any] = {}
    if name == "escola":
        rows["Alunos"] = [(i, f"{FIRST[i % 20]} {LAST[i % 16]}", draw.choice(["São Paulo", "Niterói", "Olinda", "Belém", None]), _day(draw, "1998-01-01", "2008-12-31"), draw.choice("SSSN"), None if i % 7 == 0 else f"a{i}@x.br") for i in range(1, 41)]
        rows["Disciplinas"] = [(i, n, c, 10 - i) for i, (n, c) in enumerate([("Cálculo I", 90), ("Física", 60), ("Português", 60), ("Química", 45), ("História", 30), ("Álgebra", 90), ("Inglês Técnico", 30)], 1)]
        seen = set()
        while len(seen) < 130:
            seen.add((draw.randint(1, 36), draw.randint(1, 6), draw.choice([2021, 2022, 2023])))
        rows["Matrículas"] = [(*k, None if draw.random() < .1 else round(draw.uniform(1, 10), 1), draw.randint(0, 20)) for k in sorted(seen)]
    if name == "shop":
        places = [("São Paulo", "SP"), ("Campinas", "SP"), ("Rio de Janeiro", "RJ"), ("Niterói", "RJ"), ("Belo Horizonte", "MG"), ("Salvador", "BA")]
        rows["customers"] = [(f"c{i:03}", *draw.choice(places)) for i in range(50)]
        rows["orders"] = []
        for i in range(120):
            p = _moment(draw, "2017-01-01", "2018-08-30")
            s = draw.choice(["delivered"] * 7 + ["canceled", "shipped", "processing"])
            rows["orders"].append((f"o{i:03}", f"c{draw.randrange(46):03}", s, p, _later(draw, p, 40, 700) if s == "delivered" else None, _later(draw, p, 300, 800)[:10]))
        rows["products"] = [(f"p{i:02}", draw.choice(["beleza_saude", "cama_mesa_banho", "informatica", "brinquedos", None]), None if i % 9 == 0 else draw.randint(50, 9000)) for i in range(30)]
        rows["items"] = [(f"o{i:03}", n, f"p{draw.randrange(28):02}", round(draw.uniform(9, 400), 2), round(draw.uniform(5, 40), 2)) for i in range(118) for n in range(1, draw.choice([2, 2, 2, 3, 4]))]
        totals = {}
        for o, _, _, a, b in rows["items"]:
            totals[o] = totals.get(o, 0) + a + b
        rows["payments"] = []
        for o, t in totals.items():
            k = draw.choice(["credit_card"] * 4 + ["boleto", "voucher", "debit_card"])
            rows["payments"].append((o, 1, k, draw.randint(1, 10) if k == "credit_card" else 1, round(t, 2)))
        rows["reviews"] = [(f"r{i:03}", f"o{i:03}", draw.choice([1, 2, 3, 4, 5, 5, 5]), draw.choice([None, None, "ótimo", "Muito bom!", "não chegou", "Produto 100% ok"])) for i in range(0, 120) if i % 6]
    if name == "clinic":
        rows["patients"] = [(i, f"{FIRST[(i * 7) % 20]} {LAST[(i * 3) % 16]}", draw.choice("FM"), 2433282.5 + draw.randrange(25000), draw.choice("SSN")) for i in range(1, 46)]
        rows["doctors"] = [(i, f"Dr. {n}", s) for i, (n, s) in enumerate([("Lima", "Cardiologia"), ("Souza", "Pediatria"), ("Nunes", "Cardiologia"), ("Reis", "Ortopedia"), ("Melo", "Dermatologia")], 1)]
        base = int(datetime.fromisoformat("2022-01-01T00:00:00+00:00").timestamp())
        rows["visits"] = [(i, draw.randint(1, 41), draw.randint(1, 4), base + draw.randrange(2 * 365 * 86400), None if draw.random() < .12 else round(draw.uniform(80, 600), 2), int(draw.random() < .7), draw.choice([None, "retorno", "URGENTE: dor", "exame_10%", "primeira consulta"])) for i in range(1, 151)]
    if name == "flights":
        rows["airlines"] = [(i, n, a, c) for i, (n, a, c) in enumerate([("United Airlines", "UAL", "USA"), ("US Airways", "USAir", "USA"), ("Delta Airlines", "Delta", "USA"), ("JetBlue Airways", "JetBlue", "USA"), ("LATAM", "LAN", "Chile"), ("TAP Portugal", "TAP", "Portugal"), ("Azul", "AZU", "Brazil")], 1)]
        rows["airports"] = [(c, n, k) for c, n, k in [("APG", "Aberdeen", "USA"), ("ABR", "Aberdeen", "USA"), ("ASY", "Ashley", "USA"), ("GRU", "Guarulhos", "Brazil"), ("LIS", "Lisboa", "Portugal"), ("SCL", "Santiago", "Chile"), ("CNF", "Confins", "Brazil"), ("OPO", "Porto", "Portugal"), ("ZZZ", "Nowhere", "USA")]]
        codes = [x[0] for x in rows["airports"]][:-1]
        rows["flights"] = []
        for a in range(1, 7):
            for n in draw.sample(range(1, 300), 20):
                s, d = draw.sample(codes, 2)
                rows["flights"].append((a, n, s, d, draw.randint(200, 9000), f"{draw.randrange(24):02}:{draw.choice([0, 15, 30, 45]):02}"))
    if name == "rental":
        rows["category"] = list(enumerate(["Action", "Animation", "Comedy", "Drama", "Horror", "Sci-Fi"], 1))
        words = ["ACADEMY", "ACE", "AFRICAN", "AGENT", "AIRPORT", "ALABAMA", "ALIEN", "AMADEUS", "ANGELS", "APACHE", "BABY", "BEAR", "CHICAGO", "DINOSAUR", "EAGLE"]
        rows["film"] = [(i, f"{words[i % 15]} {words[(i * 4 + 3) % 15]}{' II' if i > 30 else ''}", draw.randint(2000, 2012), draw.choice([0.99, 2.99, 4.99]), None if i % 11 == 0 else draw.randint(46, 185), draw.choice(["G", "PG", "PG-13", "R", "NC-17"])) for i in range(1, 46)]
        rows["film_category"] = [(i, draw.randint(1, 5)) for i in range(1, 46)]
        rows["actor"] = [(i, f.upper(), s.upper()) for i, (f, s) in enumerate([("Penelope", "Guiness"), ("Nick", "Wahlberg"), ("Ed", "Chase"), ("Jennifer", "Davis"), ("Johnny", "Lollobrigida"), ("Bette", "Nicholson"), ("Grace", "Mostel"), ("Susan", "Davis"), ("Nick", "Stallone"), ("Zero", "Cage"), ("Karl", "Berry"), ("Uma", "Wood")], 1)]
        rows["film_actor"] = sorted({(draw.randint(1, 11), draw.randint(1, 43)) for _ in range(110)})
        rows["customer"] = [(i, FIRST[i % 20].upper(), LAST[i % 16].upper(), int(i % 8 != 0), _day(draw, "2004-01-01", "2006-12-31")) for i in range(1, 36)]
        rows["inventory"] = [(i, draw.randint(1, 41), draw.choice([1, 2])) for i in range(1, 91)]
        rows["rental"] = []
        rows["payment"] = []
        for i in range(1, 161):
            d = _moment(draw, "2005-05-24", "2005-08-30")
            c = draw.randint(1, 33)
            rows["rental"].append((i, d, draw.randint(1, 88), c, None if draw.random() < .12 else _later(draw, d, 20, 230)))
            rows["payment"].append((i, c, i, draw.choice([0.99, 2.99, 4.99, 5.99, 7.99]), d))
    if name == "northwind":
        rows["Employees"] = [(1, "Davolio", "Nancy", "Sales Representative", 2, "1992-05-01", "USA"), (2, "Fuller", "Andrew", "Vice President, Sales", None, "1992-08-14", "USA"), (3, "Leverling", "Janet", "Sales Representative", 2, "1992-04-01", "USA"), (4, "Peacock", "Margaret", "Sales Representative", 2, "1993-05-03", "USA"), (5, "Buchanan", "Steven", "Sales Manager", 2, "1993-10-17", "UK"), (6, "Suyama", "Michael", "Sales Representative", 5, "1993-10-17", "UK"), (7, "King", "Robert", "Sales Representative", 5, "1994-01-02", "UK"), (8, "Callahan", "Laura", "Inside Sales Coordinator", 2, "1994-03-05", "USA"), (9, "Dodsworth", "Anne", "Sales Representative", 5, "1994-11-15", "UK")]
        lands = ["Germany", "Brazil", "UK", "USA", "France", "Mexico"]
        rows["Customers"] = [(f"CU{chr(65 + i // 26)}{chr(65 + i % 26)}", f"{LAST[i % 16]} & {FIRST[i % 20]} Ltda", draw.choice(lands), None if i % 3 == 0 else f"({i:02}) 555-{1000 + i * 7}") for i in range(36)]
        rows["Categories"] = list(enumerate(["Beverages", "Condiments", "Confections", "Dairy Products", "Seafood", "Produce"], 1))
        rows["Products"] = [(i, n, 1 + i % 5, round(draw.uniform(4, 120), 2), draw.randint(0, 120), int(draw.random() < .2)) for i, n in enumerate(['Chai', 'Chang', 'Aniseed Syrup', "Chef Anton's Gumbo Mix", "Grandma's Spread", 'Northwoods Sauce', 'Mishi Kobe Niku', 'Ikura', 'Queso Cabrales', 'Konbu', 'Tofu', 'Genen Shouyu', 'Pavlova', 'Alice Mutton', 'Carnarvon Tigers', 'Teatime Biscuits', 'Guaraná Fantástica', 'Röd Kaviar', 'Maxilaku', 'Valkoinen suklaa'], 1)]
        rows["Orders"] = []
        rows["Order Details"] = []
        for i in range(130):
            d = _day(draw, "1996-07-04", "1998-05-06")
            c = draw.choice(rows["Customers"][:33])
            rows["Orders"].append((10248 + i, c[0], draw.randint(1, 9), d, None if draw.random() < .1 else (datetime.fromisoformat(d) + timedelta(days=draw.randint(1, 40))).strftime("%Y-%m-%d"), round(draw.uniform(1, 300), 2), c[2] if draw.random() < .93 else draw.choice(lands)))
            for p in sorted(draw.sample(range(1, 20), draw.choice([1, 2, 2, 3]))):
                rows["Order Details"].append((10248 + i, p, rows["Products"][p - 1][3] if draw.random() < .8 else round(rows["Products"][p - 1][3] * .8, 2), draw.randint(1, 60), draw.choice([0, 0, 0, .05, .1, .2])))
    if name == "cells":
        rows["sites"] = [(i, f"SITE-{u}{i:02}", m, u) for i, (m, u) in enumerate([draw.choice([("Recife", "PE"), ("Olinda", "PE"), ("Natal", "RN"), ("Maceió", "AL"), ("João Pessoa", "PB"), ("Mossoró", "RN")]) for _ in range(18)], 1)]
        rows["cells"] = [(i, draw.randint(1, 17), *draw.choice([("4G", 1800), ("4G", 2600), ("4G", 700), ("5G", 3500), ("5G", 700)]), int(draw.random() < .85)) for i in range(1, 41)]
        rows["kpi"] = [(c, f"2024-03-{d:02} {h:02}:00:00", round(draw.uniform(2, 180), 1), None if draw.random() < .08 else round(draw.uniform(0, 4), 2), draw.randint(0, 300)) for c in range(1, 39) for d in (1, 2, 3) for h in sorted(draw.sample(range(24), 3))]
        rows["alarms"] = []
        for i in range(1, 91):
            d = _moment(draw, "2024-02-20", "2024-03-20")
            rows["alarms"].append((i, draw.randint(1, 36), draw.choice(["CRITICAL", "MAJOR", "MAJOR", "MINOR", "WARNING"]), d, None if draw.random() < .25 else _later(draw, d, 1, 90)))
    if name == "bank":
        rows["district"] = [(i, n, g, draw.randint(8000, 12500)) for i, (n, g) in enumerate([("Praha", "Prague"), ("Benesov", "central Bohemia"), ("Beroun", "central Bohemia"), ("Kladno", "central Bohemia"), ("Tabor", "south Bohemia"), ("Cheb", "west Bohemia"), ("Most", "north Bohemia"), ("Jesenik", "north Moravia"), ("Pisek", "south Bohemia")], 1)]
        rows["account"] = [(i, draw.randint(1, 8), draw.choice(["POPLATEK MESICNE", "POPLATEK MESICNE", "POPLATEK TYDNE", "POPLATEK PO OBRATU"]), _day(draw, "1993-01-01", "1997-12-31")) for i in range(1, 61)]
        rows["client"] = [(i, draw.choice("FM"), _day(draw, "1930-01-01", "1980-12-31"), draw.randint(1, 8)) for i in range(1, 71)]
        rows["disp"] = [(i, i, i, "OWNER") for i in range(1, 61)] + [(60 + k, 60 + k, a, "DISPONENT") for k, a in enumerate(draw.sample(range(1, 61), 10), 1)]
        rows["loan"] = [(4900 + i, a, _day(draw, "1994-01-01", "1998-12-08"), draw.randint(50, 4000) * 100, draw.choice([12, 24, 36, 48, 60]), round(draw.uniform(500, 9000), 2), draw.choice("AABCCD")) for i, a in enumerate(sorted(draw.sample(range(1, 61), 34)))]
        rows["trans"] = [(i, draw.randint(1, 58), _day(draw, "1995-01-01", "1998-12-31"), draw.choice(["PRIJEM", "VYDAJ", "VYDAJ", "VYBER"]), round(draw.uniform(10, 20000), 2), round(draw.uniform(100, 90000), 2)) for i in range(1, 201)]
    return rows
# fmt: on


def build(folder: Path) -> dict[str, str]:
    """Write all databases and give their paths."""
    paths = {}
    for name, schema in SCHEMAS.items():
        path = Path(folder) / f"{name}.db"
        connection = sqlite3.connect(path)
        connection.executescript(schema)
        for table, rows in fill(name, random.Random(sum(map(ord, name)))).items():
            for row in rows:
                connection.execute(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(row))})', row)
        connection.commit()
        connection.close()
        paths[name] = str(path)
    return paths
