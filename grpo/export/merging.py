"""An adapter merged into its base: in float32, over de-quantised weights, checked against base plus adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from grpo.export.policy import unwrapped
from rewards.errors import RecompensaError

if TYPE_CHECKING:
    import torch

    from grpo.policy.loading import Policy

FLOAT32_TOLERANCE = 1e-3
"""Most that a logit may differ where weights and arithmetic are float32."""
BFLOAT16_TOLERANCE = 0.05
"""The same in bfloat16, as a share of the largest logit: weights keep 8 bits, and every layer adds its rounding."""
_ROWS, _POSITIONS = 8, 24


class MergeFailed(RecompensaError):
    """The merged model is another function than the one that was trained; nothing was written."""


@dataclass(frozen=True, slots=True)
class LogitCheck:
    """How far two models' logits lie apart, over `rows` rows and `positions` positions in all."""

    rows: int
    positions: int
    largest_difference: float
    largest_logit: float
    same_choice: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether no logit of the merged weights differs by more than the tolerance."""
        # Also false for NaN, which compares with nothing.
        return self.largest_difference <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """The check as export.json holds it."""
        return {**asdict(self), "passed": self.passed}


def take_logits(model: Any, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The float32 logits of each row's last positions, on the processor; one row at a time, so nothing is padded."""
    import torch

    device = model.get_input_embeddings().weight.device
    taken = []
    with torch.inference_mode():
        for row in rows[:_ROWS]:
            ids = torch.tensor([list(row)], device=device)
            logits = model(input_ids=ids, use_cache=False).logits[0, -_POSITIONS:]
            taken.append(logits.float().cpu())
    return taken


def compare_logits(
    wanted: Sequence[torch.Tensor], found: Sequence[torch.Tensor], *, bfloat16: bool = False
) -> LogitCheck:
    """The largest difference between two models' logits, against the tolerance of their arithmetic."""
    pairs = list(zip(wanted, found, strict=True))
    # A NaN on either side must not be lost in a maximum.
    differences = [(one - other).abs().amax() for one, other in pairs]
    largest = float("nan") if any(d.isnan() for d in differences) else max((float(d) for d in differences), default=0.0)
    logit = max((float(one.abs().amax()) for one, _ in pairs), default=0.0)
    positions = sum(len(one) for one, _ in pairs)
    same = sum(int((one.argmax(-1) == other.argmax(-1)).sum()) for one, other in pairs)
    tolerance = BFLOAT16_TOLERANCE * max(logit, 1.0) if bfloat16 else FLOAT32_TOLERANCE
    return LogitCheck(len(pairs), positions, largest, logit, same / positions if positions else 1.0, tolerance)


def merge(policy: Policy, rows: Sequence[Sequence[int]]) -> LogitCheck | None:
    """Turn the policy into one plain model with its adapter merged, in place; None where it was one already.

    `rows` are token ids of held-out rows. Raises `MergeFailed` where the logits moved by more than the tolerance.
    """
    model = policy.model
    if not hasattr(model, "peft_config") and not _quantised(model):
        return None
    model.eval()
    lossy = _computes_lossily(model)
    wanted = take_logits(model, rows)
    policy.model = fold(model).eval()
    check = compare_logits(wanted, take_logits(policy.model, rows), bfloat16=lossy)
    if not check.passed:
        kind = f"bfloat16, {BFLOAT16_TOLERANCE:.0%} of the largest logit" if lossy else "float32"
        raise MergeFailed(
            f"the merged model is not base plus adapter: logits differ by up to {check.largest_difference:.3g} over "
            f"{check.rows} rows; allowed: {check.tolerance:.3g} ({kind}). Nothing was written; export it with --format adapter"
        )
    return check


def fold(model: Any) -> Any:
    """The transformers model with every adapter folded into plain weights and nothing quantised left, unchecked.

    De-quantised weights have the type that training computed with.
    """
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import TrainableTokensWrapper

    below = unwrapped(model)
    quantised = _quantised(below)
    wrappers = [layer for layer in below.modules() if isinstance(layer, LoraLayer)]
    if _is_tied(below) and any(layer in _ends(below) for layer in wrappers):
        _untie(below)
    for layer in wrappers:
        _fold_layer(layer)
    for layer in below.modules():
        if isinstance(layer, TrainableTokensWrapper):
            layer.token_adapter.merge(safe_merge=True)
        elif isinstance(layer, BaseTunerLayer) and not isinstance(layer, LoraLayer) and not layer.merged:
            layer.merge(safe_merge=True)
    if hasattr(model, "peft_config"):
        below = model.base_model.unload()
        below._hf_peft_config_loaded = False
    if quantised:
        _dequantise(below)
    _settle_tie(below)
    return below


def _fold_layer(layer: Any) -> None:
    """Add the layer's adapters to its base weight, in float32; variants that are more than B A are left to PEFT."""
    import torch

    base = layer.get_base_layer()
    plain = plain_linear(base) if _is_4bit(base) else base
    layer.base_layer = plain
    names = [name for name in layer.active_adapters if name in {*layer.lora_A, *layer.lora_embedding_A}]
    varied = any(name in getattr(layer, "lora_variant", {}) for name in names)
    biased = any(getattr(layer, "lora_bias", {}).get(name) for name in names)
    if varied or biased or not hasattr(plain, "weight"):
        layer.merge(safe_merge=True)
    else:
        with torch.no_grad():
            whole = plain.weight.data.float()
            for name in names:
                whole = whole + _delta(layer, name).to(whole.device)
            plain.weight.data = whole.to(plain.weight.dtype)
        layer.merged_adapters.extend(names)
    if _is_4bit(base):
        plain.to(base.compute_dtype or torch.float32)


