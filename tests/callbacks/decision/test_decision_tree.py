"""The decision over recorded histories."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbacks.config import DecisionSection
from callbacks.decision.decision import Rung
from callbacks.decision.measures import MEASURES, Schedule
from callbacks.decision.moves import MOVES
from callbacks.decision.tree import ASKS, decide, load_tree
from rewards.statistics.estimates import Estimate

SMALL = Rung("0.5B", "small", "v4_1.yaml", base="v4_2_b.yaml", fix="v4_2_c.yaml")
LARGE = Rung("3.7B", "large", "v4_2_a.yaml")


def row(step, mean, *, n=300, std=0.2, stage=None, **tasks):
    """A metrics row; n 0 leaves counts and spreads out."""
    cells = {"step": step} | ({"stage": stage} if stage else {})
    for name, value in {"mean_reward": mean, **tasks}.items():
        cells[f"eval/{name}"] = value
        if n:
            cells |= {f"eval/{name}_n": n if name == "mean_reward" else max(2, n // 4), f"eval/{name}_std": std}
    return cells


def climb(start, end, steps=600, **tasks):
    """Evaluations every 50 steps on a straight line; a task is a (start, end) pair."""
    shares = [(step, step / steps) for step in range(0, steps + 1, 50)]
    return [
        row(
            step,
            start + (end - start) * share,
            **{name: low + (high - low) * share for name, (low, high) in tasks.items()},
        )
        for step, share in shares
    ]


def decide_here(history, **options):
    return decide(history, rung=SMALL, next_rung=LARGE, **options)


def test_decision_of_v4_1_scales_up():
    """V4.1's 0.645 at the end exhausts the rung: scenario A, the 3.7B config next."""
    decision = decide_here(climb(0.358, 0.645, extraction=(0.17, 0.6)))
    assert (decision.scenario, decision.next_config, decision.task) == ("A", "v4_2_a.yaml", None)
    assert [node.name for node in decision.path] == ["scale"]


def test_decision_of_v4_restarts_from_base():
    """A plateau at 0.476 from step 130 with extraction at 0.17 is scenario B where no schedule is known to explain it."""
    means = [(0, 0.358), (50, 0.42), (100, 0.46), (130, 0.476), (160, 0.474), (200, 0.475)]
    decision = decide_here([row(step, mean, extraction=0.17) for step, mean in means])
    assert (decision.scenario, decision.next_config) == ("B", "v4_2_b.yaml")
    assert [node.outcome for node in decision.path] == ["no", "yes", "yes", "yes", "not judged"]
    assert any(line.startswith("schedule: ") for line in decision.not_judged)


def test_decision_of_v4_with_means_alone_is_the_same_and_says_what_was_not_judged():
    """Without n and std the means decide, and the decision admits that the noise is unknown."""
    decision = decide_here([row(step, 0.476, n=0, extraction=0.17) for step in (10, 130, 200)])
    assert decision.scenario == "B"
    assert any("n or std was not recorded" in line for line in decision.not_judged)
    assert decision.path[0].low is None


def test_decision_of_a_plateau_on_the_base_rung_skips_it():
    """Where there is no Base model to go back to, scenario B names the next rung."""
    base = Rung("0.5B", "base", "v4_2_b.yaml")
    decision = decide([row(step, 0.476, extraction=0.17) for step in (50, 130, 200)], rung=base, next_rung=LARGE)
    assert (decision.scenario, decision.next_config) == ("B", "v4_2_a.yaml")


@pytest.mark.parametrize(
    ("weak", "config"), [("extraction", "v4_2_c.yaml"), ("insights", "v4_2_c.yaml"), ("sql_qa", "v4_2_a.yaml")]
)
def test_decision_of_a_climb_with_one_weak_task_names_it(weak, config):
    """Improving with one task clearly below its floor is scenario C for that task."""
    tasks = {name: (0.3, 0.5) for name in ("extraction", "insights", "sql_qa")} | {weak: (0.05, 0.1)}
    decision = decide_here(climb(0.3, 0.5, **tasks))
    assert (decision.scenario, decision.task, decision.next_config) == ("C", weak, config)


