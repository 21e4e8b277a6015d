"""`grpo.run`, which notes when batches are written ahead and when losses are computed, in the file named by WATCHED.

A line of JSON each: what it was, and its first and last second on the machine's steady clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from grpo.run import main
from grpo.training import ahead_trainer


def note(what: str, call: Any, *arguments: Any, **options: Any) -> Any:
    start = time.monotonic()
    result = call(*arguments, **options)
    with Path(os.environ["WATCHED"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([what, start, time.monotonic()]) + "\n")
    return result


write, learn = ahead_trainer.ServedWriter.write, ahead_trainer.AheadTrainer.compute_loss
ahead_trainer.ServedWriter.write = lambda writer, *rest: note("write", write, writer, *rest)
ahead_trainer.AheadTrainer.compute_loss = lambda trainer, *rest, **more: note("learn", learn, trainer, *rest, **more)

if __name__ == "__main__":
    sys.exit(main())
