"""The server: scores equal those of the process, and every failure is what the policy says it is, never a number."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rewards.config import RewardsSection, build_host
from rewards.plugins import load_rewards
from rewards.rescore import list_stored, read_stored
from rewards.sample_rows import find_options, open_samples
from rewards.serve.application import ServeSettings, make_application
from rewards.serve.policy import OUTCOMES, POLICY
from rewards.serve.scorers import make_scorer
from rewards.types import Completion
from tests.timing import at_most

TestClient = pytest.importorskip("fastapi.testclient").TestClient

ROOT = Path(__file__).parents[3]
PLUGIN = """
import os, time
from rewards.decorator import reward

@reward("fickle")
def fickle(text):
    if "boom" in text: raise ValueError("boom on purpose")
    if "none" in text: return None
    if "slow" in text: time.sleep(1.5)
    return min(1.0, len(text) / 10)

@reward("rival", group=True)
def rival(texts):
    return [float(len(text) == max(map(len, texts))) for text in texts]
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "fickle_rewards.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return str(path)


@contextmanager
def serve(section: dict[str, Any], folder: Path | None = None, **settings: Any) -> Iterator[Any]:
    read = RewardsSection.model_validate(section)
    scorer = make_scorer("mine", read, folder or Path.cwd())
    application = make_application({"mine": scorer}, ServeSettings(**settings))
    with TestClient(application, base_url="http://localhost") as client:
        client.scorer, client.desk = scorer, application.state.desk
        yield client


def native(*texts: str, **more: Any) -> dict[str, Any]:
    return {"items": [{"completion": text} for text in texts], **more}


GYM = {
    "responses_create_params": {"input": [{"role": "user", "content": "Q"}]},
    "response": {
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "TEXT"}]}]
    },
    "id": "r1",
    "task": "t",
    "reference": "x",
}


def ask(client: Any, dialect: str, text: str) -> Any:
    """The same completion in each dialect."""
    bodies: dict[str, tuple[str, Any]] = {
        "native": ("/v1/score", native(text)),
        "openrlhf": ("/get_reward", {"query": ["Q" + text], "prompts": ["Q"], "labels": [{"reference": "x", "id": "1"}]}),
        "slime": ("/slime", {"prompt": "Q", "response": text, "label": "x"}),
        "nemo_gym": ("/verify", json.loads(json.dumps(GYM).replace("TEXT", text))),
        "google": (
            "/google",
            {"example": {"contents": [{"role": "user", "parts": [{"text": "Q"}]}], "references": {"answer": "x"}},
             "response": {"parts": [{"text": text}]}, "metadata": {"step": 1}},
        ),
        "aws": (
            "/aws",
            [{"id": "r1", "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": text}],
              "metadata": {"reference_answer": "x"}}],
        ),
    }  # fmt: skip
    path, body = bodies[dialect]
    return client.post(path, json=body)


DIALECTS = ("native", "openrlhf", "slime", "nemo_gym", "google", "aws")


def numbers_of(dialect: str, answer: Any) -> list[Any]:
    return {
        "native": lambda: [each["value"] for each in answer["results"]],
        "openrlhf": lambda: answer["rewards"],
        "slime": lambda: [answer["score"]],
        "nemo_gym": lambda: [answer["reward"]],
        "google": lambda: [answer["reward"]],
        "aws": lambda: [each["aggregate_reward_score"] for each in answer],
    }[dialect]()


def test_policy_when_a_function_gives_a_value_nothing_or_a_fault_then_each_dialect_says_so(plugin):
    """The table of the documentation, outcome by outcome, in every dialect."""
    section = {"plugins": [plugin], "functions": [{"name": "fickle"}], "error_budget": 1.0}
    with serve(section) as client:
        for dialect in DIALECTS:
            good = ask(client, dialect, "abcde")
            assert (good.status_code, numbers_of(dialect, good.json())) == (200, [0.5]), dialect
            for outcome, text in (("unscored", "none"), ("error", "boom")):
                answer = ask(client, dialect, text)
                assert answer.status_code == POLICY[dialect][outcome], (dialect, outcome)
                said = answer.json()
                if dialect == "native":
                    assert (said["results"][0]["status"], said["results"][0]["value"]) == (outcome, None)
                elif dialect == "nemo_gym":
                    assert said["mask_sample"] is True and said["reward"] == 0.0
                    assert ("_ng_failure_class" in said) == (outcome == "error")
                    assert outcome != "error" or "boom on purpose" in said["_ng_failure_judge_error"]
                else:
                    assert said["error"]["kind"] == outcome and not {"reward", "rewards", "score"} & said.keys()
                    assert outcome != "error" or "boom on purpose" in said["error"]["message"]
        assert client.post("/slime/number", json={"prompt": "Q", "response": "abcde"}).json() == 0.5
    assert all(set(row) == set(OUTCOMES) for row in POLICY.values())


