"""What a command says where a package is not installed that only some of its work needs."""

from __future__ import annotations

import re
from collections import defaultdict

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"extra == ['\"]([^'\"]+)['\"]")


def say_missing_package(module: str | None) -> str | None:
    """One line that says how to install the package of that module; None where it is none of those that ours may need."""
    from importlib.metadata import PackageNotFoundError, requires

    name = (module or "").partition(".")[0]
    try:
        lines = requires("recompensa") or []
    except PackageNotFoundError:
        return None
    extras: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        found, extra = _NAME.match(line), _EXTRA.search(line)
        if found:
            extras[extra[1] if extra else ""].append(_fold(found[0]))
    asking = [extra for extra, names in extras.items() if _fold(name) in names]
    if not asking:
        return None
    # The one that asks for least else; what is for development is the last choice.
    best = min(asking, key=lambda extra: (extra == "test", len(extras[extra]), extra))
    where = f"'.[{best}]'" if best else "."
    return f"{name} is not installed, and this needs it: pip install -e {where}"


def _fold(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
