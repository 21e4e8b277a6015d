"""One export from start to end: load, merge, check, write, prove, describe; nothing is left where any of it fails."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.export import gguf_writer
from grpo.export.adding import add
from grpo.export.card import write_card
from grpo.export.choice import PolicyToExport, identify_base
from grpo.export.folder import drafting, list_files
from grpo.export.gguf_vocabulary import read_vocabulary
from grpo.export.greedy import answer_or_confirm
from grpo.export.held_rows import Held, Request, answer_limit, hold_rows, own_answers, token_rows
from grpo.export.llama_cpp import is_installed
from grpo.export.merging import merge, round_weights
from grpo.export.ollama import find_shape, write_modelfile
from grpo.export.plain_template import export_template
from grpo.export.policy import open_policy
from grpo.export.proof import ExportProof, Judged, ProofFailed, compare, judge, prove_gguf
from grpo.export.published import hide_base, hub_name, public_name
from grpo.export.serving import serving_lines
from grpo.export.vllm_proof import prove_vllm, require_vllm
from grpo.machine.freed_memory import give_back_memory
from rewards.errors import UserError
from rewards.writing.files import read_object, write_json

if TYPE_CHECKING:
    from callbacks.progress import Progress
    from grpo.policy.loading import Policy

FORMATS = ("adapter", "safetensors", "gguf-f32", "gguf-f16", "gguf-bf16", "gguf-q8_0")


@dataclass
class Exported:
    """What was exported."""

    folder: Path
    proofs: list[ExportProof]
    record: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def export(request: Request, progress: Progress) -> Exported:
    """Write the export and return what was shown of it.

    UserError for what cannot be exported as asked, `MergeFailed`, `TemplateFailed` and `ProofFailed` for what turned out
    to be another policy; then nothing is left.
    """
    choice = request.choice
    notes: list[str] = []
    held = hold_rows(request, notes)
    formats = _choose_formats(request, notes)
    if request.vllm:
        require_vllm(formats)
    needed = _estimate_bytes(choice, formats)
    with drafting(request.destination, needed=needed) as draft:
        if held.host is None:
            return _export(request, held, formats, draft, progress, notes)
        with held.host:
            return _export(request, held, formats, draft, progress, notes)


def _export(
    request: Request, held: Held, formats: list[str], draft: Path, progress: Progress, notes: list[str]
) -> Exported:
    choice = request.choice
    progress.say(f"exporting {choice.name}: {choice.describe()}")
    adapter = draft / "adapter" if any(each != "adapter" for each in formats) else draft
    if "adapter" in formats:
        _copy_adapter(choice, adapter)
        if request.repository is not None and (left := hide_base(adapter)) is not None:
            notes.append(left)
    checks: dict[str, Any] = {}
    proofs: list[ExportProof] = []
    if formats != ["adapter"]:
        policy = open_policy(choice, request.device)
        give_back_memory()
        if request.added:
            policy.model = add(policy.model, list(request.added))
        obstacle = gguf_writer.find_obstacle(policy.model.config)
        if obstacle is not None:
            formats = _without_gguf(request, formats, obstacle, notes)
        formats = _check_vocabulary(request, policy, formats, notes)
        own = own_answers(request, policy, held, progress)
        give_back_memory()
        _merge(request, policy, held, checks, progress)
        give_back_memory()
        proofs = _write_and_prove(request, policy, held, own, formats, draft, progress)
    elif held.examples and request.rows:
        notes.append("an adapter is copied as it is: nothing was merged, so nothing had to be proved")
    record = _describe(request, held, formats, checks, proofs, notes, draft)
    (draft / "README.md").write_text(
        write_card(choice, record, held.inputs, request.repository or str(request.destination)), encoding="utf-8"
    )
    # Libraries write weights for their owner alone; who may read the card may read them.
    for path in draft.rglob("*"):
        if path.is_file():
            shutil.copymode(draft / "README.md", path)
    record["files"] = list_files(draft)
    write_json(draft / "export.json", record)
    return Exported(request.destination, proofs, record, notes)


# -- weights -------------------------------------------------------------------------------------------------------------


def _merge(request: Request, policy: Policy, held: Held, checks: dict[str, Any], progress: Progress) -> None:
    rows = token_rows(policy, held)
    check = merge(policy, rows)
    if check is not None:
        checks["merge"] = check.to_json()
        progress.say(
            f"merged equals base plus adapter: logits differ by at most {check.largest_difference:.2g} over {check.rows} "
            f"rows (allowed {check.tolerance:.2g})"
        )
    if request.dtype == "bfloat16" and (rounded := round_weights(policy, "bfloat16", rows)) is not None:
        checks["rounding"] = rounded.to_json()
        progress.say(
            f"rounded to bfloat16: logits move by at most {rounded.largest_difference:.2g} (allowed {rounded.tolerance:.2g})"
        )
    elif request.dtype == "float32":
        policy.model.float()


def _write_and_prove(
    request: Request, policy: Policy, held: Held, own: Judged | None, formats: list[str], draft: Path, progress: Progress
) -> list[ExportProof]:  # fmt: skip
    conversations = [row.prompt for row in held.examples]
    template = export_template(policy.prompts, conversations)
    context = int(getattr(policy.model.config.get_text_config(), "max_position_embeddings", 4096))
    kinds = [each.removeprefix("gguf-") for each in formats if each.startswith("gguf-")]
    start = policy.tokenizer.bos_token or ""
    adds_start = bool(start) and policy.prompts.render(conversations[0], reply=True).startswith(start)
    files = [_write_gguf(request, policy, template, adds_start, kind, draft) for kind in kinds]
    if files:
        shape = find_shape(lambda m: policy.prompts.render(m, reply=True), conversations, start if adds_start else "")
        chosen = next((file for file in files if file.name.endswith("q8_0.gguf")), files[0])
        stops = [policy.tokenizer.convert_ids_to_tokens(token) for token in policy.eos_ids]
        text = write_modelfile(chosen.name, shape, stops, context=context, temperature=0.0)
        (draft / "Modelfile").write_text(text, encoding="utf-8")
    if "safetensors" in formats:
        _write_safetensors(policy, template, draft)
    prompts, limit = policy.prompts, answer_limit(request)
    # What was loaded is not needed any more; the proof loads what was written.
    policy.model = None
    give_back_memory()
    proofs = []
    if "safetensors" in formats and own is not None:
        proofs.append(_prove_safetensors(request, prompts, held, own, draft, progress))
        give_back_memory()
        if request.vllm:
            proofs.append(prove_vllm(request, held, own, draft, progress))
    for file in files:
        if own is None:
            proofs.append(ExportProof(file.name, None, note="--proof-rows 0"))
        elif not is_installed():
            proofs.append(
                ExportProof(file.name, None, note="pip install xllamacpp, which is llama.cpp, and export again")
            )
        else:
            with progress.stage(f"proof of {file.name}", len(held.examples), unit="rows") as bar:
                proof = prove_gguf(
                    file, prompts, held.examples, held.host, own,
                    limit=limit, adds_start=adds_start, threads=request.threads, advance=bar.advance,
                )  # fmt: skip
            proofs.append(proof)
    for proof in proofs:
        progress.say(proof.describe())
    problems = [line for proof in proofs for line in proof.problems]
    if problems:
        raise ProofFailed("; ".join(problems) + ". Nothing was left; --proof-rows 0 exports without a proof")
    return proofs


def _write_gguf(request: Request, policy: Policy, template: str, adds_start: bool, kind: str, draft: Path) -> Path:
    tokenizer, model = policy.tokenizer, policy.model
    vocabulary = read_vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0])
    end = policy.prompts.find_end_token()
    tokens = gguf_writer.TurnTokens(
        end if end is not None else policy.eos_ids[0],
        tuple(policy.eos_ids),
        tokenizer.pad_token_id,
        tokenizer.bos_token_id,
        adds_start,
    )
    path = draft / f"{request.choice.name}-{kind}.gguf"
    gguf_writer.write_gguf(model, vocabulary, tokens, template, path, kind=kind, name=request.choice.name)
    return path


def _write_safetensors(policy: Policy, template: str, draft: Path) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    own = policy.tokenizer.chat_template
    policy.tokenizer.chat_template = template
    try:
        policy.save(draft)
    finally:
        policy.tokenizer.chat_template = own


def _prove_safetensors(
    request: Request, prompts: Any, held: Held, own: Judged, draft: Path, progress: Progress
) -> ExportProof:
    """Load what was written by transformers alone, with the template that lies beside it, and let it answer."""
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from grpo.policy.generation_settings import take_from
    from grpo.policy.loading import Policy

    proof = ExportProof("model.safetensors", f"transformers {transformers.__version__}")
    tokenizer = AutoTokenizer.from_pretrained(draft, trust_remote_code=False)
    for row in held.examples:
        if tokenizer.apply_chat_template(list(row.prompt), add_generation_prompt=True, return_dict=True)[
            "input_ids"
        ] != (prompts.prompt_ids(row.prompt)):
            proof.problems.append(f"{proof.file}: row {row.id} becomes other tokens than in the run")
            return proof
        proof.conversations += 1
    model = AutoModelForCausalLM.from_pretrained(draft, dtype="auto", trust_remote_code=False).to(request.device).eval()
    take_from(model)
    policy = Policy(model, tokenizer)
    limit, batch = answer_limit(request), min(64, request.choice.config.evaluation.batch_size)
    with progress.stage("proof of the safetensors", len(held.examples), unit="rows") as bar:
        known, advance = own.completions, bar.advance
        answers = answer_or_confirm(policy, held.examples, known, limit=limit, batch=batch, advance=advance)
    return compare(proof, held.examples, judge(proof.runtime or "", held.examples, answers, held.host), own)


def _copy_adapter(choice: PolicyToExport, target: Path) -> None:
    """The adapter's files byte by byte, without PEFT's blank card and what training needs to go on."""
    left_out = {
        "README.md",
        "optimizer.pt",
        "scheduler.pt",
        "training_args.bin",
        "trainer_state.json",
        "policy.json",
        "manifest.json",
    }
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(choice.folder.iterdir()):
        if path.is_file() and path.name not in left_out and not path.name.startswith("rng_state"):
            shutil.copy2(path, target / path.name)


# -- what is asked for ---------------------------------------------------------------------------------------------------


def _choose_formats(request: Request, notes: list[str]) -> list[str]:
    choice = request.choice
    adapter = choice.source.kind == "adapter"
    if request.formats is None:
        chosen = [
            *(["adapter"] if adapter and not request.added and choice.config.model.embedded is None else []),
            "safetensors",
        ]
        from importlib.util import find_spec

        if find_spec("gguf") is None:
            notes.append(
                "no GGUF: pip install 'gguf>=0.17,<1' and export again, or convert the safetensors by llama.cpp"
            )
            return chosen
        return [*chosen, "gguf-f16", "gguf-q8_0"]
    chosen = list(dict.fromkeys(request.formats))
    if "adapter" in chosen and request.added:
        raise UserError("--add: a sum of adapters is written merged; leave --format adapter out")
    if "adapter" in chosen and not adapter:
        raise UserError(f"--format adapter: {choice.source.location} is a whole model; leave it out")
    if "adapter" in chosen and choice.config.model.embedded is not None:
        raise UserError(
            "--format adapter: its base was made on the spot and is not available anywhere; export it with --format safetensors"
        )
    if any(each.startswith("gguf-") for each in chosen):
        gguf_writer.require_gguf()
    return chosen


def _without_gguf(request: Request, formats: list[str], obstacle: str, notes: list[str]) -> list[str]:
    """The formats without GGUF and llama.cpp's own line as a note; UserError where GGUF was asked for by name."""
    kinds = [each.removeprefix("gguf-") for each in formats if each.startswith("gguf-")]
    if not kinds:
        return formats
    line = gguf_writer.conversion_line(Path(request.repository or request.destination), kinds[0])
    if request.formats is not None:
        raise UserError(f"--format gguf-{kinds[0]}: {obstacle}; export it with --format safetensors, then: {line}")
    notes.append(f"no GGUF: {obstacle}; llama.cpp converts the safetensors: {line}")
    return [each for each in formats if not each.startswith("gguf-")]


