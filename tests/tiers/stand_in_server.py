"""Speaks as a vLLM server does to TRL's client, with a policy of its own: `stand_in_server.py PORT FAULT AT FOLDER`.

FOLDER holds the model; weights that are sent come as a file. At its completion request number AT it does what FAULT says:
`dies` or `hangs`; `starts 9` answers after 9 seconds. `deaf 2` takes no weights after it was sent them twice, `lies 2` takes
wrong ones from then on.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT, FAULT, AT, FOLDER = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
ASKED, SENT, LOCK = [0], [0], threading.Lock()


@cache
def load_model() -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()


def take_weights(path: str) -> None:
    import torch

    SENT[0] += 1
    late = SENT[0] > AT
    if FAULT == "deaf" and late:
        return
    weights = torch.load(path, weights_only=True)
    if FAULT == "lies" and late:
        weights = {name: weight.flip(0) for name, weight in weights.items()}
    load_model().load_state_dict({name: weight.float() for name, weight in weights.items()}, strict=False)


def complete(request: dict) -> dict:
    """Some tokens for each prompt, always the same for the same seed and weights."""
    import torch

    model, choices = load_model(), []
    for prompt in request["prompt"]:
        if request.get("prompt_logprobs"):
            with torch.no_grad():
                logps = torch.log_softmax(model(torch.tensor([prompt])).logits[0].float(), -1)
            found = [
                {str(token): {"logprob": logps[at, token].item(), "rank": 1}} for at, token in enumerate(prompt[1:])
            ]
            choices.append({"prompt_logprobs": [None, *found]})
            continue
        for index in range(request["n"]):
            generator = torch.Generator().manual_seed(request["seed"] + index)
            ids, numbers = list(prompt), []
            with torch.no_grad():
                for _ in range(min(6, request["max_tokens"])):
                    logps = torch.log_softmax(
                        model(torch.tensor([ids])).logits[0, -1].float() / request["temperature"], -1
                    )
                    ids.append(int(torch.multinomial(logps.exp(), 1, generator=generator)))
                    numbers.append(logps[ids[-1]].item())
            written = ids[len(prompt) :]
            tokens = [f"token_id:{each}" for each in written]
            top = [{token: number} for token, number in zip(tokens, numbers, strict=True)]
            logprobs = {"tokens": tokens, "token_logprobs": numbers, "top_logprobs": top}
            choices.append({"prompt_token_ids": prompt, "token_ids": written, "logprobs": logprobs})
    return {"choices": choices}


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answers = {"/health": {}, "/v1/models": {"data": [{"id": "model"}]}, "/get_world_size": {"world_size": 1}}
        self._send(answers[self.path])

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path == "/update_weights":
            with LOCK:
                take_weights(request["path"])
        if self.path != "/v1/completions":
            self._send({})
            return
        with LOCK:
            # A probe of the weights is no request for completions.
            ASKED[0] += not request.get("prompt_logprobs")
            late = ASKED[0] >= AT
        if late and FAULT == "dies":
            print("RuntimeError: out of memory", flush=True)
            os._exit(1)
        if late and FAULT == "hangs":
            time.sleep(600)
        with LOCK:
            answer = complete(request)
        self._send(answer)

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
