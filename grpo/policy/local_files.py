"""Small JSON files of a model: from its folder, from the Hub's cache on this machine, or by one small download."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

# The Hub is asked once, for a file of a few kilobytes: a plan must not wait long for a network that is not there.
_TIMEOUT_SECONDS = 5.0
_LARGEST = 4 << 20
_UNREACHABLE: list[str] = []  # why, once a download has failed: no other is tried by this process


class HubAnswer(NamedTuple):
    """An object of the Hub, or why there is none; `final` where asking later would not help."""

    value: dict[str, Any] | None
    reason: str | None = None
    final: bool = False


def model_folder(name: str, revision: str | None = None) -> Path | None:
    """The folder of a local model, or of a hub model's cached snapshot; None where this machine has neither."""
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if not may_be_on_hub(name):
        return None
    from huggingface_hub import try_to_load_from_cache

    for file_name in ("config.json", "adapter_config.json", "tokenizer_config.json", "generation_config.json"):
        found = try_to_load_from_cache(name, file_name, cache_dir=_hub_cache(), revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


def looks_local(name: str) -> bool:
    """Whether a model name can only be meant as a folder: it is one, or begins like a path."""
    return name.startswith((".", "/", "~")) or Path(name).is_dir()


def may_be_on_hub(name: str) -> bool:
    """Whether a name has the form of a Hub model's and of no folder here."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if looks_local(name):
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def read_model_json(name: str, revision: str | None, file_name: str) -> dict[str, Any] | None:
    """The object in that JSON file of the model, or None where it is not on this machine or holds none."""
    folder = model_folder(name, revision)
    return _read_object(folder / file_name) if folder is not None else None


def fetch_model_json(name: str, revision: str | None, file_name: str) -> HubAnswer:
    """The same from the folder or the cache, else by one download of that file; the reason where it cannot be had."""
    folder = model_folder(name, revision)
    if folder is not None:
        return HubAnswer(_read_object(folder / file_name), f"{file_name} is not in {folder}")
    if not may_be_on_hub(name):
        return HubAnswer(None, f"{name} is neither a folder nor a name on the Hub", final=True)
    return _download(name, revision, file_name)


@lru_cache(maxsize=64)
def _download(name: str, revision: str | None, file_name: str) -> HubAnswer:
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    if constants.HF_HUB_OFFLINE:
        return HubAnswer(None, "HF_HUB_OFFLINE is set and it is not in the cache")
    if _UNREACHABLE:
        return HubAnswer(None, _UNREACHABLE[0])
    try:
        answer = get_session().get(
            hf_hub_url(name, file_name, revision=revision),
            headers=build_hf_headers(),
            timeout=_TIMEOUT_SECONDS,
            follow_redirects=True,
        )
        hf_raise_for_status(answer)
        value = json.loads(answer.content[:_LARGEST])
    except GatedRepoError:
        return HubAnswer(None, "gated on the Hub; accept its terms there and set HF_TOKEN", final=True)
    except RevisionNotFoundError:
        return HubAnswer(None, f"the Hub has no revision {revision!r} of it; check model.revision", final=True)
    except EntryNotFoundError:
        return HubAnswer(None, f"it has no {file_name} on the Hub")
    except RepositoryNotFoundError:
        return HubAnswer(None, "not on the Hub, or private: check the name, or set HF_TOKEN", final=True)
    except OfflineModeIsEnabled:
        return HubAnswer(None, "HF_HUB_OFFLINE is set and it is not in the cache")
    except HfHubHTTPError as fault:
        return HubAnswer(None, f"the Hub refused ({_first_line(fault)})")
    except ValueError:
        return HubAnswer(None, f"{file_name} on the Hub is not JSON")
    except Exception as fault:  # whatever the HTTP library says of a network that is not there
        _UNREACHABLE.append(f"the Hub cannot be reached ({_first_line(fault)})")
        return HubAnswer(None, _UNREACHABLE[0])
    return HubAnswer(value if isinstance(value, dict) else None, f"{file_name} on the Hub is not a JSON object")


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _first_line(fault: Exception) -> str:
    lines = str(fault).strip().splitlines()
    return lines[0][:120] if lines else type(fault).__name__


def _hub_cache() -> Path:
    # The order of huggingface_hub's own constants.
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(home).expanduser() / "hub"
