"""Where the report's drawings put things, and which lines and curves it draws, against places worked out by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callbacks.evaluation.history import Evaluation
from grpo.report.charts import (
    ChartFrame,
    Curve,
    Point,
    draw,
    draw_spread,
    find_ticks,
    lay_out_chart,
    share_scale,
    smooth,
    thin,
)
from grpo.report.curves import draw_tasks, make_curves, make_lines, read_bounds, read_thresholds, read_watch
from grpo.report.run_files import RunFiles
from rewards.statistics.estimates import ALL, Estimate


def test_frame_when_steps_and_values_are_known_then_the_ends_stand_at_the_ends():
    """Steps run from 1.5 to 98.5; 0.2 to 0.8 has a tenth of room, and a curve of rewards none below nothing."""
    frame = ChartFrame([100, 0, 50], [0.2, 0.8])
    assert [frame.x(step) for step in (0, 50, 100)] == [1.5, 50.0, 98.5]
    assert (frame.low, frame.high) == pytest.approx((0.14, 0.86))
    assert [ChartFrame([50, 150], [0.5]).x(step) for step in (50, 100, 150)] == [1.5, 50.0, 98.5]
    assert [frame.y(value) for value in (0.86, 0.5, 0.14, 9.0, -9.0)] == [0.0, 50.0, 100.0, 0.0, 100.0]
    assert ChartFrame([1], [0.0, 1.0]).low == 0.0 and ChartFrame([1], [-1.0, 1.0]).low == pytest.approx(-1.2)
    assert ChartFrame([0, 1], [0.3], (0.0, 2.0)).high == 2.0


def test_frame_when_there_is_one_value_or_none_then_it_has_room_around_it():
    """A fifth of the value, 0.02 at least; a single step stands at the left."""
    frame = ChartFrame([7], [0.5])
    assert (frame.x(7), frame.x(8), frame.low, frame.high) == (1.5, 98.5, 0.4, 0.6)
    assert (ChartFrame([7], [0.0]).low, ChartFrame([7], [0.0]).high) == (0.0, 0.02)
    assert ChartFrame([], []).y(1.1) == 0.0 and ChartFrame([], []).x(0) == 1.5 and ChartFrame([], []).x(1) == 98.5


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]), (0.14, 0.86, [0.2, 0.4, 0.6, 0.8]), (0.0, 4.0, [0, 1, 2, 3, 4]), (3.0, 3.0, []),
        (0.0, float("inf"), []), (float("-inf"), 0.0, []), (-0.1, 0.1, [-0.1, -0.05, 0.0, 0.05, 0.1]), (0.0, 20.0, [0, 5, 10, 15, 20]), (0.0, 4.01, [0, 2, 4]),
    ],
)  # fmt: skip
def test_ticks_when_a_range_is_given_then_they_are_round_and_within_it(low, high, ticks):
    """Steps of 1, 2, 2.5, 5 times a power of ten."""
    assert find_ticks(low, high) == ticks


def test_ticks_of_steps_when_there_are_few_then_they_are_whole():
    """Half a step is none."""
    assert find_ticks(0, 2, whole=True) == [0, 1, 2] and find_ticks(0, 10, whole=True) == [0, 2, 4, 6, 8, 10]


def test_smooth_when_a_run_is_long_then_each_value_is_the_mean_of_the_last_twentieth():
    """Forty values: two at a time; fewer than forty stay as they are."""
    assert smooth([1.0, 3.0, 5.0]) == [1.0, 3.0, 5.0] and smooth([2.0] * 39 + [4.0])[-1] == 3.0
    values = [float(number) for number in range(60)]
    assert smooth(values)[:4] == [0.0, 0.5, 1.0, 2.0] and smooth(values)[-1] == 58.0
    assert smooth([]) == []


def test_thin_when_there_are_too_many_points_then_neighbours_are_averaged_and_the_last_stays():
    """Ten into three: two means of five, and the tenth."""
    pairs = [(float(n), float(n) * 2) for n in range(10)]
    assert thin(pairs, 3) == [(2.0, 4.0), (7.0, 14.0), (9.0, 18.0)]
    assert thin(pairs, 10) == pairs and len(thin([(0.0, 0.0)] * 1000)) == 400


CURVE = Curve(
    "all tasks",
    [Point(0, 0.2, 0.1, 0.3, 40), Point(100, 0.6, 0.5, 0.7)],
    marks=[("floor", 0.5)],
    best_step=100,
    before=0.15,
)


def test_chart_when_laid_out_then_line_band_marks_and_dots_stand_where_the_numbers_are():
    """0.1 to 0.7 with a tenth of room: 0.04 to 0.76, so 0.4 is the middle."""
    drawing = lay_out_chart(CURVE)
    low, high = 0.1 - 0.06, 0.7 + 0.06

    def y(value):
        return round(100 * (1 - (value - low) / (high - low)), 2)

    assert f'<path class="line" d="M1.5 {y(0.2)}L98.5 {y(0.6)}"/>' in drawing.shapes
    band = f"M1.5 {y(0.3)}L98.5 {y(0.7)}L98.5 {y(0.5)}L1.5 {y(0.1)}Z"
    assert f'<path class="band" d="{band}"/>' in drawing.shapes
    assert f'<path class="range" d="M1.5 {y(0.1)}V{y(0.3)}"/>' in drawing.shapes
    assert f'<path class="mark" d="M0 {y(0.5)}H100"/>' in drawing.shapes
    assert f'<path class="hollow" d="M1.5 {y(0.15)}h.01"/>' in drawing.shapes
    titles = re.findall("<title>([^<]*)</title>", drawing.shapes)
    assert titles == [
        "before any training: 0.150",
        "step 0: 0.200 (0.100 to 0.300), n 40",
        "step 100: 0.600 (0.500 to 0.700), best checkpoint",
    ]
    assert (
        f'<path class="best" d="M98.5 {y(0.6)}h.01"/>' in drawing.shapes and drawing.shapes.count('class="core"') == 1
    )
    assert drawing.shapes.count('class="best"') == 1 and drawing.shapes.count('class="dot"') == 2
    # The start lies farther from the line than the end, so its name stands at the left.
    assert drawing.names == [("left", False, y(0.5), "floor")]
    assert drawing.said == "all tasks: 0.200 at step 0, 0.600 at step 100; floor"
    assert drawing.y_ticks == [(y(0.2), "0.2"), (y(0.4), "0.4"), (y(0.6), "0.6")]
    assert [said for _, said in drawing.x_ticks] == ["0", "25", "50", "75", "100"]


def test_chart_when_an_interval_is_missing_or_there_is_one_point_then_no_band_or_line_claims_it():
    """What is not known of one evaluation is drawn of none; one evaluation is a dot."""
    bare = lay_out_chart(Curve("a", [Point(0, 0.2, 0.1, 0.3), Point(9, 0.4)], before=0.9)).shapes
    assert 'class="band"' not in bare and 'class="range"' not in bare and 'class="line"' in bare
    assert 'class="hollow"' not in bare, "0.9 lies above the picture"
    assert 'class="line"' not in lay_out_chart(Curve("a", [Point(3, 0.2)])).shapes
    empty = lay_out_chart(Curve("a"))
    assert (empty.said, "path" in empty.shapes.replace('class="grid"', "")) == ("a: no values", True)
    assert 'class="band"' not in empty.shapes
    assert Curve("a").last is None and CURVE.last == 0.6
    assert Curve("a", values=[(1, 2.0), (2, 4.0), (3, 6.0)]).last == 6.0


def test_chart_when_the_policy_began_at_nothing_then_its_mark_stands_on_the_floor():
    """0 before any training is within a picture that reaches down to 0."""
    assert (
        '<path class="hollow" d="M1.5 100.0h.01"/>'
        in lay_out_chart(Curve("a", [Point(0, 0.0), Point(9, 0.4)], before=0.0)).shapes
    )


def test_chart_when_it_has_three_values_then_first_and_last_count_and_steps_are_whole():
    """The line through all three, the name of the line away from the end that is nearer, no half steps below."""
    drawing = lay_out_chart(Curve("x", values=[(0, 1.0), (1, 0.0), (2, 0.4)], marks=[("m", 0.2)]))
    ys = [round(100 * (1 - value / 1.1), 2) for value in (1.0, 0.0, 0.4)]
    path = f"M1.5 {ys[0]}L50.0 {ys[1]}L98.5 {ys[2]}"
    assert f'<path class="raw" d="{path}"/><path class="line" d="{path}"/>' in drawing.shapes
    assert drawing.names[0][0] == "left" and [said for _, said in drawing.x_ticks] == ["0", "1", "2"]
    assert drawing.said == "x: 1 at step 0, 0.4 at step 2; m"
    points = Curve("x", [Point(0, 0.3), Point(1, 0.9), Point(2, 0.5)], marks=[("m", 0.2)])
    assert lay_out_chart(points).names[0][0] == "right" and lay_out_chart(points).said.startswith(
        "x: 0.300 at step 0, 0.500 at step 2"
    )


def test_chart_when_a_metric_has_a_band_and_events_then_both_are_drawn_behind_it():
    """A band without an upper end reaches the top; two events at one step are one line; the name of a high line goes below it."""
    curve = Curve(
        "x", values=[(0, 0.0), (100, 1.0)], band=(0.5, None, "expected"), events=[50, 50], marks=[("top", 1.0)]
    )
    drawing = lay_out_chart(curve)
    bottom, top = round(100 * (1 - 0.5 / 1.1), 2), round(100 * (1 - 1.0 / 1.1), 2)
    assert drawing.shapes.startswith(f'<path class="expected" d="M0 0.0H100V{bottom}H0Z"/>')
    assert drawing.shapes.count('<path class="event" d="M50.0 0V100"/>') == 1
    assert drawing.names == [("left", True, top, "top"), ("left", True, 0.0, "expected")]
    assert drawing.said == "x: 0 at step 0, 1 at step 100; top"
    within = lay_out_chart(Curve("x", values=[(0, 0.0), (100, 1.0)], band=(2.0, 3.0, "far"))).shapes
    assert f"M0 {round(100 * (1 - 3.0 / 3.3), 2)}H100V{round(100 * (1 - 2.0 / 3.3), 2)}H0Z" in within
    below = lay_out_chart(Curve("x", values=[(0, 1.0), (100, 0.0)], band=(None, 0.5, "e"), marks=[("low", 0.2)]))
    assert below.names[0][:2] == ("left", False)
    assert lay_out_chart(Curve("x", values=[(0, 0.0), (9, 1.0)], marks=[("m", 0.2)])).names[0][0] == "right"
    assert "100.0H0Z" in below.shapes


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.0, 20000.0), ["0", "5000", "10k", "15k", "20k"]), ((0.0, 0.0004), ["0", "0.0001", "0.0002", "0.0003", "0.0004"]), ((0.0, 0.004), ["0.000", "0.001", "0.002", "0.003", "0.004"]),
        ((0.0, 1.0), ["0.00", "0.25", "0.50", "0.75", "1.00"]), ((0.0, 8.0), ["0", "2", "4", "6", "8"]), ((0.0, 0.2), ["0.00", "0.05", "0.10", "0.15", "0.20"]),
    ],
)  # fmt: skip
def test_chart_when_its_scale_is_labelled_then_with_as_many_digits_as_its_steps_need(values, said):
    """Thousands as k, very small ones as they are."""
    assert [text for _, text in lay_out_chart(Curve("x", values=list(enumerate(values))), values).y_ticks] == said


def test_scale_when_it_is_shared_then_it_holds_every_curve_and_line():
    """0.2 to 0.7 with 0.08 of it on each side, and not below nothing."""
    curves = [Curve("a", [Point(0, 0.3, 0.2, 0.4)]), Curve("b", [Point(0, 0.5)], marks=[("m", 0.7)])]
    assert share_scale(curves) == pytest.approx((0.16, 0.74))
    assert share_scale([Curve("a", [Point(0, 0.01), Point(1, 0.5)])])[0] == 0.0
    assert share_scale([Curve("a", [Point(0, 0.0), Point(1, 0.5)])])[0] == 0.0
    assert share_scale([Curve("a", [Point(0, -0.5), Point(1, 0.5)])]) == pytest.approx((-0.58, 0.58))
    assert share_scale([Curve("a", [Point(0, 0.3)])]) == pytest.approx((0.25, 0.35)) and share_scale([]) is None


def test_chart_when_it_is_html_then_its_texts_are_escaped_and_its_numbers_written_as_asked():
    """Names of lines, what is read aloud, and the places of both scales."""
    html = draw(
        Curve("<a>", [Point(0, 0.5), Point(10, 0.5)], marks=[("<m>", 0.59)]), write=lambda text: text.replace(".", ",")
    )
    assert 'aria-label="&lt;a&gt;: 0.500 at step 0, 0.500 at step 10; &lt;m&gt;"' in html
    assert '<span class="name right below" style="top:8.33%">&lt;m&gt;</span>' in html
    assert '<span class="name right" ' in draw(Curve("a", [Point(0, 0.5), Point(10, 0.5)], marks=[("m", 0.45)]))
    assert ">0,50</span>" in html and '<span style="left:1.5%">0</span>' in html


def test_spread_when_drawn_then_means_intervals_and_the_line_stand_on_one_scale():
    """Of 0 to 0.8, 0.4 is the middle; two marks stand at a third and at two thirds."""
    drawn = draw_spread(
        [("before", "at first", Point(0, 0.2)), ("final", "at last", Point(0, 0.4, 0.3, 1.0))], 0.8, 0.6
    )
    assert '<path class="mark" d="M75.0 0V100"/>' in drawn
    assert '<path class="dot before" d="M25.0 33.3h.01"/><path class="core"' in drawn
    assert (
        '<path class="reach final" d="M37.5 66.7H100.0"/>' in drawn
        and '<path class="dot final" d="M50.0 66.7h.01"/>' in drawn
    )
    assert drawn.count('class="core"') == 1 and drawn.count('class="reach') == 1
    assert "<title>at first: 0.200</title>" in drawn and "<title>at last: 0.400 (0.300 to 1.000)</title>" in drawn
    assert 'aria-label="at first 0.200; at last 0.400"' in drawn
    assert 'class="mark"' not in draw_spread([], 0.0)
    assert 'd="M50.0 50.0h.01"' in draw_spread([("final", "at last", Point(0, 0.5))], 0.0)


def give(mean, low=None, high=None):
    return Estimate(mean, 100, 0.2, low, high)


def make_run(relative_to="thresholds", *, decision=None, **parts):
    config = {"decision": {"relative_to": relative_to, **(decision or {})}, **parts.pop("config", {})}
    return RunFiles(Path("runs/small"), config=config, **parts)


EVALUATIONS = [
    Evaluation("before", 0, {ALL: give(0.1), "sql_qa": give(0.1), "push": give(0.1)}),
    Evaluation("warmup", 0, {ALL: give(0.3, 0.2, 0.4), "sql_qa": give(0.2, 0.15, 0.25), "push": give(0.4, 0.35, 0.45)}),
    Evaluation("final", 50, {ALL: give(0.6, 0.5, 0.7), "sql_qa": give(None), "push": give(0.7, 0.6, 0.8)}),
]


@pytest.mark.parametrize(
    ("relative_to", "decision", "marks"),
    [
        ("thresholds", {}, {"all tasks": [("scale up at 0.55", 0.55)], "push": [], "sql_qa": [("floor 0.2", 0.2)]}),
        ("warmup", {"target": 0.8}, {"all tasks": [("warm-up +33%", pytest.approx(0.399))], "push": [("low end of the warm-up", 0.35)], "sql_qa": [("low end of the warm-up", 0.15)]}),
        ("baseline", {}, {"all tasks": [], "push": [("low end of the start", 0.35)], "sql_qa": [("low end of the start", 0.15)]}),
        ("baseline", {"target": 0.8}, {"all tasks": [("target 0.8", 0.8)], "push": [("low end of the start", 0.35)], "sql_qa": [("low end of the start", 0.15)]}),
    ],
)  # fmt: skip
def test_curves_when_drawn_then_each_has_the_lines_its_tree_held_it_against(relative_to, decision, marks):
    """The recipe's thresholds, the warm-up's, or those of one's own rows."""
    run = make_run(relative_to, decision=decision, evaluations=EVALUATIONS)
    run.best.step = 50
    curves = make_curves(run)
    assert {curve.name: list(curve.marks) for curve in curves} == marks
    assert [(point.step, point.mean, point.low, point.high, point.n) for point in curves[0].points] == [
        (0, 0.3, 0.2, 0.4, 100),
        (50, 0.6, 0.5, 0.7, 100),
    ]
    assert [point.step for point in curves[2].points] == [0], "nothing of sql_qa was scored at the end"
    assert [(curve.before, curve.best_step) for curve in curves] == [(0.1, 50)] * 3
    assert make_curves(make_run(relative_to, evaluations=EVALUATIONS[2:]))[0].before is None
    cold = make_curves(make_run(relative_to, evaluations=[EVALUATIONS[0], EVALUATIONS[2]]))[0]
    assert ([point.step for point in cold.points], cold.before) == ([50], 0.1)
    bare = [Evaluation("warmup", 0, {ALL: give(0.3), "push": give(0.4), "sql_qa": give(None)}), EVALUATIONS[2]]
    assert not [
        mark
        for curve in make_curves(make_run(relative_to, evaluations=bare))[1:]
        for mark in curve.marks
        if "start" in mark[0] or "warm-up" in mark[0]
    ]


