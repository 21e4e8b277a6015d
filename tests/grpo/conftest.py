"""What the tests of the training stages share: a policy of a few thousand weights and rows of the shop."""

from __future__ import annotations

import pytest

from grpo.config.sections import EmbeddedSection, ModelSection

TINY = EmbeddedSection(layers=2, hidden_size=32, intermediate_size=64, heads=2, kv_heads=1, vocabulary=400)


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """The files of a small shop, with short instructions and warm-up rows."""
    from grpo.data.section import ShopSection
    from grpo.data.shop import build_shop

    section = ShopSection(train_rows=60, held_out_rows=24, warmup_rows=80, instructions="short")
    return build_shop(tmp_path_factory.mktemp("shop") / "files", section)


@pytest.fixture(scope="session")
def rows(shop):
    """The small shop's training rows."""
    from grpo.data.rows import read_rows

    return read_rows(shop.train)


@pytest.fixture
def policy(rows):
    """An untrained policy whose tokenizer knows the rows."""
    from grpo.policy.loading import load_policy
    from grpo.policy.tokenizer import training_texts

    section = ModelSection(embedded=TINY, lora=None, max_sequence_length=512)
    return load_policy(section, texts=training_texts(rows), seed=1, device="cpu")
