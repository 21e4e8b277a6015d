"""`python -m rewards`: lists, scores, and says what is wrong in one line each."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rewards.__main__ import main, parse_reward

PLUGIN = str(Path(__file__).parents[1] / "plugin_example" / "recompensa_amount.py")
ROWS = str(Path(__file__).parents[1] / "plugin_example" / "rows.jsonl")


def write_rows(tmp_path: Path, *rows: object) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def run(capsys, *arguments: str) -> tuple[int, str, list[str]]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


def test_list_when_asked_for_json_then_tells_all_of_each_function(capsys):
    """Name, version, plugin, distribution, tasks and options of the built-ins."""
    code, out, _ = run(capsys, "list", "--json")
    listed = {entry["name"]: entry for entry in json.loads(out)}
    assert code == 0 and {"extraction", "field_f1", "insights", "json_valid", "push", "sql_qa"} <= set(listed)
    assert listed["sql_qa"]["distribution"] == "recompensa" and listed["sql_qa"]["tasks"] == ["sql_qa"]
    assert listed["field_f1"]["options"]["ignore_fields"]["default"] == []
    assert all(option["description"] for entry in listed.values() for option in entry["options"].values())


def test_list_when_pretty_then_names_each_function_and_its_options(capsys):
    """People see the same."""
    code, out, _ = run(capsys, "list")
    assert code == 0 and "field_f1 version " in out and "ignore_fields" in out


def test_score_when_rows_are_given_then_answers_each_in_order(capsys, tmp_path):
    """One answer a row, with parts, repairs and version."""
    rows = write_rows(
        tmp_path,
        {"id": "x", "completion": '{"a": 1}', "reference": '{"a": 1}'},
        {"completion": "nada", "reference": '{"a": 1}', "task": "any"},
    )
    code, out, err = run(capsys, "score", "--reward", "field_f1:digits=3", "--input", rows)
    first, second = map(json.loads, out.splitlines())
    assert code == 0 and first["id"] == "x" and second["id"] == "2"
    assert list(first) == ["id", "value", "status", "reason", "parts", "repairs", "version"]
    assert (first["value"], second["value"]) == (1.0, 0.0) and err == [
        "field_f1: 2 completions, mean 0.5000 (0.0945 to 0.9055) over 2 values, 0 errors"
    ]


def test_score_when_a_plugin_and_an_output_are_named_then_writes_the_file(capsys, tmp_path):
    """A plugin file works from the command line."""
    output = tmp_path / "scores.jsonl"
    code, out, _ = run(
        capsys,
        "--plugin",
        PLUGIN,
        "score",
        "--reward",
        "amount:mentioned=0.4",
        "--input",
        ROWS,
        "--output",
        str(output),
    )
    assert code == 0 and out == ""
    assert [json.loads(line)["value"] for line in output.read_text().splitlines()] == [1.0, 0.4, 0.0]


def test_score_when_standard_input_is_named_then_reads_it(capsys, monkeypatch, tmp_path):
    """`-` is standard input."""
    rows = Path(write_rows(tmp_path, {"completion": "{}"}))
    result = subprocess.run(
        [sys.executable, "-m", "rewards", "score", "--reward", "json_valid", "--input", "-"],
        input=rows.read_bytes().replace(b"}\n", b', "reference": "{}"}\n'),
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
    assert json.load(io.BytesIO(result.stdout))["value"] == 1.0


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        ("field_f", ["error: --reward: no reward function 'field_f'; did you mean field_f1?"]),
        (
            "field_f1:ignore_field=[a]",
            ["error: --reward: ignore_field: no such option of 'field_f1'; did you mean ignore_fields?"],
        ),
        ("field_f1:digits", ["error: --reward: 'digits' is not an option; write NAME:key=value,key=value"]),
    ],
)
def test_score_when_the_reward_is_misspelt_then_proposes_and_exits_with_2(capsys, reward, words):
    """A slip is one line on standard error."""
    code, out, err = run(capsys, "score", "--reward", reward, "--input", ROWS)
    assert (code, out, err) == (2, "", words)


def test_score_when_rows_are_broken_then_lists_every_line_and_exits_with_2(capsys, tmp_path):
    """File and line of each problem, all together."""
    rows = write_rows(
        tmp_path,
        "{half\n",
        "[1]\n",
        {"completion": 1},
        {"completion": "x", "reference": {"a": 1}},
        '{"completion": "cut',
    )
    code, _, err = run(capsys, "score", "--reward", "json_valid", "--input", rows)
    assert code == 2 and [line.split(": ")[1] for line in err] == [f"{rows}:{number}" for number in range(1, 6)]


def test_score_when_a_row_is_unfit_for_the_reward_then_says_which(capsys, tmp_path):
    """What the function says of a row is the user's to mend."""
    rows = write_rows(tmp_path, {"id": "p", "completion": "x", "reference": "y", "product": "fone"})
    code, _, err = run(capsys, "score", "--reward", "push", "--input", rows)
    assert code == 2 and err == [f"error: {rows}: row 'p': offer: null; give the words that the notification must name"]


