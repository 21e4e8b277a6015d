"""Zero-spread groups give way to fresh prompts: bounded, counted, the same in every process and after a resume."""

from __future__ import annotations

import copy
import threading
import zlib
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from grpo.config.sections import GrpoSection  # noqa: E402
from grpo.policy.loading import Policy  # noqa: E402
from grpo.training.dynamic_sampling import Rollouts, draw_fresh_rows, draw_until_rewards_differ, find_flat_groups  # noqa: E402
from rewards.host.verdicts import ScoredCompletion  # noqa: E402

NAN = float("nan")


@pytest.mark.parametrize(
    ("rewards", "flat"),
    [
        ([0.3, 0.3, 0.3], True),
        ([0.3, 0.3, 0.4], False),
        ([NAN, 0.3, 0.3], True),
        ([NAN, 0.3, 0.2], False),
        ([NAN, NAN, NAN], True),
        ([0.0, 0.0, -0.0], True),
    ],
)
def test_find_flat_groups_when_rewards_are_compared_then_only_known_ones_count(rewards, flat):
    """A completion that nothing could score neither makes nor breaks a spread."""
    assert find_flat_groups(torch.tensor([*rewards, 0.1, 0.2, 0.1]), 3).tolist() == [flat, False]


@given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.integers(0, 10), st.integers(0, 5), st.integers(0, 5))
def test_draw_fresh_rows_when_some_are_used_then_others_come_once_each(examples, used, count, seed, step):
    """As many as were asked for, or all that are left; the same for the same seed and step."""
    found = draw_fresh_rows(examples, used, count, seed=seed, step=step, attempt=0)
    left = set(range(examples)) - used
    assert len(found) == len(set(found)) == min(count, len(left))
    assert set(found) <= left
    assert found == draw_fresh_rows(examples, used, count, seed=seed, step=step, attempt=0)


