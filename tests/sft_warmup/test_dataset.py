"""Demonstrations as tokens and labels."""

from __future__ import annotations

import pytest

from sft_warmup.config import SftWarmupSection
from sft_warmup.dataset import IGNORED, label_rows

# Each character a token; what stands in brackets an assistant wrote.
CONVERSATIONS = ["ab[cd]e[f]", "[xyz]", "no answer that fits in here [q]"]


def encode(text):
    ids, mask, inside = [], [], 0
    for character in text:
        if character in "[]":
            inside = int(character == "[")
            continue
        ids.append(ord(character))
        mask.append(inside)
    return ids, mask


def test_label_rows_when_counted_then_only_assistant_tokens_are_unmasked():
    """Two assistant turns of three tokens in all leave exactly three labels."""
    rows, _ = label_rows(CONVERSATIONS[:2], encode, max_tokens=20)
    unmasked = [[label for label in labels if label != IGNORED] for labels in rows["labels"]]
    assert ["".join(map(chr, labels)) for labels in unmasked] == ["cdf", "xyz"]
    assert all(
        label in (IGNORED, token) for row in rows for label, token in zip(row["labels"], row["input_ids"], strict=True)
    )


def test_label_rows_when_too_long_then_the_row_is_left_out_and_counted():
    """A demonstration is dropped, never cut: a cut answer would teach to stop early."""
    rows, too_long = label_rows(CONVERSATIONS, encode, max_tokens=10)
    assert (len(rows), too_long) == (2, 1)


def test_trainer_when_given_labels_then_its_loss_counts_the_assistant_tokens_alone(tmp_path):
    """The loss of TRL's trainer equals cross entropy over the unmasked tokens, computed by hand."""
    torch = pytest.importorskip("torch")
    from grpo.config.sections import EmbeddedSection, ModelSection
    from grpo.policy.loading import load_policy
    from sft_warmup.train import make_sft_trainer

    shape = EmbeddedSection(layers=1, hidden_size=16, intermediate_size=32, heads=2, kv_heads=1, vocabulary=320)
    policy = load_policy(ModelSection(embedded=shape, lora=None), texts=["a b c"], seed=1, device="cpu")
    messages = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c a"}]
    rows, _ = label_rows([messages, messages], policy.prompts.training_ids, max_tokens=100)
    trainer = make_sft_trainer(
        policy.model, policy.tokenizer, rows, SftWarmupSection(enabled=True, max_steps=1, batch_size=2),
        directory=tmp_path, seed=1, device="cpu", bf16=False, gradient_checkpointing=False,
    )  # fmt: skip
    batch = trainer.data_collator([rows[0], rows[1]])
    assert int((batch["labels"] != IGNORED).sum()) == 2 * (len(policy.tokenizer.encode("c a")) + 1)
    with torch.no_grad():
        logits = policy.model(**{key: batch[key] for key in ("input_ids", "attention_mask")}).logits[:, :-1]
        labels = batch["labels"][:, 1:]
        by_hand = torch.nn.functional.cross_entropy(logits[labels != IGNORED], labels[labels != IGNORED])
        loss = trainer.compute_loss(policy.model, dict(batch))
    assert torch.allclose(loss, by_hand, atol=1e-6)


def test_trainer_when_resumed_from_its_last_step_then_it_takes_none_more(tmp_path):
    """Killed between its last checkpoint and what is made of it; the Trainer alone would take another step first."""
    torch = pytest.importorskip("torch")
    from grpo.config.sections import EmbeddedSection, ModelSection
    from grpo.policy.loading import load_policy
    from sft_warmup.train import make_sft_trainer

    shape = EmbeddedSection(layers=1, hidden_size=16, intermediate_size=32, heads=2, kv_heads=1, vocabulary=320)
    section = SftWarmupSection(
        enabled=True, max_steps=4, batch_size=2, save_every_steps=3, lr_scheduler_type="constant"
    )
    messages = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c a"}]

    def make():
        policy = load_policy(ModelSection(embedded=shape, lora=None), texts=["a b c"], seed=1, device="cpu")
        # Three steps a pass: the fourth is in the middle of the second.
        rows, _ = label_rows([messages] * 6, policy.prompts.training_ids, max_tokens=100)
        return make_sft_trainer(
            policy.model, policy.tokenizer, rows, section, directory=tmp_path, seed=1, device="cpu", bf16=False,
            gradient_checkpointing=False,
        )  # fmt: skip

    whole, resumed = make(), make()
    whole.train()
    resumed.train(str(tmp_path / "checkpoint-4"))
    assert (whole.state.global_step, resumed.state.global_step) == (4, 4)
    ours, theirs = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
