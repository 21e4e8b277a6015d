"""The decision of a run that is measured against its own warm-up: the small policy's rehearsal of the recipe."""

from __future__ import annotations

from collections.abc import Mapping

from callbacks.config import DecisionSection
from callbacks.decision.decision import Decision, Node, Rung, ask_at_least
from callbacks.evaluation.best import find_fallen_tasks
from callbacks.evaluation.history import Evaluation, compare, find_baseline
from rewards.statistics.estimates import ALL, Estimate, examples_to_decide


def decide_against_warmup(
    evaluations: list[Evaluation],
    section: DecisionSection,
    *,
    rung: Rung,
    next_rung: Rung | None,
    rehearsal: bool,
    paired: Mapping[str, Estimate] | None,
    answers: dict[str, dict[str, object]],
) -> Decision:
    """A: it learnt (enough gain, clear of zero, no task fallen). B: it did not. C: it learnt, but a task fell."""
    last, baseline = evaluations[-1], find_baseline(evaluations)
    said = "This was a rehearsal on the small policy: it says that the line works, nothing about the real model. "
    shared = {
        "rung": rung.name,
        "rehearsal": rehearsal,
        "step": last.step,
        "answers": answers,
    }
    prefix = said if rehearsal else ""
    if baseline is None or baseline is last:
        return Decision(
            scenario="undecided",
            title=_title("undecided: nothing to compare with", rehearsal),
            action="Run it with an evaluation after the warm-up and one at the end.",
            reason=f"{prefix}There is no earlier evaluation to measure the end against.",
            **shared,
        )
    change = _find_change(ALL, baseline, last, paired)
    enough = _ask_enough(baseline, last, section.rehearsal_gain)
    clear = ask_at_least("clear of zero", "Is the gain over the warm-up clear of zero?", change, 0.0)
    fallen = find_fallen_tasks(baseline.estimates, last.estimates, paired)
    falls = [
        _show_fall(task, baseline, last, paired, fallen)
        for task in baseline.estimates
        if task != ALL and baseline.task(task) and last.task(task)
    ]
    notes = [] if baseline.stage == "warmup" else [f"no warm-up was recorded: step {baseline.step} stands for it"]
    if change.low is None:
        notes.append("the noise: n or std was not recorded, so the means alone decided")
    shared |= {"path": (enough, clear, *falls), "not_judged": tuple(notes)}
    clearly = "clear of zero" if change.low is not None else "of unknown noise"
    gain = f"The mean went from {baseline.mean:.3f} to {last.mean:.3f} ({change.mean:+.3f})"

    if clear.outcome == "within noise":
        further = clear.further_examples
        wanted = f"about {further:,} more" if further else "more"
        return Decision(
            scenario="undecided",
            title=_title("undecided: within the noise", rehearsal),
            action=f"Evaluate on {wanted} held-out examples, or train for more steps.",
            reason=f"{prefix}{gain}; the interval of the change includes zero.",
            further_examples=further,
            **shared,
        )
    if clear.outcome == "no" or change.mean <= 0:
        return Decision(
            scenario="B",
            title=_title("it did not learn", rehearsal),
            action="Look at the completions, the share of zero-spread groups and the reward parts before running again.",
            reason=f"{prefix}{gain}: no gain over its own warm-up.",
            next_config=None if rehearsal else rung.base,
            **shared,
        )
    if fallen:
        worst = min(fallen, key=lambda task: last.task(task).mean - baseline.task(task).mean)
        return Decision(
            scenario="C",
            title=_title(f"it learnt, but {worst} fell", rehearsal),
            action=f"Look at the completions of {worst}: its reward is paid for by the other tasks.",
            reason=f"{prefix}{gain}, but {', '.join(fallen)} fell by more than the interval.",
            task=worst,
            next_config=None if rehearsal else rung.fix,
            **shared,
        )
    if enough.outcome == "no":
        return Decision(
            scenario="undecided",
            title=_title(f"it learnt, less than {section.rehearsal_gain:.0%}", rehearsal),
            action="Train for more steps, with --set grpo.max_steps=...: the gain is real, and no task was lost.",
            reason=f"{prefix}{gain}: {clearly}, but less than the {section.rehearsal_gain:.0%} asked for.",
            # A profile lies over a config's own steps, so a rehearsal goes on by --set and not by a file.
            next_config=None if rehearsal else rung.config,
            **shared,
        )
    following = next_rung.config if next_rung else None
    return Decision(
        scenario="A",
        title=_title("it learnt", rehearsal),
        action=f"Run the recipe itself: {rung.model} on a GPU, with --profile gpu."
        if rehearsal
        else (f"Scale up to {next_rung.name} ({next_rung.model})." if next_rung else "Export the best checkpoint."),
        reason=f"{prefix}{gain}: at least {section.rehearsal_gain:.0%} up, {clearly}, and no task fell.",
        next_config=None if rehearsal else following,
        **shared,
    )


def _title(what: str, rehearsal: bool) -> str:
    return f"Rehearsal: {what}" if rehearsal else what[0].upper() + what[1:]


def _find_change(
    name: str,
    baseline: Evaluation,
    last: Evaluation,
    paired: Mapping[str, Estimate] | None,
) -> Estimate:
    difference = (paired or {}).get(name)
    if difference is not None and difference.mean is not None and difference.low is not None:
        return difference
    return compare(baseline, last, name)


def _ask_enough(baseline: Evaluation, last: Evaluation, gain: float) -> Node:
    """The share is asked of the means alone: whether the gain is real is the next question."""
    question = f"Is the mean at least {gain:.0%} above the warm-up?"
    end = last.estimates[ALL]
    threshold = baseline.mean * (1 + gain)
    margin = end.mean - threshold
    share = f"{end.mean / baseline.mean - 1:+.0%}" if baseline.mean else "from nothing"
    outcome = "yes" if margin >= 0 and end.mean > baseline.mean else "no"
    return Node("gain", question, outcome, end.mean, threshold, margin, end.n, end.low, end.high, note=share)


def _show_fall(
    task: str,
    baseline: Evaluation,
    last: Evaluation,
    paired: Mapping[str, Estimate] | None,
    fallen: tuple[str, ...],
) -> Node:
    change = _find_change(task, baseline, last, paired)
    doubtful = change.mean < 0 and task not in fallen
    return Node(
        f"not fallen: {task}",
        f"Has {task} kept what the warm-up gave it?",
        "no" if task in fallen else "within noise" if doubtful else "yes",
        value=change.mean,
        threshold=0.0,
        margin=change.mean,
        n=change.n,
        low=change.low,
        high=change.high,
        further_examples=examples_to_decide(change, change.mean) if doubtful else None,
        task=task,
    )
