"""The HTTP interface: what it refuses, what it queues, what it tells, and that it keeps to its own OpenAPI."""

from __future__ import annotations

import subprocess
import time

import orjson
import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from grpo.service.access import AccessTokens
from grpo.service.application import make_application
from grpo.service.client import Client, ServiceUnreachable
from grpo.service.submission import make_runs, run_preflight_apart
from rewards.errors import UserError

SMALL = ["data.shop.train_rows=60", "data.shop.held_out_rows=20", "data.shop.warmup_rows=40", "threads=1"]


@pytest.fixture
def http(application):
    with TestClient(application, base_url="http://localhost") as client:
        yield client


def test_submit_when_a_config_is_right_then_runs_are_queued_with_their_names(http, queue):
    """A plain one, a group of seeds, a sweep; each as the list shows it."""
    answer = http.post("/v1/runs", json={"config": "v4_1.yaml", "name": "one"})
    assert answer.status_code == 201
    assert [run["id"] for run in answer.json()["runs"]] == ["one"]
    answer = http.post(
        "/v1/runs", json={"config": "v4_1", "name": "g", "seeds": [1, 2], "sweep": {"grpo.beta": [0, 0.1]}}
    )
    names = [run["id"] for run in answer.json()["runs"]]
    assert names == ["g-01-seed1", "g-01-seed2", "g-02-seed1", "g-02-seed2"]
    assert queue.ledger.find("g-02-seed1").overrides == ("grpo.beta=0.1", "seed=1")
    assert {run["group"] for run in answer.json()["runs"]} == {"g"}
    assert http.post("/v1/runs", json={"config": "v4_1", "name": "one"}).status_code == 409


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({}, "give either config or yaml"),
        ({"config": "v4_1", "yaml": "name: x"}, "give either config or yaml"),
        ({"config": "v9"}, "v9: no such file, and no shipped config of that name"),
        ({"config": "/etc/passwd"}, "not in an allowed folder"),
        (
            {"config": "v4_1", "name": "../x"},
            "name: cannot be read; allowed: letters without accents, digits and . _ -",
        ),
        ({"config": "v4_1", "name": "a\n"}, "name: cannot be read"),
        ({"config": "v4_1", "set": ["seed"]}, "set[0]: cannot be read; allowed: a change KEY=VALUE"),
        ({"config": "v4_1", "sweep": {"a b": [1]}}, "cannot be read; allowed: the name of a setting"),
        ({"config": "v4_1", "set": ["rewards.plugins=[/tmp/evil.py]"]}, "outside of the allowed folders"),
        ({"config": "v4_1", "set": ["rewards.plugins=[os]"]}, "os: not an installed plugin"),
        ({"config": "v4_1", "set": ["model.name=/etc"]}, "outside of the allowed folders"),
        ({"yaml": "extends: /etc/passwd\n"}, "not in an allowed folder"),
        ({"yaml": "model:\n  chat_template: ../../../secret\n"}, "outside of the allowed folders"),
        ({"config": "decision"}, "config decision needs the run it follows"),
        ({"config": "v4_1", "after": "nobody"}, "after: nobody: no such run"),
        (
            {"config": "v4_1", "seeds": list(range(32)), "sweep": {"seed": [1, 2]}},
            "the submission: 64 runs at once; at most 32",
        ),
    ],
)
def test_submit_when_something_is_wrong_then_422_says_what_and_nothing_is_queued(http, queue, body, line):
    """Every refusal is a line; a plugin or a path is refused before anything of it is read."""
    answer = http.post("/v1/runs", json=body)
    assert answer.status_code == 422
    assert line in "\n".join(answer.json()["problems"]), answer.json()
    assert queue.ledger.list() == []


