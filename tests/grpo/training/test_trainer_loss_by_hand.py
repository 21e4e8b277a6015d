"""What the trainer hands to the loss and keeps in a checkpoint, method by method: no model, numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from trl import GRPOTrainer  # noqa: E402

from grpo.training import trainer as module  # noqa: E402
from grpo.training.step import Step  # noqa: E402
from tests.grpo.training.made_trainer import make  # noqa: E402

# -- the loss ---------------------------------------------------------------------------------------------------------------

IDS, MASK = torch.arange(15).view(3, 5), torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])


def ask(trainer, **options):
    """What the loss gets for three rows of two prompt tokens and three of a completion, and what was run for it."""
    asked = {}

    def run(model, prompt_ids, prompt_mask, ids, mask, idle, **settings):
        asked.update(prompt_ids=prompt_ids, prompt_mask=prompt_mask, ids=ids, mask=mask, idle=idle, **settings)
        return torch.full((3, 3), -1.0), torch.full((3, 3), 0.5)

    trainer._run = run
    return trainer._get_per_token_logps_and_entropies("model", IDS, MASK, 3, **options), asked


def test_logps_when_asked_for_then_prompts_and_completions_are_taken_apart():
    """The last three tokens are the completion's; nothing is idle outside of a loss."""
    (logps, entropies, aux), asked = ask(make(), batch_size=8, compute_entropy=True)
    assert torch.equal(asked["prompt_ids"], IDS[:, :2]) and torch.equal(asked["prompt_mask"], MASK[:, :2])
    assert torch.equal(asked["ids"], IDS[:, 2:]) and torch.equal(asked["mask"], MASK[:, 2:])
    assert (asked["idle"], asked["batch_size"], asked["compute_entropy"]) == (None, 8, True)
    assert not asked["differentiable_entropy"] and "recording" not in asked
    assert (logps == -1.0).all() and (entropies == 0.5).all() and aux is None
    _, asked = ask(make(_entropy_bonus_enabled=True))
    assert asked["differentiable_entropy"] and not asked["compute_entropy"]
    with torch.no_grad():
        assert not ask(make(_entropy_bonus_enabled=True))[1]["differentiable_entropy"]


def test_logps_when_they_wait_for_the_advantages_then_none_are_run():
    """Zeros stand in for them."""
    (logps, entropies, _), asked = ask(make(now=Step(defers_logps=True)), compute_entropy=True)
    assert logps.shape == (3, 3) and not logps.any() and entropies is None and asked == {}


def test_logps_when_rows_are_idle_then_their_ratio_is_1_and_their_entropy_the_one_that_was_measured():
    """Of the second row alone the advantage is 0."""
    old, measured = torch.full((3, 3), -7.0), torch.full((3, 3), 0.25)
    batch = {"advantages": torch.tensor([1.0, 0.0, -1.0]), "entropies": measured, "old_per_token_logps": old}
    (logps, entropies, _), asked = ask(make(now=Step(micro_batch=batch)), compute_entropy=True)
    assert asked["idle"].tolist() == [False, True, False]
    assert logps[:, 0].tolist() == [-1.0, -7.0, -1.0] and entropies[:, 0].tolist() == [0.5, 0.25, 0.5]
    (logps, entropies, _), _ = ask(make(now=Step(micro_batch=batch)))
    assert entropies[:, 0].tolist() == [0.5] * 3
    del batch["old_per_token_logps"]
    (logps, _, _), _ = ask(make(now=Step(micro_batch=batch)))
    assert logps[:, 0].tolist() == [-1.0] * 3


def test_entropies_when_vllm_writes_then_the_first_pass_of_the_policy_watches_them():
    """Kept for the batch where TRL asks for none; a pass with gradients watches nothing."""
    trainer = make(use_vllm=True)
    with torch.no_grad():
        (_, entropies, _), asked = ask(trainer)
        assert entropies is None and asked["compute_entropy"] and (trainer.now.watched == 0.5).all()
        trainer.now.watched = None
        (_, entropies, _), _ = ask(trainer, compute_entropy=True)
        assert (entropies == 0.5).all() and trainer.now.watched is None
        assert not ask(make(use_vllm=True, beta=0.1))[1]["compute_entropy"]
        assert not ask(make())[1]["compute_entropy"]
    assert not ask(trainer)[1]["compute_entropy"]


