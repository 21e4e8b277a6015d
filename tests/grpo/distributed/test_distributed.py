"""Several processes of one run: two with gloo do what one does, share the work out, and only the first writes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from grpo.config.loading import configs_folder
from grpo.distributed import collectives
from tests import starter

pytest.importorskip("torch")

SETTINGS = (
    "data.shop.train_rows=60", "data.shop.held_out_rows=20", "data.shop.warmup_rows=64",
    "model.embedded.layers=1", "model.embedded.hidden_size=64", "model.embedded.intermediate_size=64",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=100", "grpo.max_steps=3", "grpo.prompts_per_step=3", "grpo.num_generations=4",
    "grpo.learning_rate=0.001", "grpo.max_completion_length=16", "evaluation.max_completion_length=16",
    "grpo.save_every_steps=2", "grpo.log_completions_every=1", "evaluation.every_steps=2", "threads=1",
    'rewards.functions=[{"name":"text_overlap"}]', "tracking.wandb=off",
)  # fmt: skip

# What each of two processes finds out, as one JSON line a process.
PROBE = """
import copy, json, sys, time, torch
from grpo.distributed.collectives import any_of, concatenate, gather, on_main, share_out, together, wait
from grpo.distributed.first_process import complain, may_speak
from grpo.distributed.process_group import ProcessLost, process_group, has_joined, join, leave
from grpo.distributed.rank import Rank, find_rank
from grpo.distributed.sharding import is_sharded, whole_state, whole_weights
from grpo.distributed.stand_ins import SharedHost, Silent, make_agreement, take_signals
from rewards.errors import UserError
from transformers import Qwen3Config, Qwen3ForCausalLM
rank, found = find_rank(), {}
join("cpu")
found["rank"] = [rank.index, rank.count, rank.is_main]
found["gathered"] = gather(rank.index * 10)
found["concatenated"] = concatenate(["a"] * (rank.index + 1))
found["any"] = [any_of(rank.index == 1), any_of(False)]
worked = []
found["shared"] = share_out(lambda items: worked.extend(items) or [item * item for item in items], list(range(7)))
found["worked"] = worked
found["main"] = on_main(lambda: ["from", rank.index])
def fail_in_the_second():
    if rank.index == 1:
        raise UserError(["row 7: no reference"])
try:
    together(fail_in_the_second)
except UserError as error:
    found["raised"] = error.problems
def break_in_the_second():
    if rank.index == 1:
        raise ValueError("a bug")
try:
    together(break_in_the_second)
except Exception as error:
    found["broken"] = f"{type(error).__name__}: {error}"
found["spoke"] = gather(may_speak())

from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from grpo.generation.generate import generate
from grpo.policy.shared_prefix import grouped_logps
torch.manual_seed(0)
whole = Qwen3ForCausalLM(Qwen3Config(
    vocab_size=300, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, head_dim=16, max_position_embeddings=64, tie_word_embeddings=True, eos_token_id=1,
    pad_token_id=0, bos_token_id=None))
model, mesh = copy.deepcopy(whole), init_device_mesh("cpu", (2,))
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
found["sharded"] = [is_sharded(model), is_sharded(whole)]
def write(policy):
    # Other prompts and lengths in each process: without whole weights one would wait for the other for ever.
    return generate(policy, [[5, 6, 7], [8, 9]][: 1 + rank.index], samples=2, max_new_tokens=4 + 4 * rank.index,
                    eos_ids=1, pad_id=0, generator=torch.Generator().manual_seed(rank.index)).completion_ids
with whole_weights(model, None):
    written = write(model)
found["same completions"] = written == write(whole)
ids = torch.tensor([[5, 6, 7, 8, 9, 10]] * 2)
mask = torch.ones_like(ids)
for policy in (model, whole):
    logps, _ = grouped_logps(policy, ids[:, :3], mask[:, :3], ids[:, 3:], mask[:, 3:])
    logps.sum().backward()
found["same gradients"] = all(
    torch.allclose(mine.grad.full_tensor(), theirs.grad, atol=1e-6)
    for mine, theirs in zip(model.parameters(), whole.parameters(), strict=True))
from peft import LoraConfig, get_peft_model
adapted = get_peft_model(copy.deepcopy(whole), LoraConfig(target_modules="all-linear", init_lora_weights=False))
spread = copy.deepcopy(adapted)
for layer in spread.base_model.model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard([spread.base_model.model.model.embed_tokens, spread.base_model.model.lm_head], mesh=mesh)
fully_shard(spread, mesh=mesh)
with whole_weights(spread, None):
    written = write(spread)
found["same adapted completions"] = written == write(adapted)
with process_group():
    if rank.index == 0:
        time.sleep(0.5)
    found["wrote"] = time.time()
found["parted"] = time.time()
found["joined"] = has_joined()
with open(sys.argv[1] + f"/{rank.index}.json", "w") as file:
    json.dump(found, file)
