"""An OpenAI-compatible server in this process, which judges as a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StandIn(ThreadingHTTPServer):
    """An OpenAI-compatible server: `plan` has the statuses of the next answers, `say` what it says of a question."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plan: list[int] = []
        self.asked: list[Any] = []
        self.most = self.now = 0
        self.lock = threading.Lock()
        self.wait = 0.0
        self.say = lambda question: "7"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.asked.append((self.headers.get("Authorization"), body))
            status = server.plan.pop(0) if server.plan else 200
            server.now += 1
            server.most = max(server.most, server.now)
        time.sleep(server.wait)
        with server.lock:
            server.now -= 1
        text = server.say(body["messages"][-1]["content"])
        answer = {"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 100, "completion_tokens": 5}}
        content = json.dumps(answer).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0.05")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def run_stand_in() -> Iterator[StandIn]:
    """The server, while the context lasts."""
    made = StandIn()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
