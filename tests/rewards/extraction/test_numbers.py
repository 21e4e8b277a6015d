"""as_number: the number a Brazilian reader would see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.extraction import as_number
from rewards.extraction.numbers import pair_decimals, read_number
from rewards.extraction.repairs import RepairKind


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("R$ 1.234,56", 1234.56),
        ("R$1.234", 1234),
        ("R$ 10", 10),
        ("-R$ 5,00", -5.0),
        ("R$ -5,00", -5.0),
        ("12,5%", 12.5),
        ("12.5 %", 12.5),
        ("50%", 50),
        ("1.234", 1234),
        ("1.234.567", 1234567),
        ("1.234.567,8", 1234567.8),
        ("0.125", 0.125),
        ("1.5", 1.5),
        ("1234.567", 1234.567),
        ("-0,6", -0.6),
        ("−0,6", -0.6),
        ("+4,5", 4.5),
        ("4, 5", 4.5),
        (" 4,5 ", 4.5),
        ("1,234.56", 1234.56),
        ("1,234,567", 1234567),
        ("1,234", 1.234),
        ("$1,234", 1234),
        ("US$ 10.50", 10.5),
        ("€ 1.234,50", 1234.5),
        ("5,00 €", 5.0),
        ("1 234,56", 1234.56),
        ("1_000", 1000),
        ("89,90 reais", 89.9),
        ("1e3", 1000.0),
        ("1,5e3", 1500.0),
        (",5", 0.5),
        (".5", 0.5),
        ("0", 0),
        ("-7", -7),
        ("1" * 30, int("1" * 30)),
    ],
)
def test_text_when_a_number_then_is_read(text, number):
    """Spellings of numbers give the number, integers as int."""
    got = as_number(text)
    assert got == number
    assert type(got) is type(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "sim",
        "NaN",
        "1e999",
        "10.0.0.1",
        "192.168.100.200",
        "1.10.2",
        "123.456.789-09",
        "2024-05-01",
        "10:30",
        "10-20",
        "1/2",
        "007",
        "01310-100",
        "10x",
        "R$",
        "%",
        "-",
        ",",
        ".",
        "4,5,6",
        "1.23.456",
        "--5",
        "R$ 5 R$",
        "٣",
        "½",
        "x" * 10,
        "�",
        "\x00",
        "12.345.678/0001-90",
        "4,5 estrelas",
        "0x1F",
        "True",
    ],
)
def test_text_when_no_number_then_gives_none(text):
    """Words, dates, addresses, ranges and identifiers are not numbers."""
    assert as_number(text) is None


@given(st.integers(-(10**12), 10**12), st.integers(0, 99))
def test_brazilian_spelling_when_read_then_gives_the_amount_back(whole, cents):
    """Grouping with dots and a decimal comma survives the way there and back."""
    grouped = f"{whole:,}".replace(",", ".")
    assert as_number(f"R$ {grouped},{cents:02d}") == float(f"{whole}.{cents:02d}")


@given(st.integers(-(10**40), 10**40))
def test_plain_integer_when_read_then_is_exact(whole):
    """Integers of any size are exact."""
    assert as_number(str(whole)) == whole


@pytest.mark.parametrize(
    ("content", "numbers", "certain"),
    [
        ("R$ 1,50, R$ 2,05", [1.5, 2.05], True),
        ("€ 1,5, € 2", [1.5, 2], True),
        ("12,5%, 3,2%", [12.5, 3.2], True),
        ("4,05,3,2", [4.05, 3.2], True),
        ("4,1,3,05", [4.1, 3.05], True),
        ("4,05,3,2,1,7", [4.05, 3.2, 1.7], True),
        ("1,0, 2,0", [1.0, 2.0], False),
    ],
)
def test_list_of_decimal_commas_when_its_elements_say_where_they_end_then_is_certain(content, numbers, certain):
    """Amounts, percentages and fractions such as `05` leave one reading; `1,0, 2,0` may be four numbers."""
    assert pair_decimals(content) == (numbers, certain)


@pytest.mark.parametrize("content", ["12,5%, 3,2", "$ 1,50, 2,05", "4,5,3", "$ 1,50 or so"])
def test_list_of_decimal_commas_when_its_elements_are_of_two_kinds_then_is_not_read_so(content):
    """A percentage beside a bare number, an amount beside one, an odd count: every comma may part two elements."""
    assert pair_decimals(content) is None


def test_number_when_no_double_holds_it_or_it_has_a_leading_zero_then_the_repair_says_which():
    """1e999 is not finite, 5,000 digits are kept as they are, 00 is an identifier."""
    assert read_number("1e999") == (None, RepairKind.NON_FINITE)
    assert read_number("9" * 5000) == ("9" * 5000, RepairKind.LONG_INTEGER)
    assert read_number("00") is None and read_number("+0") == (0, RepairKind.NUMBER_FORMAT)
