"""What passes between a process that runs SQL and the one that asks: JSON, since the other side is not to be trusted."""

from __future__ import annotations

import json
from typing import Any

from rewards import frames
from rewards.sql.session import Limits, Result

_BLOB = "blob"


def _name_blob(value: Any) -> dict[str, str]:
    return {_BLOB: bytes(value).hex()}


_encode = json.JSONEncoder(separators=(",", ":"), default=_name_blob).encode


def send(descriptor: int, message: Any) -> None:
    """Raises OSError where the other side is gone."""
    frames.send(descriptor, _encode(message).encode("ascii"))


def receive(descriptor: int, seconds: float | None = None) -> Any:
    """The next message; raises TimeoutError after this many seconds, EOFError at the end, ValueError for no message."""
    return json.loads(frames.receive(descriptor, seconds))


def pack_limits(limits: Limits) -> list[Any]:
    return [limits.steps, limits.rows, limits.bytes, limits.seconds]


def pack_result(result: Result) -> list[Any]:
    blobs = any(type(value) is bytes for row in result.rows for value in row)
    names = (list(each) for each in (result.tables, result.sources, result.columns))
    return [result.status, result.rows, blobs, result.message, *names]


def unpack_result(packed: list[Any]) -> Result:
    """Raises ValueError, TypeError, KeyError where it is none."""
    status, rows, blobs, message, tables, sources, columns = packed
    if blobs:
        rows = [[bytes.fromhex(value[_BLOB]) if isinstance(value, dict) else value for value in row] for row in rows]
    return Result(
        status,
        tuple(map(tuple, rows)),
        message,
        frozenset(tables),
        frozenset(sources),
        frozenset((table, column) for table, column in columns),
    )
