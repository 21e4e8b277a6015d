"""Which completions a report shows, what it says of them, and where a run stands: from a few records, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from grpo.report.charts import Curve, Point
from grpo.report.checks import make_audit
from grpo.report.exports import make_exports, write_csv
from grpo.report.readings import compare_fields, read_answer
from grpo.report.run_files import RunFiles
from grpo.report.samples import choose_group, choose_samples, count_cut_off, count_states, read_prompt
from grpo.report.verdict import make_decision, make_state
from rewards.statistics.estimates import Estimate


def store(task, name, reward, **more):
    return {"task": task, "id": name, "reward": reward, "completion": f"{task}{name}", **more}


def names(samples):
    return [sample.task + sample.id for sample in samples]


def test_samples_when_rewards_changed_then_the_largest_changes_come_first_and_none_stands_for_itself():
    """One row rose by 0.5, one by 0.3, one fell by 0.4, one stayed: it is neither gained nor lost."""
    warmup = [
        store("t", "1", 0.1),
        store("t", "2", 0.5),
        store("t", "3", 0.9),
        store("t", "4", 0.4),
        store("t", "5", None),
    ]
    final = [
        store("t", "1", 0.6),
        store("t", "2", 0.8),
        store("t", "3", 0.5),
        store("t", "4", 0.4),
        store("t", "5", 1.0),
    ]
    samples = choose_samples(warmup, final)
    assert (names(samples["gained"]), names(samples["lost"])) == (["t1", "t2"], ["t3"])
    assert [sample.change for sample in samples["gained"]] == pytest.approx([0.5, 0.3])
    falls = choose_samples(
        [store("t", n, 0.9) for n in "12"], [store("t", "1", 0.8), store("t", "2", 0.1), store("t", "3", None)]
    )
    assert names(falls["lost"]) == ["t2", "t1"] and names(falls["best"]) == ["t1", "t2"]
    assert samples["lost"][0].warmup.reward == 0.9 and samples["lost"][0].final.reward == 0.5
    assert (names(samples["best"]), names(samples["worst"])) == (["t5", "t2", "t1", "t3"], ["t4", "t3", "t1", "t2"])
    assert samples["best"][0].warmup is None and samples["best"][0].change is None


def test_samples_when_there_are_more_than_asked_for_then_tasks_take_turns_and_the_order_stays():
    """Two of `a` and two of `b` though all of `a` are better; equal rewards go by id."""
    final = [store("a", str(n), 0.9) for n in (3, 1, 2)] + [store("b", str(n), 0.2) for n in (2, 1)]
    assert names(choose_samples([], final)["best"]) == ["a1", "a2", "b1", "b2"]
    assert names(choose_samples([], final, count=3)["best"]) == ["a1", "a2", "b1"]
    assert names(choose_samples([], final, count=3)["worst"]) == ["b1", "b2", "a1"]
    assert len(choose_samples([], final, count=9)["best"]) == 5


def test_samples_when_a_row_has_no_task_then_it_is_of_the_default_one():
    """As the reader of rows names it."""
    (sample,) = choose_samples([], [{"id": 7, "reward": 1, "completion": "x", "reference": None}])["best"]
    assert (sample.task, sample.id, sample.reference, sample.final.reward) == ("default", "7", "", 1.0)


def test_group_when_it_is_larger_than_the_page_then_the_best_are_shown_and_the_rest_counted():
    """Of 18 completions the best 16; a group of one, and a row of no group, have no spread."""
    rows = [store("t", "1", number / 20, group=1, step=30.0, prompt="ask") for number in range(18)]
    rows += [store("t", "2", 5.0, group=2), store("t", "3", 9.0), store("t", "4", None, group=1)]
    group = choose_group(rows)
    assert (group.step, group.task, group.prompt, len(group.answers), group.left_out) == (30, "t", "ask", 16, 2)
    assert (group.answers[0].reward, group.answers[-1].reward) == (0.85, 0.1)
    exact = choose_group(rows[:16])
    assert (len(exact.answers), exact.left_out) == (16, 0)
    two = choose_group([store("t", "1", 0.1, group=1, step="x"), store("t", "1", 0.2, group=1)])
    assert (two.step, [answer.reward for answer in two.answers]) == (0, [0.2, 0.1])


def test_group_when_two_spread_alike_then_it_is_always_the_same_one():
    """The later name, whatever the order of the rows."""
    rows = [store("t", str(group), reward, group=group) for group in (1, 2) for reward in (0.25, 0.75)]
    assert choose_group(rows).answers[0].text == choose_group(rows[::-1]).answers[0].text == "t2"


def test_states_when_counted_then_the_commonest_repair_comes_first_and_twelve_are_named():
    """Truncated, unscored and repaired each count completions."""
    records = [
        store("t", "1", 0.5, truncated=True, repairs=["z"]),
        store("t", "2", None),
        store("t", "3", 1.0, truncated=False),
    ]
    records += [store("t", str(number), 0.0, repairs=["z", f"kind {number:02}"]) for number in range(14)]
    counts = count_states(records)
    assert [counts[key] for key in ("completions", "truncated", "unscored", "repaired")] == [17, 1, 1, 15]
    assert counts["repairs"][:2] == [("z", 15), ("kind 00", 1)] and len(counts["repairs"]) == 12


def test_prompt_when_shown_then_without_the_system_turn_unless_it_is_all_there_is():
    """The turns of user and assistant, one below the other."""
    system, user = {"role": "system", "content": "s"}, {"role": "user", "content": "u"}
    assert read_prompt({"prompt": [system, user, {"role": "assistant", "content": "v"}, "odd"]}) == "u\n\nv"
    assert read_prompt({"prompt": [system]}) == "s"
    assert (read_prompt({"prompt": "text"}), read_prompt({}), read_prompt({"prompt": 5})) == ("text", "", "5")


def test_verdicts_when_functions_do_not_apply_then_only_those_that_said_something_are_shown():
    """A value or an error is shown; of verdicts without either the first three."""
    silent = {f"f{number}": {"value": None, "status": "unscored"} for number in range(4)}
    spoken = {
        "right": {"value": 1, "reason": "as it should"},
        "broken": {"value": None, "status": "error", "reason": "raised"},
    }
    (sample,) = choose_samples([], [store("t", "1", 1.0, scores={**silent, **spoken, "odd": 3})])["best"]
    assert [(each.function, each.value, each.status, each.reason) for each in sample.final.verdicts] == [
        ("right", 1.0, "value", "as it should"),
        ("broken", None, "error", "raised"),
    ]
    (sample,) = choose_samples([], [store("t", "1", 1.0, scores=silent, advantage="?", truncated=1)])["best"]
    assert [each.function for each in sample.final.verdicts] == ["f0", "f1", "f2"]
    assert (sample.final.advantage, sample.final.truncated) == (None, True)
    (sample,) = choose_samples([], [store("t", "1", 1.0, advantage=-0.5)])["best"]
    assert (sample.final.advantage, sample.final.truncated, sample.fields) == (-0.5, False, ())


def test_sample_when_its_reference_is_json_then_the_fields_of_both_answers_come_with_it():
    """Beside the reference what was read at the end and after the warm-up."""
    row = store("t", "1", 0.2, reference='{"a": 1}')
    both = choose_samples([{**row, "completion": '{"a": 2}'}], [{**row, "completion": '{"a": 1}', "reward": 1.0}])
    (field,) = both["gained"][0].fields
    assert (field.name, field.final, field.right, field.warmup, field.warmup_right) == ("a", "1", True, "2", False)
    assert both["best"][0].fields[0].warmup is None


def test_reading_when_more_repairs_were_made_than_fit_then_the_rest_is_counted():
    """Twelve are named; a kind that was stored and is read again is named once."""
    reading = read_answer('{"a": 1,5, "b": 2,5}', '{"a": 1.5}', ["decimal_comma", "old", "old"])
    assert [mend.kind for mend in reading.repairs] == ["decimal_comma", "decimal_comma", "old"]
    assert (reading.more_repairs, reading.repairs[-1].around, reading.value) == (0, "", {"a": 1.5, "b": 2.5})
    many = read_answer("{}", "{}", [f"kind {number}" for number in range(14)])
    assert (len(many.repairs), many.more_repairs) == (12, 2)
    assert (
        read_answer("x", "```json\n[1]").wanted
        and read_answer("x", " {").wanted
        and not read_answer("{}", "a {").wanted
    )


def fields_of(reference, final, warmup=None):
    readings = [read_answer(text, reference) if text is not None else None for text in (final, warmup)]
    return {field.name: field for field in compare_fields(reference, *readings)}


@pytest.mark.parametrize(
    ("wanted", "read", "right"),
    [
        ("1", "1.0", True), ("1", "true", False), ("true", "true", True), ("0", "false", False), ('"Ana "', '"ana"', True),
        ('"1"', "1", False), ("null", "null", True), ("true", "1", False), ("1", '"1"', False), ("[1, 2]", "[1, 2]", True), ("[1, 2]", "[2, 1]", False), ("null", "0", False),
    ],
)  # fmt: skip
def test_field_when_it_is_compared_then_case_and_space_do_not_count_and_kinds_do(wanted, read, right):
    """A number is no string and no truth value."""
    assert fields_of(f'{{"a": {wanted}}}', f'{{"a": {read}}}')["a"].right is right


def test_fields_when_one_is_missing_or_nobody_asked_for_it_then_the_row_says_so():
    """Those of the reference first; an extra one is wrong, and what was not written is neither right nor wrong."""
    fields = fields_of('{"a": 1, "b": ""}', '{"b": "", "x": 3}', '{"a": 2, "y": null}')
    assert list(fields) == ["a", "b", "x", "y"]
    assert (fields["a"].final, fields["a"].right, fields["a"].warmup, fields["a"].warmup_right) == (
        None,
        None,
        "2",
        False,
    )
    assert (fields["b"].reference, fields["b"].final, fields["b"].right) == ("(empty)", "(empty)", True)
    assert (fields["x"].reference, fields["x"].final, fields["x"].right) == ("not asked for", "3", False)
    assert (fields["y"].warmup, fields["y"].warmup_right) == ("null", False)
    assert fields["a"].has_warmup and not fields_of('{"a": 1}', '{"a": 1}')["a"].has_warmup
    assert fields_of("[1]", '{"a": 1}') == {} == fields_of('{"a": 1}', "no", "neither")
    assert fields_of('{"a": 1}', "no", '{"a": 1}')["a"].warmup_right is True
    assert compare_fields('{"a": 1}', read_answer('{"a": 1}', "text")) == ()
    assert len(fields_of("{" + ", ".join(f'"k{n}": 1' for n in range(30)) + "}", "{}")) == 24


def test_repair_when_its_place_is_known_then_the_text_around_it_is_shown():
    """Twelve characters on each side, and no more."""
    text = '{"long name of a field": 4,5, "another long name": 1}'
    (mend,) = read_answer(text, "{}").repairs
    place = text.index(",")
    assert len(mend.around) <= 24 and mend.around in text
    assert text.index(mend.around) >= place - 13


def test_state_when_a_run_is_on_its_way_then_says_where_and_how_to_go_on():
    """The share of the planned steps is drawn only where some are planned."""
    run = RunFiles(Path("runs/x"), status={"stage": "grpo"}, plan={"max_steps": 40})
    run.metrics = [{"stage": "train", "step": 10}, {"stage": "warmup", "step": 99}]
    state = make_state(run)
    assert (state["title"], state["share"], state["kind"]) == ("Not finished: in GRPO, at step 10 of 40", 0.25, "open")
    assert (
        state["command"] == "python -m grpo.run --resume " + str(Path("runs/x").resolve())
        or "runs/x" in state["command"]
    )
    run.metrics, run.plan = [], {"max_steps": 0}
    assert (make_state(run)["title"], make_state(run)["share"]) == ("Not finished: in GRPO", None)
    run.status = {"stage": "nowhere"}
    assert make_state(run)["title"] == "Not finished: on its way"
    run.metrics, run.plan, run.status = [{"stage": "final", "step": 50}], {"max_steps": 40}, {"stopped_by": "kl"}
    assert make_state(run) == {"kind": "stopped", "title": "Stopped by the watch rule kl at step 50 of 40", "share": 1.0, "command": state["command"]}  # fmt: skip
    run.plan = {"max_steps": 1}
    assert make_state(run)["share"] == 1.0
    run.status = {"finished": True, "stopped_by": "kl"}
    assert make_state(run) is None
    run.status = {}
    assert make_state(run) == {"kind": "open", "title": "Whether this run finished was not recorded", "share": None, "command": None}  # fmt: skip


def test_decision_when_it_is_shown_then_the_letter_stands_once_and_odd_values_are_left_out():
    """The title loses the scenario's letter and keeps a capital; an outcome that no tree gives is called unknown."""
    nodes = [
        {"name": "scale", "outcome": "perhaps", "value": True, "threshold": 0.5},
        "odd",
        {"name": "n", "outcome": "no", "n": 3},
    ]
    made = make_decision(
        {"scenario": "A", "title": "A: the rung is exhausted", "tree": "own", "rehearsal": 1, "path": nodes}
    )
    assert (made["title"], made["scenario"], made["tree"], made["rehearsal"], made["made"]) == (
        "The rung is exhausted", "A", "own", False, True,
    )  # fmt: skip
    assert [(node["outcome"], node["value"], node["threshold"], node["n"]) for node in made["path"]] == [
        ("unknown", None, 0.5, None),
        ("no", None, None, 3),
    ]
    assert make_decision({"title": "it learnt"})["title"] == "It learnt"
    assert [make_decision({"title": f"{letter}: x"})["title"] for letter in "ABCD"] == ["X", "X", "X", "D: x"]
    nothing = make_decision({})
    assert (nothing["made"], nothing["scenario"], nothing["tree"], nothing["title"]) == (False, "?", None, "")
    assert make_decision({"tree": "other", "scenario": "undecided"})["tree"] is None
    long = make_decision({"commands": list(range(9)), "not_judged": list(range(30)), "path": [{}] * 70})
    assert [len(long[key]) for key in ("commands", "not_judged", "path")] == [6, 20, 60]
    assert make_decision({"answers": {"a": {"question": "q?", "answer": "yes"}, "b": 1}, "routes": {"t": "7B"}}) | {} == (
        make_decision({}) | {"made": True, "answers": [("q?", "yes")], "routes": [("t", "7B")]}
    )  # fmt: skip


