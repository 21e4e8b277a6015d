"""What reads no broken JSON starts without the reader's regular expressions."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rewards.extraction

LATE = ("rewards.extraction.patterns", "rewards.extraction.scanner", "rewards.extraction.light")


def loaded_after(code: str) -> set[str]:
    code = f"import sys\n{code}\nprint(*(name for name in {LATE!r} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("code", "late"),
    [
        ("from rewards.__main__ import main\nmain(['list', '--json'])", set()),
        ("from rewards.extraction import extract_json\nassert extract_json('ok: {\"a\": 1}').value == {'a': 1}", set()),
        ("from rewards.extraction import as_number\nassert as_number('4,5') == 4.5", set()),
        (
            "from rewards.extraction import extract_json\nassert extract_json('{\"a\": 1,').value == {'a': 1}",
            set(LATE[:2]),
        ),
    ],
    ids=["list", "strict JSON", "a number", "cut JSON"],
)
def test_extraction_when_nothing_needs_repair_then_the_reader_is_not_loaded(code, late):
    """Listing functions and reading strict JSON stay fast; what is broken is read all the same."""
    assert loaded_after(code) == late


def test_extraction_when_asked_for_what_it_has_not_then_says_so():
    """Names are looked up late, but only those that there are."""
    assert {getattr(rewards.extraction, name).__name__ for name in rewards.extraction.__all__} == set(
        rewards.extraction.__all__
    )
    with pytest.raises(AttributeError, match="no attribute 'extract_yaml'"):
        _ = rewards.extraction.extract_yaml
