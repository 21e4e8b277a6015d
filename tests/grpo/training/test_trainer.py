"""The GRPO step of ours against TRL's own."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from grpo.config.sections import GrpoSection  # noqa: E402
from rewards.config import RewardsSection, build_host  # noqa: E402

SECTION = GrpoSection(
    max_steps=2, learning_rate=1e-3, prompts_per_step=2, num_generations=4, max_completion_length=12, save_every_steps=1,
    warmup_steps=0,
)  # fmt: skip
NAMES = ("extraction", "sql_qa", "insights", "push")

# The parameters of what we override, in TRL 1.14.2. When this fails, TRL moved: read its new code before changing this.
SIGNATURES = {
    "_prepare_inputs": "self, generation_batch",
    "training_step": "self, model, inputs, num_items_in_batch",
    "_tokenize_prompts": "self, prompts",
    "_generate_single_turn": "self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images",
    "_get_per_token_logps_and_entropies": "self, model, args, batch_size, compute_aux_loss, kwargs",
    "_generate_and_score_completions": "self, inputs",
    "_compute_loss": "self, model, inputs",
    "_save_checkpoint": "self, model, trial",
}


def make_trainer(policy, rows, tmp_path: Path, section: GrpoSection = SECTION, record=lambda *_: None, seed: int = 3):
    from grpo.training.trainer import SharedPrefixTrainer
    from grpo.training.trl_arguments import trl_arguments

    arguments = trl_arguments(
        section, directory=tmp_path / "checkpoints", seed=seed, device="cpu", bf16=False, gradient_checkpointing=False
    )
    host = build_host(RewardsSection(functions=[{"name": name} for name in NAMES]))
    return SharedPrefixTrainer(policy, rows, host, arguments, record=record)


@pytest.mark.parametrize("method", SIGNATURES)
def test_overridden_methods_when_compared_then_trl_has_not_moved_them(method):
    """A private method we override still takes what it took."""
    from trl import GRPOTrainer

    assert ", ".join(inspect.signature(getattr(GRPOTrainer, method)).parameters) == SIGNATURES[method]


def test_logps_when_compared_with_trl_then_they_agree(policy, rows, tmp_path):
    """Shared-prefix log-probabilities, entropies and gradients equal those of TRL's plain pass."""
    from trl import GRPOTrainer

    trainer = make_trainer(policy, rows, tmp_path)
    assert trainer.fallback is None
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(5, 300, (n,), generator=generator) for n in (7, 7, 7, 12, 12, 5)]
    prompts[1] = prompts[2] = prompts[0]
    prompts[4] = prompts[3]
    ids, mask = torch.zeros(6, 22, dtype=torch.long), torch.zeros(6, 22, dtype=torch.long)
    for row, (prompt, length) in enumerate(zip(prompts, (10, 3, 1, 6, 9, 10), strict=True)):
        ids[row, 12 - len(prompt) : 12], mask[row, 12 - len(prompt) : 12] = prompt, 1
        ids[row, 12 : 12 + length] = torch.randint(5, 300, (length,), generator=generator)
        mask[row, 12 : 12 + length] = 1
    results = []
    for owner in (type(trainer), GRPOTrainer):
        policy.model.zero_grad()
        logps, entropies, _ = owner._get_per_token_logps_and_entropies(
            trainer, policy.model, ids, mask, 10, compute_entropy=True
        )
        written = mask[:, 12:].bool()
        logps[written].sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None])
        results.append((logps.detach()[written], entropies.detach()[written], gradient.clone()))
    (logps, entropies, gradient), (their_logps, their_entropies, their_gradient) = results
    assert torch.allclose(logps, their_logps, atol=1e-5)
    assert torch.allclose(entropies, their_entropies, atol=1e-4)
    assert (gradient - their_gradient).norm() / their_gradient.norm() < 1e-4


def test_train_when_recorded_then_groups_share_prompts_and_advantages_sum_to_zero(policy, rows, tmp_path):
    """Each group holds num_generations completions of one example, its advantages centred on the group's mean."""
    batches = []
    trainer = make_trainer(policy, rows, tmp_path, record=lambda *batch: batches.append(batch))
    trainer.train()
    assert [step for step, *_ in batches] == [1, 2]
    for _, scored, groups, advantages in batches:
        assert groups == [0] * 4 + [1] * 4
        for group in (0, 1):
            chosen = [index for index, number in enumerate(groups) if number == group]
            assert len({scored[index].example.id for index in chosen}) == 1
            assert sum(advantages[index] for index in chosen) == pytest.approx(0, abs=1e-5)
            mean = sum(scored[index].reward for index in chosen) / 4
            assert advantages[chosen[0]] == pytest.approx(scored[chosen[0]].reward - mean, abs=1e-5)


def test_train_when_the_tokenizer_parses_responses_then_rewards_see_the_whole_text(policy, rows, tmp_path):
    """TRL hands rewards the parsed content; evaluation sees the text, and so does training."""
    policy.tokenizer.parse_response = lambda *_, **__: {"role": "assistant", "content": "parsed"}
    policy.tokenizer.response_template = "{}"
    batches = []
    trainer = make_trainer(policy, rows, tmp_path, record=lambda *batch: batches.append(batch))
    trainer.train()
    assert trainer.now.rollouts is not None
    texts = [policy.prompts.text(ids) for ids in trainer.now.rollouts.completion_ids]
    assert [each.completion.text for each in batches[-1][1]] == texts
    assert "parsed" not in texts and policy.tokenizer.response_template == "{}"


def test_train_when_resumed_then_weights_equal_the_uninterrupted_run(rows, policy, tmp_path):
    """A run stopped after its first checkpoint and resumed ends with the same bits."""
    import copy

    from grpo.policy.loading import Policy

    twin = Policy(copy.deepcopy(policy.model), policy.tokenizer)
    make_trainer(policy, rows, tmp_path / "whole").train()
    make_trainer(twin, rows, tmp_path / "other").train()
    fresh = Policy(copy.deepcopy(policy.model), policy.tokenizer)
    checkpoint = tmp_path / "other" / "checkpoints" / "checkpoint-1"
    make_trainer(fresh, rows, tmp_path / "other").train(resume_from_checkpoint=str(checkpoint))
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(weight, fresh.model.state_dict()[name]), name


def test_score_when_logged_then_each_function_has_its_mean_over_the_rows_it_scored():
    """`reward/<function>` leaves out rows without a value of it, `reward_by_task/<task>` has the weighted means."""
    from types import SimpleNamespace

    from grpo.training.step import Step
    from grpo.training.trainer import SharedPrefixTrainer
    from rewards.host.verdicts import Outcome, ScoredCompletion
    from rewards.types import Completion, Example

    def scored(task, reward, **values):
        outcomes = tuple(Outcome(name, "1", "value", value) for name, value in values.items())
        return ScoredCompletion(Example("a", task, [], None), Completion(""), outcomes, reward)

    rows = [scored("sql", 0.25, form=0.5, result=0.0), scored("sql", 1.0, form=1.0, result=None), scored("push", None)]
    logged: list[tuple[str, float]] = []
    trainer = SimpleNamespace(now=Step(scored=rows, is_drawn=True))
    found = SharedPrefixTrainer._judge(trainer, [], [], lambda name, value: logged.append((name, value)))
    assert [each.reward for each in found] == [0.25, 1.0, None]
    assert sorted(logged) == [
        ("reward/form", 0.5), ("reward/form", 1.0), ("reward/result", 0.0),
        ("reward_by_task/sql", 0.25), ("reward_by_task/sql", 1.0),
    ]  # fmt: skip
