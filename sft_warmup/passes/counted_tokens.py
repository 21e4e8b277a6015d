"""A supervised pass whose head and last layer compute the tokens that count and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sft_warmup.dataset import IGNORED
from sft_warmup.passes.token_rows import Blocks, gather_rows, linear_as_of_all, spread_rows

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TOLERANCE = 1e-4
"""How far loss and logits may lie from the plain way's in the trial, in float32."""
HALF_TOLERANCE = 0.05
"""The same in half precision, for the loss and all but HALF_BEYOND of the logits; on average a fifth of it."""
HALF_BEYOND = 0.001
"""Of the logits: among millions that were rounded to 8 bits one lies far off by chance."""
SAMPLE_TOKENS = 256
"""Of each of the two rows that the trial reads: with any vocabulary their logits are small beside a step's."""
SAME_BITS_NUMBERS = 1 << 24
"""On a CPU, where a layer's outputs (tokens x width) are no more than this, its weight's gradient is added up in the plain
way's order, so that a small policy's run keeps every bit; beyond, over the tokens that count alone."""


@dataclass(frozen=True)
class Way:
    """What a pass leaves out: always the head's other tokens; those of the last layer and the padding mask where it says so."""

    layer: bool = False
    mask: bool = False

    def within(self, limit: Way) -> Way:
        """What both leave out."""
        return Way(layer=self.layer and limit.layer, mask=self.mask and limit.mask)


def list_left_out(way: Way | None) -> list[str]:
    """By name what passes leave out: `head`, `last_layer` (of tokens that do not count), `padding_mask`; nothing without a way."""
    if way is None:
        return []
    return ["head", *(["last_layer"] if way.layer else []), *(["padding_mask"] if way.mask else [])]


def find_limit(model: Module, *, layer: bool = True, mask: bool = True) -> Way:
    """The most that this model's passes may leave out; without `layer` or `mask` what they stand for is left as it is."""
    return Way(layer=layer, mask=mask and _may_drop_mask(model))


def find_way(
    model: Module,
    inputs: Mapping[str, Any],
    *,
    layer: bool = True,
    mask: bool = True,
    half: bool = False,
    run: Callable[..., Any] | None = None,
) -> Way | None:
    """The first way, most left out first, at which loss and logits of a piece of `inputs` stay the plain one's; None if none.

    `inputs` hold at least `input_ids` (rows, tokens), on any device. `run` is the model in the wrappers that a pass calls it
    in, `half` says that these compute in half precision; `layer` and `mask` as for `find_limit`. A way is tried at most
    once. Several processes, which must all ask, call their models equally often and get one answer, which all of theirs
    agree with. What the plain pass raises is raised, and lack of memory.
    """
    import torch

    run = run or model
    limit = find_limit(model, layer=layer, mask=mask)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            sample = _take_sample(_moved(inputs, model))
            plain = run(**sample)
            if getattr(plain, "loss", None) is None:  # a model of its own kind
                return None
            wanted = plain.loss, plain.logits[:, :-1][_counted(sample["labels"])]
            ways = [Way(layer=True, mask=True), Way(layer=True), Way(mask=True), Way()]
            for way in dict.fromkeys(way.within(limit) for way in ways):
                if _all_agree(_agrees(model, run, sample, way, wanted, half)):
                    return way
            return None
    finally:
        model.train(training)


@contextmanager
def only_counted(
    model: Module, inputs: Mapping[str, Any], way: Way | None, blocks: Blocks | None = None
) -> Iterator[dict[str, Any]]:
    """While this is active, `model` gives logits (1, counted + 1, vocabulary) on the inputs that it hands out, with labels to match.

    The last of them is nobody's prediction: a causal loss leaves it out. Nothing changes without a way, or where no token
    counts. `blocks` are kept from pass to pass; without them gradients may differ from the plain way's in their last bits.
    """
    counted = _counted(inputs["labels"])
    if way is None or not counted.any():
        yield dict(inputs)
        return
    import torch

    shape = _, tokens = inputs["labels"].shape
    places = counted.flatten().nonzero()[:, 0]
    places = places + places.div(tokens - 1, rounding_mode="floor")  # a row's last token was not asked for
    labels = inputs["labels"].flatten()[places + 1]
    with ExitStack() as stack:
        # A row's last token predicts no known token: it stands in for what the loss cuts off.
        asked = torch.cat([places, places.new_tensor([tokens - 1])])
        _gather_before(stack, model.get_output_embeddings(), asked, places, shape, blocks)
        for part in _find_last_parts(model) if way.layer else ():
            _gather_before(stack, part, places, places, shape, blocks)
            stack.callback(part.register_forward_hook(lambda _, __, found: spread_rows(found, places, shape)).remove)
        if way.mask and _is_padded_on_the_right(inputs.get("attention_mask")):
            _drop_mask(stack, model)
        yield {**inputs, "labels": torch.cat([labels.new_tensor([IGNORED]), labels])[None]}


