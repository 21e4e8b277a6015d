"""What a reward function imports inside of itself is imported before its first completion."""

from __future__ import annotations

import sys
import textwrap
import time

import pytest

from rewards.config import FunctionSpec, RewardsSection, build_host
from rewards.host.imports_ahead import find_imports, import_ahead
from rewards.plugins import load_rewards
from rewards.types import Completion, Example

SLOW = "import time\ntime.sleep(1.0)\nVALUE = 0.25\n"
REWARD = """
from rewards import reward

def read():
    from slow_library_of_a_test import VALUE
    return VALUE

@reward
def patient(text):
    if text == "never":
        import no_such_library_of_a_test
    return read()
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    (tmp_path / "slow_library_of_a_test.py").write_text(SLOW)
    path = tmp_path / "patient_plugin.py"
    path.write_text(textwrap.dedent(REWARD))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield path
    sys.modules.pop("slow_library_of_a_test", None)


def test_function_when_a_helper_imports_a_slow_library_then_the_first_completion_has_its_time(file):
    """Half a second is allowed, the library takes one; a module that is not there is the function's own affair."""
    section = RewardsSection(
        plugins=[str(file)], functions=[FunctionSpec(name="patient")], timeout_seconds=0.5, error_budget=1.0
    )
    example = Example("1", "any", [], None, {})
    with build_host(section, load_rewards(section.plugins)) as host:
        good, bad = (each.outcomes[0] for each in host.score([(example, Completion(text)) for text in ("a", "never")]))
    assert (good.value, bad.status) == (0.25, "error")
    assert "no_such_library_of_a_test" in bad.reason


def test_find_imports_when_they_hide_in_methods_and_what_these_call_then_all_are_found_and_own_packages_left_out():
    """Nested functions, conditions, `from`, `as`; a relative import belongs to what is loaded already."""
    scope = {"__name__": "of_a_test", "__package__": "of_a_test"}
    source = """
    def helper():
        import json.decoder as decoder
    class Plain:
        name = "plain"
        def __call__(self, example, completion):
            def inner():
                from os import path
            if completion:
                import sqlite3, csv
            from . import own
            helper()
        @staticmethod
        def other():
            return [__import__, (lambda: inner)]
    """
    exec(textwrap.dedent(source), scope)
    assert sorted(find_imports(scope["Plain"]())) == ["csv", "json.decoder", "os", "sqlite3"]


def test_import_ahead_when_an_import_never_ends_then_it_is_waited_for_no_longer(file, monkeypatch):
    """The start of a process is not the place to hang."""
    source = "class Plain:\n    def __call__(self, example, completion):\n        import slow_library_of_a_test\n"
    scope = {"__name__": "of_a_test"}
    exec(source, scope)
    started = time.monotonic()
    import_ahead(scope["Plain"](), seconds=0.05)
    assert time.monotonic() - started < 0.9
