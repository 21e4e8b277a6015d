"""Our sampling writes what the model's own `generate` writes, from the same distribution."""

from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessorList,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from grpo.generation.generate import batches, generate
from grpo.generation.kv_cache import arrange
from grpo.generation.sampling import Sampling, draw, exact_device
from grpo.generation.shared_prefixes import find_stems
from rewards.errors import UserError

VOCABULARY, EOS, PAD = 31, 2, 0
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "max_position_embeddings": 128,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
}
MODELS = {
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=True)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)),
    "mistral-window": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=5)),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            **SIZES, sliding_window=6, layer_types=["sliding_attention", "full_attention"], final_logit_softcapping=20.0
        )
    ),
}


def build(name):
    torch.manual_seed(0)
    model = MODELS[name]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(3.0)  # small random weights would let a wrong mask pass
    return model.eval()


cached = cache(build)


def make_prompts(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def run(model, prompts, **options):
    return generate(model, prompts, eos_ids=EOS, pad_id=PAD, **options)


def greedy_of_transformers(model, prompt, steps, ends=EOS, **options):
    ids = torch.tensor([prompt])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=steps, do_sample=False, eos_token_id=ends, **options
    )
    return out[0, len(prompt) :].tolist()


def processed(model, prompt, completion, sampling):
    """Log-probs of each completion token: a plain forward, then the processors of transformers."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0].float()
    found = []
    for place, token in enumerate(completion):
        before = torch.tensor([prompt + completion[:place]])
        scores = processors(sampling)(before, logits[None, len(prompt) + place - 1])
        found.append(scores.log_softmax(-1)[0, token].item())
    return found


def processors(sampling):
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        chain.append(TopPLogitsWarper(sampling.top_p))
    return chain


@pytest.mark.parametrize("penalty", [1.0, 1.4])
@pytest.mark.parametrize("name", MODELS)
def test_generate_when_greedy_then_tokens_are_those_of_transformers(name, penalty):
    """Mixed prompt lengths, a batch that shrinks, windows shorter than the text: token for token the same."""
    model, prompts = cached(name), make_prompts([9, 1, 4, 12, 4, 7])
    wanted = [greedy_of_transformers(model, prompt, 40, repetition_penalty=penalty) for prompt in prompts]
    found = run(model, prompts, samples=1, max_new_tokens=40, temperature=0, repetition_penalty=penalty)
    assert found.completion_ids == wanted
    assert found.logprobs is None
    assert found.truncated == [tokens[-1] != EOS for tokens in wanted]


def test_generate_when_the_penalty_meets_short_prompts_then_padding_does_not_count():
    """A pad token is often one that may be written, so unequal prompts must not make it unlikely."""
    model, prompts = cached("llama"), make_prompts([12, 3])
    options = {"samples": 1, "max_new_tokens": 8, "temperature": 0, "repetition_penalty": 1.9, "eos_ids": EOS}
    wanted = [greedy_of_transformers(model, prompt, 8, repetition_penalty=1.9) for prompt in prompts]
    for pad in wanted[1][:3]:
        assert generate(model, prompts, pad_id=pad, **options).completion_ids == wanted


def test_generate_when_greedy_with_several_samples_then_each_is_the_same():
    """Rows that share a prompt do not disturb each other."""
    model, prompts = cached("qwen3"), make_prompts([5, 8])
    found = run(model, prompts, samples=3, max_new_tokens=20, temperature=0).completion_ids
    wanted = [greedy_of_transformers(model, prompt, 20) for prompt in prompts]
    assert found == [tokens for tokens in wanted for _ in range(3)]


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(MODELS)),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    samples=st.integers(1, 5),
    seed=st.integers(0, 1000),
    sampling=st.builds(
        Sampling,
        temperature=st.sampled_from([0.5, 1.0, 1.7]),
        top_k=st.sampled_from([0, 1, 6, 500]),
        top_p=st.sampled_from([1.0, 0.7]),
        repetition_penalty=st.sampled_from([1.0, 1.3]),
    ),
)
def test_generate_when_sampling_then_logprobs_are_those_of_a_plain_forward(name, lengths, samples, seed, sampling):
    """What is reported is the distribution that was sampled from, whatever the settings and the shape of the batch."""
    model, prompts = cached(name), make_prompts(lengths, seed)
    options = {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
    }
    found = run(model, prompts, samples=samples, max_new_tokens=12, generator=seeded(seed), **options)
    for number, (tokens, logprobs) in enumerate(zip(found.completion_ids, found.logprobs, strict=True)):
        wanted = processed(model, prompts[number // samples], tokens, sampling)
        assert logprobs == pytest.approx(wanted, abs=1e-5)
        assert EOS not in tokens[:-1]
        assert found.truncated[number] == (tokens[-1] != EOS)
        assert len(tokens) == 12 or not found.truncated[number]


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


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 8, 100])
def test_generate_when_batches_differ_then_completions_are_the_same(batch_size, monkeypatch):
    """One number is drawn for each token before anything runs, so batching and compaction cannot move it."""
    model, prompts = cached("llama"), make_prompts([3, 9, 5, 5, 1])
    options = {"samples": 4, "max_new_tokens": 30, "temperature": 1.2}
    wanted = run(model, prompts, generator=seeded(5), **options)
    assert len({len(tokens) for tokens in wanted.completion_ids}) > 5
    monkeypatch.setattr("grpo.generation.batch.PACK_TOKENS_CPU", batch_size)
    found = run(model, prompts, generator=seeded(5), batch_size=batch_size, **options)
    assert found.completion_ids == wanted.completion_ids
    assert run(model, prompts, generator=seeded(6), **options).completion_ids != wanted.completion_ids


def test_generate_when_rows_finish_then_they_leave_the_batch():
    """A finished row costs nothing for long, and a batch that is done stops at once."""
    model, prompts = build("qwen3"), make_prompts([4, 6])
    sizes = []
    model.model.embed_tokens.register_forward_hook(lambda module, args, out: sizes.append(tuple(args[0].shape)))
    options = {"samples": 8, "max_new_tokens": 60, "temperature": 1.3, "pad_id": PAD}
    found = generate(model, prompts, eos_ids={2, 3, 4, 5}, generator=seeded(1), **options)
    longest = max(len(tokens) for tokens in found.completion_ids)
    assert sizes[0] == (1, 10)  # each prompt once, no padding
    assert len(sizes) == longest < 60
    work, needed = sum(rows for rows, _ in sizes[1:]), sum(len(tokens) - 1 for tokens in found.completion_ids)
    assert sizes[1] == (16, 1)
    assert sizes[-1][0] <= 4
    assert work < 1.34 * needed + 16


def test_generate_when_the_model_trains_with_dropout_then_it_samples_without_and_trains_on():
    """Sampling is the evaluation-mode policy; every module's mode is given back, a frozen one's too."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, lora_dropout=0.5)
    model = get_peft_model(build("qwen3"), lora).train()
    frozen = model.get_base_model().model.norm.eval()
    prompts = make_prompts([5, 3])
    found = run(model, prompts, samples=1, max_new_tokens=10, temperature=0).completion_ids
    assert model.training and not frozen.training
    model.eval()
    assert found == [greedy_of_transformers(model, prompt, 10) for prompt in prompts]
    with model.disable_adapter():
        assert found != [greedy_of_transformers(model, prompt, 10) for prompt in prompts]


