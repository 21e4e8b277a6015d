"""What was found of a GRPO training with TRL in someone's file, before it is translated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class FoundSettings:
    """Settings by TRL's names; `unknown` are those whose value the file does not tell, with what it says instead.

    `notes` are what was to be said while reading; `refusals` why it has no counterpart. `wrapper` is what hands them to
    TRL, where its user does not.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrapper: str | None = None

    def __bool__(self) -> bool:
        return bool(self.settings or self.unknown or self.refusals)

    def put_over(self, other: FoundSettings) -> FoundSettings:
        """These settings over those of `other`, as options stand over a file."""
        below = {name: text for name, text in other.unknown.items() if name not in self.settings}
        return FoundSettings(
            {name: value for name, value in other.settings.items() if name not in self.unknown} | self.settings,
            below | self.unknown,
            [*other.refusals, *self.refusals],
            [*other.notes, *self.notes],
        )


# YAML 1.1 and the shell write numbers that Python's int and float would take for something else, such as 1_000.
_WHOLE, _NUMBER = re.compile(r"[+-]?\d+"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def as_number(value: Any) -> Any:
    """What a text means: YAML 1.1 reads 1e-6 as a text, and the shell knows only texts."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value.lower() in ("none", "null"):
        return None
    if value.startswith("{") and value.endswith("}"):  # TRL's command line takes mappings as JSON
        try:
            return json.loads(value)
        except ValueError:
            return value
    if _WHOLE.fullmatch(value):
        return int(value)
    return float(value) if _NUMBER.fullmatch(value) else value


def find_beside(name: str, path: Path) -> Path | None:
    """The file that `path` calls `name`, looked for from here, beside it and above it; None where it is not there."""
    given = Path(name).expanduser()
    for place in _places(path):
        try:
            if (place / given).is_file():
                return place / given
        except OSError:  # a name that no file can have
            return None
    return None


def _places(path: Path) -> Iterator[Path]:
    """Where a relative path in that file may start: scripts are run from a project's root."""
    yield Path()
    folder = path.resolve().parent
    yield folder
    yield from list(folder.parents)[:4]
