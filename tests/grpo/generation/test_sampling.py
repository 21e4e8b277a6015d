"""Tokens are drawn with the probabilities that the settings leave."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grpo.generation.sampling import Sampling, draw, exact_device
from rewards.errors import UserError
from tests.grpo.generation.models import EOS, VOCABULARY, cached, make_prompts, processors, run, seeded


def test_generate_when_sampling_often_then_frequencies_are_the_probabilities():
    """Both tokens of 6,000 completions, against the exact joint distribution: chi-square below its 99.9 % point."""
    model, prompt, n = cached("qwen3"), make_prompts([6])[0], 6000
    found = run(model, [prompt], samples=n, max_new_tokens=2, temperature=1.5, top_p=0.6, generator=seeded(3))
    chain = processors(Sampling(temperature=1.5, top_p=0.6))
    with torch.no_grad():
        first = chain(None, model(input_ids=torch.tensor([prompt])).logits[:, -1]).softmax(-1)[0]
        texts = torch.tensor([[*prompt, token] for token in range(VOCABULARY)])
        second = chain(None, model(input_ids=texts).logits[:, -1]).softmax(-1)
    expected = {(token,): first[token] if token == EOS else torch.tensor(0.0) for token in range(VOCABULARY)}
    expected |= {(a, b): first[a] * second[a, b] for a in range(VOCABULARY) if a != EOS for b in range(VOCABULARY)}
    counts = dict.fromkeys(expected, 0)
    for tokens in found.completion_ids:
        counts[tuple(tokens)] += 1
    assert all(counts[key] == 0 for key, chance in expected.items() if chance == 0)
    likely = [key for key, chance in expected.items() if chance * n >= 5]
    observed = torch.tensor([counts[key] for key in likely] + [n - sum(counts[key] for key in likely)]).float()
    chances = torch.stack([expected[key] for key in likely])
    wanted = n * torch.cat((chances, 1 - chances.sum()[None]))
    statistic = ((observed - wanted).square() / wanted.clamp(min=1)).sum().item()
    freedom = len(likely)
    assert freedom >= 20
    assert statistic < freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3


def test_sampling_when_settings_are_impossible_then_all_are_named():
    """Every problem in one error, each with what is allowed."""
    with pytest.raises(UserError) as caught:
        Sampling(temperature=-1, top_p=0, top_k=-3, repetition_penalty=0)
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "temperature", "top_p", "top_k", "repetition_penalty"
    ]  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    ties=st.booleans(),
    sampling=st.builds(
        Sampling,
        temperature=st.sampled_from([0.3, 1.0, 2.5]),
        top_k=st.integers(0, 12),
        top_p=st.sampled_from([1e-9, 0.25, 0.5, 0.83, 1.0]),
        repetition_penalty=st.sampled_from([1.0, 0.6, 1.7]),
    ),
)
@example(seed=0, ties=True, sampling=Sampling(top_p=0.5))
@example(seed=0, ties=False, sampling=Sampling(top_p=1e-9))
def test_draw_when_numbers_are_spread_evenly_then_shares_are_the_probabilities(seed, ties, sampling):
    """Evenly spread numbers give each token its share to within one number, and no token of chance 0."""
    generator, n = seeded(seed), 2000
    logits = torch.zeros(1, 8) if ties else 3 * torch.randn(1, 8, generator=generator)
    before = torch.randint(0, 8, (1, 4), generator=generator)
    seen = torch.zeros(1, 8, dtype=torch.bool).scatter_(1, before, True)
    wanted = processors(sampling)(before, logits).log_softmax(-1)[0]
    uniform = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    tokens, scores, _ = draw(logits.expand(n, -1), sampling, seen.expand(n, -1), uniform)
    torch.testing.assert_close(scores, wanted[tokens])
    counts = torch.bincount(tokens, minlength=8)
    assert ((counts - n * wanted.exp()).abs() <= 1 + 1e-3).all()
    assert not counts[wanted == -torch.inf].any()


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-53])
def test_draw_when_the_number_is_at_the_edge_then_an_impossible_token_is_not_chosen(uniform):
    """The first and the last token have no chance here."""
    logits = torch.randn(500, 4, generator=seeded())
    logits[:, [0, 3]] = -torch.inf
    tokens, *_ = draw(logits, Sampling(), None, torch.full((500,), uniform, dtype=torch.float64))
    assert set(tokens.tolist()) == ({1} if uniform == 0 else {2})


def test_random_numbers_when_the_device_has_no_float64_then_the_processor_keeps_them():
    """Apple's mps refuses float64; numbers drawn beforehand are looked up and summed on the processor there."""
    assert exact_device(torch.device("mps")) == "cpu"
    assert exact_device(torch.device("cpu")) == torch.device("cpu")
