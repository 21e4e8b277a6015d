"""Plugins that are a file, a package or a project's folder: what is imported of them, the same in every process."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
import zlib
from pathlib import Path
from typing import Any

from rewards import hookspecs
from rewards.discovery import working_copies


def is_path(named: str) -> bool:
    """Whether a plugin is named by its place: a `.py` file, or a folder."""
    if named.endswith(".py") or "/" in named or "\\" in named or named in (".", ".."):
        return True
    return any(Path(named, file).is_file() for file in ("__init__.py", "pyproject.toml"))


def find_files(named: str) -> list[str]:
    """The absolute files of a plugin named by its place.

    A folder is a package (`__init__.py`), or a project whose pyproject.toml has entry points of this kind, in it or in its
    `src`. Raises FileNotFoundError, and ValueError for a folder that is neither.
    """
    path = Path(named).expanduser().resolve()
    if not path.is_dir():
        return [str(path)]
    if (path / "__init__.py").is_file():
        return [str(path / "__init__.py")]
    project = path / "pyproject.toml"
    if not project.is_file():
        raise ValueError(f"{path} is a folder without __init__.py or pyproject.toml; name the plugin's .py file")
    modules = _read_entry_points(project)
    if not modules:
        raise ValueError(f'{project} has no [project.entry-points.{hookspecs.NAMESPACE}] with NAME = "MODULE"')
    return [_find_module(path, module) for module in modules]


def is_project(folder: Path) -> bool:
    """Whether a folder's pyproject.toml has entry points of this kind."""
    return bool(_read_entry_points(folder / "pyproject.toml"))


def module_name_of(path: str) -> str:
    """The module name under which a plugin file is imported: its own where it is part of a package, else one of its path."""
    file = Path(path)
    if (file.parent / "__init__.py").is_file():
        parts = [] if file.name == "__init__.py" else [file.stem]
        return ".".join([*(each.name for each in _packages_above(file)), *parts])
    return f"recompensa_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', file.stem)}_{zlib.crc32(path.encode()):08x}"


def import_file(path: str) -> Any:
    """Import a plugin from its file, once a process; modules that lie beside it are found too."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    name = module_name_of(path)
    packages = _packages_above(Path(path))
    if packages:
        working_copies.prefer({packages[0].name: str(packages[0].parent)})
        return importlib.import_module(name)
    if name in sys.modules:
        return sys.modules[name]
    working_copies.look_beside(str(Path(path).parent))
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


def root_of(path: str) -> Path:
    """The folder that Python would search to import a plugin's file by its own name."""
    packages = _packages_above(Path(path))
    return packages[0].parent if packages else Path(path).parent


def _packages_above(file: Path) -> list[Path]:
    """The folders of the packages that a file is part of, the outermost first."""
    found: list[Path] = []
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        found.insert(0, folder)
        folder = folder.parent
    return found


def _read_entry_points(project: Path) -> list[str]:
    """The modules that a pyproject.toml offers as plugins; empty where it has none, or cannot be read."""
    try:
        points = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"][hookspecs.NAMESPACE]
        return [str(value).partition(":")[0] for value in points.values()]
    except (OSError, KeyError, AttributeError, TypeError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return []


def _find_module(project: Path, module: str) -> str:
    inner = Path(*module.split("."))
    tried = [
        root / file for root in (project, project / "src") for file in (inner.with_suffix(".py"), inner / "__init__.py")
    ]
    for file in tried:
        if file.is_file():
            return str(file)
    raise FileNotFoundError(f"{project / 'pyproject.toml'} names the module {module}, and there is no {tried[0]}")
