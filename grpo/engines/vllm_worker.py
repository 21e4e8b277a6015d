"""Lets the workers of a vLLM server take weights from a file; for `--worker-extension-cls`."""

from __future__ import annotations

from typing import Any


class FileWeights:
    """Mixed into vLLM's own worker; a client calls its methods by name over `/collective_rpc`."""

    model_runner: Any
    reload_weights: Any

    def take_weights(self, path: str) -> None:
        """Reload all weights from a safetensors file that uses the names of the model on the Hub."""
        from safetensors import safe_open
        from vllm.platforms import current_platform

        from grpo.engines.vllm_weights import pack_heads

        with safe_open(path, framework="pt") as file:
            self.reload_weights(weights_iterator=((name, file.get_tensor(name)) for name in file.keys()))  # noqa: SIM118
        if current_platform.is_cpu():
            pack_heads(self.model_runner.get_model())
