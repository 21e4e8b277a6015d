"""Settings of all tests: a property test is not failed by a busy machine, and the suite draws the same examples each time.

With RECOMPENSA_EXPLORE=1 they are drawn again: what that finds becomes an example of its own.
"""

from __future__ import annotations

import os

# Before any test module is collected: huggingface_hub reads it once, when it is imported. No test waits for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from hypothesis import settings

explore = os.environ.get("RECOMPENSA_EXPLORE", "") not in ("", "0")
settings.register_profile("recompensa", deadline=None, derandomize=not explore)
settings.load_profile("recompensa")
