"""The harness: suites as data, servers and failures in one go, hostile answers on the page, the table and the journal."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from grpo.evaluate.endpoint_writer import find_endpoint, read_answer_of
from grpo.harness.__main__ import main
from grpo.harness.session import list_sessions
from grpo.harness.suite import read_suite
from rewards.errors import RecompensaError, UserError

SUITE = """
name: small
prompts:
  - {id: a, category: calls, prompt: Weather in Oslo?, expect: {calls: [{name: get_weather, arguments: {city: Oslo}}]}}
  - {id: b, category: words, prompt: Say hello., expect: {keywords: [hello]}}
  - {id: c, category: words, prompt: Say goodbye., expect: {keywords: [goodbye]}}
"""
HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\u0007{{ 7 * 7 }}"


class Served(BaseHTTPRequestHandler):
    """Answers as its model's name says: right, hostile, or not at all."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked, model = body["messages"][-1]["content"], body["model"]
        message = {"content": f"hello and goodbye {HOSTILE if model == 'hostile' else ''}"}
        if "Oslo" in asked and model == "right":
            call = {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
            message = {"content": None, "tool_calls": [call]}
        content = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(404 if model == "broken" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def server():
    """An OpenAI-compatible server in this process."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}/v1"
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def home(server, tmp_path_factory):
    """The folder of a session in which three served models were asked, one of which fails."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "small.yaml").write_text(SUITE)
    models = [
        part for name in ("hostile", "right", "broken") for part in ("--endpoint", server, "--endpoint-model", name)
    ]
    assert main(["run", str(folder / "small.yaml"), *models, "--home", str(folder / "harness")]) == 1
    return folder


def test_run_when_a_model_fails_then_the_others_are_asked_and_it_stands_in_the_table(home, capsys):
    """With its status and what it said; calls that a server parsed are read as calls."""
    assert main(["table", str(home / "harness"), "--json"]) == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["right"]["status"] == "done" and rows["right"]["mean"] == 1.0 and rows["right"]["n"] == 3
    assert rows["hostile"]["mean"] == pytest.approx(2 / 3) and rows["hostile"]["against_baseline"] == "baseline"
    assert rows["broken"]["status"] == "failed" and rows["broken"]["mean"] is None and "404" in rows["broken"]["said"]
    assert rows["right"]["date"].startswith("20") and "paired" not in rows["right"]["said"]


def test_page_when_an_answer_is_hostile_then_it_is_text(home):
    """No tag of an answer's, no template of an answer's, no character that turns the line around."""
    (session,) = list_sessions(home / "harness")
    page = (session.folder / "report.html").read_text()
    assert "<script" not in page and "<img" not in page and "\u202e" not in page and "\u0007" not in page
    assert "&lt;script&gt;" in page and "{{ 7 * 7 }}" in page and "49" not in page.partition("{{ 7 * 7 }}")[0][-80:]
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert page.count("get_weather") >= 2 and "Did training hurt?" in page


def test_journal_when_written_then_says_what_came_of_each_model(home, capsys):
    """Means with intervals, the failure, the verdict."""
    assert main(["journal", str(home / "harness")]) == 0
    text = capsys.readouterr().out
    assert "- hostile: 0.667" in text and "the baseline" in text and "- broken: failed" in text
    assert "<script" not in text


def test_session_when_resumed_then_only_the_unfinished_are_asked(home, server, capsys):
    """What is done stays done."""
    (session,) = list_sessions(home / "harness")
    before = (session.folder / "right" / "rows.jsonl").stat().st_mtime_ns
    arguments = ["run", str(home / "small.yaml"), "--resume", str(session.folder)]
    assert main(arguments) == 1
    assert (session.folder / "right" / "rows.jsonl").stat().st_mtime_ns == before
    other = home / "other.yaml"
    other.write_text(SUITE.replace("hello", "hi"))
    assert main(["run", str(other), "--resume", str(session.folder)]) == 2
    assert "this session asks another suite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompts: []", "no prompts"),
        ("prompts: [{prompt: x}]", "expect: None; give an object with tools"),
        ("prompts: [{prompt: x, expect: {keyword: [a]}}]", "expect.keyword: no such expectation"),
        ("prompts: [{prompt: x, expect: {absent: [a]}}]", "absent alone"),
        ("prompts: [{prompt: x, expect: {code: 'import os'}}]", "imports os"),
        ("prompts: [{prompt: x, expects: {json: true}, expect: {json: true}}]", "expects: no such key"),
        ("prompts: [{prompt: ' ', expect: {json: true}}]", "prompt: a text is needed"),
        (
            "prompts: [{id: a, prompt: x, expect: {json: true}}, {id: a, prompt: y, expect: {json: true}}]",
            "appears twice",
        ),
        ("models: [x]\nprompts: []", "models: no such key"),
        ("prompts: [7]", "each prompt is an object"),
    ],
)
def test_suite_when_it_is_wrong_then_one_line_says_where(text, said, tmp_path):
    """Before any model is asked."""
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        read_suite(tmp_path / "s.yaml")
    assert said in str(error.value) and "s.yaml" in str(error.value)


