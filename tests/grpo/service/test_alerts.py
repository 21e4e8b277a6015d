"""A webhook hears of states, watch events and decisions, each once, however often the service starts again."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("huey")

from grpo.service.alerts import Alerts, Webhook
from grpo.service.ledger import QueuedRun
from grpo.service.queue import RunQueue
from rewards.errors import UserError


@pytest.fixture
def receiver():
    """A server that keeps what it is sent; `answers` are the statuses it gives, then 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            server.heard.append((dict(self.headers), body))
            self.send_response(server.answers.pop(0) if server.answers else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.heard, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_webhook_when_it_is_busy_then_it_is_asked_again_and_signed(receiver):
    """503 twice, then 200: three posts with one signature; 400 is not asked again."""
    post = Webhook(f"http://127.0.0.1:{receiver.server_port}/x", "secret", pause=0.01)
    receiver.answers = [503, 503]
    assert post({"text": "a"})
    assert len(receiver.heard) == 3
    headers, body = receiver.heard[-1]
    signature = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    assert {key.lower(): value for key, value in headers.items()}["x-recompensa-signature"] == f"sha256={signature}"
    receiver.answers = [400]
    assert not post({"text": "b"})
    assert len(receiver.heard) == 4
    with pytest.raises(UserError, match="not an address"):
        Webhook("ftp://x")


def test_alerts_when_a_run_goes_its_way_then_each_thing_is_told_once(tmp_path, monkeypatch):
    """State, watch event and decision; a second service on the folder tells nothing again, and no secret is told."""
    monkeypatch.setenv("MY_TOKEN", "veryprivatevalue")
    (tmp_path / "runs").mkdir()
    told = []

    def tell(message):
        told.append(json.loads(json.dumps(message)))
        return True

    def open_queue():
        return RunQueue(tmp_path / "runs")

    queue = open_queue()
    alerts = Alerts(queue, tell, address="http://host:1")
    queue.ledger.add([QueuedRun("a", "c")])
    queue._change("a", state="running", tries=1)
    folder = tmp_path / "runs" / "a"
    folder.mkdir()
    (folder / "watch.jsonl").write_text(
        '{"rule": "kl", "step": 3, "action": "warn", "message": "far veryprivatevalue"}\n'
    )
    alerts.look()
    (folder / "decision.json").write_text('{"scenario": "A", "title": "it learnt", "action": "Use it."}')
    queue._change("a", state="done")
    alerts.look()
    alerts.look()
    assert [(each["event"], each["run"]) for each in told] == [
        ("watch", "a"),
        ("state", "a"),
        ("decision", "a"),
        ("state", "a"),
    ]
    assert told[0]["text"] == "a: far (hidden)" and told[0]["rule"] == "kl"
    assert told[2]["text"] == "a: it learnt. Use it." and told[3]["state"] == "done"
    assert told[3]["url"] == "http://host:1/runs/a"
    queue.ledger.close()
    again = open_queue()
    alerts = Alerts(again, tell)
    again._change("a", state="running", tries=2)
    alerts.look()
    assert [each["event"] for each in told[4:]] == ["state"]
    again.ledger.close()
