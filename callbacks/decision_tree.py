"""The decision after a run: scale up, restart from the Base model, fix one task, or say that it cannot be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from callbacks.config import DecisionSection
from callbacks.decision import Decision, Node, Rung, ask_at_least, ask_below
from callbacks.history import Evaluation, compare, find_baseline, measure_scatter, read_evaluations
from callbacks.rehearsal import decide_against_warmup
from callbacks.task_scores import ALL, Estimate


def decide(
    history: Iterable[Mapping[str, object]],
    section: DecisionSection | None = None,
    *,
    rung: Rung,
    next_rung: Rung | None = None,
    rehearsal: bool = False,
    paired: Mapping[str, Estimate] | None = None,
) -> Decision:
    """Walk the tree over recorded metrics rows.

    A row needs `step` and `eval/mean_reward`; n and std may be missing, then the means decide and `not_judged` says so.
    A rehearsal, and a section with `relative_to: warmup`, is judged against its own warm-up; `paired` then holds the
    paired differences from the warm-up to the end for all and for each task, where rewards per example are at hand.
    """
    section = section or DecisionSection()
    evaluations = read_evaluations(history)
    if not evaluations:
        return Decision(
            scenario="undecided",
            title="No evaluation was recorded",
            action="Evaluate the run on held-out rows, then decide again.",
            reason="The history has no row with eval/mean_reward.",
            rung=rung.name,
            rehearsal=rehearsal,
            answers=_answer_questions([], section),
        )
    answers = _answer_questions(evaluations, section)
    if rehearsal or section.relative_to == "warmup":
        return decide_against_warmup(
            evaluations, section, rung=rung, next_rung=next_rung, rehearsal=rehearsal, paired=paired, answers=answers
        )
    return _decide_by_thresholds(evaluations, section, rung, next_rung, answers)


def _decide_by_thresholds(
    evaluations: list[Evaluation],
    section: DecisionSection,
    rung: Rung,
    next_rung: Rung | None,
    answers: dict[str, dict[str, object]],
) -> Decision:
    last = evaluations[-1]
    path: list[Node] = []

    def conclude(scenario: str, title: str, action: str, reason: str, **more: object) -> Decision:
        return Decision(
            scenario=scenario,
            title=title,
            action=action,
            reason=reason,
            rung=rung.name,
            rehearsal=False,
            step=last.step,
            path=tuple(path),
            answers=answers,
            not_judged=_find_not_judged(evaluations, path),
            **more,
        )

    def leave_open(nodes: Sequence[Node], between: str) -> Decision:
        further = _count_further(nodes)
        tasks = sorted({node.task for node in nodes if node.task})
        of_task = f" of {' and of '.join(tasks)}" if tasks else ""
        names = ", ".join(node.name.replace(": ", " of ") for node in nodes)
        wanted = (
            f"Evaluate the last checkpoint on about {further:,} more held-out examples{of_task} and decide again."
            if further
            else "Evaluate on more held-out examples; how many would do cannot be said from these numbers."
        )
        reason = f"The margin of {names} lies within the noise of the evaluation: {between} cannot be told apart."
        return conclude("undecided", "Undecided: within the noise", wanted, reason, further_examples=further)

    scale = ask_at_least(
        "scale", f"Is the mean reward at the end at least {section.scale_at:g}?", last.estimates[ALL], section.scale_at
    )
    path.append(scale)
    if scale.outcome == "yes":
        action, config = _scale_up(rung, next_rung)
        reason = f"Mean {last.mean:.3f} at step {last.step} is at least {section.scale_at:g}: the rung is exhausted."
        return conclude("A", f"A: {rung.name} is exhausted, scale up", action, reason, next_config=config)
    if scale.outcome == "within noise":
        return leave_open([scale], "scaling up and staying")

    stuck = _ask_plateau(evaluations, section)
    path += stuck
    outcomes = [node.outcome for node in stuck]
    if all(outcome == "yes" for outcome in outcomes):
        action, config = _restart_from_base(rung, next_rung)
        reason = (
            f"The mean stands at {last.mean:.3f} and extraction at {stuck[-1].value:.3f}: no valid JSON comes out, "
            "and more of the same will not change it."
        )
        return conclude("B", "B: stuck on a plateau", action, reason, next_config=config)
    if not any(outcome in ("no", "not judged") for outcome in outcomes):
        return leave_open([node for node in stuck if node.outcome == "within noise"], "a plateau (B) and a slow climb")

    improving = _ask_improving(evaluations)
    floors = [
        ask_below(f"floor: {task}", f"Is {task} below its floor of {floor:g}?", estimate, floor, task=task)
        for task, floor in section.floors.items()
        if (estimate := last.task(task)) is not None
    ]
    path += [improving, *floors]
    below = sorted((node for node in floors if node.outcome == "yes"), key=lambda node: node.value)
    unclear = [node for node in floors if node.outcome == "within noise"]
    if improving.outcome == "yes" and below:
        task = below[0].task
        action, config = _fix_task(task, rung, next_rung)
        reason = f"The run improved by {improving.value:.3f}, but {task} ends at {below[0].value:.3f}, below its floor."
        return conclude("C", f"C: improving, but {task} is too weak", action, reason, task=task, next_config=config)
    if improving.outcome == "within noise" and (below or unclear):
        return leave_open([improving], "improving and standing still")
    if improving.outcome == "yes" and unclear:
        return leave_open(unclear, "a weak task (C) and a sound one")
    gain = {"yes": "The run improved", "no": "The run did not improve", "within noise": "No improvement can be told"}
    weak = f"{below[0].task} is below its floor" if below else "no task is below its floor"
    reason = (
        f"{gain.get(improving.outcome, 'Whether it improved cannot be judged')}; the mean of {last.mean:.3f} is below "
        f"{section.scale_at:g} (no A), it is not stuck without valid JSON (no B), and {weak} (no C)."
    )
    action = (
        "Train on from the best checkpoint: the curve is still open and nothing needs a targeted fix."
        if improving.outcome == "yes"
        else "Look at the completions and the reward parts before spending more: neither scaling nor a fix is called for."
    )
    return conclude("undecided", "Undecided: none of the scenarios", action, reason)


def _ask_plateau(evaluations: list[Evaluation], section: DecisionSection) -> list[Node]:
    """The three questions of scenario B: no new best, a low mean, an extraction without valid JSON."""
    last = evaluations[-1]
    start = last.step - section.plateau_window
    question = f"Was there no new best in the last {section.plateau_window} steps?"
    earlier = [item for item in evaluations if item.step <= start and item.stage != "before"]
    later = [item for item in evaluations if item.step > start and item.stage != "before"]
    if not earlier:
        plateau = Node(
            "plateau",
            question,
            "not judged",
            threshold=section.plateau_gain,
            note="no evaluation is that much older than the last one",
        )
    else:
        best_before = max(earlier, key=lambda item: item.mean)
        best_after = max(later, key=lambda item: item.mean)
        gain = _narrow(compare(best_before, best_after), measure_scatter(evaluations))
        outcome = "no"
        if gain.mean <= section.plateau_gain:
            outcome = "yes"
        elif gain.low is not None and gain.low <= 0.0:
            outcome = "within noise"
        plateau = Node(
            "plateau",
            question,
            outcome,
            value=gain.mean,
            threshold=section.plateau_gain,
            margin=gain.mean - section.plateau_gain,
            n=gain.n,
            low=gain.low,
            high=gain.high,
            note=f"best {best_after.mean:.3f} at step {best_after.step} against {best_before.mean:.3f} at step {best_before.step}",
        )
    mean_limit = round(section.plateau_mean + section.plateau_mean_tolerance, 6)
    extraction_limit = round(section.plateau_extraction + section.plateau_extraction_tolerance, 6)
    nodes = [
        plateau,
        ask_below(
            "plateau mean",
            f"Is the mean still about {section.plateau_mean:g} (below {mean_limit:g})?",
            last.estimates[ALL],
            mean_limit,
        ),
    ]
    extraction = last.task("extraction")
    question = f"Is extraction still about {section.plateau_extraction:g} (below {extraction_limit:g})?"
    if extraction is None:
        note = "the run has no task of this name"
        return [*nodes, Node("plateau extraction", question, "not judged", threshold=extraction_limit, note=note)]
    return [*nodes, ask_below("plateau extraction", question, extraction, extraction_limit, task="extraction")]


def _narrow(change: Estimate, half: float | None) -> Estimate:
    """The change with the scatter of the curve as its interval, where that is known and the narrower one."""
    if half is None or (change.half_width is not None and change.half_width <= half):
        return change
    return replace(change, low=change.mean - half, high=change.mean + half)


def _ask_improving(evaluations: list[Evaluation]) -> Node:
    last, baseline = evaluations[-1], find_baseline(evaluations)
    question = "Did the mean improve over the run?"
    if baseline is None or baseline is last:
        return Node("improving", question, "not judged", threshold=0.0, note="there is no earlier evaluation")
    gain = compare(baseline, last)
    where = "the warm-up" if baseline.stage == "warmup" else f"step {baseline.step}"
    node = ask_at_least("improving", question, gain, 0.0, note=f"against {baseline.mean:.3f} at {where}")
    if gain.mean == 0.0 and node.outcome == "yes":
        return Node("improving", question, "no", 0.0, 0.0, 0.0, gain.n, gain.low, gain.high, note=node.note)
    return node


def _scale_up(rung: Rung, next_rung: Rung | None) -> tuple[str, str | None]:
    if next_rung is None:
        return f"{rung.name} is the last rung: export the best checkpoint.", None
    return f"Scale up to {next_rung.name} ({next_rung.model}).", next_rung.config


def _restart_from_base(rung: Rung, next_rung: Rung | None) -> tuple[str, str | None]:
    if rung.base is not None:
        return "Restart from the Base model with an SFT warm-up that teaches the JSON first.", rung.base
    if next_rung is not None:
        return (
            f"The Base model with an SFT warm-up is no way out here: skip the rung, go to {next_rung.name}.",
            next_rung.config,
        )
    return "No rung is left: mend the data and the rewards of extraction first.", None


def _fix_task(task: str, rung: Rung, next_rung: Rung | None) -> tuple[str, str | None]:
    if task == "extraction":
        return "Refine extraction's reward: field values and partial credit.", rung.fix
    if task == "sql_qa":
        if next_rung is None:
            return "Accept sql_qa as it is: there is no larger model to route it to.", None
        return f"Accept sql_qa here and route it to the larger model: plan {next_rung.name}.", next_rung.config
    if task == "insights":
        return "Give insights more data (148 to 350 pairs).", rung.fix
    return f"Look at the completions of {task}: refine its reward or give it more data.", rung.fix


def _count_further(nodes: Sequence[Node]) -> int | None:
    counts = [node.further_examples for node in nodes]
    return max(counts) if counts and all(count is not None for count in counts) else None


def _find_not_judged(evaluations: list[Evaluation], path: Sequence[Node]) -> tuple[str, ...]:
    lines = [f"{node.name}: {node.note}" for node in path if node.outcome == "not judged"]
    last = evaluations[-1]
    bare = [name for name, item in last.estimates.items() if item.mean is not None and item.half_width is None]
    if bare:
        lines.append(f"the noise of {', '.join(bare)}: n or std was not recorded, so the means alone decided")
    return tuple(lines)


def _answer_questions(evaluations: list[Evaluation], section: DecisionSection) -> dict[str, dict[str, object]]:
    """The four questions of the recipe, each with its text, its answer in words and the numbers behind it."""
    step = section.question_step
    questions = {
        "parser_changed_extraction": "Did the parser change extraction's reward (step 10 against the baseline)?",
        f"improved_past_step_{step}": f"Did it improve past step {step}?",
        "lowest_task": "Which task is lowest at the end?",
        "final_mean": "What is the mean reward at the end?",
    }
    found: dict[str, tuple[str, dict[str, object]]] = {}
    if evaluations:
        last = evaluations[-1]
        first_key, second_key = list(questions)[:2]
        found[first_key] = _answer_parser(evaluations)
        found[second_key] = _answer_past_step(evaluations, step)
        scored = {name: item for name, item in last.estimates.items() if name != ALL and item.mean is not None}
        if scored:
            name = min(scored, key=lambda task: scored[task].mean)
            found["lowest_task"] = (f"{name}, {_say(scored[name])}", {"task": name, **_numbers(scored[name])})
        mean = last.estimates[ALL]
        found["final_mean"] = (f"{_say(mean)} at step {last.step}", {"step": last.step, **_numbers(mean)})
    return {
        key: {"question": question, "answer": found[key][0], **found[key][1]}
        if key in found
        else {"question": question, "answer": "cannot be told: not recorded"}
        for key, question in questions.items()
    }


def _answer_parser(evaluations: list[Evaluation]) -> tuple[str, dict[str, object]]:
    baseline = find_baseline(evaluations)
    early = next((item for item in evaluations if item.step >= 10 and item.task("extraction")), None)
    if baseline is None or early is None or early is baseline or baseline.task("extraction") is None:
        return "cannot be told: extraction was not evaluated both at the baseline and from step 10 on", {}
    change = compare(baseline, early, "extraction")
    return f"{_say_change(change)} by step {early.step}", {"step": early.step, **_numbers(change)}


def _answer_past_step(evaluations: list[Evaluation], step: int) -> tuple[str, dict[str, object]]:
    earlier = [item for item in evaluations if item.step <= step and item.stage != "before"]
    later = [item for item in evaluations if item.step > step]
    if not earlier or not later:
        return f"cannot be told: no evaluation {'after' if earlier else 'up to'} step {step}", {}
    before, after = (max(items, key=lambda item: item.mean) for items in (earlier, later))
    change = compare(before, after)
    words = f"{_say_change(change)}: best {before.mean:.3f} until then, {after.mean:.3f} at step {after.step}"
    return words, {"step": after.step, **_numbers(change)}


def _say_change(change: Estimate) -> str:
    if change.low is None or change.high is None:
        return f"{'yes' if change.mean > 0 else 'no'}, {change.mean:+.3f} (noise not known)"
    if change.low > 0:
        verdict = "yes"
    elif change.high < 0 or change.mean <= 0:
        verdict = "no"
    else:
        verdict = "not beyond the noise"
    return f"{verdict}, {change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})"


def _say(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" ({estimate.low:.3f} to {estimate.high:.3f}, n {estimate.n})"
    return f"{estimate.mean:.3f}{interval}"


def _numbers(estimate: Estimate) -> dict[str, object]:
    return {"value": estimate.mean, "n": estimate.n, "low": estimate.low, "high": estimate.high}
