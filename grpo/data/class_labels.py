"""The names of classes that data sets number: `datasets` keeps them beside the columns, in Parquet files and on the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def find_label_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of the classes in each column of a Parquet file that `datasets` wrote; nothing for any other."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, LookupError, TypeError):
        return {}
    return list_label_names(features)


def list_label_names(features: Any) -> dict[str, list[str]]:
    """Of the features of `datasets` those that are class labels, alone or in a list, with the classes' names."""
    named: dict[str, list[str]] = {}
    for column, feature in features.items() if isinstance(features, Mapping) else ():
        inner = feature[0] if isinstance(feature, list) and feature else feature
        if isinstance(inner, Mapping) and isinstance(inner.get("feature"), Mapping):
            inner = inner["feature"]
        if isinstance(inner, Mapping) and isinstance(inner.get("names"), list):
            named[column] = [str(name) for name in inner["names"]]
    return named


def name_labels(row: dict[str, Any], labels: Mapping[str, list[str]]) -> dict[str, Any]:
    """The row with the name of each class in place of its number; -1 and other numbers that are none stay."""

    def name(value: Any, names: list[str]) -> Any:
        if isinstance(value, list):
            return [name(item, names) for item in value]
        whole = isinstance(value, int) and not isinstance(value, bool)
        return names[value] if whole and 0 <= value < len(names) else value

    return {key: name(value, labels[key]) if key in labels else value for key, value in row.items()}
