"""What a vLLM server's workers learn of ours: to take weights from a file; for `--worker-extension-cls`."""

from __future__ import annotations

from typing import Any


class FileWeights:
    """Mixed into vLLM's own worker, whose methods a client calls by name over `/collective_rpc`."""

    model_runner: Any
    reload_weights: Any

    def take_weights(self, path: str) -> None:
        """Load all weights anew from a file of safetensors, under the names that the model has on the Hub."""
        from safetensors import safe_open
        from vllm.platforms import current_platform

        from grpo.engines.vllm_weights import pack_heads

        with safe_open(path, framework="pt") as file:
            self.reload_weights(weights_iterator=((name, file.get_tensor(name)) for name in file.keys()))  # noqa: SIM118
        if current_platform.is_cpu():
            pack_heads(self.model_runner.get_model())
