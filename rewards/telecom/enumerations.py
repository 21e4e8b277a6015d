"""Enumerations of 3GPP as releases 15 to 18 spell them, brought to one spelling: `RESTRICTED MOBILITY`, `NON-SHARED`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rewards.telecom.equals import IDENTIFYING, spell_identifier

_MOBILITY = ("STATIONARY", "NOMADIC", "RESTRICTED_MOBILITY", "FULL_MOBILITY")
_SHARING = ("SHARED", "NON_SHARED")
_SUPPORT = ("SUPPORTED", "NOT_SUPPORTED")
_CONDITION = (
    "IS_EQUAL_TO", "IS_LESS_THAN", "IS_GREATER_THAN", "IS_WITHIN_RANGE", "IS_OUTSIDE_RANGE", "IS_ONE_OF",
    "IS_NOT_ONE_OF", "IS_EQUAL_TO_OR_LESS_THAN", "IS_EQUAL_TO_OR_GREATER_THAN", "IS_ALL_OF",
)  # fmt: skip
# TS 28.541 and TS 28.312; of each key the spellings that the project writes.
ENUMERATIONS: Mapping[str, tuple[str, ...]] = {
    "uEMobilityLevel": _MOBILITY,
    "networkSliceSharingIndicator": _SHARING,
    "resourceSharingLevel": _SHARING,
    "support": _SUPPORT,
    "v2XMode": _SUPPORT,
    "availability": (*_SUPPORT, "BETWEEN_BS_AND_UE", "BETWEEN_BS_AND_UE_&_UE_AND_UE"),
    "resourceType": ("PRB", "PRB_UL", "PRB_DL", "RRC_CONNECTED_USERS", "DRB"),
    "targetCondition": _CONDITION,
    "contextCondition": _CONDITION,
    "expectationVerb": ("DELIVER", "ENSURE"),
    "objectType": (
        "RAN_SubNetwork", "Edge_Service_Support", "5GC_SubNetwork", "Radio_Service", "Service_Support", "SubNetwork",
    ),
    "fulfilmentStatus": ("FULFILLED", "NOT_FULFILLED"),
    "fulfilStatus": ("FULFILLED", "NOT_FULFILLED"),
}  # fmt: skip
"""Values of each key, one spelling each."""

_SEPARATORS = re.compile(r"[\s_-]+")
# Other words for the same in files of releases 16 and 17.
_OTHER = {
    "FULLYMOBILITY": "FULLMOBILITY", "ISWITHINTHERANGE": "ISWITHINRANGE", "ISEQUALTHAN": "ISEQUALTO", "RRC": "RRCCONNECTEDUSERS",
    "RANSUBNETWROK": "RANSUBNETWORK",
}  # fmt: skip
_LONGEST = 40


def _fold(written: str) -> str:
    plain = _SEPARATORS.sub("", written).upper()
    return _OTHER.get(plain, plain)


_KNOWN: Mapping[str, Mapping[str, str]] = {
    key: {_fold(value): value for value in values} for key, values in ENUMERATIONS.items()
}


@lru_cache(maxsize=4096)
def _spell(key: str, written: str) -> str:
    # Lower case alone is not a spelling of a release: `stationary` stays as it is, and wrong.
    if written != written.upper() and written not in _MIXED:
        return written
    return _KNOWN[key].get(_fold(written), written)


_MIXED = frozenset(
    (*ENUMERATIONS["objectType"], "Is_less_than", "Is_greater_than", "Is_equal_to", "Is_within_the_range", "Is_equal_than",
     "Is_equal _than", "Is_less _than", "RAN_SubNetwrok", "RAN SubNetwork", "5GC SubNetwork", "Edge Service Support")
)  # fmt: skip


def normalise_values(value: Any) -> Any:
    """A copy in which enumerated values have one spelling, whichever release's they were."""
    if isinstance(value, dict):
        return {
            key: _spell_under(key, child) if isinstance(child, str) else normalise_values(child)
            for key, child in value.items()
        }
    return [normalise_values(child) for child in value] if isinstance(value, list) else value


def _spell_under(key: str, written: str) -> str:
    if key in _KNOWN and len(written) <= _LONGEST:
        return _spell(key, written)
    return spell_identifier(key, written) if key in IDENTIFYING else written
