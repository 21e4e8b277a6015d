"""The golden corpus: what each invented completion should be read as, by family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.extraction import is_same
from rewards.extraction import extract_json

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
# A larger corpus may lie beside the checkout; it is not part of the repository.
NEIGHBOUR = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "json_examples.jsonl"


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case_when_read_then_gives_an_accepted_value(case):
    """Every case of the corpus is read as one of the values it accepts."""
    got = extract_json(case["text"], **case.get("options", {})).value
    assert any(is_same(got, wanted) for wanted in [case["expected"], *case.get("also_ok", [])]), got


def test_corpus_when_counted_then_is_large_and_ids_are_unique():
    """The corpus keeps its breadth."""
    assert len(CASES) >= 300
    assert len({case["id"] for case in CASES}) == len(CASES)
    assert len({case["family"] for case in CASES}) >= 25


@pytest.mark.skipif(not NEIGHBOUR.exists(), reason="no corpus beside this checkout")
def test_neighbouring_corpus_when_read_then_at_least_97_percent_are_right():
    """A corpus written by others is read as well as our own, in every family."""
    right, total = {}, {}
    for line in NEIGHBOUR.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        family = case["family"]
        got = extract_json(case["text"]).value
        hit = any(is_same(got, wanted) for wanted in [case["expected"], *(case.get("also_ok") or [])])
        right[family], total[family] = right.get(family, 0) + hit, total.get(family, 0) + 1
    assert sum(right.values()) >= 0.97 * sum(total.values())
    assert all(right[family] >= 0.9 * total[family] for family in total), (right, total)
