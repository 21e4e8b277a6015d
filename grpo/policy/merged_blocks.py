"""Blocks as two operations each, whose backward is written out; float32 on a processor.

Module by module an adapter costs two thin products and three passes over a wide array, forward and backward, beside the
product it corrects. Here weight + scale * B @ A is made once a block and pass, a product of the rank's size: what is read
by the tokens is one matrix, whose projections of one input stand below each other. It is made again in the backward, as
are norms and gated products (see `lean_activations`), and thrown away. Adding an adapter to its weight rounds each weight
once, which is less than a product rounds. Where the weights themselves are trained, their gradients are products of the
same backward. Attention in between is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from grpo.policy.attention import attend
from grpo.policy.lean_activations import is_large, is_rebuilt
from grpo.policy.merged_weights import Joined, Norm, join, read_norm
from grpo.policy.packed_products import has_onednn, is_worth_packing, multiply
from grpo.policy.plain_blocks import Unusual, check_modules

if TYPE_CHECKING:
    import torch

PIECE_ROWS = 128  # of gates and ups that pass through their backward together


@dataclass(slots=True)
class MergedBlock:
    """One layer; `head_norms` are those of queries and of keys, None where a family has none."""

    attention: Any
    before_attention: Norm
    queries_keys_values: Joined
    head_norms: tuple[Norm, Norm] | None
    out: Joined
    before_feed_forward: Norm
    gate_up: Joined
    down: Joined

    @property
    def trained_before(self) -> list[torch.Tensor]:
        """What is trained before attention, in the order in which `pull_projections` gives its gradients."""
        of_heads = [each for norm in self.head_norms or () for each in norm.trained]
        return [*self.before_attention.trained, *self.queries_keys_values.trained, *of_heads]

    @property
    def trained_behind(self) -> list[torch.Tensor]:
        """What is trained behind attention, in the order in which `pull_leave` gives its gradients."""
        own = self.out, self.before_feed_forward, self.gate_up, self.down
        return [each for part in own for each in part.trained]


@contextmanager
def merged_blocks(model: Any, tokens: int) -> Iterator[bool]:
    """Inside, blocks of `model` run so where that is exact and worth it for so many tokens in a pass; yields whether."""
    blocks = find_blocks(model, tokens)
    with replaced_layers(model, [make_forward(block) for block in blocks]):
        yield bool(blocks)


@contextmanager
def replaced_layers(model: Any, forwards: Sequence[Callable[..., torch.Tensor]]) -> Iterator[None]:
    """Inside, the layers of `model` run these forwards; their own where there are none."""
    layers = model.model.layers if forwards else []
    for layer, forward in zip(layers, forwards, strict=True):
        layer.forward = forward
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def find_blocks(model: Any, tokens: int) -> list[MergedBlock]:
    """The blocks of a model for a pass over so many tokens; none where it is built in another way or nothing is gained.

    With adapters a large pass gains, with trained weights any pass of a model that is not small (see `packed_products`): the
    gradients of small ones are those of every earlier version, bit for bit.
    """
    import torch

    weight = model.get_input_embeddings().weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not is_rebuilt(model):
        return []
    scratch: dict[tuple[int, ...], torch.Tensor] = {}
    try:
        check_modules(model, besides=[model.get_output_embeddings()])
        blocks = [read_block(layer, scratch) for layer in model.model.layers]
    except Unusual:
        return []
    known = {id(each) for block in blocks for each in (*block.trained_before, *block.trained_behind)}
    trained = {id(each) for layer in model.model.layers for each in layer.parameters() if each.requires_grad}
    if not trained <= known:
        return []
    frozen = not any(each.own for block in blocks for each in parts_of(block))
    if frozen:
        adapted = any(part.trained for block in blocks for part in parts_of(block))
        return blocks if adapted and is_large(model, tokens) else []
    return blocks if is_worth_packing(model) else []


def parts_of(block: MergedBlock) -> tuple[Joined, ...]:
    """The four joined linear maps of a block, in the order in which its forward uses them."""
    return block.queries_keys_values, block.out, block.gate_up, block.down


def read_block(layer: Any, scratch: dict[tuple[int, ...], torch.Tensor]) -> MergedBlock:
    """A decoder layer as a MergedBlock; raises Unusual if the layer has dropout or anything else that cannot be merged."""
    attention, feed = layer.self_attn, layer.mlp
    if attention.attention_dropout and attention.training:
        raise Unusual
    head_norms = None
    if hasattr(attention, "q_norm"):
        head_norms = read_norm(attention.q_norm), read_norm(attention.k_norm)
    return MergedBlock(
        attention,
        read_norm(layer.input_layernorm),
        join([attention.q_proj, attention.k_proj, attention.v_proj], scratch),
        head_norms,
        join([attention.o_proj], scratch),
        read_norm(layer.post_attention_layernorm),
        join([feed.gate_proj, feed.up_proj], scratch),
        join([feed.down_proj], scratch),
    )


def make_forward(block: MergedBlock) -> Callable[..., torch.Tensor]:
    """The forward of a layer of transformers, whose attention goes to the `router` that it is called with."""
    size = block.attention.head_dim

    def forward(hidden_states, attention_mask=None, position_embeddings=None, router=None, **_):
        states = hidden_states[0]
        cos, sin = (each[0][:, None] for each in position_embeddings)
        turned = _projections().apply(states, block, cos, sin, *block.trained_before)
        queries, keys, values = (each.view(1, len(states), -1, size).transpose(1, 2) for each in turned)
        scaling = block.attention.scaling
        out, _ = attend(block.attention, queries, keys, values, attention_mask, scaling=scaling, router=router)
        return _rest().apply(states, out.reshape(len(states), -1), block, *block.trained_behind)[None]

    return forward


def turn(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotated states (tokens, heads, size): halves of a head are turned against each other."""
    half = states.shape[-1] // 2
    turned = states * cos
    turned[..., :half].addcmul_(states[..., half:], sin[..., :half], value=-1)
    turned[..., half:].addcmul_(states[..., :half], sin[..., half:])
    return turned


