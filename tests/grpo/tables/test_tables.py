"""`recompensa tables`: by split, by layer, split x layer, raw beside normalised, and what changed; each cell with n and interval."""

from __future__ import annotations

import csv
import json

import pytest

from grpo.tables.__main__ import main
from rewards.statistics.estimates import interval_of

GOLD = {
    "scope": {"sliceId": {"sst": 1, "plmnId": {"mcc": "001", "mnc": "01"}}},
    "sliceSlaObjectives": {"maxNumberOfUes": 50},
}
SPLITS = ("test_sector_ood", "test_in_distribution")


def row(number, split, layer, right, **more):
    """A stored completion of a run, without the metrics of an evaluation."""
    answer = json.dumps(GOLD if right else {**GOLD, "sliceSlaObjectives": {"maxNumberOfUes": 7}})
    return {
        "id": f"{split}-{layer}-{number}", "task": layer, "prompt": [{"role": "user", "content": str(number)}],
        "completion": answer, "reference": json.dumps(GOLD), "truncated": False, "reward": 1.0 if right else 0.4,
        "scores": {}, "columns": {"split": split, "target_layer": layer, "max_ues": 50}, **more,
    }  # fmt: skip


@pytest.fixture
def stages(tmp_path):
    """Two runs of 2 splits x 2 layers x 10 rows: the second is right where the first was not, but for one layer."""

    def write(name, right):
        folder = tmp_path / name / "eval"
        folder.mkdir(parents=True)
        rows = [
            row(number, split, layer, right(number, layer))
            for split in SPLITS for layer in ("a1_policy", "o1_nrm") for number in range(10)
        ]  # fmt: skip
        (folder / "final.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
        return tmp_path / name

    return write("one", lambda number, layer: number < 5), write(
        "two", lambda number, layer: number < 5 or layer == "o1_nrm"
    )


def tables(*arguments, capsys):
    assert main([*map(str, arguments), "--json"]) == 0
    return {table["name"]: table for table in json.loads(capsys.readouterr().out)}


def test_tables_when_a_run_stored_its_answers_then_every_metric_is_measured(stages, capsys):
    """Half of the rows right: exact 0.5 of 40, with the interval that evaluate gives; splits in the paper's order."""
    found = tables(stages[0], capsys=capsys)
    assert list(found) == ["overall", "by_split", "by_layer", "split_x_layer_one", "raw"]
    exact = found["overall"]["rows"][0]["exact"]
    assert (exact["value"], exact["n"]) == (0.5, 40) and 0.3 < exact["low"] < 0.5 < exact["high"] < 0.7
    split = found["by_split"]["rows"][0]
    wanted = interval_of(0.5, 20, (0.25 * 20 / 19) ** 0.5)
    assert split["split"] == "test_in_distribution" and split["exact"]["n"] == 20
    assert (split["exact"]["low"], split["exact"]["high"]) == pytest.approx((wanted.low, wanted.high))


def test_split_x_layer_when_drawn_then_each_cell_has_its_rows_and_interval(stages, capsys):
    """Ten rows a cell, of which five have all of the paths and four fifths of the values."""
    rows = tables(stages[0], capsys=capsys)["split_x_layer_one"]["rows"]
    assert [each["layer"] for each in rows] == ["a1_policy", "o1_nrm"]
    cell = rows[0]["test_sector_ood"]
    assert cell["n"] == 10 and cell["low"] < cell["value"] < cell["high"]


def test_changes_when_two_stages_are_given_then_they_are_paired_and_marked_beyond_the_noise(stages, capsys):
    """Ten of o1_nrm's twenty rows became right; nothing moved in the other layer."""
    changes = {each["group"]: each["exact"] for each in tables(*stages, capsys=capsys)["changes_two"]["rows"]}
    assert (
        changes["o1_nrm"]["value"] == 0.5 and changes["o1_nrm"]["verdict"] == "better" and changes["o1_nrm"]["low"] > 0
    )
    assert changes["a1_policy"]["value"] == 0.0 and changes["a1_policy"]["verdict"] == "noise"


def test_raw_table_when_identifiers_differ_then_only_the_raw_metrics_fall(tmp_path, capsys):
    """A volatile id counts in raw_exact and not in exact."""
    (tmp_path / "eval").mkdir()
    rows = [row(n, "test_sector_ood", "a1_policy", True) for n in range(4)]
    for each in rows:
        each["completion"] = json.dumps({**GOLD, "id": "other"})
    (tmp_path / "eval" / "final.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    raw = tables(tmp_path, capsys=capsys)["raw"]["rows"][0]
    assert raw["exact"]["value"] == 1.0 and raw["raw_exact"]["value"] == 0.0
    assert raw["raw_field_f1"]["value"] < raw["field_f1"]["value"] == 1.0


def test_tables_when_written_then_markdown_csv_and_latex_hold_the_same_numbers(stages, tmp_path, capsys):
    """One file of all, and a .csv and .tex a table."""
    out = tmp_path / "paper"
    assert main([*map(str, stages), "--out", str(out), "--by", "split"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 6 tables; read {out / 'tables.md'} and ")
    assert main([*map(str, stages), "--out", str(out), "--by", "split", "--json"]) == 0
    told = capsys.readouterr()
    assert "by_split" in [table["name"] for table in json.loads(told.out)] and "tables.md" in told.err
    page = (out / "tables.md").read_text()
    assert "| split | run | parse | field\\_f1 |" in page.replace("field_f1", "field\\_f1") and "n 20)" in page
    line = next(csv.DictReader((out / "by_split.csv").open()))
    assert (line["split"], line["run"], line["metric"], line["n"]) == ("test_in_distribution", "one", "parse", "20")
    tex = (out / "by_split.tex").read_text()
    assert r"test\_in\_distribution & one & 1.0000 (" in tex and r"\bottomrule" in tex


def test_tables_when_only_means_were_recorded_then_they_stand_beside_runs(stages, tmp_path, capsys):
    """The authors' own figures, by split, without an interval where no spread was published."""
    means = {"runs": [{"name": "paper", "results": {"test_sector_ood": {"field_f1": {"value": 0.7697, "n": 4579}}}}]}
    (tmp_path / "paper.json").write_text(json.dumps(means))
    found = tables(stages[0], tmp_path / "paper.json", capsys=capsys)["by_split"]["rows"]
    paper = next(each for each in found if each["run"] == "paper")
    assert paper["field_f1"]["value"] == 0.7697 and paper["field_f1"]["n"] == 4579


def test_tables_when_a_metric_is_unknown_then_one_line_names_those_there_are(stages, capsys):
    """Exit code 2, no traceback."""
    assert main([str(stages[0]), "--metric", "bleurt"]) == 2
    assert "--metric: bleurt: no run has it; there are: " in capsys.readouterr().err


def test_reproduce_when_a_run_recorded_everything_then_each_item_is_ticked_and_a_bare_one_is_open(tmp_path):
    """Means that somebody wrote down say nothing of how they came about."""
    from grpo.tables.reproduce import WANTED, describe_runs, to_markdown

    run = tmp_path / "run"
    (run / "eval").mkdir(parents=True)
    identity = {
        "settings": {"profile": "gpu", "source": "tmf921_stage1", "overrides": ["seed=7", "name=a b"], "config": {"seed": 7}},
        "rows": {"training rows": "0123456789abcdef"},
        "rewards": [{"name": "telecom", "version": "6", "fingerprint": "aa64"}],
    }  # fmt: skip
    environment = {"python": "3.11", "packages": {"torch": "2.13"}, "commit": "e6fc", "device": "cuda", "name": "L4"}
    (run / "identity.json").write_text(json.dumps(identity))
    (run / "environment.json").write_text(json.dumps(environment))
    (tmp_path / "means.json").write_text("{}")
    known, bare = describe_runs([("run", str(run / "eval" / "final.jsonl")), ("theirs", str(tmp_path / "means.json"))])
    assert known["command"].endswith("--config tmf921_stage1 --profile gpu --set seed=7 --set 'name=a b'")
    assert (known["seed"], known["rows"], known["device"]) == (7, {"training rows": "0123456789ab"}, "cuda L4")
    assert [bare[item] for item in WANTED] == [None] * len(WANTED)
    text = to_markdown([known, bare])
    assert text.count("- [x]") == text.count("- [ ]") == len(WANTED)
