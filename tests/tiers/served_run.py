"""`grpo.run` with vLLM in server mode on a processor: no weights are sent, as their way, NCCL, needs CUDA devices.

With STAND_IN in the environment ("dies 3") the server is tests/tiers/stand_in_server.py with that fault, else vLLM's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from grpo.engines import vllm
from grpo.run import main

serve_command, start, serving = vllm.serve_command, vllm.VllmEngine._start, vllm.VllmEngine.serving


def serve(folder: str, **settings: object) -> list[str]:
    """The command of the server; vLLM's without what it compiles for long."""
    if "STAND_IN" not in os.environ:
        return [*serve_command(folder, **settings), "--enforce_eager", "True"]
    stand_in = Path(__file__).with_name("stand_in_server.py")
    return [sys.executable, str(stand_in), str(settings["port"]), *os.environ["STAND_IN"].split()]


def serve_without_weights(engine: vllm.VllmEngine, *arguments: object, **options: object):
    from trl.generation.vllm_client import VLLMClient

    VLLMClient.init_communicator = lambda client, device=0: None
    VLLMClient.update_named_params = lambda client, metadata, named: [None for _ in named] and None
    return serving(engine, *arguments, **options)


vllm.serve_command = serve
vllm.VllmEngine._start = lambda engine, folder, directory, device: start(engine, folder, directory, "cuda")
vllm.VllmEngine.serving = serve_without_weights

if __name__ == "__main__":
    sys.exit(main())
