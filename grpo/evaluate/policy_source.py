"""Which policy is meant by a name: a finished run, an adapter, a local folder, or a model on the Hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from grpo.lifecycle.run_group import hint_group
from grpo.policy.adapters import WEIGHTS
from grpo.policy.gguf_file import find_gguf
from grpo.policy.local_files import looks_local, model_folder
from rewards.errors import UserError
from rewards.writing.files import read_object

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.policy.loading import Policy

_SECTIONS = ("name", "seed", "threads", "model", "grpo", "rewards", "evaluation")
_ROW_SECTIONS = ("data", "sft_warmup")


@dataclass(frozen=True, slots=True)
class PolicySource:
    """A policy that can be loaded: `location` is its folder or Hub name, `run` the run it belongs to.

    `revision` is the config's, where it is for this model or its base.
    """

    kind: Literal["model", "adapter", "endpoint"]
    location: str
    name: str
    base: str | None = None
    run: Path | None = None
    revision: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What identifies the policy, so that a resumed evaluation is not of another one.

        The fingerprint is None for a Hub model that this machine does not hold yet.
        """
        if self.kind == "endpoint":
            return {"name": self.name, "kind": self.kind, "location": self.location, "base": None, "fingerprint": None}
        parts = [_fingerprint(name, self.revision) for name in (self.location, self.base) if name is not None]
        return {
            "name": self.name,
            "kind": self.kind,
            "location": str(Path(self.location).resolve()) if looks_local(self.location) else self.location,
            "base": self.base,
            "fingerprint": "+".join(part for part in parts if part) if all(parts) else None,
        }


