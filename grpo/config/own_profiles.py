"""`profiles:` of a config file: what it changes under a profile, laid over the profile's own overlay."""

from __future__ import annotations

from grpo.config.yaml_layer import YamlLayer

OVERLAID = ("embedded", "small")
"""Profiles that have an overlay; gpu is the recipe as it is written."""

_KEY = "profiles"


def take_profile(source: YamlLayer, profile: str) -> YamlLayer | None:
    """The part of a file for one profile as a layer of its own; None where it has none. The file keeps the key."""
    parts = source.data.get(_KEY)
    part = parts.get(profile) if isinstance(parts, dict) else None
    if not isinstance(part, dict):
        return None
    lines = {place[2:]: line for place, line in source.lines.items() if place[:2] == (_KEY, profile) and place[2:]}
    return YamlLayer(f"{source.name}: {_KEY}.{profile}", part, lines, [], source.folder)


def drop_profiles(source: YamlLayer) -> list[str]:
    """Take the key out of the file's data; what is wrong with it, one line each."""
    parts = source.data.pop(_KEY, None)
    if parts is None:
        return []
    allowed = f"write {' or '.join(OVERLAID)}, each with sections as the file itself has them"
    if not isinstance(parts, dict):
        return [f"{source.name}: {_KEY}: not a mapping of profiles; {allowed}"]
    return [
        f"{source.name}: {_KEY}.{name}: "
        + ("no sections" if name in OVERLAID else "no such profile" if name != "gpu" else "gpu is the file itself")
        + f"; {allowed}"
        for name, part in parts.items()
        if name not in OVERLAID or not isinstance(part, dict)
    ]
