"""Asking a server of ours for scores: patient where it is busy, at an end where the rewards are others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from rewards.errors import NetworkError, RewardBudgetExceeded, UserError
from rewards.writing.writable import to_json

TOKEN_VARIABLE = "RECOMPENSA_TOKEN"
ITEMS = 256
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class ScoreClient:
    """`score` sends whole rows to `/v1/score`. The first pin that the server names holds for all that follow."""

    def __init__(self, url: str, *, seconds: float = 120.0, token: str | None = None):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"url: {url!r}; give http://HOST:PORT, as `rewards serve` prints it")
        self._token = token or os.environ.get(TOKEN_VARIABLE) or parts.password
        host = parts.netloc.rpartition("@")[2]
        self.url = urlunsplit((parts.scheme, host, parts.path.rstrip("/") or "/v1/score", parts.query, ""))
        self._seconds = seconds
        self._opener: OpenerDirector = build_opener(ProxyHandler({})) if parts.hostname in _LOOPBACK else build_opener()
        self.pin: str | None = None
        self.versions: dict[str, str] = {}

    def score(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One result an item, in order.

        Raises UserError for 409 and other refusals, RewardBudgetExceeded where the server has given up on a function,
        NetworkError where it does not answer in time.
        """
        deadline = time.monotonic() + self._seconds
        results: list[dict[str, Any]] = []
        # A group is scored in one request or not at all: the answers to a prompt stand next to each other.
        for chunk in _cut(items):
            answer = self._post({"items": chunk, **({"pin": self.pin} if self.pin else {})}, deadline)
            self.pin, self.versions = answer["pin"], answer["versions"]
            results += answer["results"]
        return results

    def get(self, path: str, seconds: float = 10.0) -> tuple[int, Any]:
        """Status and JSON (or text) of another address of the server; raises NetworkError."""
        parts = urlsplit(self.url)
        return self._open(
            Request(urlunsplit((parts.scheme, parts.netloc, path, "", "")), headers=self._headers()), seconds
        )

    def _post(self, body: Mapping[str, Any], deadline: float) -> Any:
        request = Request(
            self.url, to_json(body), {"Content-Type": "application/json", **self._headers()}, method="POST"
        )
        pause, said = _FIRST_PAUSE, ""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NetworkError(f"{self.url}: no scores within {self._seconds:g} s; {said or 'is the server busy?'}")
            try:
                status, answer = self._open(request, left)
            except NetworkError as error:
                status, said = 0, str(error)
            else:
                if status == 200:
                    return answer
                detail = answer.get("error", {}) if isinstance(answer, dict) else {}
                said = f"{status} {detail.get('kind', '')}: {detail.get('message', answer)}"
                if detail.get("kind") == "over_budget":
                    raise RewardBudgetExceeded(str(detail.get("message")))
                if status not in (429, 502, 503, 504):
                    raise UserError(f"{self.url}: refused: {said}")
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _open(self, request: Request, seconds: float) -> tuple[int, Any]:
        try:
            with self._opener.open(request, timeout=seconds) as response:
                return response.status, _read(response.read())
        except HTTPError as error:
            with error:
                return error.code, _read(error.read())
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise NetworkError(f"{self.url}: cannot be reached ({reason}); is `rewards serve` running there?") from None


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _cut(items: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    chunks: list[list[Mapping[str, Any]]] = []
    for item in items:
        same = chunks and chunks[-1][-1].get("id") == item.get("id") and item.get("id") is not None
        if not chunks or (len(chunks[-1]) >= ITEMS and not same):
            chunks.append([])
        chunks[-1].append(item)
    return chunks
