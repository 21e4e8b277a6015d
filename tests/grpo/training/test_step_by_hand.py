"""The parts of a GRPO step alone: entropies and rewards of a batch, random numbers, a batch ahead, micro-batches, recordings."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from grpo.config.sections import GrpoSection  # noqa: E402
from grpo.machine.device import Device  # noqa: E402
from grpo.training import micro_batch, recorded_loss  # noqa: E402
from grpo.training.ahead import BatchAhead, batches_of_rows, pad_logprobs  # noqa: E402
from grpo.training.dynamic_sampling import Rollouts, find_flat_groups, mix_seeds, read_rewards  # noqa: E402
from grpo.training.random_numbers import make_generator  # noqa: E402
from grpo.training.step import Step  # noqa: E402

# -- what a step carries ----------------------------------------------------------------------------------------------------


def test_entropies_when_rows_are_of_unlike_length_then_padding_is_0_up_to_trls_width():
    """TRL pads further than the longest row; the token of each number stays its own."""
    step = Step(rollouts=Rollouts([[1, 2, 3], [4]], None, [[0.5, 0.25, 0.125], [2.0]]))
    found = step.take_entropies(torch.zeros(2, 5))
    assert found.tolist() == [[0.5, 0.25, 0.125, 0, 0], [2.0, 0, 0, 0, 0]]


def test_entropies_when_only_a_pass_of_the_loss_watched_them_then_they_are_taken_once():
    """With vLLM the policy's own pass measures them; what generation measured comes first."""
    watched = torch.ones(2, 3)
    step = Step(rollouts=Rollouts([[1]], None, None), watched=watched)
    assert step.take_entropies(watched) is watched
    assert step.take_entropies(watched) is None and Step().take_entropies(watched) is None
    step = Step(rollouts=Rollouts([[1]], None, [[0.5]]), watched=torch.ones(1, 1))
    assert step.take_entropies(torch.zeros(1, 1)).tolist() == [[0.5]]
    assert step.watched is None


def test_step_when_the_next_begins_then_only_the_seconds_go_on():
    """The clock of the parts is cleared by whoever logs it."""
    step = Step(
        scored=[1], is_drawn=True, defers_logps=True, micro_batch={"a": 1}, watched=torch.ones(1), loss_start=3.0
    )
    step.seconds["loss"] += 2.5
    following = step.following()
    assert (following.scored, following.is_drawn, following.defers_logps, following.micro_batch) == (
        [],
        False,
        False,
        {},
    )
    assert following.watched is None and following.rollouts is None and following.recording is None
    assert following.seconds is step.seconds and following.seconds["scoring"] == 0.0


# -- rewards and random numbers ---------------------------------------------------------------------------------------------


def test_rewards_when_nothing_could_score_a_completion_then_it_is_no_number_and_makes_no_group_learn():
    """One that was scored beside it has nothing to differ from; two that differ are enough, whatever the third is."""
    scored = [SimpleNamespace(reward=reward) for reward in (None, 0.5, 0.5, None, None, None, 0.25, None, 0.5)]
    rewards = read_rewards(scored)
    assert rewards.dtype == torch.float32
    assert rewards.isnan().tolist() == [True, False, False, True, True, True, False, True, False]
    assert find_flat_groups(rewards, 3).tolist() == [True, True, False]


def test_seeds_when_mixed_then_are_those_of_every_version():
    """Written down once: another seed would make a run that is resumed after an update draw other completions."""
    assert mix_seeds(3, 7, 1) == 1_682_419_770_823_712_810
    assert all(0 <= mix_seeds(number) < 2**63 for number in range(100))
    assert len({mix_seeds(a, b) for a in range(30) for b in range(30)}) == 900


