"""A step of decoding as a CUDA graph: one launch in place of the hundreds that a model of thirty layers makes a token."""

from __future__ import annotations

import warnings
from typing import Any

from grpo.generation.decoder import Decoder
from grpo.generation.kv_cache import KVCache


class StepGraph:
    """The forward of one token a row, recorded once for every version of the cache and then replayed.

    The first step of a batch runs as it is, which also prepares what may not be prepared while recording; from then on
    a step records where the cache has changed. Without static shapes every step runs as it is. A model whose forward cannot be
    recorded (one that waits for the device, such as for the sizes of its experts' batches) is warned of and runs on.
    """

    def __init__(
        self, model: Any, memory: KVCache, fixed: dict[str, Any], decoder: Decoder | None = None, recording=None
    ):
        self.model, self.memory, self.fixed, self.decoder, self.recording = model, memory, fixed, decoder, recording
        self.version, self.graph, self.recordable = -1, None, memory.static and memory.place.device.type == "cuda"
        self.tokens: Any = None
        self.positions: Any = None
        self.logits: Any = None

    def __call__(self, tokens, positions):
        """Logits (rows, vocabulary) after the newest `tokens` (rows, 1), good until the next call."""
        if self.version != self.memory.version:
            first = self.version < 0 or self.memory.fused  # kernels are built for new sizes, which may not be recorded
            self.version, self.graph, self.logits = self.memory.version, None, None
            if first:
                return self.forward(tokens, positions)
        if not self.recordable:
            return self.forward(tokens, positions)
        if self.graph is None:
            self.record(tokens, positions)
            if self.graph is None:
                return self.forward(tokens, positions)
        self.tokens.copy_(tokens)
        self.positions.copy_(positions)
        self.graph.replay()
        return self.logits

    def forward(self, tokens, positions):
        """The logits of the next token, (rows, vocabulary), without a graph."""
        if self.decoder is not None:
            return self.decoder.step(tokens, positions, self.memory.attend_next, self.recording)
        logits = self.model(input_ids=tokens, position_ids=positions, logits_to_keep=1, **self.fixed).logits
        return logits[:, -1]

    def record(self, tokens, positions) -> None:
        """Record the step as a CUDA graph; if that fails, steps run without one."""
        import torch

        self.tokens, self.positions = tokens.clone(), positions.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.logits = self.forward(self.tokens, self.positions)
        except RuntimeError as error:
            self.recordable, self.logits = False, None
            self.memory.reached.clear()
            torch.cuda.synchronize()
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"{type(self.model).__name__} decodes without CUDA graphs: {reason}", stacklevel=2)
            return
        self.graph = graph
