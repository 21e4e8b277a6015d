"""The model card: what was trained on what, how it was judged, what it cannot do, and how to get it again."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from grpo.config.sections import ModelSection
from grpo.export.choice import PolicyToExport
from grpo.export.proof import show
from grpo.export.published import hide_folders
from grpo.export.serving import transformers_lines
from grpo.policy.gguf_file import find_gguf, read_gguf
from grpo.policy.local_files import model_folder
from grpo.report.run_files import as_list, as_mapping
from rewards.errors import UserError
from rewards.screen.amounts import format_size
from rewards.statistics.estimates import ALL
from rewards.types import Example

_STOPWORDS = {
    "pt": {"não", "que", "uma", "com", "para", "os", "em", "do", "da", "é", "muito", "foi", "mais", "produto", "você"},
    "en": {"the", "and", "is", "of", "to", "in", "that", "it", "for", "with", "was", "what", "this", "are"},
    "es": {"que", "los", "las", "una", "con", "para", "el", "es", "por", "muy", "más", "pero", "producto", "usted"},
    "fr": {"les", "des", "une", "est", "que", "pour", "dans", "avec", "pas", "très", "vous", "qui"},
    "de": {"der", "die", "und", "das", "ist", "nicht", "ein", "mit", "für", "sehr", "ich", "auf"},
}
_LICENSE = re.compile(r"^license:\s*[\"']?([\w.\-]+)", re.MULTILINE)


def find_licence(section: ModelSection) -> str | None:
    """The licence that the base's own card or GGUF file names; None where this machine holds neither, or it says none."""
    if section.embedded is not None:
        return "apache-2.0"
    if section.gguf is not None:
        try:
            found = read_gguf(find_gguf(section.gguf)).fields.get("general.license")
        except UserError:
            found = None
        if isinstance(found, str) and found:
            return found
    folder = model_folder(section.name, section.revision)
    card = folder / "README.md" if folder is not None else None
    try:
        text = card.read_text(encoding="utf-8")[:20_000] if card is not None else ""
    except (OSError, UnicodeDecodeError):
        return None
    head = text.split("---")[1] if text.startswith("---") and text.count("---") > 1 else ""
    found = _LICENSE.search(head)
    return found[1] if found else None


def guess_languages(rows: Sequence[Example]) -> list[str]:
    """The languages that a tenth of the rows or more are in, by their small words; the most frequent first."""
    counts = dict.fromkeys(_STOPWORDS, 0)
    for row in rows[:400]:
        said = " ".join([message["content"] for message in row.prompt] + [row.reference or ""])
        words = re.findall(r"[^\W\d_]+", said.lower())
        hits = {language: sum(word in small for word in words) for language, small in _STOPWORDS.items()}
        best = max(hits, key=lambda language: hits[language])
        if hits[best] >= 2:
            counts[best] += 1
    told = max(1, sum(counts.values()))
    return [name for name, count in sorted(counts.items(), key=lambda item: -item[1]) if count and count >= told / 10]


