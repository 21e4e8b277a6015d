"""Reading the JSON a model meant out of the text it wrote."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewards.extraction.duplicates import find_duplicates
    from rewards.extraction.numbers import as_number
    from rewards.extraction.reader import extract_json
    from rewards.extraction.repairs import Extraction, Repair, RepairKind

__all__ = ["Extraction", "Repair", "RepairKind", "as_number", "extract_json", "find_duplicates"]

_HOMES = {"as_number": "numbers", "extract_json": "reader", "find_duplicates": "duplicates"}


def __getattr__(name: str) -> Any:
    """The reader is imported by who first asks for it: its regular expressions take 50 ms to compile."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'repairs')}"), name)
    return value
