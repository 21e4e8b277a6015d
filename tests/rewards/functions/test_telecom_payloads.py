"""Payloads in the shapes of public projects: each earns 1 against itself, and every change of a value less."""

from __future__ import annotations

import pytest

from benchmarks import telecom


@pytest.fixture(scope="module")
def measured() -> list[dict]:
    return telecom.measure()


def test_payloads_when_scored_against_themselves_then_earn_everything(measured):
    """A1, O1 and E2SM-CCC, TS 28.312 of several releases, CAMARA, TM Forum: none has a fault, none earns less than 1."""
    assert [(row["payload"], row["problems"], row["itself"]) for row in measured if row["itself"] != 1.0] == []


def test_payloads_when_one_value_is_wrong_or_gone_then_earn_less(measured):
    """Every leaf that a prompt can tell, in several wrong ways."""
    assert [(row["payload"], row["paid_in_full"]) for row in measured if row["paid_in_full"]] == []
    assert sum(row["changes"] for row in measured) > 500
