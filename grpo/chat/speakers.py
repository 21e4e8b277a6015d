"""Who answers: a policy in this process, or a GGUF file in llama.cpp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from grpo.evaluate.policy_source import is_run
from grpo.export.choice import PolicyToExport, choose
from grpo.export.llama_cpp import LlamaCpp, is_installed, post
from rewards.errors import UserError
from rewards.types import Completion, Example

CONTEXT = 4096


class Speaker(Protocol):
    """`name` is how it is told to people."""

    name: str

    def answer(self, messages: Sequence[Mapping[str, Any]], limit: int) -> Completion:
        """A greedy answer of at most `limit` tokens."""

    def close(self) -> None:
        """Give its memory back."""


class GgufSpeaker:
    """A GGUF file: llama.cpp renders its template and writes."""

    def __init__(self, file: Path, threads: int | None = None):
        self.runtime = LlamaCpp(file, context=CONTEXT, slots=1, threads=threads)
        self.name = f"{file.name} in llama.cpp"

    def answer(self, messages: Sequence[Mapping[str, Any]], limit: int) -> Completion:
        asked = {
            "messages": [dict(message) for message in messages], "max_tokens": limit, "temperature": 0.0, "top_k": 1,
        }  # fmt: skip
        found = post(self.runtime.address + "/v1/chat/completions", asked, self.name)["choices"][0]
        return Completion(found["message"].get("content") or "", found.get("finish_reason") == "length")

    def close(self) -> None:
        self.runtime.close()


class PolicySpeaker:
    """The policy of a run, or any model that transformers loads, in this process."""

    def __init__(self, choice: PolicyToExport, device: str):
        from grpo.export.policy import open_policy

        self.policy = open_policy(choice, device)
        self.name = choice.describe()

    def answer(self, messages: Sequence[Mapping[str, Any]], limit: int) -> Completion:
        from grpo.export.greedy import answer_greedily

        example = Example("chat", "chat", [dict(message) for message in messages], None, {})
        return answer_greedily(self.policy, [example], limit=limit, batch=1)[0]

    def close(self) -> None:
        self.policy.model = None


def find_gguf_file(model: str) -> Path | None:
    """The GGUF file that a name means: itself, or the smallest in the folder of an export; None where there is none."""
    path = Path(model).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return path
    if not path.is_dir() or is_run(path):
        return None
    return min(path.glob("*.gguf"), key=lambda file: file.stat().st_size, default=None)


def open_speaker(model: str, *, device: str = "auto") -> Speaker:
    """Who answers for `model`: a run, an export, a model's or adapter's folder, a GGUF file, or a model on the Hub.

    Of an export its smallest GGUF file, where llama.cpp is installed, since it starts in a second.
    """
    file = find_gguf_file(model)
    if file is not None and is_installed():
        return GgufSpeaker(file)
    if file is not None and not (file.parent / "config.json").is_file():
        raise UserError(f"{file}: answering with a GGUF file needs llama.cpp; pip install 'xllamacpp>=2026.10'")
    from grpo.engines.packages import quieten_libraries
    from grpo.machine.device import choose_device
    from grpo.machine.environment import prepare_threads, require_torch_device

    choice = choose(model)
    threads = prepare_threads(choice.config.threads)
    wanted = choice.config.model.device if device == "auto" else device
    kind = choose_device(wanted, "gpu" if choice.config.model.embedded else "small").kind
    require_torch_device(kind)
    import torch

    quieten_libraries()
    torch.set_num_threads(threads)
    return PolicySpeaker(choice, kind)
