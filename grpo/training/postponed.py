"""An evaluation that a stop cut short: a checkpoint keeps what of its step is still to be written down after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from rewards.writing.files import read_object


@dataclass
class Postponed:
    """Of which step the evaluation is still to come; None where none is.

    A step's row of training is written after its evaluation, so it waits too: `logs` and `seconds` as they were handed to be
    logged, None where that step logs none, and `noted`, what the record knew that goes into the row.
    """

    step: int | None = None
    logs: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    noted: dict[str, Any] = field(default_factory=dict)

    def begin(self, step: int) -> None:
        """From here on the row of `step` waits."""
        self.step, self.logs, self.seconds, self.noted = step, None, {}, {}

    def hold(self, step: int, logs: Mapping[str, Any], seconds: Mapping[str, float], noted: Mapping[str, Any]) -> bool:
        """Keep the row of a step whose evaluation is still to come; False where it is not, and the row is to be logged."""
        if step != self.step:
            return False
        self.logs, self.seconds, self.noted = dict(logs), dict(seconds), dict(noted)
        return True

    def read(self, checkpoint: Path | None) -> None:
        """Recall what a checkpoint keeps of it; nothing where its step was whole."""
        state = read_object(checkpoint / "trainer_state.json") if checkpoint is not None else {}
        kept = (state.get("stateful_callbacks") or {}).get("CatchUp") or {}
        noted = (kept.get("attributes") or {}).get("postponed") or {}
        self.step, self.logs = noted.get("step"), noted.get("logs")
        self.seconds, self.noted = noted.get("seconds") or {}, noted.get("noted") or {}


def make_callback(
    postponed: Postponed,
    evaluate: Callable[[int], Any],
    log: Callable[[int, dict[str, Any], dict[str, float], dict[str, Any]], Any],
) -> Any:
    """A transformers callback that makes up for what was postponed before the first step; put it last.

    `log(step, logs, seconds, noted)` writes the row that waited.
    """
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    class CatchUp(TrainerCallback, ExportableState):
        def state(self) -> dict[str, Any]:
            kept = {} if postponed.step is None else {"postponed": asdict(postponed)}
            return {"args": {}, "attributes": kept}

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if postponed.step is None:
                return
            step, logs, seconds, noted = postponed.step, postponed.logs, postponed.seconds, postponed.noted
            evaluate(step)
            postponed.step = None
            if logs is not None:
                log(step, logs, seconds, noted)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> Any:
            numbers = [value for value in (logs or {}).values() if isinstance(value, float)]
            if postponed.step is not None and not all(isfinite(number) for number in numbers):
                # Nobody has judged this row yet; weights after a loss that is not a number are none.
                control.should_save = False
            return control

    return CatchUp()
