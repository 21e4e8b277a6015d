"""Rescoring stored completions: pairing, refusals, and the command over a run's folder."""

from __future__ import annotations

import json
from math import erfc, sqrt
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rewards.__main__ import main
from rewards.errors import UserError
from rewards.host.scoring import RewardHost
from rewards.rescore import (
    check_comparable,
    compare,
    find_unfit,
    list_stored,
    new_verdicts,
    old_verdicts,
    read_stored,
    rescore,
)  # fmt: skip
from rewards.types import Completion, Example, RewardFunction, Score


class Length(RewardFunction):
    """A tenth a letter; the column `unit` changes it."""

    name: ClassVar[str] = "length"
    version: ClassVar[str] = "2"

    def problems(self, example: Example) -> list[str]:
        return [] if "unit" in example.columns else ["unit: missing"]

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(min(1.0, len(completion.text) * example.columns["unit"]))


def record(id: str, text: str, *, version: str = "2", task: str = "t", **more: Any) -> dict[str, Any]:
    """A stored completion that had earned a half."""
    return {
        "id": id, "task": task, "prompt": [{"role": "user", "content": f"? {id}"}], "completion": text, "reference": "abcde",
        "truncated": False, "reward": 0.5, "repairs": [], "step": 0, "stage": "x", "columns": {"unit": 0.1},
        "scores": {"length": {"value": 0.5, "status": "value", "reason": "", "version": version, "parts": {}}}, **more,
    }  # fmt: skip


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def host():
    return RewardHost([Length()])


def verdicts(host: RewardHost, path: Path, name: str = ""):
    return new_verdicts(rescore(host, name or path.stem, read_stored(path)))


def test_compare_when_answers_grow_then_pairs_them_by_id_in_any_order(host, tmp_path):
    """a: 0.2 -> 0.6 gains, b: 0.4 -> 0.4 fails twice; the mean change is 0.2."""
    before = verdicts(host, write(tmp_path / "a.jsonl", record("a", "xx"), record("b", "xxxx")))
    after = verdicts(host, write(tmp_path / "b.jsonl", record("b", "yyyy"), record("a", "yyyyyy")))
    check_comparable(before, after)
    (row,) = compare(before, after, threshold=0.5)
    assert (row.task, row.n) == ("all", 2)
    assert (row.before, row.after, row.change.mean) == pytest.approx((0.3, 0.5, 0.2))
    assert (row.passes.gained, row.passes.lost, row.passes.neither) == (1, 0, 1)


def test_compare_when_an_example_has_several_completions_then_their_mean_counts(host, tmp_path):
    """A group of rollouts is one example."""
    before = verdicts(host, write(tmp_path / "a.jsonl", record("a", "xx"), record("a", "xxxx")))
    after = verdicts(host, write(tmp_path / "b.jsonl", record("a", "xxxxx")))
    (row,) = compare(before, after, threshold=0.5)
    assert row.n == 1 and row.change.mean == pytest.approx(0.2)


def test_compare_when_there_are_tasks_then_all_and_each(host, tmp_path):
    """Tasks in alphabetical order after all of them."""
    rows = [record("a", "xx", task="u"), record("b", "xx")]
    side = verdicts(host, write(tmp_path / "a.jsonl", *rows))
    assert [row.task for row in compare(side, side, threshold=0.5)] == ["all", "t", "u"]


def test_check_when_versions_differ_then_refuses_and_names_them(host, tmp_path):
    """Scores of different versions must never be compared, unless told."""
    path = write(tmp_path / "final.jsonl", record("a", "xx", version="1"))
    old, new = old_verdicts("then", read_stored(path)), verdicts(host, path)
    with pytest.raises(UserError, match="scores of different versions: 'length' 1 and 2"):
        check_comparable(old, new)
    check_comparable(old, new, different_versions=True)


def test_check_when_ids_or_prompts_differ_then_refuses_both(host, tmp_path):
    """The same id with another prompt is another example."""
    before = verdicts(host, write(tmp_path / "a.jsonl", record("a", "xx"), record("b", "x")))
    other = record("b", "x") | {"prompt": [{"role": "user", "content": "another"}]}
    after = verdicts(host, write(tmp_path / "b.jsonl", other, record("c", "x")))
    with pytest.raises(UserError) as caught:
        check_comparable(before, after)
    assert ["only in one of the two (a, c)" in line for line in caught.value.problems] == [True, False]
    assert "different prompts or references (b)" in caught.value.problems[1]
    check_comparable(before, after, different_ids=True)
    assert compare(before, after, threshold=0.5)[0].n == 0


