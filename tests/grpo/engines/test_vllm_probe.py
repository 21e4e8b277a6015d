"""Whether the weights arrived at vLLM: a probe text's log-probabilities; and whole runs against a stand-in server that fails."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from grpo.engines.vllm_probe import METRIC, MOST_DIFFERENCE, TOKENS, WeightProbe, ask_colocated, ask_server
from rewards.errors import RecompensaError

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "data.shop.train_rows=8", "data.shop.held_out_rows=8", "data.shop.warmup_rows=40", "sft_warmup.max_steps=6",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400", "grpo.max_steps=6",
    "grpo.prompts_per_step=2", "grpo.num_generations=4", "grpo.max_completion_length=12", "grpo.save_every_steps=2",
    "grpo.learning_rate=0.02", "evaluation.max_completion_length=12", "evaluation.every_steps=6", "tracking.wandb=off",
    "threads=1",
)  # fmt: skip


def test_probe_when_the_numbers_are_near_then_their_difference_is_given():
    """bfloat16 against float32 gives some hundredths."""
    assert WeightProbe(range(200)).ids == list(range(TOKENS))
    assert WeightProbe([1, 2, 3]).compare([-1.0, -2.0], [-1.02, -1.96]) == pytest.approx(0.03)


@pytest.mark.parametrize("theirs", [[-2.0, -2.0], [float("-inf"), -2.0], [float("nan"), -2.0]])
def test_probe_when_the_numbers_are_of_another_policy_then_it_says_by_how_much(theirs):
    """Also where vLLM gives a token no chance at all, or no number."""
    with pytest.raises(RecompensaError, match=f"more than {MOST_DIFFERENCE}; its weights did not arrive"):
        WeightProbe([1, 2, 3]).compare([-0.5, -2.4], theirs)


def test_probe_when_vllm_stands_still_while_the_policy_moves_then_it_says_so():
    """The weights of an earlier step hardly differ; that nothing moves gives them away."""
    probe = WeightProbe([1, 2, 3])
    assert probe.compare([-1.0, -2.0], [-1.0, -2.0]) == 0.0
    # Too little for its rounding: what was sent may be the same.
    assert probe.compare([-1.01, -2.01], [-1.0, -2.0]) == pytest.approx(0.01)
    assert probe.compare([-1.04, -2.04], [-1.03, -2.03]) == pytest.approx(0.01)
    with pytest.raises(RecompensaError, match=r"has moved by 0\.1 a token .* still answers with the same numbers"):
        probe.compare([-1.14, -2.14], [-1.03, -2.03])


def test_probe_when_run_on_a_trainer_then_its_own_numbers_are_those_of_a_plain_pass():
    """Dropout is off for it, and on again after it."""
    torch = pytest.importorskip("torch")
    from contextlib import nullcontext

    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = dict(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    model = LlamaForCausalLM(LlamaConfig(**shape, attention_dropout=0.5)).train()
    accelerator = SimpleNamespace(unwrap_model=lambda model: model, autocast=nullcontext)
    trainer = SimpleNamespace(model=model, accelerator=accelerator, _metrics={"train": {METRIC: []}})
    ids = [3, 1, 4, 1, 5]
    with torch.no_grad():
        logps = torch.log_softmax(model.eval()(torch.tensor([ids])).logits[0].float(), -1)
    wanted = [logps[at, token].item() for at, token in enumerate(ids[1:])]
    model.train()
    WeightProbe(ids).run(trainer, lambda asked: wanted if asked == ids else [])
    assert trainer._metrics["train"][METRIC] == [pytest.approx(0.0, abs=1e-6)] and model.training


def test_vllm_when_asked_for_a_text_then_each_token_after_the_first_has_its_number(monkeypatch):
    """A server by TRL's client, a vLLM in this process by its own call; both list other likely tokens too."""
    vllm = ModuleType("vllm")
    vllm.SamplingParams = lambda **given: given
    monkeypatch.setitem(sys.modules, "vllm", vllm)

    def generate(prompts, sampling_params, use_tqdm):
        assert prompts == [{"prompt_token_ids": [7, 8, 9]}] and sampling_params["prompt_logprobs"] == 1
        found = [
            {8: SimpleNamespace(logprob=-1.0), 0: SimpleNamespace(logprob=-0.1)},
            {9: SimpleNamespace(logprob=-2.0)},
        ]
        return [SimpleNamespace(prompt_logprobs=[None, *found])]

    assert ask_colocated(generate)([7, 8, 9]) == [-1.0, -2.0]
    pytest.importorskip("trl")
    from trl.generation.vllm_client import VLLMClient

    client = VLLMClient.__new__(VLLMClient)
    client.base_url, client.model = "http://127.0.0.1:9", "model"
    found = [
        None,
        {"8": {"logprob": -1.0, "rank": 4}, "0": {"logprob": -0.1, "rank": 1}},
        {"9": {"logprob": -2.0, "rank": 1}},
    ]
    client._post = lambda url, json: {"choices": [{"prompt_logprobs": found}]}
    assert ask_server(client)([7, 8, 9]) == [-1.0, -2.0]


