"""The endpoint itself: passes OpenAI's requests on, and writes down what was asked, answered and earned."""

from __future__ import annotations

import hmac
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from grpo.chat.readings import RowDesk, name_text
from rewards.types import Completion, Example

_LARGEST = 16 << 20
_SECONDS = 600.0
_WAITING_SECONDS = 120.0  # for the next request of a connection, or the rest of one
_MOST_CHOICES = 128
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
    """`backend` is the address requests are passed to; `token` what a caller has to show, None for nobody.

    `most` is how many answers the server behind writes for one request; more are asked for in several. With `shows_tools`
    False the model's template leaves the request's `tools` out, and such a request is refused: the answer would ignore them.
    """

    daemon_threads = True
    request_queue_size = 256  # callers who connect at once: with the library's 5 a burst is refused

    def __init__(
        self, address: tuple[str, int], backend: str, name: str, *, token: str | None, log: ServedLog | None, most: int = _MOST_CHOICES,
        shows_tools: bool = True,
    ):  # fmt: skip
        self.backend, self.name, self.token, self.log, self.most = backend, name, token, log, most
        self.shows_tools, self.started = shows_tools, int(time.time())
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller who has gone is no fault of the server's."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    timeout = _WAITING_SECONDS

    def do_GET(self) -> None:
        path, models = (
            self.path.partition("?")[0],
            {
                "id": self.server.name,
                "object": "model",
                "created": self.server.started,
                "owned_by": "recompensa",
            },
        )
        if path == "/health":
            self._send(200, {"status": "ok"})
        elif not self._may_pass():
            return
        elif path == "/v1/models":
            self._send(200, {"object": "list", "data": [models]})
        elif path == f"/v1/models/{quote(self.server.name)}":
            self._send(200, models)
        elif path.startswith("/v1/models/"):
            self._refuse(404, f"no such model; there is {self.server.name}")
        elif path in PATHS:
            self._refuse(405, f"{path} takes POST")
        else:
            self._refuse(404, f"no such endpoint; there are /v1/models, {', '.join(PATHS)} and /health")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            self.close_connection = True
            self._refuse(413, f"a request needs a Content-Length of at most {_LARGEST} bytes")
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True  # the caller has gone
            return
        if not self._may_pass():
            return
        path = self.path.partition("?")[0]
        if path not in PATHS:
            self._refuse(404, f"no such endpoint; there are {', '.join(PATHS)}")
            return
        try:
            request = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            self._refuse(400, "the body is not a JSON object")
            return
        if problem := find_problem(path, request, self.server.most, shows_tools=self.server.shows_tools):
            self._refuse(400, problem)
            return
        self._pass_on(path, request)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library refuses (a method, a request line) is refused in OpenAI's form too."""
        self.close_connection = True
        self._refuse(405 if code == 501 else code, message or "not a request that is understood here")

    def _pass_on(self, path: str, request: dict[str, Any]) -> None:
        # Ours: the server behind need not know them.
        sent = {key: value for key, value in request.items() if key not in ("metadata", "store")}
        sent["model"] = "policy"
        try:
            if request.get("stream"):
                with self._ask(path, sent) as answer:
                    self._stream(request, answer)
            else:
                self._whole(request, self._collect(path, sent))
        except urllib.error.HTTPError as fault:
            self._refuse_as(fault.code, fault.read()[:_LARGEST])
        except ConnectionError:
            self.close_connection = True  # the caller has gone
        except (OSError, ValueError) as fault:
            self._refuse(502, f"the model does not answer ({fault})")

    def _ask(self, path: str, sent: Mapping[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        url = urllib.request.Request(self.server.backend + path, json.dumps(sent).encode(), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            return opener.open(url, timeout=_SECONDS)
        except ConnectionError as fault:
            raise OSError(str(fault)) from None  # of the model's side, not the caller's

    def _collect(self, path: str, sent: dict[str, Any]) -> dict[str, Any]:
        """The answer; where more choices are wanted than the server behind writes at once, of several requests."""
        wanted, most = sent.get("n") or 1, self.server.most
        if wanted <= most:
            with self._ask(path, sent) as answer:
                return json.loads(answer.read())
        found: dict[str, Any] = {}
        for start in range(0, wanted, most):
            part = {**sent, "n": min(most, wanted - start)}
            if isinstance(sent.get("seed"), int):
                part["seed"] = sent["seed"] + start
            with self._ask(path, part) as answer:
                more = json.loads(answer.read())
            for choice in more.get("choices") or ():
                choice["index"] = choice.get("index", 0) + start
            if not found:
                found = more
                continue
            found["choices"] += more["choices"]
            spent, also = found.get("usage") or {}, more.get("usage") or {}
            for key in ("completion_tokens", "total_tokens"):
                if key in spent:
                    spent[key] += also.get("completion_tokens", 0)
        return found

    def _whole(self, request: Mapping[str, Any], answer: dict[str, Any]) -> None:
        answer["model"] = self.server.name
        for choice in answer.get("choices") or ():
            text = choice.get("text") if "text" in choice else (choice.get("message") or {}).get("content")
            self._note(request, str(text or ""), choice.get("finish_reason") == "length")
        self._send(200, answer)

    def _stream(self, request: Mapping[str, Any], answer: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        parts: dict[int, list[str]] = {}
        cut_off: set[int] = set()
        for line in answer:
            self.wfile.write(line)
            self.wfile.flush()
            for index, piece, cut in _read_event(line):
                parts.setdefault(index, []).append(piece)
                cut_off |= {index} if cut else set()
        for index, pieces in sorted(parts.items()):
            self._note(request, "".join(pieces), index in cut_off)

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
        kind = "server_error" if code >= 500 else "invalid_request_error"
        name = {401: "invalid_api_key", 404: "not_found"}.get(code)
        self._send(code, {"error": {"message": message, "type": kind, "param": None, "code": name}})

    def _refuse_as(self, code: int, body: bytes) -> None:
        """An error of the server behind, in OpenAI's form; asking for what a model cannot do is the caller's mistake."""
        try:
            message = json.loads(body)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = body[:300].decode(errors="replace")
        if "available context size" in str(message):
            message = f"{str(message).partition(', try')[0]}; serve with a larger --context"
        self._refuse(400 if code == 500 and "not supported" in str(message) else code, str(message))

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


def find_problem(path: str, request: Mapping[str, Any], most: int, *, shows_tools: bool = True) -> str | None:
    """What of a request is refused before the model is asked; None for one that may be passed on."""
    if path == PATHS[0] and request.get("messages") == []:
        return "messages: is empty; give at least one"
    if request.get("tools") and request.get("tool_choice") != "none" and not shows_tools:
        return (
            "tools: this model's chat template does not show them, so the answer would ignore them; describe the functions "
            "in a system message, as the rows it was trained on do"
        )
    count = request.get("n")
    if count is None:
        return None
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_CHOICES:
        return f"n: give a whole number from 1 to {_MOST_CHOICES}"
    if count > most and request.get("stream"):
        return f"n: {count} answers are more than are streamed at once here ({most}); leave stream out, or serve with --slots {count}"
    return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _read_event(line: bytes) -> list[tuple[int, str, bool]]:
    """Of a line of server-sent events: number, text, and whether the limit of tokens ended it, of each answer in it."""
    if not line.startswith(b"data: {"):
        return []
    try:
        choices = json.loads(line[6:]).get("choices") or ()
    except ValueError:
        return []
    found = []
    for choice in choices:
        text = choice.get("text") if "text" in choice else (choice.get("delta") or {}).get("content")
        found.append((choice.get("index", 0), str(text or ""), choice.get("finish_reason") == "length"))
    return found