@pytest.mark.parametrize(
    ("attempt", "again", "seed"),
    [
        (0, 0, 3 * 1_000_003 + 7),
        (2, 0, mix_seeds(3, 7, 2)),
        (0, 1, mix_seeds(3, 7, 0, 1)),
        (2, 1, mix_seeds(3, 7, 2, 1)),
    ],
)
def test_random_numbers_when_a_process_holds_later_rows_then_it_goes_on_where_the_one_before_ends(attempt, again, seed):
    """Four rows of five tokens in one process are twice two rows in two."""
    whole = torch.rand(4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for before in (0, 2):
        generator = make_generator(3, 7, attempt, again, (before, 5), torch.device("cpu"))
        rows = torch.rand(2, 5, generator=generator, dtype=torch.float64)
        assert torch.equal(rows, whole[before : before + 2])


# -- one batch ahead --------------------------------------------------------------------------------------------------------


class Noting:
    """A writer that notes what it is asked for."""

    def __init__(self):
        self.said = []

    def catch_up(self):
        self.said.append("weights")

    def write(self, prompt_ids, step):
        self.said.append((prompt_ids, step))
        return Rollouts([[step]], [[-1.0]], None)


def test_batch_when_written_now_or_ahead_then_the_present_weights_are_taken_first():
    """`step` is the one whose random numbers count, from the moment it is asked for."""
    writer = Noting()
    ahead = BatchAhead(writer)
    assert ahead.step == 0 and ahead.take([[5]], 0) is None
    assert ahead.write([[5]], 2).completion_ids == [[2]] and ahead.step == 2
    ahead.begin([[6]], 3)
    assert ahead.step == 3
    assert ahead.take([[6]], 3).completion_ids == [[3]]
    assert writer.said == ["weights", ([[5]], 2), "weights", ([[6]], 3)]
    assert ahead.take([[6]], 3) is None  # it is given once


@pytest.mark.parametrize(("prompts", "step"), [([[6]], 4), ([[7]], 3)])
def test_batch_when_it_is_for_another_step_or_prompts_then_it_is_thrown_away(prompts, step):
    """Its completions would be learnt under prompts that they do not answer."""
    ahead = BatchAhead(Noting())
    ahead.begin([[6]], 3)
    assert ahead.take(prompts, step) is None


def test_batch_when_nothing_is_ahead_then_a_checkpoint_keeps_and_brings_back_nothing(tmp_path):
    """As at the first and at the last step of a run."""
    ahead = BatchAhead(Noting())
    ahead.save(tmp_path)
    assert not list(tmp_path.iterdir())
    ahead.recall(tmp_path)
    assert ahead.take([[5]], 0) is None


def test_batch_when_the_process_ends_then_nobody_waits_for_it():
    """The thread that writes is a daemon: a run that is interrupted ends at once."""
    gate, ahead = threading.Event(), BatchAhead(Noting())
    ahead.writer.write = lambda prompt_ids, step: gate.wait(30) and Rollouts([[1]], None, None)
    ahead.begin([[5]], 0)
    (thread,) = [each for each in threading.enumerate() if each.name == "one-step-ahead"]
    assert thread.daemon
    gate.set()
    assert ahead.take([[5]], 0).completion_ids == [[1]]


def test_rows_when_a_sampler_repeats_its_batches_then_each_comes_once_and_pass_after_pass():
    """Two passes of the loss over each batch; a batch that a pass does not fill is none, as in TRL's loader."""
    found = batches_of_rows([0, 1, 0, 1, 2, 3, 2, 3, 4], 2, 2)
    assert [next(found) for _ in range(5)] == [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]
    found = batches_of_rows([0, 1, 2, 3], 2, 1)
    assert [next(found) for _ in range(3)] == [[0, 1], [2, 3], [0, 1]]


def test_logprobs_when_padded_then_are_those_of_their_tokens():
    """Zeros behind the end of a row, float32."""
    found = pad_logprobs([[-0.5, -1.0], [], [-2.0]], 3)
    assert found.dtype == torch.float32
    assert found.tolist() == [[-0.5, -1.0, 0.0], [0.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]


# -- how many completions a pass takes --------------------------------------------------------------------------------------


def test_micro_batch_when_measured_then_counts_prompts_a_group_completions_and_what_is_resident(monkeypatch):
    """10 float32 weights of which 6 are trained: 40 bytes, and three times 24 for gradients and moments."""
    asked = {}
    monkeypatch.setattr(micro_batch, "measure_activations", lambda model, prompt, completion: (1000, 100))

    def choose(share, group, bytes_of, budget):
        asked.update(share=share, group=group, sizes=[bytes_of(size) for size in (1, 4, 5)], budget=budget)
        return 2

    monkeypatch.setattr(micro_batch, "choose_size", choose)
    model = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(6)), torch.nn.Parameter(torch.zeros(4), False)])
    grpo = GrpoSection(prompts_per_step=6, num_generations=4, max_completion_length=12, micro_batch_size="auto")
    found = micro_batch.measure_micro_batch(grpo, model, 40, Device("cuda", "x", 1000, 1), 3)
    assert found.micro_batch_size == 2
    # A quarter more than what is kept; a fifth completion brings its group's prompt.
    assert asked == {"share": 8, "group": 4, "sizes": [1375, 1750, 3125], "budget": 850 - 40 - 3 * 24}


