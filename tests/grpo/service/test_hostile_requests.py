"""What a stranger may send to the service: names, bodies, half requests. A status and lines; nothing written, nobody kept waiting."""

from __future__ import annotations

import gzip
import io
import json
import socket
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from grpo.service.application import make_application
from tests.timing import at_most

NAMES = (
    "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", ".service", "%2eservice", "a%00b", "%00", "%ff%fe", "n" * 5_000,
    "%F0%9F%92%A9", "a%0d%0aset-cookie:x=1", "~", "*", "a\\..\\b", "%u002e", "con", "a;b", "%1b%5b2J", "%ed%a0%80", "-", "--help",
)  # fmt: skip
PLACES = ("", "/log", "/report", "/csv", "/files/metrics.jsonl", "/files/..%2fconfig.json", "/events?follow=false",
          "/compare/..", "/steps/1/groups", "/steps/-1/groups", "/steps/99999999999999999999/groups")  # fmt: skip


def make_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("../../etc/cron.d/x", "x")
    return made.getvalue()


RAW = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "a text": b'"config"',
    "brackets": b"[" * 900_000,
    "objects": b'{"a":' * 150_000,
    "5,000 digits": b'{"config": "v4_1", "priority": 1' + b"0" * 5_000 + b"}",
    "NaN": b'{"config": "v4_1", "priority": NaN}',
    "Infinity": b'{"config": "v4_1", "sweep": {"seed": [Infinity, -Infinity, NaN, 1e999]}}',
    "zip": make_zip(),
    "gz": gzip.compress(b'{"config": "v4_1"}'),
    "gz that blows up": gzip.compress(b" " * 50_000_000),
    "UTF-16": '{"config": "v4_1"'.encode("utf-16"),
    "UTF-32": '{"config": "v4_1"'.encode("utf-32"),
    "not UTF-8": b'{"config": "\xff\xfe"}',
    "NULs": bytes(1_000),
    "a form": b"config=v4_1&name=x",
    "parts": b'--x\r\nContent-Disposition: form-data; name="yaml"; filename="../../x"\r\n\r\nseed: 1\r\n--x--\r\n',
    "a million keys": b"{" + b", ".join(b'"k%d": 1' % n for n in range(60_000)) + b"}",
}
BODIES = {
    "a key twice over": {"config": "v4_1", "config ": "x"},
    "config of NUL": {"config": "a\0b"},
    "config of surrogates": {"config": "\ud800"},
    "config of a device": {"config": "/dev/zero"},
    "config of a pipe": {"config": "/dev/stdin"},
    "config of a folder": {"config": "/"},
    "config of itself": {"config": "/proc/self/environ"},
    "config of home": {"config": "~root/.ssh/id_rsa"},
    "config of an address": {"config": "file:///etc/passwd"},
    "config of a long name": {"config": "x" * 1_000},
    "config with escapes": {"config": "\x1b]52;c;aGk=\x07"},
    "yaml of surrogates": {"yaml": "name: \ud800"},
    "yaml of NUL": {"yaml": "name: a\0b"},
    "yaml of laughs": {"yaml": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 99))},
    "yaml of Python": {"yaml": "x: !!python/object/apply:os.system ['touch /tmp/owned']"},
    "yaml of depth": {"yaml": "a: " + "[" * 99_000},
    "yaml that extends a device": {"yaml": "extends: /dev/zero"},
    "yaml that extends a pipe": {"yaml": "extends: /dev/stdin"},
    "yaml that extends home": {"yaml": "extends: ~/x.yaml"},
    "yaml that extends NUL": {"yaml": 'extends: "a\\0b"'},
    "yaml with a plugin outside": {"yaml": "rewards: {plugins: [/tmp/x.py], functions: [{name: push}]}"},
    "yaml with a plugin that climbs": {"yaml": "rewards: {plugins: ['configs/../../x.py'], functions: [{name: push}]}"},
    "yaml with a plugin of the standard library": {"yaml": "rewards: {plugins: [antigravity], functions: [{name: push}]}"},
    "yaml with data outside": {"yaml": "data: {source: files, train: /etc/passwd, held_out: /etc/passwd}"},
    "yaml with data in nobody's home": {"yaml": "data: {source: files, train: ~nobody_at_all/x, held_out: ~y/z}"},
    "yaml with data in home": {"yaml": "data: {source: files, train: ~/x, held_out: ~/y}"},
    "yaml with remote code": {"yaml": "model: {chat_template: ../../../../etc/passwd}"},
    "set of NUL": {"config": "v4_1", "set": ["name=a\0b"]},
    "set of surrogates": {"config": "v4_1", "set": ["name=\ud800"]},
    "set of depth": {"config": "v4_1", "set": ["grpo.trl=" + "[" * 3_900]},
    "set of a path": {"config": "v4_1", "set": ["data.train=[../../../etc/passwd]"]},
    "set of an option": {"config": "v4_1", "set": ["--run-dir=/tmp/x"]},
    "sweep of surrogates": {"config": "v4_1", "sweep": {"name": ["\udfff"]}},
    "sweep of a path": {"config": "v4_1", "sweep": {"model.name": ["/etc", "./x"]}},
    "name of dots": {"config": "v4_1", "name": ".."},
    "name of a line end": {"config": "v4_1", "name": "a\n"},
    "name that is hidden": {"config": "v4_1", "name": ".service"},
    "name of an option": {"config": "v4_1", "name": "--resume"},
    "after of dots": {"config": "v4_1", "after": "../x"},
    "seeds of texts": {"config": "v4_1", "seeds": ["../x"]},
    "a run of its own": {"config": "v4_1", "id": "x", "state": "done"},
}  # fmt: skip


