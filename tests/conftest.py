"""Settings of all tests: a property test is not failed by a busy machine, and the suite draws the same examples each time.

With RECOMPENSA_EXPLORE=1 they are drawn again: what that finds becomes an example of its own.
"""

from __future__ import annotations

import gc
import os

# Before any test module is collected: huggingface_hub reads it once, when it is imported. No test waits for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings

explore = os.environ.get("RECOMPENSA_EXPLORE", "") not in ("", "0")
settings.register_profile("recompensa", deadline=None, derandomize=not explore)
settings.load_profile("recompensa")


def pytest_itemcollected(item) -> None:
    """A test's id is the same in every process: an address in it keeps two processes from sharing the suite."""
    if " object at 0x" in item.nodeid:
        raise pytest.UsageError(
            f"{item.nodeid}: an address is part of this id; give the value a __repr__, or the test ids="
        )


def pytest_collection_finish() -> None:
    """Tests and modules stay to the end: the garbage collector walked through millions of objects 179 times, 1 s each."""
    _keep_what_is_there()


def pytest_runtest_teardown(item, nextitem) -> None:
    """So do the modules that the tests of a folder were the first to need."""
    if nextitem is not None and nextitem.path.parent != item.path.parent:
        _keep_what_is_there()


def _keep_what_is_there() -> None:
    gc.collect()
    gc.freeze()
