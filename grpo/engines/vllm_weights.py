"""The policy's weights on their way to vLLM: adapters added aside, and packed again where vLLM computes with a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from grpo.distributed.sharding import is_sharded

if TYPE_CHECKING:
    import torch


def list_merged(
    generation: Any, list_named: Callable[[], Iterator[tuple[str, torch.Tensor]]]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Each weight under vLLM's name, those with adapters as a copy to which they are added; TRL's own list elsewhere.

    TRL (`list_named`, its `_iter_named_params`) adds the adapters to the weights themselves and takes them off again,
    each time rounding. In bfloat16 the frozen weights wander off, within some hundred steps by an amount of the order of what
    the adapters learn, and with the saved adapters they no longer are the policy that was trained.
    """
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    model = generation.model
    if not isinstance(model, PeftModel) or generation._dist.is_fsdp or is_sharded(model):
        yield from list_named()
        return
    adapted = {
        f"{name}.base_layer.weight": module
        for name, module in model.named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    for name, weight in model.named_parameters():
        if model.prefix in name or "original_module" in name:
            continue
        plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
        yield (
            generation._fix_param_name_to_vllm(plain, extra_prefixes=["modules_to_save.default."]),
            add_adapters(weight.data, adapted[name]) if name in adapted else weight.data,
        )


def add_adapters(weight: torch.Tensor, layer: Any) -> torch.Tensor:
    """A copy of the layer's weight to which its active adapters are added, rounded once."""
    import torch

    with torch.no_grad():
        merged = weight.float()
        for adapter in layer.active_adapters:
            merged = merged + layer.get_delta_weight(adapter).float()
        return merged.to(weight.dtype)


def sync_repacked(generation: Any, sync_weights: Callable[[], None]) -> None:
    """Send weights to a colocated vLLM on a CPU, whose layers compute with repacked copies of them.

    TRL writes each weight where vLLM had it when it was loaded. That is enough on a CUDA device; on a CPU with oneDNN the
    place is gone, and what is still there is no longer read. vLLM's own way of reloading packs the new weights again.
    """
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

    runner = generation.llm.llm_engine.model_executor.driver_worker.model_runner
    initialize_layerwise_reload(runner.model)
    sync_weights()
    finalize_layerwise_reload(runner.model, runner.model_config)
    pack_heads(runner.model)


def pack_heads(model: Any) -> None:
    """Make a vLLM on a CPU pack its output head again.

    A head that is tied to the embeddings receives no weights of its own, so nothing else triggers this.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for layer in model.modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)
