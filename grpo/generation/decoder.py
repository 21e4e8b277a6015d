"""One token a row through a plain decoder without its modules: projections that share an input are one product.

The numbers are those of the model's own forward; a model is checked against it once, and written with its modules where
it is built in another way, watched by hooks, quantised, or has adapters that are no plain LoRA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from grpo.generation.fused import can_fuse, compiled, give_up
from grpo.policy.packed_products import is_worth_packing, multiply, pack
from grpo.policy.plain_blocks import FAMILIES, Unusual, check_modules, read_linear

if TYPE_CHECKING:
    import torch

    from grpo.policy.recording import Recording

# Weights are copied side by side up to so many bytes; larger models keep theirs where they are.
MOST_COPIED, MOST_COPIED_CPU = 4 << 30, 1 << 30
EXPECTED_ROWS = 16  # of the products that packed weights are made for; others are right as well

CHECKED: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # whether a model's decoder agreed with it
FUSES: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # the same of its fused decoder

Attend = Callable[[int, Any, Any, Any, float], Any]


def find_decoder(model: Any, longest: int, fused: bool = False) -> Decoder | None:
    """A decoder over the model's present weights, for texts of at most `longest` tokens; None where it has to run itself.

    In few kernels where `fused` asks for it and the device can (see `grpo.generation.fused`).
    """
    if getattr(model.config, "model_type", None) not in FAMILIES or CHECKED.get(model) is False:
        return None
    try:
        if fused and FUSES.get(model) is not False and can_fuse(model):
            decoder = Decoder(model, longest, fused=True)
            if model not in FUSES:
                FUSES[model] = runs_fused(decoder)
            if FUSES[model]:
                return decoder
        decoder = Decoder(model, longest)
    except Unusual:
        return None
    if model not in CHECKED:
        CHECKED[model] = decoder.agrees()
    return decoder if CHECKED[model] else None


def runs_fused(decoder: Decoder) -> bool:
    """Whether the compiled decoder agrees with its model; if it cannot be compiled, a warning says why."""
    try:
        return decoder.agrees() or give_up("they do not agree with the model's own forward")
    except Exception as fault:
        return give_up(str(fault))


@dataclass(slots=True)
class JoinedLinear:
    """Linear layers that share an input, one below the other: `weights` (outputs, inputs), in one array or several.

    Adapters stand beside them as one pair: `down` (ranks, inputs) and `up` (outputs, ranks), scales in `up`. `packed`
    weights are oneDNN's (see `packed_products`), with the adapters in them. Where `down` is `below` the weights, in their
    array and type, one product gives both, and the adapters round as everything beside them does.
    """

    weights: list[torch.Tensor]
    bias: torch.Tensor | None
    down: torch.Tensor | None
    up: torch.Tensor | None
    packed: bool = False
    below: bool = False

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        import torch

        linear = torch.nn.functional.linear
        if self.packed:
            return multiply(states, self.weights[0], self.bias)
        if self.below and self.up is not None:
            both, outputs = linear(states, self.weights[0], self.bias), self.up.shape[0]
            return torch.addmm(both[:, :outputs], both[:, outputs:], self.up.T)
        if len(self.weights) == 1:
            out = linear(states, self.weights[0], self.bias)
        else:
            out = torch.cat([linear(states, weight) for weight in self.weights], -1)
            out = out if self.bias is None else out + self.bias
        if self.down is None or self.up is None:
            return out
        return (out + linear(linear(states.to(self.down.dtype), self.down), self.up)).to(out.dtype)


@dataclass(slots=True)
class Block:
    """The weights of one layer; `head_norms` (heads and key heads, size) are None where a family has none."""

    before_attention: torch.Tensor
    queries_keys_values: JoinedLinear
    head_norms: torch.Tensor | None
    out: JoinedLinear
    before_feed_forward: torch.Tensor
    gate_up: JoinedLinear
    down: JoinedLinear


class BlockShape(NamedTuple):
    """What the blocks of a model have in common."""

    heads: int
    kv_heads: int
    size: int  # of a head
    epsilon: float


def enter_block(block: Block, states, cos, sin, rows: int, shape: BlockShape):
    """The joined projections of `states` (tokens, hidden), and of them queries, keys and values (rows, heads, width, size)."""
    heads, kv_heads, size = shape.heads, shape.kv_heads, shape.size
    joined = block.queries_keys_values(normed(states, block.before_attention, shape.epsilon))
    projected = joined.view(-1, heads + 2 * kv_heads, size)
    turning = projected[:, : heads + kv_heads]
    if block.head_norms is not None:
        turning = normed(turning, block.head_norms, shape.epsilon)
    turning = (turning * cos).add_(turning.roll(size // 2, -1).mul_(sin))
    parts = turning[:, :heads], turning[:, heads:], projected[:, heads + kv_heads :]
    queries, keys, values = (each.view(rows, -1, each.shape[1], size).transpose(1, 2) for each in parts)
    return joined, queries, keys, values


def leave_block(block: Block, states, out, activation, epsilon: float):
    """The states after attention's `out` (rows, heads, width, size), gates and ups, and the states after the block."""
    states = states + block.out(out.transpose(1, 2).reshape(states.shape[0], -1))
    gate_up = block.gate_up(normed(states, block.before_feed_forward, epsilon))
    gate, up = gate_up.chunk(2, -1)
    return states, gate_up, states + block.down(activation(gate) * up)