def test_failure_when_it_may_count_as_zero_then_only_where_it_was_asked_for(plugin):
    """`--on-error zero` is for those who want it, and not for /v1/score."""
    section = {"plugins": [plugin], "functions": [{"name": "fickle"}], "error_budget": 1.0}
    with serve(section, zero_on_error=True) as client:
        assert ask(client, "slime", "boom").json()["score"] == 0.0
        assert ask(client, "native", "boom").json()["results"][0]["value"] is None


def test_budget_when_it_is_exceeded_then_all_is_refused_and_health_says_why(plugin):
    """503 in every dialect, with the function and the reason; the process goes on."""
    section = {"plugins": [plugin], "functions": [{"name": "fickle"}], "error_budget_minimum": 2}
    with serve(section) as client:
        assert client.get("/health").status_code == 200
        assert ask(client, "native", "boom").status_code == 200
        assert ask(client, "native", "boom").status_code == 503
        for dialect in DIALECTS:
            answer = ask(client, dialect, "fine")
            assert answer.status_code == 503 and answer.json()["error"]["kind"] == "over_budget"
            assert answer.headers["retry-after"]
        health = client.get("/health")
        assert health.status_code == 503 and "2 of 2 scores failed" in health.json()["faults"]["mine"]
        assert 'recompensa_healthy{rewards="mine"} 0.0' in client.get("/metrics").text


def test_deadline_when_scoring_takes_longer_then_503_before_the_client_gives_up(plugin):
    """The answer comes at the deadline, and what was late is not a number."""
    section = {"plugins": [plugin], "functions": [{"name": "fickle"}], "timeout_seconds": 5}
    with serve(section, seconds=0.4) as client:
        ask(client, "native", "warm up")
        with at_most(1.4, time.monotonic):
            answer = ask(client, "slime", "slow")
        assert answer.status_code == 503 and answer.json()["error"]["kind"] == "deadline"


def test_queue_when_it_is_full_then_429_or_503_and_what_waits_is_still_scored(plugin):
    """Requests are refused instead of kept: memory does not grow."""
    section = {"plugins": [plugin], "functions": [{"name": "fickle"}], "timeout_seconds": 5}
    with serve(section, most_waiting=2) as client:
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(client.post("/v1/score", json=native("slow", "ab"))))
        thread.start()
        while client.desk.waiting < 2:
            time.sleep(0.01)
        full, gym = ask(client, "native", "x"), ask(client, "nemo_gym", "x")
        assert (full.status_code, full.headers["retry-after"], gym.status_code) == (429, "1", 503)
        thread.join()
        assert [each["value"] for each in answers[0].json()["results"]] == [0.4, 0.2]


def test_process_when_it_is_killed_under_load_then_no_number_is_wrong(plugin):
    """Each answer is the right value or an error, and the server continues with a new process."""
    section = {"plugins": [plugin], "functions": [{"name": "fickle"}, {"name": "json_valid"}], "error_budget": 1.0}
    with serve(section, processes=2) as client:
        texts = [("a" * (n % 9 + 1)) for n in range(120)]
        right = {text: ask(client, "native", text).json()["results"][0]["value"] for text in set(texts)}
        assert None not in right.values()
        answers: list[tuple[str, Any]] = []

        def work(mine: list[str]) -> None:
            answers.extend((text, ask(client, "native", text).json()["results"][0]) for text in mine)

        threads = [threading.Thread(target=work, args=(texts[at::6],)) for at in range(6)]
        for thread in threads:
            thread.start()
        for process in client.desk.processes * 2:
            time.sleep(0.15)
            if process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert len(answers) == len(texts)
        for text, result in answers:
            assert result["value"] == (right[text] if result["status"] == "value" else None), (text, result)
            assert result["status"] in ("value", "error")
        assert ask(client, "native", "abc").json()["results"][0]["value"] == right["aaa"]


