"""Measures sql_qa: statements that say the same on Chinook, constants in disguise, and stored completions old against new.

`--chinook FILE` is the SQLite file of the public Chinook database; `--run FOLDER` a run whose stored completions are scored
again, with how many changed and the processor time of one.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import time
from pathlib import Path

from benchmarks.sql_pairs import PAIRS
from rewards.functions.sql_qa import SqlQa
from rewards.rescore import list_stored, read_stored
from rewards.sql.results import same_rows
from rewards.types import Completion, Example

QUESTIONS: list[tuple[str, list[str]]] = [

("SELECT COUNT(*) FROM Customer",["SELECT COUNT(CustomerId) FROM Customer","SELECT COUNT(DISTINCT CustomerId) FROM Customer","SELECT COUNT(1) FROM Customer", "SELECT SUM(1) FROM Customer"]),
("SELECT SUM(Total) FROM Invoice",["SELECT SUM(UnitPrice * Quantity) FROM InvoiceLine","SELECT SUM(il.UnitPrice*il.Quantity) FROM Invoice i JOIN InvoiceLine il ON il.InvoiceId=i.InvoiceId","SELECT ROUND(SUM(Total),2) FROM Invoice"]),
("SELECT BillingCountry, SUM(Total) FROM Invoice GROUP BY BillingCountry",["SELECT c.Country, SUM(i.Total) FROM Customer c JOIN Invoice i ON i.CustomerId=c.CustomerId GROUP BY c.Country","SELECT i.BillingCountry, SUM(l.UnitPrice*l.Quantity) FROM Invoice i JOIN InvoiceLine l USING (InvoiceId) GROUP BY 1"]),
("SELECT FirstName, LastName FROM Customer WHERE Country = 'Brazil'",["SELECT FirstName, LastName FROM Customer WHERE Country LIKE 'Brazil'","SELECT DISTINCT c.FirstName, c.LastName FROM Customer c JOIN Invoice i ON c.CustomerId=i.CustomerId WHERE i.BillingCountry='Brazil'","SELECT FirstName, LastName FROM Customer WHERE Country IN ('Brazil') ORDER BY LastName"]),
("SELECT COUNT(*) FROM Track t JOIN Genre g ON g.GenreId=t.GenreId WHERE g.Name='Rock'",["SELECT COUNT(*) FROM Track WHERE GenreId = (SELECT GenreId FROM Genre WHERE Name='Rock')","SELECT COUNT(*) FROM Track WHERE GenreId IN (SELECT GenreId FROM Genre WHERE Name='Rock')","SELECT SUM(g.Name='Rock') FROM Track t JOIN Genre g USING(GenreId)","SELECT SUM(CASE WHEN g.Name='Rock' THEN 1 ELSE 0 END) FROM Track t LEFT JOIN Genre g ON g.GenreId=t.GenreId"]),
("SELECT strftime('%Y', InvoiceDate) AS y, SUM(Total) FROM Invoice GROUP BY y",["SELECT substr(InvoiceDate,1,4), SUM(Total) FROM Invoice GROUP BY 1"]),
("SELECT COUNT(*) FROM Invoice WHERE strftime('%Y', InvoiceDate) = '2010'",["SELECT COUNT(*) FROM Invoice WHERE InvoiceDate LIKE '2010%'","SELECT COUNT(*) FROM Invoice WHERE InvoiceDate BETWEEN '2010-01-01' AND '2010-12-31 23:59:59'","SELECT COUNT(InvoiceId) FROM Invoice WHERE InvoiceDate >= '2010-01-01' AND InvoiceDate < '2011-01-01'"]),
("SELECT g.Name, COUNT(*) AS n FROM InvoiceLine il JOIN Track t ON t.TrackId=il.TrackId JOIN Genre g ON g.GenreId=t.GenreId GROUP BY g.Name ORDER BY n DESC LIMIT 1",["SELECT g.Name, SUM(il.Quantity) FROM Genre g JOIN Track t ON g.GenreId=t.GenreId JOIN InvoiceLine il ON il.TrackId=t.TrackId GROUP BY g.GenreId ORDER BY 2 DESC LIMIT 1","WITH s AS (SELECT g.Name AS name, COUNT(*) AS n FROM InvoiceLine il JOIN Track t ON t.TrackId=il.TrackId JOIN Genre g ON g.GenreId=t.GenreId GROUP BY g.Name) SELECT name, n FROM s WHERE n = (SELECT MAX(n) FROM s)"]),
("SELECT e.FirstName, COUNT(c.CustomerId) FROM Employee e JOIN Customer c ON c.SupportRepId=e.EmployeeId GROUP BY e.EmployeeId",["SELECT (SELECT FirstName FROM Employee WHERE EmployeeId=c.SupportRepId), COUNT(*) FROM Customer c GROUP BY c.SupportRepId"]),
("SELECT e.LastName, m.LastName FROM Employee e LEFT JOIN Employee m ON e.ReportsTo=m.EmployeeId",["SELECT e.LastName, (SELECT m.LastName FROM Employee m WHERE m.EmployeeId=e.ReportsTo) FROM Employee e"]),
("SELECT ar.Name FROM Artist ar LEFT JOIN Album al ON al.ArtistId=ar.ArtistId WHERE al.AlbumId IS NULL",["SELECT Name FROM Artist WHERE ArtistId NOT IN (SELECT ArtistId FROM Album)","SELECT Name FROM Artist a WHERE NOT EXISTS (SELECT 1 FROM Album b WHERE b.ArtistId=a.ArtistId)"]),
("SELECT ar.Name, COUNT(*) FROM Artist ar JOIN Album al ON ar.ArtistId=al.ArtistId GROUP BY ar.ArtistId ORDER BY COUNT(*) DESC LIMIT 1",["SELECT ar.Name, n FROM (SELECT ArtistId, COUNT(AlbumId) AS n FROM Album GROUP BY ArtistId) x JOIN Artist ar ON ar.ArtistId=x.ArtistId ORDER BY n DESC LIMIT 1","SELECT Name, n FROM (SELECT ar.Name, COUNT(*) AS n, RANK() OVER (ORDER BY COUNT(*) DESC) AS r FROM Artist ar JOIN Album al USING(ArtistId) GROUP BY ar.ArtistId) WHERE r = 1"]),
("SELECT AVG(Milliseconds) FROM Track",["SELECT SUM(Milliseconds)*1.0/COUNT(*) FROM Track","SELECT TOTAL(Milliseconds)/COUNT(1) FROM Track"]),
("SELECT AVG(Milliseconds)/1000.0/60 FROM Track",["SELECT AVG(Milliseconds/60000.0) FROM Track"]),
("SELECT Name FROM Track ORDER BY Milliseconds DESC LIMIT 1",["SELECT Name FROM Track WHERE Milliseconds = (SELECT MAX(Milliseconds) FROM Track)","SELECT Name FROM (SELECT Name, ROW_NUMBER() OVER (ORDER BY Milliseconds DESC) AS r FROM Track) WHERE r=1"]),
("SELECT SUM(Quantity) FROM InvoiceLine",["SELECT COUNT(*) FROM InvoiceLine","SELECT COUNT(InvoiceLineId) FROM InvoiceLine"]),
("SELECT c.FirstName, c.LastName, SUM(i.Total) AS t FROM Customer c JOIN Invoice i ON i.CustomerId=c.CustomerId GROUP BY c.CustomerId ORDER BY t DESC LIMIT 1",["SELECT FirstName, LastName, (SELECT SUM(Total) FROM Invoice i WHERE i.CustomerId=c.CustomerId) AS s FROM Customer c ORDER BY s DESC LIMIT 1","SELECT c.FirstName, c.LastName, SUM(l.UnitPrice*l.Quantity) FROM Customer c JOIN Invoice i USING(CustomerId) JOIN InvoiceLine l USING(InvoiceId) GROUP BY c.CustomerId ORDER BY 3 DESC LIMIT 1"]),
("SELECT p.Name, COUNT(pt.TrackId) FROM Playlist p LEFT JOIN PlaylistTrack pt ON pt.PlaylistId=p.PlaylistId GROUP BY p.PlaylistId",["SELECT p.Name, (SELECT COUNT(*) FROM PlaylistTrack x WHERE x.PlaylistId=p.PlaylistId) FROM Playlist p"]),
("SELECT DISTINCT Country FROM Customer",["SELECT Country FROM Customer GROUP BY Country","SELECT DISTINCT BillingCountry FROM Invoice"]),
("SELECT COUNT(DISTINCT Country) FROM Customer",["SELECT COUNT(*) FROM (SELECT DISTINCT Country FROM Customer)","SELECT COUNT(DISTINCT BillingCountry) FROM Invoice"]),
("SELECT UnitPrice FROM Track WHERE TrackId = 1",["SELECT MAX(UnitPrice) FROM Track WHERE TrackId=1"]),
("SELECT Title FROM Album WHERE AlbumId = 3",["SELECT Title FROM Album WHERE AlbumId BETWEEN 3 AND 3"]),
("SELECT MAX(Total) FROM Invoice",["SELECT Total FROM Invoice ORDER BY Total DESC LIMIT 1"]),
("SELECT MIN(UnitPrice) FROM Track",["SELECT UnitPrice FROM Track ORDER BY UnitPrice LIMIT 1"]),
("SELECT COUNT(*) FROM MediaType",["SELECT COUNT(DISTINCT Name) FROM MediaType"]),
("SELECT Email FROM Customer WHERE CustomerId = 5",["SELECT Email FROM Customer WHERE CustomerId = 5 LIMIT 1"]),
("SELECT COUNT(*) FROM Track WHERE Milliseconds > 300000",["SELECT COUNT(*) FROM Track WHERE Milliseconds/1000.0 > 300","SELECT COUNT(*) FROM Track WHERE NOT Milliseconds <= 300000"]),
("SELECT COUNT(*) FROM Invoice WHERE Total > 900",["SELECT COUNT(InvoiceId) FROM Invoice WHERE NOT Total <= 900","SELECT SUM(CASE WHEN Total > 900 THEN 1 ELSE 0 END) FROM Invoice"]),
("SELECT HireDate FROM Employee WHERE EmployeeId = 1",["SELECT MAX(HireDate) FROM Employee WHERE EmployeeId=1"]),
("SELECT MAX(strftime('%Y', InvoiceDate)) FROM Invoice",["SELECT strftime('%Y', MAX(InvoiceDate)) FROM Invoice"]),
("SELECT t.Name FROM Track t JOIN InvoiceLine il ON il.TrackId=t.TrackId GROUP BY t.TrackId ORDER BY COUNT(*) DESC, t.Name LIMIT 5",["SELECT Name FROM (SELECT t.Name, COUNT(*) n FROM InvoiceLine il JOIN Track t USING(TrackId) GROUP BY t.TrackId) ORDER BY n DESC, Name LIMIT 5"]),
("SELECT COUNT(*) FROM Track WHERE Composer IS NULL",["SELECT SUM(Composer IS NULL) FROM Track","SELECT COUNT(*) - COUNT(Composer) FROM Track"]),
("SELECT BillingCity, SUM(Total) FROM Invoice GROUP BY BillingCity ORDER BY SUM(Total) DESC LIMIT 1",["SELECT c.City, SUM(i.Total) s FROM Invoice i JOIN Customer c ON c.CustomerId=i.CustomerId GROUP BY c.City ORDER BY s DESC LIMIT 1"]),
]  # fmt: skip
"""A right SELECT, and others that say the same."""

DISGUISES = (
    "SELECT CASE WHEN COUNT(*) >= 0 THEN {0} END FROM {1}",
    "SELECT COALESCE({0}, MAX(rowid)) FROM {1}",
    "SELECT {0} FROM {1} LIMIT 1",
    "SELECT {0} WHERE EXISTS (SELECT 1 FROM {1})",
    "WITH k AS (SELECT {0} AS v, COUNT(*) AS n FROM {1}) SELECT v FROM k",
    "SELECT IFNULL(NULLIF({0}, COUNT(*) + 99999), 0) FROM {1}",
)


def measure_chinook(path: str) -> dict[str, int]:
    """How many equivalents with equal results earn 1, and how many constants with the right result earn anything."""
    connection, function = sqlite3.connect(path), SqlQa()
    found = {"equivalents": 0, "paid_in_full": 0, "constants": 0, "constants_paid": 0}
    for gold, others in QUESTIONS:
        example = Example("1", "sql_qa", [], gold, {"database": path})
        right = connection.execute(gold).fetchall()
        for text in (gold, *others):
            if same_rows(right, connection.execute(text).fetchall(), function.tolerance):
                found["equivalents"] += 1
                found["paid_in_full"] += function(example, Completion(text)).value == 1.0
        if len(right) != 1 or len(right[0]) != 1:
            continue
        value = right[0][0]
        said = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
        table = re.search(r"FROM (\w+)", gold)
        for form in DISGUISES:
            text = form.format(said, table[1] if table else "")
            if connection.execute(text).fetchall() == right:
                found["constants"] += 1
                found["constants_paid"] += (function(example, Completion(text)).value or 0.0) > 0.0
    return found


def measure_pairs(path: str) -> dict[str, int]:
    """How many statements that ask the same earn 1, and how many of those that ask something else do."""
    function = SqlQa()
    found = {"same": 0, "same_paid_in_full": 0, "other": 0, "other_paid_in_full": 0}
    for reference, same, other in PAIRS:
        example = Example("1", "sql_qa", [], reference, {"database": path})
        for kind, texts in (("same", same), ("other", other)):
            for text in texts:
                paid = function(example, Completion(text)).value == 1.0
                found[kind] += 1
                found[f"{kind}_paid_in_full"] += paid
                if paid != (kind == "same"):
                    print(f"{kind}: {reference}\n   {text}")
    return found


def measure_run(run: Path) -> dict[str, float]:
    """Stored completions of sql_qa scored again: means, how many changed either way, microseconds each."""
    function = SqlQa()
    old, new, seconds = [], [], 0.0
    for path in list_stored(run, training=True).values():
        for row in read_stored(path):
            stored = (row.record.get("scores") or {}).get(function.name) or {}
            if row.example.task != "sql_qa" or stored.get("value") is None:
                continue
            started = time.process_time()
            value = function(row.example, row.completion).value
            seconds += time.process_time() - started
            old.append(float(stored["value"]))
            new.append(value or 0.0)
    changes = [after - before for before, after in zip(old, new, strict=True)]
    return {
        "completions": len(old),
        "mean_then": sum(old) / len(old),
        "mean_now": sum(new) / len(new),
        "raised": sum(change > 1e-9 for change in changes),
        "lowered": sum(change < -1e-9 for change in changes),
        "microseconds": 1e6 * seconds / len(old),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chinook", metavar="FILE")
    parser.add_argument("--run", metavar="FOLDER")
    options = parser.parse_args()
    measured: dict[str, object] = {}
    if options.chinook:
        measured["chinook"] = measure_chinook(options.chinook)
        measured["pairs"] = measure_pairs(options.chinook)
    if options.run:
        measured["run"] = measure_run(Path(options.run))
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