def draw(rows, spread, *, processes=1, size=2, most_rounds=3, examples=12, seed=1, step=0):
    """The draw of a step shared by some processes, which run as threads; one `Draw` and one list of calls each.

    The completions of example `e` differ in reward where `spread(e)`; a completion is its example, round and place.
    """
    share = len(rows) // processes
    barrier, posts, draws = threading.Barrier(processes), [None] * processes, [None] * processes

    def run(index):
        def gather(values):
            posts[index] = values
            barrier.wait()
            joined = torch.cat(posts)
            barrier.wait()
            return joined

        def write(rows, attempt, before):
            calls.append((attempt, before, len(rows)))
            ids = [[row, attempt, before + place] for place, row in enumerate(rows)]
            rewards = [(before + place) % size if spread(row) else 1 for place, row in enumerate(rows)]
            scored = [SimpleNamespace(reward=float(reward)) for reward in rewards]
            return (Rollouts(ids, None, None), scored) if rows else (None, [])

        calls = []
        draws[index] = (
            draw_until_rewards_differ(
                rows[index * share : (index + 1) * share], write, gather, first=index * share, num_generations=size,
                examples=examples, most_rounds=most_rounds, seed=seed, step=step,
            ),
            calls,
        )  # fmt: skip

    threads = [threading.Thread(target=run, args=(index,)) for index in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return draws


def test_draw_when_a_group_is_flat_then_only_it_is_replaced():
    """The other groups keep their prompts, texts and scores."""
    ((found, calls),) = draw([0, 0, 1, 1, 2, 2], lambda row: row != 1, seed=3)
    assert found.rows[:2] + found.rows[4:] == [0, 0, 2, 2]
    assert found.rows[2] == found.rows[3] not in (0, 1, 2)
    assert found.rollouts.completion_ids == [
        [0, 0, 0], [0, 0, 1], [found.rows[2], 1, 0], [found.rows[2], 1, 1], [2, 0, 4], [2, 0, 5]
    ]  # fmt: skip
    assert calls == [(0, 0, 6), (1, 0, 2)]
    assert found.metrics() == {
        "dynamic_sampling/rounds": 1.0,
        "dynamic_sampling/replaced": 1.0,
        "dynamic_sampling/frac_reward_zero_std_before": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize(("most_rounds", "examples", "rounds", "replaced"), [(2, 12, 2, 4), (9, 5, 2, 3), (9, 2, 0, 0)])
def test_draw_when_no_prompt_ever_helps_then_it_ends(most_rounds, examples, rounds, replaced):
    """After the rounds that were allowed, or when every example has been tried."""
    ((found, calls),) = draw([0, 0, 1, 1], lambda row: False, most_rounds=most_rounds, examples=examples)
    assert (found.rounds, found.replaced) == (rounds, replaced)
    assert len(calls) == rounds + 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    helpful=st.sets(st.integers(0, 11)), processes=st.sampled_from([2, 3, 4, 6]), seed=st.integers(0, 99),
    most_rounds=st.integers(0, 4),
)  # fmt: skip
def test_draw_when_processes_share_a_step_then_they_draw_what_one_would(helpful, processes, seed, most_rounds):
    """Groups may lie across processes; a process without a flat group takes part in every round all the same."""
    rows = [row for row in (0, 1, 2) for _ in range(4)]
    options = {"size": 4, "most_rounds": most_rounds, "seed": seed}
    ((alone, calls),) = draw(rows, lambda row: row in helpful, **options)
    found = draw(rows, lambda row: row in helpful, processes=processes, **options)
    assert [row for each, _ in found for row in each.rows] == alone.rows
    assert [ids for each, _ in found for ids in each.rollouts.completion_ids] == alone.rollouts.completion_ids
    assert all(each.metrics() == alone.metrics() for each, _ in found)
    assert {len(their_calls) for _, their_calls in found} == {len(calls)}


class PickyHost:
    """Every fourth example gets rewards that differ with the text; the others always 0.5."""

    def __init__(self, rows):
        self.helpful = {row.id for row in rows[::4]}
        self.calls = []

    def score(self, pairs):
        self.calls.append(len(pairs))
        return [ScoredCompletion(e, c, (), self._reward(e, c)) for e, c in pairs]

    def _reward(self, example, completion):
        return zlib.crc32(completion.text.encode()) % 101 / 100 if example.id in self.helpful else 0.5


def make_trainer(policy, rows, directory, batches=None, **options):
    from grpo.training.trainer import SharedPrefixTrainer
    from grpo.training.trl_arguments import trl_arguments

    section = GrpoSection(
        max_steps=2, learning_rate=1e-2, prompts_per_step=3, num_generations=4, max_completion_length=8,
        warmup_steps=0, save_every_steps=1, **{"dynamic_sampling": 2} | options,
    )  # fmt: skip
    arguments = trl_arguments(
        section, directory=directory, seed=3, device="cpu", bf16=False, gradient_checkpointing=False
    )
    record = (lambda *_: None) if batches is None else lambda *batch: batches.append(batch)
    return SharedPrefixTrainer(policy, rows, PickyHost(rows), arguments, record=record)


def test_train_when_groups_are_flat_then_trl_sees_the_fresh_ones(policy, rows, tmp_path):
    """Rewards, advantages and metrics are those of the step as it was in the end, and nothing is scored twice."""
    batches = []
    trainer = make_trainer(policy, rows, tmp_path, batches)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert sum(log["dynamic_sampling/replaced"] for log in logs) >= 3
    assert max(log["dynamic_sampling/rounds"] for log in logs) == 2
    replaced = sum(int(log["dynamic_sampling/replaced"]) for log in logs)
    assert sum(trainer._host.calls) == 2 * 12 + 4 * replaced
    for log, (_, scored, groups, advantages) in zip(logs, batches, strict=True):
        assert log["reward"] == pytest.approx(sum(s.reward for s in scored) / 12)
        flat = 0
        for group in range(3):
            chosen = [index for index, number in enumerate(groups) if number == group]
            assert len({scored[index].example.id for index in chosen}) == 1
            rewards = [scored[index].reward for index in chosen]
            flat += len(set(rewards)) == 1
            wanted = [reward - sum(rewards) / 4 for reward in rewards]
            assert [advantages[index] for index in chosen] == pytest.approx(wanted, abs=1e-6)
        assert log["frac_reward_zero_std"] == pytest.approx(flat / 3)
        assert log["dynamic_sampling/frac_reward_zero_std_before"] >= log["frac_reward_zero_std"]


def test_train_when_the_first_draw_is_good_then_nothing_changes(policy, rows, tmp_path):
    """Rounds that are not needed leave the run as it is without them."""
    twin = Policy(copy.deepcopy(policy.model), policy.tokenizer)
    helpful = rows[::4]
    with_rounds = make_trainer(policy, helpful, tmp_path / "a")
    with_rounds._host.helpful = {row.id for row in helpful}
    with_rounds.train()
    without = make_trainer(twin, helpful, tmp_path / "b", dynamic_sampling=0)
    without._host.helpful = with_rounds._host.helpful
    without.train()
    assert all(log["dynamic_sampling/rounds"] == 0 for log in with_rounds.state.log_history if "reward" in log)
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(weight, twin.model.state_dict()[name]), name


def test_train_when_resumed_then_it_draws_the_same_fresh_prompts(policy, rows, tmp_path):
    """A run that was stopped after its first step ends with the same bits."""
    fresh = Policy(copy.deepcopy(policy.model), policy.tokenizer)
    make_trainer(policy, rows, tmp_path).train()
    checkpoint = tmp_path / "checkpoint-1"
    make_trainer(fresh, rows, tmp_path).train(resume_from_checkpoint=str(checkpoint))
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(weight, fresh.model.state_dict()[name]), name