def fingerprint_rows(rows: Sequence[Example]) -> str:
    """12 hex digits that change with any row's task, id, prompt or reference."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(orjson.dumps([row.task, row.id, list(map(dict, row.prompt)), row.reference], default=str) + b"\n")
    return digest.hexdigest()[:12]


def write_card(choice: PolicyToExport, record: Mapping[str, Any], inputs: Any = None, place: str = ".") -> str:
    """The card in Markdown with the Hub's front matter; `record` is what export.json holds, `inputs` the run's rows."""
    languages = guess_languages([*inputs.train, *inputs.held_out]) if inputs is not None else []
    licence = find_licence(choice.config.model)
    base = as_mapping(record["base"])
    parts = [
        _front_matter(base["name"], licence, languages),
        f"# {choice.name}",
        _opening(choice, base, record),
        _base(base, licence, choice),
    ]
    if choice.files is not None:
        parts += [_numbers(choice), _decision(choice), _data(choice, inputs, languages), _recipe(choice)]
        parts += [_rewards(record), _limits(choice, record)]
    parts += [_proofs(record), _use(record, place)]
    if choice.files is not None:
        parts.append(_reproduce(choice))
    parts.append(_files(record))
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(base: str | None, licence: str | None, languages: Sequence[str]) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    if base is not None and not base.startswith((".", "/", "~")):
        lines.append(f"base_model: {json.dumps(base)}")
    lines += [f"license: {json.dumps(licence)}"] if licence else []
    lines += ["language:", *(f"- {language}" for language in languages)] if languages else []
    return "\n".join([*lines, "tags:", "- recompensa", "- grpo", "---"])


def _opening(choice: PolicyToExport, base: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    step = {None: "", 0: " after the SFT warm-up"}.get(
        choice.step, f" after {choice.step} step{'s' * (choice.step != 1)} of GRPO"
    )
    name = f"`{base['name']}`" if base["name"] else "A small policy made on the spot"
    if added := as_list(record.get("added")):
        others = ", ".join(f"{each['weight']:g} times that of run `{each['run']}`" for each in added)
        return f"{name} with the adapter of run `{choice.name}` and {others}. **No run has judged this sum.**"
    return f"{name}{step}, taken from run `{choice.name}`. Every number below is of these weights, on held-out rows."


def _base(base: Mapping[str, Any], licence: str | None, choice: PolicyToExport) -> str:
    if base["name"] is None:
        return "## Base\n\nQwen3's architecture with random weights, made by recompensa (Apache-2.0); a rehearsal, not a product."
    said = licence or "**not known on the machine that exported this: look it up before you pass the model on**"
    lines = [
        f"## Base\n\n`{base['name']}`"
        + (f" at revision `{base['revision']}`" if base.get("revision") else "")
        + f"; licence: {said}."
    ]
    if base.get("gguf"):
        lines.append(
            f"Its weights were read from `{base['gguf'].rpartition('/')[2]}` and made full again: the adapter alone, over the "
            "original weights, is a slightly different function."
        )
    if choice.config.model.quantization == "nf4":
        lines.append("Trained over 4-bit NF4 weights; merged are the de-quantised weights that training saw.")
    return "\n".join(lines)


def _numbers(choice: PolicyToExport) -> str:
    files = choice.files
    assert files is not None  # the caller looks first
    columns = {"this model": choice.recorded()}
    for stage, title in (("warmup", "after the warm-up"), ("before", "zero-shot")):
        found = files.find_evaluation(stage)
        if found is not None and not (stage == "warmup" and choice.step == 0):
            columns[title] = dict(found.estimates)
    tasks = [ALL, *sorted({task for cells in columns.values() for task in cells} - {ALL})]
    evaluation = choice.config.evaluation
    head = f"## Held-out reward\n\nMean reward, 95 % interval, n; sampled at temperature {evaluation.temperature:g}."
    table = ["| task | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for task in tasks:
        cells = [f"{show(cell)}, n {cell.n}" if (cell := each.get(task)) else "–" for each in columns.values()]
        table.append(f"| {_cell(task)} | " + " | ".join(cells) + " |")
    return head + "\n\n" + "\n".join(table)


def _decision(choice: PolicyToExport) -> str:
    decision = as_mapping(choice.files.decision if choice.files else None)
    if not decision:
        return ""
    said = " ".join(str(decision.get(key) or "") for key in ("reason", "action")).strip()
    return f"## Decision of the run\n\n**{_cell(decision.get('scenario'))}: {_cell(decision.get('title'))}.** {_cell(said)}"


def _data(choice: PolicyToExport, inputs: Any, languages: Sequence[str]) -> str:
    if inputs is None:
        return "## Data\n\nThe run's rows are no longer where its config names them."
    lines = ["## Data\n", "| rows | n | fingerprint |", "|---|---|---|"]
    for title, rows in (("training", inputs.train), ("held out", inputs.held_out), ("warm-up", inputs.warmup)):
        if rows:
            lines.append(f"| {title} | {len(rows):,} | `{fingerprint_rows(rows)}` |")
    tasks: dict[str, int] = {}
    for row in inputs.train:
        tasks[row.task] = tasks.get(row.task, 0) + 1
    counted = ", ".join(f"{_cell(task)} {count:,}" for task, count in sorted(tasks.items()))
    lines.append(f"\nSource: {_cell(choice.config.data.source)}. Training rows a task: {counted}.")
    if languages:
        lines.append(f"Languages, told by small words: {', '.join(languages)}.")
    return "\n".join(lines)


def _recipe(choice: PolicyToExport) -> str:
    config = choice.config
    lora, grpo = config.model.lora, config.grpo
    trained = f"LoRA, rank {lora.r}, alpha {lora.alpha}, on {lora.target_modules}" if lora else "all weights"
    rows = [
        ("trained", trained),
        ("weights", f"{config.model.dtype}" + (", NF4" if config.model.quantization == "nf4" else "")),
        ("SFT warm-up", f"{config.sft_warmup.max_steps} steps" if config.sft_warmup.enabled else "none"),
        ("GRPO", f"{choice.step or 0} of {grpo.max_steps} steps, {grpo.prompts_per_step} prompts x {grpo.num_generations} completions"),
        ("learning rate", f"{grpo.learning_rate:g}, {grpo.lr_scheduler_type}"),
        ("loss", f"{grpo.loss_type}, beta {grpo.beta:g}, advantages scaled: {grpo.trl_scale_rewards}"),
        ("sampling", f"temperature {grpo.temperature:g}, top_p {grpo.top_p:g}, at most {grpo.max_completion_length} tokens"),
        ("seed", str(config.seed)),
    ]  # fmt: skip
    return "## Recipe\n\n| | |\n|---|---|\n" + "\n".join(f"| {key} | {_cell(value)} |" for key, value in rows)


def _rewards(record: Mapping[str, Any]) -> str:
    rows = as_list(record.get("rewards"))
    if not rows:
        return ""
    lines = ["## Rewards\n", "| function | version | fingerprint | weight |", "|---|---|---|---|"]
    lines += [
        f"| {_cell(row.get('name'))} | {_cell(row.get('version'))} | `{row.get('fingerprint') or '–'}` | {row.get('weight', 1):g} |"
        for row in rows
    ]
    return "\n".join(lines)


def _limits(choice: PolicyToExport, record: Mapping[str, Any]) -> str:
    audit = as_mapping(choice.files.audit if choice.files else None)
    lines = [_cell(line) for line in as_list(audit.get("warnings"))[:20]]
    for field, count in list(as_mapping(audit.get("underivable_fields")).items())[:10]:
        lines.append(f"field {_cell(field)} does not follow from the prompt ({_cell(count)})")
    lines += [
        f"rows held out only, never trained on: task {_cell(task)}"
        for task in as_list(audit.get("held_out_only_tasks"))
    ]
    lines += [_cell(line) for line in as_list(record.get("limits"))]
    found = "\n".join(f"- {line}" for line in lines) or "- the audit of rows and rewards found none"
    return (
        f"## Limits\n\n{found}\n- judged on rows like those it was trained on; nothing here says how it does elsewhere"
    )


def _proofs(record: Mapping[str, Any]) -> str:
    lines = []
    merge = as_mapping(as_mapping(record.get("checks")).get("merge"))
    if merge:
        lines.append(
            f"- merged equals base plus adapter: logits differ by at most {merge['largest_difference']:.2g} (allowed "
            f"{merge['tolerance']:.2g}) over {merge['rows']} rows"
        )
    lines += [f"- {_cell(proof['summary'])}" for proof in as_list(record.get("proofs"))]
    return "## Proof of this export\n\n" + "\n".join(lines) if lines else ""


def _use(record: Mapping[str, Any], place: str) -> str:
    blocks = []
    files = as_mapping(record.get("files"))
    if "config.json" in files:
        blocks.append(f"```python\n{transformers_lines(place)}\n```")
    for title, line in as_list(record.get("serve")):
        blocks.append(f"{title}:\n\n```\n{line}\n```")
    return "## Use\n\n" + "\n\n".join(blocks) if blocks else ""


def _reproduce(choice: PolicyToExport) -> str:
    files = choice.files
    assert files is not None  # the caller looks first
    source = Path(files.source).name if files.source else "config.yaml"
    words = ["python", "-m", "grpo.run", "--config", source]
    words += ["--profile", files.profile] if files.profile else []
    for item in hide_folders(files.overrides):
        words += ["--set", item]
    packages = as_mapping(files.environment.get("packages"))
    versions = ", ".join(
        f"{name} {packages[name]}"
        for name in ("recompensa", "torch", "transformers", "trl", "peft")
        if packages.get(name)
    )
    device = files.environment.get("name") or files.environment.get("device") or "an unknown device"
    return f"## Reproduce\n\n```\n{shlex.join(words)}\n```\n\nRun with {versions or 'unknown versions'} on {_cell(device)}."


def _files(record: Mapping[str, Any]) -> str:
    lines = ["## Files\n", "| file | size | SHA-256 |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {format_size(about['bytes'])} | `{about['sha256']}` |"
        for name, about in as_mapping(record.get("files")).items()
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """A text in one line that ends no table cell and starts no markup of its own."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")[:600]