def _delta(layer: Any, name: str) -> torch.Tensor:
    """What an adapter adds to the weight, computed in float32 whatever its factors are stored in."""
    import torch

    with torch.no_grad():
        for store in (layer.lora_A, layer.lora_B):
            if name in store:
                store[name].float()
        for store in (layer.lora_embedding_A, layer.lora_embedding_B):
            if name in store:
                store[name].data = store[name].data.float()
        return layer.get_delta_weight(name).float()


def _dequantise(model: Any) -> None:
    """Replace what is left in 4 bits by plain layers, and forget that anything was quantised."""
    import torch

    for name, layer in list(model.named_modules()):
        if _is_4bit(layer):
            above, _, last = name.rpartition(".")
            plain = plain_linear(layer).to(layer.compute_dtype or torch.float32)
            setattr(model.get_submodule(above), last, plain)
    model.hf_quantizer, model.is_quantized = None, False
    for note in ("is_loaded_in_4bit", "is_4bit_serializable", "quantization_method"):
        if hasattr(model, note):
            setattr(model, note, None if note == "quantization_method" else False)
    for note in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, note):
            delattr(model.config, note)


def plain_linear(layer: Any) -> Any:
    """A 4-bit layer's weights as training saw them, kept in float32: what was rounded at every forward is rounded too."""
    import torch
    from bitsandbytes.functional import dequantize_4bit

    with torch.no_grad():
        weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        seen = weight.to(layer.compute_dtype or weight.dtype).float().reshape(layer.out_features, layer.in_features)
    plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
    plain.weight = torch.nn.Parameter(seen, requires_grad=False)
    if layer.bias is not None:
        plain.bias = torch.nn.Parameter(layer.bias.data.float(), requires_grad=False)
    return plain


def _computes_lossily(model: Any) -> bool:
    """Whether some of its arithmetic is in fewer bits than float32 has."""
    import torch

    if any(_is_4bit(layer) and layer.compute_dtype not in (None, torch.float32) for layer in model.modules()):
        return True
    return any(weight.is_floating_point() and weight.dtype != torch.float32 for weight in model.parameters())


def _is_4bit(layer: Any) -> bool:
    # PEFT's wrapper around such a layer has the same name, and the layer's weight.
    kind = type(layer)
    return kind.__name__ == "Linear4bit" and not hasattr(layer, "base_layer") and hasattr(layer.weight, "quant_state")


def _quantised(model: Any) -> bool:
    return any(_is_4bit(layer) for layer in model.modules())


def _is_tied(model: Any) -> bool:
    """Whether input and output embeddings are one tensor."""
    ends = [_plain(layer) for layer in _ends(model)]
    return len(ends) == 2 and all(hasattr(end, "weight") for end in ends) and ends[0].weight is ends[1].weight


def _ends(model: Any) -> list[Any]:
    return [end for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None]


def _plain(layer: Any) -> Any:
    return layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer


def _untie(model: Any) -> None:
    """Give the head weights of its own: an adapter on one end of a tied model is not on the other."""
    import torch

    head = _plain(model.get_output_embeddings())
    head.weight = torch.nn.Parameter(head.weight.data.clone(), requires_grad=False)


def _settle_tie(model: Any) -> None:
    """Let the config say whether both ends are one: tied where they are equal, apart where they are not."""
    import torch

    config = model.config.get_text_config()
    ends = _ends(model)
    if len(ends) < 2 or not getattr(config, "tie_word_embeddings", False):
        return
    embeddings, head = ends
    if torch.equal(head.weight, embeddings.weight):
        head.weight = embeddings.weight
        return
    model.config.tie_word_embeddings = config.tie_word_embeddings = False
    model.all_tied_weights_keys = {}


def round_weights(policy: Policy, dtype: str, rows: Sequence[Sequence[int]]) -> LogitCheck | None:
    """Round a merged policy's weights to `dtype` ("bfloat16"), in place; what that moved, None where nothing was rounded.

    The rounded weights are computed with in float32, so that only the rounding of the weights is seen. Raises
    `MergeFailed` beyond the tolerance.
    """
    import torch

    kind = getattr(torch, dtype)
    model = policy.model
    if all(weight.dtype == kind for weight in model.parameters()):
        return None
    wanted = take_logits(model, rows)
    with torch.no_grad():
        for weight in model.parameters():
            weight.data = weight.data.to(kind).to(weight.dtype)
    check = compare_logits(wanted, take_logits(model, rows), bfloat16=True)
    if not check.passed:
        raise MergeFailed(
            f"rounding the weights to {dtype} moves a logit by {check.largest_difference:.3g}; allowed: "
            f"{check.tolerance:.3g}. Nothing was written; export it with --dtype float32"
        )
    model.to(kind)
    return check