def test_audit_when_it_is_shown_then_what_has_a_place_of_its_own_is_not_told_twice():
    """Twelve failures and lines are shown; what is no number or truth value is not taken for one."""
    audit = {
        "passed": False, "references": 10, "without_reference": "two", "gold_failures": [f"row {n}" for n in range(14)],
        "errors": [f"e{n}" for n in range(13)], "train_tasks": {"a": 3}, "reward_versions": {"f": "1"},
        "probes": {"t": {"gold": 1.0, "noise": 0.5, "empty": "?", "estimates": {"noise": {"n": 4, "low": 0.2, "high": None}}}},
    }  # fmt: skip
    made = make_audit(audit)
    assert (made["passed"], made["references"], made["without_reference"]) == (False, 10, None)
    assert (len(made["failures"]), made["more_failures"], len(made["errors"]), made["warnings"]) == (12, 2, 12, [])
    assert made["rows"] == [("train_tasks", "a 3")]
    assert make_audit({"without_reference": 2})["without_reference"] == 2
    cells = {cell["name"]: cell for cell in made["probes"][0]["cells"]}
    assert cells["noise"] == {"name": "noise", "value": 0.5, "n": 4, "low": 0.2, "high": None, "alarm": True}
    assert (cells["empty"]["value"], cells["empty"]["alarm"], cells["gold"]["alarm"]) == (None, False, False)
    assert make_audit({}) == {} and make_audit({"gold_failures": ["a"]})["more_failures"] == 0
    assert make_audit({"probes": {"t": {"noise": 0.9}}})["probes"][0]["cells"][4]["alarm"] is False