def test_recording_when_nothing_is_learnt_then_it_is_not_looked_at(monkeypatch):
    """A pass without gradients has nothing to take from it."""
    seen = []
    monkeypatch.setattr(
        module, "find_recorded", lambda recording, *given: seen.append(recording) or {"recording": recording}
    )
    trainer = make(now=Step(recording="recorded"))
    assert ask(trainer)[1]["recording"] == "recorded"
    with torch.no_grad():
        ask(trainer)
    assert seen == ["recorded", None]


@pytest.mark.parametrize(
    ("changes", "options"),
    [({"fallback": "a reason"}, {}), ({}, {"compute_aux_loss": True}), ({}, {"pixel_values": 1, "image_sizes": None})],
    ids=str,
)
def test_logps_when_the_model_needs_more_than_tokens_then_trl_runs_it(monkeypatch, changes, options):
    """Images, a router's loss, a prefix that cannot be shared; names without a value are nothing."""
    asked = []
    monkeypatch.setattr(
        GRPOTrainer, "_get_per_token_logps_and_entropies", lambda self, *given, **named: asked.append(named) or "trl"
    )
    assert ask(make(**changes), batch_size=2, **options)[0] == "trl"
    assert asked == [{"batch_size": 2, "compute_entropy": False, "compute_aux_loss": False, **options}]
    assert ask(make(), pixel_values=None)[0] != "trl"


@pytest.mark.parametrize(("batch_size", "groups"), [(None, None), (8, 2), (7, 1), (2, 1)])
def test_pass_when_rows_are_idle_then_their_tokens_are_masked_and_groups_are_bounded(monkeypatch, batch_size, groups):
    """Four completions a group; a bound below one group is one group."""
    asked = {}

    def grouped(model, prompt_ids, prompt_mask, ids, mask, **settings):
        asked.update(mask=mask, **settings)
        return "logps", "entropies"

    monkeypatch.setattr(module, "grouped_logps", grouped)
    mask = torch.ones(2, 3, dtype=torch.long)
    given = ("model", "prompts", "prompt mask", "ids", mask)
    assert make()._run(*given, torch.tensor([False, True]), batch_size=batch_size, recording=1) == (
        "logps",
        "entropies",
    )
    assert asked["mask"].tolist() == [[1, 1, 1], [0, 0, 0]] and mask.all()
    assert (asked["micro_groups"], asked["temperature"], asked["recording"]) == (groups, 0.5, 1)
    assert (asked["compute_entropy"], asked["differentiable_entropy"]) == (False, False)
    make()._run(*given, None, batch_size=batch_size, compute_entropy=True, differentiable_entropy=True)
    assert asked["mask"] is mask and asked["compute_entropy"] and asked["differentiable_entropy"]


def test_loss_when_it_is_computed_then_its_micro_batch_is_known_and_forgotten_after_it(monkeypatch):
    """Also where it fails."""
    trainer, seen = make(), []

    def compute(self, model, inputs):
        seen.append(self.now.micro_batch)
        if model is None:
            raise KeyError
        return "loss"

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", compute)
    assert trainer._compute_loss("model", {"a": 1}) == "loss" and trainer.now.micro_batch == {}
    with pytest.raises(KeyError):
        trainer._compute_loss(None, {"b": 1})
    assert seen == [{"a": 1}, {"b": 1}] and trainer.now.micro_batch == {}


# -- checkpoints ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("saves", "ahead"), [(True, True), (True, False), (False, True)])
def test_checkpoint_when_it_is_saved_then_it_is_sealed_last_and_by_one_process(monkeypatch, saves, ahead):
    """What is written ahead goes into it first; every process waits for the files of the others."""
    said = []
    monkeypatch.setattr(GRPOTrainer, "_save_checkpoint", lambda self, model, trial: said.append("saved"))
    monkeypatch.setattr(module, "seal_checkpoint", lambda folder, run: said.append(("sealed", str(folder), str(run))))
    trainer = make(
        should_save=saves, _policy=SimpleNamespace(give_back_settings=lambda folder: said.append("settings"))
    )
    trainer.accelerator.wait_for_everyone = lambda: said.append("waited")
    trainer.ahead = SimpleNamespace(save=lambda folder: said.append(("ahead", str(folder)))) if ahead else None
    trainer._save_checkpoint(None, None)
    folder = "run/checkpoints/checkpoint-5"
    mine = [*([("ahead", folder)] if ahead else []), "settings", ("sealed", folder, "run")]
    assert said == ["saved", "waited", *(mine if saves else [])]
    assert trainer.create_model_card("anything") is None
