"""Keys and values that identify: those that must be the very same, and those that nobody can know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_IDENTIFIER = re.compile(
    r"(?:^|[_.@-])(?:id|ids|uuid|guid|cpf|cnpj|cep|imei|imsi|iccid|msisdn|serial_?number|sku|ean|isbn)$"
    r"|(?<=[a-z])(?:Id|ID|Ids|Uuid|UUID|Guid)$"
)
_UUID = re.compile(
    r"(?:urn:uuid:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z", re.ASCII | re.IGNORECASE
)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?\s?(?:Z|[+-][0-9]{2}:?[0-9]{2})?\Z",
    re.ASCII,
)
VOLATILE_VALUES: Mapping[str, re.Pattern[str]] = {"uuid": _UUID, "time": _TIME}
"""Kinds of values that nobody can know: UUIDs, and ISO-8601 dates with a time of day."""


@lru_cache(maxsize=8192)
def is_identifier(key: str) -> bool:
    """Whether a key is named as one that identifies: `id`, `order_id`, `orderId`, `cpf`, `serial_number`."""
    return len(key) <= 60 and bool(_IDENTIFIER.search(key))
