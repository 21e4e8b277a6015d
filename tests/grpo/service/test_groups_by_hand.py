"""What the service shows of stored completions, margins and groups: from files of a few lines, by hand."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("huey")
pytest.importorskip("markupsafe")

from grpo.service.group_view import (
    changed_rows,
    draw_bars,
    make_answer,
    make_errors_view,
    make_group_view,
    make_groups_view,
    make_prompt_view,
    show_difference,
)
from grpo.service.groups import (
    StoredCompletions,
    choose,
    evaluation_file,
    follow_prompt,
    list_evaluations,
    list_steps,
    search,
    step_file,
)
from grpo.service.overview import find_margin, is_run_name
from grpo.service.run_view import draw_trace


def store(group, name, reward, task="t", **more):
    return {"group": group, "id": name, "task": task, "reward": reward, "completion": f"{name}-{reward}", **more}


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


FAULT = {"scores": {"f": {"status": "error", "reason": "row 12 raised", "version": "1"}}}
ROWS = [
    store(0, "a", 0.5, advantage=0.5), store(0, "a", 0.5), store(1, "b", 0.25, truncated=True), store(1, "b", 0.75, prompt=[{"content": "Olá MUNDO"}]),
    store(2, "c", None, task="u", **FAULT), store(2, "c", 1.0, task="u"), store(3, "d", True), store(3, "d", None),
]  # fmt: skip


@pytest.fixture
def file(tmp_path):
    return write(step_file(tmp_path, 10), ROWS)


def test_groups_when_indexed_then_mean_spread_and_flags_are_those_of_their_rows(file):
    """A reward that is no number is none; a group without two different rewards teaches nothing."""
    groups = StoredCompletions().index(file)
    assert [(g.number, g.id, g.task, g.rewards, g.mean, g.spread, g.is_zero_spread) for g in groups] == [
        (0, "a", "t", [0.5, 0.5], 0.5, 0.0, True),
        (1, "b", "t", [0.25, 0.75], 0.5, 0.5, False),
        (2, "c", "u", [None, 1.0], 1.0, 0.0, True),
        (3, "d", "t", [None, None], None, 0.0, True),
    ]
    assert [g.truncated for g in groups[:2]] == [[False, False], [True, False]]
    assert (groups[2].failed, groups[0].advantages) == ([True, False], [0.5, None])
    assert StoredCompletions().index(write(file.with_name("step-000012.jsonl"), [7, store(0, "a", 0.5, scores={"f": {"status": "value"}, "g": 5})]))[0].failed == [False]  # fmt: skip
    (alone,) = StoredCompletions().index(write(file.with_name("step-000011.jsonl"), [store(0, "a", 0.5)]))
    assert not alone.is_zero_spread, "one completion has nothing to differ from"


def test_groups_when_a_line_is_torn_then_it_waits_and_the_places_of_the_others_stand(file):
    """The half line at the end is being written; a broken one in the middle is passed over."""
    file.write_bytes(b'{"id": broken\n' + file.read_bytes() + b'{"id": "half"')
    store_ = StoredCompletions()
    groups = store_.index(file)
    assert [group.id for group in groups] == ["a", "b", "c", "d"]
    assert [row["reward"] for row in store_.read(file, groups[1])] == [0.25, 0.75]
    assert store_.index(file) is groups and store_.index(file.with_name("none.jsonl")) == []
    write(file, ROWS[:2])
    assert [group.id for group in store_.index(file)] == ["a"], "a file that changed is read again"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, "abcd"), ({"only": "zero"}, "acd"), ({"only": "mixed"}, "b"), ({"only": "truncated"}, "b"), ({"only": "errors"}, "c"), ({"task": "u"}, "c"),
        ({"sort": "mean"}, "abcd"), ({"sort": "-mean"}, "dcab"), ({"sort": "-spread"}, "bacd"), ({"sort": "-truncated"}, "bacd"), ({"sort": "-length"}, "cbad"),
    ],
)  # fmt: skip
def test_groups_when_chosen_then_filter_and_order_are_those_asked_for(file, options, ids):
    """An unknown mean comes last from below; ties keep the order of the file."""
    groups = StoredCompletions().index(file)
    assert "".join(group.id for group in choose(groups, **options)) == ids
    assert choose(groups, wanted=lambda group: group.id > "b") == groups[2:]
    assert choose(groups[3:] + groups[3:] + groups[:1], sort="mean") == groups[:1] + groups[3:] + groups[3:]


def test_search_when_words_are_in_the_id_the_prompt_or_an_answer_then_the_group_is_found(file):
    """Whatever their case."""
    store_ = StoredCompletions()
    groups = store_.index(file)
    other = write(file.with_name("step-000013.jsonl"), [store(0, "Row-7", 0.5, completion="x", prompt=["odd"])])
    assert search(store_, other, "row-7")(store_.index(other)[0])
    for words, ids in (("mundo", "b"), ("A-0.5", "a"), ("C", "c"), ("nowhere", "")):
        has = search(store_, file, words)
        assert "".join(group.id for group in groups if has(group)) == ids


def test_files_of_completions_when_listed_then_by_step_and_in_the_order_they_are_made(tmp_path):
    """Names of other kinds are nobody's evaluation."""
    for step in (100, 20):
        write(step_file(tmp_path, step), [])
    write(tmp_path / "completions" / "step-x.jsonl", [])
    for name in ("judged", "final", "step-000050", "start", "warmup", "before", "notes"):
        write(tmp_path / "eval" / f"{name}.jsonl", [])
    assert list_steps(tmp_path) == [20, 100]
    assert list_evaluations(tmp_path) == ["before", "warmup", "start", "step-000050", "final", "judged"]
    assert evaluation_file(tmp_path, "../x") is None and evaluation_file(tmp_path, "final").name == "final.jsonl"


