"""TRL's settings that a config may name: losses, gradients and whole trainings are plain TRL's with the same ones."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from grpo.policy.loading import Policy  # noqa: E402
from tests.grpo.training.against_trl import (  # noqa: E402
    FLAT,
    GROUP,
    MIXED,
    PROMPTS,
    assert_same_gradients,
    assert_trains_as_trl,
    draw_batch,
    gradients_of,
    make_plain,
    make_trainer,
)

SETTINGS = {
    "clip higher": {"epsilon_high": 0.28, "epsilon": 0.01},
    "two-sided clipping": {"delta": 1.3, "epsilon": 0.01},
    "gspo": {"importance_sampling_level": "sequence", "epsilon": 0.001, "epsilon_high": 0.002, "loss_type": "grpo"},
    "cispo": {"loss_type": "cispo", "epsilon_high": 5.0},
    "sapo": {"loss_type": "sapo"},
    "luspo": {"loss_type": "luspo", "importance_sampling_level": "sequence"},
    "luspo, a token": {"loss_type": "luspo", "delta": 1.1, "max_grad_norm": 0},
    "vespo": {"loss_type": "vespo"},
    "off-policy mask": {"off_policy_mask_threshold": 0.0001},
    "entropy bonus": {"entropy_coef": 0.05},
    "adam": {"adam_beta1": 0.5, "adam_epsilon": 1e-3},
    "schedule": {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.5}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_train_when_a_setting_of_trl_is_on_then_weights_are_trls(name, policy, rows, tmp_path):
    """Two generation batches, each used twice, so that ratios move away from 1."""
    assert_trains_as_trl(policy, rows, tmp_path, {"num_iterations": 2, "max_steps": 4, **SETTINGS[name]})


@pytest.mark.parametrize("rewards", [MIXED, FLAT])
def test_loss_when_the_entropy_counts_then_its_gradient_is_trls(rewards, policy, rows, tmp_path):
    """Also where every advantage is zero: then the bonus is all there is to learn from."""
    trainer = make_trainer(policy, rows, tmp_path, rewards, entropy_coef=0.1)
    batches = draw_batch(trainer)
    plain = make_plain(policy, rows, tmp_path, entropy_coef=0.1)
    loss, found = gradients_of(trainer, batches)
    wanted_loss, wanted = gradients_of(plain, batches)
    assert loss == pytest.approx(wanted_loss, abs=1e-6)
    assert torch.cat([gradient.flatten() for gradient in found.values()]).norm() > 1e-3
    assert_same_gradients(found, wanted)


def test_loss_when_vespo_passes_a_second_time_then_its_metric_is_trls(policy, rows, tmp_path):
    """Its weight of a completion is logged for idle ones too, and has moved since the completions were written."""
    options = {"loss_type": "vespo", "num_iterations": 2}
    trainer = make_trainer(policy, rows, tmp_path, MIXED, **options)
    batches = draw_batch(trainer)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    plain = make_plain(Policy(trainer.model, policy.tokenizer), rows, tmp_path, **options)
    gradients_of(trainer, batches)
    gradients_of(plain, batches)
    found, wanted = (each._metrics["train"]["vespo/phi_seq_mean"][-1] for each in (trainer, plain))
    assert wanted != pytest.approx(1.0, abs=1e-3)
    assert found == pytest.approx(wanted, abs=1e-5)


def test_loss_when_every_completion_is_masked_then_metrics_are_trls(policy, rows, tmp_path):
    """All are truncated and left out: nothing is learnt, and the entropy is that of no token."""
    options = {"mask_truncated_completions": True, "loss_type": "dapo", "max_completion_length": 2}
    trainer = make_trainer(policy, rows, tmp_path, MIXED, **options)
    batches = draw_batch(trainer)
    assert not batches[0]["completion_mask"].any()
    plain = make_plain(policy, rows, tmp_path, **options)
    trainer._metrics["train"].clear()
    loss, found = gradients_of(trainer, batches)
    wanted_loss, wanted = gradients_of(plain, [{k: v for k, v in b.items() if k != "entropies"} for b in batches])
    assert loss == pytest.approx(wanted_loss, abs=1e-6)
    assert not any(gradient.any() for gradient in [*found.values(), *wanted.values()])
    for name, values in plain._metrics["train"].items():
        assert trainer._metrics["train"][name] == pytest.approx(values, abs=1e-5, nan_ok=True), name


def test_train_when_adapters_have_a_dropout_then_it_is_applied(policy, rows, tmp_path):
    """TRL takes every dropout of the model with disable_dropout; that of the adapters is asked for by name."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, lora_dropout=0.3)
    tuned = Policy(get_peft_model(policy.model, lora), policy.tokenizer)
    trainer = make_trainer(tuned, rows, tmp_path, MIXED)
    shares = {module.p for module in trainer.model.modules() if isinstance(module, torch.nn.Dropout)}
    assert shares == {0.3}
    (batch,) = draw_batch(trainer)
    pulls = {float(sum(each.abs().sum() for each in gradients_of(trainer, [batch])[1].values())) for _ in range(2)}
    assert len(pulls) == 2


