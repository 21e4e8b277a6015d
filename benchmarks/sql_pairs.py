"""Questions to Chinook, each with statements that ask the same and with others that only look like it."""

from __future__ import annotations

PAIRS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        'SELECT Email FROM Customer WHERE CustomerId = 5',
        ("SELECT Email FROM Customer WHERE LastName = 'Wichterlová'", "SELECT Email FROM Customer WHERE FirstName = 'František' AND LastName = 'Wichterlová'", "SELECT c.Email FROM Customer c WHERE c.Phone = '+420 2 4172 5555'", "SELECT Email FROM Customer WHERE FirstName || ' ' || LastName = 'František Wichterlová'", "SELECT Email FROM Customer WHERE LastName LIKE 'Wichterl%'", 'SELECT Email FROM Customer WHERE CustomerId IN (5)', 'SELECT DISTINCT c.Email FROM Customer c JOIN Invoice i ON i.CustomerId=c.CustomerId WHERE c.CustomerId=5'),
        ("SELECT 'frantisekw@jetbrains.com'", "SELECT 'frantisekw@jetbrains.com' FROM Customer WHERE CustomerId=5", 'SELECT Email FROM Customer WHERE CustomerId = 6', "SELECT Email FROM Customer WHERE Email='frantisekw@jetbrains.com'", 'SELECT Email FROM Customer LIMIT 1 OFFSET 4'),
    ),
    (
        "SELECT FirstName, LastName FROM Customer WHERE Email = 'luisg@embraer.com.br'",
        ('SELECT FirstName, LastName FROM Customer WHERE CustomerId = 1', "SELECT FirstName, LastName FROM Customer WHERE CustomerId=1 AND Email LIKE 'luisg@%'"),
        ('SELECT FirstName, LastName FROM Customer ORDER BY CustomerId LIMIT 1', "SELECT 'Luís','Gonçalves'"),
    ),
    (
        'SELECT SUM(Total) FROM Invoice WHERE CustomerId = 5',
        ("SELECT SUM(i.Total) FROM Invoice i JOIN Customer c USING(CustomerId) WHERE c.LastName='Wichterlová'", 'SELECT SUM(l.UnitPrice*l.Quantity) FROM InvoiceLine l JOIN Invoice i USING(InvoiceId) WHERE i.CustomerId=5', "SELECT SUM(Total) FROM Invoice WHERE CustomerId = (SELECT CustomerId FROM Customer WHERE Email='frantisekw@jetbrains.com')"),
        ('SELECT SUM(Total) FROM Invoice WHERE CustomerId = 6', 'SELECT MAX(Total) FROM Invoice WHERE CustomerId=5', 'SELECT 40.62 FROM Invoice LIMIT 1'),
    ),
    (
        'SELECT Title FROM Album WHERE AlbumId = 1',
        (),
        ('SELECT Title FROM Album LIMIT 1', 'SELECT MIN(Title) FROM Album WHERE AlbumId=1 OR AlbumId=2'),
    ),
    (
        'SELECT COUNT(*) FROM Album WHERE ArtistId = 22',
        ("SELECT COUNT(*) FROM Album a JOIN Artist r USING(ArtistId) WHERE r.Name='Led Zeppelin'", "SELECT COUNT(AlbumId) FROM Album WHERE ArtistId=(SELECT ArtistId FROM Artist WHERE Name='Led Zeppelin')"),
        ('SELECT COUNT(*) FROM Album WHERE ArtistId = 58', 'SELECT COUNT(*) FROM Album WHERE ArtistId > 300'),
    ),
    (
        'SELECT Title FROM Album WHERE ArtistId = 22',
        ("SELECT a.Title FROM Album a JOIN Artist r ON r.ArtistId=a.ArtistId WHERE r.Name='Led Zeppelin'", "SELECT Title FROM Album a WHERE EXISTS (SELECT 1 FROM Artist r WHERE r.ArtistId=a.ArtistId AND r.Name='Led Zeppelin') ORDER BY Title"),
        ('SELECT Title FROM Album WHERE AlbumId BETWEEN 127 AND 137', 'SELECT Title FROM Album WHERE ArtistId=23'),
    ),
    (
        'SELECT Name FROM Track WHERE AlbumId = 1',
        ("SELECT t.Name FROM Track t JOIN Album a USING(AlbumId) WHERE a.Title='For Those About To Rock We Salute You'", 'SELECT t.Name FROM Track t, Album a WHERE t.AlbumId=a.AlbumId AND a.AlbumId=1'),
        ('SELECT Name FROM Track WHERE AlbumId=2', 'SELECT Name FROM Track WHERE TrackId <= 10'),
    ),
    (
        'SELECT Phone FROM Employee WHERE EmployeeId = 3',
        ("SELECT Phone FROM Employee WHERE FirstName='Jane' AND LastName='Peacock'", "SELECT Phone FROM Employee WHERE LastName='Peacock'", "SELECT Phone FROM Employee WHERE Email='jane@chinookcorp.com'"),
        ('SELECT Phone FROM Employee WHERE EmployeeId=4', 'SELECT Phone FROM Employee WHERE ReportsTo=2 LIMIT 1'),
    ),
    (
        'SELECT COUNT(*) FROM Customer WHERE SupportRepId = 3',
        ("SELECT COUNT(*) FROM Customer c JOIN Employee e ON e.EmployeeId=c.SupportRepId WHERE e.LastName='Peacock'", "SELECT COUNT(*) FROM Customer WHERE SupportRepId=(SELECT EmployeeId FROM Employee WHERE FirstName='Jane')"),
        ('SELECT COUNT(*) FROM Customer WHERE SupportRepId=4',),
    ),
    (
        'SELECT COUNT(*) FROM Track WHERE MediaTypeId = 1',
        ("SELECT COUNT(*) FROM Track t JOIN MediaType m USING(MediaTypeId) WHERE m.Name='MPEG audio file'",),
        ('SELECT COUNT(*) FROM Track WHERE MediaTypeId=2',),
    ),
    (
        'SELECT COUNT(*) FROM PlaylistTrack WHERE PlaylistId = 5',
        ("SELECT COUNT(*) FROM PlaylistTrack pt JOIN Playlist p USING(PlaylistId) WHERE p.Name='90’s Music'",),
        ('SELECT COUNT(*) FROM PlaylistTrack WHERE PlaylistId=1',),
    ),
    (
        'SELECT COUNT(*) FROM Invoice',
        ('SELECT COUNT(InvoiceId) FROM Invoice', 'SELECT COUNT(*) FROM Invoice WHERE Total > -1', 'SELECT COUNT(*) FROM Invoice WHERE 1=1', 'SELECT COUNT(*) FROM Invoice WHERE Total >= 0', 'SELECT COUNT(*) FROM Invoice WHERE InvoiceId IS NOT NULL'),
        ('SELECT COUNT(*) FROM Invoice WHERE Total < 100', 'SELECT COUNT(*) FROM Invoice WHERE Total <= 30', "SELECT COUNT(*) FROM Invoice WHERE InvoiceDate >= '2021-01-01'", "SELECT COUNT(*) FROM Invoice WHERE InvoiceDate < '2026-01-01'", "SELECT COUNT(*) FROM Invoice WHERE BillingCountry <> 'Japan'", "SELECT COUNT(*) FROM Invoice WHERE strftime('%Y',InvoiceDate) BETWEEN '2021' AND '2026'", 'SELECT COUNT(*) FROM Invoice WHERE Total > 0.5', 'SELECT 412 FROM Invoice LIMIT 1', 'SELECT COUNT(*) FROM Invoice WHERE InvoiceId <= 412', 'SELECT MAX(InvoiceId) FROM Invoice'),
    ),
    (
        'SELECT COUNT(*) FROM Invoice WHERE Total < 100',
        ('SELECT COUNT(*) FROM Invoice WHERE NOT Total >= 100', 'SELECT SUM(CASE WHEN Total < 100 THEN 1 ELSE 0 END) FROM Invoice'),
        ('SELECT COUNT(*) FROM Invoice', 'SELECT COUNT(*) FROM Invoice WHERE Total < 50', 'SELECT COUNT(*) FROM Invoice WHERE Total > 0'),
    ),
    (
        'SELECT AVG(Milliseconds) FROM Track',
        ('SELECT SUM(Milliseconds)*1.0/COUNT(*) FROM Track',),
        ('SELECT AVG(Milliseconds) FROM Track WHERE Milliseconds < 9000000', 'SELECT AVG(Milliseconds) FROM Track WHERE UnitPrice < 5', 'SELECT AVG(Milliseconds) FROM Track WHERE Bytes > 1000', 'SELECT AVG(Milliseconds) FROM Track WHERE GenreId <= 25'),
    ),
    (
        "SELECT SUM(Total) FROM Invoice WHERE BillingCountry = 'Brazil'",
        ("SELECT SUM(i.Total) FROM Invoice i JOIN Customer c USING(CustomerId) WHERE c.Country='Brazil'", "SELECT TOTAL(Total) FROM Invoice WHERE BillingCountry IN ('Brazil')", "SELECT SUM(CASE BillingCountry WHEN 'Brazil' THEN Total ELSE 0 END) FROM Invoice", "SELECT SUM(Total) FROM Invoice GROUP BY BillingCountry HAVING BillingCountry='Brazil'", "SELECT SUM(Total) FILTER (WHERE BillingCountry='Brazil') FROM Invoice"),
        ("SELECT SUM(Total) FROM Invoice WHERE BillingCountry='Brazil' AND Total < 50", "SELECT SUM(Total) FROM Invoice WHERE BillingCountry='Brazil' AND InvoiceDate < '2030-01-01'", 'SELECT 190.1', "SELECT SUM(Total) FROM Invoice WHERE BillingCountry='Canada'"),
    ),
    (
        'SELECT MAX(Total) FROM Invoice',
        ('SELECT Total FROM Invoice ORDER BY Total DESC LIMIT 1', 'SELECT MAX(Total) FROM Invoice WHERE Total > 0'),
        ('SELECT Total FROM Invoice WHERE Total > 25', 'SELECT DISTINCT Total FROM Invoice WHERE Total >= 25.86', 'SELECT MAX(Total) FROM Invoice WHERE Total > 20', "SELECT MAX(Total) FROM Invoice WHERE InvoiceDate > '2021-06-01'", 'SELECT MAX(Total) FROM Invoice WHERE Total < 26', "SELECT MAX(Total) FROM Invoice WHERE BillingCountry <> 'Brazil'", 'SELECT Total FROM Invoice WHERE InvoiceId=404'),
    ),
    (
        'SELECT Name FROM Track ORDER BY Milliseconds DESC LIMIT 1',
        ('SELECT Name FROM Track WHERE Milliseconds=(SELECT MAX(Milliseconds) FROM Track)', 'SELECT t.Name FROM Track t WHERE NOT EXISTS (SELECT 1 FROM Track u WHERE u.Milliseconds>t.Milliseconds)', 'SELECT Name FROM (SELECT Name, DENSE_RANK() OVER (ORDER BY Milliseconds DESC) r FROM Track) WHERE r=1'),
        ('SELECT Name FROM Track WHERE Milliseconds > 5200000', "SELECT Name FROM Track WHERE Name='Occupation / Precipice'", 'SELECT Name FROM Track ORDER BY Bytes DESC LIMIT 1', 'SELECT Name FROM Track WHERE GenreId=19 ORDER BY Milliseconds DESC LIMIT 1'),
    ),
    (
        'SELECT MIN(InvoiceDate) FROM Invoice',
        ('SELECT InvoiceDate FROM Invoice ORDER BY InvoiceDate LIMIT 1',),
        ("SELECT MIN(InvoiceDate) FROM Invoice WHERE InvoiceDate >= '2021-01-01'", 'SELECT InvoiceDate FROM Invoice WHERE InvoiceId=1', "SELECT MIN(InvoiceDate) FROM Invoice WHERE InvoiceDate < '2022-01-01'"),
    ),
    (
        "SELECT COUNT(*) FROM Invoice WHERE InvoiceDate >= '2022-01-01' AND InvoiceDate < '2023-01-01'",
        ("SELECT COUNT(*) FROM Invoice WHERE strftime('%Y', InvoiceDate)='2022'", "SELECT COUNT(*) FROM Invoice WHERE InvoiceDate LIKE '2022-%'", "SELECT COUNT(*) FROM Invoice WHERE CAST(strftime('%Y', InvoiceDate) AS INTEGER)=2022", "SELECT COUNT(*) FROM Invoice WHERE date(InvoiceDate) BETWEEN '2022-01-01' AND '2022-12-31'", "SELECT COUNT(*) FROM Invoice WHERE substr(InvoiceDate,1,4)='2022'", "SELECT COUNT(*) FROM Invoice WHERE InvoiceDate BETWEEN '2022-01-01 00:00:00' AND '2022-12-31 23:59:59'", "SELECT SUM(strftime('%Y',InvoiceDate)='2022') FROM Invoice"),
        ("SELECT COUNT(*) FROM Invoice WHERE InvoiceDate >= '2022-01-02' AND InvoiceDate < '2023-01-01'", "SELECT COUNT(*) FROM Invoice WHERE InvoiceDate >= '2022-01-01' AND InvoiceDate < '2022-12-31'", "SELECT COUNT(*) FROM Invoice WHERE InvoiceDate > '2022-01-05' AND InvoiceDate < '2023-01-01'", "SELECT COUNT(*) FROM Invoice WHERE strftime('%Y', InvoiceDate)='2023'"),
    ),
    (
        "SELECT SUM(Total) FROM Invoice WHERE InvoiceDate >= '2024-03-01' AND InvoiceDate < '2024-04-01'",
        ("SELECT SUM(Total) FROM Invoice WHERE strftime('%Y-%m', InvoiceDate)='2024-03'", "SELECT SUM(Total) FROM Invoice WHERE date(InvoiceDate) >= '2024-03-01' AND date(InvoiceDate) <= '2024-03-31'", "SELECT SUM(Total) FROM Invoice WHERE InvoiceDate LIKE '2024-03%'"),
        ("SELECT SUM(Total) FROM Invoice WHERE date(InvoiceDate) >= '2024-03-01' AND date(InvoiceDate) <= '2024-03-30'", "SELECT SUM(Total) FROM Invoice WHERE InvoiceDate > '2024-03-01' AND InvoiceDate < '2024-03-31'", "SELECT SUM(Total) FROM Invoice WHERE strftime('%m', InvoiceDate)='03'"),
    ),
    (
        "SELECT COUNT(*) FROM Employee WHERE HireDate > '2003-01-01'",
        ("SELECT COUNT(*) FROM Employee WHERE strftime('%Y',HireDate) >= '2003'", "SELECT COUNT(EmployeeId) FROM Employee WHERE HireDate >= '2003-01-01'"),
        ("SELECT COUNT(*) FROM Employee WHERE HireDate > '2003-04-01'", "SELECT COUNT(*) FROM Employee WHERE HireDate > '2002-12-01'", "SELECT COUNT(*) FROM Employee WHERE HireDate > '2003-05-01'"),
    ),
    (
        'SELECT COUNT(*) FROM Track WHERE Milliseconds > 300000',
        ('SELECT COUNT(*) FROM Track WHERE Milliseconds/1000.0 > 300', 'SELECT COUNT(*) FROM Track WHERE Milliseconds >= 300001', 'SELECT COUNT(*) FROM Track WHERE Milliseconds/60000.0 > 5'),
        ('SELECT COUNT(*) FROM Track WHERE Milliseconds >= 300000', 'SELECT COUNT(*) FROM Track WHERE Milliseconds > 300010', 'SELECT COUNT(*) FROM Track WHERE Milliseconds < 300000', 'SELECT COUNT(*) FROM Track WHERE Milliseconds/60000 > 5'),
    ),
    (
        'SELECT COUNT(*) FROM Invoice WHERE Total > 10',
        ('SELECT COUNT(*) FROM Invoice WHERE NOT (Total <= 10)', 'SELECT COUNT(*) FROM (SELECT InvoiceId FROM InvoiceLine GROUP BY InvoiceId HAVING SUM(UnitPrice*Quantity) > 10)'),
        ('SELECT COUNT(*) FROM Invoice WHERE Total >= 13', 'SELECT COUNT(*) FROM Invoice WHERE Total > 9', 'SELECT COUNT(*) FROM Invoice WHERE Total >= 10', 'SELECT COUNT(*) FROM Invoice WHERE Total > 11'),
    ),
    (
        'SELECT BillingCountry FROM Invoice GROUP BY BillingCountry HAVING SUM(Total) > 100',
        ('SELECT BillingCountry FROM (SELECT BillingCountry, SUM(Total) s FROM Invoice GROUP BY 1) WHERE s > 100', 'SELECT c.Country FROM Customer c JOIN Invoice i USING(CustomerId) GROUP BY c.Country HAVING SUM(i.Total)>100'),
        ('SELECT BillingCountry FROM Invoice GROUP BY BillingCountry HAVING SUM(Total) > 120', 'SELECT BillingCountry FROM Invoice GROUP BY BillingCountry HAVING COUNT(*) > 20', "SELECT DISTINCT BillingCountry FROM Invoice WHERE BillingCountry IN ('USA','Canada','Brazil','France','Germany','United Kingdom')"),
    ),
    (
        'SELECT c.FirstName FROM Customer c LEFT JOIN Invoice i USING(CustomerId) GROUP BY c.CustomerId HAVING COUNT(i.InvoiceId) < 7',
        ('SELECT FirstName FROM Customer c WHERE (SELECT COUNT(*) FROM Invoice i WHERE i.CustomerId=c.CustomerId) < 7',),
        ('SELECT c.FirstName FROM Customer c WHERE CustomerId=59', "SELECT FirstName FROM Customer WHERE Country='India' AND LastName='Srivastava'"),
    ),
    (
        'SELECT g.Name, COUNT(*) FROM Track t JOIN Genre g USING(GenreId) GROUP BY g.Name ORDER BY COUNT(*) DESC LIMIT 3',
        ('SELECT g.Name, COUNT(t.TrackId) n FROM Genre g, Track t WHERE g.GenreId=t.GenreId GROUP BY g.GenreId ORDER BY n DESC LIMIT 3', 'WITH x AS (SELECT GenreId, COUNT(*) n FROM Track GROUP BY GenreId) SELECT Name, n FROM x JOIN Genre USING(GenreId) ORDER BY n DESC LIMIT 3', 'SELECT Name, n FROM (SELECT g.Name, COUNT(*) n, ROW_NUMBER() OVER (ORDER BY COUNT(*) DESC) r FROM Track t JOIN Genre g ON g.GenreId=t.GenreId GROUP BY g.Name) WHERE r<=3'),
        ("SELECT g.Name, COUNT(*) FROM Track t JOIN Genre g USING(GenreId) WHERE g.Name IN ('Rock','Latin','Metal') GROUP BY g.Name", "SELECT 'Rock',1297 UNION SELECT 'Latin',579 UNION SELECT 'Metal',374", 'SELECT g.Name, COUNT(*) FROM Track t JOIN Genre g USING(GenreId) WHERE g.GenreId < 10 GROUP BY g.Name ORDER BY COUNT(*) DESC LIMIT 3', 'SELECT g.Name, COUNT(*) FROM Track t JOIN Genre g USING(GenreId) GROUP BY g.Name HAVING COUNT(*) > 370'),
    ),
    (
        'SELECT Name FROM Artist WHERE ArtistId NOT IN (SELECT ArtistId FROM Album)',
        ('SELECT Name FROM Artist EXCEPT SELECT r.Name FROM Artist r JOIN Album USING(ArtistId)', 'SELECT r.Name FROM Artist r LEFT JOIN Album a ON a.ArtistId=r.ArtistId GROUP BY r.ArtistId HAVING COUNT(a.AlbumId)=0'),
        ('SELECT Name FROM Artist WHERE ArtistId IN (SELECT ArtistId FROM Album)', 'SELECT Name FROM Artist WHERE ArtistId NOT IN (SELECT AlbumId FROM Album)'),
    ),
    (
        "SELECT COUNT(DISTINCT CustomerId) FROM Invoice WHERE BillingCountry='USA'",
        ("SELECT COUNT(*) FROM Customer WHERE Country='USA' AND CustomerId IN (SELECT CustomerId FROM Invoice)", "SELECT COUNT(*) FROM (SELECT CustomerId FROM Invoice WHERE BillingCountry='USA' GROUP BY CustomerId)"),
        ("SELECT COUNT(CustomerId) FROM Invoice WHERE BillingCountry='USA'", "SELECT COUNT(*) FROM Customer WHERE Country='USA' AND CustomerId < 30", 'SELECT COUNT(*) FROM Customer WHERE SupportRepId=4 AND CustomerId BETWEEN 1 AND 40'),
    ),
    (
        "SELECT FirstName FROM Customer WHERE Country='Brazil' AND State='SP'",
        ("SELECT FirstName FROM Customer WHERE State='SP' AND Country='Brazil' ORDER BY FirstName", "SELECT FirstName FROM Customer WHERE (Country, State) = ('Brazil','SP')"),
        ('SELECT FirstName FROM Customer WHERE CustomerId IN (1,10,11)', "SELECT FirstName FROM Customer WHERE Country='Brazil'"),
    ),
    (
        "SELECT COALESCE(Composer,'unknown'), COUNT(*) FROM Track GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
        ("SELECT IFNULL(Composer,'unknown') c, COUNT(TrackId) FROM Track GROUP BY c ORDER BY COUNT(*) DESC LIMIT 1", "SELECT CASE WHEN Composer IS NULL THEN 'unknown' ELSE Composer END AS who, COUNT(*) AS n FROM Track GROUP BY who ORDER BY n DESC LIMIT 1"),
        ("SELECT 'unknown', COUNT(*) FROM Track WHERE Composer IS NULL", 'SELECT Composer, COUNT(*) FROM Track GROUP BY 1 ORDER BY 2 DESC LIMIT 1'),
    ),
    (
        "SELECT UPPER(LastName) FROM Employee WHERE Title LIKE '%Manager%'",
        ("SELECT UPPER(e.LastName) FROM Employee AS e WHERE instr(e.Title,'Manager') > 0",),
        ('SELECT UPPER(LastName) FROM Employee WHERE EmployeeId IN (1,2,6)', "SELECT LastName FROM Employee WHERE Title LIKE '%Manager%'"),
    ),
    (
        'SELECT COUNT(*) FROM Customer WHERE Company IS NULL',
        ('SELECT COUNT(*)-COUNT(Company) FROM Customer', 'SELECT SUM(CASE WHEN Company IS NULL THEN 1 ELSE 0 END) FROM Customer'),
        ('SELECT COUNT(Company) FROM Customer', 'SELECT COUNT(*) FROM Customer WHERE Fax IS NULL', 'SELECT 49 FROM Customer LIMIT 1', 'SELECT COUNT(*) FROM Customer WHERE CustomerId > 10'),
    ),
    (
        "SELECT strftime('%Y',InvoiceDate), COUNT(*) FROM Invoice GROUP BY 1",
        ('SELECT substr(InvoiceDate,1,4) y, COUNT(InvoiceId) FROM Invoice GROUP BY y ORDER BY y',),
        ("SELECT strftime('%m',InvoiceDate), COUNT(*) FROM Invoice GROUP BY 1", "SELECT strftime('%Y',InvoiceDate), COUNT(*) FROM Invoice WHERE InvoiceDate < '2026-06-01' GROUP BY 1", "SELECT strftime('%Y',InvoiceDate), COUNT(*) FROM Invoice WHERE Total < 1000 GROUP BY 1"),
    ),
    (
        'SELECT e.FirstName, SUM(i.Total) FROM Employee e JOIN Customer c ON c.SupportRepId=e.EmployeeId JOIN Invoice i ON i.CustomerId=c.CustomerId GROUP BY e.EmployeeId',
        ('SELECT (SELECT FirstName FROM Employee e WHERE e.EmployeeId=c.SupportRepId), SUM(i.Total) FROM Customer c JOIN Invoice i USING(CustomerId) GROUP BY c.SupportRepId', 'SELECT DISTINCT e.FirstName, SUM(i.Total) OVER (PARTITION BY e.EmployeeId) FROM Employee e JOIN Customer c ON c.SupportRepId=e.EmployeeId JOIN Invoice i USING(CustomerId)'),
        ('SELECT e.FirstName, SUM(i.Total) FROM Employee e JOIN Customer c ON c.SupportRepId=e.EmployeeId JOIN Invoice i ON i.CustomerId=c.CustomerId WHERE i.Total < 99 GROUP BY e.EmployeeId',),
    ),
    (
        'SELECT COUNT(*) FROM Track WHERE UnitPrice = 0.99',
        ('SELECT COUNT(*) FROM Track WHERE UnitPrice < 1', 'SELECT COUNT(*) FROM Track WHERE ROUND(UnitPrice,2)=0.99'),
        ('SELECT COUNT(*) FROM Track WHERE UnitPrice=1.99', 'SELECT COUNT(*) FROM Track WHERE MediaTypeId <> 3', 'SELECT 3290'),
    ),
    (
        "SELECT Name FROM Track WHERE Composer = 'AC/DC' ORDER BY Name LIMIT 2",
        ("SELECT Name FROM Track WHERE Composer IN ('AC/DC') ORDER BY Name ASC LIMIT 2 OFFSET 0", "SELECT Name FROM (SELECT Name, ROW_NUMBER() OVER (ORDER BY Name) r FROM Track WHERE Composer='AC/DC') WHERE r <= 2"),
        ("SELECT Name FROM Track WHERE Composer='AC/DC' ORDER BY Name DESC LIMIT 2", 'SELECT Name FROM Track WHERE TrackId IN (17,18)'),
    ),
)  # fmt: skip
"""The reference, statements that earn 1, and statements that do not, most of which have the same result on Chinook itself."""