def test_old_verdicts_when_a_file_mixes_versions_then_refuses(tmp_path):
    """A mean over two versions is none."""
    path = write(tmp_path / "a.jsonl", record("a", "x", version="1"), record("b", "x", version="2"))
    with pytest.raises(UserError, match="different versions"):
        old_verdicts("a", read_stored(path))
    assert old_verdicts("a", read_stored(path), different_versions=True).versions == {"length": "1, 2"}


def test_rescored_rows_when_written_then_keep_everything_but_the_scores(host, tmp_path):
    """A rescored file is a file of stored completions."""
    (row,) = rescore(host, "a", read_stored(write(tmp_path / "a.jsonl", record("a", "xxx", group=4)))).records()
    assert row["group"] == 4 and row["reward"] == pytest.approx(0.3) and row["scores"]["length"]["version"] == "2"


def test_stored_row_when_columns_are_missing_then_rows_bring_them(host, tmp_path):
    """Runs of before had no columns in their records."""
    bare = record("a", "xxx")
    del bare["columns"]
    path = write(tmp_path / "a.jsonl", bare)
    assert find_unfit(host, read_stored(path))[0].endswith("a.jsonl:1: reward 'length': unit: missing")
    assert find_unfit(host, read_stored(path, {"a": {"unit": 0.1}})) == []


def test_to_record_when_a_row_has_columns_then_they_are_stored_and_read_back(host, tmp_path):
    """What the host stores, another reward can score."""
    example = Example("a", "t", [{"role": "user", "content": "?"}], "abc", {"unit": 0.1})
    stored = host.to_record(host.score([(example, Completion("xx"))])[0])
    (row,) = read_stored(write(tmp_path / "a.jsonl", stored))
    assert row.example == example and row.reward == pytest.approx(0.2) and row.versions == {"length": "2"}


def test_list_stored_when_a_run_has_stages_then_in_the_order_of_the_run(tmp_path):
    """before, warmup, steps, final, then the rollouts."""
    for name in (
        "eval/final",
        "eval/step-000100",
        "eval/step-000050",
        "eval/before",
        "eval/warmup",
        "completions/step-000010",
    ):
        write(tmp_path / f"{name}.jsonl", record("a", "x"))
    assert list(list_stored(tmp_path, training=True)) == [
        "before", "warmup", "step-000050", "step-000100", "final", "train/step-000010",
    ]  # fmt: skip
    with pytest.raises(UserError, match="no stored completions"):
        list_stored(tmp_path / "nowhere")


@pytest.fixture
def run_folder(tmp_path) -> Path:
    """A run with JSON answers: the first halves of its examples become right."""
    for stage, right in (("warmup", 0), ("final", 6)):
        rows = []
        for n in range(10):
            reference = json.dumps({"n": n})
            answer = reference if n < right else json.dumps({"n": n + 1})
            rows.append(record(f"e{n}", answer, version="1") | {"reference": reference, "columns": {}})
        write(tmp_path / "run" / "eval" / f"{stage}.jsonl", *rows)
    config = {"config": {"rewards": {"functions": [{"name": "field_f1", "weight": 1.0}]}}}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    return tmp_path / "run"


