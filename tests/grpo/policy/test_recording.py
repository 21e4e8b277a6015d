"""A loss over what was recorded while its completions were written has the gradients of the loss that reads them again."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from grpo.generation.generate import generate  # noqa: E402
from grpo.policy import head_logprobs, lean_activations, packed_products, recorded_attention, recording  # noqa: E402
from grpo.policy.recording import begin_recording  # noqa: E402
from grpo.policy.shared_prefix import grouped_logps, unwrap  # noqa: E402
from tests.grpo.generation.test_decoder import FAMILIES, adapt, build, spread_norms  # noqa: E402

STEM = list(range(5, 25))
PROMPTS = {
    "one": [[5, 6, 7, 8, 9, 10]],
    "three": [[5, 6, 7, 8, 9], [11, 12], [5, 6, 7, 8, 9, 10, 11]],
    "a stem": [[*STEM, 30, 31], [7, 8], [*STEM, 40], [*STEM, 41, 42, 43]],
}
SAMPLES, MOST = 4, 12


@pytest.fixture
def small(monkeypatch):
    """Passes, models and vocabularies of any size are large ones, and probabilities wait for a few steps."""
    monkeypatch.setattr(packed_products, "LEAST_WEIGHTS", 0)
    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    monkeypatch.setattr(head_logprobs, "LEAST_LOGITS", 0)
    monkeypatch.setattr(recording, "SHARES_ROWS", 30)


def write(model, prompts, temperature=1.0, eos=range(2, 9), measures=True, most_bytes=None):
    """A recording of completions for these prompts, and what was written."""
    model.train()
    found = begin_recording(unwrap(model), prompts, SAMPLES, MOST, temperature, measures, most_bytes)
    written = generate(
        model, prompts, samples=SAMPLES, max_new_tokens=MOST, temperature=temperature, eos_ids=list(eos), pad_id=0,
        generator=torch.Generator().manual_seed(0), entropies=True, recording=found,
    )  # fmt: skip
    return found, written.completion_ids


def make_batch(prompts, completions, numbers):
    """TRL's batch of these rows."""
    chosen = [prompts[number // SAMPLES] for number in numbers]
    width, longest = max(map(len, prompts)), max(map(len, completions))
    prompt_ids = torch.tensor([[0] * (width - len(each)) + each for each in chosen])
    prompt_mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in chosen])
    ids = torch.tensor([completions[n] + [0] * (longest - len(completions[n])) for n in numbers])
    lengths = torch.tensor([[len(completions[n])] for n in numbers])
    return prompt_ids, prompt_mask, ids, (torch.arange(longest) < lengths).long()


def pull(model, batch, **options):
    model.zero_grad()
    logps, entropies = grouped_logps(model, *batch, compute_entropy=True, **options)
    (logps * torch.linspace(-1, 1, logps.numel()).view(logps.shape)).sum().backward()
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    return logps.detach(), entropies.detach(), gradients