def test_api_when_asked_wrongly_then_the_line_says_how_to_ask(http, queue):
    """A field that is none, a body without its header, an address that is none: what curl gets back is enough to go on."""
    unknown = http.post("/v1/runs", json={"config": "v4_1", "sets": ["seed=7"]})
    assert (unknown.status_code, unknown.json()["problems"][0]) == (422, "sets: no such field")
    assert unknown.json()["problems"][1].startswith("a submission's fields: name, config, yaml, set,")
    bare = http.post(
        "/v1/runs", content='{"config": "v4_1"}', headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert bare.status_code == 422 and "Content-Type: application/json" in bare.json()["problems"][0]
    for method, path, status in (("GET", "/v1/nothing", 404), ("DELETE", "/v1/runs", 405)):
        answer = http.request(method, path)
        assert answer.status_code == status and "/v1/openapi.json" in answer.json()["problems"][0]
    assert queue.ledger.list() == []


def test_submit_when_the_preflight_has_lines_then_422_has_them(queue, allowed, tmp_path):
    """The run's own dry run, in a process of its own, speaks."""
    path = allowed.folders[0] / "mine.yaml"
    path.write_text("extends: v4_1.yaml\ngrpo:\n  max_steps: -3\nrewards:\n  functions:\n    - name: sqll_qa\n")
    with TestClient(make_application(queue, allowed), base_url="http://localhost") as http:
        answer = http.post("/v1/runs", json={"config": str(path), "profile": "embedded"})
        assert answer.status_code == 422
        assert any("max_steps: -3 is not allowed" in line for line in answer.json()["problems"])
        good = {"yaml": "extends: v4_1.yaml\nname: mine\n", "profile": "embedded", "set": SMALL}
        answer = http.post("/v1/runs", json=good)
        assert answer.status_code == 201, answer.json()
        assert answer.json()["runs"][0]["id"].startswith("mine-")
        assert [path.name for path in (queue.kept / "configs").rglob("*.yaml")] == [
            f"{answer.json()['runs'][0]['id']}.yaml"
        ]


def test_cancel_and_resume_when_asked_then_the_states_follow(http, queue):
    """202 with the run as it is now; 409 where that state allows neither; 404 for what is not there."""
    http.post("/v1/runs", json={"config": "v4_1", "name": "a"})
    http.post("/v1/runs", json={"config": "v4_1", "name": "b"})
    assert http.post("/v1/runs/b/cancel").json()["state"] == "cancelled"
    assert http.post("/v1/runs/b/cancel").status_code == 409
    assert http.post("/v1/runs/b/resume").json()["state"] == "queued"
    deadline = time.monotonic() + 30
    while queue.ledger.find("a").state != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert http.post("/v1/runs/a/resume").status_code == 409
    assert http.post("/v1/runs/a/cancel").json()["state"] == "cancelling"
    assert http.post("/v1/runs/none/cancel").status_code == 404
    assert http.post("/v1/runs/..%2F..%2Fetc/cancel").status_code == 404


def test_show_when_a_run_was_started_by_hand_then_it_appears_with_its_numbers(http, root, write_run):
    """The folder is all there is of it: state, step, margin, tasks, steps, files, log, report."""
    write_run(root / "by hand", steps=60)
    [run] = http.get("/v1/runs").json()["runs"]
    assert (run["id"], run["state"], run["step"], run["queued"]) == ("by hand", "done", 60, False)
    detail = http.get("/v1/runs/by%20hand").json()
    assert {row["task"] for row in detail["tasks"]} == {"all", "extraction", "insights", "push", "sql_qa"}
    assert detail["decision"]["scenario"] and detail["steps"][0] == 10
    assert http.get("/v1/runs/by hand/files/metrics.jsonl").text.count("\n") > 60
    assert http.get("/v1/runs/by hand/files/..%2Fconfig.json").status_code == 404
    assert http.get("/v1/runs/by hand/report").status_code == 404
    assert http.get("/v1/runs/by hand/log").text == ""
    page = http.get("/v1/runs/by hand/steps/10/groups", params={"sort": "-mean", "limit": 1}).json()
    assert page["total"] >= 2 and len(page["groups"]) == 1 and page["groups"][0]["completions"][0]["completion"]


def test_secrets_when_they_are_in_a_config_or_a_log_then_they_are_not_shown(http, root, write_run, queue, monkeypatch):
    """By their name, their shape and the environment."""
    write_run(root / "r", steps=20)
    config = orjson.loads((root / "r" / "config.json").read_bytes())
    config["config"]["tracking"] = {"api_key": "abcdefgh12345", "note": "hf_abcdefghijklmnopqrstuv"}
    (root / "r" / "config.json").write_bytes(orjson.dumps(config))
    monkeypatch.setenv("MY_TOKEN", "veryprivatevalue")
    queue.process("r").note("used veryprivatevalue and api_key=abcdefgh12345")
    for path in ("", "/files/config.json", "/log", "/events?follow=false"):
        text = http.get(f"/v1/runs/r{path}").text
        assert "abcdefgh12345" not in text and "hf_abcdef" not in text and "veryprivatevalue" not in text, path
    assert "(hidden)" in http.get("/v1/runs/r/log").text


def test_events_when_a_run_is_followed_then_each_row_comes_once_and_goes_on_from_the_last_id(http, root, write_run):
    """State first, then metrics and watch events; an id given back skips what was seen."""
    write_run(root / "r", steps=20)
    client = http.get("/v1/runs/r/events?follow=false")
    assert client.headers["content-type"].startswith("text/event-stream")
    lines = client.text.splitlines()
    rows = (root / "r" / "metrics.jsonl").read_text().splitlines()
    assert sum(line == "event: metrics" for line in lines) == len(rows)
    assert "event: state" in lines
    last = [line for line in lines if line.startswith("id: ")][-1][4:]
    again = http.get("/v1/runs/r/events?follow=false", headers={"last-event-id": last}).text
    assert "event: metrics" not in again


def test_compare_when_both_have_evaluations_then_the_differences_are_told(http, root, write_run):
    """The first is the baseline; one without evaluations is a conflict with its line."""
    write_run(root / "a", steps=20)
    write_run(root / "b", steps=20)
    comparison = http.get("/v1/runs/a/compare/b").json()
    assert comparison["baseline"].startswith("a") and comparison["verdicts"], comparison.keys()
    (root / "c").mkdir()
    (root / "c" / "config.json").write_text("{}")
    assert http.get("/v1/runs/a/compare/c").status_code == 409


@pytest.fixture
def guarded(queue, allowed):
    """A service with a token to read and one to submit."""
    tokens = AccessTokens(read="r" * 20, submit="s" * 20)
    return make_application(queue, allowed, tokens=tokens, preflight=lambda *_: [])


def test_tokens_when_they_are_asked_for_then_each_opens_what_it_should(guarded):
    """None: 401 but for health; read: no changes; submit: all; a wrong one is none."""
    with TestClient(guarded, base_url="http://localhost") as http:
        assert http.get("/v1/health").status_code == 200
        assert http.get("/v1/runs").status_code == 401
        assert http.get("/v1/runs", headers={"authorization": "Bearer wrong"}).status_code == 401
        read, submit = ({"authorization": f"Bearer {letter * 20}"} for letter in "rs")
        assert http.get("/v1/runs", headers=read).status_code == 200
        assert http.post("/v1/runs", headers=read, json={"config": "v4_1"}).status_code == 403
        assert http.post("/v1/runs", headers=submit, json={"config": "v4_1"}).status_code == 201


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"origin": "http://localhost", "sec-fetch-site": "same-origin"}, 201),
    ],
)
def test_forgery_when_another_site_makes_the_request_then_it_is_refused(queue, allowed, headers, status):
    """A page elsewhere cannot start a run here, nor reach the service under a name of its own."""
    hosts = frozenset({"localhost"})
    app = make_application(queue, allowed, hosts=hosts, preflight=lambda *_: [])
    with TestClient(app, base_url="http://localhost") as http:
        assert http.post("/v1/runs", json={"config": "v4_1"}, headers=headers).status_code == status


