"""A generation batch on its way through TRL's method and ours, step by step: no model, numbers worked out by hand."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from trl import GRPOTrainer  # noqa: E402

from grpo.training import trainer as module  # noqa: E402
from grpo.training.dynamic_sampling import Rollouts  # noqa: E402
from grpo.training.step import Step  # noqa: E402
from tests.grpo.training.made_trainer import make  # noqa: E402

REWARDS = (0.5, 0.5, 0.5, 0.5, 0.0, 1.0, 0.5, 0.5)
ROWS = [{"row": number // 4} for number in range(8)]


def write(monkeypatch, *, old=True, fails=False, entropies=True, **changes):
    """A trainer whose TRL gives two groups of four a batch; what it said, and what was recorded."""
    said, recorded = [], []
    monkeypatch.setattr(module, "unparsed_responses", lambda tokenizer: nullcontext())
    monkeypatch.setattr(module, "gather", lambda values: values)

    def generate(self, inputs):
        said.append(("trl", [each["row"] for each in inputs], self.now.defers_logps, self.now.is_drawn))
        if fails:
            raise KeyError
        self.now.scored = [SimpleNamespace(reward=reward) for reward in REWARDS]
        self.now.rollouts = Rollouts([[1]] * 8, None, [[0.25, 0.5]] * 8 if entropies else None)
        self._metrics["train"].update({"reward": [9.0], "reward_std": [9.0]})
        mask = torch.ones(8, 2, dtype=torch.long)
        mask[7] = 0
        output = {"advantages": torch.arange(8) + 1.0, "completion_ids": torch.zeros(8, 2), "completion_mask": mask}
        return output | ({"old_per_token_logps": "zeros"} if old else {})

    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", generate)
    trainer = make(_sums_rewards=True, _record=lambda *given: recorded.append(given), **changes)
    trainer.seconds["loss"] = 3.0
    trainer.now.is_drawn = True
    trainer._logps_of_busy_rows = lambda batch: said.append(("busy", batch["advantages"].tolist())) or "logps"
    return trainer, said, recorded


def test_batch_when_it_is_trained_on_then_flat_groups_have_no_advantage_and_the_rest_of_the_loss_is_ready(monkeypatch):
    """Log-probabilities wait until the advantages are known, and are taken of those alone that have one."""
    trainer, said, recorded = write(monkeypatch)
    output = trainer._generate_and_score_completions(ROWS)
    assert output["advantages"].tolist() == [0, 0, 0, 0, 5, 6, 7, 8]
    assert said == [("trl", [0, 0, 0, 0, 1, 1, 1, 1], True, False), ("busy", [0, 0, 0, 0, 5, 6, 7, 8])]
    assert output["entropies"].tolist() == [[0.25, 0.5]] * 7 + [[0.0, 0.0]]  # none where a completion is masked
    assert output["old_per_token_logps"] == "logps" and output["numbers"].tolist() == list(range(8))
    # Four are idle, and one has no token left.
    assert trainer._metrics["train"]["completions/skipped_ratio"] == [5 / 8]
    assert trainer._metrics["train"]["reward"] == [9.0]
    ((step, scored, groups, advantages),) = recorded
    assert (step, groups, advantages) == (6, [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 5, 6, 7, 8])
    assert [each.reward for each in scored] == list(REWARDS)
    assert not trainer.now.defers_logps and not trainer.now.is_drawn and trainer.seconds["loss"] == 3.0


@pytest.mark.parametrize(("rounds", "rows"), [(2, [1, 1, 1, 1, 0, 0, 0, 0]), (0, [0, 0, 0, 0, 1, 1, 1, 1])])
def test_batch_when_groups_may_be_replaced_then_trl_is_given_what_was_drawn(monkeypatch, rounds, rows):
    """Before it writes anything."""
    trainer, said, _ = write(monkeypatch, dynamic_sampling=rounds)
    trainer._draw_until_rewards_differ = lambda inputs: inputs[::-1]
    trainer._generate_and_score_completions(ROWS)
    assert said[0][1] == rows


@pytest.mark.parametrize(
    ("changes", "deferred", "has_entropies"),
    [
        ({}, True, True),
        ({"use_vllm": True}, False, True),
        ({"beta": 0.1}, False, False),
        ({"fallback": "x"}, False, False),
    ],
    ids=str,
)
def test_logps_when_every_row_is_read_or_vllm_writes_then_they_do_not_wait(
    monkeypatch, changes, deferred, has_entropies
):
    """TRL's own stand then; entropies are kept only where rows may be left out."""
    trainer, said, _ = write(monkeypatch, **changes)
    output = trainer._generate_and_score_completions(ROWS)
    assert said[0][2] is deferred and len(said) == 1 + deferred
    assert output["old_per_token_logps"] == ("logps" if deferred else "zeros")
    assert ("entropies" in output) is has_entropies and "numbers" in output


