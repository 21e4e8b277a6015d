"""Text and YAML of files that anybody may have written: read within limits, and one line for whatever is wrong with them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from rewards import limits
from rewards.errors import UserError
from rewards.row_forms.coding import find_wide_coding, name_coding


def require_regular(path: Path | str, name: str = "") -> None:
    """UserError for a pipe, a socket or a device, which might never come to an end; nothing for what is not there."""
    name = name or str(path)
    try:
        mode = os.stat(path).st_mode
    except ValueError:  # a NUL in its name
        raise UserError(f"{name!r}: no such file; no name of a file holds such a character") from None
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UserError(
            f"{name}: not a regular file (a pipe or a device); write what it gives into a file and give that"
        )


def read_text(path: Path, name: str = "") -> str:
    """All of a text file of UTF-8, with or without its mark; UserError where it is none, too large or never ends."""
    name = name or str(path)
    require_regular(path, name)
    try:
        if path.stat().st_size > limits.CONFIG_BYTES:
            size, most = path.stat().st_size >> 20, limits.CONFIG_BYTES >> 20
            raise UserError(f"{name}: a file of {size} MiB; one of settings has at most {most}")
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror}); give the path of a YAML file") from None
    return decode_text(raw, name)


def decode_text(raw: bytes, name: str) -> str:
    """The text, without the mark of UTF-8; UserError, which names the coding where it can be seen."""
    coding = find_wide_coding(raw)
    try:
        if coding is None:
            return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    is_now = name_coding(coding) if coding else "not UTF-8"
    raise UserError(f"{name}: {is_now}; save the file as UTF-8")


def read_yaml(path: Path, name: str = "") -> Any:
    """The value in a YAML file, None for an empty one; UserError where it cannot be read."""
    return parse_yaml(read_text(path, name), name or str(path))


def parse_yaml(text: str, name: str) -> Any:
    """The value of a YAML text, as YAML 1.1 has it; UserError for bad YAML and for anchors that are billions of values."""
    import yaml

    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > limits.CONFIG_NODES:
            raise UserError(
                f"{name}: more than {limits.CONFIG_NODES:,} keys and values, once its anchors are written out; shorten it"
            )
        return loader.construct_document(node)
    except RecursionError:
        raise UserError(f"{name}: nested too deeply; settings have a few levels only") from None
    except yaml.YAMLError as error:
        raise UserError(f"{name}: not YAML ({' '.join(str(error).split())[:200]})") from None
    except (ValueError, OverflowError, TypeError) as error:
        # A date that is none, a number of 5,000 digits, a key that is a list.
        raise UserError(f"{name}: a value that cannot be read ({' '.join(str(error).split())[:200]})") from None
    finally:
        if loader is not None:
            loader.dispose()


def _count(node: Any, known: dict[int, int]) -> int:
    """Keys and values below a node, each alias counted as what it stands for; one of itself as more than any file has."""
    if id(node) not in known:
        known[id(node)] = limits.CONFIG_NODES + 1
        parts = node.value if isinstance(node.value, list) else []
        known[id(node)] = 1 + sum(
            _count(each, known) for part in parts for each in (part if isinstance(part, tuple) else (part,))
        )
    return known[id(node)]