def test_cut_off_when_counted_then_each_task_has_its_share_at_each_stage():
    """All first; a task that a stage lacks has none; nothing at all where no answer was cut off."""
    cut, loop, whole = (
        {"task": "a", "truncated": True},
        {"task": "a", "truncated": True, "repeated": True},
        {"task": "b"},
    )
    rows = count_cut_off({"warmup": [cut, whole], "final": [loop, cut]})
    assert [row["task"] for row in rows] == ["all", "a", "b"]
    assert [tuple(rows[0][stage]) for stage in ("warmup", "final")] == [(2, 1, 0), (2, 2, 1)]
    assert rows[2] == {"task": "b", "warmup": (1, 0, 0), "final": None}
    assert count_cut_off({"warmup": [whole], "final": []}) == []
    text = make_exports({"cut_off": rows})["cut_off"]
    assert text.splitlines()[0].startswith("task,before_completions")
    assert text.splitlines()[1].endswith(",2,1,0,2,2,1")


def test_csv_when_a_spreadsheet_opens_it_then_nothing_in_it_runs():
    """A text that would be read as a formula begins with an apostrophe; numbers stay numbers and holes are empty."""
    rows = [{"a": "=1+1", "b": -0.5}, {"b": None, "c": "x,y"}, {"a": "\tz", "c": 'say "so"'}]
    assert write_csv(rows) == 'a,b,c\r\n\'=1+1,-0.5,\r\n,,"x,y"\r\n\'\tz,,"say ""so"""\r\n'
    assert all(write_csv([{"a": sign}]) == f"a\r\n'{sign}\r\n" for sign in "+-@")