def test_generate_when_done_then_a_training_step_still_works():
    """Nothing of inference mode or of the routing stays behind."""
    model, prompts = build("mistral"), make_prompts([5])
    before = model.config._attn_implementation
    run(model, prompts, samples=2, max_new_tokens=5, generator=seeded())
    assert model.config._attn_implementation == before
    model(input_ids=torch.tensor(prompts)).logits.sum().backward()


def test_generate_when_there_are_several_ends_then_any_stops_it():
    """Chat models end a turn and a text with different tokens."""
    model, prompts = cached("qwen3"), make_prompts([5])
    free = generate(model, prompts, samples=1, max_new_tokens=9, temperature=0, eos_ids=[], pad_id=PAD)
    assert free.truncated == [True]
    tokens = free.completion_ids[0]
    ends = {tokens[6], tokens[3], VOCABULARY - 1}
    cut = min(place for place, token in enumerate(tokens) if token in ends)
    stopped = generate(model, prompts, samples=1, max_new_tokens=9, temperature=0, eos_ids=ends, pad_id=PAD)
    assert stopped.completion_ids == [tokens[: cut + 1]]
    assert stopped.truncated == [False]


def test_generate_when_there_are_no_prompts_then_nothing_is_written():
    """An empty evaluation set is no error here."""
    assert run(cached("qwen3"), [], samples=2, max_new_tokens=3, temperature=0).completion_ids == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "at least 1"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"generator": None}, "needs a generator"),
        ({"prompts": [[3], []]}, "without tokens"),
    ],
)
def test_generate_when_called_wrongly_then_it_says_so(options, message):
    """A mistake of the caller is found before any forward."""
    options = {"prompts": [[3]], "samples": 1, "max_new_tokens": 1, "generator": seeded()} | options
    with pytest.raises(ValueError, match=message):
        run(cached("qwen3"), options.pop("prompts"), **options)


