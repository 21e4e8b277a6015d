"""What every request passes first: who may ask, how much, and as what; and the one line of a log, without a prompt."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from rewards.serve.policy import RETRY_SECONDS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger("recompensa.serve")
_OPEN = ("/health",)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def make_error(kind: str, message: str, **more: Any) -> dict[str, Any]:
    """The body of every answer that is not 200."""
    return {"error": {"kind": kind, "message": message}, **more}


class Doorkeeper:
    """ASGI middleware: token, host, and of the `paths` type and size of a body. `watch` hears of every request that was answered."""

    def __init__(
        self,
        app: Any,
        *,
        paths: frozenset[str] = frozenset(),
        token: str | None = None,
        most_bytes: int = 32 << 20,
        hosts: frozenset[str] = _LOOPBACK,
        watch: Callable[[str, int, float], None] | None = None,
    ):
        self._app, self._token, self._most_bytes, self._paths = app, token, most_bytes, paths
        # With a token nobody who has none is heard, whatever name the server goes by.
        self._hosts = None if token is not None else hosts
        self._watch = watch or (lambda *_: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - started
            self._watch(scope["path"], status, seconds)
            level = logging.WARNING if status >= 400 else logging.DEBUG
            log.log(level, "%s %s %d %.0f ms", scope["method"], scope["path"][:200], status, 1000 * seconds)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self._hosts is not None and _host_of(headers.get("host", "")) not in self._hosts:
            await _refuse(send, 403, "host", "this server answers on the loopback address only")
            return
        if self._token is not None and scope["path"] not in _OPEN and not self._knows(headers.get("authorization", "")):
            await _refuse(
                send, 401, "token", "send Authorization: Bearer TOKEN, or the token as the password of the address",
                ((b"www-authenticate", b'Bearer, Basic realm="recompensa"'),),
            )  # fmt: skip
            return
        if scope["method"] == "POST" and scope["path"] in self._paths:
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                await _refuse(send, 415, "content_type", "send Content-Type: application/json")
                return
            body = await self._read(receive, headers.get("content-length", ""))
            if body is None:
                said = f"the body is larger than {self._most_bytes >> 20} MiB; send fewer items at once"
                await _refuse(send, 413, "too_large", said)
                return
            receive = _replay(body, receive)
        await self._app(scope, receive, send)

    def _knows(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        if kind.lower() == "basic":
            # What requests and aiohttp make of http://user:TOKEN@host: trainers that can send no header.
            try:
                given = base64.b64decode(given, validate=True).decode("utf-8").partition(":")[2]
            except (binascii.Error, ValueError):
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), (self._token or "").encode())

    async def _read(self, receive: Receive, length: str) -> bytes | None:
        """The whole body, or None where it is too large, which is found before it is held."""
        if length.isdigit() and int(length) > self._most_bytes:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b""
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most_bytes:
                return None
            if not message.get("more_body"):
                return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(send: Send, status: int, kind: str, message: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = orjson.dumps(make_error(kind, message))
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _host_of(header: str) -> str:
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


RETRY_HEADERS = {"Retry-After": str(RETRY_SECONDS)}
