"""Sends weights to a vLLM server as a file in a shared folder, for devices that cannot share an NCCL group."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.engines.engine import EngineFailed, first_words

if TYPE_CHECKING:
    import torch

WORKER = "grpo.engines.vllm_worker.FileWeights"
"""The class that extends the server's workers: vLLM's `--worker-extension-cls`."""

_TYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}

Metadata = Iterable[tuple[str, str, list[int]]]


def weights_file(folder: Path | None, directory: Path) -> Path:
    """The path of the file that carries a run's weights: in `folder`, under a name unique to the run, or in its own
    directory.
    """
    if folder is None:
        return directory.resolve() / "vllm-weights.safetensors"
    run = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]
    return folder.expanduser().resolve() / f"recompensa-{run}.safetensors"


def find_folder_problems(folder: Path) -> list[str]:
    """What stops weights from being written to a folder: one line, or none."""
    if not folder.is_dir():
        return [
            f"model.vllm.weights_folder: {folder} is not a folder; create one that the server sees under the same name"
        ]
    try:
        with tempfile.TemporaryFile(dir=folder):
            return []
    except OSError as fault:
        return [
            f"model.vllm.weights_folder: no file can be written in {folder} ({fault.strerror}); write another, or leave it out"
        ]


def write_weights(path: Path, metadata: Metadata, named: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Write a safetensors file, tensor by tensor as `named` yields them; `metadata` lists name, dtype and shape in the
    same order.

    Unlike safetensors' own writer this needs no second copy of all weights. The file is replaced in one move, so a
    process that still reads the previous one is not disturbed.
    """
    header: dict[str, Any] = {}
    place = 0
    for name, kind, shape in metadata:
        size = _BYTES[kind]
        for length in shape:
            size *= length
        header[name] = {"dtype": _TYPES[kind], "shape": shape, "data_offsets": [place, place + size]}
        place += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    parted = path.with_suffix(".part")
    with parted.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for _, weight in named:
            file.write(_bytes_of(weight))
    os.replace(parted, path)


@contextmanager
def sent_as_files(path: Path) -> Iterator[None]:
    """While this is active, vLLM clients that TRL creates send weights as the file `path`, which is deleted at the end."""
    from trl.generation import vllm_generation

    original: Any = vllm_generation.VLLMClient

    class FileClient(original):
        """TRL's client without its NCCL group."""

        def init_communicator(self, device: Any = 0) -> None:
            """There is no connection to open."""

        def update_named_params(self, metadata: list, named_params: Iterable[tuple[str, Any]]) -> None:
            try:
                write_weights(path, metadata, named_params)
            except OSError as fault:
                raise EngineFailed(
                    f"the weights cannot be written to {path} ({fault.strerror or fault}); make room there, or name another "
                    "folder in model.vllm.weights_folder"
                ) from fault
            answer = self.session.post(
                f"{self.base_url}/collective_rpc", json={"method": "take_weights", "args": [str(path)]}
            )
            if answer.status_code != 200:
                raise EngineFailed(
                    f"the vLLM server at {self.base_url} took no weights from {path} ({first_words(Exception(answer.text))}); "
                    f"it must see that folder and be started with --worker-extension-cls {WORKER} (docs/engines.md)"
                )

    vllm_generation.VLLMClient = FileClient
    try:
        yield
    finally:
        vllm_generation.VLLMClient = original
        for each in (path, path.with_suffix(".part")):
            with suppress(OSError):
                each.unlink()


def _bytes_of(weight: torch.Tensor) -> memoryview:
    import torch

    flat = weight.detach().to("cpu").contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())
