"""What a server has scored, as stored completions: `rewards rescore FOLDER` reads it, with the rewards of the time."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.serve.pool import Item
from rewards.serve.scorers import Scorer
from rewards.writing.files import write_json
from rewards.writing.writable import to_line


class ScoreLog:
    """A folder a scorer, shaped like a run: config.json, and eval/scored-TIME.jsonl. Readable by its owner only."""

    def __init__(self, folder: Path, scorers: dict[str, Scorer]):
        self._files: dict[str, int] = {}
        started = time.strftime("%Y%m%d-%H%M%S")
        try:
            for name, scorer in scorers.items():
                place = folder / name if len(scorers) > 1 else folder
                (place / "eval").mkdir(parents=True, exist_ok=True, mode=0o700)
                config = {"config": {"rewards": scorer.section.model_dump(mode="json")}, "pin": scorer.pin}
                write_json(place / "config.json", config)
                path = place / "eval" / f"scored-{started}-{os.getpid()}.jsonl"
                self._files[name] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise UserError(f"--log: {folder} cannot be written ({error.strerror})") from None

    def add(self, scorer: Scorer, dialect: str, items: Sequence[Item], results: Sequence[dict[str, Any]]) -> None:
        lines = []
        for (example, text, truncated), result in zip(items, results, strict=True):
            scores = {
                name: {
                    "value": each["value"], "status": each["status"], "reason": each["reason"],
                    "version": scorer.versions.get(name, ""), "parts": each["parts"],
                }
                for name, each in result["functions"].items()
            }  # fmt: skip
            row: dict[str, Any] = {
                "id": example.id, "task": example.task, "prompt": [dict(turn) for turn in example.prompt],
                "completion": text, "reference": example.reference, "truncated": truncated, "reward": result["value"],
                "scores": scores, "repairs": [], "dialect": dialect, "time": round(time.time(), 3),
            }  # fmt: skip
            if result["status"] in ("error", "bad_row"):
                row["fault"] = result["reason"]
            lines.append(to_line({**row, "columns": dict(example.columns)} if example.columns else row))
        os.write(self._files[scorer.name], b"".join(lines))

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])