def test_lines_when_a_metric_was_recorded_twice_then_it_is_drawn_with_its_bounds_near_it():
    """A bound far above all values is not drawn; events of the metric are; once is no line."""
    metrics = [
        {"stage": "train", "step": step, "frac_reward_zero_std": value, "entropy": 0.5}
        for step, value in ((1, 0.1), (2, 0.3))
    ]
    metrics += [{"stage": "warmup", "step": 0, "entropy": 9.0}, {"stage": "train", "step": 3, "kl": 0.1}]
    events = [{"metric": "entropy", "step": 2}, {"metric": "entropy", "step": "x"}, {"metric": "kl", "step": 1}]
    lines = {line.name: line for line in make_lines(make_run(metrics=metrics, events=events))}
    assert list(lines) == ["zero-spread groups", "entropy"]
    assert list(lines["zero-spread groups"].values) == [(1, 0.1), (2, 0.3)]
    assert ("stop at 0.5, mean of 30", 0.5) in lines["zero-spread groups"].marks, "0.3 is six tenths of it"
    assert lines["entropy"].events == [2] and list(lines["entropy"].values) == [(1, 0.5), (2, 0.5)]
    lower = [{**row, "frac_reward_zero_std": row.get("frac_reward_zero_std", 0) * 0.99} for row in metrics[:2]]
    assert ("stop at 0.5, mean of 30", 0.5) not in make_lines(make_run(metrics=lower))[0].marks


