"""`grpo.run` with tests/tiers/stand_in_server.py in place of vLLM's server, which need not be installed.

STAND_IN in the environment is the fault that it has ("dies 3"). It is sent the weights as a file, in place of NCCL.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from grpo.engines import vllm
from grpo.run import main

# As much of vLLM as TRL and the engine import for a server elsewhere.
PACKAGE = {
    "vllm-0.30.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: 0.30.0\n",
    "vllm-0.30.0.dist-info/top_level.txt": "vllm\n",
    "vllm/__init__.py": "class LLM: ...\nclass RequestOutput: ...\nclass SamplingParams: ...\n",
    "vllm/platforms.py": "class current_platform:\n    device_type = 'cpu'\n",
    "vllm/sampling_params.py": "class StructuredOutputsParams: ...\n",
    "vllm/utils/__init__.py": "",
    "vllm/utils/network_utils.py": "def get_ip():\n    return '127.0.0.1'\n",
    "vllm/distributed/__init__.py": "",
    "vllm/distributed/weight_transfer/__init__.py": "",
    "vllm/distributed/weight_transfer/nccl_common.py": "def trainer_init(info): ...\n",
    "vllm/distributed/weight_transfer/packed_tensor.py": "def packed_nccl_broadcast_producer(**_): ...\n",
}


def pretend_vllm(folder: Path) -> None:
    """Have this process find a package of that name."""
    for name, text in PACKAGE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sys.path.append(str(folder))


start, serving = vllm.VllmEngine._start, vllm.VllmEngine.serving


def serve(folder: str, **settings: object) -> list[str]:
    """The command of the server."""
    stand_in = Path(__file__).with_name("stand_in_server.py")
    return [sys.executable, str(stand_in), str(settings["port"]), *os.environ["STAND_IN"].split(), folder]


def send_file(client: Any, metadata: list, named: Iterable[tuple[str, Any]]) -> None:
    """The weights as a file that the stand-in reads."""
    import torch

    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        torch.save({name: weight.detach().cpu().clone() for name, weight in named}, file)
        file.flush()
        client._post(f"{client.base_url}/update_weights", json={"path": file.name})


def serve_by_files(engine: vllm.VllmEngine, *arguments: object, **options: object):
    from trl.generation.vllm_client import VLLMClient

    VLLMClient.init_communicator = lambda client, device=0: None
    VLLMClient.update_named_params = send_file
    return serving(engine, *arguments, **options)


if find_spec("vllm") is None:
    pretend_vllm(Path(tempfile.mkdtemp(prefix="recompensa-stand-in-")))
vllm.serve_command = serve
vllm.VllmEngine._start = lambda engine, folder, directory, device: start(engine, folder, directory, "cuda")
vllm.VllmEngine.serving = serve_by_files

if __name__ == "__main__":
    sys.exit(main())