def normed(states, weight, epsilon: float):
    """The family's root-mean-square norm, in float32 whatever the states are."""
    wide = states.float()
    # A product is called in half the time of a power, and what is new here may be written over.
    wide = wide * (wide * wide).mean(-1, keepdim=True).add_(epsilon).rsqrt_()
    return weight * wide.to(states.dtype)


class Decoder:
    """The weights of a model as its next token needs them."""

    def __init__(self, model: Any, longest: int, fused: bool = False):
        import torch

        inner, config = model.model, model.config
        self.model, self.longest, self.fused = model, longest, fused
        bytes_all = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        device = model.get_input_embeddings().weight.device
        self.copies = bytes_all <= (MOST_COPIED_CPU if device.type == "cpu" else MOST_COPIED)
        self.packs = self.copies and is_worth_packing(model)
        check_modules(model)
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        self.shape = BlockShape(heads, config.num_key_value_heads, size, inner.norm.variance_epsilon)
        self.embedding, self.last_norm = inner.embed_tokens.weight, inner.norm.weight
        self.activation = inner.layers[0].mlp.act_fn
        self.scaling = inner.layers[0].self_attn.scaling
        places = torch.arange(longest, device=device)[None]
        cos, sin = inner.rotary_emb(self.embedding[:1, None], places)
        # The first half of a head is turned against its second half: the sign goes into the table.
        half = cos.shape[-1] // 2
        self.cos, self.sin = cos[0][:, None], torch.cat((-sin[0][:, :half], sin[0][:, half:]), -1)[:, None]
        if cos.shape[-1] != size:
            raise Unusual
        self.blocks = [self.read_block(layer) for layer in inner.layers]
        self.head = self.join([model.get_output_embeddings()])

    def read_block(self, layer: Any) -> Block:
        """The weights of a decoder layer, in the form in which a decoding step uses them."""
        import torch

        attention, feed = layer.self_attn, layer.mlp
        norms = None
        if hasattr(attention, "q_norm"):
            norms = torch.cat(
                (
                    attention.q_norm.weight.expand(self.shape.heads, -1),
                    attention.k_norm.weight.expand(self.shape.kv_heads, -1),
                )
            )
        return Block(
            layer.input_layernorm.weight,
            self.join([attention.q_proj, attention.k_proj, attention.v_proj]),
            norms,
            self.join([attention.o_proj]),
            layer.post_attention_layernorm.weight,
            self.join([feed.gate_proj, feed.up_proj]),
            self.join([feed.down_proj]),
        )

    def join(self, layers: Sequence[Any]) -> JoinedLinear:
        """These linear layers as one product, with their adapters as one pair."""
        import torch

        read = [read_linear(layer) for layer in layers]
        weights, downs, ups = [], [], []
        for place, (weight, _, adapter) in enumerate(read):
            if adapter is not None:  # beside the weights: added to them it would round otherwise
                above = sum(each[0].shape[0] for each in read[:place])
                below = sum(each[0].shape[0] for each in read[place + 1 :])
                downs.append(adapter[0])
                ups.append(torch.nn.functional.pad(adapter[1] * adapter[2], (0, 0, above, below)))
            weights.append(weight)
        if self.copies and len(weights) > 1:
            weights = [torch.cat(weights)]
        biases = [bias for _, bias, _ in read]
        if any(bias is None for bias in biases) and any(bias is not None for bias in biases):
            biases = [
                weight.new_zeros(weight.shape[0]) if bias is None else bias
                for (weight, *_), bias in zip(read, biases, strict=True)
            ]
        bias = None if biases[0] is None else torch.cat(biases)
        down, up = (torch.cat(downs), torch.cat(ups, 1)) if downs else (None, None)
        plain = all(each.dtype == torch.float32 for each in (down, up, bias) if each is not None)
        if self.fused and self.copies and down is not None and up is not None and weights[0].dtype != torch.float32:
            dtype, ranks = weights[0].dtype, len(down)
            bias = None if bias is None else torch.cat((bias, bias.new_zeros(ranks)))
            return JoinedLinear([torch.cat((*weights, down.to(dtype)))], bias, None, up.to(dtype), below=True)
        if not (self.packs and len(weights) == 1 and plain):
            return JoinedLinear(weights, bias, down, up)
        # What is copied anyway takes the adapters in: that rounds each weight once, less than their products would.
        whole = weights[0] if down is None or up is None else torch.addmm(weights[0], up, down)
        return JoinedLinear([pack(whole, EXPECTED_ROWS)], bias, None, None, packed=True)

    def step(
        self, tokens: torch.Tensor, positions: torch.Tensor, attend: Attend, recording: Recording | None = None
    ) -> torch.Tensor:
        """The logits after each of `width` more tokens a row, (rows * width, vocabulary); `tokens` are (rows, width).

        `attend(layer, query, key, value, scaling)` gets rotated states, (rows, heads, width, size), and gives the same.
        `recording` is told what each block computes.
        """
        import torch

        rows, shape = tokens.shape[0], self.shape
        tokens, positions = tokens.reshape(-1), positions.reshape(-1)
        cos, sin = self.cos[positions], self.sin[positions]
        states = torch.nn.functional.embedding(tokens, self.embedding)
        enter, leave = (compiled(enter_block), compiled(leave_block)) if self.fused else (enter_block, leave_block)
        for number, block in enumerate(self.blocks):
            entered = states
            joined, queries, keys, values = enter(block, states, cos, sin, rows, shape)
            out = attend(number, queries, keys, values, self.scaling)
            between, gate_up, states = leave(block, states, out, self.activation, shape.epsilon)
            if recording is not None:
                recording.note(number, entered, joined, between, gate_up, out.transpose(1, 2).reshape(rows, -1))
        if recording is not None:
            recording.note_last(states)
        return self.head(normed(states, self.last_norm, shape.epsilon))

    def agrees(self) -> bool:
        """Whether four tokens, one after the other, have the logits that the model's own forward gives them."""
        import torch

        seen: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}

        def attend(layer, query, key, value, scaling):
            seen.setdefault(layer, []).append((key, value))
            keys, values = (torch.cat(each, 2) for each in zip(*seen[layer], strict=True))
            shared = query.shape[1] // keys.shape[1]
            keys, values = keys.repeat_interleave(shared, 1), values.repeat_interleave(shared, 1)
            scores = (query @ keys.transpose(2, 3) * scaling).softmax(-1, dtype=torch.float32)
            return scores.to(values.dtype) @ values

        ids = torch.arange(1, 5, device=self.embedding.device) * 7919 % self.embedding.shape[0]
        found = [self.step(ids[n : n + 1, None], torch.full_like(ids[:1, None], n), attend) for n in range(4)]
        wanted = self.model(input_ids=ids[None], use_cache=False).logits[0].float()
        difference = (torch.cat(found).float() - wanted).abs().max()
        close = 1e-4 if self.embedding.dtype == torch.float32 else 3e-2
        return bool((difference <= close * wanted.abs().max().clamp(min=1.0)).item())
