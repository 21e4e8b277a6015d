"""Writes requirements.lock: the exact versions installed here of everything that the package and its extras need."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("train", "quant", "track", "serve", "export", "data", "test")
HEAD = f"""\
# The set of versions that was run together, on Python 3.11 without a GPU: the base package and the extras {", ".join(EXTRAS)}.
#   pip install -r requirements.lock && pip install --no-deps -e .
# torch: any build of that version (CPU or CUDA) will do; on Linux the index gives the CUDA build unless a CPU one is on offer.
# GPU: install this first, then `pip install -e '.[gpu]'`; vllm and unsloth name versions of their own, which pyproject.toml allows for.
# certifi is left out: root certificates should be of the day.
# Made by `python tests/tiers/lock.py > requirements.lock`; a test holds it against pyproject.toml.
"""


def read_requirements() -> list[Requirement]:
    """What pyproject.toml asks for in the base package and the extras of the lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    return [found for text in wanted if (found := Requirement(text)).name != project["name"]]


def close(requirements: list[Requirement]) -> dict[str, str]:
    """By name the installed version of each requirement and of all that they need in turn."""
    versions: dict[str, str] = {}
    waiting = [(item, frozenset(item.extras)) for item in requirements]
    seen = set()
    while waiting:
        item, extras = waiting.pop()
        name = canonicalize_name(item.name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform, such as the CUDA libraries of torch
        versions[name] = found.version.partition("+")[0]
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append((needed, frozenset(needed.extras)))
    return versions


def read_lock(text: str) -> dict[str, str]:
    """Name and version of each line of a lock file."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", text, re.MULTILINE))


if __name__ == "__main__":
    lines = [
        f"{name}=={version}\n" for name, version in sorted(close(read_requirements()).items()) if name != "certifi"
    ]
    sys.stdout.write(HEAD + "".join(lines))
