"""The stages of a run, as a resumed one goes through them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from callbacks.progress import Progress  # noqa: E402
from callbacks.tracking.tracking import Tracker  # noqa: E402
from grpo.config.loading import load_config  # noqa: E402
from grpo.data.run_rows import load_inputs  # noqa: E402
from grpo.lifecycle.run_directory import RunDirectory  # noqa: E402
from grpo.training.stages import Interrupted, Stages  # noqa: E402
from rewards.config import build_host  # noqa: E402

SMALL = (
    "data.shop.train_rows=40", "data.shop.held_out_rows=8", "data.shop.warmup_rows=40", "sft_warmup.max_steps=3",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400", "grpo.max_steps=4",
    "grpo.prompts_per_step=2", "grpo.num_generations=4", "grpo.max_completion_length=12", "grpo.save_every_steps=2",
    "grpo.learning_rate=0.02", "evaluation.max_completion_length=12", "evaluation.every_steps=50", "tracking.wandb=off",
)  # fmt: skip


@pytest.fixture
def make_stages(tmp_path, monkeypatch):
    """Stages in a folder of their own, with nobody asking for a stop."""
    pytest.importorskip("trl")
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "cache"))
    trackers = []

    def make(settings=(), resume_from=None, interruption=None) -> Stages:
        config = load_config("v4_1", [*SMALL, *settings], "embedded")
        directory = RunDirectory(tmp_path / "run")
        directory.path.mkdir(exist_ok=True)
        trackers.append(Tracker(directory.path, config.tracking, resume_from=resume_from))
        interruption = interruption or SimpleNamespace(requested=False)
        return Stages(
            config, load_inputs(config), build_host(config.rewards), directory, trackers[-1], Progress(quiet=True),
            interruption, "cpu",
        )  # fmt: skip

    yield make
    for tracker in trackers:
        tracker.close()


def copy_weights(stages: Stages) -> dict:
    return {name: tensor.clone() for name, tensor in stages.policy.model.state_dict().items()}


@pytest.mark.parametrize("beta", [0.0, 0.04])
def test_train_when_adapters_are_resumed_then_the_weights_are_those_of_one_run(make_stages, beta):
    """With a reference policy a checkpoint holds two adapters: the policy's own continues from where it was."""
    pytest.importorskip("peft")
    settings = (
        "model.lora={r: 4, alpha: 8, dropout: 0.0, target_modules: all-linear}", f"grpo.beta={beta}", "seed=1",
        "sft_warmup.max_steps=60", "grpo.warmup_steps=0", "grpo.max_completion_length=24", "grpo.num_generations=8",
    )  # fmt: skip
    whole = make_stages(settings)
    whole.make_policy()
    whole.warm_up()
    start = copy_weights(whole)
    whole.train()
    wanted = copy_weights(whole)
    whole.tracker.close()
    resumed = make_stages(settings, resume_from=("train", 2))
    resumed.restore_policy(checkpoint := resumed.directory.checkpoints / "checkpoint-2")
    halfway = copy_weights(resumed)
    assert any(not torch.equal(start[name], halfway[name]) for name in start), (
        "nothing was learnt before the checkpoint"
    )
    resumed.restore_policy()
    resumed.train(resume_from=checkpoint)
    weights = copy_weights(resumed)
    assert weights.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(weights[name], wanted[name])] == []


def test_restored_policy_when_it_is_saved_then_its_tokenizer_has_the_same_bytes(make_stages):
    """A tokenizer that was read from a folder does not say so in the next one."""
    stages = make_stages()
    stages.make_policy()
    stages.policy.save(stages.directory.sft)
    before = (stages.directory.sft / "tokenizer_config.json").read_bytes()
    stages.restore_policy()
    stages.policy.save(stages.directory.best)
    assert (stages.directory.best / "tokenizer_config.json").read_bytes() == before


def test_stage_when_a_stop_was_asked_for_before_it_then_it_does_not_begin(make_stages):
    """What an evaluation was interrupted in is on disk: no step is taken only to stop after it."""
    stages = make_stages(interruption=SimpleNamespace(requested=True))
    stages.make_policy()
    for stage in (stages.warm_up, stages.train):
        with pytest.raises(Interrupted):
            stage()
    assert not stages.directory.sft.exists() and not stages.directory.checkpoints.exists()
