"""What of an export goes to others without the folders of this machine: names instead of paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from grpo.policy.local_files import looks_local
from rewards.writing.files import read_object, write_json

_CACHED = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/[0-9a-f]+/?$")


def hub_name(name: str) -> str:
    """The id on the Hub of a snapshot in its cache; any other name as it is."""
    cached = _CACHED.search(Path(name).expanduser().as_posix()) if looks_local(name) else None
    return f"{cached[1]}/{cached[2]}" if cached else name


def public_name(name: str) -> str:
    """A model's name for others: of a snapshot in the Hub's cache its id there, of any other folder its last part alone."""
    known = hub_name(name)
    return Path(known).expanduser().resolve().name if looks_local(known) else known


def hide_base(folder: Path) -> str | None:
    """Let the adapter in `folder` name its base for others; a line about what is left to do where that is no Hub id."""
    path = folder / "adapter_config.json"
    config: dict[str, Any] = read_object(path)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not looks_local(base):
        return None
    name = public_name(base)
    write_json(path, {**config, "base_model_name_or_path": name})
    if "/" in name:
        return None
    return (
        f"the adapter stands on a folder of this machine, which others know as {name} alone; write its Hub id into "
        f"base_model_name_or_path of {path.parent.name}/{path.name}, or send the merged model"
    )


def hide_folders(words: list[str]) -> list[str]:
    """Settings (`key=value`) in which a path is its last part alone."""
    hidden = []
    for word in words:
        key, equals, value = word.partition("=")
        local = value.startswith(("/", "~", ".."))
        hidden.append(f"{key}{equals}{Path(value).name}" if local else word)
    return hidden
