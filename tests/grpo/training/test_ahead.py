"""One step ahead: the next batch is written while this one is learnt, weighed for its age, and found again after a stop."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from grpo.config.loading import load_config  # noqa: E402
from grpo.config.sections import GrpoSection  # noqa: E402
from grpo.engines.choose import choose_engine  # noqa: E402
from grpo.engines.vllm import Seeds  # noqa: E402
from grpo.training.ahead import BatchAhead  # noqa: E402
from grpo.training.dynamic_sampling import Rollouts  # noqa: E402
from rewards.config import RewardsSection, build_host  # noqa: E402
from rewards.errors import UserError  # noqa: E402

SECTION = GrpoSection(
    max_steps=4, learning_rate=1e-2, prompts_per_step=2, num_generations=4, max_completion_length=8, save_every_steps=2,
    save_total_limit=4, warmup_steps=0,
)  # fmt: skip


class Varied:
    """Rewards that differ within a group by what was written, so that every step learns."""

    def __init__(self, host):
        self.host = host
        self.names = host.names

    def score(self, pairs):
        from dataclasses import replace

        return [
            replace(scored, reward=(sum(map(ord, completion.text)) % 97) / 97)
            for scored, (_, completion) in zip(self.host.score(pairs), pairs, strict=True)
        ]


def make_trainer(policy, rows, folder, section, kind=None):
    from grpo.training.ahead_trainer import AheadTrainer
    from grpo.training.trainer import SharedPrefixTrainer
    from grpo.training.trl_arguments import trl_arguments

    arguments = trl_arguments(
        section, directory=folder / "checkpoints", seed=3, device="cpu", bf16=False, gradient_checkpointing=False
    )
    written = []

    def record(step, scored, groups, advantages):
        written.append([(each.example.id, each.completion.text) for each in scored])

    kind = kind or (AheadTrainer if section.one_step_ahead else SharedPrefixTrainer)
    host = Varied(build_host(RewardsSection(functions=[{"name": "extraction"}])))
    trainer = kind(policy, rows, host, arguments, record=record)
    trainer.written = written
    return trainer


def weights(policy):
    return {name: weight.detach().clone() for name, weight in policy.model.named_parameters()}


def put_back(policy, kept):
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            weight.copy_(kept[name])


def ahead_of(section, **changes):
    return section.model_copy(update={"one_step_ahead": "cpu", **changes})


def test_batches_when_written_ahead_and_nothing_is_learnt_then_are_those_of_a_run_that_writes_in_turn(
    policy, rows, tmp_path
):
    """The same rows in the same order over several passes, the same random numbers; two passes over each batch as well."""
    start = weights(policy)
    for number, changes in enumerate(({"max_steps": 5}, {"num_iterations": 2, "max_steps": 6})):
        found = []
        for name, section in (("turn", SECTION), ("ahead", ahead_of(SECTION))):
            put_back(policy, start)
            section = section.model_copy(update={"learning_rate": 1e-12, "save_every_steps": 100, **changes})
            trainer = make_trainer(policy, rows[:4], tmp_path / f"{name}{number}", section)
            trainer.train()
            found.append(trainer.written)
        assert found[0] == found[1]
        assert len({tuple(sorted({row for row, _ in batch})) for batch in found[0]}) > 1


def test_run_when_stopped_and_resumed_then_is_that_of_one_that_went_on(policy, rows, tmp_path):
    """The batch that was under way at the checkpoint was written with weights that are gone: the checkpoint keeps it."""
    start = weights(policy)
    whole = make_trainer(policy, rows, tmp_path / "whole", ahead_of(SECTION))
    sampled, trusted = [], []
    inner = type(whole)._compute_loss

    def compute_loss(self, model, inputs):
        sampled.append(inputs["old_per_token_logps"].clone())
        with torch.no_grad():
            logps, _ = self._run(
                model, inputs["prompt_ids"], inputs["prompt_mask"], inputs["completion_ids"], inputs["completion_mask"],
                None, batch_size=None,
            )  # fmt: skip
        trusted.append(logps)
        return inner(self, model, inputs)

    whole._compute_loss = lambda model, inputs: compute_loss(whole, model, inputs)
    whole.train()
    behind = [row["ahead/updates_behind"] for row in whole.state.log_history if "ahead/updates_behind" in row]
    assert behind == [0, 1, 1, 1]
    # The first batch is the policy's own; a later one was sampled with other probabilities, which the loss is told.
    torch.testing.assert_close(sampled[0], trusted[0], atol=1e-5, rtol=0)
    assert all((old - new).abs().max() > 1e-4 for old, new in zip(sampled[1:], trusted[1:], strict=True))
    end = weights(policy)
    put_back(policy, start)
    resumed = make_trainer(policy, rows, tmp_path / "resumed", ahead_of(SECTION))
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoints" / "checkpoint-2"))
    assert resumed.written == whole.written[2:]
    assert all(torch.equal(value, end[name]) for name, value in weights(policy).items())


class StandIn:
    """A vLLM server's side of TRL: notes which weights it has, writes that down as the completion, and can wait or fail."""

    def __init__(self):
        self.trained, self.has, self.gate, self.fault = 0, None, threading.Event(), None
        self.gate.set()

    def sync_weights(self):
        self.has = self.trained

    def generate(self, prompts, images, num_generations, profiler):
        has = self.has
        assert self.gate.wait(30)
        if self.fault:
            raise self.fault
        return prompts, [[has]] * len(prompts), [[[-1.0]]] * len(prompts), None


