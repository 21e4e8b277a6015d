"""What the decision tree hands over: the nodes it passed, the scenario, what to do next."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from rewards.statistics.estimates import POWERS, Estimate, examples_to_decide

Scenario = Literal["A", "B", "C", "undecided"]
Outcome = Literal["yes", "no", "within noise", "not judged"]
TREES = RECIPE, REHEARSAL, OWN = ("recipe", "rehearsal", "own")
"""The shop's recipes against their thresholds, a run against its own warm-up, and one's own rows against their start."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One size of the ladder and the shipped configs that belong to it; None where there is none.

    `base` starts from the Base model with an SFT warm-up (scenario B), `fix` aims at the weakest task (scenario C).
    """

    name: str
    model: str
    config: str | None = None
    base: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionNode:
    """One question of the tree. `margin` is value - threshold; `low` and `high` the 95 % interval of the value;
    `further_examples` what would bring a margin within the noise clear of it with an even chance, `further_examples_80`
    with one of 80 %, None where that cannot be said. `of_change` says that the value is a change since the start."""

    name: str
    question: str
    outcome: Outcome
    value: float | None = None
    threshold: float | None = None
    margin: float | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None
    further_examples: int | None = None
    note: str = ""
    task: str | None = None
    further_examples_80: int | None = None
    of_change: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision after a run. `reason` says in a sentence why, `action` what to do; `task` is set in scenario C.

    `not_judged` names what the recorded history was too poor to judge; `answers` holds the four questions of the recipe.
    `cause` is `schedule` where a plateau is the schedule's; `routes` says which rung serves which task where one of them
    goes to a larger model. `tree` names the tree that was walked; of one's own rows (`own`) there is no rung to speak of.
    """

    scenario: Scenario
    title: str
    action: str
    reason: str
    rung: str
    rehearsal: bool
    step: int | None = None
    task: str | None = None
    next_config: str | None = None
    further_examples: int | None = None
    further_examples_80: int | None = None
    path: tuple[DecisionNode, ...] = ()
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    not_judged: tuple[str, ...] = ()
    cause: str | None = None
    routes: dict[str, str] = field(default_factory=dict)
    tree: str = RECIPE

    def to_json(self) -> dict[str, Any]:
        """Plain data for decision.json."""
        data = asdict(self)
        data["path"] = [
            {**asdict(node), "interval": None if node.low is None else [node.low, node.high]} for node in self.path
        ]
        data["not_judged"] = list(self.not_judged)
        if self.tree == OWN:
            del data["rung"]
        return data


def ask_at_least(
    name: str, question: str, estimate: Estimate, threshold: float, note: str = "", task: str | None = None
) -> DecisionNode:
    """Whether the mean is at least the threshold; within noise when the threshold lies inside the interval."""
    return _compare(name, question, estimate, threshold, note, task, above="yes", below="no", includes_threshold="yes")


def ask_below(
    name: str, question: str, estimate: Estimate, threshold: float, note: str = "", task: str | None = None
) -> DecisionNode:
    """Whether the mean is below the threshold; within noise when the threshold lies inside the interval."""
    return _compare(name, question, estimate, threshold, note, task, above="no", below="yes", includes_threshold="no")


def ask_above(
    name: str, question: str, estimate: Estimate, threshold: float, note: str = "", task: str | None = None
) -> DecisionNode:
    """Whether the mean is above the threshold; within noise when the threshold lies inside the interval."""
    return _compare(name, question, estimate, threshold, note, task, above="yes", below="no", includes_threshold="no")


def ask_no_gain(
    name: str, question: str, estimate: Estimate, threshold: float, note: str = "", task: str | None = None
) -> DecisionNode:
    """Whether a gain stayed at or below the threshold. The curve as it was recorded says yes; only a gain that is clear
    of zero says no."""
    node = _compare(name, question, estimate, threshold, note, task, above="no", below="yes", includes_threshold="yes")
    if node.margin is None:
        return node
    outcome: Outcome = "yes" if node.margin <= 0 else "no"
    if outcome == "no" and node.low is not None and node.low <= 0.0:
        outcome = "within noise"
    if outcome != "within noise":
        return replace(node, outcome=outcome, further_examples=0, further_examples_80=0)
    return replace(node, outcome=outcome)


def count_further(estimate: Estimate, margin: float) -> dict[str, Any]:
    """Both fields of a node whose margin lies within the noise."""
    half, most = (examples_to_decide(estimate, margin, power=power) for power in POWERS)
    return {"further_examples": half, "further_examples_80": most}


def _compare(
    name: str,
    question: str,
    estimate: Estimate,
    threshold: float,
    note: str,
    task: str | None,
    *,
    above: Outcome,
    below: Outcome,
    includes_threshold: Outcome,
) -> DecisionNode:
    if estimate.mean is None:
        return DecisionNode(
            name,
            question,
            "not judged",
            threshold=threshold,
            n=estimate.n,
            note=note or "nothing was scored",
            task=task,
        )
    margin = estimate.mean - threshold
    outcome: Outcome = (above if margin > 0 else below) if margin else includes_threshold
    further: dict[str, Any] = {"further_examples": 0, "further_examples_80": 0}
    if estimate.low is None or estimate.high is None:
        further = {}
    elif estimate.low < threshold <= estimate.high:
        outcome, further = "within noise", count_further(estimate, margin)
    return DecisionNode(
        name,
        question,
        outcome,
        value=estimate.mean,
        threshold=threshold,
        margin=margin,
        n=estimate.n,
        low=estimate.low,
        high=estimate.high,
        **further,
        note=note,
        task=task,
    )