def assert_same(model, found, batch, numbers, temperature=1.0):
    wanted, recorded = (
        pull(model, batch, temperature=temperature, **options)
        for options in ({}, {"recording": found, "numbers": numbers})
    )
    for one, other in zip(wanted[:2], recorded[:2], strict=True):
        torch.testing.assert_close(other, one, atol=2e-5, rtol=0)
    assert recorded[2].keys() == wanted[2].keys()
    for name, gradient in wanted[2].items():
        assert (recorded[2][name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6, name


@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_when_the_forward_was_recorded_then_are_those_of_reading_again(family, prompts, small):
    """Every family; one prompt and several, some that begin alike; rows that leave the batch at their end."""
    model = adapt(build(family, **FAMILIES[family]))
    found, completions = write(model, PROMPTS[prompts], temperature=1.3)
    assert found.head is not None
    assert prompts == "one" or len({len(row) for row in completions}) > 1
    numbers = list(range(len(completions)))
    assert_same(model, found, make_batch(PROMPTS[prompts], completions, numbers), numbers, 1.3)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("prompts", ["one", "a stem"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_when_all_weights_are_trained_then_they_come_from_the_recording_too(family, prompts, small):
    """Weights, biases, norms of blocks and heads, embeddings and a head, tied or not."""
    model = build(family, **FAMILIES[family])
    spread_norms(model)
    found, completions = write(model, PROMPTS[prompts], temperature=1.3)
    assert found.head is None  # a trained head runs again
    numbers = list(range(len(completions)))
    assert_same(model, found, make_batch(PROMPTS[prompts], completions, numbers), numbers, 1.3)


def test_gradients_when_rows_are_some_of_the_recorded_ones_then_are_those_of_reading_again(small):
    """Micro-batches of any rows in any order, some masked throughout, each from the same recording."""
    model, prompts = adapt(build("llama", **FAMILIES["llama"])), PROMPTS["a stem"]
    found, completions = write(model, prompts)
    for numbers in ([13, 2, 9, 3, 12], [0, 1], [15]):
        batch = make_batch(prompts, completions, numbers)
        if len(numbers) > 2:
            batch[3][1] = 0
        assert_same(model, found, batch, numbers)


def test_gradients_when_nothing_ends_then_arrays_are_read_where_they_lie(small, monkeypatch):
    """One prompt and whole completions are the recording itself: nothing is chosen out of it."""
    model = adapt(build("qwen3", **FAMILIES["qwen3"]))
    found, completions = write(model, PROMPTS["one"], eos=())
    numbers = list(range(SAMPLES))
    assert_same(model, found, make_batch(PROMPTS["one"], completions, numbers), numbers)
    assert not found.scratch


def test_gradients_when_few_logits_are_kept_then_the_head_runs_as_ever(small, monkeypatch):
    """Filters bend the distribution that is drawn from, so its probabilities are not the loss's; states are."""
    model, prompts = adapt(build("llama", **FAMILIES["llama"])), PROMPTS["three"]
    for measures, least in ((False, 0), (True, 1 << 24)):
        monkeypatch.setattr(head_logprobs, "LEAST_LOGITS", least)
        found, completions = write(model, prompts, measures=measures)
        assert found.head is None
        numbers = list(range(len(completions)))
        assert_same(model, found, make_batch(prompts, completions, numbers), numbers)


def test_recording_when_blocks_do_not_run_merged_or_it_is_too_large_then_there_is_none(small, monkeypatch):
    """A small model of which all weights are trained, a dropout, more bytes than allowed, completions of one token."""
    model = adapt(build("llama", **FAMILIES["llama"]))
    assert write(model, PROMPTS["one"])[0] is not None
    assert write(model, PROMPTS["one"], most_bytes=1000)[0] is None
    assert begin_recording(unwrap(model).train(), PROMPTS["one"], 4, 1, 1.0, True, None) is None
    model.base_model.model.model.layers[0].mlp.up_proj.lora_dropout["default"] = torch.nn.Dropout(0.1)
    assert write(model, PROMPTS["one"])[0] is None
    monkeypatch.setattr(packed_products, "LEAST_WEIGHTS", 1 << 21)
    assert write(build("llama", **FAMILIES["llama"]), PROMPTS["one"])[0] is None


def test_recording_when_completions_are_others_then_it_does_not_have_them(small):
    """What is asked for is compared token by token."""
    model = adapt(build("llama", **FAMILIES["llama"]))
    found, completions = write(model, PROMPTS["one"])
    assert found.has(completions, range(SAMPLES))
    assert found.has([completions[2][:1], []], [2, 0])
    assert not found.has([[*completions[2][:-1], 60]], [2])
    assert not found.has([completions[0], [*completions[2][:-1], 60]], [0, 2])
    assert not found.has([completions[0], completions[0]], [0, SAMPLES])


def test_gradients_when_a_token_hardly_attends_to_itself_then_attention_is_read_again(small, monkeypatch):
    """A weight that has lost its digits says nothing of the log-sum-exp; every weight is held to be one."""
    model = adapt(build("qwen3", **FAMILIES["qwen3"]))
    found, completions = write(model, PROMPTS["a stem"])
    numbers = list(range(len(completions)))
    monkeypatch.setattr(recorded_attention, "LEAST_SHARE", 2.0)
    for layer in found.layers:
        layer[-1].zero_()
    assert_same(model, found, make_batch(PROMPTS["a stem"], completions, numbers), numbers)


@pytest.mark.parametrize("prompts", ["one", "a stem"])
def test_shares_when_recorded_then_give_the_log_sum_exp_of_attention(prompts, small):
    """Rows that leave the batch keep theirs: no forward of attention but the prompts' is needed."""
    model = adapt(build("llama", **FAMILIES["llama"]))
    found, completions = write(model, PROMPTS[prompts])
    for number, row in enumerate(completions):
        for layer in found.layers:
            shares = layer[-1][found.completion_places(number, len(row) - 1)]
            assert ((shares > 0) & (shares < 1)).all()