def test_logps_when_trl_needs_none_or_nobody_measured_entropies_then_none_are_made(monkeypatch):
    """One step a batch: every ratio is 1."""
    trainer, said, _ = write(monkeypatch, old=False)
    assert "old_per_token_logps" not in trainer._generate_and_score_completions(ROWS) and len(said) == 1
    trainer, _, _ = write(monkeypatch, entropies=False)
    assert "entropies" not in trainer._generate_and_score_completions(ROWS)


def test_batch_when_nobody_trains_then_it_is_recorded_as_trl_made_it(monkeypatch):
    """An evaluation of TRL's: no draw, no waiting, nothing added."""
    trainer, said, recorded = write(monkeypatch, model=SimpleNamespace(training=False), dynamic_sampling=2)
    output = trainer._generate_and_score_completions(ROWS)
    assert set(output) == {"advantages", "completion_ids", "completion_mask", "old_per_token_logps"}
    assert output["advantages"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8] and said == [
        ("trl", [0] * 4 + [1] * 4, False, False)
    ]
    assert len(recorded) == 1 and "completions/skipped_ratio" not in trainer._metrics["train"]


def test_batch_when_functions_are_normalised_apart_then_the_advantages_are_trls_and_the_mean_is_ours(monkeypatch):
    """GDPO: a group whose sums are equal may still have advantages."""
    trainer, _, _ = write(monkeypatch)
    trainer._sums_rewards = False
    assert trainer._generate_and_score_completions(ROWS)["advantages"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert trainer._metrics["train"]["reward"] == [0.5]


def test_batch_when_it_fails_then_nothing_is_left_waiting(monkeypatch):
    """The next one begins afresh."""
    trainer, _, recorded = write(monkeypatch, fails=True)
    with pytest.raises(KeyError):
        trainer._generate_and_score_completions(ROWS)
    assert not trainer.now.defers_logps and not trainer.now.is_drawn and recorded == []


# -- dynamic sampling -------------------------------------------------------------------------------------------------------


def test_draw_when_rows_are_replaced_then_trl_is_given_the_rows_in_the_end(monkeypatch):
    """Of this process, with the settings of the run; TRL finds them written and scored."""
    asked = {}

    def draw(rows, write, gather, **settings):
        asked.update(rows=rows, write=write, gathered=gather(torch.tensor([1.0])).tolist(), **settings)
        return SimpleNamespace(rollouts="rollouts", scored="scored", rows=[2, 1], metrics=lambda: {"rounds": 2.0})

    monkeypatch.setattr(module, "draw_until_rewards_differ", draw)
    monkeypatch.setattr(module, "gather", lambda values: values + 1)
    trainer = make(
        dynamic_sampling=3, _examples=list("abcdefg"), train_dataset=[{"row": n, "prompt": "p"} for n in range(5)]
    )
    trainer.accelerator.process_index = 2
    found = trainer._draw_until_rewards_differ([{"row": 4}, {"row": 1}])
    assert found == [{"row": 2, "prompt": "p"}, {"row": 1, "prompt": "p"}]
    assert asked == {
        "rows": [4, 1], "write": trainer._draw_together, "gathered": [2.0], "first": 4, "num_generations": 4, "examples": 7,
        "most_rounds": 3, "seed": 3, "step": 5,
    }  # fmt: skip
    assert (trainer.now.rollouts, trainer.now.scored, trainer.now.is_drawn) == ("rollouts", "scored", True)
    assert trainer._metrics["train"]["rounds"] == [2.0]


def test_draw_when_a_process_has_no_rows_then_it_takes_part_all_the_same(monkeypatch):
    """Sharded weights are gathered by all processes or none."""
    inside, said = [], []

    class Whole:
        def __enter__(self):
            inside.append(1)

        def __exit__(self, *_):
            inside.pop()

    monkeypatch.setattr(module, "whole_weights", lambda model, trainer, gather: Whole())
    monkeypatch.setattr(module, "together", lambda work: said.append(len(inside)) or work())
    trainer = make(_draw=lambda *given: given)
    assert trainer._draw_together([3], 1, 4) == ([3], 1, 4)
    assert trainer._draw_together([], 1, 4) == (None, [])
    assert said == [1, 1] and not inside


def test_draw_when_rows_are_written_then_each_prompt_is_rendered_once_and_the_round_is_said():
    """Two completions of one row, one of another."""
    asked, rendered = {}, []

    def write(ids, images, fields, generations, **settings):
        asked.update(ids=ids, rest=(images, fields, generations), **settings)
        return Rollouts([[7], [8], [9]], None, None)

    prompts = SimpleNamespace(prompt_ids=lambda prompt: rendered.append(prompt) or [len(prompt)])
    trainer = make(_policy=SimpleNamespace(prompts=prompts), _write=write)
    trainer._examples = [SimpleNamespace(prompt="a"), SimpleNamespace(prompt="bb")]
    trainer._score_completions = lambda rows, ids: (rows, ids)
    rollouts, scored = trainer._draw([1, 1, 0], 2, 6)
    assert asked == {"ids": [[2], [2], [1]], "rest": (None, {}, 4), "attempt": 2, "before": 6}
    assert scored == ([1, 1, 0], rollouts.completion_ids) and sorted(rendered) == ["a", "bb"]


@pytest.mark.parametrize(
    ("changes", "gathers"), [({}, True), ({"use_vllm": True}, False), ({"fallback": "a reason"}, False)], ids=str
)
def test_completions_when_trl_asks_for_them_then_they_are_written_once(monkeypatch, changes, gathers):
    """What dynamic sampling wrote is handed over; TRL's ways of writing gather sharded weights themselves."""
    calls = []
    monkeypatch.setattr(module, "whole_weights", lambda *given: calls.append("whole") or nullcontext())
    trainer = make(**changes)
    trainer._write = lambda *given, **named: calls.append((given, named)) or Rollouts([[5]], [[-1.0]], None)
    assert trainer._generate_single_turn([[1]], None, {}, 4, True, x=1) == ([[5]], [[-1.0]])
    assert calls == [*(["whole"] if gathers else []), (([[1]], None, {}, 4, True), {"x": 1})]
    trainer.now = Step(rollouts=Rollouts([[6]], None, None), is_drawn=True)
    assert trainer._generate_single_turn([[1]], None, {}, 4) == ([[6]], None) and len(calls) == 1 + gathers


def test_logps_when_they_waited_then_those_of_idle_rows_are_not_run():
    """In passes of as many completions as a micro-batch has, without gradients."""
    asked = []
    trainer = make(
        _run=lambda *given, **named: asked.append((given, named, torch.is_grad_enabled())) or ("logps", None)
    )
    batch = {"prompt_ids": 1, "prompt_mask": 2, "completion_ids": 3, "completion_mask": 4, "entropies": 5,
             "advantages": torch.tensor([0.0, 1.0])}  # fmt: skip
    assert trainer._logps_of_busy_rows(batch) == "logps"
    ((given, named, learns),) = asked
    assert given[1:5] == (1, 2, 3, 4) and given[5].tolist() == [True, False]
    assert named == {"batch_size": 8} and not learns
