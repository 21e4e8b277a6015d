"""The corpus of the fuzz targets, and a few inputs beside it, on every run of the tests; `make fuzz` goes on for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = [(folder.name, path) for folder in sorted(CORPUS.iterdir()) for path in sorted(folder.iterdir())]
PIECES = {name: [path.read_bytes() for each, path in INPUTS if each == name] for name in TARGETS}


def test_corpus_when_listed_then_every_target_has_one():
    """A target without inputs would be fuzzed in the dark."""
    assert {name for name, _ in INPUTS} == set(TARGETS)


@pytest.mark.parametrize(("name", "path"), INPUTS, ids=[f"{name}-{path.name}" for name, path in INPUTS])
def test_targets_when_given_the_corpus_then_nothing_is_raised(name, path):
    """What was found once is not found twice."""
    TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in ("report", "yaml")])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_targets_when_given_pieces_of_the_corpus_then_nothing_is_raised(name, data):
    """Cut and joined at any place, with any bytes between."""
    piece = st.sampled_from(PIECES[name]).flatmap(
        lambda content: st.integers(0, len(content)).map(lambda at: content[at:] if at % 2 else content[:at])
    )
    TARGETS[name](b"".join(data.draw(st.lists(st.one_of(piece, st.binary(max_size=12)), max_size=4))))
