"""What must hold before anything is spent: rows fit their rewards, gold answers score the maximum, nothing leaks."""

from __future__ import annotations

from collections import Counter
from typing import Any

from grpo.config import RunConfig
from grpo.inputs import Inputs
from rewards.errors import UserError
from rewards.scoring import RewardHost, gold_self_test

SHOWN = 5  # failing rows named in one message; the rest is counted


def run_preflight(config: RunConfig, inputs: Inputs, host: RewardHost) -> dict[str, Any]:
    """Audit the rows with the very rewards of the run; returns the audit, raises `UserError` when the run would be wasted.

    Every reference of the training and held-out rows is scored as if the policy had written it. A function that judges
    content must give it the maximum: a scorer that marks the right answer down has no business training anything.
    """
    rows = [*inputs.train, *inputs.held_out]
    problems = []
    failures = gold_self_test(host, [row for row in rows if row.reference is not None])
    by_function = Counter(failure.function for failure in failures)
    for function, count in sorted(by_function.items()):
        first = [f for f in failures if f.function == function][:SHOWN]
        problems += [f"gold self-test: {failure}" for failure in first]
        if count > len(first):
            problems.append(f"gold self-test: {function}: {count - len(first)} more references fail")
    tasks = Counter(row.task for row in inputs.train)
    for task in sorted({row.task for row in rows}):
        if not host.functions_for(task):
            problems.append(f"task {task}: no reward function applies to it; add one to rewards.functions")
    missing = sorted({row.task for row in inputs.held_out} - tasks.keys())
    audit = {
        "references": len(rows),
        "without_reference": sum(row.reference is None for row in rows),
        "gold_failures": [{"id": f.example_id, "function": f.function, "value": f.value, "reason": f.reason} for f in failures],
        "reward_versions": host.versions(),
        "train_tasks": dict(sorted(tasks.items())),
        "held_out_tasks": dict(sorted(Counter(row.task for row in inputs.held_out).items())),
        "held_out_only_tasks": missing,
        "passed": not problems,
    }
    if problems:
        raise UserError(problems)
    return audit
