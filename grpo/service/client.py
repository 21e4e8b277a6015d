"""A small client of the service: standard library alone, so that a laptop without the extras can hand runs in."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.errors import RecompensaError, UserError

URL_VARIABLE, TOKEN_VARIABLE = "RECOMPENSA_URL", "RECOMPENSA_TOKEN"
DEFAULT_URL = "http://127.0.0.1:8420"
_SECONDS = 660.0


class ServiceUnreachable(RecompensaError):
    """Nobody answers at the address, or what answers is not a service of ours."""


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """One server-sent event: `state`, `metrics` or `watch`, its data, and the id to continue from."""

    name: str
    data: dict[str, Any]
    id: str


class Client:
    """Speaks to a service: `Client().submit(config="v4_1.yaml")`. Refusals are UserErrors with the service's lines.

    The address and the token come from RECOMPENSA_URL and RECOMPENSA_TOKEN where they are not given.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, seconds: float = _SECONDS):
        self.url = (url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise UserError(f"{self.url}: not an address; write one like {DEFAULT_URL}")
        self._token = token or os.environ.get(TOKEN_VARIABLE)
        self._seconds = seconds

    def submit(self, **submission: Any) -> list[dict[str, Any]]:
        """Queue a run, or a group of them, after its preflight; the runs as the list shows them."""
        return self._ask("POST", "/v1/runs", submission)["runs"]

    def list(self, states: Sequence[str] = (), limit: int = 200) -> list[dict[str, Any]]:
        """The runs, the newest first."""
        query = urllib.parse.urlencode([("limit", limit), *(("state", state) for state in states)])
        return self._ask("GET", f"/v1/runs?{query}")["runs"]

    def show(self, id: str) -> dict[str, Any]:
        """One run with its tasks, decision, events and config."""
        return self._ask("GET", _place(id))

    def cancel(self, id: str) -> dict[str, Any]:
        """Stop a run, with a checkpoint."""
        return self._ask("POST", _place(id, "cancel"))

    def resume(self, id: str) -> dict[str, Any]:
        """Queue a run again, to go on where it stopped."""
        return self._ask("POST", _place(id, "resume"))

    def compare(self, id: str, other: str) -> dict[str, Any]:
        """Two runs beside each other, the first as the baseline."""
        return self._ask("GET", _place(id, "compare", other))

    def log(self, id: str, lines: int = 200) -> str:
        """The last lines that a run said."""
        with self._open("GET", f"{_place(id, 'log')}?lines={lines}") as answer:
            return answer.read().decode("utf-8", "replace")

    def report(self, id: str) -> str:
        """The report of a run as HTML."""
        with self._open("GET", _place(id, "report")) as answer:
            return answer.read().decode("utf-8", "replace")

    def events(self, id: str, after: str | None = None, *, follow: bool = True) -> Iterator[ServiceEvent]:
        """The events of a run as they come, until it ends; `after` is the id of the last one seen."""
        headers = {"last-event-id": after} if after else {}
        with self._open("GET", f"{_place(id, 'events')}?follow={str(follow).lower()}", headers=headers) as answer:
            fields: dict[str, str] = {}
            for raw in answer:
                line = raw.decode("utf-8").rstrip("\r\n")
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif "data" in fields:
                    yield ServiceEvent(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id", ""))
                    fields = {}

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        with self._open(method, path, body) as answer:
            try:
                return json.load(answer)
            except ValueError:
                raise ServiceUnreachable(f"{self.url}: what answers there is another service") from None

    def _open(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        request = urllib.request.Request(self.url + path, method=method, headers=dict(headers or {}))
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        if self._token:
            request.add_header("authorization", f"Bearer {self._token}")
        try:
            return urllib.request.urlopen(request, timeout=self._seconds)
        except urllib.error.HTTPError as error:
            raise UserError(_read_problems(error)) from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise ServiceUnreachable(
                f"{self.url}: no service answers ({reason}); start one with recompensa serve, or set {URL_VARIABLE}"
            ) from None


def _place(id: str, *parts: str) -> str:
    return "/".join(["/v1/runs", *(urllib.parse.quote(part, safe="") for part in (id, *parts))])


def _read_problems(error: urllib.error.HTTPError) -> list[str]:
    try:
        lines = json.load(error)["problems"]
    except (ValueError, KeyError, TypeError):
        lines = []
    problems = [str(line) for line in lines if str(line)]
    if error.code == 401:
        problems.append(f"set {TOKEN_VARIABLE} to the service's token")
    return problems or [f"{error.url}: status {error.code}"]
