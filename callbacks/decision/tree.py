"""The decision after a run: a walk through a decision tree, which is data, over what the run recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from callbacks.config import DecisionSection
from callbacks.decision.answers import answer_questions
from callbacks.decision.decision import (
    OWN,
    RECIPE,
    REHEARSAL,
    Decision,
    DecisionNode,
    Outcome,
    Rung,
    ask_above,
    ask_at_least,
    ask_below,
    ask_no_gain,
)
from callbacks.decision.measures import MEASURES, Recorded, Schedule
from callbacks.decision.moves import MOVES, route_tasks
from callbacks.decision.starts import (
    ask_kept,
    ask_share,
    find_change,
    find_gaps,
    find_start,
    find_zero_shot,
    list_tasks,
    measure_loss,
    name_start,
    tell_way,
)
from callbacks.evaluation.history import Evaluation, read_evaluations, read_rates
from rewards.statistics.estimates import ALL, Estimate, say_further, stratify

ASKS = {"at_least": ask_at_least, "above": ask_above, "below": ask_below, "no_gain": ask_no_gain}
_FILES = {RECIPE: "tree.yaml", REHEARSAL: "rehearsal.yaml", OWN: "own.yaml"}
SMALL = 20
"""Examples of a task below which a question about it alone is not judged."""
_SHOP_TASKS = frozenset({"extraction", "sql_qa", "insights", "push"})


@lru_cache(maxsize=3)
def load_tree(name: str = RECIPE) -> Mapping[str, Any]:
    """A tree as data: `questions`, `tree` and `conclusions`; tree.yaml says what each key means."""
    import yaml

    return yaml.safe_load((Path(__file__).parent / _FILES[name]).read_text(encoding="utf-8"))


def choose_tree(section: DecisionSection, *, rehearsal: bool = False, evaluations: Sequence[Evaluation] = ()) -> str:
    """Which tree a run is judged by: what `decision.relative_to` says, and that it was a rehearsal.

    Where the config does not say (a bare history), tasks none of which is the shop's are one's own.
    """
    if section.relative_to == "baseline":
        return OWN
    if rehearsal or section.relative_to == "warmup":
        return REHEARSAL
    tasks = {name for item in evaluations for name in item.estimates if name != ALL}
    return OWN if section.relative_to == "auto" and tasks and not tasks & _SHOP_TASKS else RECIPE


def decide(
    history: Iterable[Mapping[str, object]],
    section: DecisionSection | None = None,
    *,
    rung: Rung,
    next_rung: Rung | None = None,
    rehearsal: bool = False,
    paired: Mapping[str, Estimate] | None = None,
    paired_zero_shot: Mapping[str, Estimate] | None = None,
    schedule: Schedule | None = None,
) -> Decision:
    """Walk the run's tree (`choose_tree`) over recorded metrics rows.

    A row needs `step` and `eval/mean_reward`; n and std may be missing, then the means decide and `not_judged` says so.
    `paired` and `paired_zero_shot` hold the paired differences to the end, from the warm-up and from the evaluation before
    any training, for all and for each task, where rewards per example are at hand. `schedule` is what the config asked for,
    for a history without learning rates.
    """
    rows = list(history)
    section = section or DecisionSection()
    evaluations = [
        replace(item, estimates={**item.estimates, ALL: stratify(item.estimates)}) for item in read_evaluations(rows)
    ]
    recorded = Recorded(evaluations, section, read_rates(rows), schedule, paired, paired_zero_shot)
    tree = choose_tree(section, rehearsal=rehearsal, evaluations=evaluations)
    if not evaluations:
        return Decision(
            scenario="undecided",
            title="No evaluation was recorded",
            action="Evaluate the run on held-out rows, then decide again.",
            reason="The history has no row with eval/mean_reward.",
            rung=rung.name,
            rehearsal=rehearsal,
            answers=answer_questions(recorded, load_tree(tree)["answers"]),
            tree=tree,
        )
    return _Walk(recorded, tree, rung, next_rung, rehearsal).run()


class _Walk:
    """One walk through a tree, with the nodes passed so far."""

    def __init__(self, recorded: Recorded, tree: str, rung: Rung, next_rung: Rung | None, rehearsal: bool):
        self._recorded, self._tree, self._rung, self._next = recorded, tree, rung, next_rung
        self._data = load_tree(tree)
        self._rehearsal = rehearsal
        self._path: list[DecisionNode] = []
        self._asked: dict[str, list[DecisionNode]] = {}

    def run(self) -> Decision:
        if self._data.get("start") and find_start(self._recorded) is None:
            return self._conclude(self._data["conclusions"][self._data["nothing"]])
        for name in self._data.get("first", ()):
            self._pass(name)
        branch: Any = self._data["tree"]
        while isinstance(branch, Mapping) and "ask" in branch:
            nodes = [node for name in branch["ask"] for node in self._pass(name)]
            outcome = _combine([node.outcome for node in nodes], branch.get("combine", "all"))
            branch = branch.get(outcome, branch.get("otherwise"))
        if isinstance(branch, Mapping):
            return self._leave_open([node for name in branch["about"] for node in self._asked[name]], branch["open"])
        return self._conclude(self._data["conclusions"][branch])

    def _pass(self, name: str) -> list[DecisionNode]:
        """The nodes of a question, which stand on the path once however often it is asked."""
        if name not in self._asked:
            self._asked[name] = self._ask(name)
            self._path += self._asked[name]
        return self._asked[name]

    def _ask(self, name: str) -> list[DecisionNode]:
        """The node of a question, or one a task for a question that is asked of each; none where it does not apply."""
        question, section = self._data["questions"][name], self._recorded.section
        if not _ONLY[question.get("only", "always")](self._recorded):
            return []
        if "each" not in question:
            return [
                self._ask_one(name, question, question.get("task"), _read_threshold(question["threshold"], section))
            ]
        if question["each"] == "tasks":
            limit = _read_threshold(question["threshold"], section)
            return [self._ask_one(f"{name}: {task}", question, task, limit) for task in list_tasks(self._recorded)]
        limits: Mapping[str, float] = getattr(section, question["each"])
        known = {task for task in limits if self._recorded.last.task(task)}
        if limits and not any(key != ALL for key in self._recorded.last.estimates):
            text = f"Is any of {', '.join(limits)} below its floor?"
            return [DecisionNode(f"{name}s", text, "not judged", note="no task was recorded, only the mean of all")]
        # A run with tasks of its own has none of these; one that has some of them is told which are missing.
        asked = limits if known else {}
        return [self._ask_one(f"{name}: {task}", question, task, limit) for task, limit in asked.items()]

    def _ask_one(self, name: str, question: Mapping[str, Any], task: str | None, threshold: float) -> DecisionNode:
        words = {"section": self._recorded.section, "threshold": threshold, "task": task}
        text = question["text"].format(**words, start=name_start(self._recorded))
        if question["is"] == "share":
            return ask_share(name, text, self._recorded, threshold)
        if question["is"] == "kept":
            return _spare_small(ask_kept(name, text, self._recorded, task or ""))
        estimate, note = _MEASURES[question["measure"]](self._recorded, task)
        node = ASKS[question["is"]](name, text, estimate, threshold, note=note, task=task)
        node = replace(node, of_change=question["measure"] in _CHANGES)
        return _spare_small(node) if "each" in question else node

    def _conclude(self, conclusion: Mapping[str, Any]) -> Decision:
        if self._rehearsal:
            conclusion = {**conclusion, **conclusion.get("rehearsal", {})}
        section, last = self._recorded.section, self._recorded.last
        task, weakest = self._find_task()
        improving = self._asked["improving"][0].outcome if "improving" in self._asked else None
        blamed = [node for name in conclusion.get("about", ()) for node in self._asked.get(name, ())]
        further, most = _count_further(blamed)
        words = {
            "rung": self._rung.name,
            "model": self._rung.model,
            "section": section,
            "mean": last.mean,
            "step": last.step,
            "values": {node.name: node.value for node in self._path},
            "task": task,
            "weakest": weakest,
            "gain": _say_gain(improving),
            "stuck": self._say_stuck(),
            "weak": self._say_weak(task),
            "further": say_further((further, most), "held-out examples") or "more held-out examples",
            "missing": (section.target or 0.0) - last.mean,
            **tell_way(self._recorded),
        }
        action, config = conclusion.get("action", "").format(**words), None
        if "move" in conclusion and not self._rehearsal:
            action, config = MOVES[conclusion["move"]](self._rung, self._next, task)
        if "config" in conclusion:
            config = getattr(self._rung, conclusion["config"])
        routed = self._tree == RECIPE
        return self._make(
            scenario=conclusion["scenario"],
            title=conclusion["title"].format(**words),
            reason=conclusion["reason"].format(**words),
            action=action,
            next_config=None if self._rehearsal else config,
            further_examples=further,
            further_examples_80=most,
            task=task if conclusion["scenario"] == "C" else None,
            cause=conclusion.get("cause"),
            routes=route_tasks([name for name in last.estimates if name != ALL], task, self._rung, self._next)
            if routed and conclusion["scenario"] == "C"
            else {},
        )

    def _say_stuck(self) -> str:
        """Why it is not scenario B, or that nobody looked: a history may have recorded means alone."""
        nodes = [
            node for name in ("plateau", "plateau mean", "plateau extraction") for node in self._asked.get(name, ())
        ]
        if all(node.outcome != "no" for node in nodes):
            return "whether it is stuck without valid JSON was not judged (B)"
        return "it is not stuck without valid JSON (no B)"

    def _say_weak(self, task: str | None) -> str:
        """Why it is not scenario C, or that no floor was judged."""
        judged = {node.outcome != "not judged" for node in self._asked.get("floor", ())}
        if task:
            return f"{task} is below its floor (no C)"
        if True not in judged:
            return "no floor of a task was judged (C)"
        return f"no task {'that was judged ' if False in judged else ''}is below its floor (no C)"

    def _find_task(self) -> tuple[str | None, float | None]:
        """The task a conclusion is about, the weakest below its floor or the one that lost most, with its value."""
        floors = [node for node in self._asked.get("floor", ()) if node.outcome == "yes"]
        lost = [node for name in ("not fallen", "kept") for node in self._asked.get(name, ()) if node.outcome == "no"]
        worst = min(floors, key=lambda node: node.value or 0.0, default=None)
        if worst is None:
            worst = min(lost, key=lambda node: measure_loss(self._recorded, node.task), default=None)
        return (worst.task, worst.value) if worst is not None else (None, None)

    def _leave_open(self, blamed: Sequence[DecisionNode], between: str) -> Decision:
        nodes = [node for node in blamed if node.outcome == "within noise"]
        further = _count_further(nodes)
        tasks = sorted({node.task for node in nodes if node.task})
        of_task = f" of {' and of '.join(tasks)}" if tasks else ""
        said = say_further(further, f"held-out examples{of_task}")
        names = ", ".join(node.name.replace(": ", " of ") for node in nodes)
        return self._make(
            scenario="undecided",
            title="Undecided: within the noise",
            action=f"Evaluate the judged checkpoint on {said} and decide again."
            if said
            else "Evaluate on more held-out examples; these numbers do not say how many are needed.",
            reason=f"The margin of {names} is within the noise of the evaluation, which cannot distinguish {between}.",
            further_examples=further[0],
            further_examples_80=further[1],
        )

    def _make(self, *, title: str, reason: str, **what: Any) -> Decision:
        said = self._data.get("rehearsal") or {}
        title = f"{said['title']}{title}" if self._rehearsal else title[0].upper() + title[1:]
        reason = f"{said['reason']}{reason}" if self._rehearsal else reason
        stages = ("warmup",) if self._tree == REHEARSAL else ("warmup", "before")
        gaps = find_gaps(self._recorded, stages) if said else _find_not_judged(self._recorded, self._path)
        return Decision(
            title=title,
            reason=reason,
            rung=self._rung.name,
            rehearsal=self._rehearsal,
            step=self._recorded.last.step,
            path=tuple(self._path),
            answers=answer_questions(self._recorded, self._data["answers"]),
            not_judged=gaps,
            tree=self._tree,
            **what,
        )


def _measure_change(recorded: Recorded, task: str | None) -> tuple[Estimate, str]:
    return find_change(recorded, ALL), ""


def _measure_zero_shot_change(recorded: Recorded, task: str | None) -> tuple[Estimate, str]:
    before = find_zero_shot(recorded)
    return find_change(recorded, ALL, before), f"against {before.mean:.3f}" if before is not None else ""


_MEASURES = {**MEASURES, "change": _measure_change, "change_since_zero_shot": _measure_zero_shot_change}
_CHANGES = frozenset({"gain", "change", "change_since_zero_shot"})
# Facts that a question may need; `always` is the one that holds of all.
_ONLY = {
    "always": lambda recorded: True,
    "warmed_up": lambda recorded: find_zero_shot(recorded) is not None,
    "target": lambda recorded: recorded.section.target is not None,
}


def _spare_small(node: DecisionNode) -> DecisionNode:
    """A task of few examples is named with its numbers, and decides nothing: one or two failures would."""
    if node.n is None or node.n >= SMALL:
        return node
    note = "; ".join(filter(None, (node.note, f"fewer than {SMALL} examples")))
    return replace(node, outcome="not judged", note=note, further_examples=None, further_examples_80=None)


def _count_further(nodes: Sequence[DecisionNode]) -> tuple[int | None, int | None]:
    """What would decide all of the nodes, with an even chance and with one of 80 %."""

    def largest(counts: Sequence[int | None]) -> int | None:
        known = [count for count in counts if count is not None]
        return max(known) if known and len(known) == len(counts) else None

    return largest([node.further_examples for node in nodes]), largest([node.further_examples_80 for node in nodes])


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
    said = {
        "yes": "The run improved",
        "no": "The run did not improve",
        "within noise": "Any improvement is within the noise",
    }
    return said.get(improving or "", "Whether it improved cannot be judged")


def _find_not_judged(recorded: Recorded, path: Sequence[DecisionNode]) -> tuple[str, ...]:
    lines = [f"{node.name}: {node.note}" for node in path if node.outcome == "not judged"]
    estimates = recorded.last.estimates.items()
    bare = [name for name, item in estimates if item.mean is not None and item.half_width is None]
    if bare:
        lines.append(f"the noise of {', '.join(bare)}: n or std was not recorded, so the means alone decided")
    return tuple(lines)
