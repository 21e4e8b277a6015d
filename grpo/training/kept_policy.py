"""What a run keeps of its policy: a folder that is replaced whole, and a note in `best/` of what lies there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from grpo.config.sections import ModelSection
from grpo.lifecycle.run_directory import POLICY_NOTE
from rewards.writing.files import write_json
from rewards.writing.manifests import write_manifest


def replace_folder(
    directory: Path,
    write: Callable[[Path], Any],
    note: dict[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Replace `directory` by what `write` puts into a folder; a reader never sees half of it for longer than two renames.

    `note` says what it is, where there is something to say; `facts` stand in its manifest.
    """
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    if note is not None:
        write_json(partial / POLICY_NOTE, note)
    write_manifest(partial, **(facts or {}))
    old = directory.with_name(directory.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    partial.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def copy_folder(source: Path | None, target: Path) -> None:
    """The same files once more; where the file system allows it they share their bytes, which nobody changes in place."""
    assert source is not None  # the caller looks first
    shutil.copytree(source, target, copy_function=_link)


def describe_policy(section: ModelSection, step: int, max_steps: int) -> dict[str, Any]:
    """What `best/` holds: the policy of `step`, 0 for the one that GRPO began with, in the one form its run has.

    Under LoRA that is an adapter, with its base named; else a whole model. A warm-up that was never bettered is no other
    case: it is the policy of step 0, in the same form.
    """
    adapter = section.lora is not None
    return {
        "step": step,
        "stage": "warmup" if step == 0 else "final" if step == max_steps else "train",
        "kind": "adapter" if adapter else "model",
        "base": section.name if adapter and section.embedded is None else None,
        "revision": section.revision if adapter else None,
        "gguf": section.gguf if adapter else None,
    }


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        return shutil.copy2(source, target)
    return target