def serve():
    from grpo.training.ahead_trainer import ServedWriter

    server = StandIn()
    trainer = SimpleNamespace(
        vllm_generation=server, num_generations=1, state=SimpleNamespace(global_step=0), args=SimpleNamespace(seed=3)
    )
    trainer.ahead = BatchAhead(ServedWriter(trainer))
    return server, trainer, trainer.ahead


def test_server_when_it_writes_ahead_then_the_step_goes_on_and_its_weights_are_one_update_old():
    """The call comes back while the server still writes; seeds are those of the step that the batch is for."""
    server, trainer, ahead = serve()
    assert ahead.take([[5]], 0) is None
    assert ahead.write([[5]], 0).completion_ids == [[0]]
    at_zero, seeds = (
        Seeds(SimpleNamespace(ahead=None, args=trainer.args, state=SimpleNamespace(global_step=1)), 0),
        None,
    )
    server.gate.clear()
    ahead.begin([[6]], 1)
    seeds = Seeds(trainer, 0)
    assert seeds() == at_zero()
    server.trained = trainer.state.global_step = 1  # an update happens meanwhile
    server.gate.set()
    assert ahead.take([[6]], 1).completion_ids == [[0]]


def test_batch_when_other_prompts_come_or_the_server_fails_then_it_is_not_used_and_the_step_hears_why(tmp_path):
    """A fault in the thread is raised where the batch is needed; the checkpoint before it is still written."""
    server, _, ahead = serve()
    ahead.begin([[6]], 1)
    assert ahead.take([[7]], 1) is None
    server.fault = RuntimeError("gone")
    ahead.begin([[6]], 1)
    ahead.save(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="gone"):
        ahead.take([[6]], 1)


def test_batch_when_kept_in_a_checkpoint_then_every_number_comes_back(tmp_path):
    """Floats survive the file bit for bit."""
    writer = SimpleNamespace(
        catch_up=lambda: None, write=lambda ids, step: Rollouts([[1, 2]], [[-0.1, float(torch.tensor(1 / 3))]], None)
    )
    ahead = BatchAhead(writer)
    ahead.begin([[5]], 7)
    ahead.save(tmp_path)
    later = BatchAhead(writer)
    later.recall(tmp_path)
    assert later.take([[5]], 7) == ahead.take([[5]], 7)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["grpo.one_step_ahead=server"], "server is vLLM's; write model.engine: vllm"),
        (["grpo.one_step_ahead=cuda:1", "model.engine=vllm"], "holds a copy that engine transformers writes with"),
        (["grpo.one_step_ahead=gpu"], "one_step_ahead"),
        (["grpo.one_step_ahead=cpu", "grpo.dynamic_sampling=2"], "goes with neither dynamic_sampling nor speculation"),
        (["grpo.one_step_ahead=cpu", "grpo.top_p=0.9"], "write top_p: 1.0"),
    ],
)
def test_one_step_ahead_when_it_cannot_be_had_then_one_line_says_why(overrides, said):
    """Before anything is spent."""
    with pytest.raises(UserError) as caught:
        config = load_config("v4_1", overrides, "embedded")
        raise UserError(choose_engine(config.model).problems(config, 1))
    assert any(said in line for line in caught.value.problems)


def test_one_step_ahead_when_several_processes_train_then_refused():
    """Each would have a copy, and only one of them the server."""
    config = load_config("v4_1", ["grpo.one_step_ahead=cpu"], "embedded")
    assert "is for one training process, not 2" in choose_engine(config.model).problems(config, 2)[0]