def test_body_when_it_is_too_large_then_it_is_refused_unread(http):
    """A megabyte is more than any config."""
    assert http.post("/v1/runs", content=b" " * 1_100_000).status_code == 413


def test_client_when_a_service_listens_then_it_speaks_to_it(application, listen, root, write_run):
    """Submit, list, show, cancel, log, events and errors over a real port."""
    write_run(root / "old", steps=20)
    with listen(application) as service:
        client = Client(service.url)
        [run] = client.submit(config="v4_1.yaml", name="new")
        assert run["id"] == "new" and {run["id"] for run in client.list()} == {"new", "old"}
        assert client.show("old")["state"] == "done" and client.log("old") == ""
        names = [event.name for event in client.events("old")]
        assert names[0] == "state" and "metrics" in names
        with pytest.raises(UserError, match="v9: no such file"):
            client.submit(config="v9")
        assert client.cancel("new")["state"] in ("cancelled", "cancelling")
        done = subprocess.run(
            [__import__("sys").executable, "-m", "grpo.service.ps", "--url", service.url],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and "old" in done.stdout and "done" in done.stdout, done.stderr
    with pytest.raises(ServiceUnreachable, match="no service answers"):
        Client(service.url, seconds=2).list()


def test_submission_when_a_seed_or_a_value_differs_then_each_combination_is_proven_once(tmp_path, allowed):
    """Seeds change nothing that a preflight could find."""
    from grpo.service.submission import Submission

    proven = []
    submission = Submission.model_validate({"config": "v4_1", "seeds": [1, 2], "sweep": {"grpo.beta": [0.0, 0.1]}})
    runs = make_runs(submission, tmp_path, allowed, lambda config, overrides, profile: proven.append(overrides) or [])
    assert len(runs) == 4 and [list(each) for each in proven] == [
        ["grpo.beta=0.0", "seed=1"],
        ["grpo.beta=0.1", "seed=1"],
    ]


def test_preflight_when_a_config_is_right_then_it_has_nothing_to_say():
    """The same dry run that a user starts by hand."""
    assert run_preflight_apart("v4_1.yaml", SMALL, "embedded") == []


def test_openapi_when_random_requests_are_made_then_the_answers_keep_to_it(application, root, write_run):
    """schemathesis: every answer has a documented status, type and shape, and nothing ends in a server error."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    write_run(root / "r", steps=20)
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", application)
    # Whether a config is right is for its preflight to say, not for a schema.
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 13
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=12, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def check(case):
            if "id" in (case.path_parameters or {}) and hash(str(case.query)) % 2:
                case.path_parameters["id"] = "r"
            if case.operation.path.endswith("/events"):
                case.query = {**(case.query or {}), "follow": "false"}
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()


def test_state_when_a_run_by_hand_holds_its_lock_then_it_is_running_and_without_it_interrupted(http, root, write_run):
    """However long it has been silent; the lock is looked at and never taken."""
    import fcntl

    write_run(root / "r", steps=20)
    (root / "r" / "status.json").write_text('{"stage": "grpo", "step": 0, "finished": false}')
    with (root / "r" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert http.get("/v1/runs/r").json()["state"] == "running"
    assert http.get("/v1/runs/r").json()["state"] == "interrupted"


def test_cancel_when_there_is_nothing_to_stop_then_the_line_says_why(http, queue, root, write_run):
    """One that has ended says how; one that was started by hand says where it can be stopped."""
    http.post("/v1/runs", json={"config": "v4_1", "name": "one"})
    http.post("/v1/runs", json={"config": "v4_1", "name": "two", "after": "one"})
    assert http.post("/v1/runs/two/cancel").status_code == 202
    said = http.post("/v1/runs/two/cancel")
    assert (said.status_code, said.json()["problems"]) == (
        409,
        ["two: already ended (cancelled); there is nothing to stop"],
    )
    write_run(root / "by-hand")
    (root / "by-hand" / "status.json").unlink(missing_ok=True)
    said = http.post("/v1/runs/by-hand/cancel").json()["problems"]
    assert said == ["by-hand: running, but it was started by hand; stop it where it was started"]


def test_cancel_when_the_run_ends_meanwhile_then_the_line_says_how(http, queue, monkeypatch):
    """Between the look at the run and the order to stop."""
    http.post("/v1/runs", json={"config": "v4_1", "name": "one"})
    cancel = queue.cancel
    monkeypatch.setattr(queue, "cancel", lambda id: cancel(id) and None)
    [said] = http.post("/v1/runs/one/cancel").json()["problems"]
    assert said in ("one: already being stopped", "one: already ended (cancelled); there is nothing to stop")


def test_page_when_an_address_lacks_something_then_it_says_what_and_offers_what_there_is(http, root, write_run):
    """A missing question, a step that is not stored and a comparison without evaluations are told for a reader of pages."""
    html = {"accept": "text/html"}
    write_run(root / "one")
    assert "query.key: this field is missing" in http.get("/runs/one/prompt", headers=html).text
    steps = http.get("/v1/runs/one").json()["steps"]
    gone = http.get("/runs/one/steps/999999", headers=html)
    assert gone.status_code == 404 and "<h1>Not found</h1>" in gone.text
    assert f"are stored; the last that are: {', '.join(map(str, steps[-5:]))}" in gone.text
    (root / "young" / "eval").mkdir(parents=True)
    (root / "young" / "config.json").write_bytes((root / "one" / "config.json").read_bytes())
    page = http.get("/compare?a=one&b=young", headers=html).text
    assert "young: no evaluation" in page and str(root) not in page and "--stage" not in page


@pytest.mark.parametrize("page", ["", "/log", "/errors"])
def test_tabs_when_a_page_of_a_run_is_shown_then_they_are_the_same(http, root, write_run, page):
    """Held-out answers are one click away from every page of a run."""
    write_run(root / "one")
    assert "/runs/one/evals/" in http.get(f"/runs/one{page}", headers={"accept": "text/html"}).text


def test_submit_command_when_seeds_are_listed_then_spaces_and_commas_mean_the_same():
    """As `run --seeds 7,11` is written, and as a shell's words are."""
    from grpo.service.submit import make_parser, read_submission

    for words in (["7", "11"], ["7,11"]):
        assert read_submission(make_parser().parse_args(["v4_1", "--seeds", *words]))["seeds"] == [7, 11]
