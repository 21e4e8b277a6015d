"""Memory that is no longer needed, given back to the machine."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back_memory() -> None:
    """Collect what nothing refers to, and have the C library return its free pages.

    glibc keeps what lies below anything still used: a model of small tensors that is gone may go on weighing what it did.
    Other systems return pages by themselves.
    """
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
