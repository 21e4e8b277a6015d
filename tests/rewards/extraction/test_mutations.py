"""The corpus made by mutation, and every prefix of documents full of what looks like structure."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from benchmarks.reading import is_part, judge
from benchmarks.reading_corpus import FAMILIES, make_cases, make_value
from rewards.extraction import extract_json

CASES = 60 * len(FAMILIES)
TRAPS = [
    'ele disse "oi", e saiu', '"a", "b": c', "// não {é}", '[1, 2], "k": 3', '```json\n{"a": 1}\n```', "usa </think> x", "'x', 'y'", '{"a": 1}, {',
    'x", NOTA "k": 1', "\\", '",', "R$ 1.234,56", "-- y", "first, b: 1", "é\u2028",
]  # fmt: skip


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Counter]:
    found: dict[str, Counter] = {}
    for case in make_cases(CASES, seed=5):
        found.setdefault(case.family, Counter())[judge(case, extract_json(case.text).value)] += 1
    return found


def test_mutated_corpus_when_read_then_at_least_99_percent_are_right(verdicts):
    """The bar of the whole corpus, and at most half a percent silently wrong."""
    total = sum(verdicts.values(), Counter())
    assert total["right"] >= 0.99 * CASES, verdicts
    assert total["wrong"] <= 0.005 * CASES, verdicts


@pytest.mark.parametrize("family", FAMILIES)
def test_family_when_read_then_at_least_95_percent_are_right(family, verdicts):
    """No kind of fault hides behind the others."""
    assert verdicts[family]["right"] >= 57, verdicts[family]


def test_prefixes_when_read_then_are_parts_of_their_document():
    """Cut anywhere, texts full of quotes, closers and comments invent nothing; only a closer behind an escaped quote may mislead."""
    rng = random.Random(3)
    wrong = total = 0
    for _ in range(30):
        document = {**make_value(rng), "t": rng.choice(TRAPS), "l": [rng.choice(TRAPS), {"k:1": rng.choice(TRAPS)}]}
        text = json.dumps(document, ensure_ascii=rng.random() < 0.3, indent=rng.choice([None, 2]))
        for end in range(1, len(text)):
            got = extract_json(text[:end])
            total += 1
            wrong += not is_part(got.value, document) or not (got.truncated or got.repairs)
    assert wrong <= 0.002 * total, (wrong, total)


@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_byte_order_mark_when_before_strict_json_then_is_no_prose(mark):
    """It says how the text was stored, and costs nothing."""
    got = extract_json(f'{mark}{{"a": 1}}')
    assert (got.value, got.repairs, got.confidence) == ({"a": 1}, (), 1.0)
    assert got.span == (0, len(mark) + 8)


def test_form_feed_in_a_list_when_read_then_is_a_repair():
    """JSON knows four kinds of whitespace."""
    assert [repair.kind for repair in extract_json("[\f1]").repairs] == ["whitespace"]
