"""What the trainer hands to TRL and to our own parts before the loss, method by method: no model, numbers worked out by hand."""

from __future__ import annotations

from math import sqrt
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from trl import GRPOTrainer  # noqa: E402

from grpo.training import trainer as module  # noqa: E402
from grpo.training.dynamic_sampling import Rollouts  # noqa: E402
from grpo.training.step import Step  # noqa: E402
from tests.grpo.training.made_trainer import make  # noqa: E402

# -- which completions cost nothing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "skips"),
    [
        ({}, True),
        ({"fallback": "a reason"}, False),
        ({"beta": 0.1}, False),
        ({"_entropy_bonus_enabled": True}, False),
        ({"aux_loss_enabled": True}, False),
        ({"top_entropy_quantile": 0.8}, False),
        ({"loss_type": "vespo"}, True),
        ({"loss_type": "vespo", "num_iterations": 2}, False),
        ({"loss_type": "vespo", "use_vllm": True}, False),
        ({"num_iterations": 2, "use_vllm": True}, True),
    ],
    ids=str,
)
def test_skipping_when_a_loss_has_more_than_the_advantage_then_every_completion_is_read(changes, skips):
    """Each of these gives a completion without an advantage a gradient or a number of its own."""
    assert make(**changes)._skips is skips


def test_idle_when_entropies_are_not_known_or_all_are_read_then_no_row_is():
    """A row is idle where its advantage is exactly 0."""
    advantages = torch.tensor([0.0, 1e-30, -0.5, -0.0])
    assert make()._find_idle({"advantages": advantages, "entropies": 1}).tolist() == [True, False, False, True]
    assert make()._find_idle({"advantages": advantages}) is None
    assert make(beta=0.1)._find_idle({"advantages": advantages, "entropies": 1}) is None


@pytest.mark.parametrize(
    ("changes", "batch", "share"),
    [
        ({}, {"entropies": 1}, 0.75),  # the first two are idle, the third is masked
        ({}, {}, 0.25),
        ({"fallback": "a reason"}, {"entropies": 1}, 0.0),
    ],
    ids=str,
)
def test_share_when_rows_are_idle_or_masked_then_both_count_once(changes, batch, share, monkeypatch):
    """Rows: idle, idle, masked, at work. Where the prefix is not shared every row is read."""
    monkeypatch.setattr(module, "gather", lambda values: values)
    trainer = make(**changes)
    rows = {
        "advantages": torch.tensor([0.0, 0.0, 1.0, 1.0]),
        "completion_mask": torch.tensor([[1, 0], [1, 1], [0, 0], [1, 1]]),
    }
    trainer._count_idle(rows | batch)
    assert trainer._metrics["train"]["completions/skipped_ratio"] == [share]


# -- rewards ----------------------------------------------------------------------------------------------------------------


def scored(*rewards):
    return [SimpleNamespace(reward=reward) for reward in rewards]


def test_mean_when_functions_are_normalised_apart_then_the_rewards_are_logged_as_ours(monkeypatch):
    """TRL's last numbers are replaced: the mean and the spread of what could be scored."""
    monkeypatch.setattr(module, "gather", lambda values: values)
    trainer = make(now=Step(scored=scored(0.0, None, 1.0)))
    trainer._metrics["train"].update({"reward": [0.1, 0.3, 9.0], "reward_std": [0.2, 0.4, 9.0]})
    trainer._log_weighted_means()
    assert trainer._metrics["train"]["reward"] == [0.1, 0.3, 0.5]
    assert trainer._metrics["train"]["reward_std"] == [0.2, 0.4, pytest.approx(sqrt(0.5))]


@pytest.mark.parametrize(
    ("process", "flat"), [(0, [True, True, True, True]), (1, [False, False, False, False]), (2, [True] * 4)]
)
def test_groups_when_processes_hold_parts_of_them_then_each_knows_its_own_rows(process, flat, monkeypatch):
    """Twelve rewards of three processes, four a group: the first and the third have no two different ones."""
    whole = torch.tensor([0.5] * 4 + [0.0, 1.0, 0.5, 0.5] + [1.0] * 4)
    monkeypatch.setattr(module, "gather", lambda values: whole)
    trainer = make(accelerator=SimpleNamespace(device=torch.device("cpu"), process_index=process))
    trainer.now.scored = scored(*whole[4 * process : 4 * process + 4].tolist())
    assert trainer._flat_rows(4).tolist() == flat


def test_completions_when_scored_then_those_without_an_end_are_truncated():
    """An end of a turn or padding is an end; the example is that of the row."""
    asked = []
    trainer = make(
        _examples=["zero", "one"], _host=SimpleNamespace(score=lambda pairs: asked.extend(pairs) or ["x"] * len(pairs))
    )
    trainer._policy = SimpleNamespace(
        prompts=SimpleNamespace(completion=lambda ids, truncated: (tuple(ids), truncated))
    )
    trainer._tokenizer.pad_token_id = 9
    assert trainer._score_completions([1, 0, 1], [[5, 7, 2], [2, 2, 5], [5, 9]]) == ["x"] * 3
    assert asked == [("one", ((5, 7, 2), False)), ("zero", ((2, 2, 5), True)), ("one", ((5, 9), False))]
    assert 0 < trainer.seconds["scoring"] < 60


