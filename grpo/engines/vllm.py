"""The engine whose completions vLLM writes, in the training processes or in a server; steps are those of transformers.

Taken hold of in TRL 1.14.2: `VLLMGeneration._iter_named_params` (with `_fix_param_name_to_vllm` and `_dist`), its
`generate`, `sync_weights`, `llm` and `vllm_client`, and the name `LLM` in its module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.config.sections import ModelSection
from grpo.distributed.collectives import on_main
from grpo.distributed.rank import find_rank
from grpo.engines.engine import EngineFailed, ahead_problems, first_words
from grpo.engines.transformers import TransformersEngine
from grpo.engines.versions import find_wrong_versions
from grpo.engines.vllm_client import bound_requests, end_when_late, generate_one_by_one
from grpo.engines.vllm_files import WORKER, find_folder_problems, sent_as_files, weights_file
from grpo.engines.vllm_probe import MOST_DIFFERENCE, WeightProbe, ask_colocated, ask_server, describe
from grpo.engines.vllm_seeds import Seeds, seed_requests
from grpo.engines.vllm_server import VllmServer, is_healthy, is_taken, serve_command, serve_environment, skip_proxies
from grpo.engines.vllm_weights import list_merged, sync_repacked
from grpo.policy.local_files import model_folder
from grpo.policy.shared_prefix import unwrap
from rewards.errors import RecompensaError, UserError

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.policy.loading import Policy

LOG = "vllm-server.log"
DIFFERENCE = "sampling/sampling_logp_difference/mean"
# What cuts or bends the distribution that is sampled from, and the value at which it does not.
BENT = {"top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}


class VllmEngine:
    """TRL's vLLM, with weights sent to it after every step; `server` is the one the run started, if it did."""

    packages: tuple[str, ...] = ("vllm",)

    def __init__(self, section: ModelSection):
        self.section = section
        self.settings = section.vllm
        self.server: VllmServer | None = None
        self._attached = False
        self._sent = False  # weights that no probe has looked for yet
        self._plain = TransformersEngine(section)

    def problems(self, config: RunConfig, world_size: int) -> list[str]:
        model, vllm, problems = config.model, config.model.vllm, ahead_problems(config, world_size)
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
        if vllm.enable_sleep_mode and model.embedded is not None:
            problems.append(
                "model.vllm.enable_sleep_mode: gives back the memory of a CUDA device, which the embedded policy does not "
                "need; set it to false"
            )
        if vllm.mode == "server" and vllm.weight_transfer == "nccl" and model.embedded is not None:
            problems.append(
                "model.vllm.mode: server takes its weights over NCCL, between CUDA devices, which the embedded policy does "
                "not have; write model.vllm.weight_transfer: file, or mode: colocate"
            )
        elif vllm.mode == "server" and vllm.server_base_url is None and vllm.server_devices is None:
            problems.append(
                "model.vllm.server_devices: not given, so the server would take the devices that train; write the "
                "devices it may have, such as '1', or the server_base_url of one that runs already"
            )
        if vllm.importance_sampling_correction:
            problems += [
                f"grpo.{key}: {value} with engine vllm and its importance sampling correction: vLLM's probabilities are "
                "those after it, the policy's those before it, so that their ratio departs from 1 with every token and the "
                f"step is scaled by it; write {off}, or set model.vllm.importance_sampling_correction=false"
                for key, off in BENT.items()
                if (value := getattr(config.grpo, key)) != off
            ]
        return problems

    def prepare(self) -> None:
        problems = find_wrong_versions("vllm", self.packages)
        if find_rank().is_main:
            problems += self._place_problems()
        if problems:
            raise UserError(problems)
        # As TRL sets it, which is imported later.
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        try:
            from vllm import LLM  # noqa: F401 (TRL imports it next, outside of any handling)
            from vllm.platforms import current_platform
        except Exception as fault:  # whatever a library that does not fit this machine may raise
            raise UserError(
                f"model.engine: vllm cannot be imported here ({first_words(fault)}); reinstall it with pip install "
                "-e '.[gpu]', or use engine transformers"
            ) from fault
        if not current_platform.device_type:
            raise UserError(
                "model.engine: the installed vllm finds no device that it was built for; without a CUDA device it takes "
                "vLLM's build for processors (docs/engines.md), or engine transformers"
            )

    def _place_problems(self) -> list[str]:
        """Why the server could not be reached later, after all that comes before it: one line each."""
        vllm = self.settings
        if vllm.mode != "server":
            return []
        problems = [
            f"model.vllm.{key}: port {port} is taken on this machine; end what listens there, or write another port"
            for key, port, own in (
                ("server_port", vllm.server_port, vllm.server_base_url is None),
                ("group_port", vllm.group_port, vllm.weight_transfer == "nccl"),
            )
            if own and is_taken(port)
        ]
        if vllm.weights_folder is not None:
            problems += find_folder_problems(vllm.weights_folder.expanduser())
        if vllm.server_base_url is not None and not is_healthy(vllm.server_base_url, timeout=10):
            problems.append(
                f"model.vllm.server_base_url: no vLLM server answers at {vllm.server_base_url}/health; start one as "
                "docs/scale_out.md shows, or write null and let the run start it"
            )
        return problems

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
            from grpo.policy.loading import resolve_dtype

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
            with ExitStack() as sent:
                if self.settings.weight_transfer == "file":
                    sent.enter_context(sent_as_files(weights_file(self.settings.weights_folder, directory)))
                yield
        except Exception as fault:
            if not self._attached:  # TRL's client speaks to the server as the trainer is made
                self._explain(fault)
            raise
        finally:
            if self.server is not None:
                self.server.stop()

    def attach(self, trainer: Any) -> None:
        self._attached, generation = True, trainer.vllm_generation
        probe = WeightProbe(self._probe_text(trainer))
        generation._iter_named_params = partial(list_merged, generation, generation._iter_named_params)
        if self.settings.mode == "colocate":
            if trainer.accelerator.device.type == "cpu":
                generation.sync_weights = partial(sync_repacked, generation, generation.sync_weights)
            copy = find_rank().index // generation.tensor_parallel_size
            ask = ask_colocated(generation.llm.generate)
            generation.sync_weights = partial(self._note_sent, generation.sync_weights)
            seeded = seed_requests(generation.llm.generate, Seeds(trainer, copy))

            def generate_probed(*given: Any, **named: Any) -> Any:
                # Not as soon as the weights were sent: a vLLM that sleeps has no room for completions yet.
                if self._sent:
                    self._sent = False
                    probe.run(trainer, ask)
                return seeded(*given, **named)

            generation.llm.generate = generate_probed
            return
        generate, sync_weights = generation.generate, generation.sync_weights
        if trainer.accelerator.is_main_process:
            client = generation.vllm_client
            bound_requests(client.session, self.settings.server_timeout)
            client.generate = generate_one_by_one(client.generate, Seeds(trainer, 0))
        generation.generate = lambda *given, **named: self._ask(partial(generate, *given, **named))

        def send() -> None:
            self._send(sync_weights)
            if trainer.accelerator.is_main_process:
                self._ask(lambda: probe.run(trainer, ask_server(generation.vllm_client)))

        generation.sync_weights = send

    def _note_sent(self, sync_weights: Callable[[], None]) -> None:
        sync_weights()
        self._sent = True

    def _probe_text(self, trainer: Any) -> list[int]:
        rows = trainer.train_dataset
        ids, *_ = trainer._tokenize_prompts([rows[0]["prompt"]]) if len(rows) else ([[]],)
        return ids[0]

    def observe(self, logs: Mapping[str, Any]) -> None:
        difference = logs.get(DIFFERENCE)
        if difference is not None and not difference <= MOST_DIFFERENCE:
            raise RecompensaError(
                describe(
                    f"its log-probabilities differ by {difference:.3g} a token on average, more than {MOST_DIFFERENCE}"
                )
            )

    def _start(self, folder: str, directory: Path, device: str) -> None:
        vllm = self.settings
        if device == "cpu" and vllm.weight_transfer == "nccl":
            raise UserError(
                "model.vllm.mode: server takes its weights over NCCL, between CUDA devices, and this machine has none; "
                "write model.vllm.weight_transfer: file, or mode: colocate"
            )
        if vllm.server_base_url is not None:
            if not is_healthy(vllm.server_base_url, timeout=10):
                raise EngineFailed(
                    f"the vLLM server at {vllm.server_base_url} answered at the start but is gone; restart it as "
                    "docs/scale_out.md shows"
                )
            return
        from grpo.policy.loading import resolve_dtype

        command = serve_command(
            folder,
            port=vllm.server_port,
            dtype=str(resolve_dtype(self.section, device)).removeprefix("torch."),
            max_model_len=self.section.max_sequence_length,
            tensor_parallel_size=vllm.tensor_parallel_size,
            gpu_memory_utilization=vllm.gpu_memory_utilization or 0.9,
            more=self._server_options(device),
        )
        skip_proxies("127.0.0.1")
        self.server = VllmServer(command, self.url, directory / LOG, serve_environment(vllm.server_devices))
        self.server.start(vllm.server_timeout)

    def _server_options(self, device: str) -> list[str]:
        """Options of the run's own server beyond those of TRL's command."""
        options = ["--worker-extension-cls", WORKER] if self.settings.weight_transfer == "file" else []
        if device == "cpu":
            options += ["--enforce_eager", "True"]  # compiling takes longer than it ever saves there
        if self.section.embedded is not None:
            options += [
                "--load-format",
                "dummy",
            ]  # it has no weights on disk, and is sent them before the first completion
        return options

    def _ask(self, request: Callable[[], Any]) -> Any:
        """What the server answers; `EngineFailed` in one line where it does not."""
        if self.server is not None:
            self.server.check()
        try:
            return request()
        except Exception as fault:  # requests, sockets and TRL's own plain Exception for a bad status
            self._explain(fault)
            raise

    def _send(self, sync_weights: Callable[[], None]) -> None:
        """Send the weights; a server that is lost on the way ends the process, as nothing else can."""
        if not find_rank().is_main:
            sync_weights()
            return
        line = (
            f"error: the vLLM server at {self.url} did not take the weights in {self.settings.server_timeout:.0f} s; the run "
            "is kept, continue from its last checkpoint with python -m grpo.run --resume"
        )
        # A minute after the requests that go with them have given up in their own, better words.
        with end_when_late(self.settings.server_timeout + 60, line, self.server):
            self._ask(sync_weights)

    def _explain(self, fault: Exception) -> None:
        """Raise `EngineFailed` in one line where the fault is that the server is gone or silent."""
        if isinstance(fault, RecompensaError) or not find_rank().is_main:
            return
        from requests import Timeout

        if self.server is not None:
            self.server.check()
        if isinstance(fault, Timeout) or not is_healthy(self.url, timeout=10):
            where = f"read {self.server.log}" if self.server is not None else "look at its log"
            raise EngineFailed(
                f"the vLLM server at {self.url} no longer answers ({first_words(fault)}); {where}"
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
    """Inside, TRL makes its colocated `vllm.LLM` with these options too: GRPOConfig has no setting for them.

    Where vLLM cannot start, its pages of traces become `EngineFailed` in one line.
    """
    from trl.generation import vllm_generation

    original = vllm_generation.LLM

    def make(**given: Any) -> Any:
        try:
            return original(**given, **options)
        except Exception as fault:  # vLLM's own, pydantic's, torch's
            raise EngineFailed(
                f"vLLM cannot start alongside the training ({first_words(fault)}); free the device's memory or lower "
                "model.vllm.gpu_memory_utilization, or use engine transformers"
            ) from fault

    vllm_generation.LLM = make
    try:
        yield
    finally:
        vllm_generation.LLM = original