def test_rescore_command_when_stages_are_compared_then_gives_change_interval_and_p(capsys, run_folder, tmp_path):
    """Six of ten rise by 1: Tango's score test for 0 is McNemar's, chi-square 6; the run's own rewards are the default."""
    assert main(["rescore", str(run_folder), "--json", "--output", str(tmp_path / "out")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer["rewards"]) == ["field_f1"]
    (comparison,) = answer["comparisons"]
    (row,) = comparison["tasks"]
    assert (comparison["before"], comparison["after"]) == ("warmup", "final")
    assert (row["n"], row["delta"], row["gained"], row["lost"]) == (10, 0.6, 6, 0)
    assert row["p"] == pytest.approx(erfc(sqrt(6.0) / sqrt(2.0)))
    assert 0 < row["low"] < 0.6 < row["high"] < 1
    written = (tmp_path / "out" / "final.jsonl").read_text().splitlines()
    assert [json.loads(line)["reward"] for line in written] == [1.0] * 6 + [0.0] * 4


def test_rescore_command_when_run_twice_then_says_the_same(capsys, run_folder):
    """The formula draws nothing."""
    texts = []
    for _ in range(2):
        assert main(["rescore", str(run_folder)]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and "+0.6000" in texts[0]


def test_rescore_command_when_stored_scores_are_of_another_function_then_refuses(capsys, run_folder):
    """Exit 2 and one line a stage; told so, it compares."""
    assert main(["rescore", str(run_folder), "--stored"]) == 2
    assert "--allow-different-versions" in capsys.readouterr().err
    assert main(["rescore", str(run_folder), "--stored", "--allow-different-versions"]) == 0


def test_rescore_command_when_only_one_task_is_asked_for_then_other_functions_do_not_count(capsys, run_folder):
    """A function of the run that none of the rows is for has no version to differ."""
    config = {"config": {"rewards": {"functions": [{"name": "field_f1"}, {"name": "push"}]}}}
    (run_folder / "config.json").write_text(json.dumps(config))
    for name in ("warmup", "final"):
        path = run_folder / "eval" / f"{name}.jsonl"
        assert main(["rescore", str(run_folder), "--output", str(run_folder / "eval")]) == 0
        assert json.loads(path.read_text().splitlines()[0])["scores"]["push"]["status"] == "unscored"
    capsys.readouterr()
    assert main(["rescore", str(run_folder), "--stored", "--task", "t", "--json"]) == 0
    comparison = json.loads(capsys.readouterr().out)["comparisons"][0]
    assert comparison["versions"]["before"].keys() == comparison["versions"]["after"].keys() == {"field_f1"}
    assert comparison["tasks"][0]["delta"] == 0.0


def test_rescore_command_when_one_file_of_a_run_is_named_then_uses_the_rewards_of_the_run(capsys, run_folder):
    """`eval/final.jsonl` lies in its run."""
    assert main(["rescore", str(run_folder / "eval" / "final.jsonl"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer["rewards"]) == ["field_f1"] and answer["comparisons"] == []
    (run_folder / "config.json").unlink()
    assert main(["rescore", str(run_folder / "eval" / "final.jsonl")]) == 2
    assert "name a function with --reward" in capsys.readouterr().err


def test_rescore_command_when_the_audit_masked_a_field_then_it_stays_masked(capsys, run_folder):
    """Else the same function would give other scores than the run's."""
    for name in ("warmup", "final"):
        row = record("e", '{"n": 2, "k": 1}') | {"reference": '{"n": 1, "k": 1}', "columns": {}}
        write(run_folder / "eval" / f"{name}.jsonl", row)
    for masked, value in (({}, 0.5), ({"field_f1": ["n"]}, 1.0)):
        (run_folder / "audit.json").write_text(json.dumps({"masked": masked}))
        assert main(["rescore", str(run_folder), "--json"]) == 0
        assert [stage["mean"] for stage in json.loads(capsys.readouterr().out)["stages"]] == [value, value]


def test_rescore_command_when_two_runs_differ_in_rows_then_refuses(capsys, run_folder, tmp_path):
    """Other examples prove nothing, unless told."""
    write(tmp_path / "other" / "eval" / "final.jsonl", record("e0", "{}") | {"reference": '{"n": 0}'})
    command = ["rescore", str(run_folder), "--against", str(tmp_path / "other"), "--reward", "field_f1"]
    assert main(command) == 2
    assert "9 examples are only in one of the two" in capsys.readouterr().err
    assert main([*command, "--allow-different-ids"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threshold", "2"], "--threshold: 2"),
        (["--from", "nostage"], "--from: no stage 'nostage'; there are: warmup, final"),
        (["--reward", "push"], "no row that push can score"),
        (["--task", "nothing"], "its tasks are t"),
        (["--stored", "--against", "x"], "--stored: compares a run with itself"),
    ],
)
def test_rescore_command_when_misused_then_one_line_and_exit_2(capsys, run_folder, arguments, said):
    """No traceback."""
    assert main(["rescore", str(run_folder), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_score_and_rescore_when_given_one_file_then_give_the_same(capsys, tmp_path):
    """Columns at the top of the rows, references from another file, rows with and without a task."""
    rows = [
        {"id": "a", "task": "push", "prompt": "p", "product": "kit", "offer": "frete grátis", "reference": "Kit com frete grátis só hoje!", "completion": "Kit com frete grátis!"},
        {"id": "b", "prompt": "p", "product": "mesa", "offer": "10%", "reference": "Mesa com 10% só hoje!", "completion": "Mesa 😍 com 10% só hoje, aproveite!"},
        {"id": "c", "task": "extraction", "prompt": "p", "completion": "{}"},
    ]  # fmt: skip
    path = write(tmp_path / "answers.jsonl", *rows)
    assert main(["score", "--reward", "push", "--input", str(path)]) == 0
    single = [json.loads(line)["value"] for line in capsys.readouterr().out.splitlines()]
    assert main(["rescore", str(path), "--reward", "push", "--json"]) == 0
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert single[2] is None and stage["scored"] == 2
    assert stage["mean"] == pytest.approx(sum(single[:2]) / 2) and stage["mean"] > 0


def test_rescore_command_when_rows_are_none_that_a_run_reads_then_refuses_them_by_their_lines(capsys, tmp_path):
    """What is missing there may be missing; ids come once in all files, and what is there is as a run wants it."""
    answers = write(tmp_path / "answers.jsonl", {"id": "a", "prompt": "p", "completion": "x"})
    good, bad = {"id": "a", "reference": "x"}, [{"reference": "x"}, {"id": 7}, {"id": "b", "prompt": "p"}]
    rows = write(tmp_path / "rows.jsonl", good, good, *bad)
    assert main(["rescore", str(answers), "--reward", "text_overlap", "--rows", str(rows)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [f"{rows}:{number}" for number in (2, 3, 4, 5)]
    once = write(tmp_path / "once.jsonl", good)
    assert main(["rescore", str(answers), "--reward", "text_overlap", "--rows", str(once), "--rows", str(once)]) == 2
    assert "id 'a' also appears in an earlier --rows file" in capsys.readouterr().err


def test_rescore_command_when_references_are_missing_then_rows_bring_them(capsys, tmp_path):
    """By id; and figures that are not means of scores stand beside the mean."""
    answers = write(tmp_path / "answers.jsonl", {"id": "a", "prompt": "p", "completion": "o pedido chegou bem ontem"})
    rows = write(tmp_path / "rows.jsonl", {"id": "a", "reference": "o pedido chegou bem hoje"})
    assert main(["rescore", str(answers), "--reward", "text_overlap", "--json"]) == 2
    assert "reference: missing" in capsys.readouterr().err
    arguments = ["rescore", str(answers), "--reward", "text_overlap:measure=bleu", "--rows", str(rows), "--json"]
    assert main(arguments) == 0
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert stage["mean"] == pytest.approx(stage["figures"]["text_overlap"]["corpus_bleu"])


def test_rescore_command_when_the_run_has_a_plugin_then_it_is_found_without_being_named(capsys, run_folder, tmp_path):
    """Alone, with `--reward`, beside built-ins; and when its file is gone, a line says which function that was."""
    plugin = tmp_path / "halves.py"
    plugin.write_text(
        "from rewards.decorator import reward\n@reward('halves', version='3')\ndef halves(text):\n    return 0.5\n"
    )
    config = {"config": {"rewards": {"plugins": [str(plugin)], "functions": [{"name": "halves"}]}}}
    (run_folder / "config.json").write_text(json.dumps(config))
    for named in ([], ["--reward", "halves"], ["--reward", "halves", "--reward", "json_valid"]):
        assert main(["rescore", str(run_folder), *named, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["rewards"]["halves"] == "3"
        assert found["stages"][0]["mean"] == (0.75 if len(named) > 2 else 0.5)
    plugin.unlink()
    assert main(["rescore", str(run_folder), "--reward", "halves"]) == 2
    assert "no reward function 'halves'" in capsys.readouterr().err
    assert main(["rescore", str(run_folder)]) == 2
    assert f"no such file: {plugin}" in capsys.readouterr().err
