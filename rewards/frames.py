"""Messages between two processes over pipes, with a deadline both ways: nobody waits for half a message for ever."""

from __future__ import annotations

import os
import select
import struct
import time
import zlib

_HEAD = struct.Struct("!4sII")
_MARK = b"rcp1"
_LARGEST = 256 << 20


class BrokenFrame(ValueError):
    """What came is not a message: the other side writes what it should not, or two of them write at a time."""


def send(descriptor: int, content: bytes, seconds: float | None = None) -> None:
    """Raises TimeoutError after this many seconds (for a descriptor that does not block), OSError where nobody reads."""
    deadline = None if seconds is None else time.monotonic() + seconds
    rest = memoryview(_HEAD.pack(_MARK, len(content), zlib.crc32(content)) + content)
    while rest:
        if deadline is not None:
            _wait(descriptor, select.POLLOUT, deadline)
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            _wait(descriptor, select.POLLOUT, deadline)


def receive(descriptor: int, seconds: float | None = None) -> bytes:
    """The next message; raises TimeoutError after this many seconds, EOFError at the end, BrokenFrame for no message."""
    deadline = None if seconds is None else time.monotonic() + seconds
    mark, length, checked = _HEAD.unpack(_read(descriptor, _HEAD.size, deadline))
    if mark != _MARK or length > _LARGEST:
        raise BrokenFrame("not a message")
    content = _read(descriptor, length, deadline)
    if zlib.crc32(content) != checked:
        raise BrokenFrame("a message of which parts are another's")
    return content


def _read(descriptor: int, wanted: int, deadline: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < wanted:
        if deadline is not None:
            _wait(descriptor, select.POLLIN, deadline)
        part = os.read(descriptor, min(wanted - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _wait(descriptor: int, event: int, deadline: float | None) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left):
        raise TimeoutError