def test_page_of_groups_when_there_are_more_than_fit_then_the_one_asked_for_is_on_its_page(tmp_path):
    """Of 101 groups the sixtieth stands on the second of three pages, between its neighbours."""
    path = write(
        step_file(tmp_path, 1),
        [store(number, f"g{number:03}", reward) for number in range(101) for reward in (0.0, 0.5)],
    )
    options = {"sort": "order", "only": "all", "task": "", "words": ""}
    view = make_groups_view(StoredCompletions(), path, **options, page=0, group=59)
    assert (view["page"], view["pages"], view["current"], view["chosen"]) == (2, 3, 59, True)
    assert (view["previous_group"], view["next_group"], view["total"], view["completions"]) == (58, 60, 101, 202)
    assert [group["number"] for group in view["groups"]] == list(range(50, 100))
    last = make_groups_view(StoredCompletions(), path, **options, page=99, group=None)
    assert (last["page"], last["current"], last["chosen"], last["previous_group"], last["next_group"]) == (
        3,
        100,
        False,
        99,
        None,
    )
    first = make_groups_view(StoredCompletions(), path, **options, page=1, group=0)
    assert (first["page"], first["previous_group"], first["next_group"]) == (1, None, 1)
    assert make_groups_view(StoredCompletions(), path, **options, page=1, group=59)["page"] == 1
    none = make_groups_view(StoredCompletions(), path, **{**options, "words": "nothing"}, page=0, group=None)
    assert (none["groups"], none["current"], none["pages"], none["all_groups"]) == ([], None, 1, 101)


def test_counts_above_the_groups_when_shown_then_they_are_of_the_whole_file(file):
    """Whatever is filtered."""
    view = make_groups_view(
        StoredCompletions(), file, sort="order", only="mixed", task="", words="", page=0, group=None
    )
    one = make_groups_view(StoredCompletions(), file, sort="-mean", only="all", task="t", words="", page=0, group=2)
    assert ([group["id"] for group in one["groups"]], one["chosen"], one["current"], one["previous_group"]) == (["d", "a", "b"], True, 2, None)  # fmt: skip
    said = make_groups_view(
        StoredCompletions(), file, sort="order", only="all", task="", words="MUNDO", page=0, group=None
    )
    assert [group["id"] for group in said["groups"]] == ["b"]
    assert [view[key] for key in ("total", "all_groups", "completions", "zero", "truncated", "failed", "tasks")] == [
        1,
        4,
        8,
        3,
        1,
        1,
        ["t", "u"],
    ]


def test_group_when_it_is_opened_then_the_best_answer_comes_first_and_unknown_ones_last(tmp_path):
    """Equal rewards keep their places; forty-eight answers fit on a page."""
    prompt = [{"role": "user", "content": "ask"}, "odd"]
    rows = [store(0, "a", reward, prompt=prompt, reference="r") for reward in (None, 0.25, 0.75, 0.75, -0.5)]
    path = write(step_file(tmp_path, 1), rows)
    view = make_group_view(StoredCompletions(), path, 0)
    assert [(answer["place"], answer["reward"]) for answer in view["answers"]] == [
        (2, 0.75),
        (3, 0.75),
        (1, 0.25),
        (4, -0.5),
        (0, None),
    ]
    assert (view["turns"], view["reference"], view["more"], view["all_answers"]) == (
        [{"role": "user", "text": "ask"}],
        "r",
        None,
        5,
    )
    assert (view["mean"], view["spread"], view["size"]) == (0.3125, 1.25, 5)
    assert make_group_view(StoredCompletions(), path, 7) is None
    many = write(step_file(tmp_path, 2), [store(0, "a", number / 100) for number in range(60)])
    view = make_group_view(StoredCompletions(), many, 0)
    assert (len(view["answers"]), view["more"]) == (48, 48)
    view = make_group_view(StoredCompletions(), many, 0, first=48)
    assert (len(view["answers"]), view["more"], view["first"]) == (12, None, 48)
    exact = write(step_file(tmp_path, 3), [store(0, "a", 0.5) for _ in range(48)])
    assert make_group_view(StoredCompletions(), exact, 0)["more"] is None