def _counted(labels: Tensor) -> Tensor:
    """(rows, tokens - 1): where the label one to the right counts."""
    return labels[:, 1:] != IGNORED


def _gather_before(
    stack: ExitStack, module: Module, places: Tensor, counted: Tensor, shape: tuple[int, int], blocks: Blocks | None
) -> None:
    """Until `stack` closes, `module` gets these places of its input (rows, tokens, width) alone; `counted` of them get a gradient."""
    from torch import is_autocast_enabled
    from torch.nn import Linear
    from torch.nn.functional import linear

    def gather(_: Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if given[0].shape[:2] != shape:
            raise ValueError(f"asked about {tuple(given[0].shape[:2])} tokens, not {shape}")
        return gather_rows(given[0], places), *given[1:]

    stack.callback(module.register_forward_pre_hook(gather).remove)
    count = shape[0] * shape[1]
    for layer in module.modules():
        if blocks is not None and isinstance(layer, Linear) and _keeps_bits(layer, count):

            def forward(found: Tensor, layer: Linear = layer, blocks: Blocks = blocks) -> Tensor:
                # Mixed precision is only on once the model runs.
                if found.dtype != layer.weight.dtype or is_autocast_enabled("cpu"):
                    return linear(found, layer.weight)
                return linear_as_of_all(found, layer.weight, counted, count, blocks)

            layer.forward = forward
            stack.callback(delattr, layer, "forward")


def _keeps_bits(layer: Any, count: int) -> bool:
    """Whether this linear layer is trained, small, and of the plainest kind, whose bits can be kept."""
    import torch

    weight = layer.weight
    return (
        type(layer) is torch.nn.Linear
        and type(weight) is torch.nn.Parameter
        and "forward" not in vars(layer)
        and layer.bias is None
        and weight.requires_grad
        and weight.shape == (layer.out_features, layer.in_features)
        and (weight.dtype, weight.device.type) == (torch.float32, "cpu")
        and count * max(weight.shape) <= SAME_BITS_NUMBERS
    )


def _find_last_parts(model: Module) -> list[Module]:
    """What of the last layer looks at one token at a time: all but its keys and values, which other tokens read, and its norms.

    Only what is nothing but linear layers and parts that have no weights and use no random numbers; none where the MLP is not:
    the loss of experts' routers looks at every token.
    """
    import torch

    layers = getattr(model.get_decoder(), "layers", None)
    mlp = getattr(layers[-1], "mlp", None) if layers else None

    def is_plain(part: Module | None) -> bool:
        return part is not None and all(
            not _has_chance(each) and (isinstance(each, torch.nn.Linear) or not list(each.parameters(recurse=False)))
            for each in part.modules()
        )

    if layers is None or not is_plain(mlp):
        return []
    attention = getattr(layers[-1], "self_attn", None)
    parts = [getattr(attention, "q_proj", None), getattr(attention, "o_proj", None), mlp]
    return [part for part in parts if part is not None and is_plain(part)]


def _has_chance(module: Module) -> bool:
    """Whether a module holds the chance of a dropout, its own or one that it hands to a function."""
    return any(
        isinstance(value, float) and 0 < value <= 1 and ("drop" in name or name.split("_")[0] in ("p", "prob"))
        for name, value in vars(module).items()
    )


def _is_padded_on_the_right(mask: Tensor | None) -> bool:
    """Whether there is padding (rows, tokens), all of it to the right of its row's tokens."""
    if mask is None or mask.dim() != 2 or bool(mask.all()):
        return False
    return bool((mask[:, 1:] <= mask[:, :-1]).all())


def _may_drop_mask(model: Module) -> bool:
    """Whether `_drop_mask` knows this model's attention, and the function of transformers that it replaces is there."""
    if not hasattr(model, "config"):
        return False
    from transformers.integrations import sdpa_attention

    config: Any = model.config
    is_known = getattr(config.get_text_config(), "_attn_implementation", None) == "sdpa"
    on_cpu = next(model.parameters()).device.type == "cpu"
    return is_known and (not on_cpu or hasattr(sdpa_attention, "use_gqa_in_sdpa"))


def _drop_mask(stack: ExitStack, model: Module) -> None:
    """Until `stack` closes, `model` sees no padding mask: no token looks to its right, so none that counts looks at padding."""
    from transformers.integrations import sdpa_attention

    def drop(_: Module, given: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return given, {**named, "attention_mask": None}

    stack.callback(model.register_forward_pre_hook(drop, with_kwargs=True).remove)
    if next(model.parameters()).device.type == "cpu":
        # With a mask transformers repeats the keys that heads share; their gradients' last bits are others if it does not.
        kept = sdpa_attention.use_gqa_in_sdpa
        sdpa_attention.use_gqa_in_sdpa = lambda *_: False
        stack.callback(setattr, sdpa_attention, "use_gqa_in_sdpa", kept)


def _moved(inputs: Mapping[str, Any], model: Module) -> dict[str, Any]:
    """`inputs` where the model's weights are; what is on a GPU stays there, for weights that are kept elsewhere between passes."""
    import torch

    device = next(model.parameters()).device
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) and value.device.type == "cpu" else value
        for name, value in inputs.items()
    }