def test_rewards_when_trl_asks_then_they_are_judged_once_and_logged(monkeypatch):
    """What dynamic sampling has scored already is not scored again."""
    monkeypatch.setattr(module, "together", lambda work: work())
    logged, calls = [], []
    trainer = make()
    trainer._score_completions = lambda rows, ids: calls.append((rows, ids)) or scored(0.5, None)
    monkeypatch.setattr(Step, "log_rewards", lambda self, log: logged.append(log))
    assert trainer._score(["text"] * 2, [[1], [2]], [7, 8], "log") == [0.5, None]
    assert calls == [([7, 8], [[1], [2]])] and logged == ["log"]
    trainer.now.is_drawn = True
    assert trainer._score(["text"] * 2, [[1], [2]], [7, 8], "log") == [0.5, None]
    assert len(calls) == 1 and len(logged) == 2


# -- prompts and completions ------------------------------------------------------------------------------------------------


def test_prompts_when_trl_repeats_them_then_each_is_rendered_once_and_none_shares_its_list():
    """Only with the one before it is a prompt compared; what one row does to its list the others do not see."""
    rendered = []
    trainer = make(
        _policy=SimpleNamespace(prompts=SimpleNamespace(prompt_ids=lambda p: rendered.append(p) or [len(p)]))
    )
    ids, images, fields = trainer._tokenize_prompts(["a", "a", "bb", "a"])
    assert (ids, images, fields) == ([[1], [1], [2], [1]], None, {})
    assert rendered == ["a", "bb", "a"]
    ids[0].append(5)
    assert ids[1] == [1]