def test_pin_when_the_rewards_are_others_then_409_in_every_dialect(plugin):
    """Versions in the body, a pin in the address: a reward cannot change in mid-run unnoticed."""
    section = {"plugins": [plugin], "functions": [{"name": "fickle"}]}
    with serve(section) as client:
        pin = client.scorer.pin
        assert client.post(f"/slime?pin={pin}", json={"prompt": "Q", "response": "a"}).status_code == 200
        changed = client.post("/slime?pin=0123456789ab", json={"prompt": "Q", "response": "a"})
        assert changed.status_code == 409 and changed.json()["pin"] == pin and pin in changed.json()["error"]["message"]
        assert client.post("/v1/score", json=native("a", versions={"fickle": "1"})).status_code == 200
        for versions in ({"fickle": "2"}, {"other": "1"}):
            assert client.post("/v1/score", json=native("a", versions=versions)).status_code == 409
        answer = client.post("/v1/score", json=native("a"))
        assert answer.json()["versions"] == {"fickle": "1"} and answer.headers["x-recompensa-versions"] == "fickle=1"
    heavier = make_scorer(
        "mine", RewardsSection.model_validate({**section, "functions": [{"name": "fickle", "weight": 2}]}), Path()
    )
    assert heavier.pin != pin


def test_group_function_when_answers_come_one_by_one_then_only_whole_groups_are_scored(plugin):
    """A comparison of one answer with nothing would be a number without a meaning."""
    with serve({"plugins": [plugin], "functions": [{"name": "rival"}]}) as client:
        body = {"items": [{"id": "1", "completion": text} for text in ("a", "abc", "ab")]}
        assert numbers_of("native", client.post("/v1/score", json=body).json()) == [0.0, 1.0, 0.0]
        alone = ask(client, "slime", "a")
        assert alone.status_code == 409 and "rival" in alone.json()["error"]["message"]


def test_door_when_a_token_is_set_then_nobody_without_it_is_heard(plugin):
    """By header, or as the password of the address for trainers that send none; health stays open."""
    token = "0123456789abcdef"
    with serve({"plugins": [plugin], "functions": [{"name": "fickle"}]}, token=token) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/v1/rewards").status_code == client.get("/metrics").status_code == 401
        assert client.get("/v1/rewards", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert client.get("/v1/rewards", auth=("trainer", token)).status_code == 200
        for wrong in (f"Bearer {token}x", "Bearer ", f"Basic {token}", "x"):
            assert client.post("/v1/score", json=native("a"), headers={"Authorization": wrong}).status_code == 401


def test_door_when_a_body_or_its_type_is_wrong_then_is_refused_before_it_is_read(plugin):
    """415, 413, 422, 403 for another host, 404 and 405; always the same shape, nothing of the body in it."""
    with serve({"plugins": [plugin], "functions": [{"name": "fickle"}]}, most_bytes=2000) as client:
        answers = {
            415: client.post("/v1/score", content="{}", headers={"content-type": "text/plain"}),
            413: client.post("/v1/score", json=native("secret" * 1000)),
            422: client.post("/v1/score", json={"items": [{"completion": {"secret": 1}}]}),
            403: client.post("/v1/score", json=native("secret"), headers={"host": "evil.example:80"}),
            404: client.post("/nothing", json={}),
            405: client.get("/v1/score"),
        }
        for status, answer in answers.items():
            assert answer.status_code == status and set(answer.json()["error"]) == {"kind", "message"}
            assert "secret" not in answer.text
        broken = client.post("/v1/score", content=b'{"items": [{"comp', headers={"content-type": "application/json"})
        assert broken.status_code == 422
        assert client.post("/v1/score?rewards=other", json=native("a")).status_code == 404


def test_rows_when_they_name_a_database_outside_then_refused(tmp_path):
    """Who sends a row must not choose what the server opens."""
    inside, outside = tmp_path / "data", tmp_path / "other"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "shop.db").write_bytes(b"")
    item = {"completion": "SELECT 1", "task": "sql_qa", "reference": "SELECT 1", "columns": {"question": "?"}}
    with serve({"functions": [{"name": "json_valid"}]}, folder=inside, data=(inside,)) as client:
        for named, status in (
            ("shop.db", 200),
            ("../other/shop.db", 409),
            (str(outside / "shop.db"), 409),
            ("no.db", 409),
        ):
            row = {**item, "columns": {**item["columns"], "database": named}}
            assert client.post("/v1/score", json={"items": [row]}).status_code == status, named