def turn_back(gradient: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, out: torch.Tensor) -> None:
    """The gradient of what was turned, written to `out`."""
    import torch

    half = gradient.shape[-1] // 2
    torch.mul(gradient, cos, out=out)
    out[..., :half].addcmul_(gradient[..., half:], sin[..., half:])
    out[..., half:].addcmul_(gradient[..., :half], sin[..., :half], value=-1)


def linear(states: torch.Tensor, part: Joined) -> torch.Tensor:
    """The states (..., in) through a joined linear map with its adapters merged in, (..., out)."""
    import torch

    return torch.nn.functional.linear(states, part.merge(), part.bias)


def pull_back(gradient: torch.Tensor, part: Joined) -> torch.Tensor:
    """The gradient of what came in, of that of what went out.

    oneDNN's large products are a tenth faster than MKL's and round a little more, which gradients bear and
    log-probabilities do not.
    """
    weight = part.merge()
    return multiply(gradient, weight.t()) if has_onednn() else gradient @ weight


def project(block: MergedBlock, states: torch.Tensor) -> torch.Tensor:
    """Queries, keys and values (tokens, outputs) of the states that enter a block, neither normalised nor rotated."""
    return linear(block.before_attention(states), block.queries_keys_values)


def by_head(block: MergedBlock, projected: torch.Tensor) -> list[torch.Tensor]:
    """What `project` gives as queries, keys and values, (tokens, heads, size) each."""
    sizes = [len(weight) for weight in block.queries_keys_values.weights]
    return [each.view(len(projected), -1, block.attention.head_dim) for each in projected.split(sizes, 1)]


def rotate(block: MergedBlock, raw: Sequence[torch.Tensor], cos: torch.Tensor, sin: torch.Tensor) -> list[torch.Tensor]:
    """Queries, keys and values as attention wants them, of those `by_head`."""
    turning = raw[:2]
    if block.head_norms is not None:
        turning = [norm(each) for norm, each in zip(block.head_norms, turning, strict=True)]
    return [turn(turning[0], cos, sin), turn(turning[1], cos, sin), raw[2].contiguous()]


