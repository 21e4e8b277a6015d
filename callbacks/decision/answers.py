"""The questions that every report answers, each in words and with the numbers behind it; the tree's YAML names which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from callbacks.decision.measures import Recorded
from callbacks.decision.starts import find_change, find_start, find_zero_shot, name_start
from callbacks.evaluation.history import Evaluation, compare, find_baseline
from rewards.statistics.estimates import ALL, Estimate

Answer = tuple[str, dict[str, object]]


def answer_questions(recorded: Recorded, names: Sequence[str]) -> dict[str, dict[str, object]]:
    """The named questions, each with its text, its answer in words and the numbers behind it."""
    step, answered = recorded.section.question_step, {}
    for name in names:
        text, answer = QUESTIONS[name]
        key = f"{name}_{step}" if name == "improved_past_step" else name
        found = answer(recorded) if recorded.evaluations else None
        words, numbers = found or ("cannot be told: not recorded", {})
        question = text.format(step=step, start=name_start(recorded) if recorded.evaluations else "its start")
        answered[key] = {"question": question, "answer": words, **numbers}
    return answered


def _answer_parser(recorded: Recorded) -> Answer:
    evaluations = list(recorded.evaluations)
    baseline = find_baseline(evaluations)
    early = next((item for item in recorded.curve if item.step >= 10 and item.task("extraction")), None)
    if baseline is None or early is None or early is baseline or baseline.task("extraction") is None:
        return "cannot be told: extraction was not evaluated both at the baseline and from step 10 on", {}
    change = compare(baseline, early, "extraction")
    return f"{_say_change(change)} by step {early.step}", {"step": early.step, **_numbers(change)}


def _answer_past_step(recorded: Recorded) -> Answer:
    step = recorded.section.question_step
    earlier = [item for item in recorded.curve if item.step <= step]
    later = [item for item in recorded.curve if item.step > step]
    if not earlier or not later:
        return f"cannot be told: no evaluation {'after' if earlier else 'up to'} step {step}", {}
    before, after = (max(items, key=lambda item: item.mean) for items in (earlier, later))
    change = compare(before, after)
    words = f"{_say_change(change)}: best {before.mean:.3f} until then, {after.mean:.3f} at step {after.step}"
    return words, {"step": after.step, **_numbers(change)}


def _answer_lowest(recorded: Recorded) -> Answer | None:
    estimates = recorded.last.estimates
    means = {name: item.mean for name, item in estimates.items() if name != ALL and item.mean is not None}
    if not means:
        return None
    name = min(means, key=lambda task: means[task])
    return f"{name}, {_say(estimates[name])}", {"task": name, **_numbers(estimates[name])}


def _answer_mean(recorded: Recorded) -> Answer:
    last = recorded.last
    mean = last.estimates[ALL]
    return f"{_say(mean)} at step {last.step}", {"step": last.step, **_numbers(mean)}


def _answer_gain(recorded: Recorded) -> Answer:
    return _answer_change(recorded, find_start(recorded))


def _answer_zero_shot_gain(recorded: Recorded) -> Answer:
    before = find_zero_shot(recorded)
    if before is None and name_start(recorded) == "zero-shot":
        before = find_start(recorded)
    return _answer_change(recorded, before)


def _answer_change(recorded: Recorded, since: Evaluation | None) -> Answer:
    if since is None:
        return "cannot be told: there is no evaluation before it", {}
    change = find_change(recorded, ALL, since)
    words = f"{_say_change(change)}: from {since.mean:.3f} to {recorded.outcome.mean:.3f}"
    return words, {"step": recorded.outcome.step, **_numbers(change)}


QUESTIONS: Mapping[str, tuple[str, Callable[[Recorded], Answer | None]]] = {
    "parser_changed_extraction": (
        "Did the parser change extraction's reward (step 10 against the baseline)?",
        _answer_parser,
    ),
    "improved_past_step": ("Did it improve past step {step}?", _answer_past_step),
    "lowest_task": ("Which task is lowest at the end?", _answer_lowest),
    "final_mean": ("What is the mean reward at the end?", _answer_mean),
    "gained_over_zero_shot": ("Did the training as a whole improve on zero-shot?", _answer_zero_shot_gain),
    "gained_over_start": ("Did GRPO improve on {start}?", _answer_gain),
}


def _say_change(change: Estimate) -> str:
    if change.mean is None:
        return "cannot be told: nothing was scored"
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
