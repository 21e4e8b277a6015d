"""Reading the JSON a model meant out of the text it wrote."""

from rewards.extraction.numbers import as_number
from rewards.extraction.reader import extract_json
from rewards.extraction.repairs import Extraction, Repair, RepairKind

__all__ = ["Extraction", "Repair", "RepairKind", "as_number", "extract_json"]