def test_decision_of_a_climb_with_two_weak_tasks_names_the_lowest():
    """The weakest task is the one with the lowest mean."""
    decision = decide_here(climb(0.3, 0.5, extraction=(0.1, 0.15), sql_qa=(0.02, 0.08)))
    assert decision.task == "sql_qa"


def test_decision_with_the_threshold_in_the_noise_is_undecided_and_counts_examples():
    """0.56 of 60 examples cannot be told from 0.55; the missing examples follow from the margin of 0.01."""
    decision = decide_here([row(0, 0.36), row(600, 0.56, n=60, std=0.25)])
    assert decision.scenario == "undecided"
    assert decision.path[-1].outcome == "within noise"
    # (1.96 * 0.25 / 0.01)^2 is 2,401 examples in all
    assert decision.further_examples == pytest.approx(2401 - 60, rel=0.02)


def test_decision_with_a_floor_in_the_noise_is_undecided_for_that_task():
    """A floor inside the interval of a task leaves C open and names the task to evaluate."""
    decision = decide_here(climb(0.3, 0.5, sql_qa=(0.1, 0.19), extraction=(0.2, 0.5)))
    assert decision.scenario == "undecided"
    assert "sql_qa" in decision.action
    assert decision.further_examples > 0


def test_decision_of_a_sound_climb_is_none_of_the_scenarios():
    """Below 0.55, no plateau, no weak task: undecided, and it says why each scenario is out."""
    decision = decide_here(climb(0.3, 0.48, extraction=(0.3, 0.5)))
    assert (decision.scenario, decision.next_config) == ("undecided", None)
    assert all(mark in decision.reason for mark in ("no A", "no B", "no C"))


def test_decision_of_an_empty_history_asks_for_an_evaluation():
    """No evaluation, no scenario; the four questions are answered as not recorded."""
    decision = decide_here([{"step": 1, "reward": 0.5}])
    assert decision.scenario == "undecided"
    assert len(decision.answers) == 4


def test_decision_of_one_evaluation_judges_no_trend():
    """With a single row neither plateau nor improvement can be judged, nor the tasks it lacks, and that is said."""
    decision = decide_here([row(600, 0.4, extraction=0.1)])
    assert decision.scenario == "undecided"
    assert [line.split(": ")[0] for line in decision.not_judged] == ["plateau", "floor", "floor", "improving"]


def test_decision_without_any_task_says_that_floors_could_not_be_judged():
    """A history of the mean alone leaves C open, and says so in one line."""
    decision = decide_here(climb(0.3, 0.45))
    assert [line for line in decision.not_judged if line.startswith("floors: no task was recorded")]


def test_decision_of_a_run_with_tasks_of_its_own_is_not_told_of_the_shop():
    """Floors of tasks that a run does not have are not a gap in its history."""
    decision = decide_here(climb(0.3, 0.45, translation=(0.3, 0.5)))
    assert not any(line.startswith("floor") for line in decision.not_judged)


STUCK = [(0, 0.358), (50, 0.42), (100, 0.46), (130, 0.476), (160, 0.474), (200, 0.475)]


def stand_still(rates=None):
    history = [row(step, mean, extraction=0.17) for step, mean in STUCK]
    return history + [{"step": step, "learning_rate": rate} for step, rate in (rates or {}).items()]


def test_decision_of_a_plateau_under_a_decayed_rate_blames_the_schedule():
    """Recorded rates near nothing explain the plateau: no B, the same rung at a constant rate."""
    decision = decide_here(stand_still({50: 2e-6, 150: 2e-7, 200: 1.5e-10}))
    assert (decision.scenario, decision.cause, decision.next_config) == ("undecided", "schedule", "v4_1.yaml")
    assert decision.path[-1].value == pytest.approx((2e-7 + 1.5e-10) / 2 / 2e-6)


