"""Attention of the newest tokens to stem, tail and their own completion, in one Triton kernel; keys and values are stored on the way.

For static caches on a CUDA device (see `kv_cache`). Scores and sums are float32, products those of the states' own type.
Imported only where Triton is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl

if TYPE_CHECKING:
    import torch

# Places read at once, and how many such blocks are on their way at a time. Of 18 combinations with 2 to 8 warps the fastest on an
# H100, with Triton's own 4 warps (32 rows, 8 key heads of 128, 428 places: 20 us a launch; three blocks at a time: 31 us).
PLACES, STAGES = 64, 2


def attend_fused(memory: Any, layer: int, query, key, value, scaling: float) -> torch.Tensor:
    """Attention of `query` (rows, heads, 1, size) to all that a `KVCache` holds and the newest; `key` and `value` (rows, key heads, 1, size).

    A launch for each stem and each run of chunks without one.
    """
    import torch

    states, slots, (rows, kv_heads, _, size) = memory.layers[layer], memory.slots, key.shape
    shared, value_size = query.shape[1] // kv_heads, value.shape[3]
    out = torch.empty(rows, query.shape[1], 1, value_size, dtype=value.dtype, device=value.device)
    query, key, value = (each if each.stride(3) == 1 else each.contiguous() for each in (query, key, value))
    for start, end, stem in memory.runs():
        stem_keys, stem_values = states.stems[stem] if stem is not None else (states.tail_keys, states.tail_values)
        _attend[((end - start) * slots, kv_heads)](
            query, key, value, out, memory.place, memory.tail_starts, stem_keys, stem_values,
            states.tail_keys, states.tail_values, states.keys, states.values,
            scaling, 0 if stem is None else stem_keys.shape[2], memory.width, memory.room, memory.chunks, slots, start,
            query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1),
            SHARED=shared, SIZE=size, VALUE_SIZE=value_size, ROWS=max(16, triton.next_power_of_2(shared)),
            WIDE=max(16, triton.next_power_of_2(size)), VALUE_WIDE=max(16, triton.next_power_of_2(value_size)),
            PLACES=PLACES, num_stages=STAGES,
        )  # fmt: skip
    return out


@triton.jit
def _fold(
    total, most, norm, query, keys, values, first, last, room,
    SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr, WIDE: tl.constexpr, VALUE_WIDE: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Take places `first` to `last` into a running softmax: keys (size, room) and values (room, size) at these addresses."""
    sizes, value_sizes = tl.arange(0, WIDE), tl.arange(0, VALUE_WIDE)
    for begin in range(first // PLACES * PLACES, last, PLACES):
        places = begin + tl.arange(0, PLACES)
        there = (places >= first) & (places < last)
        block = tl.load(
            keys + sizes[:, None] * room + places[None, :], mask=(sizes[:, None] < SIZE) & there[None, :], other=0.0
        )
        scores = tl.dot(query, block, input_precision="ieee")
        scores = tl.where(there[None, :], scores, float("-inf"))
        above = tl.maximum(most, tl.max(scores, 1))
        weights, fade = tl.exp(scores - above[:, None]), tl.exp(most - above)
        held = tl.load(
            values + places[:, None] * VALUE_SIZE + value_sizes[None, :],
            mask=there[:, None] & (value_sizes[None, :] < VALUE_SIZE), other=0.0,
        )  # fmt: skip
        total = total * fade[:, None] + tl.dot(weights.to(held.dtype), held, input_precision="ieee")
        norm = norm * fade + tl.sum(weights, 1)
        most = above
    return total, most, norm


@triton.jit(do_not_specialize=["stem_length", "width", "chunks", "slots", "first_chunk"])
def _attend(
    query_at, key_at, value_at, out_at, place_at, starts_at, stem_keys, stem_values, tail_keys, tail_values, keys, values,
    scaling, stem_length, width, room, chunks, slots, first_chunk,
    query_row, query_head, key_row, key_head, value_row, value_head,
    SHARED: tl.constexpr, SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr,
    VALUE_WIDE: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """One row and one key head: the `SHARED` heads of the query that read it are the rows of the products."""
    row = (first_chunk * slots + tl.program_id(0)).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    chunk = row // slots
    heads, sizes, value_sizes = tl.arange(0, ROWS), tl.arange(0, WIDE), tl.arange(0, VALUE_WIDE)
    place = tl.load(place_at).to(tl.int32)
    query = tl.load(
        query_at + row * query_row + (head * SHARED + heads[:, None]) * query_head + sizes[None, :],
        mask=(heads[:, None] < SHARED) & (sizes[None, :] < SIZE), other=0.0,
    )  # fmt: skip
    query = (query * scaling).to(query.dtype)
    key = tl.load(key_at + row * key_row + head * key_head + sizes, mask=sizes < SIZE, other=0.0)
    value = tl.load(
        value_at + row * value_row + head * value_head + value_sizes, mask=value_sizes < VALUE_SIZE, other=0.0
    )
    # Of `keys` (heads, chunks, slots, size, room) and `values` (heads, chunks, slots, room, size) what is this row's.
    own = head * chunks * slots + row
    own_keys, own_values = keys + own * SIZE * room, values + own * room * VALUE_SIZE
    tl.store(own_keys + sizes * room + place, key, mask=sizes < SIZE)
    tl.store(own_values + place * VALUE_SIZE + value_sizes, value, mask=value_sizes < VALUE_SIZE)
    most = tl.sum(query.to(tl.float32) * key.to(tl.float32)[None, :], 1)
    norm = tl.full([ROWS], 1.0, tl.float32)
    total = tl.zeros([ROWS, VALUE_WIDE], tl.float32) + value.to(tl.float32)[None, :]
    total, most, norm = _fold(
        total, most, norm, query, stem_keys + head * SIZE * stem_length, stem_values + head * stem_length * VALUE_SIZE,
        0, stem_length, stem_length, SIZE, VALUE_SIZE, WIDE, VALUE_WIDE, PLACES,
    )  # fmt: skip
    tail = head * chunks + chunk
    total, most, norm = _fold(
        total, most, norm, query, tail_keys + tail * SIZE * width, tail_values + tail * width * VALUE_SIZE,
        tl.load(starts_at + chunk).to(tl.int32), width, width, SIZE, VALUE_SIZE, WIDE, VALUE_WIDE, PLACES,
    )  # fmt: skip
    total, most, norm = _fold(
        total, most, norm, query, own_keys, own_values, 0, place, room, SIZE, VALUE_SIZE, WIDE, VALUE_WIDE, PLACES,
    )  # fmt: skip
    at = (
        out_at
        + (row * tl.num_programs(1) * SHARED + head * SHARED + heads[:, None]) * VALUE_SIZE
        + value_sizes[None, :]
    )
    found = (total / norm[:, None]).to(value.dtype)
    tl.store(at, found, mask=(heads[:, None] < SHARED) & (value_sizes[None, :] < VALUE_SIZE))