def watched(rules, **more):
    return read_bounds(make_run(decision={"watch": {"rules": rules, **more.pop("watch", {})}}, **more))


RULE = {"metric": "loss", "above": 2.0, "action": "warn"}


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({}, "warn at 2"),
        ({"above": None, "below": 2.0}, "warn below 2"),
        ({"window": 5, "over": "mean"}, "warn at 2, mean of 5"),
        ({"window": 5, "over": "last"}, "warn at 2"),
        ({"window": 2}, "warn at 2, 2 in a row"),
        ({"until_step": 9}, None),
        ({"enabled": False}, None),
        ({"only_with": ["beta"]}, None),
    ],
)
def test_bounds_when_a_rule_is_written_then_its_line_says_what_it_does(change, label):
    """Where it warns, on which side, and over how many steps; a rule of the first steps only is no line."""
    rule = {key: value for key, value in {**RULE, **change}.items() if value is not None}
    assert [said for _, said in watched({"mine": rule}).get("loss", [])] == ([] if label is None else [label])


def test_bounds_when_watching_is_off_or_the_rule_needs_what_is_there_then_it_follows():
    """With beta the rules of the KL hold; nothing is drawn where nothing is watched."""
    with_beta = {"mine": {**RULE, "only_with": ["beta"]}}
    assert watched(with_beta, config={"grpo": {"beta": 0.1}})["loss"] == [(2.0, "warn at 2")]
    assert watched({"mine": RULE}, watch={"enabled": False}) == {}