def test_exports_when_tables_are_filled_then_each_estimate_has_four_columns_and_empty_tables_no_file():
    """Task rows and functions with their intervals, counts without the list of repairs."""
    given = Estimate(0.5, 20, 0.1, 0.4, 0.6)
    function = {"name": "f", "versions": ["1", "2"], "n": 20, "warmup": None, "final": 0.5, "errors": 1, "seconds": 0.1, "warmup_estimate": None, "final_estimate": given, "parts": [{"name": "valid", "warmup": 0.5, "final": None, "warmup_estimate": given, "final_estimate": None}]}  # fmt: skip
    made = make_exports(
        {
            "tasks": [{"task": "t", "before": None, "warmup": given, "sft": given}],
            "functions": [function],
            "states": {"final": {"completions": 3, "repairs": [("cut", 1)]}},
            "audit": {
                "probes": [{"task": "t", "cells": [{"name": "gold", "value": 1.0, "low": 0.9, "high": 1.0, "n": 5}]}]
            },
            "events": [],
        }
    )
    assert list(made) == ["tasks", "rewards", "states", "probes"]
    head, line = (text.split(",") for text in made["tasks"].splitlines())
    cells = dict(zip(head, line, strict=True))
    assert [cells[f"warmup_{part}"] for part in ("mean", "low", "high", "n")] == ["0.5", "0.4", "0.6", "20"]
    assert [cells[f"further_sft{part}"] for part in ("", "_low", "_high", "_n")] == ["0.5", "0.4", "0.6", "20"]
    assert (cells["before_mean"], cells["change_n"]) == ("", "")
    head, whole, part = (text.split(",") for text in made["rewards"].splitlines())
    whole, part = (dict(zip(head, cells, strict=True)) for cells in (whole, part))
    assert [whole[key] for key in ("version", "part", "n", "final", "final_low", "warmup_n", "errors")] == ["1/2", "", "20", "0.5", "0.4", "", "1"]  # fmt: skip
    assert [part[key] for key in ("function", "version", "part", "warmup", "warmup_high", "final_n")] == ["f", "1/2", "valid", "0.5", "0.6", ""]  # fmt: skip
    assert made["states"] == "evaluation,completions\r\nfinal,3\r\n"
    assert made["probes"] == "task,gold,gold_low,gold_high,gold_n\r\nt,1.0,0.9,1.0,5\r\n"
    assert make_exports({}) == {}


def test_exports_when_curves_events_and_a_plan_are_there_then_each_is_a_table():
    """Evaluations with their intervals, metrics of training below them, events and plan as they are shown."""
    curve, line = Curve("all", [Point(0, 0.5, 0.4, 0.6, 20)]), Curve("loss", values=[(1, 0.25)])
    view = {
        "charts": [(curve, "svg")],
        "lines": [(line, "svg")],
        "events": [{"rule": "kl"}],
        "plan_rows": [{"what": "time"}],
    }
    made = make_exports({**view, "tasks": [{"task": "t"}]})
    assert made["curves"] == "curve,step,mean,low,high,n\r\nall,0,0.5,0.4,0.6,20\r\nloss,1,0.25,,,\r\n"
    assert (made["events"], made["plan"]) == ("rule\r\nkl\r\n", "what\r\ntime\r\n")
    assert set(made["tasks"].splitlines()[1].split(",")) == {"t", ""}