def test_log_when_it_is_kept_then_rescore_reads_it_with_its_rewards(plugin, tmp_path, capsys):
    """The folder has the shape of a run; its files are for their owner alone."""
    from rewards.__main__ import main

    with serve(
        {"plugins": [plugin], "functions": [{"name": "fickle"}], "error_budget": 1.0}, log=tmp_path / "scored"
    ) as client:
        for dialect in DIALECTS:
            ask(client, dialect, "abcde")
        ask(client, "native", "boom")
    (path,) = list_stored(tmp_path / "scored").values()
    assert path.stat().st_mode & 0o077 == 0
    stored = read_stored(path)
    assert [row.reward for row in stored] == [0.5] * 6 + [None] and stored[1].example.reference == "x"
    assert main(["rescore", str(tmp_path / "scored"), "--json"]) == 1  # one score is an error, as it was
    assert json.loads(capsys.readouterr().out)


def sample_names() -> list[str]:
    return [entry.name for entry in load_rewards() if entry.distribution == "recompensa"]


@pytest.fixture(scope="module")
def all_built_ins() -> Iterator[Any]:
    """One server that holds every built-in function, each as rewards of its own name."""
    scorers = {}
    for name in sample_names():
        options = find_options(load_rewards().get(name))
        section = {"functions": [{"name": name, "options": options}], "error_budget": 1.0, "timeout_seconds": 20}
        scorers[name] = make_scorer(name, RewardsSection.model_validate(section), Path.cwd())
    application = make_application(scorers, ServeSettings(data=(Path(tempfile.gettempdir()), ROOT)))
    with TestClient(application, base_url="http://localhost") as client:
        client.scorers = scorers
        yield client


@pytest.mark.parametrize("name", sample_names())
def test_served_scores_when_compared_with_this_process_then_are_equal(name, all_built_ins):
    """On every sample row of every built-in: the reference, a cut one, and another row's; value, reason and parts."""
    client = all_built_ins
    with open_samples(load_rewards().get(name)) as examples:
        pairs = [
            (example, text)
            for at, example in enumerate(examples)
            for text in (example.reference or "", (example.reference or "")[:-3], examples[at - 1].reference or "")
        ]
        with build_host(client.scorers[name].section) as host:
            here = [
                None if host.problems(host.functions[0], example) else host.score([(example, Completion(text))])[0]
                for example, text in pairs
            ]
        body = {
            "rewards": name,
            "items": [
                {"id": example.id, "task": example.task, "prompt": [dict(turn) for turn in example.prompt],
                 "reference": example.reference, "columns": dict(example.columns), "completion": text}
                for example, text in pairs
            ],
        }  # fmt: skip
        answer = client.post("/v1/score", json=body)
    assert answer.status_code == 200, answer.text[:500]
    for mine, served in zip(here, answer.json()["results"], strict=True):
        if mine is None:
            assert served["status"] == "bad_row" and served["value"] is None
            continue
        (outcome,) = mine.outcomes
        assert served["value"] == mine.reward
        said = served["functions"][name]
        assert (said["status"], said["value"], said["reason"], said["parts"]) == (
            outcome.status, outcome.value, outcome.reason, dict(outcome.parts),
        )  # fmt: skip


def test_graders_run_when_a_grader_comes_with_the_request_then_gives_its_number_and_runs_no_code(plugin):
    """OpenAI's shape of answer; code, judges and what cannot be read are refused with a line."""
    path = "/v1/fine_tuning/alpha/graders/run"
    check = {
        "type": "string_check", "name": "c", "operation": "ilike", "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
    }  # fmt: skip
    multi = {"type": "multi", "name": "m", "graders": {"a": check}, "calculate_output": "a / 2"}
    with serve({"plugins": [plugin], "functions": [{"name": "fickle"}]}) as client:
        body = {"grader": multi, "item": {"answer": "paris"}, "model_sample": "It is Paris"}
        said = client.post(path, json=body).json()
        assert (said["reward"], said["sub_rewards"], said["metadata"]["type"]) == (0.5, {"a": 1.0}, "multi")
        assert not any(said["metadata"]["errors"].values())
        code = {"type": "python", "source": "def grade(sample, item): return 1.0"}
        judge = {"type": "score_model", "model": "m", "input": []}
        for grader, status in (
            (code, 409),
            (judge, 409),
            ({"type": "x"}, 409),
            ({**multi, "calculate_output": "a/0"}, 500),
        ):
            answer = client.post(path, json={**body, "grader": grader})
            assert answer.status_code == status and "reward" not in answer.json(), grader
        assert client.post(path, json={**body, "item": {}}).status_code == 409
        assert client.post(path.replace("run", "validate"), json={"grader": multi}).json() == {"grader": multi}
