"""TRL's entropy of the warm-up is that of its own function, from the tokens that count."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sft_warmup.dataset import IGNORED  # noqa: E402
from sft_warmup.train import entropies_of_counted_tokens  # noqa: E402


def test_entropies_when_some_tokens_are_ignored_then_the_others_have_the_same_bits_and_their_sum_too():
    """What TRL's function gives for all of them, times the mask; rows of any chunk, and its own function afterwards."""
    from trl.trainer import sft_trainer

    original = sft_trainer.entropy_from_logits
    draw = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(7, 61, 97, generator=draw)
    labels = torch.randint(0, 97, (7, 61), generator=draw).masked_fill_(
        torch.rand(7, 61, generator=draw) < 0.6, IGNORED
    )
    mask = labels[..., 1:] != IGNORED
    shifted = logits[..., :-1, :]
    wanted = original(shifted) * mask
    with entropies_of_counted_tokens(labels):
        whole = sft_trainer.entropy_from_logits(shifted)
        other = sft_trainer.entropy_from_logits(shifted[:, 1:])
    assert torch.equal(whole * mask, wanted)
    assert (whole * mask).sum().item() == wanted.sum().item()
    assert torch.equal(other, original(shifted[:, 1:]))  # labels that do not fit say nothing
    assert not whole[~mask].any()
    assert sft_trainer.entropy_from_logits is original


def test_entropies_when_measured_then_only_the_tokens_that_count_are_read():
    """Logits of an ignored token may be anything."""
    from trl.trainer import sft_trainer

    logits, labels = torch.zeros(1, 4, 8), torch.tensor([[IGNORED, IGNORED, 3, 4]])
    logits[0, 0] = torch.nan
    with entropies_of_counted_tokens(labels):
        found = sft_trainer.entropy_from_logits(logits[..., :-1, :])
    torch.testing.assert_close(found, torch.tensor([[0.0, 2.0794415, 2.0794415]]))