def test_bounds_when_a_rule_is_a_share_of_a_setting_then_the_line_is_at_that_share():
    """Nineteen twentieths of 200 tokens; nothing where the setting is not a number."""
    bounds = watched({}, config={"grpo": {"max_completion_length": 200, "max_steps": "many"}})
    assert (190.0, "stop at 190, mean of 10") in bounds["completions/mean_length"]
    assert "stop" not in str(watched({}, config={"grpo": {"max_completion_length": "long"}})["completions/mean_length"])


@pytest.mark.parametrize(
    ("relative_to", "watch", "band"),
    [
        ("thresholds", {}, (0.05, 0.5, "expected 0.05 to 0.5")),
        ("thresholds", {"enabled": False}, None),
        ("thresholds", {"expected": {"grad_norm": {"low": 0.1, "high": 0.4, "enabled": False}}}, None),
        ("thresholds", {"expected": {"grad_norm": {"low": 0.1, "high": None}}}, (0.1, None, "expected above 0.1")),
        ("baseline", {}, None),
    ],
)
def test_lines_when_a_band_is_expected_then_it_is_drawn_where_its_facts_hold(relative_to, watch, band):
    """The recipe's bands belong to the recipe; one that is switched off is not drawn."""
    metrics = [{"stage": "train", "step": step, "grad_norm": 0.2} for step in (1, 2)]
    (line,) = make_lines(make_run(relative_to, decision={"watch": watch}, metrics=metrics))
    assert line.band == band


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        ({}, {"beta": False, "recipe": True}),
        ({"decision": {"relative_to": "thresholds"}, "grpo": {"beta": 0.04}}, {"beta": True, "recipe": True}),
        ({"decision": {"relative_to": "baseline"}}, {"beta": False, "recipe": False}),
        ({"decision": {"watch": {"rules": 5}}}, {"beta": False, "recipe": True}),
    ],
)
def test_watch_when_it_is_read_then_the_facts_of_the_run_come_with_it(config, facts):
    """Rules that cannot be read leave the shipped ones."""
    watch, found = read_watch(RunFiles(Path("x"), config=config))
    assert found == facts and watch.enabled and "kl" in watch.rules