def test_decision_of_a_plateau_under_a_cosine_config_blames_the_schedule_without_recorded_rates():
    """V4's own config says what its rate did: from step 130 to 200 it was on average about a tenth."""
    decision = decide_here(stand_still(), schedule=Schedule("cosine", 200, 2e-6, 20))
    assert decision.cause == "schedule"
    # the mean of (1 + cos(pi p)) / 2 for p from 110/180 to 1
    assert decision.path[-1].value == pytest.approx(0.116, abs=0.01)


def test_decision_of_a_plateau_under_a_constant_rate_is_b():
    """A rate that never fell explains nothing, recorded or by the config."""
    assert decide_here(stand_still({50: 5e-6, 200: 5e-6})).scenario == "B"
    assert decide_here(stand_still(), schedule=Schedule("constant_with_warmup", 600, 5e-6, 30)).scenario == "B"


@pytest.mark.parametrize(
    ("kind", "share"),
    [("constant", 1.0), ("linear", 0.5), ("cosine", 0.5), ("inverse_sqrt", (10 / 60) ** 0.5), ("unheard_of", None)],
)
def test_schedule_when_half_way_then_its_share_is_known(kind, share):
    """Step 60 of 110 with 10 steps of warm-up is the middle; before that the rate rises; an unknown kind is unknown."""
    schedule = Schedule(kind, 110, 1e-5, 10)
    assert schedule.share_at(60) == (None if share is None else pytest.approx(share))
    assert schedule.share_at(5) == 0.5


def test_decision_for_sql_routes_it_to_the_larger_model_and_leaves_the_others():
    """Back and forth on the ladder: each task is served by the rung that suits it."""
    tasks = {name: (0.3, 0.5) for name in ("extraction", "insights")} | {"sql_qa": (0.05, 0.1)}
    decision = decide_here(climb(0.3, 0.5, **tasks))
    assert decision.routes == {"extraction": "0.5B", "insights": "0.5B", "sql_qa": "3.7B"}


def test_tree_when_read_as_data_then_every_name_in_it_leads_somewhere():
    """Questions, measures, conclusions and moves that the tree names exist, and no question or conclusion is unused."""
    data = load_tree()
    asked, concluded = set(), set()

    def walk(branch):
        if isinstance(branch, str):
            concluded.add(branch)
        elif "ask" in branch:
            asked.update(branch["ask"])
            assert {"otherwise"} <= branch.keys()
            for outcome, inner in branch.items():
                if outcome not in ("ask", "combine"):
                    assert outcome in ("yes", "no", "within noise", "not judged", "otherwise")
                    walk(inner)
        else:
            assert set(branch["about"]) <= asked

    walk(data["tree"])
    assert asked == data["questions"].keys()
    assert concluded == data["conclusions"].keys()
    fields = DecisionSection.model_fields
    for question in data["questions"].values():
        assert question["measure"] in MEASURES and question["is"] in ASKS
        limits = question.get("threshold", [])
        for name in limits if isinstance(limits, list) else [limits]:
            assert not isinstance(name, str) or name in fields
        assert question.get("each", "floors") in fields
    for conclusion in data["conclusions"].values():
        assert conclusion.get("move") in MOVES or conclusion["action"]


def test_decision_answers_hold_the_numbers():
    """The four questions carry text and values."""
    answers = decide_here(climb(0.358, 0.645, extraction=(0.17, 0.6), push=(0.5, 0.7))).answers
    assert answers["final_mean"]["value"] == pytest.approx(0.645)
    assert answers["lowest_task"]["task"] == "extraction"
    assert answers["improved_past_step_130"]["answer"].startswith("yes")
    assert answers["parser_changed_extraction"]["step"] == 50


def test_decision_thresholds_of_the_section_are_obeyed():
    """A higher scale_at turns A into something else."""
    history = climb(0.358, 0.645)
    assert decide_here(history, section=DecisionSection(scale_at=0.8)).scenario != "A"


