"""Steps whose loss takes what generation computed go where plain TRL's go, and read again wherever that would not be so."""

from __future__ import annotations

from itertools import cycle

import pytest

torch = pytest.importorskip("torch")

from grpo.policy import head_logprobs, lean_activations, packed_products  # noqa: E402
from grpo.policy.loading import Policy  # noqa: E402
from grpo.policy.recording import Recording  # noqa: E402
from rewards.host.verdicts import ScoredCompletion  # noqa: E402
from tests.grpo.training.against_trl import MIXED, assert_trains_as_trl, make_trainer  # noqa: E402


@pytest.fixture
def adapted(policy, monkeypatch):
    """The small policy with an adapter on every layer, for which passes and vocabularies of any size are large ones."""
    from peft import LoraConfig, get_peft_model

    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    monkeypatch.setattr(head_logprobs, "LEAST_LOGITS", 0)
    lora = LoraConfig(r=3, lora_alpha=6, init_lora_weights=False, target_modules="all-linear")
    return Policy(get_peft_model(policy.model, lora), policy.tokenizer)


@pytest.fixture
def replays(monkeypatch):
    """The rows of each pass that was taken from a recording."""
    seen, replaying = [], Recording.replaying

    def watch(self, model, places):
        seen.append(len(places))
        return replaying(self, model, places)

    monkeypatch.setattr(Recording, "replaying", watch)
    return seen


@pytest.mark.parametrize(
    ("micro", "options"),
    [(None, {"loss_type": "dapo"}), (4, {"loss_type": "grpo"}), (None, {"top_k": 20, "temperature": 0.8})],
)
def test_weights_when_the_forward_was_recorded_then_go_where_trls_go(options, micro, adapted, rows, tmp_path, replays):
    """Two steps, whole and in micro-batches, one group idle; with a filter the head runs again, the blocks do not."""
    steps = {"max_steps": 2, "num_iterations": 1, "micro_batch_size": micro, "learning_rate": 1e-3}
    assert_trains_as_trl(adapted, rows, tmp_path, options | steps)
    # The first and the last of three groups are flat: as micro-batches they are one token, which no recording is asked for.
    assert len(replays) == 2


@pytest.mark.parametrize("micro", [None, 4])
def test_weights_when_all_are_trained_and_the_forward_was_recorded_then_go_where_trls_go(
    micro, policy, rows, tmp_path, replays, monkeypatch
):
    """Two steps of a policy without adapters that is held to be no small one, whole and in micro-batches."""
    monkeypatch.setattr(packed_products, "LEAST_WEIGHTS", 0)
    steps = {"max_steps": 2, "num_iterations": 1, "micro_batch_size": micro, "learning_rate": 1e-3}
    assert_trains_as_trl(policy, rows, tmp_path, {"loss_type": "dapo"} | steps)
    assert len(replays) == 2


class CyclicHost:
    """Gives the rewards of a list over and over, however many completions it is asked about."""

    def score(self, pairs):
        return [ScoredCompletion(e, c, (), r) for (e, c), r in zip(pairs, cycle(MIXED), strict=False)]


@pytest.mark.parametrize(
    "options", [{"beta": 0.1}, {"num_iterations": 2}, {"dynamic_sampling": 1}, {"speculation": 2}], ids=str
)
def test_loss_when_its_values_matter_or_weights_move_then_reads_again(options, adapted, rows, tmp_path, replays):
    """A reference, several passes over a batch, completions from several rounds or with guesses."""
    trainer = make_trainer(adapted, rows, tmp_path, MIXED, **options)
    trainer._host = CyclicHost()
    trainer.train()
    assert not replays


def test_recording_when_its_loss_is_done_then_is_let_go(adapted, rows, tmp_path, replays):
    """Nothing of it is kept through an evaluation or a checkpoint."""
    trainer = make_trainer(adapted, rows, tmp_path, MIXED, max_steps=1)
    trainer.train()
    assert replays
    assert trainer.now.recording is None
