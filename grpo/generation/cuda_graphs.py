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
        import torch

        graph: Any = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.step()
        except RuntimeError as error:
            self.recordable = False
            self.memory.reached.clear()
            torch.cuda.synchronize()
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"{self.name} decodes without CUDA graphs: {reason}", stacklevel=2)
            return
        self.graph = graph
