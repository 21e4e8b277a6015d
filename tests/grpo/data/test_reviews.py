"""Reviews and segments: the documented rules, and how numbers are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.data.shop.facts import Segment
from grpo.data.shop.insights import judge_segment
from grpo.data.shop.reviews import judge_churn, judge_sentiment, write_number


@pytest.mark.parametrize(
    ("score", "sentiment"),
    [(0, "negativo"), (2, "negativo"), (2.2, "neutro"), (3.9, "neutro"), (4, "positivo"), (5, "positivo")],
)
def test_sentiment_when_judged_then_follows_the_score(score, sentiment):
    """Up to 2, between, and from 4."""
    assert judge_sentiment(score) == sentiment


@pytest.mark.parametrize(
    ("complaint", "again", "action", "risk"),
    [
        ("nenhuma", None, "nenhuma", "baixo"),
        ("nenhuma", True, "nenhuma", "baixo"),
        ("entrega", None, "contato", "medio"),
        ("entrega", True, "troca", "baixo"),
        ("produto", False, "nenhuma", "alto"),
        ("produto", True, "reembolso", "alto"),
        ("nenhuma", False, "nenhuma", "alto"),
    ],
)
def test_churn_risk_when_judged_then_follows_what_is_said(complaint, again, action, risk):
    """Money back or never again is high, whatever else is said."""
    assert judge_churn(complaint, again, action) == risk


@pytest.mark.parametrize(
    ("percent", "score", "kind"),
    [(15.0, 5.0, "late"), (14.9, 3.8, "unhappy"), (14.9, 3.9, "healthy"), (0.0, 5.0, "healthy")],
)
def test_segment_when_judged_then_delay_comes_before_the_score(percent, score, kind):
    """The first condition that holds decides."""
    assert judge_segment(Segment("SP", None, None, 10, percent, score, 9, 100.0, 10.0)) == kind


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.5, "4,5"), (3, "3"), (3.0, "3"), (89.9, "89,9"), (1299.99, "1.299,99"), (1183, "1.183"), (0, "0")],
)
def test_number_when_written_then_is_portuguese(value, text):
    """A decimal comma, and a point between thousands."""
    assert write_number(value) == text


@given(st.integers(min_value=0, max_value=10_000_000))
def test_number_when_read_back_then_is_the_same(cents):
    """No digit is lost."""
    assert float(write_number(cents / 100).replace(".", "").replace(",", ".")) == cents / 100
