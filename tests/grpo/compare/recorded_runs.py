"""Runs as they are recorded, with rewards drawn or written by hand, and the command over them."""

from __future__ import annotations

import json
from random import Random

from grpo.compare.__main__ import main
from grpo.compare.promotion_rules import load_rules
from grpo.compare.reading import make_cells
from grpo.compare.recorded import RecordedRun, Row

SPLITS = {"in_distribution": 1455, "template_ood": 3503, "use_case_ood": 4341, "sector_ood": 4579, "adversarial": 33}
FIELD_F1 = (0.7956, 0.7865, 0.7907, 0.7697, 0.9697)
KEY_F1 = (0.9811, 0.9801, 0.9805, 0.9818, 1.0000)
FIELD_F1_CHANGE = (-0.0003, -0.0010, -0.0012, -0.0002, -0.0101)
KEY_F1_CHANGE = (-0.0014, -0.0015, -0.0018, -0.0009, -0.0303)


def make_row(id, task, reward, *, completion=None, version="1", columns=None, prompt="p", **more):
    """A stored completion as a run writes it."""
    return {
        "id": id, "task": task, "prompt": [{"role": "user", "content": prompt}], "completion": completion or f"{reward}",
        "reference": "r", "truncated": False, "reward": reward, "repairs": [], "step": 0, "stage": "final",
        "scores": {"f": {"value": reward, "status": "value", "reason": "", "version": version, "parts": {}}},
        **({"columns": columns} if columns else {}), **more,
    }  # fmt: skip


def write_run(folder, rows, stage="final", temperature=0.1, weight=1.0, **more):
    """A run directory with one stage and what its config says of the evaluation."""
    (folder / "eval").mkdir(parents=True, exist_ok=True)
    (folder / "eval" / f"{stage}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluation = {
        "temperature": temperature, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "max_completion_length": None
    }  # fmt: skip
    rewards = {"functions": [{"name": "f", "weight": weight, "tasks": None, "options": {}}]}
    config = {"evaluation": evaluation, "grpo": {"max_completion_length": 64}, "rewards": rewards, **more}
    (folder / "config.json").write_text(json.dumps({"config": config}))
    return folder


def draw_rows(seed, gain=0.0, tasks=("extraction", "sql_qa"), n=60, lost=None, **more):
    """Rewards around 0.5 by example, the same examples for every seed; `lost` names a task that falls by 0.3."""
    truth, noise = Random(0), Random(seed)
    rows = []
    for task in tasks:
        for number in range(n):
            base = truth.uniform(0.3, 0.7)
            value = base + noise.gauss(0.0, 0.08) + (gain if task != lost else -0.3)
            rows.append(make_row(f"{task}-{number}", task, min(1.0, max(0.0, value)), **more))
    return rows


def write_means(path, runs):
    """A file of recorded means."""
    path.write_text(json.dumps({"runs": runs}))
    return path


def compare(capsys, *arguments):
    """Exit code and JSON of the command."""
    code = main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else captured.err


def make_stages(path):
    """Stage 1 and stage 2 of the telecom recipe, as they were recorded: means and n, no std."""
    runs = []
    for name, shift in (("stage 1", 0), ("stage 2", 1)):
        results = {
            split: {
                "field_f1": {"value": round(f + shift * df, 4), "n": n},
                "key_f1": {"value": round(k + shift * dk, 4), "n": n},
            }
            for (split, n), f, df, k, dk in zip(
                SPLITS.items(), FIELD_F1, FIELD_F1_CHANGE, KEY_F1, KEY_F1_CHANGE, strict=True
            )
        }
        runs.append({"name": name, "results": results})
    return write_means(path, runs)


def refuse(capsys, *arguments):
    """The lines of a refusal, which must exit with 2 and show no traceback."""
    assert main([*map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and all(line.startswith("error: ") for line in error.splitlines())
    return error


def make_recorded(name, rewards):
    """A run of rewards by task, in memory."""
    rows = {
        (task, f"{number}"): Row({"reward": value}, (f"task:{task}",), "q", f"{name}{number}{value}")
        for task, values in rewards.items()
        for number, value in enumerate(values)
    }
    return RecordedRun(name, name, rows, make_cells(rows))


def with_rules(**changes):
    """The shipped rules with some of them changed."""
    return load_rules().model_copy(update=changes)