@pytest.mark.parametrize(("cuts", "accumulation"), [(2, 4), (4, 2)])
def test_generation_when_it_is_no_optimiser_step_then_randomness_is_neither_reused_nor_lost(
    cuts, accumulation, policy, rows, tmp_path
):
    """As a library: more generations than steps draw again each time, and one batch for several steps is shuffled."""
    from grpo.training.trainer import SharedPrefixTrainer
    from tests.grpo.training.against_trl import ScriptedHost, make_arguments, make_section

    arguments = make_arguments(make_section(micro_batch_size=4, prompts_per_step=accumulation), tmp_path)
    arguments.steps_per_generation, arguments.generation_batch_size = cuts, 4 * cuts
    trainer = SharedPrefixTrainer(
        policy, rows, ScriptedHost([number / 16 for number in range(4 * cuts)]), arguments, record=lambda *_: None
    )
    assert (trainer.args.gradient_accumulation_steps, trainer.args.steps_per_generation) == (accumulation, cuts)
    if cuts < accumulation:
        states = []
        for trainer._step in (0, cuts):
            states.append(torch.rand(4, generator=trainer._make_generator(0, 0, torch.device("cpu"))).tolist())
        assert states[0] != states[1]
    else:
        batches = draw_batch(trainer)
        groups = [len({tuple(row) for row in batch["prompt_ids"].tolist()}) for batch in batches]
        assert max(groups) > 1


def test_advantages_when_each_function_is_normalised_then_they_are_trls(policy, rows, tmp_path):
    """GDPO: z-scores a function and group, summed by weight, then over the batch; the logged reward stays our mean."""
    from types import SimpleNamespace

    from grpo.training.trainer import SharedPrefixTrainer
    from rewards.host.verdicts import Outcome, ScoredCompletion
    from tests.grpo.training.against_trl import make_arguments, make_section

    first = [0.0, 1.0, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.5, 0.75, 1.0]
    second = [0.5, 0.0, 1.0, 0.25, None, None, None, None, 0.0, 0.0, 1.0, 1.0]

    class TwoFunctions:
        functions = (SimpleNamespace(weight=3.0), SimpleNamespace(weight=1.0))

        def names(self):
            return ["form", "facts"]

        def score(self, pairs):
            found = []
            for (example, completion), a, b in zip(pairs, first, second, strict=True):
                outcomes = (
                    Outcome("form", "1", "value", a),
                    Outcome("facts", "1", "value" if b is not None else "unscored", b),
                )
                reward = a if b is None else (3 * a + b) / 4
                found.append(ScoredCompletion(example, completion, outcomes, reward))
            return found

    section = make_section(multi_objective_aggregation="normalize_then_sum")
    trainer = SharedPrefixTrainer(
        policy, rows, TwoFunctions(), make_arguments(section, tmp_path), record=lambda *_: None
    )
    (batch,) = draw_batch(trainer)
    columns = torch.tensor([first, [float("nan") if b is None else b for b in second]]).T.view(PROMPTS, GROUP, 2)
    mean, std = columns.mean(1, keepdim=True), columns.std(1, keepdim=True)
    scores = ((columns - mean) / (std + 1e-4)).view(-1, 2)
    summed = (scores * torch.tensor([0.75, 0.25])).nansum(1)
    wanted = (summed - summed.mean()) / (summed.std() + 1e-4)
    torch.testing.assert_close(batch["advantages"], wanted, atol=1e-5, rtol=0)
    rewards = [a if b is None else (3 * a + b) / 4 for a, b in zip(first, second, strict=True)]
    assert trainer._metrics["train"]["reward"][-1] == pytest.approx(sum(rewards) / 12, abs=1e-6)


def test_sampling_when_min_p_is_set_then_unlikely_tokens_are_left_out_as_transformers_does():
    """A token below that share of the likeliest one's probability is never drawn."""
    from transformers.generation.logits_process import MinPLogitsWarper

    from grpo.generation.sampling import Sampling, draw

    logits = torch.randn(64, 50, generator=torch.Generator().manual_seed(0)) * 2
    uniform = torch.rand(64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tokens, scores, _ = draw(logits, Sampling(temperature=0.8, min_p=0.1), uniform=uniform)
    wanted = MinPLogitsWarper(min_p=0.1)(None, logits / 0.8).log_softmax(-1)
    torch.testing.assert_close(scores, wanted.gather(1, tokens[:, None])[:, 0])
    assert torch.isfinite(scores).all() and torch.isinf(wanted).any()


def test_train_when_tokens_are_guessed_then_completions_and_weights_are_those_without(policy, rows, tmp_path):
    """The same prompts come again, so that their earlier completions are guessed from."""
    import copy

    found = []
    for ahead in (0, 4):
        twin = Policy(copy.deepcopy(policy.model), policy.tokenizer)
        options = {"max_steps": 4, "speculation": ahead, "learning_rate": 1e-4}
        trainer = make_trainer(twin, rows[:PROMPTS], tmp_path / str(ahead), MIXED, **options)
        texts = []
        write = trainer._write
        trainer._write = lambda *args, write=write, texts=texts, **kwargs: (
            texts.append(write(*args, **kwargs)),
            texts[-1],
        )[1]
        trainer.train()
        found.append(([each.completion_ids for each in texts], twin.model.state_dict()))
        assert len(trainer._earlier.texts) == (PROMPTS if ahead else 0)
    assert found[0][0] == found[1][0] and len(found[0][0]) == 4
    for name, weight in found[0][1].items():
        torch.testing.assert_close(weight, found[1][1][name], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("value", "lines"), [(True, 1), (False, 0)])
def test_settings_when_the_device_has_no_tf32_then_only_who_asked_for_it_is_told(value, lines, monkeypatch):
    """Where it is there, the setting is handed on."""
    from grpo.training import trl_arguments

    for available in (False, True):
        monkeypatch.setattr(trl_arguments, "is_torch_tf32_available", lambda available=available: available)
        kept, said = trl_arguments.drop_unavailable({"tf32": value, "eps": 1})
        assert kept == ({"eps": 1, "tf32": value} if available else {"eps": 1})
        assert len(said) == (0 if available else lines)
    assert trl_arguments.drop_unavailable(None) == ({}, [])
