"""The drawn tree: for every history the path that was taken, and one exit that leads to the decision."""

import pytest

from callbacks.config import DecisionSection
from callbacks.decision.decision import Rung
from callbacks.decision.tree import decide
from grpo.report.tree import lay_out
from grpo.report.verdict import make_decision

RUNG = Rung("0.5B", "small", "v4_1.yaml", base="v4_2_b.yaml", fix="v4_2_c.yaml")


def make_rows(means, *, n=300, std=0.2, **tasks):
    """Evaluations every 50 steps; `tasks` are means that stay the same."""
    return [
        {
            "stage": "warmup" if step == 0 else "train", "step": 50 * step,
            "eval/mean_reward": mean, "eval/mean_reward_n": n, "eval/mean_reward_std": std,
            **{key: value for task, mean in tasks.items() for key, value in ((f"eval/{task}", mean), (f"eval/{task}_n", n), (f"eval/{task}_std", 0.1))},
        }
        for step, mean in enumerate(means)
    ]  # fmt: skip


def draw(rows, **more):
    decision = make_decision(decide(rows, DecisionSection(), rung=RUNG, **more).to_json())
    return decision, lay_out(decision)


@pytest.mark.parametrize(
    ("rows", "scenario", "answer"),
    [
        (make_rows([0.3, 0.5, 0.7], extraction=0.6), "A", "yes"),
        (make_rows([0.3, 0.5, 0.551], extraction=0.6), "?", "within noise"),
        (make_rows([0.2, 0.3, 0.4], extraction=0.1, sql_qa=0.4, insights=0.4), "C", "yes"),
    ],
)
def test_tree_when_a_scenario_is_reached_then_one_exit_is_taken_and_it_is_that_one(rows, scenario, answer):
    """The exit has the decision's scenario and the answer that led there, and stands at the last question asked."""
    decision, tree = draw(rows)
    assert decision["scenario"] == scenario
    taken = [(number, item) for number, stop in enumerate(tree.stops) for item in stop.exits if item.taken]
    assert [(item.scenario, item.answer) for _, item in taken] == [(scenario, answer)]
    asked = [number for number, stop in enumerate(tree.stops) if stop.nodes]
    assert taken[0][0] == asked[-1] and asked == list(range(len(asked)))


def test_tree_when_drawn_then_every_node_of_the_path_is_in_it_once():
    """Nothing that was asked is left out, nothing is said twice."""
    decision, tree = draw(make_rows([0.2, 0.3, 0.4], extraction=0.1, sql_qa=0.4, insights=0.4))
    assert [node for stop in tree.stops for node in stop.nodes] == decision["path"]


def test_tree_when_it_ends_early_then_the_questions_not_asked_follow():
    """The reader sees what else the tree holds, with B and C among its exits."""
    _, tree = draw(make_rows([0.3, 0.5, 0.7], extraction=0.6))
    assert [bool(stop.nodes) for stop in tree.stops] == [True] + [False] * (len(tree.stops) - 1)
    assert len(tree.stops) > 1
    assert {"A", "B", "C"} <= {item.scenario for stop in tree.stops for item in stop.exits}


def test_tree_of_a_rehearsal_is_its_three_questions_in_the_order_that_decides():
    """Whether the gain is real comes before whether it is enough; questions of several tasks are one stop."""
    rows = make_rows([0.2, 0.3, 0.4], extraction=0.3, sql_qa=0.4)
    decision, tree = draw(rows, rehearsal=True)
    assert [stop.nodes[0]["name"].split(":")[0] for stop in tree.stops] == ["clear of zero", "not fallen", "gain"]
    assert len(tree.stops[1].nodes) == 2
    assert (decision["scenario"], tree.ended) == ("A", False)


def test_tree_of_a_rehearsal_that_did_not_learn_takes_the_exit_to_b():
    """No gain leaves at the first question."""
    decision, tree = draw(make_rows([0.4, 0.3, 0.2], extraction=0.3), rehearsal=True)
    taken = [item for stop in tree.stops for item in stop.exits if item.taken]
    assert decision["scenario"] == "B"
    assert [item.scenario for item in taken] == ["B"]


def test_tree_of_a_path_that_fits_no_rules_is_the_path_itself():
    """A decision of another version is still drawn, in its own order."""
    path = [{"name": name, "question": name, "outcome": "no"} for name in ("b", "a")]
    tree = lay_out({"path": path})
    assert [stop.nodes[0]["name"] for stop in tree.stops] == ["b", "a"]
    assert lay_out({}).stops == ()
