"""A process whose groups are all idle takes part in the step of the others."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[3]
TRAIN = """
import os, sys
import torch
torch.set_num_threads(1)
from transformers import AutoModelForCausalLM, AutoTokenizer
from grpo.policy.loading import Policy
from grpo.config.sections import GrpoSection
from grpo.training.trl_arguments import trl_arguments
from grpo.training.trainer import SharedPrefixTrainer
from rewards.types import Example
from rewards.host.verdicts import ScoredCompletion

policy, directory, loss_type = sys.argv[1:]
rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
REWARDS = [0.25, 0.75, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5]

class Host:
    def score(self, pairs):
        share = 8 // count
        rewards = REWARDS[rank * share : (rank + 1) * share]
        return [ScoredCompletion(e, c, (), r) for (e, c), r in zip(pairs, rewards, strict=True)]

rows = [
    Example(id=str(n), task="t", prompt=[{"role": "user", "content": "pergunta " * (n + 1)}], reference="sim")
    for n in range(2)
]
section = GrpoSection(
    max_steps=3, learning_rate=1e-2, prompts_per_step=2, num_generations=4, max_completion_length=8, warmup_steps=0,
    num_iterations=2, micro_batch_size=2, loss_type=loss_type,
)
arguments = trl_arguments(
    section, directory=directory, seed=3, device="cpu", bf16=False, gradient_checkpointing=False, world_size=count
)
model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
trainer = SharedPrefixTrainer(
    Policy(model, AutoTokenizer.from_pretrained(policy)), rows, Host(), arguments, record=lambda *_: None
)
tokens = []
model.get_input_embeddings().register_forward_hook(
    lambda module, args, out: tokens.append(args[0].numel()) if torch.is_grad_enabled() else None
)
trainer.train()
logs = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
torch.save({"weights": model.state_dict(), "tokens": tokens, "logs": logs}, f"{directory}/{rank}.pt")
"""


def run_processes(count, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(count):
        process = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        process |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        if count > 1:
            environment |= {name: str(value) for name, value in process.items()}
        command = [sys.executable, "-c", TRAIN, *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors


@pytest.mark.slow
@pytest.mark.parametrize("loss_type", ["dr_grpo", "dapo"])
def test_train_when_one_process_is_idle_then_weights_are_those_of_a_single_process(loss_type, policy, tmp_path):
    """Two gloo processes, the second without any advantage: one token a micro-batch there, and the same weights."""
    policy.save(tmp_path / "policy")
    results = []
    for count in (1, 2):
        directory = tmp_path / str(count)
        directory.mkdir()
        run_processes(count, tmp_path / "policy", directory, loss_type)
        results.append([torch.load(directory / f"{rank}.pt") for rank in range(count)])
    (alone,), (first, second) = results
    assert set(second["tokens"]) == {1} and min(first["tokens"]) > 1
    for name, weight in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], second["weights"][name], atol=0, rtol=0)
        torch.testing.assert_close(first["weights"][name], weight, atol=2e-4, rtol=0)
    for log, wanted in zip(first["logs"], alone["logs"], strict=True):
        for name in ("loss", "grad_norm", "entropy", "clip_ratio/region_mean"):
            assert log[name] == pytest.approx(wanted[name], abs=1e-4), name