def test_check_when_an_answer_of_the_suite_is_wrong_then_one(tmp_path, capsys):
    """A suite that marks its own answers down measures nothing; the shipped one does not."""
    path = tmp_path / "s.jsonl"
    path.write_text('{"id": "a", "prompt": "x", "answer": "good day", "expect": {"keywords": ["hello"]}}\n')
    assert main(["check", str(path)]) == 1
    assert "not said: hello" in capsys.readouterr().out
    assert main(["check", "starter"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--model: not given"),
        (["--endpoint", "http://x/v1"], "name one for each"),
        (["--endpoint", "nowhere", "--endpoint-model", "m"], "--endpoint nowhere: give the address"),
        (["--model", "./none"], "no such folder"),
        (["--model", "a", "--max-tokens", "0"], "--max-tokens 0"),
    ],
)
def test_run_when_asked_wrongly_then_one_line_and_two(arguments, said, tmp_path, capsys):
    """And nothing is begun."""
    assert main(["run", "starter", *arguments, "--home", str(tmp_path / "h")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "h").exists()


def test_endpoint_when_it_answers_with_no_completion_then_one_line(server):
    """Whatever a server sends."""
    for content in (b"", b"[]", b'{"choices": []}', b'{"choices": [{"message": {"content": 7}}]}'):
        with pytest.raises(RecompensaError, match="no chat completion"):
            read_answer_of(content, "http://x")
    assert find_endpoint("http://x:1/v1/chat/completions#a/b") == ("http://x:1/v1", "a/b")


def test_check_when_given_training_rows_then_it_counts_those_that_cover_each_prompt(tmp_path, capsys):
    """By functions that are called and keywords that are said; a prompt that was trained on is named."""
    (tmp_path / "small.yaml").write_text(SUITE)
    call = {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{city}?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
            ]
        }
        for city in ("Rome", "Lima")
    ] + [{"prompt": "say  HELLO.", "completion": "Hello you."}, {"x": 1}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["check", str(tmp_path / "small.yaml"), "--training", str(tmp_path / "train.jsonl")]
    assert main([*words, "--json"]) == 0
    covered = json.loads(capsys.readouterr().out)["coverage"]
    assert (covered["rows"], covered["unreadable"]) == (3, 1)
    assert [(each["id"], each["rows"], each["asked"]) for each in covered["prompts"]] == [
        ("a", 2, 0),
        ("b", 1, 1),
        ("c", 0, 0),
    ]
    assert covered["prompts"][2]["missing"] == ["goodbye"]
    assert main(words) == 0 and "NOT COVERED: no row has goodbye" in capsys.readouterr().out
