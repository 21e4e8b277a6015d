"""Statements that were written before the reward's code was read: what is right on any database earns 1, what is wrong less than half."""

from collections import Counter

from benchmarks.sql_blind import measure

UNTOLD = {
    # Names that no two rows share are taken for keys.
    """SELECT COUNT(DISTINCT "nome completo") FROM Alunos WHERE ativo = 'S'""",
    "SELECT c.first_name || ' ' || c.last_name, SUM(p.amount) FROM customer c JOIN payment p ON p.customer_id = c.customer_id WHERE c.active = 1 GROUP BY c.first_name, c.last_name HAVING COUNT(*) >= 5",
    # Hourly figures: no row lies between these hours.
    "SELECT cell_id, AVG(thr_mbps) FROM kpi WHERE hora BETWEEN '2024-03-02' AND '2024-03-02 23:00:00' GROUP BY cell_id",
    "SELECT COUNT(*) FROM kpi WHERE hora > '2024-03-02 12:30:00'",
    "SELECT COUNT(*) FROM kpi WHERE hora >= '2024-03-02 12:59:59'",
    # Two columns that hold the same, or are compared with each other; no row has no user.
    "SELECT SUM(p.amount) FROM payment p JOIN rental r ON r.rental_id = p.rental_id WHERE strftime('%Y-%m', r.rental_date) = '2005-07'",
    "SELECT AVG(julianday(ShippedDate) - julianday(OrderDate)) FROM Orders WHERE ShippedDate > OrderDate AND julianday(ShippedDate) - julianday(OrderDate) <= 40",
    "SELECT MAX(k.drop_rate) FROM kpi k JOIN cells c ON c.id = k.cell_id WHERE c.tech = '4G' AND k.users > 0",
    # All cities are there already.
    "SELECT DISTINCT c.city FROM customers c JOIN orders o USING (customer_id) WHERE o.status IN ('canceled', 'unavailable')",
}
"""Statements that agree by chance and are paid: what sql_qa's page says that it does not see."""


def test_sql_qa_when_statements_were_written_blind_then_right_ones_earn_everything_and_lucky_ones_less_than_half(
    tmp_path,
):
    """242 right, 152 lucky and 152 wrong statements over eight databases, 41 answers with text around one."""
    found = list(measure(tmp_path))
    counts = Counter(kind for kind, *_ in found)
    assert counts == {"right": 242, "chance": 152, "wrong": 152, "text": 41}
    failed = {(kind, text.strip()) for kind, sound, _, text, _, _ in found if not sound}
    assert failed == {("chance", text) for text in UNTOLD}
