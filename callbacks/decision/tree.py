"""The decision after a run: scale up, restart from the Base model, fix one task, or say that it cannot be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from callbacks.config import DecisionSection
from callbacks.decision.answers import answer_questions
from callbacks.decision.decision import Decision, Node, Outcome, Rung, ask_above, ask_at_least, ask_below, ask_no_gain
from callbacks.decision.measures import MEASURES, Recorded, Schedule
from callbacks.decision.moves import MOVES, route_tasks
from callbacks.decision.rehearsal import decide_against_warmup
from callbacks.evaluation.history import read_evaluations, read_rates
from rewards.statistics.estimates import ALL, Estimate, stratify

ASKS = {"at_least": ask_at_least, "above": ask_above, "below": ask_below, "no_gain": ask_no_gain}


@lru_cache(maxsize=1)
def load_tree() -> Mapping[str, Any]:
    """The tree as data: `questions`, `tree` and `conclusions`; decision_tree.yaml says what each key means."""
    import yaml

    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def decide(
    history: Iterable[Mapping[str, object]],
    section: DecisionSection | None = None,
    *,
    rung: Rung,
    next_rung: Rung | None = None,
    rehearsal: bool = False,
    paired: Mapping[str, Estimate] | None = None,
    schedule: Schedule | None = None,
) -> Decision:
    """Walk the tree over recorded metrics rows.

    A row needs `step` and `eval/mean_reward`; n and std may be missing, then the means decide and `not_judged` says so.
    A rehearsal, and a section with `relative_to: warmup`, is judged against its own warm-up; `paired` then holds the
    paired differences from the warm-up to the end for all and for each task, where rewards per example are at hand.
    `schedule` is what the config asked for, for a history without learning rates.
    """
    rows = list(history)
    section = section or DecisionSection()
    evaluations = [
        replace(item, estimates={**item.estimates, ALL: stratify(item.estimates)}) for item in read_evaluations(rows)
    ]
    if paired and ALL in paired:
        paired = {**paired, ALL: stratify(paired, lowest=-1.0)}
    if not evaluations:
        return Decision(
            scenario="undecided",
            title="No evaluation was recorded",
            action="Evaluate the run on held-out rows, then decide again.",
            reason="The history has no row with eval/mean_reward.",
            rung=rung.name,
            rehearsal=rehearsal,
            answers=answer_questions([], section),
        )
    if rehearsal or section.relative_to == "warmup":
        return decide_against_warmup(
            evaluations,
            section,
            rung=rung,
            next_rung=next_rung,
            rehearsal=rehearsal,
            paired=paired,
            answers=answer_questions(evaluations, section),
        )
    return _Walk(Recorded(evaluations, section, read_rates(rows), schedule, paired), rung, next_rung).run()


class _Walk:
    """One walk through the tree, with the nodes passed so far."""

    def __init__(self, recorded: Recorded, rung: Rung, next_rung: Rung | None):
        self._recorded, self._rung, self._next = recorded, rung, next_rung
        self._path: list[Node] = []
        self._asked: dict[str, list[Node]] = {}

    def run(self) -> Decision:
        branch: Any = load_tree()["tree"]
        while isinstance(branch, Mapping) and "ask" in branch:
            nodes = []
            for name in branch["ask"]:
                self._asked[name] = self._ask(name)
                nodes += self._asked[name]
            self._path += nodes
            outcome = _combine([node.outcome for node in nodes], branch.get("combine", "all"))
            branch = branch.get(outcome, branch.get("otherwise"))
        if isinstance(branch, Mapping):
            return self._leave_open([node for name in branch["about"] for node in self._asked[name]], branch["open"])
        return self._conclude(load_tree()["conclusions"][branch])

    def _ask(self, name: str) -> list[Node]:
        """The node of a question, or one a task for a question that is asked of each."""
        question, section = load_tree()["questions"][name], self._recorded.section
        if "each" not in question:
            return [
                self._ask_one(name, question, question.get("task"), _read_threshold(question["threshold"], section))
            ]
        limits: Mapping[str, float] = getattr(section, question["each"])
        known = {task for task in limits if self._recorded.last.task(task)}
        if not known and not any(key != ALL for key in self._recorded.last.estimates) and limits:
            text = f"Is any of {', '.join(limits)} below its floor?"
            return [Node(f"{name}s", text, "not judged", note="no task was recorded, only the mean of all")]
        # A run with tasks of its own has none of these; one that has some of them is told which are missing.
        asked = limits if known else {}
        return [self._ask_one(f"{name}: {task}", question, task, limit) for task, limit in asked.items()]

    def _ask_one(self, name: str, question: Mapping[str, Any], task: str | None, threshold: float) -> Node:
        estimate, note = MEASURES[question["measure"]](self._recorded, task)
        text = question["text"].format(section=self._recorded.section, threshold=threshold, task=task)
        return ASKS[question["is"]](name, text, estimate, threshold, note=note, task=task)

    def _conclude(self, conclusion: Mapping[str, Any]) -> Decision:
        below = sorted((node for node in self._asked.get("floor", ()) if node.outcome == "yes"), key=lambda n: n.value)
        task = below[0].task if conclusion["scenario"] == "C" else None
        improving = self._asked["improving"][0].outcome if "improving" in self._asked else None
        words = {
            "rung": self._rung.name,
            "section": self._recorded.section,
            "mean": self._recorded.last.mean,
            "step": self._recorded.last.step,
            "values": {node.name: node.value for node in self._path},
            "task": task,
            "weakest": below[0].value if below else None,
            "gain": _say_gain(improving),
            "weak": f"{below[0].task} is below its floor" if below else "no task is below its floor",
        }
        action, config = conclusion.get("action"), None
        if "move" in conclusion:
            action, config = MOVES[conclusion["move"]](self._rung, self._next, task)
        tasks = [name for name in self._recorded.last.estimates if name != ALL]
        return self._make(
            scenario=conclusion["scenario"],
            title=conclusion["title"].format(**words),
            reason=conclusion["reason"].format(**words),
            action=action,
            next_config=config,
            task=task,
            cause=conclusion.get("cause"),
            routes=route_tasks(tasks, task, self._rung, self._next),
        )

    def _leave_open(self, blamed: Sequence[Node], between: str) -> Decision:
        nodes = [node for node in blamed if node.outcome == "within noise"]
        counts = [node.further_examples for node in nodes]
        further = max(counts) if counts and None not in counts else None
        tasks = sorted({node.task for node in nodes if node.task})
        of_task = f" of {' and of '.join(tasks)}" if tasks else ""
        names = ", ".join(node.name.replace(": ", " of ") for node in nodes)
        return self._make(
            scenario="undecided",
            title="Undecided: within the noise",
            action=f"Evaluate the last checkpoint on about {further:,} more held-out examples{of_task} and decide again."
            if further
            else "Evaluate on more held-out examples; how many would do cannot be said from these numbers.",
            reason=f"The margin of {names} lies within the noise of the evaluation: {between} cannot be told apart.",
            further_examples=further,
        )

    def _make(self, **what: Any) -> Decision:
        evaluations = list(self._recorded.evaluations)
        return Decision(
            rung=self._rung.name,
            rehearsal=False,
            step=self._recorded.last.step,
            path=tuple(self._path),
            answers=answer_questions(evaluations, self._recorded.section),
            not_judged=_find_not_judged(self._recorded, self._path),
            **what,
        )


def _combine(outcomes: Sequence[Outcome], how: str) -> Outcome:
    """`all`: one no or not judged outweighs, then one within noise; `any`: one yes outweighs, then one within noise."""
    if how == "any":
        order: tuple[Outcome, ...] = ("yes", "within noise", "no")
        return next((outcome for outcome in order if outcome in outcomes), "not judged")
    order = ("no", "not judged", "within noise")
    return next((outcome for outcome in order if outcome in outcomes), "yes" if outcomes else "not judged")


def _read_threshold(threshold: Any, section: DecisionSection) -> float:
    if isinstance(threshold, list):
        return round(sum(_read_threshold(part, section) for part in threshold), 6)
    return float(getattr(section, threshold)) if isinstance(threshold, str) else float(threshold)


def _say_gain(improving: Outcome | None) -> str:
    said = {"yes": "The run improved", "no": "The run did not improve", "within noise": "No improvement can be told"}
    return said.get(improving or "", "Whether it improved cannot be judged")


def _find_not_judged(recorded: Recorded, path: Sequence[Node]) -> tuple[str, ...]:
    lines = [f"{node.name}: {node.note}" for node in path if node.outcome == "not judged"]
    estimates = recorded.last.estimates.items()
    bare = [name for name, item in estimates if item.mean is not None and item.half_width is None]
    if bare:
        lines.append(f"the noise of {', '.join(bare)}: n or std was not recorded, so the means alone decided")
    return tuple(lines)