# -- whole runs against a server that speaks as vLLM's does ------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Runs on a small model, whose server has the fault that is asked for: exit code, what was said, and the folder."""
    pytest.importorskip("trl")
    home = tmp_path_factory.mktemp("served")
    environment = {
        **os.environ,
        "RECOMPENSA_CACHE": str(home / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }

    def start(words, settings=(), **more) -> subprocess.CompletedProcess:
        words = [sys.executable, *words, *(word for each in settings for word in ("--set", each))]
        return subprocess.run(words, env={**environment, **more}, cwd=home, capture_output=True, text=True)

    words = ("--config", "v4_1.yaml", "--profile", "embedded", "--quiet", "--run-dir")
    done = start(("-m", "grpo.run", *words, str(home / "base")), (*SMALL, "grpo.max_steps=2"))
    assert done.returncode == 0, done.stderr[-2000:]

    def run(name: str, fault: str, *, resume: bool = False, timeout: int = 60):
        entry = str(ROOT / "tests" / "tiers" / "served_run.py")
        server = f"server_port: {free_port()}, group_port: {free_port()}, server_timeout: {timeout}"
        settings = (
            *SMALL, "model.engine=vllm", "model.embedded=null", f"model.name={home / 'base' / 'sft'}",
            f"model.vllm={{mode: server, server_devices: '0', {server}}}", "grpo.top_p=1.0", "grpo.top_k=0",
            "grpo.repetition_penalty=1.0",
        )  # fmt: skip
        if resume:
            done = start((entry, "--resume", str(home / name), "--quiet"), STAND_IN=fault)
        else:
            done = start((entry, *words, str(home / name)), settings, STAND_IN=fault)
        return done.returncode, done.stdout + done.stderr, home / name

    return run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_served_run_when_weights_arrive_then_the_probe_agrees_and_when_not_one_line_says_so(served):
    """The stand-in has a policy of its own: one that hears nothing more, and one that takes wrong weights, are found out."""
    code, said, folder = served("whole", "none 0")
    assert code == 0, said
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]
    differences = [row[METRIC] for row in rows if METRIC in row]
    assert len(differences) == 6 and max(differences) < 1e-5
    for fault, found in (("deaf 2", "still answers with the same numbers"), ("lies 2", "of a probe text differ by")):
        code, said, _ = served(fault.partition(" ")[0], fault)
        assert code == 1 and found in said and "Traceback" not in said, said
        assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_served_run_when_its_server_dies_or_hangs_then_it_is_resumed_to_the_same_bytes(served):
    """One line, exit code 75; resumed with a server that is well it ends as the run that never had another."""
    code, said, whole = served("unhurt", "none 0")
    assert code == 0, said
    # The stand-in loads torch as it is first asked: on a busy machine that is no hanging yet.
    faults = (("dies 5", "the vLLM server ended with exit code 1", 90), ("hangs 7", "no longer answers (", 45))
    for fault, found, timeout in faults:
        code, said, folder = served(fault.partition(" ")[0], fault, timeout=timeout)
        assert code == 75 and found in said and "Traceback" not in said, said
        code, said, _ = served(folder.name, "none 0", resume=True)
        assert code == 0, said
        assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
