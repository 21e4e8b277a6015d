"""A run that is taken up again with other rewards: refused, or its evaluations are scored again so that one scorer judges all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from callbacks.evaluation.eval import write_records
from callbacks.evaluation.pairs import name_evaluation_file
from callbacks.evaluation.task_scores import evaluation_metrics, function_metrics, summarise, summarise_functions
from grpo.lifecycle.resume import kept_reliance
from grpo.lifecycle.run_directory import RunDirectory
from grpo.lifecycle.run_identity import begun_rewards
from rewards.errors import UserError
from rewards.host.scoring import RewardHost
from rewards.identity import read_identities, refuse_differences
from rewards.rescore import find_unfit, list_stored, read_stored, rescore
from rewards.writing.files import read_object, replacing
from rewards.writing.writable import to_line

KEPT = ("eval/truncated_ratio", "eval/repeated_ratio")
_SCORED = ("eval/", "eval_by_function/")


def refuse_changed(directory: RunDirectory, host: RewardHost, *, allowed: bool) -> list[str]:
    """What changed of the rewards of a resumed run; `UserError` where that is not `allowed`. Writes nothing."""
    kept = read_object(directory.path / "audit.json")
    before = read_identities(kept.get("reward_identities") if kept else begun_rewards(directory))
    return refuse_differences(f"--resume {directory.path}", before, host.identities(), allowed=allowed)


def check_rewards(directory: RunDirectory, audit: dict[str, Any], host: RewardHost, *, allowed: bool) -> list[str]:
    """Hold the rewards of a resumed run against those it began with; lines to show, none where they are the same.

    `UserError` names what changed unless it is `allowed`: then every stored evaluation is scored by the new rewards, its
    numbers in metrics.jsonl are replaced, and audit.json keeps what was changed. Rewards of training steps stay as they
    were: what they taught cannot be taken back.
    """
    differences = refuse_changed(directory, host, allowed=allowed)
    kept = read_object(directory.path / "audit.json")
    if not kept:
        kept = {**audit, "reward_identities": begun_rewards(directory)}
        directory.write_json("audit.json", kept)
    if not differences:
        return []
    with kept_reliance(directory.path):
        count = score_anew(directory, host)
    changes = [*(kept.get("reward_changes") or []), {"stage": directory.stage(), "changes": differences}]
    directory.write_json("audit.json", {**audit, "reward_changes": changes})
    return [
        f"the rewards changed: {'; '.join(differences)}",
        f"{count} stored evaluations were scored again by today's rewards; the rewards of the training steps so far, and the "
        "choice of best/ from them, are of the old ones",
    ]


def check_next_rewards(config: Path, directory: RunDirectory, profile: str, *, allowed: bool) -> list[str]:
    """Hold the rewards of the next run against those of the run that named it; lines to show, `UserError` unless `allowed`.

    Two rungs whose rewards differ cannot be compared, and one says so before the second is paid for.
    """
    from grpo.config.loading import load_config
    from rewards.config import build_host

    before = read_identities(read_object(directory.path / "audit.json").get("reward_identities"))
    host = build_host(load_config(str(config), profile=profile).rewards)
    differences = refuse_differences(f"--follow {config}", before, host.identities(), allowed=allowed)
    return [f"the rewards of the next run differ: {'; '.join(differences)}"] if differences else []


def score_anew(directory: RunDirectory, host: RewardHost) -> int:
    """Score every stored evaluation with `host`, in eval/ and metrics.jsonl alike; how many there were.

    `UserError`, with nothing written, where a stored row cannot be scored or a row of metrics.jsonl cannot be read.
    """
    if not any(directory.evaluations.glob("*.jsonl")):
        return 0
    path = directory.path / "metrics.jsonl"
    metrics = _read_metrics(path)
    stored = {name: read_stored(path) for name, path in list_stored(directory.path).items()}
    unfit = find_unfit(host, [row for rows in stored.values() for row in rows])
    if unfit:
        raise UserError([*unfit, f"{directory.path}: the old evaluations cannot be scored by the new rewards"])
    numbers: dict[str, dict[str, Any]] = {}
    for name, rows in stored.items():
        scored = rescore(host, name, rows)
        write_records(directory.evaluations / f"{name}.jsonl", scored.records())
        estimates = summarise([(each.example.task, each.reward) for each in scored.scored])
        numbers[name] = {
            **evaluation_metrics(estimates),
            **function_metrics(summarise_functions(scored.scored)),
            "eval/unscored": sum(each.reward is None for each in scored.scored),
        }
    rows_out = []
    for line, row in metrics:
        if row is None:
            rows_out.append(line)
            continue
        file = name_evaluation_file(str(row.get("stage")), int(row.get("step") or 0)).removesuffix(".jsonl")
        if "eval/mean_reward" in row and file in numbers:
            others = {key: value for key, value in row.items() if not key.startswith(_SCORED) or key in KEPT}
            row = {**others, **numbers[file]}
        rows_out.append(to_line(row, orjson.OPT_SORT_KEYS))
    with replacing(path) as out:
        out.write(b"".join(rows_out))
    return len(stored)


def _read_metrics(path: Path) -> list[tuple[bytes, dict[str, Any] | None]]:
    """Each line and its row; the last may have none: torn by a kill, it is cut off by the resumed run."""
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    metrics = [(line, _read_row(line)) for line in lines]
    torn = [number for number, (line, row) in enumerate(metrics[:-1], 1) if row is None and line.strip()]
    if torn:
        raise UserError(
            [f"{path}: line {number} is no JSON object; put it right or delete it, and resume again" for number in torn]
        )
    return metrics


def _read_row(line: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
