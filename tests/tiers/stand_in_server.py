"""Speaks as a vLLM server does to TRL's client, without a model: `stand_in_server.py PORT FAULT AT`.

At its completion request number AT it does what FAULT says: `dies` or `hangs`. `starts 9` answers after 9 seconds.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, FAULT, AT = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ASKED, LOCK = [0], threading.Lock()


def complete(request: dict) -> dict:
    """Some tokens for each prompt, always the same for the same seed."""
    choices = []
    for prompt in request["prompt"]:
        for index in range(request["n"]):
            ids = random.Random(request["seed"] + index).choices(range(5, 200), k=6)
            tokens = [f"token_id:{each}" for each in ids]
            logprobs = {"tokens": tokens, "token_logprobs": [-1.0] * 6, "top_logprobs": [{t: -1.0} for t in tokens]}
            choices.append({"prompt_token_ids": prompt, "token_ids": ids, "logprobs": logprobs})
    return {"choices": choices}


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answers = {"/health": {}, "/v1/models": {"data": [{"id": "model"}]}, "/get_world_size": {"world_size": 1}}
        self._send(answers[self.path])

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path != "/v1/completions":
            self._send({})
            return
        with LOCK:
            ASKED[0] += 1
            late = ASKED[0] >= AT
        if late and FAULT == "dies":
            print("RuntimeError: out of memory", flush=True)
            os._exit(1)
        if late and FAULT == "hangs":
            time.sleep(600)
        self._send(complete(request))

    def _send(self, answer: dict) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


print("loading the model", flush=True)
time.sleep(AT if FAULT == "starts" else 0)
ThreadingHTTPServer(("127.0.0.1", PORT), Answer).serve_forever()
