"""When a comparison with a date or a number begins and ends to hold, and the copies where that tells two statements apart."""

from datetime import datetime

import pytest

from benchmarks.sql_blind_data import build
from rewards.functions.sql_qa import SqlQa
from rewards.sql.boundaries import ColumnKind, list_boundaries
from rewards.sql.columns import ColumnSample, Name
from rewards.sql.conditions import read_conditions
from rewards.sql.moments import kind_of, list_clocks, list_moments, read_period, to_grid, write_moment
from rewards.sql.results import same_rows
from rewards.sql.tokens import tokenise
from rewards.types import Completion, Example

YEAR = (datetime(2023, 1, 1), datetime(2024, 1, 1))
LAST_DAY = datetime(2023, 12, 31)


@pytest.fixture(scope="module")
def databases(tmp_path_factory) -> dict[str, str]:
    return build(tmp_path_factory.mktemp("moments"))


def value_of(path: str, reference: str, text: str) -> float:
    return SqlQa()(Example("1", "sql_qa", [], reference, {"database": path}), Completion(text)).value


@pytest.mark.parametrize(("operator", "value", "made", "upper", "width", "moments"), [
    ("=", "2023", True, False, 19, YEAR),
    ("like", "2023-%", False, False, 19, YEAR),
    (">=", "2023-01-01", False, False, 19, YEAR[:1]),
    ("<", "2024-01-01", False, False, 19, YEAR[1:]),
    ("<=", "2023-12-31 23:59:59", False, False, 19, YEAR[1:]),
    ("<=", "2023-12-31", True, False, 19, YEAR[1:]),
    ("<=", "2023-12-31", False, False, 10, YEAR[1:]),
    ("<=", "2023-12-31", False, False, 19, (LAST_DAY,)),
    ("between", "2023-12-31", False, True, 10, YEAR[1:]),
    ("between", "2023-01-01", False, False, 10, YEAR[:1]),
    ("<=", "2023-12-31 23:59:59", False, False, 10, YEAR[1:]),
    ("<=", "2023-02-31", False, False, 10, (datetime(2023, 3, 1),)),
    ("=", "01", True, False, 19, None),
    ("=", "2023-13-01", False, False, 10, None),
])  # fmt: skip
def test_list_moments_when_texts_are_compared_with_dates_then_says_from_when_on_they_hold(
    operator, value, made, upper, width, moments
):
    """A year is a year however it is asked for; a day ends at its midnight, but a bare day is less than its own times."""
    assert list_moments(operator, value, "text", made, upper, width) == moments


def test_moments_when_columns_hold_numbers_then_seconds_and_julian_days_are_read():
    """2022-01-01 is second 1640995200 and Julian day 2459580.5; small numbers and few seconds are figures."""
    assert read_period(1_640_995_200, "epoch")[0] == read_period(2_459_580.5, "julian")[0] == datetime(2022, 1, 1)
    assert write_moment(datetime(2022, 1, 1), "epoch") == 1_640_995_200
    assert write_moment(datetime(2022, 1, 1), "milliseconds") == 1_640_995_200_000
    assert write_moment(datetime(2022, 1, 1), "julian") == 2_459_580.5
    assert write_moment(datetime(2022, 1, 1, 5), "text", "2000-01-01T00:00:00Z") == "2022-01-01T05:00:00Z"
    assert kind_of(ColumnSample(9, 9, 9, 0, 0, 1_640_000_000, 1_650_000_000)) == "epoch"
    assert kind_of(ColumnSample(9, 9, 0, 9, 0, 2_440_000.5, 2_459_580.5)) == "julian"
    assert kind_of(ColumnSample(9, 9, 9, 0, 0, 120, 480)) is None
    assert kind_of(ColumnSample(9, 9, 0, 0, 9, "2022-01-01", "2023-01-01")) is None


def test_to_grid_when_times_are_hourly_then_minutes_between_them_are_one():
    """Behind 12:00 and behind 12:30 the next hourly figure is that of 13:00."""
    assert to_grid(datetime(2024, 3, 2, 12, 0, 1), 3600) == to_grid(datetime(2024, 3, 2, 12, 30), 3600)
    assert to_grid(datetime(2024, 3, 2, 12), 3600) == datetime(2024, 3, 2, 12)
    assert list_clocks("between", "11:59", True) == list_clocks("<", "12:00", False) == (720,)
    assert list_clocks("<", "noon", False) is None


@pytest.mark.parametrize(("one", "other", "same"), [
    ("a BETWEEN 2 AND 4", "a >= 2 AND a < 5", True),
    ("NOT a <= 1", "a > 1", True),
    ("a IN (3)", "a = 3", True),
    ("a != 3", "NOT a = 3", True),
    ("a > 1", "a >= 1", False),
    ("a BETWEEN 2 AND 4", "a > 2 AND a < 4", False),
])  # fmt: skip
def test_list_boundaries_when_whole_numbers_are_compared_then_equal_bounds_are_one(one, other, same):
    """What both statements bound alike needs no copy."""
    whole = ColumnKind(Name("t", "a"), None, False, True, 0, 1)
    first, second = (
        list_boundaries(read_conditions(tokenise(f"SELECT 1 FROM t WHERE {each}")), lambda column: whole)
        for each in (one, other)
    )
    assert (first.keys() == second.keys()) is same


