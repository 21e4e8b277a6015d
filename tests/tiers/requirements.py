"""Prints what installed distributions require, one a line, but for what has no build here: `requirements.py NAME ... -- LEFT_OUT ...`."""

from __future__ import annotations

import sys
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def list_requirements(names: list[str], left_out: list[str]) -> list[str]:
    """The requirements of `names` that hold on this machine, without those of `left_out` and of one another."""
    dropped = {canonicalize_name(name) for name in (*names, *left_out)}
    found = [Requirement(text) for name in names for text in requires(name) or ()]
    return sorted(
        {
            f"{r.name}{_show(r.extras)}{r.specifier}"
            for r in found
            if canonicalize_name(r.name) not in dropped and (r.marker is None or r.marker.evaluate({"extra": ""}))
        }
    )


def _show(extras: set[str]) -> str:
    return f"[{','.join(sorted(extras))}]" if extras else ""


if __name__ == "__main__":
    divider = sys.argv.index("--")
    print("\n".join(list_requirements(sys.argv[1:divider], sys.argv[divider + 1 :])))