@pytest.fixture
def calm(queue, allowed):
    """A client to whom a fault of the service is a 500 and no exception."""
    app = make_application(queue, allowed, preflight=lambda *_: [])
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as http:
        yield http


def files_of(queue) -> list[str]:
    return [str(path) for path in (queue.kept / "configs").rglob("*.yaml")]


@pytest.mark.parametrize("name", NAMES)
def test_runs_when_a_name_is_odd_then_there_is_no_such_run(calm, name):
    """Nothing outside of the folder of runs can be named."""
    for place in PLACES:
        answer = calm.get(f"/v1/runs/{name}{place}")
        assert answer.status_code in (400, 404, 405, 422), f"{place}: {answer.status_code} {answer.text[:200]}"
        assert "root:" not in answer.text and len(answer.text) < 5_000
    for act in ("cancel", "resume"):
        assert calm.post(f"/v1/runs/{name}/{act}").status_code in (400, 404, 405, 409, 422)


@pytest.mark.parametrize("what", RAW)
def test_submit_when_the_body_is_none_of_ours_then_it_is_refused_and_nothing_is_written(calm, queue, what):
    """Archives, forms, depth, numbers without end."""
    with at_most(10):
        answer = calm.post("/v1/runs", content=RAW[what], headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413, 422), f"{answer.status_code} {answer.text[:300]}"
    assert answer.json()["problems"] and len(answer.text) < 20_000
    assert queue.ledger.list() == [] and files_of(queue) == []


@pytest.mark.parametrize("what", BODIES)
def test_submit_when_a_field_is_hostile_then_it_is_refused_and_nothing_is_written(calm, queue, what):
    """Devices, pipes, paths that climb, text that cannot be written."""
    body = json.dumps(BODIES[what]).encode()
    with at_most(10):
        answer = calm.post("/v1/runs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, f"{answer.status_code} {answer.text[:300]}"
    assert answer.json()["problems"] and len(answer.text) < 20_000 and "\x1b" not in answer.text
    assert queue.ledger.list() == [] and files_of(queue) == []


def test_files_when_one_of_a_run_leads_outside_then_it_is_not_handed_out(calm, root, write_run, tmp_path):
    """A plugin may have put a link there; the service reads with other rights than whoever asks it."""
    run = write_run(root / "old", steps=20)
    secret = tmp_path / "secret"
    secret.write_text('{"stage": "secret"}\n')
    for name in ("metrics.jsonl", "report.md", "config.json", "report.html"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(secret)
    for place in ("files/metrics.jsonl", "files/report.md", "files/config.json", "report"):
        answer = calm.get(f"/v1/runs/old/{place}")
        assert answer.status_code == 404 and "secret" not in answer.text, place
    (root / "linked").symlink_to(tmp_path)
    assert calm.get("/v1/runs/linked").status_code == 404


def test_submit_when_two_texts_come_under_one_name_then_each_run_keeps_its_own(calm, queue):
    """Groups of seeds share a name: the second must not change what the first, still queued, will read."""
    for seeds, steps in (([1, 6], 11), ([2, 3], 22), ([4, 5], 33)):
        body = {"yaml": f"extends: v4_1\ngrpo: {{max_steps: {steps}}}\n", "name": "x", "seeds": seeds}
        assert calm.post("/v1/runs", json=body).status_code == 201
    said = {run.id: Path(run.config).read_text(encoding="utf-8") for run in queue.ledger.list()}
    assert "max_steps: 11" in said["x-seed1"] and "22" in said["x-seed2"] and "33" in said["x-seed4"]


def test_service_when_many_send_half_a_request_then_others_are_answered(application, listen):
    """Headers without an end, bodies without their rest, connections that say nothing."""
    head = b"POST /v1/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    starts = (b"", b"G", b"GET /v1/ru", head, head + b'content-length: 5000\r\n\r\n{"config"', b"\x16\x03\x01\x02",
              head + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n", head + b"content-length: -1\r\n\r\n",
              head + b"content-length: 1" + b"0" * 5_000 + b"\r\n\r\n", head + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
              b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000, b"GET /" + b"a" * 200_000)  # fmt: skip
    with listen(application) as service:
        address = ("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        held = []
        for number in range(240):
            held.append(socket.create_connection(address, timeout=5))
            held[-1].sendall(starts[number % len(starts)])
        with at_most(10, time.monotonic):
            for _ in range(5):
                with urllib.request.urlopen(f"{service.url}/v1/health", timeout=10) as answer:
                    assert json.load(answer)["status"] == "ok"
        for each in held:
            each.close()