@pytest.mark.parametrize(
    ("count", "samples", "step", "attempt", "before", "wanted"),
    [(8, 4, 0, 0, None, (0, 16)), (6, 2, 0, 0, None, (0, 12)), (4, 4, 0, 2, 5, (2, 5))],
)
def test_completions_when_written_here_then_settings_prompts_and_random_numbers_are_those_of_the_step(
    monkeypatch, count, samples, step, attempt, before, wanted
):
    """A process may hold less than a group; the rows of the processes before it are counted, or said."""
    asked = {}

    def generate(model, prompts, **options):
        asked.update(model=model, prompts=prompts, **options)
        return SimpleNamespace(completion_ids=[[5]] * count, entropies=[[0.5]] * count)

    monkeypatch.setattr(module, "generate", generate)
    monkeypatch.setattr(module, "begin_for_loss", lambda trainer, prompts, samples: ("recording", prompts, samples))
    trainer = make(model_wrapped="wrapped", _policy=SimpleNamespace(fused=True), process_index=2)
    trainer._earlier = SimpleNamespace(texts="earlier", keep=lambda *given: pytest.fail("nothing is guessed"))
    trainer.accelerator.unwrap_model = lambda wrapped: SimpleNamespace(device="device", of=wrapped)
    trainer._make_generator = lambda attempt, before, device: (attempt, before, device)
    ids = [[place // samples] for place in range(count)]
    found = trainer._write(ids, None, {}, 4, attempt=attempt, before=before)
    assert found == Rollouts([[5]] * count, None, [[0.5]] * count)
    assert asked["model"].of == "wrapped" and asked["prompts"] == ids[::samples] and asked["samples"] == samples
    assert asked["generator"] == (wanted[0], wanted[1], "device")
    assert asked["recording"] == trainer.now.recording == ("recording", ids[::samples], samples)
    assert {key: asked[key] for key in ("temperature", "top_p", "top_k", "repetition_penalty", "min_p")} == {
        "temperature": 0.5, "top_p": 0.9, "top_k": 7, "repetition_penalty": 1.25, "min_p": 0.0
    }  # fmt: skip
    assert (asked["max_new_tokens"], asked["eos_ids"], asked["pad_id"]) == (12, [2], 0)
    assert (asked["entropies"], asked["ahead"], asked["earlier"], asked["fused"]) == (True, 0, "earlier", True)
    assert 0 < trainer.seconds["generation"] < 60


def test_completions_when_guesses_are_made_then_what_was_written_is_kept_for_the_next(monkeypatch):
    """And min-p is handed on where it is set."""
    kept, asked = [], {}
    monkeypatch.setattr(
        module, "generate",
        lambda *given, **options: asked.update(options) or SimpleNamespace(completion_ids=[[5], [6]], entropies=None),
    )  # fmt: skip
    monkeypatch.setattr(module, "begin_for_loss", lambda *_: None)
    trainer = make(
        model_wrapped=None, _policy=SimpleNamespace(fused=False), speculation=3, min_p=0.1, beta=0.1, num_generations=2
    )
    trainer._earlier = SimpleNamespace(texts="earlier", keep=lambda *given: kept.append(given))
    trainer.accelerator.unwrap_model = lambda _: SimpleNamespace(device="device")
    trainer._make_generator = lambda *given: given
    trainer._write([[1], [1]], None, {}, 2)
    assert asked["generator"] == (0, 0, "device")
    assert kept == [([[1], [1]], [[5], [6]])]
    assert (asked["ahead"], asked["min_p"], asked["entropies"], asked["samples"]) == (3, 0.1, False, 2)


@pytest.mark.parametrize("changes", [{"use_vllm": True}, {"fallback": "a reason"}, {"images": ["image"]}], ids=str)
def test_completions_when_another_writes_them_then_trl_is_asked(monkeypatch, changes):
    """With the log-probabilities it tells, and no entropies."""
    asked = []
    monkeypatch.setattr(
        GRPOTrainer,
        "_generate_single_turn",
        lambda self, *given, **named: asked.append((given, named)) or ([[5]], [[-1.0]]),
    )
    images = changes.pop("images", None)
    assert make(**changes)._write([[1]], images, {"a": 1}, 4, True, attempt=1) == Rollouts([[5]], [[-1.0]], None)
    assert asked == [(([[1]], images, {"a": 1}, 4, True), {})]


@pytest.mark.parametrize(
    ("step", "passes", "cuts", "again"), [(0, 1, 1, 0), (3, 4, 1, 3), (5, 4, 2, 0), (6, 4, 2, 1), (8, 4, 4, 0)]
)
def test_random_numbers_when_a_run_generates_more_than_once_a_step_then_each_time_has_its_own(
    monkeypatch, step, passes, cuts, again
):
    """The number of the generation within the optimiser step."""
    monkeypatch.setattr(module, "make_generator", lambda *given: given)
    trainer = make(_step=step, gradient_accumulation_steps=passes, steps_per_generation=cuts)
    assert trainer._make_generator(2, 6, "device") == (3, 5, 2, again, (6, 12), "device")


# -- a generation batch -----------------------------------------------------------------------------------------------------


def run_micro_batches(trainer, count):
    """What each of so many micro-batches is given, where the batches hold their own number row by row."""
    made = []

    def generate(batch):
        made.append(batch)
        return {"row": torch.arange(4) + 10 * len(made)}

    trainer._generate_and_score_completions = generate
    found = []
    for step in range(count):
        trainer._step = step
        found.append(trainer._prepare_inputs(f"batch {step}")["row"].tolist())
    return made, found


def test_batch_when_it_is_one_optimiser_step_then_its_rows_keep_their_order():
    """Cut into two micro-batches, and used twice before the next is written."""
    made, found = run_micro_batches(make(steps_per_generation=2, gradient_accumulation_steps=2, num_iterations=2), 6)
    assert made == ["batch 0", "batch 4"]
    assert found == [[10, 11], [12, 13], [10, 11], [12, 13], [20, 21], [22, 23]]
    late = make(
        steps_per_generation=2, gradient_accumulation_steps=2, _step=3
    )  # in the middle of one nobody has written
    late._generate_and_score_completions = lambda batch: {"row": torch.arange(4)}
    assert late._prepare_inputs("batch")["row"].tolist() == [2, 3] and late.now.loss_start > 0


def test_batch_when_it_is_several_optimiser_steps_then_its_rows_are_shuffled_once():
    """Each is learnt once; which one when is drawn."""
    torch.manual_seed(0)
    made, found = run_micro_batches(make(steps_per_generation=4, gradient_accumulation_steps=1), 4)
    assert made == ["batch 0"]
    rows = [row for part in found for row in part]
    assert sorted(rows) == [10, 11, 12, 13] and rows != [10, 11, 12, 13]


@pytest.mark.parametrize("changes", [{"model": SimpleNamespace(training=False)}, {"fallback": "a reason"}], ids=str)
def test_batch_when_nobody_trains_or_the_prefix_is_not_shared_then_trl_prepares_it(monkeypatch, changes):
    """The clock of the loss starts all the same."""
    monkeypatch.setattr(GRPOTrainer, "_prepare_inputs", lambda self, batch: ("trl", batch))
    trainer = make(**changes)
    assert trainer._prepare_inputs("batch") == ("trl", "batch") and trainer.now.loss_start > 0


def test_step_when_its_batch_is_learnt_then_the_recording_goes_and_before_that_it_stays(monkeypatch):
    """Two micro-batches: the second is the last; the time since the batch was handed out is counted."""

    def learn(self, *given):
        self._step += 1
        return given

    monkeypatch.setattr(GRPOTrainer, "training_step", learn)
    trainer = make(steps_per_generation=2, gradient_accumulation_steps=2)
    trainer.now.recording, trainer.now.loss_start = "recording", module.time.perf_counter() - 5.0
    assert trainer.training_step("model", "inputs", 8) == ("model", "inputs", 8)
    assert trainer.now.recording == "recording" and 5.0 <= trainer.seconds["loss"] < 60.0
    trainer.training_step("model", "inputs", 8)
    assert trainer.now.recording is None
