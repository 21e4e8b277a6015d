"""The endpoint itself: passes OpenAI's requests on, and writes down what was asked, answered and earned."""

from __future__ import annotations

import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

from grpo.chat.readings import RowDesk, name_text
from rewards.types import Completion, Example

_LARGEST = 16 << 20
_SECONDS = 600.0
PATHS = ("/v1/chat/completions", "/v1/completions")


class ServedLog:
    """Answered questions, one stored completion a line, scored where the row is known; `rewards rescore` reads it."""

    def __init__(self, path: Path, desk: RowDesk):
        self.path, self.desk = path, desk
        self._lock = threading.Lock()
        self._count = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def write(self, request: Mapping[str, Any], text: str, truncated: bool) -> None:
        """Score the answer and append it."""
        from rewards.host.records import make_record

        example, completion = self._find_row(request), Completion(text, truncated)
        with self._lock:
            record: dict[str, Any] | None = None
            host = self.desk.host
            if host is not None and example.reference is not None and host.functions_for(example.task):
                (scored,) = host.score([(example, completion)])
                record = make_record(scored)
            if record is None:
                record = {
                    "id": example.id, "task": example.task, "prompt": list(example.prompt), "completion": text,
                    "reference": example.reference, "truncated": truncated, "reward": None, "scores": {}, "repairs": [],
                    **({"columns": dict(example.columns)} if example.columns else {}),
                }  # fmt: skip
            self._count += 1
            record |= {"step": 0, "stage": "served", "served_at": round(time.time(), 3)}
            with self.path.open("ab") as file:
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS))

    def _find_row(self, request: Mapping[str, Any]) -> Example:
        """The held-out row that was asked, or one made of the request and what its `metadata` says."""
        messages = [
            {"role": str(message.get("role")), "content": str(message.get("content") or "")}
            for message in request.get("messages") or ()
            if isinstance(message, Mapping)
        ]
        found = self.desk.match(messages)
        if found is not None:
            return found
        given = request.get("metadata")
        given = given if isinstance(given, Mapping) else {}
        said = messages[-1]["content"] if messages else str(request.get("prompt") or "")
        reference = given.get("reference")
        columns = given.get("columns")
        return Example(
            str(given.get("id") or f"{name_text(said)}-{self._count}"),
            str(given.get("task") or "default"),
            messages or [{"role": "user", "content": said}],
            reference if isinstance(reference, str) else None,
            dict(columns) if isinstance(columns, Mapping) else {},
        )


class Endpoint(ThreadingHTTPServer):
    """`backend` is the address requests are passed to; `token` what a caller has to show, None for nobody."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], backend: str, name: str, *, token: str | None, log: ServedLog | None):
        self.backend, self.name, self.token, self.log = backend, name, token, log
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(200, {"status": "ok"})
        elif not self._may_pass():
            return
        elif self.path == "/v1/models":
            self._send(
                200, {"object": "list", "data": [{"id": self.server.name, "object": "model", "owned_by": "recompensa"}]}
            )
        else:
            self._refuse(404, f"no such endpoint; there are /v1/models, {', '.join(PATHS)} and /health")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            self.close_connection = True
            self._refuse(413, f"a request needs a Content-Length of at most {_LARGEST} bytes")
            return
        body = self.rfile.read(int(length))
        if not self._may_pass():
            return
        if self.path not in PATHS:
            self._refuse(404, f"no such endpoint; there are {', '.join(PATHS)}")
            return
        try:
            request = json.loads(body)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            self._refuse(400, "the body is not a JSON object")
            return
        self._pass_on(request)

    def _pass_on(self, request: dict[str, Any]) -> None:
        # Ours: the server behind need not know them.
        sent = {key: value for key, value in request.items() if key not in ("metadata", "store")}
        sent["model"] = "policy"
        url = urllib.request.Request(
            self.server.backend + self.path, json.dumps(sent).encode(), {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=_SECONDS) as answer:
                if request.get("stream"):
                    self._stream(request, answer)
                else:
                    self._whole(request, json.loads(answer.read()))
        except urllib.error.HTTPError as fault:
            self._send_bytes(fault.code, fault.read()[:_LARGEST], "application/json")
        except BrokenPipeError:
            self.close_connection = True  # the caller has gone
        except (OSError, ValueError) as fault:
            self._refuse(502, f"the model does not answer ({fault})")

    def _whole(self, request: Mapping[str, Any], answer: dict[str, Any]) -> None:
        answer["model"] = self.server.name
        choice = (answer.get("choices") or [{}])[0]
        text = choice.get("text") if "text" in choice else (choice.get("message") or {}).get("content")
        self._note(request, str(text or ""), choice.get("finish_reason") == "length")
        self._send(200, answer)

    def _stream(self, request: Mapping[str, Any], answer: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        parts, truncated = [], False
        for line in answer:
            self.wfile.write(line)
            self.wfile.flush()
            piece, cut = _read_event(line)
            parts.append(piece)
            truncated = truncated or cut
        self._note(request, "".join(parts), truncated)

    def _note(self, request: Mapping[str, Any], text: str, truncated: bool) -> None:
        if self.server.log is None:
            return
        try:
            self.server.log.write(request, text, truncated)
        except Exception as fault:  # what cannot be written down is answered all the same
            self.log_error("not logged: %s", fault)

    def _may_pass(self) -> bool:
        token = self.server.token
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token is None or hmac.compare_digest(given.encode(), token.encode()):
            return True
        self._refuse(401, "give the token: Authorization: Bearer TOKEN")
        return False

    def _refuse(self, code: int, message: str) -> None:
        self._send(code, {"error": {"message": message, "type": "invalid_request_error", "code": code}})

    def _send(self, code: int, value: Any) -> None:
        self._send_bytes(code, json.dumps(value, ensure_ascii=False).encode(), "application/json")

    def _send_bytes(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing a request: the log of answers is the record."""


def _read_event(line: bytes) -> tuple[str, bool]:
    """The text of a line of server-sent events, and whether the limit of tokens ended it."""
    if not line.startswith(b"data: {"):
        return "", False
    try:
        choice = (json.loads(line[6:]).get("choices") or [{}])[0]
    except ValueError:
        return "", False
    text = choice.get("text") if "text" in choice else (choice.get("delta") or {}).get("content")
    return str(text or ""), choice.get("finish_reason") == "length"
