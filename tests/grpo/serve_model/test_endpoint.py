"""The endpoint: OpenAI's shapes, loopback and token, and a log that `rewards rescore` reads."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from grpo.chat.readings import RowDesk
from grpo.serve_model import __main__ as command
from grpo.serve_model.__main__ import shows_tools
from grpo.serve_model.backends import open_backend
from grpo.serve_model.endpoint import Endpoint, ServedLog, find_problem
from rewards.config import RewardsSection, build_host
from rewards.errors import UserError
from rewards.types import Example

ROW = Example("row-1", "price", [{"role": "user", "content": "Quanto?"}], '{"price": 1}', {})


class Model(BaseHTTPRequestHandler):
    """A stand-in of llama.cpp's server: one answer, whole or in pieces."""

    def log_message(self, *_):
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(request)
        if request.get("stream"):
            pieces = ['{"price"', ": 1}"]
            lines = [{"choices": [{"delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
            lines.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            body = "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            message = {"role": "assistant", "content": '{"price": 1}'}
            choices = [{"index": n, "message": message, "finish_reason": "stop"} for n in range(request.get("n") or 1)]
            usage = {"prompt_tokens": 7, "completion_tokens": 3 * len(choices), "total_tokens": 7 + 3 * len(choices)}
            body = json.dumps({"model": "x", "choices": choices, "usage": usage})
            kind = "application/json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


class Backend(ThreadingHTTPServer):
    """The server of the stand-in, which takes as many callers at once as llama.cpp's."""

    request_queue_size = 256


@pytest.fixture
def served(tmp_path):
    """A function that starts the endpoint before a stand-in model and gives its address, the log and what the model saw."""
    servers = []

    def start(token: str | None = None):
        model = Backend(("127.0.0.1", 0), Model)
        model.seen = []
        host = build_host(RewardsSection(functions=[{"name": "field_f1"}]))
        log = ServedLog(tmp_path / "served.jsonl", RowDesk([ROW], host))
        address = f"http://127.0.0.1:{model.server_address[1]}"
        endpoint = Endpoint(("127.0.0.1", 0), address, "mine", token=token, log=log, most=2)
        for server in (model, endpoint):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            servers.append(server)
        return f"http://127.0.0.1:{endpoint.server_address[1]}", log.path, model.seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(url: str, body=None, **headers):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return answer.read().decode()


def read_log(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_endpoint_when_a_held_out_row_is_asked_then_the_answer_is_scored_and_rescored(served, capsys):
    """The log is a file of stored completions: the rewards' own command reads it."""
    from rewards import __main__ as rewards_command

    url, log, _ = served()
    answer = json.loads(ask(url + "/v1/chat/completions", {"model": "any", "messages": [dict(ROW.prompt[0])]}))
    assert answer["choices"][0]["message"]["content"] == '{"price": 1}' and answer["model"] == "mine"
    (record,) = read_log(log)
    assert record["id"] == "row-1" and record["reward"] == 1.0 and record["stage"] == "served"
    assert rewards_command.main(["rescore", str(log), "--reward", "field_f1", "--json"]) == 0
    assert "field_f1" in capsys.readouterr().out


def test_endpoint_when_streamed_then_the_pieces_pass_and_the_whole_is_logged(served):
    """Server-sent events go through byte by byte."""
    url, log, _ = served()
    body = {"stream": True, "messages": [{"role": "user", "content": "Quanto?"}]}
    assert ask(url + "/v1/chat/completions", body).endswith("data: [DONE]\n\n")
    assert read_log(log)[0]["completion"] == '{"price": 1}'


def test_endpoint_when_the_request_brings_metadata_then_it_is_the_row_and_stays_here(served):
    """What the caller knows of the row scores the answer; the model is not told the reference."""
    url, log, seen = served()
    given = {"id": "mine-7", "task": "price", "reference": '{"price": 2}'}
    ask(url + "/v1/chat/completions", {"messages": [{"role": "user", "content": "?"}], "metadata": given})
    (record,) = read_log(log)
    assert record["id"] == "mine-7" and record["reward"] == 0.0 and "metadata" not in seen[0]


def test_endpoint_when_nothing_is_known_of_the_row_then_logged_without_a_reward(served):
    """No reference, no reward."""
    url, log, _ = served()
    ask(url + "/v1/chat/completions", {"messages": [{"role": "user", "content": "Outra coisa"}]})
    assert read_log(log)[0]["reward"] is None and read_log(log)[0]["reference"] is None


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/chat/completions", [1], 400),
        ("/v1/chat/completions", {"messages": []}, 400),
        ("/v1/chat/completions", {"messages": [{}], "n": 0}, 400),
        ("/v1/chat/completions", {"messages": [{}], "n": 3, "stream": True}, 400),
        ("/v1/chat/completions", {"messages": [{}], "temperature": float("nan")}, 400),
        ("/v1/chat/completions", b"[" * 100_000, 400),
        ("/v1/chat/completions", b"\xff", 400),
        ("/v1/chat/completions", None, 405),
        ("/v2", {}, 404),
        ("/v1/models/x", None, 404),
    ],
)
def test_endpoint_when_the_request_is_wrong_then_openais_shape_of_error(path, body, code, served):
    """Clients read error.message, error.type, error.param and error.code; the model is not asked."""
    url, _, seen = served()
    with pytest.raises(urllib.error.HTTPError) as refusal:
        ask(url + path, body)
    error = json.loads(refusal.value.read())["error"]
    assert refusal.value.code == code and error["message"] and error["type"] == "invalid_request_error"
    assert {"param", "code"} <= error.keys() and seen == []


@pytest.mark.parametrize("method", ("DELETE", "OPTIONS", "PUT"))
def test_endpoint_when_the_method_is_another_then_405_in_the_same_shape(method, served):
    """The library's own page of HTML is nothing a client can read."""
    url, _, _ = served()
    request = urllib.request.Request(url + "/v1/models", method=method)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    assert refusal.value.code == 405 and json.loads(refusal.value.read())["error"]["message"]


def test_endpoint_when_more_answers_are_wanted_than_written_at_once_then_asked_for_in_parts(served):
    """`n` is the caller's, slots are the server's: all come, numbered through, their tokens added, each in the log."""
    url, log, seen = served()
    body = {"messages": [{"role": "user", "content": "Quanto?"}], "n": 5, "seed": 10}
    answer = json.loads(ask(url + "/v1/chat/completions?x=1", body))
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3, 4]
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 15, "total_tokens": 22}
    assert [(part["n"], part["seed"]) for part in seen] == [(2, 10), (2, 12), (1, 14)]
    assert len(read_log(log)) == 5


def test_endpoint_when_one_model_is_asked_for_then_it_is_described(served):
    """openai's models.retrieve, with which clients find out whether a name is there."""
    url, _, _ = served()
    assert json.loads(ask(url + "/v1/models/mine"))["id"] == "mine"


def test_endpoint_when_a_caller_leaves_in_the_middle_of_a_request_then_nothing_is_printed(served, capfd):
    """Half a body, then silence: no traceback, and the next caller is served."""
    import socket

    url, _, seen = served()
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert json.loads(ask(url + "/health"))["status"] == "ok" and seen == []
    assert "Traceback" not in capfd.readouterr().err


def test_endpoint_when_a_token_is_set_then_nobody_passes_without(served):
    """Only whether it lives may be asked."""
    url, _, _ = served("secret")
    assert json.loads(ask(url + "/health"))["status"] == "ok"
    with pytest.raises(urllib.error.HTTPError) as refusal:
        ask(url + "/v1/models")
    assert refusal.value.code == 401
    assert json.loads(ask(url + "/v1/models", Authorization="Bearer secret"))["data"][0]["id"] == "mine"


def test_token_when_others_could_call_then_it_must_be_set(monkeypatch):
    """Loopback is the only address that needs none."""
    monkeypatch.delenv("RECOMPENSA_TOKEN", raising=False)
    assert command.find_token("127.0.0.1") is None and command.find_token("localhost") is None
    with pytest.raises(UserError, match="set RECOMPENSA_TOKEN"):
        command.find_token("0.0.0.0")


def test_serve_when_there_is_nothing_to_serve_then_exit_2(tmp_path, capsys):
    """The line says how to get something."""
    assert command.main([str(tmp_path / "none")]) == 2
    assert "python -m grpo.export" in capsys.readouterr().err
    assert command.main([str(tmp_path), "--port", "0"]) == 2
    (tmp_path / "config.json").write_text('{"config": {}}')
    capsys.readouterr()
    assert command.main([str(tmp_path), "--port", "0"]) == 2
    assert "a run, not an export" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"tools": [{"type": "function"}]}, True),
        ({"tools": [{"type": "function"}], "tool_choice": "none"}, False),
        ({"tools": []}, False),
        ({}, False),
    ],
)
def test_request_when_the_template_shows_no_tools_then_one_with_tools_is_refused(asked, refused):
    """An answer that silently ignored the caller's functions would look like a refusal of the model's."""
    body = {"messages": [{"role": "user", "content": "?"}], **asked}
    said = find_problem("/v1/chat/completions", body, 2, shows_tools=False)
    assert (said is not None and "does not show them" in said) is refused
    assert find_problem("/v1/chat/completions", body, 2) is None


