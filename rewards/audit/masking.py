"""Taking fields that no policy can know out of the rewards that have an option for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rewards.audit.derivability import FieldCount
from rewards.host.scoring import RewardHost
from rewards.types import Example, RewardFunction

MASKING_OPTION = "ignore_fields"
MASKED_SHARE = 0.5
"""From this share of made-up leaves a field is taken out of the rewards that have the option."""

ENOUGH_LEAVES = 10
"""Fewer leaves than this say nothing about a field."""


def mask_made_up(
    host: RewardHost, rows: Iterable[Example], measured: Mapping[str, Mapping[str, FieldCount]]
) -> dict[str, list[str]]:
    """Put fields whose values are mostly made up into `ignore_fields` of the functions that have it; by function, what was put.

    A field is left alone where the same name is derivable in another task, or deeper down, that the function judges too,
    and a function where it would have nothing left to compare in some row.
    """
    rows = list(rows)
    masked = {}
    for entry in host.functions:
        given = getattr(entry.function, MASKING_OPTION, None)
        if not isinstance(given, tuple):
            continue
        fields: Counter[str] = Counter()
        kept: set[str] = set()
        for task, counts in measured.items():
            if not entry.applies_to(task):
                continue
            for name, count in counts.items():
                path = name.replace("[]", "").lstrip(".")
                if path and count.leaves >= ENOUGH_LEAVES and count.made_up >= MASKED_SHARE * count.leaves:
                    fields[path] += 1
                elif path:
                    kept.update((path, path.rpartition(".")[2]))
        added = sorted(path for path in fields if path not in kept and path not in given)
        if added:
            function = type(entry.function).model_validate(mask(entry.function.model_dump(), added))
            judged = [row for row in rows if entry.applies_to(row.task)]
            # Row by row would have a plugin's process start over for each.
            troubled = [row for row in judged if host.problems(replace(entry, function=function), row)]
            if any(not host.problems(entry, row) for row in troubled):
                continue
            host.replace_function(function)
            masked[function.name] = added
    return masked


def mask(options: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The options of a function with these fields ignored as well."""
    given = tuple(options.get(MASKING_OPTION) or ())
    return {**options, MASKING_OPTION: (*given, *(field for field in fields if field not in given))}


def ignores(function: RewardFunction, name: str) -> bool:
    """Whether the function's option names the field, or one of the fields that it lies in."""
    given = getattr(function, MASKING_OPTION, ())
    path = name.replace("[]", "").lstrip(".")
    return path in given or any(part in given for part in path.split("."))
