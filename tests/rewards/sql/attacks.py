"""Statements that a policy might write against the machine that scores it, by what they are after.

The tables are those of `build_shop_database`: `orders(id, customer, late, price, note)`, `customers(id, state)`, `sales` a view.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

_NUMBERS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {0}) "
_TEXT = "replace(printf('%{0}d', 1), ' ', 'ab')"
_THREE = "orders a, orders b, orders c"

REFUSED: dict[str, tuple[str, ...]] = {
    "writes": (
        "INSERT INTO orders VALUES (9001, 1, 0, 1.0, 'x')",
        "INSERT OR REPLACE INTO orders SELECT * FROM orders",
        "REPLACE INTO customers VALUES (1, 'XX')",
        "UPDATE orders SET price = 0",
        "UPDATE OR IGNORE orders SET id = id + 1 RETURNING id",
        "DELETE FROM orders",
        "DELETE FROM orders RETURNING *",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "WITH x AS (SELECT 1) UPDATE orders SET late = 1",
        "WITH x AS (SELECT 1) INSERT INTO orders SELECT * FROM orders",
        "CREATE TABLE stolen AS SELECT * FROM orders",
        "CREATE TEMP TABLE stolen AS SELECT * FROM orders",
        "CREATE VIEW seen AS SELECT * FROM orders",
        "CREATE TEMP VIEW seen AS SELECT * FROM orders",
        "CREATE INDEX quick ON orders (price)",
        "CREATE TRIGGER t AFTER INSERT ON orders BEGIN DELETE FROM orders; END",
        "CREATE VIRTUAL TABLE v USING fts5(text)",
        "CREATE VIRTUAL TABLE v USING rtree(id, a, b)",
        "CREATE VIRTUAL TABLE temp.v USING fts4(text)",
        "DROP TABLE orders",
        "DROP VIEW sales",
        "DROP TABLE IF EXISTS customers",
        "ALTER TABLE orders RENAME TO gone",
        "ALTER TABLE orders ADD COLUMN more TEXT",
        "ALTER TABLE orders DROP COLUMN note",
        "REINDEX",
        "ANALYZE",
        "VACUUM",
        "VACUUM INTO '/tmp/recompensa-attack.db'",
        "BEGIN EXCLUSIVE",
        "BEGIN IMMEDIATE; SELECT 1",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "SELECT 1 FROM orders; DROP TABLE orders",
        "SELECT 1 FROM orders;\nDELETE FROM orders;",
    ),
    "other files": (
        "ATTACH 'other.db' AS other",
        "ATTACH DATABASE '/etc/passwd' AS other",
        "ATTACH ':memory:' AS other",
        "ATTACH 'file:/tmp/recompensa-attack.db?mode=rwc' AS other",
        "DETACH main",
        "SELECT load_extension('/lib/libc.so.6')",
        "SELECT LOAD_EXTENSION('x', 'y') FROM orders",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('/tmp/recompensa-attack', 'x')",
        "SELECT edit('x', 'vi')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT fts3_tokenizer('simple', x'0011223344556677')",
        "SELECT * FROM fsdir('/')",
        "SELECT * FROM csv('/etc/passwd')",
        "SELECT * FROM zipfile('a.zip')",
        "SELECT sqlite_log(1, 'x')",
    ),
    "the schema and the machine": (
        "SELECT * FROM sqlite_master",
        "SELECT sql FROM sqlite_schema",
        "SELECT * FROM sqlite_temp_master",
        "SELECT * FROM main.sqlite_master",
        'SELECT * FROM "sqlite_master"',
        "SELECT COUNT(*) FROM [sqlite_master]",
        "SELECT EXISTS (SELECT 1 FROM sqlite_master) FROM orders",
        "SELECT * FROM sqlite_sequence",
        "SELECT * FROM sqlite_stat1",
        "SELECT * FROM sqlite_dbpage",
        "SELECT * FROM dbstat",
        "SELECT COUNT(*) FROM dbstat",
        "SELECT SUM(pgsize) FROM dbstat('main')",
        "SELECT * FROM sqlite_stmt",
        "SELECT * FROM pragma_table_info('orders')",
        "SELECT * FROM pragma_database_list",
        "SELECT file FROM pragma_database_list()",
        "SELECT * FROM pragma_function_list",
        "SELECT COUNT(*) FROM pragma_compile_options",
        "SELECT * FROM pragma_module_list",
        "SELECT * FROM bytecode('SELECT 1')",
        "SELECT * FROM tables_used('SELECT 1 FROM orders')",
        "SELECT * FROM fts3tokenize",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA trusted_schema = ON",
        "PRAGMA hard_heap_limit = 0",
        "PRAGMA soft_heap_limit = 0",
        "PRAGMA temp_store_directory = '/etc'",
        "PRAGMA journal_mode = WAL",
        "PRAGMA mmap_size = 99999999999",
        "PRAGMA cache_size = 99999999",
        "PRAGMA database_list",
        "PRAGMA threads = 8",
        "EXPLAIN SELECT * FROM orders",
        "EXPLAIN QUERY PLAN SELECT * FROM orders",
        "SELECT sqlite_version()",
        "SELECT sqlite_source_id()",
        "SELECT sqlite_compileoption_get(1)",
        "SELECT sqlite_compileoption_used('x')",
        "SELECT sqlite_offset(id) FROM orders",
        "SELECT changes()",
        "SELECT total_changes()",
        "SELECT last_insert_rowid()",
    ),
    "clock and chance": (
        "SELECT random() FROM orders",
        "SELECT abs(random()) % 2 FROM orders",
        "SELECT hex(randomblob(4)) FROM orders",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT CURRENT_DATE FROM orders",
        "SELECT date('now')",
        "SELECT strftime('%f', 'now') FROM orders",
        "SELECT datetime('n' || 'ow')",
        "SELECT unixepoch()",
        "SELECT julianday(trim(' now '))",
        "SELECT strftime('%s', '2024-01-01', 'localtime')",
        "SELECT time('12:00', 'utc')",
    ),
    "texts": (
        "SELECT '\x00' FROM orders",
        "SELECT '\ud800' FROM orders",
        "SELECT \udfff FROM orders",
        "SELECT ?1 FROM orders",
        "SELECT :name, @name, $name FROM orders",
        "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
        "SELECT " + "1+" * 9_000 + "1",
        "SELECT " + ", ".join(["id"] * 3_000) + " FROM orders",
        "SELECT * FROM " + ", ".join(f"orders o{i}" for i in range(70)),
        " UNION ALL ".join(["SELECT id FROM orders"] * 400),
        "SELECT '" + "x" * 30_000 + "' FROM orders",
        "SELECT /* " + "x" * 20_000 + " */ 1 FROM orders",
    ),
}
"""Must end in an error."""

BOUNDED: dict[str, tuple[str, ...]] = {
    "memory": (
        "SELECT hex(zeroblob(1000000000))",
        "SELECT zeroblob(100000000) FROM orders",
        "SELECT randomblob(100000000) FROM orders",
        "SELECT length(printf('%999999999d', 1)) FROM orders",
        "SELECT printf('%.*c', 100000000, 'x') FROM orders",
        "SELECT length(format('%900000d', id)) FROM orders",
        "SELECT length(replace(printf('%150000d', 1), ' ', printf('%150000d', 1)))",
        "SELECT length(quote(printf('%190000d', id))) FROM orders",
        "SELECT length(group_concat(printf('%1000d', id))) FROM orders",
        f"SELECT length(group_concat(note || {_TEXT.format(90_000)})) FROM orders",
        f"SELECT DISTINCT {_TEXT.format(90_000)} || id FROM orders",
        f"SELECT {_TEXT.format(90_000)} || a.id AS t FROM orders a, orders b ORDER BY t DESC",
        f"SELECT COUNT(*) FROM (SELECT DISTINCT {_TEXT.format(90_000)} || a.id || b.id FROM orders a, orders b)",
        f"SELECT {_TEXT.format(90_000)} || id AS t, COUNT(*) FROM orders GROUP BY t",
        f"SELECT id || {_TEXT.format(90_000)} FROM orders UNION SELECT id || {_TEXT.format(80_000)} FROM orders",
        f"SELECT id || {_TEXT.format(90_000)} FROM orders INTERSECT SELECT id || {_TEXT.format(90_000)} FROM orders",
        f"SELECT id || {_TEXT.format(90_000)} FROM orders EXCEPT SELECT '' FROM orders",
        f"WITH m AS MATERIALIZED (SELECT a.id, {_TEXT.format(90_000)} AS t FROM orders a, orders b) "
        "SELECT COUNT(*) FROM m x, m y WHERE x.t = y.t",
        f"SELECT lag({_TEXT.format(90_000)} || id) OVER (ORDER BY price) FROM orders",
        f"SELECT COUNT(*) OVER (PARTITION BY {_TEXT.format(90_000)} || id) FROM orders",
        f"SELECT group_concat({_TEXT.format(50_000)}) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) FROM orders",
        f"SELECT MAX(t) FROM (SELECT {_TEXT.format(90_000)} || id AS t FROM {_THREE} ORDER BY t)",
        _NUMBERS.format(10**9) + "SELECT COUNT(*) FROM n",
        _NUMBERS.format(10**9) + "SELECT x FROM n ORDER BY x DESC",
        _NUMBERS.format(10**9) + "SELECT DISTINCT x FROM n",
        _NUMBERS.format(10**9) + "SELECT group_concat(x) FROM n",
        _NUMBERS.format(10**9) + f"SELECT DISTINCT x || {_TEXT.format(90_000)} FROM n",
        _NUMBERS.format(10**9) + "SELECT json_group_array(x) FROM n",
        _NUMBERS.format(10**9) + "SELECT json_group_object(x, printf('%9000d', x)) FROM n",
        "WITH RECURSIVE b(t) AS (SELECT 'a' UNION ALL SELECT t || t FROM b) SELECT length(t) FROM b",
        "WITH RECURSIVE b(t) AS (SELECT 'a' UNION SELECT t || 'a' FROM b) SELECT COUNT(*) FROM b",
        "WITH RECURSIVE b(t) AS (SELECT printf('%9000d', 1) UNION SELECT t || 'x' FROM b) SELECT MAX(t) FROM b",
        "SELECT json_array(" + ", ".join(["printf('%9000d', 1)"] * 100) + ") FROM orders",
        "SELECT json_object(" + ", ".join(f"'k{i}', printf('%9000d', 1)" for i in range(50)) + ") FROM orders",
        "SELECT json_group_array(json_array(a.id, b.id, printf('%900d', 1))) FROM orders a, orders b",
        "SELECT json_quote(printf('%190000d', 1)) FROM orders",
        "SELECT COUNT(*) FROM json_each('[' || replace(printf('%90000d', 0), ' ', '1,') || '1]')",
        "SELECT COUNT(*) FROM orders, json_each('[' || replace(printf('%90000d', 0), ' ', '1,') || '1]')",
        "SELECT COUNT(*) FROM json_tree(replace(printf('%900d', 0), ' ', '[') || replace(printf('%900d', 0), ' ', ']'))",
        "SELECT a.*, b.*, c.* FROM orders a, orders b, orders c",
        f"SELECT COUNT(*) FROM (SELECT * FROM {_THREE} ORDER BY a.note, b.note, c.note)",
        "SELECT string_agg(note, printf('%90000d', 1)) FROM orders",
        "SELECT upper(lower(printf('%190000d', id))) || 'x' FROM orders ORDER BY 1",
        "SELECT a.id FROM orders a, orders b ORDER BY printf('%9000d', a.id * b.id)",
        f"SELECT (SELECT group_concat({_TEXT.format(90_000)}) FROM orders b WHERE b.id <= a.id) FROM orders a",
        f"VALUES ({_TEXT.format(99_000)}), ({_TEXT.format(98_000)}), ({_TEXT.format(97_000)})",
    ),
    "time": (
        "SELECT CASE " + "WHEN 1 THEN 2 " * 1_000 + "END",
        f"SELECT COUNT(*) FROM {_THREE}",
        f"SELECT SUM(a.price * b.price * c.price) FROM {_THREE}",
        f"SELECT COUNT(DISTINCT a.price + b.price) FROM {_THREE}",
        "SELECT COUNT(*) FROM sales a, sales b, sales c, sales d",
        "SELECT COUNT(*) FROM orders a JOIN orders b ON a.id <> b.id JOIN orders c ON c.id <> a.id",
        "SELECT (SELECT COUNT(*) FROM orders b, orders c WHERE b.id < a.id) FROM orders a",
        f"SELECT SUM(instr({_TEXT.format(99_000)}, {_TEXT.format(49_000)} || 'b')) FROM orders",
        f"SELECT SUM(instr({_TEXT.format(99_000)} || 'a', {_TEXT.format(49_000)} || 'c')) FROM orders a, orders b",
        f"SELECT length(replace({_TEXT.format(99_000)}, {_TEXT.format(49_000)} || 'b', '')) FROM orders",
        f"SELECT SUM({_TEXT.format(99_000)} LIKE '%a%b%a%b%a%b%a%b%c') FROM orders",
        f"SELECT SUM({_TEXT.format(99_000)} LIKE '" + "%a_" * 60 + "c') FROM orders",
        f"SELECT SUM({_TEXT.format(99_000)} GLOB '" + "*a?" * 60 + "c') FROM orders",
        f"SELECT SUM({_TEXT.format(99_000)} LIKE {_TEXT.format(99_000)}) FROM orders",
        f"SELECT SUM(trim({_TEXT.format(99_000)}, 'ab' || id)) FROM orders a",
        f"SELECT SUM(ltrim({_TEXT.format(90_000)}, {_TEXT.format(90_000)})) FROM orders",
        f"SELECT SUM(unicode(substr({_TEXT.format(90_000)}, -1))) FROM {_THREE}",
        f"SELECT SUM(length(upper({_TEXT.format(90_000)}))) FROM orders a, orders b",
        f"SELECT MAX(hex({_TEXT.format(45_000)})) FROM orders a, orders b",
        f"SELECT COUNT(*) FROM orders a, orders b WHERE {_TEXT.format(90_000)} = {_TEXT.format(90_000)} || a.id",
        "SELECT json_extract('[' || replace(printf('%90000d', 0), ' ', '[1],') || '1]', '$[89999]') FROM orders a, orders b",
        "SELECT json_valid(replace(printf('%90000d', 0), ' ', '[')) FROM orders a, orders b",
        "SELECT json_patch('{\"a\":' || replace(printf('%900d', 0), ' ', '[') || '1', '{}') FROM orders a, orders b",
        "SELECT SUM(soundex(a.note || b.note) = soundex(c.note)) FROM orders a, orders b, orders c",
        "SELECT percent_rank() OVER (ORDER BY a.price * b.price) FROM orders a, orders b",
        "SELECT SUM(a.price) OVER (ORDER BY a.id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM orders a, orders b",
        "SELECT nth_value(a.id, 600) OVER (ORDER BY b.id) FROM orders a, orders b",
        "SELECT COUNT(*) FROM orders WHERE id IN (SELECT a.id * b.id FROM orders a, orders b)",
        "SELECT COUNT(*) FROM orders a WHERE EXISTS (SELECT 1 FROM orders b, orders c WHERE a.id + b.id + c.id < 0)",
        "WITH RECURSIVE c(x, y) AS (SELECT 1, 1 UNION ALL SELECT y, x + y FROM c) SELECT MAX(x) FROM c",
        "WITH RECURSIVE q(p) AS (VALUES('') UNION ALL SELECT p || o.id FROM q, orders o WHERE length(p) < 9) SELECT COUNT(*) FROM q",
        "WITH RECURSIVE f(a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM f ORDER BY 1 DESC) SELECT a FROM f LIMIT 1 OFFSET 99999999",
        "SELECT id FROM orders LIMIT 1 OFFSET 9223372036854775807",
        "SELECT abs(-9223372036854775808) FROM orders",
        "SELECT 9223372036854775807 + id FROM orders",
        "SELECT 1e308 * 1e308, -1e999, 1e999 - 1e999 FROM orders",
        "SELECT pow(10, 400), exp(10000), sqrt(-1), log(0) FROM orders",
        "SELECT printf('%.500f', 1e300) FROM orders",
        "SELECT printf('%!.999999999f', 1.0) FROM orders",
        "SELECT round(price, 999999999) FROM orders",
        "SELECT substr(note, -9223372036854775808, 9223372036854775807) FROM orders",
        "SELECT char(55296, 0, 27, 1114111, -1) || note FROM orders",
        "SELECT CAST(x'eda080' AS TEXT), x'00ff' FROM orders",
        "SELECT x'1b5d35323b63' FROM orders",
    ),
}
"""May give a result; must end within the limits, whatever it is."""


def list_attacks() -> list[tuple[str, str, bool]]:
    """Each with its kind, and whether it must be refused."""
    return [
        (kind, sql, attacks is REFUSED)
        for attacks in (REFUSED, BOUNDED)
        for kind, statements in attacks.items()
        for sql in statements
    ]


def build_shop_database(path: Path) -> str:
    """A view over two tables of 600 rows."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, late INTEGER, price REAL, note TEXT);"
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, state TEXT);"
        "CREATE VIEW sales AS SELECT o.id AS id, c.state AS state, late, price, note"
        " FROM orders o JOIN customers c ON c.id = o.customer;"
    )
    states = ("SP", "RJ", "MG")
    connection.executemany("INSERT INTO customers VALUES (?, ?)", [(n, states[n % 3]) for n in range(600)])
    connection.executemany(
        "INSERT INTO orders VALUES (?, ?, ?, ?, ?)", [(n, n, n % 5 == 0, 10 + n % 97, f"note {n}") for n in range(600)]
    )
    connection.commit()
    connection.close()
    return str(path)