"""

# The second of two processes is killed while the first waits for it.
DEATH = """
import os, signal
from callbacks.interrupt import Interruption, terminable
from grpo.distributed.collectives import any_of, concatenate, gather, on_main, share_out, together, wait
from grpo.distributed.first_process import complain, may_speak
from grpo.distributed.process_group import ProcessLost, process_group, has_joined, join, leave
from grpo.distributed.rank import Rank, find_rank
from grpo.distributed.sharding import is_sharded, whole_state, whole_weights
from grpo.distributed.stand_ins import SharedHost, Silent, make_agreement, take_signals
join("cpu")
gather(None)
try:
    # As in a run: else the launcher, where it notices first, ends the other before that has noticed anything.
    with terminable(), process_group(), Interruption() as interruption:
        take_signals(interruption)
        if find_rank().index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        gather(None)
except ProcessLost as fault:
    complain(f"error: {fault}")
    raise SystemExit(1)
"""

# accelerate spreads weights over accelerators only: gloo's processes are called such.
SPREAD = """
import sys
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from grpo import run
init = AcceleratorState.__init__
def call_them_accelerators(state, *arguments, **options):
    shared = PartialState(cpu=True)._shared_state
    if shared["distributed_type"] == DistributedType.MULTI_CPU:
        shared["distributed_type"] = DistributedType.MULTI_SDAA
    init(state, *arguments, **options)
AcceleratorState.__init__ = call_them_accelerators
sys.exit(run.main())
"""


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "RECOMPENSA_CACHE": str(home / "cache"), "HOME": str(home), "OMP_NUM_THREADS": "1"}


def torchrun(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    environs = {**environment(home), **variables}
    return subprocess.run([*command, *arguments], env=environs, cwd=home, capture_output=True, text=True)


def run_arguments(directory: Path, *settings: str) -> list[str]:
    sets = [part for each in (*SETTINGS, *settings) for part in ("--set", each)]
    return ["--config", "v4_1.yaml", "--profile", "embedded", "--run-dir", str(directory), *sets]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def probes(home):
    """What two processes found out about each other."""
    script, out = home / "probe.py", home / "probes"
    script.write_text(PROBE)
    out.mkdir()
    root = str(Path(collectives.__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = torchrun(home, str(script), str(out))
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((out / f"{index}.json").read_text()) for index in (0, 1)]


@pytest.fixture(scope="module")
def runs(home):
    """One run twice: in one process and in two, as torchrun starts them."""
    one, two = home / "one", home / "two"
    done = starter.run("grpo.run", run_arguments(one), home, environment(home))
    assert done.returncode == 0, done.stderr[-3000:]
    done = torchrun(home, "-m", "grpo.run", *run_arguments(two))
    assert done.returncode == 0, done.stderr[-3000:]
    return one, two, done.stdout


def read_metrics(directory: Path) -> list[dict]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_processes_when_they_share_rows_out_then_all_know_all_results_in_order(probes):
    """Each works on its share only, and every process ends with everything."""
    for index, found in enumerate(probes):
        assert found["rank"] == [index, 2, index == 0]
        assert found["gathered"] == [0, 10]
        assert found["concatenated"] == ["a", "a", "a"]
        assert found["any"] == [True, False]
        assert found["shared"] == [0, 1, 4, 9, 16, 25, 36]
        assert found["worked"] == list(range(7))[index::2]
        assert found["main"] == ["from", 0]


def test_processes_when_one_fails_then_all_raise_what_it_raised(probes):
    """Nobody waits for a process that has stopped at a bad row."""
    assert all(found["raised"] == ["row 7: no reference"] for found in probes)


def test_processes_when_one_has_a_bug_then_the_others_are_told_its_name(probes):
    """The one with the bug raises it as it is, for its traceback; the others end with one line."""
    assert [found["broken"] for found in probes] == [
        "RecompensaError: process 1 failed: ValueError: a bug",
        "ValueError: a bug",
    ]


def test_processes_when_all_have_something_to_say_then_one_does(probes):
    """Whoever comes first says it, whichever that is."""
    assert all(sorted(found["spoke"]) == [False, True] for found in probes)


def test_processes_when_one_is_done_then_it_waits_for_the_others(probes):
    """A launcher ends all as soon as one ends with a code: the first may still be writing its report."""
    assert min(found["parted"] for found in probes) >= max(found["wrote"] for found in probes)
    assert not any(found["joined"] for found in probes)


def test_process_when_another_is_killed_then_one_line_says_so_and_how_to_go_on(home, probes):
    """Not a traceback of gloo's in every process."""
    script = home / "death.py"
    script.write_text(DEATH)
    done = torchrun(home, str(script))
    assert done.returncode == 1
    assert done.stderr.count("error: another process of this run has died") == 1
    assert "resume with: python -m grpo.run --resume" in done.stderr and "gloo" not in done.stderr


def test_sharded_weights_when_they_have_adapters_then_generation_is_that_of_one_process(probes):
    """Generation calls the model inside PEFT's wrapper, which is not the root that FSDP2 must meet first."""
    assert all(found["same adapted completions"] for found in probes)


def test_sharded_weights_when_made_whole_then_generation_and_loss_are_those_of_one_process(probes):
    """With FSDP2 the completions, log-probabilities' gradients and weights are those of the unsharded policy."""
    for found in probes:
        assert found["sharded"] == ["FSDP2", None]
        assert found["same completions"] and found["same gradients"]


