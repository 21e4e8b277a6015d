"""Signals in the middle of a run, wherever it is: it ends in time, and resumed it ends with the bytes of one that never was."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import orjson
import pytest

pytest.importorskip("trl")

from grpo.run import main
from grpo.training.answered import Answered, mark_weights
from grpo.training.recorder import RunRecord
from grpo.training.row_order import find_sampler, make_callback
from rewards.extraction.reasoning import PLAIN
from rewards.types import Completion

# Rows that are gone through several times, in the warm-up and in GRPO; evaluations of three batches.
SMALL = (
    "data.shop.train_rows=8", "data.shop.held_out_rows=16", "data.shop.warmup_rows=40", "sft_warmup.max_steps=23",
    "sft_warmup.save_every_steps=7", "model.embedded.layers=1", "model.embedded.hidden_size=32",
    "model.embedded.intermediate_size=32", "model.embedded.heads=2", "model.embedded.kv_heads=1",
    "model.embedded.vocabulary=400", "grpo.max_steps=6", "grpo.prompts_per_step=2", "grpo.num_generations=4",
    "grpo.max_completion_length=12", "grpo.save_every_steps=5", "grpo.learning_rate=0.02", "grpo.log_completions_every=1",
    "evaluation.max_completion_length=12", "evaluation.every_steps=3", "evaluation.batch_size=3",
    "evaluation.max_examples=8", "evaluation.kept_examples=4", "tracking.wandb=off", "threads=1",
)  # fmt: skip
ADAPTERS = ("model.lora={r: 4, alpha: 8, dropout: 0.1, target_modules: all-linear}",)
SECONDS = 30.0  # from the signal to the end: a step or a batch of an evaluation, and a checkpoint; far more than that


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run in this process, from the start or resumed; it gives the exit code."""
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "cache"))

    def go(folder, settings=None) -> int:
        if settings is None:
            return main(["--resume", str(folder), "--quiet"])
        words = ["--config", "v4_1.yaml", "--profile", "embedded", "--quiet", "--run-dir", str(folder)]
        return main([*words, *(word for setting in (*SMALL, *settings) for word in ("--set", setting))])

    return go