def find_source(model: str) -> PolicySource:
    """The policy that `--model` names; UserError when a path holds none. Nothing is downloaded or imported.

    Of a run it is the best policy, or that of the warm-up where training never bettered it.
    """
    if model.startswith(("http://", "https://")):
        from grpo.evaluate.endpoint_writer import find_endpoint

        address, name = find_endpoint(model)
        return PolicySource("endpoint", f"{address}#{name}", name.rpartition("/")[2])
    path = Path(model).expanduser()
    if model.endswith(".gguf"):
        file = find_gguf(model)
        return PolicySource("model", str(file), file.stem)
    if not path.is_dir():
        if looks_local(model) or model.count("/") > 1 or path.exists():
            raise UserError(
                f"--model {model}: no such folder; give a run, a model's or adapter's folder, or a Hub name"
            )
        return PolicySource("model", model, model.rpartition("/")[2])
    if is_run(path):
        for name in ("best", "sft"):
            if (folder := path / name).is_dir():
                return _read_folder(folder, path.resolve().name, path)
        raise UserError(
            f"--model {model}: this run kept no policy (best/ or sft/): it never got better than the model it started "
            "from; evaluate that one"
        )
    run = next((parent for parent in list(path.resolve().parents)[:2] if is_run(parent)), None)
    name = f"{run.name}-{path.resolve().name}" if run else path.resolve().name
    return _read_folder(path, name, run)


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run."""
    return "config" in read_object(path / "config.json")


def load_run_config(run: Path, *, rows: bool = False) -> RunConfig:
    """The config of a run, as far as an evaluation needs it; UserError where this version cannot read it.

    `rows` asks for the sections that its training rows follow from, which another version may have written otherwise.
    """
    from pydantic import ValidationError

    from grpo.config.run_config import RunConfig

    recorded = read_object(run / "config.json").get("config") or {}
    sections = _SECTIONS + (_ROW_SECTIONS if rows else ())
    try:
        return RunConfig.model_validate({key: recorded[key] for key in sections if key in recorded})
    except ValidationError as error:
        from grpo.config.problems import explain_config

        first = explain_config(error, lambda key: (str(run / "config.json"), None))[0]
        raise UserError(f"{first}; this version cannot read the run's config: give --config") from None


def load_source(source: PolicySource, config: RunConfig, device: str) -> Policy:
    """The policy on `device`; adapters are merged, which generates faster, unless the weights are quantised.

    4-bit weights would round what is merged into them to another policy than the one that was trained.
    """
    if source.kind == "adapter":
        return _load_adapter(source, config, device)
    return _load_model(source.location, source.revision, config, device)


def _read_folder(folder: Path, name: str, run: Path | None) -> PolicySource:
    adapter = read_object(folder / "adapter_config.json")
    if adapter:
        if not any((folder / weights).is_file() for weights in WEIGHTS):
            raise UserError(
                f"--model {folder}: an adapter_config.json without {WEIGHTS[0]}; no adapter was saved in it"
            )
        base = adapter.get("base_model_name_or_path")
        base = str(base) if base else None
        if base is None and run is None:
            raise UserError(f"{folder}: its adapter_config.json names no base model; add base_model_name_or_path")
        return PolicySource("adapter", str(folder), name, base, run)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"--model {folder}: neither config.json nor adapter_config.json there; no policy was saved in it{hint_group(folder)}"
        )
    return PolicySource("model", str(folder), name, None, run)


def _load_model(location: str, revision: str | None, config: RunConfig, device: str) -> Policy:
    from grpo.policy.loading import load_policy

    section = config.model.model_copy(
        update={
            "name": location, "revision": revision, "embedded": None, "lora": None,
            "gguf": location if location.endswith(".gguf") else None,
            "max_sequence_length": 16,  # how long prompts and answers are is checked row by row
        }
    )  # fmt: skip
    try:
        return load_policy(section, texts=(), seed=config.seed, device=device)
    except UserError as error:
        raise UserError([line.replace("model.name: ", "--model ", 1) for line in error.problems]) from None


def is_made_on_the_spot(source: PolicySource) -> bool:
    """Whether it is an adapter on weights that a run made and never saved."""
    return source.kind == "adapter" and source.run is not None and bool(load_run_config(source.run).model.embedded)


def _load_adapter(source: PolicySource, config: RunConfig, device: str) -> Policy:
    from grpo.policy.loading import Policy

    if source.run is not None and is_made_on_the_spot(source):
        # The base was never saved: it is made again from the run's rows and seed.
        run = load_run_config(source.run, rows=True)
        from peft import load_peft_weights, set_peft_model_state_dict

        from grpo.data.run_rows import load_inputs
        from grpo.policy.loading import load_policy
        from grpo.policy.tokenizer import training_texts

        policy = load_policy(run.model, texts=training_texts(load_inputs(run).taught), seed=run.seed, device=device)
        set_peft_model_state_dict(policy.model, load_peft_weights(source.location, device=device))
        return Policy(policy.model.merge_and_unload(), policy.tokenizer, template=policy.template)
    gguf = _find_base_file(source, config)
    below = gguf or source.base
    if below is None:
        raise UserError(f"{source.location}: its adapter_config.json names no base model")
    from transformers import AutoTokenizer

    from grpo.policy.adapters import AdapterUnfit, put_on

    base = _load_model(below, source.revision, config, device)
    folder = Path(source.location)
    # The adapter's own tokenizer, where it brings one: it may know tokens that the base does not.
    tokenizer = base.tokenizer
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.chat_template is None:
            tokenizer.chat_template = base.tokenizer.chat_template
    try:
        model = put_on(base.model, source.location)
        model = model.merge_and_unload() if config.model.quantization == "none" else model
    except (AdapterUnfit, RuntimeError, ValueError) as fault:
        raise UserError(
            f"--model {source.location}: does not fit its base {source.base} ({str(fault).splitlines()[0][:200]})"
        ) from None
    return Policy(model, tokenizer, authors=base.authors, template=base.template)


def _find_base_file(source: PolicySource, config: RunConfig) -> str | None:
    """The GGUF file below an adapter: that of its run, or of the config; None where its base is a model by name."""
    section = load_run_config(source.run).model if source.run is not None else config.model
    return str(find_gguf(section.gguf)) if section.gguf is not None else None


def _fingerprint(name: str, revision: str | None) -> str | None:
    """The commit of a Hub model, or of a folder its files' names, sizes and times: another policy in the same place."""
    if Path(name).is_file():
        return f"{Path(name).stat().st_size:x}-{Path(name).stat().st_mtime_ns:x}"
    folder = model_folder(name, revision)
    if folder is None:
        return None
    if not looks_local(name):
        return folder.name
    entries = sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir() if file.is_file()
    )
    return hashlib.sha256(repr(entries).encode()).hexdigest()[:16]
