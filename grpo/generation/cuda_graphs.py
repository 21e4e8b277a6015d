"""A step of decoding as a CUDA graph: one launch in place of the hundreds that a model of thirty layers makes a token."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from grpo.generation.kv_cache import KVCache


class StepGraph:
    """`step`, which writes one token a row, recorded once for every version of the cache `memory` and then replayed.

    The first step of a batch runs as it is, which also prepares what may not be prepared while recording; from then on
    a step records where the cache has changed. Without static shapes every step runs as it is. A model (`name` in warnings)
    whose step cannot be recorded (one that waits for the device, such as for the sizes of its experts' batches) is warned
    of and runs on. `step` must read and change the same arrays each time until the cache changes.
    """

    def __init__(self, step: Callable[[], None], memory: KVCache, name: str):
        self.step, self.memory, self.name = step, memory, name
        self.version, self.graph = -1, None
        self.recordable = memory.static and memory.place.device.type == "cuda"

    def __call__(self) -> None:
        """Write the next token of each row."""
        if self.version != self.memory.version:
            first = self.version < 0 or self.memory.fused  # kernels are built for new sizes, which may not be recorded
            self.version, self.graph = self.memory.version, None
            if first:
                return self.step()
        if self.recordable and self.graph is None:
            self.record()
        return self.step() if self.graph is None else self.graph.replay()

    def record(self) -> None:
        """Record the step as a CUDA graph; if that fails, steps run without one."""
        graph, fault = record(self.step, self.memory.place.device)
        if fault is not None:
            self.recordable = False
            self.memory.reached.clear()
            warnings.warn(f"{self.name} decodes without CUDA graphs: {fault}", stacklevel=2)
        self.graph = graph


# Of each device the last graph, whose memory the next one takes over, and the stream on which both are captured.
NEWEST: dict[Any, tuple[Any, Any]] = {}


def record(step: Callable[[], None], device: Any) -> tuple[Any, str | None]:
    """`step` as a CUDA graph, or None and the first line of what forbids it.

    `torch.cuda.graph` hands all unused memory back to the driver first, gigabytes after a loss, which then has to be asked for
    again: here nothing is handed back, and the arrays of a graph stand where those of the one before stood.
    """
    import torch

    graph, faults = torch.cuda.CUDAGraph(), []
    before, stream = NEWEST.get(device) or (None, torch.cuda.Stream(device))
    torch.cuda.synchronize(device)
    with torch.cuda.device(device), torch.cuda.stream(stream):
        # Faults are kept as texts: an error's traceback would hold the arrays of the batch.
        try:
            graph.capture_begin(*([] if before is None else [before.pool()]), capture_error_mode="thread_local")
            try:
                step()
            except RuntimeError as error:
                faults.append(str(error))
            finally:
                graph.capture_end()  # fails as well where the step did
        except RuntimeError as error:
            faults.append(str(error))
    if not faults:
        NEWEST[device] = graph, stream
        return graph, None
    torch.cuda.synchronize(device)
    return None, (faults[0].strip().splitlines() or ["no reason given"])[0]


def forget_graphs() -> None:
    """Let go of the memory that the next graph would take over, so that `torch.cuda.empty_cache` can hand it back."""
    NEWEST.clear()