def test_template_when_an_export_is_served_then_it_tells_whether_tools_are_shown(tmp_path):
    """Read from the template beside the weights; without one nothing is refused."""
    assert shows_tools(tmp_path, None)
    (tmp_path / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    assert not shows_tools(tmp_path, None)
    (tmp_path / "chat_template.jinja").write_text("{% if tools %}{{ tools | tojson }}{% endif %}")
    assert shows_tools(tmp_path, None)


def test_run_when_served_as_it_is_then_the_command_it_is_told_can_be_pasted(tmp_path):
    """A folder's name with a space is quoted."""
    run = tmp_path / "meu run"
    (run / "best").mkdir(parents=True)
    (run / "config.json").write_text('{"config": {"name": "x"}}')
    (run / "plan.json").write_text("{}")
    with (
        pytest.raises(UserError, match=rf"export '{run}' --to DIR"),
        open_backend(run, None, slots=1, context=8, vllm=False),
    ):
        pass


def test_endpoint_when_a_burst_of_callers_connects_then_none_is_refused(served):
    """A hundred clients at once, as an evaluation asks: each waits its turn, none is reset."""
    url, _, _ = served()
    begin, refused = threading.Event(), []

    def call() -> None:
        begin.wait()
        try:
            ask(url + "/v1/chat/completions", {"messages": [{"role": "user", "content": "?"}]})
        except OSError as fault:
            refused.append(repr(fault))

    callers = [threading.Thread(target=call) for _ in range(100)]
    for caller in callers:
        caller.start()
    begin.set()
    for caller in callers:
        caller.join()
    assert refused == []
