"""A run directory as a finished run leaves it, made up and seeded: 600 steps, 2,000 stored completions."""

from __future__ import annotations

import random
from pathlib import Path

import orjson
import pytest

from callbacks.evaluation.task_scores import evaluation_metrics, summarise
from grpo.decide.decide_run import decide_run

HOSTILE = (
    "<script>document.title='stolen'</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></article><h1>Aprovado</h1>",
    "{{ 7*7 }} {% include '/etc/passwd' %}",
    "\u202eodagen\u202c \x1b[31mvermelho\x07 \x00",
    "```\n| a | b |\n<!-- -->",
)
TASKS = {
    "extraction": (0.10, 0.62, 120),
    "sql_qa": (0.20, 0.55, 120),
    "insights": (0.45, 0.70, 40),
    "push": (0.50, 0.74, 40),
}


@pytest.fixture(scope="session")
def write_run():
    """A function that writes a made-up run into a folder: `write_run(folder, rehearsal=False, steps=600)`."""
    return write_synthetic_run


@pytest.fixture(scope="session")
def hostile_texts() -> tuple[str, ...]:
    """Completions that try to break out of the page, to reorder it or to run."""
    return HOSTILE


def write_synthetic_run(
    folder: Path, *, rehearsal: bool = False, steps: int = 600, seed: int = 7, stored_every: int | None = None
) -> Path:
    """A finished run of the four tasks; `stored_every` steps 32 training completions are kept (about 62 times by default)."""
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    examples = [(task, f"{task}-{number:04d}") for task, (_, _, n) in TASKS.items() for number in range(n)]
    skill = {example: draw.gauss(0, 0.18) for example in examples}
    metrics, timings = [], []

    def evaluate(stage: str, step: int, progress: float) -> None:
        records = []
        for task, name in examples:
            start, end, _ = TASKS[task]
            level = 0.03 if stage == "before" else start + (end - start) * progress
            reward = min(1.0, max(0.0, level + skill[task, name] + draw.gauss(0, 0.12)))
            records.append(make_record(draw, task, name, reward, stage, step))
        metrics.append(
            {
                **evaluation_metrics(summarise((r["task"], r["reward"]) for r in records)),
                "eval/truncated_ratio": 0.01,
                "eval/unscored": 0,
                "stage": stage,
                "step": step,
            }
        )
        timings.append({"stage": stage, "step": step, "evaluation_seconds": 4.5})
        name = f"step-{step:06d}" if stage == "train" else stage
        write_rows(folder / "eval" / f"{name}.jsonl", records)

    evaluate("before", 0, 0.0)
    for step in range(10, 101, 10):
        metrics.append({"sft/loss": 3.0 / (1 + step / 20), "sft/step": step, "stage": "warmup", "step": 0})
    evaluate("warmup", 0, 0.35)
    for step in range(1, steps + 1):
        share = step / steps
        metrics.append(
            {
                "stage": "train", "step": step, "reward": 0.3 + 0.3 * share + draw.gauss(0, 0.06), "reward_std": 0.2,
                "frac_reward_zero_std": max(0.0, draw.gauss(0.12, 0.1)), "completions/mean_length": 90 + 20 * share + draw.gauss(0, 6),
                "completions/clipped_ratio": max(0.0, draw.gauss(0.01, 0.02)), "entropy": 0.9 - 0.5 * share + draw.gauss(0, 0.03),
                "grad_norm": abs(draw.gauss(0.3, 0.1)), **{f"reward/{task}": start + (end - start) * share + draw.gauss(0, 0.05) for task, (start, end, _) in TASKS.items()}, "learning_rate": 5e-6, "loss": draw.gauss(0, 0.01), "num_tokens": step * 14000,
            }
        )  # fmt: skip
        timings.append({"stage": "train", "step": step, "step_time": 1.1})
        if step % 50 == 0 and step < steps:
            evaluate("train", step, 0.35 + 0.65 * (1 - (1 - share) ** 2))
    evaluate("final", steps, 1.0)
    timings += [
        {"stage": "warmup", "step": 0, "stage_seconds": 62.0},
        {"stage": "train", "step": steps, "stage_seconds": 700.0},
    ]
    for step in range(10, steps + 1, stored_every or max(1, steps // 62)):
        rows = [
            {
                **make_record(draw, *draw.choice(examples), draw.random(), "train", step),
                "group": n // 16,
                "advantage": 0.1,
            }
            for n in range(32)
        ]
        write_rows(folder / "completions" / f"step-{step:06d}.jsonl", rows)
    write_rows(folder / "metrics.jsonl", metrics)
    write_rows(folder / "timings.jsonl", timings)
    write_objects(folder, rehearsal, steps)
    decide_run(folder, rehearsal=rehearsal)
    return folder


def make_record(draw: random.Random, task: str, name: str, reward: float, stage: str, step: int) -> dict:
    text = {
        "extraction": '{"customer": "Ana", "product": "cafeteira", "sentiment": "negativo", "sentiment_score": 1,5, "delivery_days": 12}',
        "sql_qa": "SELECT COUNT(*) FROM orders_enriched WHERE status = 'entregue' AND state = 'SP';",
        "insights": "Diagnóstico: as entregas atrasaram 12 % em março. Ações: 1) rever a transportadora 2) avisar os clientes.",
        "push": "Só hoje: 15% na cafeteira! ☕ Aproveite.",
    }[task]
    if draw.random() < 0.3:
        text = draw.choice(HOSTILE) + " " + text
    valid = 1.0 if reward > 0.3 else 0.0
    return {
        "id": name, "task": task,
        "prompt": [{"role": "system", "content": "Você é um assistente da loja."}, {"role": "user", "content": f"Avaliação {name}: chegou atrasado e <b>quebrado</b>, nota 1,5"}],
        "completion": text, "reference": text, "truncated": draw.random() < 0.02, "reward": reward,
        "scores": {task: {"value": reward, "status": "value", "reason": "" if reward > 0.5 else "sentiment differs: <negativo>", "version": "1.0", "parts": {"valid": valid, "fields": reward}}},
        "repairs": ["decimal_comma"] if task == "extraction" else [], "step": step, "stage": stage,
    }  # fmt: skip


def write_objects(folder: Path, rehearsal: bool, steps: int) -> None:
    model = {"name": "Polygl0t/Tucano2-qwen-0.5B-Instruct", "embedded": {"layers": 4} if rehearsal else None}
    config = {
        "name": "v4_1", "seed": 42, "model": model, "grpo": {"max_steps": steps, "num_generations": 16}, "data": {"source": "shop"},
        "evaluation": {"every_steps": 50, "temperature": 0.1, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "seed": 1234},
        "decision": {"relative_to": "warmup" if rehearsal else "thresholds"},
    }  # fmt: skip
    objects = {
        "config.json": {"profile": "embedded" if rehearsal else "gpu", "source": "v4_1.yaml", "overrides": ["seed=42"], "config": config},
        "environment.json": {"python": "3.11.7", "platform": "Linux", "packages": {"torch": "2.13.0", "trl": "1.14.2"}, "device": "cpu", "threads": 2, "settings": {"changed_by_libraries": []}, "rewards": {name: {"version": "1.0", "weight": 1.0, "errors": 0, "mean_seconds": 0.0001} for name in TASKS}},
        "plan.json": {"prompts_per_step": 2, "num_generations": 16, "completions_per_step": 32, "max_steps": steps, "prompts_seen": 2 * steps, "tokens": {"total_expected": 8_200_000, "reference_mean": 88.4}, "seconds_estimated": {"total": 640.0}, "notes": ["81 % of the training rows are seen once"]},
        "audit.json": {"references": 1780, "without_reference": 0, "gold_failures": [], "reward_versions": {name: "1.0" for name in TASKS}, "train_tasks": {"extraction": 592, "sql_qa": 592, "insights": 148, "push": 148}, "held_out_tasks": {name: n for name, (_, _, n) in TASKS.items()}, "held_out_only_tasks": [], "passed": True},
        "status.json": {"stage": "done", "step": steps, "finished": True, "seconds": 812.4},
        "sft_baseline.json": {"seconds": 700.0, "steps": 2400, "mean": 0.43, "per_task": {"extraction": 0.35, "sql_qa": 0.38, "insights": 0.55, "push": 0.6}},
    }  # fmt: skip
    for name, value in objects.items():
        (folder / name).write_bytes(orjson.dumps(value))


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