def test_answer_when_functions_spoke_then_those_that_do_not_apply_are_left_out():
    """Values, reasons and parts that are numbers; a reward that is no number is none."""
    scores = {
        "f": {"value": 0.5, "reason": "half", "version": "2", "parts": {"x": 1, "y": "no"}}, "g": {"status": "unscored", "value": None},
        "h": {"status": "error", "value": "?", "reason": "raised"}, "odd": 5,
    }  # fmt: skip
    answer = make_answer(
        {"completion": "text", "reward": True, "advantage": -1, "truncated": 1, "repairs": ["cut"], "scores": scores}, 3
    )
    assert [
        (each["function"], each["value"], each["status"], each["reason"], each["parts"]) for each in answer["scores"]
    ] == [
        ("f", 0.5, "value", "half", [("x", 1.0)]),
        ("h", None, "error", "raised", []),
    ]
    assert [answer[key] for key in ("place", "text", "reward", "advantage", "truncated", "repairs")] == [
        3,
        "text",
        None,
        -1.0,
        False,
        ["cut"],
    ]


def test_bars_when_rewards_are_drawn_then_the_highest_is_first_and_none_is_invisible():
    """28 units for 1, one at least; more than forty-eight are thinned, both ends kept."""
    assert draw_bars([0.5, None, 1.0, 0.0]) == {"path": "M4 30V2.0M11 30V16.0M18 30V29.0", "width": 22}
    assert draw_bars([2.0, -1.0])["path"] == "M4 30V2.0M11 30V29.0" and draw_bars([])["width"] == 1
    many = draw_bars([number / 100 for number in range(101)])
    assert many["width"] == 7 * 48 + 1 and many["path"].startswith("M4 30V2.0") and many["path"].endswith("V29.0")


def test_prompt_when_it_was_answered_again_and_again_then_each_best_answer_stands_beside_the_one_before(tmp_path):
    """Evaluations first, then the steps; what changed is marked word by word."""
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "ask"}]
    write(
        step_file(tmp_path, 20),
        [store(0, "a", 0.1, completion="um dois"), store(0, "a", 0.9, completion="um três"), store(1, "b", 1.0)],
    )
    write(step_file(tmp_path, 30), [store(0, "a", 0.9, completion="um três")])
    write(tmp_path / "eval" / "final.jsonl", [store(0, "a", None, completion="um dois", prompt=turns, reference="ref")])
    view = make_prompt_view(StoredCompletions(), tmp_path, "a")
    assert [(m["kind"], m["step"], m["evaluation"], m["answers"], m["same"]) for m in view["moments"]] == [
        ("evaluation", None, "final", 1, False),
        ("step", 20, None, 2, False),
        ("step", 30, None, 1, True),
    ]
    assert str(view["moments"][1]["diff"]) == "um <del>dois</del><ins>três</ins>" and view["moments"][0]["diff"] is None
    assert (view["prompt"], view["reference"], view["task"], view["moments"][1]["answer"]["place"]) == (
        "ask",
        "ref",
        "t",
        1,
    )
    assert make_prompt_view(StoredCompletions(), tmp_path, "zzz") is None
    write(step_file(tmp_path, 40), [store(0, "z", None, prompt="as text"), store(0, "z", -0.5, prompt="as text")])
    low = make_prompt_view(StoredCompletions(), tmp_path, "z")
    assert (low["moments"][0]["answer"]["reward"], low["prompt"], low["reference"]) == (-0.5, "as text", "")
    assert [step for step, _, _ in follow_prompt(tmp_path, "a")] == [20, 30]
    assert str(show_difference("<b>", "<b> x")) == "&lt;b&gt;<ins> x</ins>"