def _take_sample(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """At most two rows and SAMPLE_TOKENS of `inputs`, one with padding on its right, and labels that count in their second half."""
    import torch

    ids = inputs["input_ids"]
    mask = inputs.get("attention_mask")
    lengths = mask.sum(1) if mask is not None else torch.full((len(ids),), ids.shape[1])
    rows = sorted({int(lengths.argmin()), int(lengths.argmax())})
    if len(rows) == 1 and len(ids) > 1:
        rows = [0, 1]
    end = min(ids.shape[1], int(lengths.min()) + 1)
    start = max(0, end - SAMPLE_TOKENS)
    sample = {
        name: value[rows, start:end] if isinstance(value, torch.Tensor) else value
        for name, value in inputs.items()
        if not isinstance(value, torch.Tensor) or value.shape == ids.shape
    }
    counts = torch.arange(end - start, device=ids.device)[None] >= (end - start) // 2
    if mask is not None:
        sample["attention_mask"][int(lengths[rows].argmin()), -1] = 0
        counts = counts & (sample["attention_mask"] > 0)
    sample["labels"] = sample["input_ids"].masked_fill(~counts, IGNORED)
    return {**sample, "use_cache": False}


def _agrees(
    model: Module, run: Callable[..., Any], sample: dict[str, Any], way: Way, wanted: tuple[Any, Any], half: bool
) -> bool:
    """Whether this way gives the plain one's loss and logits (counted, vocabulary); `run` is called once, whatever happens."""
    import torch

    half = half or not wanted[1].dtype == torch.float32 == next(model.parameters()).dtype
    called = False
    try:
        with only_counted(model, sample, way) as shortened:
            called = True
            found = run(**shortened)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a model of its own kind
        if not called:
            run(**sample)
        return False
    logits = found.logits[0, :-1]
    if found.logits.shape[:2] != shortened["labels"].shape or logits.shape != wanted[1].shape:
        return False
    pairs = (found.loss, wanted[0]), (logits, wanted[1])
    return all(_is_close(one, other, half) for one, other in pairs)


def _is_close(found: Tensor, wanted: Tensor, half: bool) -> bool:
    """Whether all numbers are within the tolerance; in half precision nearly all, and the mean well within."""
    import torch

    found, wanted = found.float(), wanted.float()
    far = HALF_TOLERANCE if half else TOLERANCE
    close = torch.isclose(found, wanted, rtol=far, atol=far)
    if not half or not found.dim():
        return bool(close.all())
    finite = wanted.isfinite()
    apart, size = (found - wanted)[finite].abs().mean(), wanted[finite].abs().mean()
    return bool((~close).float().mean() <= HALF_BEYOND) and bool(apart <= far / 5 * (1 + size))


def _all_agree(agrees: bool) -> bool:
    """Whether every process says so; all of them must ask."""
    import torch

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return agrees
    said: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(said, agrees)
    return all(said)
