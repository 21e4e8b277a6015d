"""One process among several, seen from inside it: which it is, what it leaves to others, what it refuses to resume."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from callbacks.interrupt import Interruption
from grpo.config.loading import load_config
from grpo.distributed import collectives, first_process, process_group, sharding, stand_ins
from grpo.distributed.rank import Rank, find_rank
from grpo.distributed.stand_ins import Silent
from grpo.run import main
from rewards.errors import RecompensaError, UserError

pytest.importorskip("torch")


def test_rank_when_read_then_it_is_what_torchrun_says(monkeypatch):
    """Without torchrun there is one process, the first."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert find_rank() == Rank(0, 1, 0, 1) and find_rank().is_main
    for name, value in (("RANK", "11"), ("WORLD_SIZE", "16"), ("LOCAL_RANK", "3"), ("LOCAL_WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    assert find_rank() == Rank(11, 16, 3, 8) and not find_rank().is_main


def test_one_process_when_it_calls_the_shared_functions_then_they_are_the_plain_ones():
    """Alone, nothing is sent anywhere, and faults come out as they are."""
    assert collectives.share_out(lambda items: [item + 1 for item in items], [1, 2]) == [2, 3]
    assert collectives.concatenate([1]) == [1] and collectives.on_main(lambda: 5) == 5
    with pytest.raises(RecompensaError, match="gone"):
        collectives.together(lambda: (_ for _ in ()).throw(RecompensaError("gone")))


def test_silence_when_called_then_nothing_happens_and_blocks_still_run():
    """What only the first process has can be called, and entered, in all."""
    with Silent() as tracker:
        assert tracker.log({"loss": 1.0}, stage="train", step=1) is None


def test_plan_when_four_bit_weights_would_be_spread_then_refused(monkeypatch):
    """NF4 weights cannot be cut up by FSDP or DeepSpeed as they are launched here."""
    from grpo.plan.refusals import _engine_refusals

    config = load_config("qwen3_8b", profile="gpu")
    assert _engine_refusals(config, 1) == []
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    (line,) = _engine_refusals(config, 1)
    assert line.startswith("model.quantization: nf4 weights cannot be spread over processes")


@pytest.fixture
def second_of_two(monkeypatch):
    """This process as the second of two on a machine."""
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)


def test_signal_when_it_comes_twice_to_one_of_several_then_it_still_ends_with_the_step(second_of_two):
    """SLURM signals launcher and processes, and the launcher passes its own on: one stop is not impatience."""
    with Interruption() as interruption:
        stand_ins.take_signals(interruption)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert interruption.requested


def test_usage_when_arguments_are_bad_then_only_the_first_process_prints_it(second_of_two, monkeypatch, capsys):
    """The others wait to be ended by the launcher."""
    monkeypatch.setattr(first_process, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(SystemExit):
        main(["--confug", "v4_1"])
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(SystemExit):
        main(["--confug", "v4_1"])
    assert "did you mean --config?" in capsys.readouterr().err


def test_fault_of_a_library_when_read_then_only_a_lost_connection_is_a_loss():
    """A collective called with different sizes is a bug of ours, not another process's end."""
    gloo = "[/gloo/transport/tcp/pair.cc:1] "
    assert process_group.find_loss(RuntimeError(gloo + "Connection closed by peer [127.0.0.1]:1")) == "closed by peer"
    assert process_group.find_loss(RuntimeError(gloo + "op.preamble.length <= op.nbytes. 8 vs 4")) is None
    assert process_group.find_loss(RuntimeError("size mismatch, closed by peer")) is None


@pytest.mark.parametrize(
    ("files", "fsdp", "deepspeed", "refused", "told"),
    [
        (["rng_state.pth"], False, False, "", "2 processes where 1 saved"),
        (["rng_state_0.pth", "rng_state_1.pth"], False, False, "", None),
        (["rng_state_0.pth", "rng_state_1.pth", "pytorch_model_fsdp.bin"], True, False, "", None),
        (["rng_state_0.pth", "rng_state_1.pth"], True, False, "saved by a launch with whole weights", None),
        (["rng_state_0.pth", "rng_state_1.pth", "latest"], False, False, "saved by a launch with ZeRO-3", None),
        (["rng_state_0.pth", "rng_state_1.pth", "latest"], False, True, "", None),
        (["rng_state_0.pth", "rng_state_1.pth", "rng_state_2.pth", "latest"], False, True, "launch 3, not 2", None),
    ],
)
def test_checkpoint_when_launched_otherwise_then_told_or_refused(
    second_of_two, tmp_path, files, fsdp, deepspeed, refused, told
):
    """Another number of processes rounds otherwise; another strategy cannot read what was saved."""
    for name in files:
        (tmp_path / name).touch()
    trainer = SimpleNamespace(is_fsdp_enabled=fsdp, is_deepspeed_enabled=deepspeed)
    if refused:
        with pytest.raises(UserError, match=refused):
            sharding.check_checkpoint(tmp_path, trainer)
        return
    line = sharding.check_checkpoint(tmp_path, trainer)
    assert line is None if told is None else told in line