def _check_vocabulary(request: Request, policy: Policy, formats: list[str], notes: list[str]) -> list[str]:
    """The formats without GGUF where llama.cpp has no tokenizer for this one; UserError where GGUF was asked for by name."""
    if not any(each.startswith("gguf-") for each in formats):
        return formats
    try:
        read_vocabulary(policy.tokenizer, policy.model.get_input_embeddings().weight.shape[0])
    except UserError as fault:
        if request.formats is not None:
            raise
        notes.append(f"no GGUF: {fault.problems[0].removeprefix('gguf: ')}")
        return [each for each in formats if not each.startswith("gguf-")]
    return formats


def _estimate_bytes(choice: PolicyToExport, formats: Sequence[str]) -> int:
    """About how many bytes the formats take, by the size of the base where that is known."""
    from grpo.plan.memory_estimate import find_shape

    size = sum(path.stat().st_size for path in choice.folder.glob("*")) if choice.folder.is_dir() else 0
    shape, _ = find_shape(choice.config.model)
    weights = shape.parameters if shape is not None else size // 2
    each = {
        "adapter": size,
        "safetensors": 4 * weights,
        "gguf-f32": 4 * weights,
        "gguf-f16": 2 * weights,
        "gguf-bf16": 2 * weights,
    }
    return int(1.02 * sum(each.get(name, 17 * weights // 16) for name in formats)) + (16 << 20)


def _describe(
    request: Request, held: Held, formats: list[str], checks: dict[str, Any], proofs: list[ExportProof], notes: list[str], draft: Path
) -> dict[str, Any]:  # fmt: skip
    choice = request.choice
    files = list_files(draft)
    base = identify_base(choice)
    shown, named = (str, hub_name) if request.repository is None else (public_name, public_name)
    loaded = base["name"] and shown(base["name"])
    base = {key: named(value) if key in ("name", "gguf") and value else value for key, value in base.items()}
    place = request.destination if request.repository is None else Path(request.repository)
    adapter = read_object(choice.folder / "adapter_config.json") if "adapter" in formats else None
    served = serving_lines(place, choice.name, list(files), adapter=adapter or None, base=loaded)
    limits = [note for note in notes if note.startswith("no GGUF")]
    if choice.config.model.chat_template_kwargs:
        limits.append("the template is rendered with the run's settings unless others are given")
    return {
        "format": 1,
        "name": choice.name,
        "made_by": f"recompensa {version('recompensa')}",
        "source": {
            "run": choice.run.resolve().name if choice.run else None, "folder": shown(choice.source.location), "kind": choice.source.kind,
            "step": choice.step, "stage": choice.stage,
        },
        "added": [{"run": each.choice.name, "folder": shown(each.choice.source.location), "weight": each.weight} for each in request.added],
        "base": base,
        "formats": list(formats),
        "checks": checks,
        "proofs": [{**proof.to_json(), "summary": proof.describe()} for proof in proofs],
        "rewards": _identities(held),
        "serve": served,
        "limits": limits,
        "notes": notes,
        "files": files,
    }  # fmt: skip


def _identities(held: Held) -> list[dict[str, Any]]:
    return [each.to_json() for each in held.host.identities().values()] if held.host is not None else []
