"""Rows as each trainer wants them: most hand a reward nothing but a label, so the whole row travels in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rewards.types import Example
from rewards.writing.writable import to_json

Layout = Callable[[Example, int], dict[str, Any]]


def pack_row(example: Example) -> str:
    """The row as one JSON text: what a server or an adapter reads out of a label."""
    row = {
        **example.columns, "id": example.id, "task": example.task, "prompt": _messages(example),
        "reference": example.reference,
    }  # fmt: skip
    return to_json(row).decode()


def _messages(example: Example) -> list[dict[str, str]]:
    return [dict(turn) for turn in example.prompt]


def _openrlhf(example: Example, at: int) -> dict[str, Any]:
    return {"input": _messages(example), "label": pack_row(example)}


def _slime(example: Example, at: int) -> dict[str, Any]:
    return {"prompt": _messages(example), "label": pack_row(example)}


def _gym(example: Example, at: int) -> dict[str, Any]:
    agent = {"type": "responses_api_agents", "name": "recompensa_simple_agent"}
    row = {**example.columns, "id": example.id, "task": example.task, "reference": example.reference}
    return {"responses_create_params": {"input": _messages(example)}, **row, "agent_ref": agent}


def _verl(example: Example, at: int) -> dict[str, Any]:
    return {
        "data_source": example.task, "prompt": _messages(example), "ability": example.task,
        "reward_model": {"style": "rule", "ground_truth": example.reference or ""},
        "extra_info": {"index": at, "row": pack_row(example)},
    }  # fmt: skip


def _trl(example: Example, at: int) -> dict[str, Any]:
    return {"prompt": _messages(example), "row": pack_row(example)}


def _swift(example: Example, at: int) -> dict[str, Any]:
    return {"messages": _messages(example), "row": pack_row(example)}


def _areal(example: Example, at: int) -> dict[str, Any]:
    return {"messages": _messages(example), "answer": example.reference or "", "row": pack_row(example)}


def _verifiers(example: Example, at: int) -> dict[str, Any]:
    return {"prompt": _messages(example), "answer": example.reference or "", "info": pack_row(example)}


def _skyrl(example: Example, at: int) -> dict[str, Any]:
    return {
        "data_source": example.task, "prompt": _messages(example), "env_class": "recompensa",
        "reward_spec": {"method": "rule", "ground_truth": example.reference or ""}, "row": pack_row(example),
    }  # fmt: skip


def _nemo_rl(example: Example, at: int) -> dict[str, Any]:
    return {"messages": _messages(example), "ground_truth": example.reference or "", "row": pack_row(example)}


def _google(example: Example, at: int) -> dict[str, Any]:
    roles = {"assistant": "model"}
    turns = [
        {"role": roles.get(turn["role"], turn["role"]), "parts": [{"text": turn["content"]}]}
        for turn in example.prompt
        if turn["role"] != "system"
    ]
    system = [{"text": turn["content"]} for turn in example.prompt if turn["role"] == "system"]
    row = {"contents": turns, "references": {"answer": example.reference or "", "row": pack_row(example)}}
    return {**row, **({"systemInstruction": {"parts": system}} if system else {})}


def _aws(example: Example, at: int) -> dict[str, Any]:
    return {"id": example.id, "messages": _messages(example), "metadata": {"row": pack_row(example)}}


LAYOUTS: Mapping[str, tuple[Layout, str]] = {
    "openrlhf": (_openrlhf, "--data.input_key input --data.label_key label --data.apply_chat_template"),
    "slime": (_slime, "--input-key prompt --label-key label --apply-chat-template"),
    "miles": (_slime, "--input-key prompt --label-key label --apply-chat-template"),
    "nemo-gym": (_gym, "datasets: of the agent recompensa_simple_agent"),
    "verl": (_verl, "data.train_files=FILE.parquet"),
    "trl": (_trl, 'load_dataset("json", data_files="FILE.jsonl")'),
    "unsloth": (_trl, 'load_dataset("json", data_files="FILE.jsonl")'),
    "axolotl": (_trl, "datasets: - path: FILE.jsonl"),
    "ms-swift": (_swift, "--dataset FILE.jsonl"),
    "areal": (_areal, "train_dataset.path=FILE.jsonl"),
    "verifiers": (_verifiers, 'load_dataset("json", data_files="FILE.jsonl")'),
    "prime-rl": (_verifiers, 'load_dataset("json", data_files="FILE.jsonl")'),
    "skyrl": (_skyrl, "data.train_data=['FILE.parquet']"),
    "nemo-rl": (_nemo_rl, "data.train.data_path=FILE.jsonl"),
    "eval-protocol": (_nemo_rl, "input_dataset of evaluation_test"),
    "google": (_google, "the training data set of the tuning job"),
    "aws": (_aws, "the prompts of the fine-tuning job"),
}