def test_sampling_when_settings_are_impossible_then_all_are_named():
    """Every problem in one error, each with what is allowed."""
    with pytest.raises(UserError) as caught:
        Sampling(temperature=-1, top_p=0, top_k=-3, repetition_penalty=0)
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "temperature", "top_p", "top_k", "repetition_penalty"
    ]  # fmt: skip


def test_generate_when_a_layer_cannot_be_reached_then_it_refuses():
    """A patched attention would write without seeing the prompt."""
    model = build("qwen3")
    model.model.layers[0].self_attn.forward = lambda hidden_states, **kwargs: (hidden_states, None)
    with pytest.raises(RuntimeError, match="1 of 2 attention layers"):
        run(model, [[3, 4]], samples=1, max_new_tokens=2, temperature=0)


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


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any), st.integers(1, 300), st.integers(1, 300))
def test_arrange_when_rows_are_left_then_each_has_one_place_and_no_size_is_cheaper(sizes, row_cost, prompt_cost):
    """Chunks are of one size, hold rows of one group, and cost least."""
    groups = [[100 * group + i for i in range(size)] for group, size in enumerate(sizes)]
    sources, chunks = arrange(groups, row_cost, prompt_cost)
    assert len({len(chunk) for chunk in chunks}) == 1
    assert all(chunk[0] is not None for chunk in chunks)
    placed = [(group, row) for group, chunk in zip(sources, chunks, strict=True) for row in chunk if row is not None]
    assert placed == [(group, row) for group, rows in enumerate(groups) for row in rows]
    costs = [sum(-(-n // size) for n in sizes) * (size * row_cost + prompt_cost) for size in range(1, 10)]
    assert len(chunks) * (len(chunks[0]) * row_cost + prompt_cost) == min(costs)


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 6), st.one_of(st.none(), st.integers(1, 9)))
def test_batches_when_cut_then_each_completion_is_in_one_and_none_is_too_large(lengths, samples, batch_size):
    """Every completion is written once, next to its prompt, within the limit."""
    found = batches(lengths, samples, batch_size)
    pairs = [(p, n) for prompts, rows in found for p, part in zip(prompts, rows, strict=True) for n in part]
    assert sorted(n for _, n in pairs) == list(range(len(lengths) * samples))
    assert all(n // samples == p for p, n in pairs)
    limit = batch_size or len(lengths) * samples
    assert all(sum(map(len, rows)) <= limit for _, rows in found)
    order = [lengths[p] for p, _ in pairs]
    assert order == sorted(order, reverse=True)


def make_prompts_with_stems(stems, tails, seed=0):
    """Prompts of which each begins with one of the stems (given by their lengths; 0 is none), in a mixed order."""
    generator = torch.Generator().manual_seed(seed)
    starts = make_prompts([n or 1 for n in stems], seed=seed + 1)
    prompts = []
    for number, tail in enumerate(tails):
        start = starts[number % len(stems)] if stems[number % len(stems)] else []
        prompts.append(start + torch.randint(3, VOCABULARY, (tail,), generator=generator).tolist())
    return prompts


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("name", ["qwen3", "llama", "mistral-window"])
def test_generate_when_prompts_share_their_beginnings_then_tokens_are_those_of_transformers(name, batch_size):
    """Stems of unlike length, prompts without one, a prompt that is another's beginning, a batch that shrinks."""
    model, prompts = cached(name), make_prompts_with_stems([30, 0, 18], [3, 6, 1, 9, 2, 4, 1, 5, 7, 2, 8, 3], seed=4)
    prompts += [prompts[0], prompts[0] + [5, 6]]
    ends = [2, 7, 11, 13, 19]
    wanted = [greedy_of_transformers(model, prompt, 30, ends, repetition_penalty=1.3) for prompt in prompts]
    assert len({len(tokens) for tokens in wanted}) > 2
    found = generate(
        model, prompts, samples=1, max_new_tokens=30, temperature=0, repetition_penalty=1.3, eos_ids=ends, pad_id=PAD,
        batch_size=batch_size,
    )  # fmt: skip
    assert found.completion_ids == wanted


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    stems=st.lists(st.one_of(st.just(0), st.integers(16, 24)), min_size=1, max_size=3),
    tails=st.lists(st.integers(1, 9), min_size=2, max_size=7), samples=st.integers(1, 4), seed=st.integers(0, 1000),
)  # fmt: skip
def test_generate_when_stems_are_of_any_shape_then_logprobs_are_those_of_a_plain_forward(stems, tails, samples, seed):
    """Whatever is shared, what is reported is the model's own distribution."""
    model, prompts = cached("qwen3"), make_prompts_with_stems(stems, tails, seed)
    found = run(model, prompts, samples=samples, max_new_tokens=14, temperature=1.3, generator=seeded(seed))
    for number, (tokens, logprobs) in enumerate(zip(found.completion_ids, found.logprobs, strict=True)):
        wanted = processed(model, prompts[number // samples], tokens, Sampling(temperature=1.3))
        assert logprobs == pytest.approx(wanted, abs=1e-5)


def test_generate_when_prompts_share_their_beginnings_then_these_are_read_once():
    """A page of instructions passes through the model once a batch, not once a prompt."""
    model, prompts = build("qwen3"), make_prompts_with_stems([40, 25], [3, 4, 5, 6])
    seen = []
    model.model.embed_tokens.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    run(model, prompts, samples=2, max_new_tokens=2, temperature=0)
    assert seen == [40 + 25, 3 + 5 + 4 + 6, 1]


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_generate_when_asked_then_entropies_are_those_of_the_unfiltered_distribution(penalty):
    """As TRL measures it: at the temperature, before any filter."""
    model, prompts = cached("qwen3"), make_prompts([7, 4])
    filters = {"top_k": 5, "top_p": 0.9} if penalty != 1.0 else {}
    found = run(
        model, prompts, samples=3, max_new_tokens=9, temperature=0.8, repetition_penalty=penalty, generator=seeded(1),
        entropies=True, **filters,
    )  # fmt: skip
    for number, (tokens, entropies) in enumerate(zip(found.completion_ids, found.entropies, strict=True)):
        prompt = prompts[number // 3]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1] / 0.8
        wanted = torch.distributions.Categorical(logits=logits).entropy()
        torch.testing.assert_close(torch.tensor(entropies), wanted, atol=1e-5, rtol=0)


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=8), max_size=10))
def test_find_stems_when_prompts_begin_alike_then_runs_share_what_they_say(prompts):
    """Every prompt is in one run, begins with what its run shares, and has a token of its own."""
    runs = find_stems(prompts, least=2)
    assert sorted(number for _, members in runs for number in members) == list(range(len(prompts)))
    for shared, members in runs:
        assert (shared >= 2) == (len(members) > 1)
        assert len({tuple(prompts[number][:shared]) for number in members}) == 1
        assert all(len(prompts[number]) > shared for number in members)


def test_find_stems_when_tasks_have_their_own_instructions_then_each_is_a_run():
    """The few tokens that all tasks share do not join them."""
    tasks = [[9, 9, 9, *range(100 * task, 100 * task + 40)] for task in range(3)]
    prompts = [tasks[number % 3] + [5000 + number] for number in range(9)]
    assert sorted(find_stems(prompts)) == [(43, [0, 3, 6]), (43, [1, 4, 7]), (43, [2, 5, 8])]


def test_batches_when_prompts_begin_alike_then_they_stay_together():
    """A batch boundary falls between stems where it can."""
    found = batches([9, 4, 8, 5, 9, 3], 1, 2, [(3, [0, 1]), (2, [2, 5]), (0, [3]), (0, [4])])
    assert [prompts for prompts, _ in found] == [[0, 1], [4, 2], [5, 3]]


def test_random_numbers_when_the_device_has_no_float64_then_the_processor_keeps_them():
    """Apple's mps refuses float64; numbers drawn beforehand are looked up and summed on the processor there."""
    assert exact_device(torch.device("mps")) == "cpu"
    assert exact_device(torch.device("cpu")) == torch.device("cpu")
