"""What the tests of the evaluation share: a saved policy, the shop's rows, a config, and an evaluation from start to end."""

from __future__ import annotations

import json
import shutil

import pytest

CONFIG = """\
extends: base
evaluation: {temperature: 1.0, max_completion_length: 12, batch_size: 6, seed: 5}
threads: 1
"""


@pytest.fixture(scope="module")
def folder(shop, rows, tmp_path_factory):
    """A saved policy of a few thousand weights, the shop's held-out rows and a config, in one place."""
    pytest.importorskip("torch")
    from grpo.config.sections import EmbeddedSection, ModelSection
    from grpo.policy.loading import load_policy
    from grpo.policy.tokenizer import training_texts

    path = tmp_path_factory.mktemp("evaluate")
    shape = EmbeddedSection(layers=2, hidden_size=32, intermediate_size=64, heads=2, kv_heads=1, vocabulary=400)
    section = ModelSection(embedded=shape, lora=None, max_sequence_length=512)
    load_policy(section, texts=training_texts(rows), seed=1, device="cpu").save(path / "policy")
    (path / "config.yaml").write_text(CONFIG)
    shutil.copy(shop.held_out, path / "rows.jsonl")
    lines = [json.loads(line) for line in (path / "rows.jsonl").read_text().splitlines()]
    for line in lines:
        if "database" in line:
            line["database"] = str(shop.database)
    (path / "rows.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


@pytest.fixture
def arguments(folder, tmp_path):
    """What every call has in common; `--out` comes last, so that the folder is at hand."""
    return ["--model", str(folder / "policy"), "--data", str(folder / "rows.jsonl"), "--config",
            str(folder / "config.yaml"), "--quiet", "--out", str(tmp_path / "out")]  # fmt: skip


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """An evaluation from start to end."""
    from grpo.evaluate.__main__ import main

    out = tmp_path_factory.mktemp("whole") / "whole"
    assert main(["--model", str(folder / "policy"), "--data", str(folder / "rows.jsonl"), "--config",
                 str(folder / "config.yaml"), "--quiet", "--out", str(out)]) == 0  # fmt: skip
    return out


@pytest.fixture
def read():
    """A function from a file to its rows."""
    return lambda path: [json.loads(line) for line in path.read_text().splitlines()]