def test_tree_when_the_decision_names_it_then_that_counts_else_the_config():
    """A made decision's tree, then what the config says, then that it was a rehearsal."""
    assert read_thresholds(make_run("thresholds", decision={"scale_at": 0.7}))[0].scale_at == 0.7
    made = RunFiles(Path("x"), config={"decision": {"relative_to": "thresholds"}}, decision={"tree": "own"})
    assert read_thresholds(made)[1] == "own"
    odd = RunFiles(
        Path("x"), config={"decision": {"relative_to": "thresholds", "scale_at": 7}}, decision={"tree": "odd"}
    )
    assert (read_thresholds(odd)[1], read_thresholds(odd)[0].scale_at) == ("recipe", 0.55)
    assert read_thresholds(RunFiles(Path("x"), decision={"rehearsal": True}))[1] == "rehearsal"
    later = make_run(decision={"scale_at": 0.7, "of another version": 1, "watch": {"rules": 5}})
    assert read_thresholds(later)[0].scale_at == 0.7
    mine = [Evaluation("final", 9, {ALL: give(0.5), "mine": give(0.5)})]
    assert (
        read_thresholds(RunFiles(Path("x"), config={"decision": {"relative_to": "auto"}}, evaluations=mine))[1] == "own"
    )
    assert read_thresholds(RunFiles(Path("x"), decision={"rehearsal": 1}))[1] == "recipe"


