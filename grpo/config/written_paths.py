"""Paths in a config that its types do not show: plugin files, options of reward functions, the folder of a model.

Where a key's type is `Path`, the loader anchors it. These are texts that may be a path: each starts at the file that wrote
it, and is remembered absolute, so that a run can be resumed and scored again from any folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from grpo.config.yaml_layer import KeyPath
from rewards.discovery.plugin_files import is_path

FindFolder = Callable[[KeyPath], Path | None]


def anchor_written_paths(merged: dict[str, Any], folder_of: FindFolder) -> None:
    """Make the paths among the texts of a merged config absolute; `folder_of` tells where those of a key start."""
    rewards, model = merged.get("rewards"), merged.get("model")
    if isinstance(model, dict) and isinstance(model.get("name"), str):
        model["name"] = _anchor_model(model["name"], folder_of(("model", "name")))
    if (
        isinstance(model, dict)
        and isinstance(model.get("adapter"), str)
        and model["adapter"] not in ("continue", "stack")
    ):
        model["adapter"] = _anchor_model(model["adapter"], folder_of(("model", "adapter")))
    if not isinstance(rewards, dict):
        return
    plugins = rewards.get("plugins")
    if isinstance(plugins, list):
        for index, named in enumerate(plugins):
            if isinstance(named, str):
                plugins[index] = _anchor_plugin(named, folder_of(("rewards", "plugins", index)))
    functions = rewards.get("functions")
    if isinstance(functions, list):
        for index, entry in enumerate(functions):
            if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                entry["name"] = _anchor_function(entry["name"], folder_of(("rewards", "functions", index, "name")))
        _anchor_options(functions, plugins if isinstance(plugins, list) else [], folder_of)


def _anchor_model(name: str, folder: Path | None) -> str:
    """A folder, where there is one; any other text is a name on the Hub."""
    if folder is None or not name:
        return name
    path = Path(name).expanduser()
    if path.is_absolute():
        return str(path)
    meant = name.startswith(("./", "../", ".\\", "..\\"))
    return str((folder / path).resolve()) if meant or (folder / path).is_dir() else name


def _anchor_plugin(named: str, folder: Path | None) -> str:
    """A `.py` file as its absolute path, also where a bare name is that of a file beside the config, or here."""
    if folder is None or not named:
        return named
    if is_path(named):
        return str((folder / Path(named).expanduser()).resolve())
    files = (place / f"{named}.py" for place in (folder, Path.cwd()))
    return next((str(file.resolve()) for file in files if file.is_file()), named)


def _anchor_function(name: str, folder: Path | None) -> str:
    """`trl:rewards.py:function`, and `trl:rewards.function` where that file lies beside the config, or here."""
    if folder is None or ":" not in name:
        return name
    from rewards.discovery.existing import anchor_name

    return anchor_name(name, folder, Path.cwd())


def _anchor_options(functions: list[Any], plugins: list[Any], folder_of: FindFolder) -> None:
    """Options that are paths, as the functions' own fields say; functions that cannot be found are told of elsewhere."""
    if not any(isinstance(entry, Mapping) and _holds_text(entry.get("options")) for entry in functions):
        return
    from rewards.config import anchor_options
    from rewards.errors import UserError
    from rewards.plugins import load_rewards

    try:
        registry = load_rewards([named for named in plugins if isinstance(named, str)])
    except UserError:
        return
    for index, entry in enumerate(functions):
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("options"), dict)
            or entry.get("name") not in registry
        ):
            continue
        place = ("rewards", "functions", index, "options")
        entry["options"] = anchor_options(
            registry.get(entry["name"]), entry["options"], partial(_find_option_folder, folder_of, place)
        )


def _find_option_folder(folder_of: FindFolder, place: KeyPath, name: str) -> Path | None:
    return folder_of((*place, name))


def _holds_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_text, value.values()))
    return any(map(_holds_text, value)) if isinstance(value, list) else isinstance(value, str) and value != ""
