"""The supervised stage's numbers: steps of a section, the loss of single tokens, batches, and packed rows, by hand."""

from __future__ import annotations

from math import log

import pytest

torch = pytest.importorskip("torch")

from rewards.errors import UserError  # noqa: E402
from sft_warmup.batches import LengthBatches  # noqa: E402
from sft_warmup.config import SftWarmupSection  # noqa: E402
from sft_warmup.held_out import make_callback, measure_loss  # noqa: E402
from sft_warmup.packing import TOLERANCE, check_packing, pack  # noqa: E402
from sft_warmup.trainer_arguments import trainer_arguments  # noqa: E402


@pytest.mark.parametrize(
    ("given", "rows", "steps", "rising"),
    [
        ({}, 100, 7, 1), ({"epochs": 3}, 100, 21, 2), ({"epochs": 0.5}, 100, 4, 1), ({"max_steps": 40}, 100, 40, 2),
        ({"batch_size": 100}, 100, 1, 1), ({"batch_size": 100}, 101, 2, 1), ({"max_steps": 40, "warmup_ratio": 0.0}, 100, 40, 0),
        ({"max_steps": 100, "warmup_ratio": 0.29}, 1, 100, 29),
    ],
)  # fmt: skip
def test_section_when_its_stage_has_so_many_rows_then_steps_and_warm_up_are_whole(given, rows, steps, rising):
    """Seven batches of sixteen hold a hundred rows; the rate rises over a twentieth of the steps, rounded up."""
    section = SftWarmupSection(**given)
    assert (section.steps(rows), section.lr_warmup_steps(rows)) == (steps, rising)


def test_section_when_its_batch_is_cut_then_passes_and_processes_share_it():
    """Sixteen in passes of four on two processes: two passes each."""
    cut = SftWarmupSection(batch_size=16, micro_batch_size=4)
    assert (cut.rows_a_pass(), cut.rows_a_pass(2), SftWarmupSection(batch_size=16).rows_a_pass(2)) == (4, 4, 8)
    settings = cut.trl_settings(40, 2)
    assert [settings[key] for key in ("max_steps", "warmup_steps", "per_device_train_batch_size", "gradient_accumulation_steps")] == [40, 2, 4, 2]  # fmt: skip
    assert cut.trl_settings(40)["gradient_accumulation_steps"] == 4
    assert [SftWarmupSection(**given).eval_every(95) for given in ({}, {"eval_steps": 4})] == [9, 4]
    assert SftWarmupSection().eval_every(5) == 1


