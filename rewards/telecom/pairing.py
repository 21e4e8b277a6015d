"""What of a reference stands right in an answer when each object of a list is held to its own counterpart, not to the whole list."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.documents.identifiers import is_identifier
from rewards.documents.leaves import MATCHING_STEPS, Flat, LeafRules, MatchingSteps, pair_items

COMPARATORS = frozenset(
    ("atmost", "atleast", "exactly", "smaller", "larger", "greater", "less", "more", "lessthan", "greaterthan",
     "inrange", "outsiderange", "notmorethan", "notlessthan", "upto")
)  # fmt: skip
"""Last names, in lower case, of keys that say from which side their value binds: `icm:atMost`, `quan:smaller`."""

IDENTITIES = frozenset(
    ("sst", "sd", "mcc", "mnc", "ncI", "nCI", "nci", "nrCellId", "cellLocalId", "gNBId", "gNBDUId", "gnbIdValue", "gNBIdValue",
     "ranUeId", "5qI", "qcI", "phoneNumber", "msisdn", "networkAccessIdentifier", "publicAddress", "ipv4addr", "ipv6Address",
     "tac", "nSSAI", "sNSSAI", "intent", "mobile-country-code",
     "mobile-network-code", "slice-differentiator", "slice-service-type", "physical-cell-id", "local-id")
)  # fmt: skip
"""Keys whose values say for whom a configuration is: a slice, a network, a cell, a device, a flow."""
_NUMBERING = frozenset(("id", "expectationId", "targetId", "contextId", "externalId", "requestId", "reportId"))
"""Identifiers that only number the parts of a document."""

_LAST_NAME = re.compile(r"[#/:]")
_LONGEST = 200


class Paired(NamedTuple):
    """Counts of a reference's leaves that an answer has right: those that decide, that say for whom, and those in lists.

    A comparator counts among those that decide, as itself: it is right where it stands.
    """

    decided: int
    identified: int
    listed: int
    seen: int
    """Of those in lists, the ones that were compared: what is missing altogether is charged elsewhere."""


def count_pairs(expected: Flat, given: Flat, rules: LeafRules, decisive: Collection[str]) -> Paired:
    """What is right, by the matching that `leaves.compare` does; with `expected` given twice, how much there is.

    Only lists of two objects and more are listed, and of their texts those without spaces: the others are free.
    """
    decided = identified = listed = seen = 0
    steps = MatchingSteps(MATCHING_STEPS)
    stack: list[tuple[Any, Any, str, bool]] = [(expected.value, given.value, "", False)]
    while stack:
        one, other, key, inside = stack.pop()
        if isinstance(one, dict):
            if isinstance(other, dict):
                for name, child in one.items():
                    if name in other:
                        decided += is_comparator(name)
                        stack.append((child, other[name], name, inside))
        elif isinstance(one, list):
            if isinstance(other, list):
                within = inside or (len(one) > 1 and all(isinstance(item, dict) for item in one))
                stack += [(one[i], other[j], key, within) for i, j in pair_items(one, other, rules, steps)]
        elif not isinstance(other, (dict, list)):
            counted = inside and not _is_free(one)
            seen += counted
            if one == other or rules.same(one, other, key):
                decided += key in decisive
                identified += says_for_whom(key)
                listed += counted
    return Paired(decided, identified, listed, seen)


def _is_free(leaf: Any) -> bool:
    return isinstance(leaf, str) and (" " in leaf or len(leaf) > _LONGEST)


@lru_cache(maxsize=8192)
def is_comparator(key: str) -> bool:
    """Whether a key says from which side the value below it binds, whatever its prefix."""
    return len(key) <= _LONGEST and _LAST_NAME.split(key)[-1].casefold().replace("_", "") in COMPARATORS


@lru_cache(maxsize=8192)
def says_for_whom(key: str) -> bool:
    """Whether a value below this key identifies what is configured, and not a part of the document."""
    return key in IDENTITIES or (key not in _NUMBERING and is_identifier(key))