def test_score_when_two_rewards_are_named_then_refuses(capsys, tmp_path):
    """An answer holds one score; the first must not be dropped in silence."""
    rows = write_rows(tmp_path, {"id": "p", "completion": "{}"})
    code, out, err = run(capsys, "score", "--reward", "json_valid", "--reward", "field_f1", "--input", rows)
    assert (code, out, err) == (2, "", ["error: --reward: given 2 times; an answer holds one score: run once for each"])


def test_score_when_the_file_is_missing_or_empty_then_exits_with_2(capsys, tmp_path):
    """No traceback for a wrong path."""
    for path in (str(tmp_path / "none.jsonl"), write_rows(tmp_path)):
        code, _, err = run(capsys, "score", "--reward", "json_valid", "--input", path)
        assert code == 2 and len(err) == 1 and err[0].startswith(f"error: {path}")


def test_command_when_it_is_missing_or_misspelt_then_helps_and_exits_with_2(capsys):
    """The list of commands, or the one that was meant."""
    code, out, err = run(capsys)
    assert (code, out) == (2, "") and any("audit" in line for line in err)
    assert run(capsys, "scor") == (2, "", ["error: scor: no such command of 'python -m rewards'; did you mean score?"])


@pytest.mark.parametrize("command", ["list", "score", "audit", "rescore", "explain", "new", "schema", "attack"])
def test_command_when_asked_for_help_then_shows_examples(capsys, command):
    """Every command shows how it is used."""
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert (
        stopped.value.code == 0 and f"python -m rewards {command}" in capsys.readouterr().out.partition("examples:")[2]
    )


def test_attack_when_a_cheat_is_tried_then_exits_by_the_result(capsys):
    """0 where every cheat fails; a misspelt name is the user's to mend."""
    code, out, _ = run(capsys, "attack", "extraction")
    assert code == 0 and "empty object" in out
    assert run(capsys, "attack", "extracton") == (
        2, "", ["error: --reward: no reward function 'extracton'; did you mean extraction?"]
    )  # fmt: skip


def test_schema_import_when_a_component_is_named_then_prints_it(capsys, tmp_path):
    """The component and what it refers to."""
    component = {"Plan": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}
    path = tmp_path / "api.json"
    path.write_text(json.dumps({"openapi": "3.0.0", "paths": {}, "components": {"schemas": component}}))
    code, out, _ = run(capsys, "schema", "import", str(path), "--component", "Plan")
    assert code == 0 and json.loads(out)["required"] == ["name"]
    code, _, err = run(capsys, "schema", "import", str(path), "--component", "Plam")
    assert code == 2 and len(err) == 1 and "Plan" in err[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_command_when_the_disk_is_full_then_one_line_and_exit_1():
    """No traceback."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "rewards", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.splitlines()[0] == "error: standard output: No space left on device"


def test_parse_reward_when_values_are_lists_and_mappings_then_commas_inside_do_not_split():
    """Options are YAML."""
    assert parse_reward("a:x=[1, b],y={k: v, l: 2},z=true,w=text") == (
        "a",
        {"x": [1, "b"], "y": {"k": "v", "l": 2}, "z": True, "w": "text"},
    )
    assert parse_reward("a") == ("a", {})


def test_rewards_when_imported_then_brings_no_heavy_library():
    """Listing and scoring must start at once, without torch and its kin."""
    code = (
        "import sys; import rewards.__main__, rewards.config, rewards.host.scoring, rewards.testing, rewards.host.worker;"
        "from rewards.plugins import load_rewards; load_rewards();"
        "print([name for name in ('torch', 'transformers', 'trl', 'datasets', 'wandb', 'matplotlib', 'rich', 'numpy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
