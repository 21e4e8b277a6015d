"""Completions without an advantage cost nothing, and what is left gives the gradients and numbers of plain TRL."""

from __future__ import annotations

import copy

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

LOSSES = ("dr_grpo", "grpo", "bnpo", "dapo")


def count_tokens(model):
    """A list that grows by the number of tokens of each forward."""
    seen = []
    model.get_input_embeddings().register_forward_hook(lambda module, args, out: seen.append(args[0].numel()))
    return seen


@pytest.mark.parametrize("micro", [None, 4, 2])
@pytest.mark.parametrize("loss_type", LOSSES)
def test_loss_when_groups_are_idle_then_gradients_and_metrics_are_trls(loss_type, micro, policy, rows, tmp_path):
    """Two of three groups are left out: loss, gradients, entropy and clip ratios are those of a full forward."""
    options = {"loss_type": loss_type, "micro_batch_size": micro, "mask_truncated_completions": loss_type == "dapo"}
    trainer = make_trainer(policy, rows, tmp_path, MIXED, **options)
    batches = draw_batch(trainer)
    plain = make_plain(policy, rows, tmp_path, **options)
    trainer._metrics["train"].clear()
    loss, found = gradients_of(trainer, batches)
    wanted_loss, wanted = gradients_of(plain, [{k: v for k, v in b.items() if k != "entropies"} for b in batches])
    assert loss == pytest.approx(wanted_loss, abs=1e-6)
    assert_same_gradients(found, wanted)
    metrics, wanted_metrics = trainer._metrics["train"], plain._metrics["train"]
    assert metrics.keys() == wanted_metrics.keys()
    for name, values in wanted_metrics.items():
        assert metrics[name] == pytest.approx(values, abs=1e-5, nan_ok=True), name


def test_loss_when_groups_are_idle_then_the_forward_holds_the_others_only(policy, rows, tmp_path):
    """One prompt and its completions, less their last tokens, is all that the model reads."""
    trainer = make_trainer(policy, rows, tmp_path, MIXED)
    (batch,) = draw_batch(trainer)
    assert (batch["advantages"] != 0).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    seen = count_tokens(policy.model)
    gradients_of(trainer, [batch])
    prompt, written = batch["prompt_mask"][4].sum(), batch["completion_mask"][4:8].sum()
    assert seen == [prompt + written - 4]
    assert trainer._metrics["train"]["completions/skipped_ratio"] == [pytest.approx(2 / 3)]


@pytest.mark.parametrize("reason", ["kl", "entropy bonus"])
def test_loss_when_an_idle_group_still_has_a_loss_then_it_stays(reason, policy, rows, tmp_path):
    """With a KL term or an entropy bonus every completion has a gradient."""
    trainer = make_trainer(policy, rows, tmp_path, MIXED, beta=0.1 if reason == "kl" else 0.0)
    trainer._entropy_bonus_enabled = reason == "entropy bonus"
    (batch,) = draw_batch(trainer)
    seen = count_tokens(policy.model)
    trainer._entropy_bonus_enabled = False
    trainer._compute_loss(policy.model, batch)
    prompts = sum(batch["prompt_mask"][row].sum() for row in (0, 4, 8))
    assert seen == [prompts + batch["completion_mask"].sum() - 12]
    assert trainer._metrics["train"]["completions/skipped_ratio"] == [0.0]


def test_loss_when_beta_is_positive_then_gradients_are_trls(policy, rows, tmp_path):
    """The KL term counts in idle groups too."""
    from trl import GRPOTrainer

    trainer = make_trainer(policy, rows, tmp_path, MIXED, beta=0.3)
    (batch,) = draw_batch(trainer)
    plain = make_plain(policy, rows, tmp_path, beta=0.3)
    with torch.no_grad():  # away from the reference, where the KL term has no slope
        for weight in (*trainer.model.parameters(), *plain.model.parameters()):
            weight.mul_(1.1)
    _, found = gradients_of(trainer, [batch])
    _, wanted = gradients_of(plain, [batch])
    assert_same_gradients(found, wanted)
    wanted_reference, *_ = GRPOTrainer._get_per_token_logps_and_entropies(
        plain,
        plain.ref_model,
        torch.cat((batch["prompt_ids"], batch["completion_ids"]), 1),
        torch.cat((batch["prompt_mask"], batch["completion_mask"]), 1),
        batch["completion_ids"].size(1),
    )
    written = batch["completion_mask"].bool()
    torch.testing.assert_close(batch["ref_per_token_logps"][written], wanted_reference[written], atol=1e-5, rtol=0)


