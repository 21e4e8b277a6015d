"""A data set that is a folder: one saved by Hugging Face's `datasets`, or files whose names tell their split."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from grpo.data.unpacking import SUFFIXES as PACKED
from rewards.errors import UserError

_ROWS = (".jsonl", ".ndjson", ".jl", ".json", ".csv", ".tsv", ".parquet")
_SAME = {"valid": "validation", "val": "validation", "dev": "validation", "eval": "validation", "training": "train"}
_KNOWN = ("train", "test", "validation")
_MOST_FILES = 1000
_BESIDE = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


def load_saved(folder: Path, name: str, split: str) -> tuple[Any, str] | None:
    """The rows of one split that `save_to_disk` wrote there, and what the form is called; None where it did not."""
    if not any((folder / each).is_file() for each in ("state.json", "dataset_dict.json")):
        return None
    try:
        import datasets
    except ImportError:
        raise UserError(f"{name}: reading a folder of datasets needs that package: pip install -e '.[train]'") from None
    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever the library raises is one line for the user
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{name}: cannot be read as a folder of datasets ({said})") from None
    if not isinstance(found, dict):
        return found, "a data set saved by datasets"
    if split not in found:
        raise UserError(f"{name}: has no split {split!r}; name one with --split: {', '.join(found)}")
    return found[split], f"a data set saved by datasets, split {split}"


def find_files(folder: Path, name: str, split: str) -> list[Path]:
    """The files of one split in a folder, shards in order; all rows of a folder with a single file are `train`.

    Raises `UserError`, with what is there, where no file's name tells the split.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if _suffix(path) in _ROWS and path.is_file() and path.name not in _BESIDE and not _is_hidden(path, folder)
    )[:_MOST_FILES]
    if not found:
        raise UserError(f"{name}: a folder without files of rows ({', '.join(_ROWS)}); give one file")
    by_split: dict[str, list[Path]] = {}
    for path in found:
        by_split.setdefault(_find_split(path, folder), []).append(path)
    wanted = _SAME.get(split, split)
    if wanted in by_split:
        return by_split[wanted]
    if split == "train" and list(by_split) == [""]:
        if len(found) == 1:
            return found
        shown = ", ".join(str(path.relative_to(folder)) for path in found[:8])
        raise UserError(f"{name}: a folder of {len(found)} files; give one of them: {shown}")
    there = ", ".join(sorted(each or "files without a split in their names" for each in by_split))
    raise UserError(f"{name}: no file of split {split!r}; there are {there}")


def _find_split(path: Path, folder: Path) -> str:
    """The split that a file's name or a folder above it names, as `train-00000-of-00002.parquet` does; else empty."""
    for part in reversed(path.relative_to(folder).parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            word = _SAME.get(word, word)
            if word in _KNOWN:
                return word
    return ""


def _suffix(path: Path) -> str:
    plain = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return plain.suffix.lower()


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
