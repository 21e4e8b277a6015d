"""Completions without an advantage cost nothing, and what is left gives the gradients and numbers of plain TRL."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from grpo.config.sections import GrpoSection  # noqa: E402
from grpo.policy.loading import Policy  # noqa: E402
from rewards.host.verdicts import ScoredCompletion  # noqa: E402

PROMPTS, GROUP = 3, 4
# Rewards are binary fractions, so that the mean of equal ones is exact: TRL's own advantages are then 0 as well.
MIXED = [0.5, 0.5, 0.5, 0.5, 0.25, 0.75, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
FLAT = [0.25] * 12
LOSSES = ("dr_grpo", "grpo", "bnpo", "dapo")


class ScriptedHost:
    """Gives the rewards of a list, in turn."""

    def __init__(self, rewards):
        self.rewards, self.calls = rewards, 0

    def score(self, pairs):
        self.calls += 1
        return [ScoredCompletion(e, c, (), r) for (e, c), r in zip(pairs, self.rewards, strict=True)]


def make_section(**options) -> GrpoSection:
    return GrpoSection(
        **{
            "max_steps": 2,
            "learning_rate": 1e-2,
            "prompts_per_step": PROMPTS,
            "num_generations": GROUP,
            "max_completion_length": 10,
            "warmup_steps": 0,
        }
        | options
    )


def make_arguments(section, directory: Path):
    from grpo.training.trl_arguments import trl_arguments

    return trl_arguments(section, directory=directory, seed=3, device="cpu", bf16=False, gradient_checkpointing=False)


def make_trainer(policy, rows, directory, rewards, **options):
    from grpo.training.trainer import SharedPrefixTrainer

    arguments = make_arguments(make_section(**options), directory)
    return SharedPrefixTrainer(policy, rows, ScriptedHost(rewards), arguments, record=lambda *_: None)


def make_plain(policy, rows, directory, **options):
    """TRL's own trainer on a copy of the policy."""
    from datasets import Dataset
    from trl import GRPOTrainer

    from grpo.training.trl_habits import copied_reference

    with copied_reference(policy.model):
        return GRPOTrainer(
            model=copy.deepcopy(policy.model),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=make_arguments(make_section(**options), directory / "plain"),
            train_dataset=Dataset.from_dict({"prompt": [[dict(m) for m in row.prompt] for row in rows]}),
            processing_class=policy.tokenizer,
        )


def draw_batch(trainer):
    """One generation batch of a trainer, cut into micro-batches, and the accumulation count TRL would have set."""
    loader = iter(trainer.get_train_dataloader())
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer._prepare_inputs(next(loader))
    return trainer._buffered_inputs


def gradients_of(trainer, batches):
    """Loss and gradients that these micro-batches add up to."""
    trainer.model.zero_grad()
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    total = 0.0
    for batch in batches:
        loss = trainer._compute_loss(trainer.model, batch)
        loss.backward()
        total += loss.item()
    return total, {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


def assert_same_gradients(found, wanted):
    assert found.keys() == wanted.keys()
    whole = torch.cat([g.flatten() for g in wanted.values()]).norm()
    difference = torch.cat([(found[name] - wanted[name]).flatten() for name in wanted]).norm()
    assert difference <= 1e-4 * whole


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


def assert_trains_as_trl(policy, rows, tmp_path, options, **changes):
    """Plain TRL, given the same completions and rewards, takes the weights to the same place; `changes` go to both."""
    start = {name: weight.detach().clone() for name, weight in policy.model.named_parameters()}
    plain = make_plain(policy, rows, tmp_path, **options)
    trainer = make_trainer(policy, rows, tmp_path, MIXED, **options)
    assert trainer.fallback is None
    for each in (plain, trainer):
        vars(each).update(changes)
    drawn, generate = [], trainer._generate_single_turn

    def record(*args, **kwargs):
        drawn.append(generate(*args, **kwargs))
        return drawn[-1]

    trainer._generate_single_turn = record
    trainer.train()
    replay = iter(drawn)
    plain._generate_single_turn = lambda *args, **kwargs: next(replay)
    plain.reward_funcs = [lambda **_: MIXED]
    plain.train()
    assert len(drawn) == options["max_steps"] // options["num_iterations"]
    weights, wanted = (dict(each.named_parameters()) for each in (policy.model, plain.model))
    moved = torch.cat([(wanted[name] - start[name]).flatten() for name in start])
    found = torch.cat([(weights[name] - start[name]).flatten() for name in start])
    assert moved.any()
    # AdamW turns rounding into whole steps where a gradient is all but zero, so the bound is on the whole.
    assert (found - moved).norm() < 1e-2 * moved.norm()


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

        lora = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, lora_dropout=0.3, use_dora=True)
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
