"""What `python -m grpo.compare` refuses, in one line each, and what it lets through only by name."""

from __future__ import annotations

import pytest
import yaml

from grpo.compare.__main__ import main
from grpo.compare.comparability import _compare_settings
from grpo.compare.recorded import SAMPLING, RecordedRun
from tests.grpo.compare.recorded_runs import compare, draw_rows, refuse, write_means, write_run


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("versions", "reward versions differ: f is 1 in a and 2 in b"),
        ("weights", "weights or options of the rewards differ: a and b disagree on f"),
        ("settings", "temperature is 0.1 in a and 1.0 in b"),
        ("ids", "1 of a and b are only in one of the two (sql_qa-59)"),
        ("prompts", "120 of a and b have a different prompt or reference"),
    ],
)
def test_compare_when_runs_are_unlike_then_one_line_and_only_allowed_by_name(tmp_path, capsys, kind, said):
    """Versions, examples and settings must agree; --allow-different with the right name goes on and notes it."""
    write_run(tmp_path / "a", draw_rows(1))
    rows = draw_rows(2, version="2" if kind == "versions" else "1", prompt="q" if kind == "prompts" else "p")
    write_run(
        tmp_path / "b",
        rows[:-1] if kind == "ids" else rows,
        temperature=1.0 if kind == "settings" else 0.1,
        weight=2.0 if kind == "weights" else 1.0,
    )
    name = {"weights": "versions", "prompts": "ids"}.get(kind, kind)
    error = refuse(capsys, tmp_path / "a", tmp_path / "b")
    assert said in error and f"--allow-different {name}" in error and len(error.splitlines()) == 1
    wrong = "ids" if name != "ids" else "settings"
    refuse(capsys, tmp_path / "a", tmp_path / "b", "--allow-different", wrong)
    code, found = compare(capsys, tmp_path / "a", tmp_path / "b", "--allow-different", name)
    assert code in (0, 1) and any("(allowed)" in note for note in found["notes"])


def test_compare_when_versions_are_mixed_inside_a_run_then_refused(tmp_path, capsys):
    """Scores of two versions have no common mean."""
    rows = draw_rows(1)
    rows[0]["scores"]["f"]["version"] = "0"
    write_run(tmp_path / "a", rows)
    write_run(tmp_path / "b", rows)
    assert "different versions of f (0, 1)" in refuse(capsys, tmp_path / "a", tmp_path / "b")


def test_compare_when_inputs_cannot_be_read_then_every_one_is_named(tmp_path, capsys):
    """All that is wrong comes at once: a missing path, a missing stage, a file that is none of ours."""
    write_run(tmp_path / "run", draw_rows(1))
    (tmp_path / "bad.jsonl").write_text("{}\nnot json\n")
    (tmp_path / "bad.json").write_text('{"name": "x"}')
    (tmp_path / "percent.json").write_text('{"results": {"all": {"score": 71.4}}}')
    error = refuse(
        capsys, tmp_path / "nowhere", f"{tmp_path / 'run'}@warmup", tmp_path / "bad.jsonl", tmp_path / "bad.json",
        tmp_path / "percent.json", tmp_path,
    )  # fmt: skip
    assert "nowhere: no such file or folder" in error
    assert "no evaluation 'warmup'; there are: final" in error
    assert "bad.jsonl:1: not a stored completion" in error and "bad.jsonl:2" in error
    assert "bad.json: no results in it" in error
    assert "71.4 % is 0.714" in error
    assert "neither a run" in error


def test_compare_when_no_metric_is_shared_then_what_is_there_is_named(tmp_path, capsys):
    """Without a common metric nothing can gain; the line says which there are."""
    path = write_means(
        tmp_path / "r.json", [{"name": n, "results": {"all": {"accuracy": {"value": 0.5, "n": 9}}}} for n in "ab"]
    )
    assert "they share: accuracy; choose one with --metric" in refuse(capsys, path)
    assert compare(capsys, path, "--metric", "accuracy")[0] == 1
    assert "nosuch: not in all runs over all examples; they share: accuracy" in refuse(
        capsys, path, "--metric", "nosuch"
    )


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"gains": {}}, "gains: no such rule; did you mean gain?"),
        ({"falls": {"alowed": 0.1}}, "falls.alowed: no such rule; did you mean allowed?"),
        ({"adjust": "bonferroni"}, "adjust: 'bonferroni' is not allowed; allowed: 'holm', 'bh' or 'none'"),
        ({"floors": {"extraction": 0.2}}, "name a group as all, task:NAME"),
        ({"falls": {"groups": ["tasks"]}}, "tasks: no such kind of group"),
    ],
)
def test_compare_when_rules_are_wrong_then_the_key_is_named(tmp_path, capsys, rules, said):
    """A misspelt rule is an error, never silently left out."""
    write_run(tmp_path / "a", draw_rows(1))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    assert said in refuse(capsys, tmp_path / "a", tmp_path / "a", "--rules", tmp_path / "rules.yaml")


def test_compare_when_an_unknown_difference_is_allowed_then_refused(tmp_path, capsys):
    """--allow-different takes three words."""
    assert "allowed: versions, ids, settings" in refuse(capsys, tmp_path, "--allow-different", "everything")


def test_compare_when_a_name_holds_control_codes_then_none_reaches_the_terminal(tmp_path, capsys):
    """Names of runs, tasks and splits are read from files and shown as text."""
    results = {"all": {"reward": {"value": 0.5, "n": 90}}, "split:\x1b[31mred": {"reward": {"value": 0.4, "n": 50}}}
    path = write_means(tmp_path / "r.json", [{"name": name, "results": results} for name in ("\x1b]0;a\x07", "b")])
    main([str(path)])
    assert "\x1b" not in capsys.readouterr().out


def test_compare_when_fingerprints_differ_under_one_version_then_refused(tmp_path, capsys):
    """The same version with other code, options, schema or database is another scorer, in rows as in decisions."""
    for name, fingerprint in (("a", "a" * 12), ("b", "b" * 12)):
        rows = draw_rows(1)
        for row in rows:
            row["scores"]["f"]["fingerprint"] = fingerprint
        write_run(tmp_path / name, rows)
    error = refuse(capsys, tmp_path / "a", tmp_path / "b")
    assert "f is 1 (aaaaaaaaaaaa) in a and 1 (bbbbbbbbbbbb) in b" in error and len(error.splitlines()) == 1
    code, found = compare(capsys, tmp_path / "a", tmp_path / "b", "--allow-changed-rewards")
    assert code in (0, 1) and any("(allowed)" in note for note in found["notes"])


def test_compare_when_one_ended_answers_that_repeat_themselves_then_settings_differ():
    """The setting is recorded only where it is on; where it is off or older than the setting, nothing differs."""
    sampling = dict.fromkeys(SAMPLING, 1)
    plain, off, on = (
        RecordedRun(name, name, {}, {}, settings=settings)
        for name, settings in (
            ("plain", sampling),
            ("off", {**sampling, "stop_repetition": None}),
            ("on", {**sampling, "stop_repetition": 4}),
        )
    )
    assert _compare_settings(plain, off) == [] == _compare_settings(on, on)
    (line,) = _compare_settings(plain, on)
    assert "stop_repetition is None in plain and 4 in on" in line
