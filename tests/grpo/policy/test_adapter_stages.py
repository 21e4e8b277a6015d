"""Adapters as what they are: trained on from where they stand, or merged below a new one, and never begun again unseen."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("trl")

from callbacks.progress import Progress  # noqa: E402
from callbacks.tracking.tracking import Tracker  # noqa: E402
from grpo.config.loading import load_config  # noqa: E402
from grpo.config.sections import EmbeddedSection  # noqa: E402
from grpo.data.run_rows import load_inputs  # noqa: E402
from grpo.lifecycle.run_directory import RunDirectory  # noqa: E402
from grpo.policy.embedded import make_model, make_tokenizer  # noqa: E402
from grpo.policy.tokenizer import training_texts  # noqa: E402
from grpo.training.stages import Stages  # noqa: E402
from rewards.config import build_host  # noqa: E402
from rewards.errors import UserError  # noqa: E402

SETTINGS = (
    "stages=[sft]", "data.shop.train_rows=40", "data.shop.held_out_rows=8", "data.shop.instructions=short",
    "data.shop.size=small", "sft_warmup.max_steps=12", "sft_warmup.batch_size=4", "sft_warmup.learning_rate=0.02",
    "sft_warmup.epochs=null", "model.max_sequence_length=512", "model.lora={r: 4, alpha: 8, target_modules: all-linear}",
    "grpo.max_completion_length=16", "evaluation.temperature=0.0", "tracking.wandb=off", "model.device=cpu",
)  # fmt: skip


@pytest.fixture
def start(tmp_path, monkeypatch):
    """What makes the stages of a run on a model of its own, saved as any other."""
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "cache"))
    rows = load_inputs(load_config("v4_1", SETTINGS, "gpu"))
    shape = EmbeddedSection(layers=1, hidden_size=32, intermediate_size=64, heads=2, kv_heads=1, vocabulary=400)
    tokenizer = make_tokenizer(training_texts(rows.taught), shape)
    make_model(tokenizer, shape, context=512, seed=3).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    trackers = []

    def make(name, model, *settings) -> Stages:
        config = load_config("v4_1", [*SETTINGS, f"model.name={model}", *settings], "gpu")
        directory = RunDirectory(tmp_path / name)
        directory.path.mkdir()
        trackers.append(Tracker(directory.path, config.tracking))
        asked = type("Nobody", (), {"requested": False})()
        return Stages(
            config, rows, build_host(config.rewards), directory, trackers[-1], Progress(quiet=True), asked, "cpu"
        )

    yield make
    for tracker in trackers:
        tracker.close()


def answers(stages: Stages, stage: str) -> list[str]:
    path = stages.directory.evaluations / f"{stage}.jsonl"
    return [json.loads(line)["completion"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("how", ["continue", "stack"])
def test_stage_2_when_it_starts_from_an_adapter_then_its_first_evaluation_is_stage_1s_last(start, tmp_path, how):
    """Word for word, and the held-out loss too: nothing of the adapter is lost, however it is taken up."""
    first = start("one", tmp_path / "base")
    first.make_policy()
    first.evaluate("before", 0)
    first.warm_up()
    last = first.evaluate("final", 12)
    assert answers(first, "before") != answers(first, "final"), "stage 1 changed nothing"
    second = start("two", first.directory.sft, f"model.adapter={how}")
    second.make_policy()
    assert second.evaluate("before", 0) == last
    assert answers(second, "before") == answers(first, "final")
    weights = second.record.policy
    assert 0 < weights["trainable_parameters"] < weights["parameters"]
    second.warm_up()
    saved = json.loads((second.directory.sft / "adapter_config.json").read_text())
    wanted = tmp_path / "base" if how == "continue" else next((tmp_path / "cache").glob("merged-*"))
    assert saved["base_model_name_or_path"] == str(wanted)


def test_adapter_when_it_should_be_stacked_on_four_bits_then_it_is_refused(start, tmp_path):
    """A merge into quantised weights would round it."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x", "r": 4})
    )
    (folder / "adapter_model.safetensors").write_bytes(b"")
    stages = start("run", folder, "model.adapter=stack", "model.quantization=nf4")
    with pytest.raises(UserError, match="4-bit weights cannot take it up exactly"):
        stages.make_policy()