def test_two_processes_when_compared_with_one_then_losses_rewards_and_evaluations_are_the_same(runs):
    """Same completions, same rewards; losses, gradients and warm-up agree to float32's rounding."""
    one, two, _ = runs
    mine, theirs = read_metrics(one), read_metrics(two)
    assert [(row["stage"], row["step"]) for row in mine] == [(row["stage"], row["step"]) for row in theirs]
    assert any(abs(row.get("loss", 0)) > 1e-4 for row in mine), "nothing was trained, so nothing was compared"
    for row, other in zip(mine, theirs, strict=True):
        assert row.keys() == other.keys()
        for key, value in row.items():
            if key == "stage":
                continue
            assert other[key] == pytest.approx(value, rel=1e-4, abs=1e-6), (row["stage"], row["step"], key)
    for folder in ("completions", "eval"):
        names = sorted(path.name for path in (one / folder).iterdir())
        assert names == sorted(path.name for path in (two / folder).iterdir()) and names
        for name in names:
            rows, others = (
                [json.loads(line) for line in (run / folder / name).read_text().splitlines()] for run in (one, two)
            )
            assert [row["completion"] for row in rows] == [row["completion"] for row in others], name
            assert [row.get("group") for row in rows] == [row.get("group") for row in others], name


def test_two_processes_when_they_write_then_only_the_first_does(runs):
    """Every row is there once, the report is written, and beside the checkpoints' random states no file is doubled."""
    one, two, shown = runs
    rows = Counter(
        (row["stage"], row["step"], "eval/mean_reward" in row) for row in read_metrics(two) if "sft/step" not in row
    )
    assert set(rows.values()) == {1}
    files = [
        {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and "rng_state" not in path.name}
        for run in (one, two)
    ]
    assert files[0] == files[1]
    assert shown.count("decision: ") == 1
    assert json.loads((two / "status.json").read_text())["finished"] is True


def test_two_processes_when_resumed_from_a_checkpoint_then_they_end_as_if_they_had_not_stopped(runs, home):
    """What a run of two processes left at step 2 leads two processes to the same bytes."""
    _, two, _ = runs
    directory = home / "resumed"
    shutil.copytree(two, directory)
    shutil.rmtree(directory / "checkpoints" / "checkpoint-3")
    (directory / "status.json").write_text('{"stage": "grpo", "step": 0, "finished": false}')
    ended = starter.run_ranks(2, "grpo.run", ["--resume", str(directory)], home, environment(home))
    assert [rank.returncode for rank in ended] == [0, 0], ended[0].stderr[-3000:]
    assert (directory / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
    assert (directory / "eval" / "final.jsonl").read_bytes() == (two / "eval" / "final.jsonl").read_bytes()


@pytest.mark.slow
def test_two_processes_when_weights_are_spread_then_the_run_is_that_of_one(runs, home):
    """FSDP2 by the shipped file: warm-up, generation, loss, evaluation and checkpoints of one process; to be resumed so only."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser, prepare_multi_gpu_env

    one, _, _ = runs
    script, directory = home / "spread.py", home / "spread"
    script.write_text(SPREAD)
    path = configs_folder() / "accelerate" / "fsdp2.yaml"
    given = launch_command_parser().parse_args(["--config_file", str(path), "--num_processes", "2", str(script)])
    made = prepare_multi_gpu_env(_validate_launch_command(given)[0])
    variables = {key: value for key, value in made.items() if key.startswith(("FSDP_", "ACCELERATE_"))}
    done = torchrun(home, str(script), *run_arguments(directory), **variables)
    assert done.returncode == 0, done.stderr[-3000:]
    checkpoint = directory / "checkpoints" / "checkpoint-2"
    assert (checkpoint / "pytorch_model_fsdp.bin").is_file(), "nothing was spread, so nothing was compared"
    for row, other in zip(read_metrics(one), read_metrics(directory), strict=True):
        assert row.keys() == other.keys()
        assert {key: other[key] for key in row if key != "stage"} == pytest.approx(
            {key: value for key, value in row.items() if key != "stage"}, rel=1e-4, abs=1e-6
        )
    shutil.rmtree(directory / "checkpoints" / "checkpoint-3")
    (directory / "status.json").write_text('{"stage": "grpo", "step": 0, "finished": false}')
    done = torchrun(home, "-m", "grpo.run", "--resume", str(directory))
    assert done.stderr.count("error: --resume:") == 1
    assert "was saved by a launch with FSDP2" in done.stderr and "grpo/run.py" not in done.stderr


def test_two_processes_when_the_config_is_bad_then_one_complaint_and_no_run(home):
    """A mistake is told once, not once a process."""
    words = run_arguments(home / "bad", "grpo.prompts_per_step=1", "grpo.num_generations=3")
    done = torchrun(home, "-m", "grpo.run", *words)
    assert done.returncode != 0
    assert done.stderr.count("cannot be shared equally between 2 processes") == 1
    assert "grpo/run.py" not in done.stderr
    assert not (home / "bad").exists()