def pull_projections(
    block: MergedBlock, states: torch.Tensor, cos, sin, raw: Sequence[torch.Tensor], gradients, wanted: bool
) -> tuple[torch.Tensor | None, list[torch.Tensor]]:
    """The gradients of `states` (where `wanted`) and of what is trained, of those of what `rotate` gives.

    `raw` are queries and keys before their norms; nothing where they have none.
    """
    part = block.queries_keys_values
    sizes = [len(weight) for weight in part.weights]
    whole = states.new_empty(len(states), sum(sizes))
    pieces = [each.view(gradient.shape) for each, gradient in zip(whole.split(sizes, 1), gradients, strict=True)]
    for piece, gradient in zip(pieces[:2], gradients[:2], strict=True):
        turn_back(gradient, cos, sin, piece)
    pieces[2].copy_(gradients[2])
    of_heads: list[torch.Tensor] = []
    if block.head_norms is not None:
        for norm, before, piece in zip(block.head_norms, raw, pieces[:2], strict=True):
            of_heads += norm.pull(before, piece)
    pulled = part.pull(block.before_attention(states), whole) + of_heads
    if not wanted and not block.before_attention.trained:
        return None, pulled
    found = pull_back(whole, part)
    return found, block.before_attention.pull(states, found) + pulled


def leave(block: MergedBlock, states: torch.Tensor, attended: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What leaves a block, and what its backward needs: the states after attention, gate and up side by side."""
    import torch

    middle = linear(attended, block.out).add_(states)
    gate_up = linear(block.before_feed_forward(middle), block.gate_up)
    gate, up = gate_up.chunk(2, 1)
    return linear(torch.nn.functional.silu(gate).mul_(up), block.down).add_(middle), middle, gate_up


def pull_leave(
    block: MergedBlock, attended: torch.Tensor, middle: torch.Tensor, gate_up: torch.Tensor, gradient: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """The gradients of `states`, of `attended` and of what is trained behind attention, of that of what leaves."""
    import torch

    silu, silu_backward = torch.nn.functional.silu, torch.ops.aten.silu_backward
    gated, whole = block.gate_up.room(0, gate_up.chunk(2, 1)[0]), block.gate_up.room(1, gate_up)
    pull = pull_back(gradient, block.down)
    # Piece by piece, so that what passes through a row's six operations stays in the processor's cache.
    for piece in zip(*(each.split(PIECE_ROWS) for each in (gate_up, gated, whole, pull)), strict=True):
        (gate, up), product, (of_gate, of_up), pulled = piece[0].chunk(2, 1), piece[1], piece[2].chunk(2, 1), piece[3]
        active = silu(gate)
        torch.mul(active, up, out=product)
        torch.mul(pulled, active, out=of_up)
        silu_backward.grad_input(pulled.mul_(up), gate, grad_input=of_gate)
    of_down = block.down.pull(gated, gradient)
    del pull
    of_gate_up = block.gate_up.pull(block.before_feed_forward(middle), whole)
    found = pull_back(whole, block.gate_up)
    of_norm = block.before_feed_forward.pull(middle, found)
    of_out = block.out.pull(attended, found.add_(gradient))
    return found, pull_back(found, block.out), [*of_out, *of_norm, *of_gate_up, *of_down]


@cache
def _projections():
    import torch

    class Projections(torch.autograd.Function):
        """Rotated queries and keys, and values, (tokens, heads, size) each, of the states that enter a block."""

        @staticmethod
        def forward(ctx, states, block, cos, sin, *trained):
            raw = by_head(block, project(block, states))
            ctx.block = block
            ctx.save_for_backward(states, cos, sin, *(() if block.head_norms is None else raw[:2]))
            return tuple(rotate(block, raw, cos, sin))

        @staticmethod
        def backward(ctx, *gradients):
            states, cos, sin, *raw = ctx.saved_tensors
            found, pulled = pull_projections(ctx.block, states, cos, sin, raw, gradients, ctx.needs_input_grad[0])
            return found, None, None, None, *pulled

    return Projections


@cache
def _rest():
    import torch

    class Rest(torch.autograd.Function):
        """What leaves a block, (tokens, size), of the states that entered it and what its attention found."""

        @staticmethod
        def forward(ctx, states, attended, block, *trained):
            leaving, middle, gate_up = leave(block, states, attended)
            ctx.block = block
            ctx.save_for_backward(attended, middle, gate_up)
            return leaving

        @staticmethod
        def backward(ctx, gradient):
            attended, middle, gate_up = ctx.saved_tensors
            of_states, of_attended, pulled = pull_leave(ctx.block, attended, middle, gate_up, gradient)
            return of_states, of_attended, None, *pulled

    return Rest
