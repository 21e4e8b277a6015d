"""Who may do what over HTTP: tokens, names of the host, requests forged by other sites, and what a page may load."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

COOKIE = "recompensa"
READ, SUBMIT = "read", "submit"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox allow-same-origin"
)
_OPEN_PATHS = ("/login", "/logout", "/v1/health")
_OPEN_FOLDER = "/static/"
_SAFE = ("GET", "HEAD", "OPTIONS")
_LARGEST_BODY = 1_000_000

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """The words that open the service; both None: nothing is asked, which only a loopback address may have."""

    read: str | None = None
    submit: str | None = None

    @property
    def needed(self) -> bool:
        return self.read is not None or self.submit is not None

    def role_of(self, token: str) -> str | None:
        """What a token allows; None where it is neither."""
        if self.submit is not None and hmac.compare_digest(token.encode(), self.submit.encode()):
            return SUBMIT
        if self.read is not None and hmac.compare_digest(token.encode(), self.read.encode()):
            return READ
        return None

    def cookie_of(self, role: str) -> str:
        """What a browser is given in place of the token: it cannot be turned back into it."""
        token = (self.submit if role == SUBMIT else self.read) or ""
        return f"{role}.{hmac.new(token.encode(), b'recompensa page', hashlib.sha256).hexdigest()}"

    def role_of_cookie(self, value: str) -> str | None:
        """What the cookie of a browser allows."""
        for role, token in ((SUBMIT, self.submit), (READ, self.read)):
            if token is not None and hmac.compare_digest(value.encode(), self.cookie_of(role).encode()):
                return role
        return None


class Gate:
    """An ASGI application around another: lets through what may pass, and sets the headers that bind a page."""

    def __init__(self, app: Any, tokens: AccessTokens, hosts: frozenset[str] | None):
        self.app, self.tokens, self.hosts = app, tokens, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        role = self._find_role(headers)
        refusal = self._refuse(scope, headers, role)
        scope.setdefault("state", {})["role"] = role

        async def send_bound(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                _bind(message)
            await send(message)

        read = 0

        async def receive_bounded() -> MutableMapping[str, Any]:
            # A body that does not say how long it is ends where it gets too long.
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            return {"type": "http.disconnect"} if read > _LARGEST_BODY else message

        if refusal is None:
            await self.app(scope, receive_bounded, send_bound)
            return
        status, line = refusal
        if status == 401 and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            answer = [(b"location", b"/login")]
            await send_bound({"type": "http.response.start", "status": 303, "headers": answer})
            await send_bound({"type": "http.response.body", "body": b""})
            return
        body = orjson.dumps({"problems": [line]})
        answer = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 401:
            answer.append((b"www-authenticate", b"Bearer"))
        await send_bound({"type": "http.response.start", "status": status, "headers": answer})
        await send_bound({"type": "http.response.body", "body": body})

    def _find_role(self, headers: dict[str, str]) -> str | None:
        if not self.tokens.needed:
            return SUBMIT
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.tokens.role_of(token.strip())
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE:
                return self.tokens.role_of_cookie(value)
        return None

    def _refuse(self, scope: Scope, headers: dict[str, str], role: str | None) -> tuple[int, str] | None:
        """Why a request may not pass, as status and line; None where it may."""
        # A name that leads here although it is another site's own (DNS rebinding).
        if self.hosts is not None and _host_of(headers.get("host", "")) not in self.hosts:
            return 421, "host: this service answers to other names; serve --name adds one"
        if scope["method"] not in _SAFE:
            if _is_foreign(headers):
                return 403, "origin: this request was made by another site"
            if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > _LARGEST_BODY:
                return 413, f"body: larger than {_LARGEST_BODY:,} bytes"
        if scope["path"] in _OPEN_PATHS or scope["path"].startswith(_OPEN_FOLDER):
            return None
        if role is None:
            return 401, "authorization: a token is needed, as Authorization: Bearer TOKEN"
        if role == READ and scope["method"] not in _SAFE:
            return 403, "authorization: this token may read only"
        return None


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_foreign(headers: dict[str, str]) -> bool:
    """Whether a browser says that another site makes this request. Programs say nothing and are not browsers' victims."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _host_of(value: str) -> str:
    if value.startswith("["):
        return value[1:].partition("]")[0].lower()
    return value.partition(":")[0].lower()


def _bind(message: MutableMapping[str, Any]) -> None:
    headers = list(message.get("headers", []))
    named = {name.lower() for name, _ in headers}
    for name, value in (
        (b"content-security-policy", PAGE_POLICY.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    ):
        if name not in named:
            headers.append((name, value))
    message["headers"] = headers
