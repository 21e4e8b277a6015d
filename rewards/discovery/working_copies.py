"""Working copies: the files that a developer edits stand in for what is installed of the same plugin, in every process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any

from rewards.siblings import PACKAGES


class _Preferred:
    """Finds the top-level modules of a working copy before what is installed."""

    def __init__(self) -> None:
        self.roots: dict[str, str] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        root = self.roots.get(name) if path is None else None
        return PathFinder.find_spec(name, [root], target) if root is not None else None


class _Beside:
    """Finds modules that lie beside a plugin's file, and that nothing else offers."""

    def __init__(self) -> None:
        self.roots: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if path is None and self.roots:
            spec = PathFinder.find_spec(name, self.roots, target)
            # A plain folder of that name is not a package: it may hold data, or another tool's output.
            return spec if spec is not None and spec.origin is not None else None
        return None


_preferred, _beside = _Preferred(), _Beside()
_told: set[str] = set()


def prefer(roots: Mapping[str, str]) -> None:
    """From now on these top-level modules come from these folders; what was imported of them from elsewhere is forgotten."""
    for name, root in roots.items():
        if name in PACKAGES or name in sys.stdlib_module_names:
            continue
        _preferred.roots[name] = root
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded is not None and not Path(loaded).resolve().is_relative_to(Path(root).resolve()):
            for each in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
                del sys.modules[each]
    _install()


def look_beside(root: str) -> None:
    """From now on modules in this folder are found too, where nothing else has their name."""
    if root not in _beside.roots:
        _beside.roots.append(root)
    _install()


def to_state() -> dict[str, Any]:
    """What `adopt` needs in another process."""
    return {"preferred": dict(_preferred.roots), "beside": list(_beside.roots)}


def adopt(state: Mapping[str, Any]) -> None:
    """Find modules as the process does that wrote this state."""
    prefer(state["preferred"])
    for root in state["beside"]:
        look_beside(root)


def take_copy(point: EntryPoint, roots: list[Path], *, told: bool = False) -> str | None:
    """Take the working copy of an installed plugin that one of these folders has; its folder, None where none has.

    `told` where the user named it. Else one line a process says which copy is used: nobody should wonder whose score it is.
    """
    copies = list_copies(point, roots)
    root = copies.get(point.value.partition(":")[0].partition(".")[0])
    if root is None or point.dist is None:
        return None
    prefer(copies)
    if not told and root not in _told:
        installed = f"{point.dist.name} {point.dist.version}"
        print(
            f"plugin {point.name}: the working copy in {root} is used, not the installed {installed}", file=sys.stderr
        )
    _told.add(root)
    return root


def list_copies(point: EntryPoint, roots: list[Path]) -> dict[str, str]:
    """By top-level module of an installed plugin's distribution, the first of these folders that has a copy of its own.

    Empty where the distribution is not installed as files, as for `pip install --editable`: then there is no other copy.
    """
    installed = dict(_find_tops(point.dist)) if point.dist is not None else {}
    return {name: str(root) for name, file in installed.items() for root in roots if _has_other(root, name, file)}


def _find_tops(dist: Distribution) -> Iterator[tuple[str, Path]]:
    """The top-level modules of a distribution with their files."""
    for file in getattr(dist, "files", None) or ():
        parts = file.parts
        if len(parts) == 1 and file.suffix == ".py":
            yield file.stem, Path(str(dist.locate_file(file))).resolve()
        elif len(parts) == 2 and parts[1] == "__init__.py":
            yield parts[0], Path(str(dist.locate_file(file))).resolve()


def _has_other(root: Path, name: str, installed: Path) -> bool:
    files = (root / f"{name}.py", root / name / "__init__.py")
    return any(file.is_file() and file.resolve() != installed for file in files)


def _install() -> None:
    if _preferred not in sys.meta_path:
        sys.meta_path.insert(0, _preferred)
    if _beside not in sys.meta_path:
        sys.meta_path.append(_beside)
    invalidate_caches()
