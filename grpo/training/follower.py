"""The callback that moves the bar of a stage and hands on what the Trainer logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def make_follower(
    on_log: Callable[[int, dict[str, Any]], Any], report_rewards: Callable[[], dict[str, Any]] | None = None
) -> Any:
    """A transformers callback that moves the bar of its stage (`bar`, set once the stage is open) and hands logs on.

    Each checkpoint keeps what the rewards have done up to it.
    """
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    class Follow(TrainerCallback, ExportableState):
        bar: Any = None
        step_seconds: float | None = None  # of the latest step, all its passes
        _begun = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._begun = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.step_seconds = time.perf_counter() - self._begun

        def state(self) -> dict[str, Any]:
            return {"args": {}, "attributes": {"rewards": report_rewards() if report_rewards else {}}}

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            logs = logs or {}
            # The Trainer keeps all rows of a run in memory, and again in each checkpoint; metrics.jsonl has them.
            del state.log_history[:-1]
            on_log(state.global_step, logs)
            shown = "reward" if "reward" in logs else "loss"
            if shown in logs:
                self.bar.advance(state.global_step - self.bar.done, **{shown: logs[shown]})

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # Steps since the last row that was logged.
            self.bar.advance(state.global_step - self.bar.done)

    return Follow()
