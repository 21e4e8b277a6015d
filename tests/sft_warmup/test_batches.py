"""The order of the warm-up's rows."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sft_warmup.batches import LengthBatches


@given(st.lists(st.integers(1, 500), max_size=300), st.integers(1, 9), st.integers(0, 3))
def test_batches_when_drawn_then_are_whole_hold_every_row_and_follow_the_seed(lengths, batch_size, seed):
    """Every row, some of them once more where the last batch would be short, in the same order for the same seed."""
    sampler = LengthBatches(lengths, batch_size, seed)
    order = list(sampler)
    assert len(order) == len(sampler) and len(order) % batch_size == 0 and len(order) - len(lengths) < batch_size
    assert set(order) == set(range(len(lengths))) and order == list(LengthBatches(lengths, batch_size, seed))


def test_batches_when_two_tasks_differ_in_length_then_are_of_like_length_and_take_turns():
    """Little padding within a batch, and no task is seen alone for long."""
    lengths = [20, 200] * 800
    order = list(LengthBatches(lengths, 16, 0))
    batches = [[lengths[index] for index in order[start : start + 16]] for start in range(0, len(order), 16)]
    assert sum(len(set(batch)) > 1 for batch in batches) <= len(batches) / 20
    first = [batch[0] for batch in batches]
    turns = sum(one != other for one, other in pairwise(first))
    assert turns > len(batches) / 4


def test_batches_when_the_next_pass_begins_then_come_in_another_order():
    """As torch's samplers do it: by `set_epoch`."""
    sampler = LengthBatches(range(100), 4, 0)
    order = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != order
