"""A corpus of model-like completions written without a look at the reader or its other cases, by kinds of public bug reports."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from rewards.extraction import extract_json
from tests.rewards.extraction.test_golden import is_same

FAMILIES: dict[str, list[dict]] = defaultdict(list)
for _line in (Path(__file__).parent / "outside_cases.jsonl").read_text(encoding="utf-8").splitlines():
    _case = json.loads(_line)
    FAMILIES[_case["family"]].append(_case)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_family_when_read_then_every_case_gives_an_accepted_value(family):
    """Cases marked `unread` are known to be read otherwise; those must be doubted, and one that is read right loses the mark."""
    for case in FAMILIES[family]:
        reading = extract_json(case["text"])
        is_right = any(is_same(reading.value, wanted) for wanted in case["accepted"])
        if case.get("unread"):
            assert not is_right, case["text"]
            assert reading.confidence < 0.75, case["text"]
        else:
            assert is_right, (case["text"], reading.value)