def test_errors_when_functions_failed_then_counted_by_function_with_reasons_of_one_kind_together(tmp_path):
    """Numbers within a reason do not part it; the function that failed most comes first, its eight first places."""
    fault = {"status": "error", "reason": "row 7 raised", "version": "2"}
    write(
        step_file(tmp_path, 10),
        [store(0, f"r{n}", 0.0, scores={"f": {**fault, "reason": f"row {n} raised"}}) for n in range(9)],
    )
    write(
        tmp_path / "eval" / "final.jsonl",
        [store(0, "x", 0.0, scores={"a": fault, "f": {"status": "value", "reason": "error"}, "h": 1})],
    )
    write(step_file(tmp_path, 20), [store(0, "y", 0.0, scores={"f": {**fault, "reason": "another"}})])
    first, second = make_errors_view(tmp_path)
    assert (first["function"], first["errors"], first["reasons"], first["versions"]) == (
        "f",
        10,
        [("row # raised", 9), ("another", 1)],
        ["2"],
    )
    assert len(first["examples"]) == 8 and first["examples"][0] == ("steps/10", "r0")
    assert (second["function"], second["errors"], second["examples"]) == ("a", 1, [("evals/final", "x")])


def test_rows_that_changed_when_two_runs_are_compared_then_the_farthest_falls_and_rises_lead(tmp_path):
    """By the judged checkpoint where both have one, else by the end; rows of one run alone and equal ones are left out."""
    first, other = tmp_path / "one", tmp_path / "two"
    write(first / "eval" / "final.jsonl", [store(0, n, 0.5) for n in "abcdg"] + [store(0, "e", 0.5, task="u")])
    write(
        other / "eval" / "final.jsonl",
        [
            store(0, "a", 0.0),
            store(0, "b", 0.25),
            store(0, "c", 1.0),
            store(0, "d", 0.5),
            store(0, "e", 0.9),
            store(0, "g", 0.75),
            store(0, "f", 0.9),
        ],
    )
    found = changed_rows(first, other)
    assert [(row["id"], row["change"]) for row in found["fell"]] == [("a", -0.5), ("b", -0.25)]
    assert [(row["id"], row["before"], row["after"]) for row in found["rose"]] == [("c", 0.5, 1.0), ("g", 0.5, 0.75)]
    write(
        other / "eval" / "final.jsonl",
        [store(0, "a", None), store(0, "g", 0.75), store(0, "c", 1.0), store(0, "b", 0.25), store(0, "d", 0.0)],
    )
    found = changed_rows(first, other)
    assert [[row["id"] for row in found[side]] for side in ("fell", "rose")] == [["d", "b"], ["c", "g"]]
    assert len(changed_rows(first, other, most=1)["fell"]) == 1
    write(first / "eval" / "judged.jsonl", [store(0, "a", 0.0)])
    assert changed_rows(first, other)["rose"][0]["id"] == "c"
    write(other / "eval" / "judged.jsonl", [store(0, "a", 1.0)])
    assert [row["id"] for row in changed_rows(first, other)["rose"]] == ["a"] and changed_rows(first, other)[
        "fell"
    ] == []


def test_margin_when_several_questions_have_one_then_the_one_that_would_turn_first_is_named():
    """On whichever side of its threshold."""
    path = [{"name": "a", "margin": 0.2}, {"name": "b", "margin": -0.05}, {"name": "c", "margin": None}, "odd"]
    assert find_margin({"path": path}) == (-0.05, "b") and find_margin({}) == (None, None)


def test_trace_when_a_margin_crossed_zero_then_the_line_crosses_the_mark():
    """From -0.1 to 0.1 with an eighth of room: zero in the middle."""
    drawn = str(draw_trace([(50, -0.1), (150, 0.1)]))
    low, high = round(100 * 0.224 / 0.248, 2), round(100 * 0.024 / 0.248, 2)
    assert f'<path class="mark" d="M0 50.0H100"/><path class="line" d="M2.0 {low}L98.0 {high}"/>' in drawn
    assert f'd="M98.0 {high}h.01"' in drawn and "<title>50: -0.100, 150: +0.100</title>" in drawn
    assert 'd="M0 50.0H100"' in str(draw_trace([(5, 0.0)])), "a margin of nothing has room too"


@pytest.mark.parametrize(("name", "is_one"), [("a", True), ("v4.1", True), ("x" * 200, True), ("x" * 201, False), ("", False), (".a", False), ("a/b", False), ("a\n", False)])  # fmt: skip
def test_name_of_a_run_when_it_is_a_folder_one_step_down_then_it_is_one(name, is_one):
    """None of the service's own, no way up, no control characters."""
    assert is_run_name(name) is is_one
