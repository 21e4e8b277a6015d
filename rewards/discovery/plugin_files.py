"""Plugins that are a file: the name they are imported under, the same in every process."""

from __future__ import annotations

import importlib.util
import re
import sys
import zlib
from pathlib import Path
from typing import Any


def module_name_of(path: str) -> str:
    """The module name under which a plugin file is imported, the same in every process."""
    return f"recompensa_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', Path(path).stem)}_{zlib.crc32(path.encode()):08x}"


def import_file(name: str, path: str) -> Any:
    """Import a plugin from its file under `name`, once a process."""
    if name in sys.modules:
        return sys.modules[name]
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"not a Python file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