@given(
    st.lists(
        st.tuples(st.integers(0, 600), st.floats(0, 1), st.floats(0, 1), st.integers(0, 400), st.floats(0, 0.5)),
        max_size=8,
    ),
    st.booleans(),
)
def test_decision_of_any_history_is_whole_and_serialisable(points, rehearsal):
    """Whatever was recorded, there is one scenario with an action, and it fits into JSON."""
    history = [row(step, mean, n=n, std=std, extraction=task) for step, mean, task, n, std in points]
    decision = decide_here(history, rehearsal=rehearsal)
    assert decision.scenario in ("A", "B", "C", "undecided")
    assert decision.action and decision.reason and decision.title
    assert (decision.task is not None) == (decision.scenario == "C")
    assert orjson.loads(orjson.dumps(decision.to_json()))["scenario"] == decision.scenario


def rehearse(start, end, paired=None, n=320, **tasks):
    history = [
        row(0, start, n=n, stage="warmup", **{name: first for name, (first, _) in tasks.items()}),
        row(150, end, n=n, stage="final", **{name: last for name, (_, last) in tasks.items()}),
    ]
    return decide_here(history, rehearsal=True, paired=paired)


def test_rehearsal_with_enough_gain_says_that_it_is_one():
    """0.36 to 0.60 passes against its own warm-up, names no next config and says it is a rehearsal."""
    decision = rehearse(0.36, 0.60, extraction=(0.3, 0.5))
    assert (decision.scenario, decision.next_config, decision.rehearsal) == ("A", None, True)
    assert "rehearsal" in decision.reason
    assert "--profile gpu" in decision.action


def test_rehearsal_is_not_held_to_the_thresholds_of_the_0_5b():
    """0.10 to 0.20 is far below 0.55 and still has learnt."""
    assert rehearse(0.10, 0.20).scenario == "A"


def test_rehearsal_with_a_fallen_task_is_c():
    """A task below the low end of the warm-up's interval is named."""
    decision = rehearse(0.36, 0.60, push=(0.6, 0.4), extraction=(0.3, 0.6))
    assert (decision.scenario, decision.task) == ("C", "push")


def test_rehearsal_with_too_small_a_gain_is_undecided():
    """Clear of zero but under a third: real, and not what was asked for."""
    decision = rehearse(0.40, 0.50)
    assert decision.scenario == "undecided"
    assert "33%" in decision.title


def test_rehearsal_with_a_gain_in_the_noise_is_undecided_unless_paired():
    """Rewards per example can show what two means cannot."""
    assert "noise" in rehearse(0.30, 0.34, n=40).title
    paired = {"all": Estimate(0.04, 40, 0.03, 0.03, 0.05)}
    assert "33%" in rehearse(0.30, 0.34, n=40, paired=paired).title


def test_rehearsal_that_lost_is_b():
    """A mean below its warm-up did not learn."""
    assert rehearse(0.5, 0.3).scenario == "B"


def test_rehearsal_without_a_warm_up_cannot_compare():
    """One evaluation alone gives nothing to measure against."""
    assert decide_here([row(150, 0.6, stage="final")], rehearsal=True).scenario == "undecided"


def test_reason_when_a_history_has_means_alone_then_it_claims_nothing_that_was_not_judged():
    """No floor and no extraction were recorded; on a plateau the curve is not called open."""
    standing = [{"step": step, "eval/mean_reward": mean} for step, mean in ((50, 0.47), (100, 0.476), (200, 0.4761))]
    decision = decide_here(standing)
    assert (
        "whether it is stuck without valid JSON was not judged (B), and no floor of a task was judged (C)"
        in decision.reason
    )
    assert "the curve has been flat since its last best" in decision.action
    climbing = [{"step": step, "eval/mean_reward": 0.3 + step / 2000} for step in range(0, 401, 50)]
    assert decide_here(climbing).action.startswith(
        "Continue training from the best checkpoint: the curve is still rising"
    )
    some = decide_here(climb(0.3, 0.5, extraction=(0.4, 0.5), sql_qa=(0.4, 0.5)))
    assert some.reason.endswith("and no task that was judged is below its floor (no C).")
