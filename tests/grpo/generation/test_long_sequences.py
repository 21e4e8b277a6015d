"""Prompts beyond four thousand tokens, with a window and without one: what is written and what the loss reads are exact."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from grpo.generation.generate import generate  # noqa: E402
from grpo.policy.shared_prefix import grouped_logps  # noqa: E402
from tests.grpo.generation.test_decoder import build  # noqa: E402

PROMPTS, SAMPLES, MOST = (4300, 1030, 4300), 2, 6


def make_prompts() -> list[list[int]]:
    """Two that share their first 4,200 tokens, and one that is shorter than they and longer than the window."""
    tokens = torch.randint(3, 61, (2, max(PROMPTS)), generator=torch.Generator().manual_seed(0)).tolist()
    return [tokens[0], tokens[1][:1030], [*tokens[0][:4200], *tokens[1][:100]]]


@pytest.mark.parametrize("window", [None, 1000])
def test_prompts_when_beyond_4k_then_written_and_read_numbers_are_those_of_each_text_alone(window):
    """The window ends inside the prompt, and its blocks of 1,024 queries are several."""
    model = build("mistral", num_hidden_layers=2, max_position_embeddings=8192, sliding_window=window)
    prompts = make_prompts()
    written = generate(
        model, prompts, samples=SAMPLES, max_new_tokens=MOST, eos_ids=[2], pad_id=0, batch_size=6,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    texts = [(prompts[n // SAMPLES], completion) for n, completion in enumerate(written.completion_ids)]
    width, longest = max(PROMPTS), max(len(completion) for _, completion in texts)
    ids, mask = (torch.zeros(len(texts), width + longest, dtype=torch.long) for _ in range(2))
    alone = []
    with torch.no_grad():
        for row, (prompt, completion) in enumerate(texts):
            ids[row, width - len(prompt) : width + len(completion)] = torch.tensor([*prompt, *completion])
            mask[row, width - len(prompt) : width + len(completion)] = 1
            logits = model(
                input_ids=torch.tensor([[*prompt, *completion]]), use_cache=False, logits_to_keep=len(completion) + 1
            ).logits[0, :-1]
            alone.append(logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0].tolist())
        read, _ = grouped_logps(model, ids[:, :width], mask[:, :width], ids[:, width:], mask[:, width:])
    for row, wanted in enumerate(alone):
        assert written.logprobs[row] == pytest.approx(wanted, abs=1e-4)
        assert read[row, : len(wanted)].tolist() == pytest.approx(wanted, abs=1e-4)