class Fixed(torch.nn.Module):
    """Gives token 1 a chance of 3/4 and token 2 one of 1/4 wherever it is asked, 0 while it trains."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.0, log(3.0), 0.0]))
        self.config = type("Config", (), {"get_text_config": lambda self: type("Text", (), {"vocab_size": 3})})()

    def forward(self, input_ids, **_):
        chances = torch.tensor([-30.0, log(0.75), log(0.25)])
        return type("Out", (), {"logits": (chances * (not self.training)).expand(*input_ids.shape, 3)})()


def row(ids, labels):
    return {"input_ids": ids, "labels": labels}


def test_loss_when_each_row_counts_once_then_a_long_answer_weighs_no_more_than_a_short_one():
    """One token of chance 3/4; three of 3/4, 3/4 and 1/4; a row without an answer is 0 of each."""
    rows = [row([2, 1], [-100, 1]), row([2, 1, 1, 2], [-100, 1, 1, 2]), row([2, 2], [-100, -100])]
    model = Fixed().train()
    found = measure_loss(model, rows)
    one, three = -log(0.75), -(2 * log(0.75) + log(0.25)) / 3
    assert found["loss"].mean == pytest.approx((one + three) / 3, abs=1e-6)
    assert found["token_accuracy"].mean == pytest.approx((1 + 2 / 3) / 3, abs=1e-6)
    assert model.training, "left as it was"


def test_held_out_loss_when_a_stage_goes_on_then_it_is_measured_at_its_start_every_so_often_and_at_its_end():
    """Of 25 steps every second one and the last; a stage that is resumed has measured its start."""
    seen = []
    callback = make_callback(
        [row([2, 1], [-100, 1])], SftWarmupSection(), lambda step, found: seen.append((step, set(found)))
    )
    for step in range(26):
        state = type("State", (), {"global_step": step, "max_steps": 25})
        (callback.on_step_end if step else callback.on_train_begin)(None, state, None, model=Fixed())
    assert [step for step, _ in seen] == [0, *range(2, 25, 2), 25] and seen[0][1] == {"loss", "token_accuracy"}
    callback.on_train_begin(None, type("State", (), {"global_step": 7, "max_steps": 25}), None, model=Fixed())
    assert len(seen) == 14


def test_batches_when_rows_do_not_fill_the_last_one_then_others_of_the_pass_join_it():
    """Five rows in batches of two are six places; each batch of neighbours in length."""
    order = list(LengthBatches([1, 100, 2, 101, 50], 2, seed=3))
    assert len(order) == len(LengthBatches([1, 100, 2, 101, 50], 2, 3)) == 6 and sorted(set(order)) == [0, 1, 2, 3, 4]
    lengths = list(range(400))
    batches = LengthBatches(lengths, 10, seed=1)
    drawn = list(batches)
    assert all(max(part) - min(part) < 40 for part in (drawn[start : start + 10] for start in range(0, 400, 10)))
    assert drawn != sorted(drawn) and list(LengthBatches(lengths, 10, seed=2)) != drawn
    pools = [set(sorted(drawn[start : start + 10])[:1]) for start in range(0, 400, 10)]
    assert len(pools) == 40


def test_pack_when_rows_lie_end_to_end_then_positions_start_over_and_no_first_token_is_a_label():
    """Two conversations of two and three tokens."""
    packed = pack([row([5, 6], [5, 6]), row([7, 8, 9], [-100, 8, 9])])
    assert packed["input_ids"].tolist() == [[5, 6, 7, 8, 9]] and packed["position_ids"].tolist() == [[0, 1, 0, 1, 2]]
    assert packed["labels"].tolist() == [[-100, 6, -100, 8, 9]] and packed["use_cache"] is False


class Shifted(torch.nn.Module):
    """Adds so much to the logits of whatever is packed."""

    def __init__(self, by, dtype=torch.float32):
        super().__init__()
        self.weight, self.by, self.asked = torch.nn.Parameter(torch.zeros(1, dtype=dtype)), by, []

    def forward(self, input_ids, position_ids=None, **more):
        self.asked.append((input_ids.tolist(), self.training, sorted(more)))
        logits = torch.nn.functional.one_hot(input_ids, 10).float()
        return type("Out", (), {"logits": logits + (self.by if position_ids is not None else 0.0)})()


@pytest.mark.parametrize(
    ("by", "dtype", "holds"),
    [
        (0.0, torch.float32, True), (0.9 * TOLERANCE, torch.float32, True), (1.1 * TOLERANCE, torch.float32, False), (-1.1 * TOLERANCE, torch.float32, False),
        (49 * TOLERANCE, torch.bfloat16, True), (51 * TOLERANCE, torch.bfloat16, False), (float("nan"), torch.float32, False),
    ],
)  # fmt: skip
def test_packing_when_logits_differ_then_it_is_refused_beyond_the_types_own_rounding(by, dtype, holds):
    """2e-3 in float32, fifty times that in bfloat16; a NaN never passes. The model is left training."""
    model = Shifted(by, dtype).train()
    rows = [row([1, 2], [1, 2]), row([3], [3]), row([4], [4])]
    if holds:
        check_packing(model, rows)
    else:
        with pytest.raises(UserError, match="set packing: false"):
            check_packing(model, rows)
    assert model.training and [asked[:2] for asked in model.asked] == [
        ([[1, 2, 3]], False),
        ([[1, 2]], False),
        ([[3]], False),
    ]
    assert [asked[2] for asked in model.asked] == [["use_cache"]] * 3
    alone = Shifted(0.0)
    check_packing(alone, rows[:1])
    assert alone.asked[0][0] == [[1, 2, 1, 2]], "a single row stands twice"


def test_trainer_when_it_is_on_a_cpu_then_its_memory_is_not_pinned(tmp_path):
    """What SFT and GRPO tell the trainer alike."""
    options = {"seed": 3, "bf16": False, "fp16": False, "gradient_checkpointing": True}
    cpu, cuda = (trainer_arguments(tmp_path, device=device, **options) for device in ("cpu", "cuda"))
    assert (cpu["use_cpu"], cpu["dataloader_pin_memory"], cuda["use_cpu"], cuda["dataloader_pin_memory"]) == (
        True,
        False,
        False,
        True,
    )
    assert (cpu["seed"], cpu["report_to"], cpu["logging_nan_inf_filter"], cpu["output_dir"]) == (
        3,
        "none",
        False,
        str(tmp_path),
    )
    assert cpu["gradient_checkpointing"] and not cpu["bf16"] and cpu["disable_tqdm"]