def test_tasks_when_drawn_then_all_stand_on_one_scale_that_holds_the_highest_and_the_lines():
    """0.7 with a twelfth of room is 0.756; a threshold above that widens it; nothing is wider than 1."""
    stages = {"before": give(0.1), "warmup": None, "sft": give(None), "final": give(0.5, 0.3, 0.7)}
    rows = [{"task": "push", **stages}, {"task": "none", **dict.fromkeys(stages)}]
    drawn, bare = draw_tasks(make_run("baseline"), rows)
    assert drawn["most"] == pytest.approx(0.756) and drawn["spread"].count('class="hit"') == 2 and "spread" not in bare
    assert "<title>before training: 0.100</title>" in drawn["spread"]
    assert draw_tasks(make_run(decision={"scale_at": 0.9}), [{**rows[0], "task": ALL}])[0]["most"] == pytest.approx(
        0.972
    )
    assert (
        'class="mark"'
        in draw_tasks(make_run("baseline", decision={"target": 0.5}), [{**rows[0], "task": ALL}])[0]["spread"]
    )
    assert 'class="mark"' not in draw_tasks(make_run("baseline"), [{**rows[0], "task": ALL}])[0]["spread"]
    assert 'class="mark"' not in draw_tasks(make_run("warmup"), [{**rows[0], "task": ALL}])[0]["spread"]
    high = {"task": "push", **stages, "final": give(0.99)}
    low = {"task": "push", **dict.fromkeys(stages), "final": give(0.01)}
    assert (draw_tasks(make_run(), [high])[0]["most"], draw_tasks(make_run(), [low])[0]["most"]) == (1.0, 0.1)
    assert draw_tasks(make_run(), [{"task": "t", **dict.fromkeys(stages)}]) == [{"task": "t", **dict.fromkeys(stages)}]