def test_activations_when_two_and_three_completions_are_measured_then_the_prompts_share_is_what_is_left(monkeypatch):
    """700 bytes for two, 900 for three: 200 each, 300 the prompt; never less than nothing, nor a completion for free."""
    kept = {2: 700, 3: 900}
    monkeypatch.setattr(micro_batch, "count_saved_bytes", lambda model, prompt, completion, count: kept[count])
    assert micro_batch.measure_activations(None, 40, 12) == (300, 200)
    kept[3] = 1500
    assert micro_batch.measure_activations(None, 40, 12) == (0, 800)
    kept[3] = 600
    assert micro_batch.measure_activations(None, 40, 12) == (698, 1)


def test_activations_when_counted_then_the_model_is_as_before(policy):
    """Each module's own mode, the random numbers, no gradient, nobody listening on."""
    from grpo.policy.lean_activations import WATCHERS

    policy.model.train()
    policy.model.model.norm.eval()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert micro_batch.count_saved_bytes(policy.model, 10, 4, 2) > 0
    assert torch.equal(torch.get_rng_state(), state) and not WATCHERS
    assert policy.model.training and not policy.model.model.norm.training
    with pytest.raises(ValueError, match="without tokens"):
        micro_batch.count_saved_bytes(policy.model, 0, 0, 2)
    assert not WATCHERS


def test_passes_when_a_number_is_set_then_nothing_is_measured(monkeypatch):
    """And with `auto` the longest prompt counts; where the prefix cannot be shared the plan's estimate does."""
    asked = []
    monkeypatch.setattr(micro_batch, "find_device", lambda: "accelerator")
    monkeypatch.setattr(micro_batch, "find_processor", lambda: "processor")
    monkeypatch.setattr(micro_batch, "supports", lambda model: None)
    monkeypatch.setattr(micro_batch, "find_shape", lambda model: ("shape", None))
    monkeypatch.setattr(micro_batch, "measure_micro_batch", lambda *given: asked.append(("measured", *given[2:])))
    monkeypatch.setattr(micro_batch, "plan_micro_batch", lambda *given: asked.append(("planned", *given[2:])))
    rows = [SimpleNamespace(prompt=prompt) for prompt in ("abc", "abcde", "a")]
    policy = SimpleNamespace(prompts=SimpleNamespace(prompt_ids=list), model="m", fallback=None)
    config = SimpleNamespace(grpo=GrpoSection(micro_batch_size=4), model="section")
    assert micro_batch.fit_passes(config, policy, rows, "cuda", 2) is config.grpo and not asked
    config.grpo = GrpoSection(micro_batch_size="auto")
    micro_batch.fit_passes(config, policy, rows, "cuda", 2)
    micro_batch.fit_passes(config, policy, rows, "cpu", 1)
    policy.fallback = "a reason"
    micro_batch.fit_passes(config, policy, rows, "cpu", 1)
    policy.fallback = None
    monkeypatch.setattr(micro_batch, "supports", lambda model: "another reason")
    micro_batch.fit_passes(config, policy, rows, "cuda", 1)
    assert asked == [
        ("measured", 5, "accelerator", 2), ("measured", 5, "processor", 1), ("planned", "shape", "processor", 5, 1),
        ("planned", "shape", "accelerator", 5, 1),
    ]  # fmt: skip


# -- when the loss takes what generation computed ---------------------------------------------------------------------------