JANUARY = "SELECT COUNT(*) FROM orders WHERE purchased >= '2018-01-01' AND purchased < '2018-02-01'"
EARLIER = "SELECT COUNT(*) FROM orders WHERE purchased < '2018-01-01'"


@pytest.mark.parametrize(("reference", "text", "right"), [
    (EARLIER, "SELECT COUNT(*) FROM orders WHERE purchased <= '2017-12-31'", False),
    (EARLIER, "SELECT COUNT(*) FROM orders WHERE purchased <= '2017-12-31 12:00:00'", False),
    (EARLIER, "SELECT COUNT(*) FROM orders WHERE date(purchased) <= '2017-12-31'", True),
    ("SELECT COUNT(*) FROM orders WHERE purchased <= '2017-12-31'", EARLIER, True),
    (JANUARY, "SELECT COUNT(*) FROM orders WHERE purchased BETWEEN '2018-01-01' AND '2018-01-31'", False),
    (JANUARY, "SELECT COUNT(*) FROM orders WHERE purchased BETWEEN '2018-01-01' AND '2018-01-31 23:59:59'", True),
])  # fmt: skip
def test_sql_qa_when_a_bare_day_bounds_times_then_only_the_reference_may_leave_out_its_last_day(
    databases, reference, text, right
):
    """`<= '2017-12-31'` on a column with times of day loses the 31st, unless the reference itself means it so."""
    value = value_of(databases["shop"], reference, text)
    assert value == 1.0 if right else value < 0.5


NUMBERS = (
    "WITH RECURSIVE t(id) AS (SELECT EmployeeID FROM Employees WHERE ReportsTo = 2 UNION ALL "
    "SELECT e.EmployeeID FROM Employees e JOIN t ON e.ReportsTo = t.id) SELECT COUNT(*) FROM t"
)


def test_sql_qa_when_a_reference_is_recursive_then_it_runs_and_another_recursion_is_as_right(databases):
    """Who reports to whom over several levels cannot be asked otherwise; steps and memory bound it."""
    example = Example("1", "sql_qa", [], NUMBERS, {"database": databases["northwind"]})
    assert SqlQa().problems(example) == []
    assert SqlQa()(example, Completion(NUMBERS.replace("UNION ALL", "UNION"))).value == 1.0
    assert SqlQa()(example, Completion("SELECT COUNT(*) FROM Employees WHERE ReportsTo = 2")).value < 0.5


def test_tokenise_when_names_need_quotes_then_they_keep_them():
    """A column called order is no clause, and tokens joined again are still the statement; doubled quotes are one text."""
    assert tokenise("SELECT [Order], `nome completo`, \"Name\" FROM t") == (
        "select", '"order"', ",", '"nome completo"', ",", "name", "from", "t",
    )  # fmt: skip
    assert tokenise("SELECT 'it''s'") == ("select", "'it''s'")


@pytest.mark.parametrize("literal", [
    "'0001-01-01'", "'9999-12-31'", "'9999-12-31 23:59:59'", "'2024-02-31'", "'24:00'", "''", "'" + "%a" * 900 + "'", "1e308",
    "9223372036854775807", "-9223372036854775808", "99999999999999999999999", "253402300800", "x'ff'", "NULL", "'😀'",
])  # fmt: skip
@pytest.mark.parametrize(
    ("table", "column"), [("visits", "at_epoch"), ("visits", "fee"), ("patients", "birth_julian"), ("visits", "notes")]
)
def test_sql_qa_when_a_literal_is_odd_then_it_is_scored_and_no_fault_is_raised(databases, table, column, literal):
    """Years without a day after them, numbers that no column holds, patterns longer than any: what a model writes is data."""
    reference = f"SELECT COUNT(*) FROM {table}"
    for operator in ("<", "<>", "LIKE"):
        text = f"{reference} WHERE {column} {operator} {literal} OR 1"
        assert 0 <= value_of(databases["clinic"], reference, text) <= 1
        assert 0 <= value_of(databases["clinic"], text, reference) <= 1


def test_same_rows_when_a_column_holds_numbers_and_nothing_then_another_order_is_the_same():
    """A mean of nothing is NULL beside the means of others: rows in another order raised TypeError before."""
    rows = [("a", None, 1.0), ("b", 2.5, 3.0), ("c", "x", 2.0)]
    assert same_rows(rows, rows[::-1], 0.005)
    assert not same_rows(rows, [("a", None, 1.0), ("b", None, 3.0), ("c", "x", 2.0)], 0.005)


def test_sql_qa_when_a_reference_counts_one_row_then_its_literals_in_more_rows_tell_the_same_from_a_constant(databases):
    """A day with one visit: every copy finds it or nothing, until other visits fall on that day too."""
    reference = "SELECT COUNT(*) FROM visits WHERE date(at_epoch, 'unixepoch') = '2022-03-15'"
    right = "SELECT COUNT(*) FROM visits WHERE at_epoch BETWEEN 1647302400 AND 1647388799"
    assert value_of(databases["clinic"], reference, right) == 1.0
    assert value_of(databases["clinic"], reference, "SELECT MAX(paid) FROM visits WHERE id < 9") < 0.5
