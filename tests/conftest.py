"""Settings of all tests: a property test is not failed by a busy machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("recompensa", deadline=None)
settings.load_profile("recompensa")
