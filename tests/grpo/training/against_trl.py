"""A trainer of ours and TRL's own over the same policy, rows and rewards, and what they must have in common."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from grpo.config.sections import GrpoSection
from rewards.host.verdicts import ScoredCompletion

PROMPTS, GROUP = 3, 4
# Rewards are binary fractions, so that the mean of equal ones is exact: TRL's own advantages are then 0 as well.
MIXED = [0.5, 0.5, 0.5, 0.5, 0.25, 0.75, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
FLAT = [0.25] * 12


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
