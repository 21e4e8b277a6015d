"""Which installed packages of an engine are of another version than the one it was run with."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

OURS = "recompensa"
EXTRA = "gpu"


def find_wrong_versions(engine: str, packages: Iterable[str]) -> list[str]:
    """One line for each of these distributions that is installed in a version which our extra `gpu` does not allow."""
    from packaging.requirements import Requirement

    wanted, problems = set(packages), []
    for text in _read(requires, OURS) or ():
        requirement = Requirement(text)
        found = _read(version, requirement.name)
        if requirement.name not in wanted or found is None:
            continue
        if requirement.marker is None or not requirement.marker.evaluate({"extra": EXTRA}):
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            needed = f"{requirement.name}{requirement.specifier}"
            problems.append(
                f"model.engine: {engine} was run with {needed}, but {requirement.name} {found} is installed: "
                f"pip install '{needed}', or use engine transformers"
            )
    return problems


def _read(ask, name: str):
    """What the metadata say; None where that distribution is not installed, as in a checkout on the path."""
    try:
        return ask(name)
    except PackageNotFoundError:
        return None