def test_generation_batch_when_it_is_used_twice_then_idle_groups_have_no_forward_at_all(policy, rows, tmp_path):
    """The old log-probabilities wait for the advantages; those of the other groups are TRL's."""
    trainer = make_trainer(policy, rows, tmp_path, MIXED, num_iterations=2)
    seen = count_tokens(policy.model)
    (batch,) = draw_batch(trainer)
    prompt, written = batch["prompt_mask"][4].sum(), batch["completion_mask"][4:8].sum()
    assert seen[-1] == prompt + written - 4  # after the prompts and single tokens of generation
    assert all(count <= PROMPTS * GROUP for count in seen[1:-1])
    plain = make_plain(policy, rows, tmp_path, num_iterations=2)
    with torch.no_grad():
        old, *_ = plain._get_per_token_logps_and_entropies(
            plain.model,
            torch.cat((batch["prompt_ids"], batch["completion_ids"]), 1),
            torch.cat((batch["prompt_mask"], batch["completion_mask"]), 1),
            batch["completion_ids"].size(1),
        )
        for weight in (*trainer.model.parameters(), *plain.model.parameters()):
            weight.mul_(1.05)  # as after a first pass: ratios are not 1, some are clipped
    busy = batch["completion_mask"].bool() & (batch["advantages"] != 0)[:, None]
    torch.testing.assert_close(batch["old_per_token_logps"][busy], old[busy], atol=1e-5, rtol=0)
    _, found = gradients_of(trainer, [batch])
    _, wanted = gradients_of(plain, [batch | {"old_per_token_logps": old}])
    assert_same_gradients(found, wanted)
    metrics, wanted_metrics = trainer._metrics["train"], plain._metrics["train"]
    for name in ("clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "clip_ratio/high_max"):
        assert metrics[name] == pytest.approx(wanted_metrics[name], abs=1e-6), name


def test_train_when_every_group_is_idle_then_the_optimiser_sees_zeros(policy, rows, tmp_path):
    """As with TRL: weight decay and momentum act, gradients are zero, and one token is all that is read."""
    before = copy.deepcopy(policy.model.state_dict())
    trainer = make_trainer(policy, rows, tmp_path, FLAT, max_steps=1, weight_decay=0.1)
    losses = []
    compute = trainer._compute_loss
    seen = count_tokens(policy.model)

    def watch(model, inputs):
        start = len(seen)
        loss = compute(model, inputs)
        losses.append((loss.item(), seen[start:]))
        return loss

    trainer._compute_loss = watch
    trainer.train()
    assert losses == [(0.0, [1])]
    row = next(entry for entry in trainer.state.log_history if "grad_norm" in entry)
    assert row["grad_norm"] == 0.0 and row["frac_reward_zero_std"] == 1.0 and row["entropy"] > 0
    matrix = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(policy.model.state_dict()[matrix], before[matrix] * (1 - 1e-2 * 0.1))


@pytest.mark.parametrize("loss_type", LOSSES)
def test_train_when_all_savings_apply_then_weights_are_those_of_plain_trl(loss_type, policy, rows, tmp_path):
    """Two generation batches, each used twice, in micro-batches: the weights end where TRL's own trainer takes them."""
    # bnpo divides by the tokens of a micro-batch, which TRL fills at random: there it has only one.
    micro = None if loss_type == "bnpo" else 4
    options = {"loss_type": loss_type, "num_iterations": 2, "max_steps": 4, "micro_batch_size": micro}
    assert_trains_as_trl(policy, rows, tmp_path, options)


@pytest.mark.parametrize("adapter", [None, "dora"])
def test_train_when_micro_batches_cut_groups_and_beta_is_positive_then_weights_are_trls(
    adapter, policy, rows, tmp_path
):
    """Micro-batches of three of a group of four; the reference policy is a copy, or the policy without its adapter."""
    if adapter:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, use_dora=True)
        policy = Policy(get_peft_model(policy.model, lora), policy.tokenizer)
    options = {"beta": 0.04, "num_iterations": 2, "max_steps": 4, "micro_batch_size": 3}
    assert_trains_as_trl(policy, rows, tmp_path, options)


@pytest.mark.parametrize("loss_type", ["dr_grpo", "luspo"])
def test_train_when_ratios_are_of_sequences_then_weights_are_trls(loss_type, policy, rows, tmp_path):
    """A sequence's ratio is a mean over its tokens: what an idle one holds must not matter."""
    options = {"num_iterations": 2, "max_steps": 4, "micro_batch_size": 3}
    changes = {"importance_sampling_level": "sequence", "loss_type": loss_type}
    assert_trains_as_trl(policy, rows, tmp_path, options, **changes)


def test_logps_when_adapters_and_checkpointing_are_on_then_idle_groups_are_left_out_too(policy, rows, tmp_path):
    """A LoRA policy with gradient checkpointing gets plain TRL's gradients on its adapters."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(policy.model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    tuned = Policy(model, policy.tokenizer)
    trainer = make_trainer(tuned, rows, tmp_path, MIXED)
    (batch,) = draw_batch(trainer)
    plain = make_plain(tuned, rows, tmp_path)
    _, wanted = gradients_of(plain, [{k: v for k, v in batch.items() if k != "entropies"}])
    assert all("lora" in name for name in wanted)
    trainer.model.gradient_checkpointing_enable({"use_reentrant": False})
    seen = count_tokens(model)
    _, found = gradients_of(trainer, [batch])
    assert seen == [batch["prompt_mask"][4].sum() + batch["completion_mask"][4:8].sum() - 4]
    assert_same_gradients(found, wanted)
