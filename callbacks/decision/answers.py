"""The four questions of the recipe that every report answers, each in words and with the numbers behind it."""

from __future__ import annotations

from callbacks.config import DecisionSection
from callbacks.evaluation.history import Evaluation, compare, find_baseline
from rewards.statistics.estimates import ALL, Estimate


def answer_questions(evaluations: list[Evaluation], section: DecisionSection) -> dict[str, dict[str, object]]:
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
