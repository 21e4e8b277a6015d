"""requirements.lock: exact versions of all that pyproject.toml asks for, within its ranges."""

from pathlib import Path

from packaging.utils import canonicalize_name

from tests.tiers.lock import read_lock, read_requirements

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"


def test_lock_when_held_against_the_project_then_every_requirement_is_in_it_and_in_range():
    """A range that was moved needs a set that was run together."""
    versions = read_lock(LOCK.read_text(encoding="utf-8"))
    wrong = [
        f"{item}: {versions.get(canonicalize_name(item.name))}"
        for item in read_requirements()
        if not item.specifier.contains(versions.get(canonicalize_name(item.name), "0"), prereleases=True)
    ]
    assert wrong == []
