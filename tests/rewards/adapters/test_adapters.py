"""Each adapter by the call that its trainer makes, over a YAML file and over a server; rows as `rewards rows` writes them."""

from __future__ import annotations

import asyncio
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rewards.__main__ import main
from rewards.adapters import areal, eval_protocol, nemo_gym, nemo_rl, skyrl, slime, source, swift, trl, verifiers, verl
from rewards.adapters.source import ScoringFailed, open_source
from rewards.adapters.trainer_rows import LAYOUTS
from rewards.config import RewardsSection
from rewards.errors import NetworkError, RewardBudgetExceeded, UserError
from rewards.functions.json_valid import JsonValid
from rewards.rows import read_rows
from rewards.serve.application import ServeSettings, make_application
from rewards.serve.scorers import make_scorer, read_section
from tests.rewards.serve.running import run_server

PLUGIN = """
from rewards.decorator import reward

@reward("near", tasks=["count"])
def near(text, reference, level):
    if "boom" in text: raise ValueError("boom on purpose")
    return level * (1.0 if text == reference else 0.5 if text else 0.0)
"""
ANSWER = '{"n": 4}'
ROW = {
    "id": "r1", "task": "count", "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}],
    "reference": ANSWER, "level": 0.8,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A plugin, a config that names it, and a file of rows."""
    folder = tmp_path_factory.mktemp("adapters")
    (folder / "near.py").write_text(PLUGIN)
    section = {"plugins": ["near.py"], "functions": [{"name": "near"}, {"name": "json_valid", "weight": 3}]}
    (folder / "rewards.yaml").write_text(yaml.safe_dump({"rewards": {**section, "error_budget": 1.0}}))
    (folder / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    return folder


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    section: RewardsSection = read_section(folder / "rewards.yaml")
    with run_server(make_application({"rewards": make_scorer("rewards", section, folder)}, ServeSettings())) as url:
        yield url


@pytest.fixture(params=["file", "url"])
def rewards(request, folder, address, monkeypatch) -> str:
    """RECOMPENSA_REWARDS as a file and as an address: both must give the same."""
    given = str(folder / "rewards.yaml") if request.param == "file" else address
    monkeypatch.setenv(source.VARIABLE, given)
    open_source.cache_clear()
    return given


def layout(name: str, folder: Path) -> dict[str, Any]:
    (example,) = read_rows(folder / "rows.jsonl")
    return json.loads(json.dumps(LAYOUTS[name][0](example, 0)))


RIGHT = (0.8 + 3) / 4  # near says 0.8 of the right answer, JSON it is
PARTS = {"near": 0.8, "json_valid": 1.0}


def test_trl_when_called_as_grpo_does_then_numbers_and_none(rewards, folder):
    """Columns are lists, completions are messages; a failure is None, and the metrics say how many."""
    row = layout("trl", folder)
    metrics: dict[str, float] = {}
    extra: dict[str, list[str]] = {}
    columns = {
        "row": [row["row"]] * 3, "trainer_state": None, "completion_ids": [[1]] * 3, "log_metric": metrics.__setitem__,
        "log_extra": extra.__setitem__,
    }  # fmt: skip
    completions = [[{"role": "assistant", "content": text}] for text in (ANSWER, "boom", '{"n": 5}')]
    scored = trl.make_reward(rewards)([row["prompt"]] * 3, completions, **columns)
    assert scored == pytest.approx([RIGHT, None, (0.4 + 3) / 4])
    assert metrics == pytest.approx({"rewards/near": 0.6, "rewards/json_valid": 2 / 3, "rewards/failed": 1 / 3})
    assert "boom on purpose" in extra["reason"][1]
    assert trl.reward(["Q"], [ANSWER], row=[row["row"]]) == pytest.approx([RIGHT])
    with pytest.raises(ScoringFailed, match="boom on purpose"):
        trl.make_reward(rewards, on_error="raise")([row["prompt"]], ["boom"], row=[row["row"]])


def test_verl_when_called_by_its_reward_loop_then_the_same_keys_each_time(rewards, folder):
    """Also for a task that a function does not apply to; a failure raises, or is told under a key."""
    row = layout("verl", folder)
    call = {"data_source": row["data_source"], "ground_truth": row["reward_model"]["ground_truth"], "config": rewards}
    extra = {**row["extra_info"], "num_turns": 2, "rollout_reward_scores": {}}
    result = asyncio.run(verl.compute_score(solution_str=ANSWER, extra_info=extra, **call))
    assert result == pytest.approx({"score": RIGHT, "acc": 0.0, "recompensa_error": 0.0, **PARTS})
    other = asyncio.run(verl.compute_score("other", ANSWER, ANSWER, {}, config=rewards))
    assert other.keys() == result.keys() and other["near"] == -1.0 and other["score"] == 1.0
    with pytest.raises(ScoringFailed):
        asyncio.run(verl.compute_score(solution_str="boom", extra_info=extra, **call))
    zero = asyncio.run(verl.compute_score(solution_str="boom", extra_info=extra, on_error="zero", **call))
    assert (zero["score"], zero["recompensa_error"]) == (0.0, 1.0) and zero.keys() == result.keys()


def test_slime_when_called_with_a_sample_or_a_group_then_numbers(rewards, folder):
    """`--custom-rm-path`; with a reward key, an object."""
    row = layout("slime", folder)
    sample = types.SimpleNamespace(
        prompt=row["prompt"],
        response=ANSWER,
        label=row["label"],
        metadata={},
        status=types.SimpleNamespace(value="completed"),
    )
    assert asyncio.run(slime.reward(types.SimpleNamespace(), sample)) == pytest.approx(RIGHT)
    keyed = types.SimpleNamespace(reward_key="score")
    assert asyncio.run(slime.reward(keyed, [sample, sample]))[1] == pytest.approx({"score": RIGHT, **PARTS})
    sample.response = "boom"
    with pytest.raises(ScoringFailed):
        asyncio.run(slime.reward(types.SimpleNamespace(), sample))


def test_areal_when_called_in_its_pool_then_the_end_of_turn_is_no_answer(rewards, folder):
    """Its completion is decoded with special tokens."""
    row = layout("areal", folder)
    assert areal.reward("<|im_start|>...", f"{ANSWER}<|im_end|>", [1], [2], **row) == pytest.approx(RIGHT)
    with pytest.raises(ScoringFailed):
        areal.reward("...", "boom", [1], [2], **row)


def test_verifiers_when_called_as_a_task_or_a_rubric_then_a_number(rewards, folder):
    """v1 gives a task and a trace, before that a Rubric gave its arguments by name."""
    row = layout("verifiers", folder)
    task = types.SimpleNamespace(data=types.SimpleNamespace(**row))
    assert asyncio.run(verifiers.reward(task, types.SimpleNamespace(last_reply=ANSWER))) == pytest.approx(RIGHT)
    said = [{"role": "assistant", "content": ANSWER}]
    number = verifiers.rubric_reward(prompt=row["prompt"], completion=said, answer=ANSWER, state={}, info=row["info"])
    assert asyncio.run(number) == pytest.approx(RIGHT)


def test_skyrl_when_an_answer_is_scored_then_reward_and_metadata(rewards, folder):
    """The row's further columns are the environment's extras."""
    row = layout("skyrl", folder)
    assert skyrl.score(row, row["prompt"], ANSWER)["reward"] == pytest.approx(RIGHT)
    with pytest.raises(ScoringFailed):
        skyrl.score(row, row["prompt"], "boom")


def test_swift_when_registered_then_its_class_gives_numbers(rewards, folder, monkeypatch):
    """By the classes that ms-swift documents."""
    module = types.ModuleType("swift.rewards")
    module.ORM, module.orms = type("ORM", (), {}), {}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "swift", types.ModuleType("swift"))
    monkeypatch.setitem(sys.modules, "swift.rewards", module)
    swift.register()
    row = layout("ms-swift", folder)
    made = module.orms["recompensa"]()  # type: ignore[attr-defined]
    scored = made([ANSWER, "boom"], messages=[row["messages"]] * 2, row=[row["row"]] * 2, is_truncated=[False, True])
    assert scored == pytest.approx([RIGHT, None])


def test_nemo_rl_when_a_batch_of_logs_is_given_then_rewards_are_a_tensor(rewards, folder):
    """The fields of its EnvironmentReturn."""
    pytest.importorskip("torch")
    row = layout("nemo-rl", folder)
    log = [*row["messages"], {"role": "assistant", "content": ANSWER}]
    made = nemo_rl.make_return([log, log], [row, row], {})
    assert made["rewards"].tolist() == pytest.approx([RIGHT] * 2) and made["terminateds"].all()


def test_eval_protocol_when_there_is_no_verdict_then_the_score_is_not_valid(rewards, folder):
    """Score and parts one to one."""
    row = layout("eval-protocol", folder)
    said = eval_protocol.describe(
        [*row["messages"], {"role": "assistant", "content": ANSWER}], ANSWER, {"row": row["row"]}
    )
    assert said["score"] == pytest.approx(RIGHT) and said["is_score_valid"] and said["metrics"]["near"]["score"] == 0.8
    bad = eval_protocol.describe(
        [*row["messages"], {"role": "assistant", "content": "boom"}], ANSWER, {"row": row["row"]}
    )
    assert not bad["is_score_valid"] and "boom on purpose" in bad["error"]


def test_nemo_gym_when_its_folder_calls_then_the_answer_is_the_servers(rewards, folder, address):
    """The exported app.py and the URL give the same."""
    import urllib.request

    body = {
        **layout("nemo-gym", folder),
        "response": {
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ANSWER}]}]
        },
    }
    here = asyncio.run(nemo_gym.verify(body, config=rewards))
    request = urllib.request.Request(
        f"{address}/verify", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == here
    assert here["reward"] == pytest.approx(RIGHT) and here["reward_components"] == pytest.approx(PARTS)


@pytest.mark.parametrize("name", ["openrlhf", "slime", "google", "aws"])
def test_rows_when_sent_as_a_trainer_sends_them_then_the_whole_row_arrives(name, folder, address):
    """The column `level` and the task reach the reward through the label."""
    import urllib.request

    row = layout(name, folder)
    path, body = {
        "openrlhf": lambda: ("/get_reward", {"query": ["PQ" + ANSWER], "prompts": ["PQ"], "labels": [row["label"]]}),
        "slime": lambda: ("/slime", {"prompt": row["prompt"], "response": ANSWER, "label": row["label"]}),
        "google": lambda: ("/google", {"example": row, "response": {"parts": [{"text": ANSWER}]}, "metadata": {}}),
        "aws": lambda: ("/aws", [{**row, "messages": [*row["messages"], {"role": "assistant", "content": ANSWER}]}]),
    }[name]()
    request = urllib.request.Request(address + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        said = json.load(answer)
    number = {
        "openrlhf": lambda: said["rewards"][0], "slime": lambda: said["score"], "google": lambda: said["reward"],
        "aws": lambda: said[0]["aggregate_reward_score"],
    }[name]()  # fmt: skip
    assert number == pytest.approx(RIGHT)


def test_openrlhf_when_a_server_is_not_the_first_then_its_empty_batch_is_answered(address):
    """With several addresses only the first gets the sample."""
    import urllib.request

    body = json.dumps({"query": [], "prompts": [], "labels": []}).encode()
    request = urllib.request.Request(f"{address}/get_reward", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == {"rewards": [], "scores": [], "extra_logs": {}}


def test_source_when_a_budget_is_exceeded_or_nobody_answers_then_an_exception_and_no_number(tmp_path):
    """In this process as on a server."""
    (tmp_path / "near.py").write_text(PLUGIN)
    section = {"plugins": ["near.py"], "functions": [{"name": "near"}], "error_budget_minimum": 1}
    (tmp_path / "rewards.yaml").write_text(yaml.safe_dump(section))
    row = source.make_row(ROW, None)
    with pytest.raises(RewardBudgetExceeded, match="boom on purpose"):
        open_source(str(tmp_path / "rewards.yaml")).score([(row, "boom", False)])
    with pytest.raises(NetworkError, match="is `rewards serve` running there"):
        open_source(url="http://127.0.0.1:9", seconds=0.5).score([(row, ANSWER, False)])
    with pytest.raises(UserError, match="give config= or url="):
        source.RewardSource()


def test_client_when_the_server_starts_again_with_other_rewards_then_it_refuses(folder, address):
    """The first pin that a client sees holds for its life."""
    client = open_source(url=address)
    client.score([(source.make_row(ROW, None), ANSWER, False)])
    client._client.pin = "0123456789ab"  # as that of the server before
    with pytest.raises(UserError, match="409"):
        client.score([(source.make_row(ROW, None), ANSWER, False)])


def test_ping_when_a_server_answers_then_names_its_rewards(address, capsys):
    """0 where all is well, 1 for another pin or nobody there, 2 for no address."""
    assert main(["ping", address, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["healthy"] and said["rewards"][0]["versions"] == {"near": "1", "json_valid": JsonValid.version}
    assert main(["ping", f"{address}/get_reward?pin=0123456789ab"]) == 1
    assert "not those of the pin" in capsys.readouterr().out
    assert main(["ping", "http://127.0.0.1:9"]) == 1
    assert main(["ping", "nowhere"]) == 2


def test_export_when_written_then_the_folder_is_whole_and_its_config_reads(folder, tmp_path, capsys):
    """Python that compiles, YAML with both servers, rewards with absolute paths; not over what is there."""
    place = tmp_path / "recompensa"
    assert main(["export", "nemo-gym", str(place), "--config", str(folder / "rewards.yaml")]) == 0
    compile((place / "app.py").read_text(), "app.py", "exec")
    assert set(yaml.safe_load((place / "configs/recompensa.yaml").read_text())) == {
        "recompensa",
        "recompensa_simple_agent",
    }
    assert read_section(place / "rewards.yaml").functions[1].weight == 3
    assert main(["export", "nemo-gym", str(place), "--url", "http://x:1"]) == 2
    assert main(["export", "nemo-gym", str(tmp_path / "y")]) == 2
    capsys.readouterr()


def test_rows_command_when_a_file_is_written_then_says_how_the_trainer_reads_it(folder, tmp_path, capsys):
    """JSON Lines, Parquet by the name, standard output without one."""
    rows = str(folder / "rows.jsonl")
    for name in LAYOUTS:
        assert main(["rows", "--for", name, "--input", rows]) == 0
        assert json.loads(capsys.readouterr().out)
    assert main(["rows", "--for", "verl", "--input", rows, "--output", str(tmp_path / "x.parquet")]) == 0
    assert "data.train_files=" in capsys.readouterr().err
    assert main(["rows", "--for", "verl"]) == 2
    assert main(["rows", "--plugin-path", "swift"]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()
