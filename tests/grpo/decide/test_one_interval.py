"""Six commands over the same rows print the same interval: evaluate, decide, report, compare, rescore, the run's console."""

import io
import json
from random import Random

import pytest

from callbacks.evaluation.pairs import pair_evaluations
from callbacks.evaluation.task_scores import evaluation_metrics, summarise
from callbacks.progress import Progress
from grpo.compare.__main__ import main as compare
from grpo.decide.__main__ import main as decide
from grpo.evaluate.summary import summarise_rows
from grpo.report.run_files import read_run
from grpo.report.tables import make_task_rows
from grpo.watch.snapshot import LiveRun
from rewards.__main__ import main as rewards

PLUGIN = '''
from rewards.decorator import reward

@reward(version="1")
def told(text: str) -> float:
    """The number that the completion is."""
    return float(text)
'''
TASKS = {"graded": 60, "right": 40}


def make_values(random, gain):
    """Of one task right or wrong, of the other anything."""
    graded = [round(min(1.0, random.betavariate(2, 3) + gain * random.random()), 3) for _ in range(TASKS["graded"])]
    return {"graded": graded, "right": [float(random.random() < 0.85 + gain / 2) for _ in range(TASKS["right"])]}


def make_rows(values):
    return [
        {
            "id": f"{task}-{place}", "task": task, "prompt": [{"role": "user", "content": f"{task} {place}"}],
            "completion": str(value), "reference": "1.0", "truncated": False, "reward": value, "repairs": [], "columns": {},
            "scores": {"told": {"value": value, "status": "value", "reason": "", "version": "1", "parts": {}}},
        }
        for task, each in values.items()
        for place, value in enumerate(each)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose judged checkpoint is step 9, with all its rows."""
    folder = tmp_path_factory.mktemp("one") / "run"
    (folder / "eval").mkdir(parents=True)
    random, metrics = Random(4), []
    start, end = make_values(random, 0.0), make_values(random, 0.2)
    last = make_values(random, 0.1)
    for stage, step, values in (("warmup", 0, start), ("final", 12, last), ("judged", 9, end)):
        rows = make_rows(values)
        (folder / "eval" / f"{stage}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        estimates = summarise([(row["task"], row["reward"]) for row in rows])
        metrics.append({"stage": stage, "step": step, **evaluation_metrics(estimates)})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    (folder / "judged.json").write_text(json.dumps({"step": 9}))
    config = {"decision": {"relative_to": "baseline"}, "rewards": {"functions": [{"name": "told"}], "plugins": []}}
    (folder / "config.json").write_text(json.dumps({"config": config, "profile": "gpu"}))
    (folder / "told.py").write_text(PLUGIN)
    return folder


def ask(command, arguments, capsys):
    assert command([str(word) for word in arguments]) in (0, 1)
    return json.loads(capsys.readouterr().out)


def test_mean_of_the_judged_checkpoint_when_six_commands_tell_it_then_its_interval_is_one(run, capsys):
    """What metrics.jsonl recorded, evaluate, decide, report, compare and rescore, to the last digit; the console to three."""
    rows = [json.loads(line) for line in (run / "eval" / "judged.jsonl").read_text().splitlines()]
    recorded = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    wanted = tuple(recorded[f"eval/mean_reward{end}"] for end in ("", "_low", "_high"))
    evaluated = [{**row, "tokens": 1, "metrics": {}, "stripped": [], "failure": None, "sample": 0} for row in rows]
    cell = summarise_rows(evaluated, 1)["results"]["all"]["reward"]
    answer = ask(decide, [run, "--json"], capsys)["answers"]["final_mean"]
    final = make_task_rows(read_run(run))[0]["final"]
    place = next(
        place
        for place in ask(compare, [f"{run}@warmup", run, "--json"], capsys)["leaderboard"]["places"]
        if "warmup" not in place["run"]
    )
    stages = ask(rewards, ["rescore", run, "--plugin", run / "told.py", "--json"], capsys)["stages"]
    stage = next(stage for stage in stages if stage["stage"] == "judged")
    found = {
        "evaluate": (cell["value"], cell["low"], cell["high"]),
        "decide": (answer["value"], answer["low"], answer["high"]),
        "report": (final.mean, final.low, final.high),
        "compare": (place["mean"], place["low"], place["high"]),
        "rescore": (stage["mean"], stage["low"], stage["high"]),
    }
    for command, ends in found.items():
        assert ends == pytest.approx(wanted, abs=1e-9), command
    stream = io.StringIO()
    Progress(stream=stream).show_evaluation("judged", summarise([(row["task"], row["reward"]) for row in rows]))
    assert f"{wanted[1]:.3f} to {wanted[2]:.3f}  100" in stream.getvalue()


@pytest.mark.parametrize("task", ["all", "graded", "right"])
def test_change_when_six_commands_tell_it_then_its_interval_is_one(run, capsys, task):
    """From the warm-up to the judged checkpoint, for all and for a task of either kind."""
    console = pair_evaluations(run / "eval" / "warmup.jsonl", run / "eval" / "judged.jsonl")[task]
    wanted = (console.mean, console.low, console.high)
    decision = ask(decide, [run, "--json"], capsys)
    node = next(
        node for node in decision["path"] if node["task"] == (None if task == "all" else task) and node["of_change"]
    )
    change = next(row for row in make_task_rows(read_run(run)) if row["task"] == task)["change"]
    group = task if task == "all" else f"task:{task}"
    compared = next(
        item
        for item in ask(compare, [f"{run}@warmup", run, "--json"], capsys)["differences"]
        if item["group"] == group and item["metric"] == "reward"
    )
    rescored = ask(rewards, ["rescore", run, "--plugin", run / "told.py", "--json"], capsys)["comparisons"][0]
    side = next(row for row in rescored["tasks"] if row["task"] == task)
    watched = next(row for row in LiveRun(run).read().tasks if row.task == task).since_warmup
    found = {
        "decide": (node["value"], node["low"], node["high"]),
        "report": (change.mean, change.low, change.high),
        "compare": (compared["delta"], compared["low"], compared["high"]),
        "rescore": (side["delta"], side["low"], side["high"]),
        "watch": (watched.mean, watched.low, watched.high),
    }
    assert (rescored["before"], rescored["after"]) == ("warmup", "judged")
    for command, ends in found.items():
        assert ends == pytest.approx(wanted, abs=1e-9), command


def test_verdict_when_commands_test_the_same_change_then_p_is_one(run, capsys):
    """compare and rescore give the same p."""
    compared = ask(compare, [f"{run}@warmup", run, "--json"], capsys)["differences"]
    rescored = ask(rewards, ["rescore", run, "--plugin", run / "told.py", "--json"], capsys)["comparisons"][0]["tasks"]
    for row in rescored:
        group = row["task"] if row["task"] == "all" else f"task:{row['task']}"
        item = next(item for item in compared if item["group"] == group and item["metric"] == "reward")
        assert item["p"] == pytest.approx(row["p"], abs=1e-9)
