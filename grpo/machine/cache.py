"""Where what was generated or merged is kept between runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Where generated data is kept: RECOMPENSA_CACHE, or the platform's folder for caches."""
    if os.environ.get("RECOMPENSA_CACHE"):
        return Path(os.environ["RECOMPENSA_CACHE"]).expanduser()
    if sys.platform == "darwin":
        parent = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return parent / "recompensa"