@pytest.fixture
def stop_at(monkeypatch):
    """Send this process SIGTERM once: in a step of the warm-up, or after a batch of an evaluation."""
    wanted: list[tuple] = []
    sent: list[float] = []

    def reach(*place) -> None:
        if wanted and wanted[0] == place:
            wanted.clear()
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGTERM)

    measure, add = RunRecord.log_held_out_loss, Answered.add

    def log_held_out_loss(self, step, measured):
        measure(self, step, measured)
        reach("warm-up", step)

    def add_batch(self, places, completions):
        add(self, places, completions)
        asked = orjson.loads(self._head)["of"]
        reach(asked["stage"], asked["step"], len(self.answers) // len(places))

    monkeypatch.setattr(RunRecord, "log_held_out_loss", log_held_out_loss)
    monkeypatch.setattr(Answered, "add", add_batch)

    def stop(*place) -> list[float]:
        wanted[:] = [place]
        return sent

    return stop


def count_scores(folder) -> dict[str, list]:
    """What each reward function did in the whole run."""
    rewards = orjson.loads((folder / "environment.json").read_bytes())["rewards"]
    return {name: [report[key] for key in ("values", "unscored", "errors")] for name, report in rewards.items()}


def read(path) -> bytes | dict | None:
    """All of a file, but for the commands in a decision, which name the folder."""
    if not path.is_file():
        return None
    if path.name == "decision.json":
        return {**orjson.loads(path.read_bytes()), "commands": None}
    return path.read_bytes()


def compare(run, whole) -> list[str]:
    """The files that differ."""
    names = ["metrics.jsonl", "decision.json", "watch.jsonl", "judged.json", "sft/manifest.json"]
    names += [f"{f}/{path.name}" for f in ("eval", "completions", "best", "sft") for path in (whole / f).iterdir()]
    names += [
        str(path.relative_to(whole))
        for path in whole.glob("checkpoints/checkpoint-6/*")
        if path.suffix not in (".json", ".md") and path.name != "training_args.bin"  # which name the folder
    ]
    return [name for name in names if read(run / name) != read(whole / name)]  # fmt: skip


@pytest.mark.parametrize("settings", [(), ADAPTERS], ids=["weights", "lora"])
def test_run_when_stopped_in_many_places_then_it_ends_as_one_that_never_was(run, stop_at, tmp_path, settings, request):
    """The warm-up and every evaluation are left in time and gone on with, not begun again; a checkpoint keeps what waits."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run(whole, settings) == 0
    places = [("warm-up", 12), ("warmup", 0, 1), ("train", 3, 1), ("final", 6, 1)]
    if request.node.callspec.id == "weights":
        places = [("before", 0, 2), *places[:3], ("train", 3, 2), ("judged", None, 1)]
    first = True
    for place in places:
        if place[0] == "judged":
            place = ("judged", orjson.loads((whole / "judged.json").read_bytes())["step"], 1)
        sent = stop_at(*place)
        before = len(sent)
        assert run(stopped, settings if first else None) == 75, place
        assert len(sent) == before + 1, f"{place} was not reached"
        assert time.monotonic() - sent[-1] < SECONDS
        first = False
        if place[0] == "warm-up":
            assert (stopped / "sft-checkpoints" / "checkpoint-13" / "manifest.json").is_file()
        if place == ("train", 3, 1):
            state = orjson.loads((stopped / "checkpoints" / "checkpoint-3" / "trainer_state.json").read_bytes())
            assert state["stateful_callbacks"]["CatchUp"]["attributes"]["postponed"]["step"] == 3
    assert run(stopped) == 0
    assert compare(stopped, whole) == []
    assert count_scores(stopped) == count_scores(whole), "scores of the processes that were stopped count once"
    assert not [*stopped.rglob("*.partial")] and not (stopped / "sft-checkpoints").exists()
    rows = [orjson.loads(line) for line in (stopped / "metrics.jsonl").read_bytes().splitlines()]
    assert [row["stage"] for row in rows if "eval/mean_reward" in row][:3] == ["before", "warmup", "start"]


def test_run_when_a_loss_is_no_number_or_memory_runs_out_then_the_last_good_state_is_kept_and_goes_on(
    run, tmp_path, monkeypatch, capfd
):
    """A watch rule ends it without a checkpoint of what is no number, and keeps the batch; too little memory names a setting."""
    import torch

    from grpo.training.trainer import SharedPrefixTrainer

    folder, step = tmp_path / "run", SharedPrefixTrainer.training_step

    def fail_at(at, make):
        def training_step(self, *given, **named):
            loss = step(self, *given, **named)
            return make(self, loss) if self.state.global_step + 1 == at else loss

        monkeypatch.setattr(SharedPrefixTrainer, "training_step", training_step)

    def spoil(trainer, loss):
        for parameter in trainer.model.parameters():
            if parameter.grad is not None:
                parameter.grad.fill_(float("nan"))
        return loss * float("nan")

    def exhaust(trainer, loss):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    fail_at(4, spoil)
    assert run(folder, ("grpo.save_every_steps=3", "evaluation.every_steps=100")) == 3
    said = "".join(capfd.readouterr())
    assert "loss_not_finite" in said and "not_finite/step-000004.jsonl" in said
    assert "the last good state is checkpoints/checkpoint-3" in said
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["checkpoint-3"]
    batch = (folder / "not_finite" / "step-000004.jsonl").read_bytes().splitlines()
    assert len(batch) == 8 and all(orjson.loads(row)["step"] == 4 for row in batch)
    fail_at(5, exhaust)
    assert run(folder) == 75
    said = "".join(capfd.readouterr())
    assert "error: out of memory: " in said and "grpo.micro_batch_size=" in said and "Traceback" not in said
    assert "the last intact state is checkpoints/checkpoint-3" in said
    monkeypatch.setattr(SharedPrefixTrainer, "training_step", step)
    assert run(folder) == 0
    rows = [orjson.loads(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]
    assert [row["step"] for row in rows if row.get("grad_norm") is not None and row["stage"] == "train"] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_order_of_rows_when_a_later_pass_is_resumed_then_is_the_one_that_pass_has():
    """TRL draws each pass from a generator that goes on: a fresh one would go through the rows as in the first pass."""
    from torch.utils.data import BatchSampler
    from trl.trainer.utils import RepeatSampler

    def make() -> RepeatSampler:
        return RepeatSampler(range(7), mini_repeat_count=2, batch_size=3, seed=5)

    one = make()
    passes = [list(one) for _ in range(3)]
    assert passes[0] != passes[2]
    wrapped = SimpleNamespace(batch_sampler=SimpleNamespace(batch_sampler=BatchSampler(make(), 2, False)))
    callback = make_callback()
    for number in (2, 0, 1):
        callback.on_epoch_begin(None, SimpleNamespace(epoch=float(number)), None, train_dataloader=wrapped)
        assert list(find_sampler(wrapped)) == passes[number]


# -- the answers that are kept -------------------------------------------------------------------------------------------


def test_answers_when_torn_flipped_or_of_another_policy_then_only_what_is_whole_counts(tmp_path):
    """A batch counts when its line is whole; another policy, step or setting starts over."""
    path = tmp_path / "eval" / "answered.partial"
    kept = Answered(path, {"step": 3})
    kept.recall(PLAIN)
    kept.add([1, 0], [Completion("a\u2028b", True), Completion('"')])
    kept.add([2], [Completion("c")])
    lines = path.read_bytes().splitlines(keepends=True)

    def recall(content, asked=None) -> dict:
        path.write_bytes(content)
        again = Answered(path, asked or {"step": 3})
        again.recall(PLAIN)
        return {place: (each.text, each.truncated) for place, each in again.answers.items()}

    first = {1: ("a\u2028b", True), 0: ('"', False)}
    assert recall(b"".join(lines)) == {**first, 2: ("c", False)}
    assert recall(b"".join(lines)[:-5]) == first and path.read_bytes() == b"".join(lines[:2])
    assert recall(b"".join(lines).replace(b'"c"', b'"d"')) == first
    assert recall(b"".join(lines), {"step": 4}) == {} and recall(b"\x00\xff\n") == {}


def test_mark_of_weights_when_one_sampled_number_changes_then_is_another():
    """Two policies that were trained apart are told apart; the same one has the same mark."""
    import torch

    model = torch.nn.Linear(8, 8)
    before = mark_weights(model)
    assert mark_weights(model) == before
    with torch.no_grad():
        model.bias[0] += 1e-6
    assert mark_weights(model) != before
