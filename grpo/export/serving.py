"""The lines by which an export is served: transformers, vLLM, llama.cpp, Ollama, and the endpoint of our own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_EMBEDDINGS = ("embed_tokens", "lm_head", "wte")


def serving_lines(
    folder: Path, name: str, files: Sequence[str], *, adapter: Mapping[str, Any] | None = None, base: str | None = None
) -> list[tuple[str, str]]:
    """What each way is called, and its command, for the files of an export in `folder`."""
    place, lines = shlex.quote(str(folder)), []
    if "config.json" in files:
        lines.append(("vLLM", f"vllm serve {place} --served-model-name {shlex.quote(name)}"))
    if adapter is not None and base is not None:
        lines.append(("vLLM, the adapter over its base", lora_line(folder / "adapter", name, adapter, base)))
    for file in files:
        if file.endswith(".gguf"):
            lines.append((f"llama.cpp, {file}", f"llama-server -m {shlex.quote(str(folder / file))} --host 127.0.0.1"))
    if "Modelfile" in files:
        lines.append(
            (
                "Ollama",
                f"ollama create {shlex.quote(name)} -f {shlex.quote(str(folder / 'Modelfile'))} && ollama run {shlex.quote(name)}",
            )
        )
    lines.append(("a chat in this terminal", f"python -m grpo.chat {place}"))
    return lines


def lora_line(folder: Path, name: str, adapter: Mapping[str, Any], base: str) -> str:
    """vLLM's line for an adapter, or why there is none."""
    targets = adapter.get("target_modules") or []
    saved = adapter.get("modules_to_save") or []
    outside = [word for word in [*([targets] if isinstance(targets, str) else targets), *saved] if word in _EMBEDDINGS]
    if outside or adapter.get("use_dora"):
        reason = "DoRA" if adapter.get("use_dora") else f"weights of {', '.join(outside)}"
        return f"# vLLM serves no adapter with {reason}: serve the merged model"
    rank = max([int(adapter.get("r") or 1), *map(int, (adapter.get("rank_pattern") or {}).values())])
    allowed = next((r for r in (8, 16, 32, 64, 128, 256, 320, 512) if r >= rank), rank)
    return (
        f"vllm serve {shlex.quote(base)} --enable-lora --max-lora-rank {allowed} "
        f"--lora-modules {shlex.quote(f'{name}={folder}')}"
    )


def transformers_lines(place: str) -> str:
    """The Python that loads the merged model and asks it something."""
    return (
        "from transformers import pipeline\n\n"
        f'ask = pipeline("text-generation", {place!r})\n'
        'print(ask([{"role": "user", "content": "..."}], do_sample=False)[0]["generated_text"][-1]["content"])'
    )
