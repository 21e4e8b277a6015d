"""YAML as people mean it: numbers and booleans of YAML 1.2, no silent duplicates, and the line of every key.

PyYAML reads YAML 1.1, where `1e-5` is text, `4_1` the number 41, `010` eight, `no` false and `12:30` 750. Here the first
is the number it looks like and the others are the text they look like.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rewards import limits
from rewards.errors import UserError
from rewards.screen.invalid import KeyPath, show_path
from rewards.writing.yaml_files import decode_text

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Stands for a value that could not be read: its key is left out, the problem has been told.
_UNREADABLE = object()

_PLAIN = "tag:recompensa,2026:plain"


@dataclass
class YamlLayer:
    """One piece of configuration: its keys, where each stands, and what is wrong with its text."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    folder: Path | None = None


def read_source(path: Path, name: str | None = None) -> YamlLayer:
    """The mapping in a YAML file; what cannot be read is listed in `problems`, each line naming the file."""
    source = YamlLayer(name or str(path), folder=path.resolve().parent)
    try:
        if path.stat().st_size > limits.CONFIG_BYTES:
            source.problems.append(
                f"{source.name}: a file of {path.stat().st_size >> 20} MiB; a config has at most {limits.CONFIG_BYTES >> 20}"
            )
            return source
        text = decode_text(path.read_bytes(), source.name)
    except UserError as error:
        source.problems += error.problems
        return source
    except OSError as error:
        source.problems.append(f"{source.name}: cannot be read ({error.strerror}); give the path of a YAML file")
        return source
    value = _parse(text, source)
    if isinstance(value, dict):
        # What could be read is kept beside the problems, so that all of them are found at once.
        source.data = value
    elif source.problems:
        return source
    elif value is None:
        source.problems.append(f"{source.name}: the file is empty; write sections such as grpo:, or name another file")
    else:
        source.problems.append(f"{source.name}: holds {_kind(value)}; a config is a mapping of sections such as grpo:")
    return source


def parse_value(text: str, source: YamlLayer) -> Any:
    """One value as it would be read in a file: `1e-5`, `[a, b]`, `{r: 8}`; problems go into `source`."""
    return _parse(text, source)


def write_yaml(data: Mapping[str, Any]) -> str:
    """The mapping as YAML that reads back to the same under this reader and under YAML 1.1."""
    return yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # absent without libyaml
    """Leaves every plain scalar unresolved, so that this module decides what it is."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (the attribute PyYAML looks at)
        None: [(_PLAIN, re.compile(""))]
    }


class _Dumper(yaml.SafeDumper):
    """Quotes a text that either reader would take for something else."""


_Dumper.add_implicit_resolver(_PLAIN, _FLOAT, None)


def _parse(text: str, source: YamlLayer) -> Any:
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        value = None if node is None else _construct(node, (), source, ())
        return None if value is _UNREADABLE else value
    except yaml.YAMLError as error:
        source.problems.append(f"{source.name}: {_describe_yaml_error(error)}")
    except _TooLarge:
        source.problems.append(
            f"{source.name}: more than {limits.CONFIG_NODES:,} keys and values, once its anchors are written out; shorten it"
        )
    except RecursionError:
        source.problems.append(f"{source.name}: nested too deeply; a config has a few levels only")
    finally:
        if loader is not None:
            loader.dispose()
    return None


class _TooLarge(Exception):
    """Anchors of anchors: a few lines that are billions of values."""


def _construct(node: yaml.Node, path: KeyPath, source: YamlLayer, above: tuple[int, ...]) -> Any:
    line = node.start_mark.line + 1
    source.lines.setdefault(path, line)
    if len(source.lines) > limits.CONFIG_NODES:
        raise _TooLarge
    if id(node) in above:
        source.problems.append(
            f"{source.name}: {show_path(path)}: an alias to itself (line {line}); write the value out"
        )
        return _UNREADABLE
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _construct_mapping(node, path, source, above)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        items = [_construct(item, (*path, index), source, above) for index, item in enumerate(node.value)]
        return [item for item in items if item is not _UNREADABLE]
    if isinstance(node, yaml.ScalarNode):
        if node.tag == "tag:yaml.org,2002:str":
            return node.value
        if node.tag == _PLAIN:
            return _resolve(node, path, source)
    source.problems.append(
        f"{source.name}: {show_path(path)}: tag {node.tag} is not read here (line {line}); write a plain value"
    )
    return _UNREADABLE


def _construct_mapping(
    node: yaml.MappingNode, path: KeyPath, source: YamlLayer, above: tuple[int, ...]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    first_lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            source.problems.append(
                f"{source.name}: {show_path(path)}: a key is not a name (line {line}); write name: value"
            )
            continue
        # The text itself: a key spelt `no` or `4_1` is that name.
        key = key_node.value
        if key in first_lines:
            source.problems.append(
                f"{source.name}: {show_path((*path, key))}: written twice, in lines {first_lines[key]} and {line}; "
                "keep one of them"
            )
            continue
        first_lines[key] = line
        source.lines[(*path, key)] = line
        value = _construct(value_node, (*path, key), source, above)
        if value is not _UNREADABLE:
            result[key] = value
    return result


def _resolve(node: yaml.ScalarNode, path: KeyPath, source: YamlLayer) -> Any:
    text = node.value
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text) and len(text) <= 300:
        return int(text)
    if _FLOAT.match(text):
        value = float(text)
        if math.isfinite(value):
            return value
    elif not _NOT_FINITE.match(text):
        return text
    line = node.start_mark.line + 1
    source.problems.append(
        f"{source.name}: {show_path(path)}: {text} is not a finite number (line {line}); write an ordinary number"
    )
    return _UNREADABLE


def _describe_yaml_error(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    if "found character '\\t'" in reason or "cannot start any token" in reason:
        reason += "; indent with spaces, and quote strings that begin with a punctuation mark"
    elif "expected a single document" in reason:
        reason = "holds more than one document; keep one, without ---"
    elif "mapping values are not allowed" in reason:
        reason += "; put the inner key on a line of its own, or quote a string that holds ': '"
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}not YAML: {reason}"


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a single value"
