"""The engine whose completions vLLM writes, in the training processes or in a server; steps are those of transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.distributed import find_rank, on_main
from grpo.engines import EngineFailed
from grpo.engines.transformers import TransformersEngine
from grpo.engines.vllm_server import VllmServer, is_healthy, serve_command, serve_environment
from grpo.local_model import model_folder
from grpo.sections import ModelSection
from grpo.shared_prefix import unwrap
from rewards.errors import RecompensaError, UserError

if TYPE_CHECKING:
    from grpo.config import RunConfig
    from grpo.policy import Policy

LOG = "vllm-server.log"
DIFFERENCE = "sampling/sampling_logp_difference/mean"
# Nats a token; bfloat16 against float32 gives some hundredths, weights that never arrived give more than one.
MOST_DIFFERENCE = 0.5


class VllmEngine:
    """TRL's vLLM, with weights sent to it after every step; `server` is the one the run started, if it did."""

    packages = ("vllm",)

    def __init__(self, section: ModelSection):
        self.section = section
        self.settings = section.vllm
        self.server: VllmServer | None = None
        self._plain = TransformersEngine(section)

    def problems(self, config: RunConfig, world_size: int) -> list[str]:
        model, vllm, problems = config.model, config.model.vllm, []
        if model.quantization != "none":
            problems.append(
                f"model.quantization: {model.quantization} with engine vllm would merge the adapters into 4-bit weights "
                "before every generation, and sample from another policy than the trained one; allowed: none, or engine "
                "transformers"
            )
        if vllm.mode == "colocate" and world_size % vllm.tensor_parallel_size:
            problems.append(
                f"model.vllm.tensor_parallel_size: {vllm.tensor_parallel_size} does not divide the {world_size} "
                f"processes of the run; start a multiple of {vllm.tensor_parallel_size}, or lower it"
            )
        if vllm.mode == "colocate" and vllm.tensor_parallel_size > 1 and config.grpo.dynamic_sampling:
            problems.append(
                f"grpo.dynamic_sampling: {config.grpo.dynamic_sampling} needs each process to generate on its own, but "
                f"model.vllm.tensor_parallel_size {vllm.tensor_parallel_size} makes them generate together; set one to 0 "
                "or 1"
            )
        if vllm.mode == "server" and model.embedded is not None:
            problems.append(
                "model.vllm.mode: server takes its weights over NCCL, between CUDA devices, which the embedded policy has "
                "not; allowed: colocate"
            )
        elif vllm.mode == "server" and vllm.server_base_url is None and vllm.server_devices is None:
            problems.append(
                "model.vllm.server_devices: not given, so the server would take the devices that train; write the "
                "devices it may have, such as '1', or the server_base_url of one that runs already"
            )
        return problems

    def prepare(self) -> None:
        pass

    def load(self, *, texts: Iterable[str], seed: int, device: str) -> Policy:
        return self._plain.load(texts=texts, seed=seed, device=device)

    def restore(self, directory: Path, *, device: str) -> Policy:
        return self._plain.restore(directory, device=device)

    def arguments(self) -> dict[str, Any]:
        vllm = self.settings
        settings = {
            "use_vllm": True,
            "vllm_mode": vllm.mode,
            "vllm_importance_sampling_correction": vllm.importance_sampling_correction,
            "vllm_importance_sampling_mode": vllm.importance_sampling_mode,
            "vllm_importance_sampling_clip_max": vllm.importance_sampling_clip_max,
        }
        if vllm.mode == "server":
            return settings | {
                "vllm_server_base_url": self.url,
                "vllm_server_timeout": vllm.server_timeout,
                "vllm_group_port": vllm.group_port,
            }
        return settings | {
            "vllm_gpu_memory_utilization": vllm.gpu_memory_utilization or 0.3,
            "vllm_tensor_parallel_size": vllm.tensor_parallel_size,
            "vllm_enable_sleep_mode": vllm.enable_sleep_mode,
            "vllm_max_model_length": self.section.max_sequence_length,
        }

    @property
    def url(self) -> str:
        """Where the server answers, the run's own or another."""
        return self.settings.server_base_url or f"http://127.0.0.1:{self.settings.server_port}"

    @contextmanager
    def serving(self, policy: Policy, directory: Path, *, device: str) -> Iterator[None]:
        folder = on_main(lambda: str(find_folder(policy, self.section, directory)))
        # TRL hands this to vLLM, which reads the shape and the tokenizer there.
        policy.model.name_or_path = folder
        if self.settings.mode == "colocate":
            from grpo.policy import resolve_dtype

            options = {
                "dtype": str(resolve_dtype(self.section, device)).removeprefix("torch."),
                "enable_prefix_caching": True,
            }
            if device == "cpu":
                options["enforce_eager"] = True  # compiling takes longer than it ever saves there
            if self.section.embedded is not None:
                # It has no weights on disk; TRL sends them before the first completion.
                options["load_format"] = "dummy"
            with told_llm(options):
                yield
            return
        try:
            on_main(lambda: self._start(folder, directory, device))
            yield
        finally:
            if self.server is not None:
                self.server.stop()

    def attach(self, trainer: Any) -> None:
        generation = trainer.vllm_generation
        if self.settings.mode == "colocate":
            if trainer.accelerator.device.type == "cpu":
                generation.sync_weights = partial(sync_repacked, generation, generation.sync_weights)
            generation.llm.generate = seed_requests(
                generation.llm.generate,
                lambda: draw_seed(trainer, find_rank().index // generation.tensor_parallel_size),
            )
            return
        generate, sync_weights = generation.generate, generation.sync_weights

        def generate_checked(*arguments: Any, **options: Any) -> Any:
            generation.generation_kwargs = {**generation.generation_kwargs, "seed": draw_seed(trainer, 0)}
            return self._ask(partial(generate, *arguments, **options))

        generation.generate = generate_checked
        generation.sync_weights = lambda: self._ask(sync_weights)

    def observe(self, logs: Mapping[str, Any]) -> None:
        difference = logs.get(DIFFERENCE)
        if difference is not None and not difference <= MOST_DIFFERENCE:
            raise RecompensaError(
                f"vLLM samples from another policy than the one that is trained: its log-probabilities differ by "
                f"{difference:.3g} a token on average, more than {MOST_DIFFERENCE}; its weights did not arrive or its "
                "version does not fit (docs/engines.md). The run is kept"
            )

    def _start(self, folder: str, directory: Path, device: str) -> None:
        vllm = self.settings
        if device == "cpu":
            raise UserError(
                "model.vllm.mode: server takes its weights over NCCL, between CUDA devices, and there is none here; "
                "allowed: colocate"
            )
        if vllm.server_base_url is not None:
            if not is_healthy(vllm.server_base_url, timeout=min(vllm.server_timeout, 10)):
                raise UserError(
                    f"model.vllm.server_base_url: no vLLM server answers at {vllm.server_base_url}/health; start one as "
                    "docs/scale_out.md shows, or write null and let the run start it"
                )
            return
        from grpo.policy import resolve_dtype

        command = serve_command(
            folder,
            port=vllm.server_port,
            dtype=str(resolve_dtype(self.section, device)).removeprefix("torch."),
            max_model_len=self.section.max_sequence_length,
            tensor_parallel_size=vllm.tensor_parallel_size,
            gpu_memory_utilization=vllm.gpu_memory_utilization or 0.9,
        )
        self.server = VllmServer(command, self.url, directory / LOG, serve_environment(vllm.server_devices))
        self.server.start(vllm.server_timeout)

    def _ask(self, request: Callable[[], Any]) -> Any:
        """What the server answers; `EngineFailed` in one line where it does not."""
        if self.server is not None:
            self.server.check()
        try:
            return request()
        except Exception as fault:  # requests, sockets and TRL's own plain Exception for a bad status
            if self.server is not None:
                self.server.check()
            if is_healthy(self.url, timeout=10):
                raise
            reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
            raise EngineFailed(
                f"the vLLM server at {self.url} no longer answers ({reason}); look at its log"
            ) from fault


def find_folder(policy: Policy, section: ModelSection, directory: Path) -> Path:
    """A folder in which vLLM finds the policy's config and tokenizer: the model's own, or one written into the run."""
    if section.embedded is None:
        folder = model_folder(section.name, section.revision)
        return folder.resolve() if folder is not None else Path(section.name)
    folder, model = directory / "vllm-model", unwrap(policy.model)
    # Only saving a model notes what it is, and vLLM takes one without a note for an encoder.
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder.resolve()


@contextmanager
def told_llm(options: dict[str, Any]) -> Iterator[None]:
    """Inside, TRL makes its colocated `vllm.LLM` with these options too: GRPOConfig has no setting for them."""
    from trl.generation import vllm_generation

    original = vllm_generation.LLM
    vllm_generation.LLM = partial(original, **options)
    try:
        yield
    finally:
        vllm_generation.LLM = original


def sync_repacked(generation: Any, sync_weights: Callable[[], None]) -> None:
    """Send weights to a colocated vLLM on a CPU, whose layers compute with repacked copies of them.

    TRL writes each weight where vLLM had it when it was loaded. That is enough on a CUDA device; on a CPU with oneDNN the
    place is gone, and what is still there is no longer read. vLLM's own way of reloading packs the new weights again.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

    runner = generation.llm.llm_engine.model_executor.driver_worker.model_runner
    initialize_layerwise_reload(runner.model)
    sync_weights()
    finalize_layerwise_reload(runner.model, runner.model_config)
    # A head tied to the embeddings is sent no weights of its own, so nothing has packed it again.
    for layer in runner.model.modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


def draw_seed(trainer: Any, group: int) -> int:
    """The first seed of a step's requests; a resumed run draws the same completions as one that went on.

    `group` numbers the copies of the policy that generate side by side. Steps are far apart: each request adds one.
    """
    step = trainer.args.seed * 1_000_003 + trainer.state.global_step
    return ((step * 1_009 + group) * 1_000_003) % 2**62


def seed_requests(generate: Callable[..., Any], next_seed: Callable[[], int]) -> Callable[..., Any]:
    """`LLM.generate` whose every request has a seed of its own: one seed for all would make a group of equal texts."""

    def generate_seeded(prompts: Any, sampling_params: Any, **options: Any) -> Any:
        first, seeded = next_seed(), []
        for index in range(len(prompts)):
            params = sampling_params.clone()
            params.seed = first + index
            seeded.append(params)
        return generate(prompts, sampling_params=seeded, **options)

    return generate_seeded
