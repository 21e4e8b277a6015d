"""Checkpoints of the warm-up: what the Trainer keeps, and the sums since its last row, without which that row would differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sft_warmup.batches import LengthBatches
from sft_warmup.passes.counted_tokens import Way

_SUMS = "sums-{index}.json"


def write_sums(trainer: Any, checkpoint: Path) -> None:
    """Beside a checkpoint of this process: what was added up since the last row that was logged, and how passes are computed."""
    way = trainer.way
    sums = {
        "loss": float(trainer._tr_loss.item()),
        "total_loss": float(trainer._total_loss_scalar),
        "last_logged": int(trainer._globalstep_last_logged),
        "tokens": int(trainer._total_train_tokens),
        **({"way": way and asdict(way)} if trainer.tried else {}),
        "metrics": {name: [float(value) for value in values] for name, values in trainer._metrics["train"].items()},
    }
    path = checkpoint / _SUMS.format(index=trainer.args.process_index)
    # Not orjson: a loss may be no number.
    path.write_text(json.dumps(sums), encoding="utf-8")


def read_sums(trainer: Any, checkpoint: Path) -> None:
    """Continue the sums from where a checkpoint ended, and the way its passes were computed in."""
    path = checkpoint / _SUMS.format(index=trainer.args.process_index)
    sums = json.loads(path.read_text(encoding="utf-8"))
    trainer._tr_loss.fill_(sums["loss"])
    trainer._total_loss_scalar = sums["total_loss"]
    trainer._globalstep_last_logged = sums["last_logged"]
    trainer._total_train_tokens = sums["tokens"]
    if "way" in sums:  # else the checkpoint is older than it, or its stage had computed nothing
        trainer.go_on(Way(**sums["way"]) if sums["way"] else None)
    for name, values in sums["metrics"].items():
        # The count of tokens is one number that grows: TRL would hand on an int.
        trainer._metrics["train"][name] = [int(value) for value in values] if name == "num_tokens" else values


def make_callback(resumed_from: Callable[[], tuple[Any, Path] | None], order: LengthBatches) -> Any:
    """A transformers callback that goes on where a checkpoint ended; `resumed_from` gives the trainer and that checkpoint.

    It also tells `order` which pass over the rows begins: through the wrappers of several processes the Trainer does not
    reach it.
    """
    from transformers import TrainerCallback

    class GoOn(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            found = resumed_from()
            if found is not None:
                read_sums(*found)

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            order.set_epoch(int(state.epoch or 0))

    return GoOn()