def ask_for_recording(monkeypatch, memory=800, **changes):
    """What a recording is begun with, None where it is not."""
    asked = []
    monkeypatch.setattr(recorded_loss, "begin_recording", lambda *given, **named: asked.append((*given, named)))
    monkeypatch.setattr(recorded_loss, "find_processor", lambda: SimpleNamespace(memory_bytes=memory))
    monkeypatch.setattr(recorded_loss, "unwrap", lambda model: model)
    arguments = {
        "gradient_accumulation_steps": 1, "steps_per_generation": 1, "dynamic_sampling": 0, "speculation": 0,
        "repetition_penalty": 1.0, "top_p": 1.0, "top_k": 0, "min_p": None, "temperature": 0.5,
    }  # fmt: skip
    trainer = {
        "num_iterations": 1, "model": SimpleNamespace(training=True), "_skips": True, "is_deepspeed_enabled": False,
        "max_completion_length": 12,
    }  # fmt: skip
    arguments |= {key: value for key, value in changes.items() if key in arguments}
    trainer |= {key: value for key, value in changes.items() if key in trainer}
    recorded_loss.begin_for_loss(SimpleNamespace(args=SimpleNamespace(**arguments), **trainer), [[5, 6]], 4)
    return asked[0] if asked else None


@pytest.mark.parametrize(
    "changes",
    [
        {"num_iterations": 2},
        {"gradient_accumulation_steps": 3, "steps_per_generation": 2},
        {"model": SimpleNamespace(training=False)},
        {"_skips": False},
        {"is_deepspeed_enabled": True},
        {"dynamic_sampling": 1},
        {"speculation": 2},
    ],
    ids=str,
)
def test_recording_when_weights_move_or_values_matter_then_none_is_begun(monkeypatch, changes):
    """Each of these alone is enough: what was computed would be of other weights, or of other completions."""
    assert ask_for_recording(monkeypatch) is not None
    assert ask_for_recording(monkeypatch, **changes) is None


@pytest.mark.parametrize(
    ("changes", "measures"),
    [({}, True), ({"min_p": 0.0}, True), ({"min_p": 0.1}, False), ({"top_p": 0.9}, False), ({"top_k": 5}, False),
     ({"repetition_penalty": 1.1}, False)],
    ids=str,
)  # fmt: skip
def test_recording_when_drawing_bends_the_distribution_then_its_probabilities_are_not_the_losss(
    monkeypatch, changes, measures
):
    """Log-probabilities of a filtered distribution would teach the filter; states are those of the policy all the same."""
    model, prompts, samples, most, temperature, named = ask_for_recording(monkeypatch, **changes)
    assert (prompts, samples, most, temperature) == ([[5, 6]], 4, 12, 0.5)
    assert named["measures"] is measures and model.training


@pytest.mark.parametrize(
    ("memory", "passes", "most"), [(800, 1, None), (800, 2, 100), (None, 2, None), (None, 1, None)]
)
def test_recording_when_the_loss_is_in_several_passes_then_it_may_take_an_eighth_of_the_memory(
    monkeypatch, memory, passes, most
):
    """A loss in one pass keeps as much by itself."""
    asked = ask_for_recording(monkeypatch, memory, gradient_accumulation_steps=passes)
    assert asked[-1]["most_bytes"] == most


def test_recording_when_a_micro_batch_is_of_other_completions_then_it_is_not_taken():
    """Rows are compared as far as they are learnt: what the mask leaves out is not asked for."""
    asked = []

    class Kept:
        def has(self, rows, numbers):
            asked.append((rows, numbers))
            return rows[0] == [7, 8]

    ids, mask = torch.tensor([[7, 8, 9], [4, 0, 0]]), torch.tensor([[1, 1, 0], [1, 0, 0]])
    batch, kept = {"numbers": torch.tensor([3, 1])}, Kept()
    assert recorded_loss.find_recorded(None, batch, ids, mask) == {}
    assert recorded_loss.find_recorded(kept, {}, ids, mask) == {} and not asked
    assert recorded_loss.find_recorded(kept, batch, ids, mask) == {"recording": kept, "numbers": [3, 1]}
    assert asked == [([[7, 8], [4]], [3, 1])]
    assert recorded_loss.find_recorded(kept, batch, ids + 1, mask) == {}
