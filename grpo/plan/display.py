"""A plan as people read it: the first screen of a run."""

from __future__ import annotations

import sys
from io import StringIO
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from grpo.policy.adapters import find_adapter

if TYPE_CHECKING:
    from grpo.plan.plan import Plan
from rewards.screen.amounts import format_count, format_size


def screen_lines(plan: Plan) -> list[str]:
    """The panel as lines without control codes, as wide as the terminal and at most 120 characters."""
    from rich.box import ASCII, ROUNDED
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in plan_lines(plan):
        table.add_row(label, Text(text))
    for note in plan.notes:
        table.add_row("note", Text(note))
    title = f"plan of {plan.config.name}, profile {plan.profile}"
    plain = not (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    panel = Panel(table, box=ASCII if plain else ROUNDED, title=title, title_align="left", expand=False)
    buffer = StringIO()
    width = min(get_terminal_size((120, 24)).columns, 120)
    Console(file=buffer, width=width, color_system=None, force_terminal=False).print(panel)
    return buffer.getvalue().rstrip("\n").split("\n")


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """The plan as pairs of a label and a text, in the order they are shown."""
    grpo, tokens, approx = plan.config.grpo, plan.tokens, "" if plan.tokens.exact else "about "
    shown = [
        ("policy", _policy_line(plan)),
        (
            "one step",
            f"{plan.prompts_per_step} prompts x {plan.num_generations} generations = {plan.completions_per_step} "
            f"completions of at most {grpo.max_completion_length} tokens",
        ),
        (
            "training",
            f"{plan.max_steps} steps, {grpo.lr_scheduler_type} {grpo.learning_rate:g}, "
            f"{plan.lr_warmup_steps} lr warm-up steps, {plan.evaluations} held-out evaluations",
        ),
        (
            "prompts",
            f"{plan.prompts_seen:,} seen, {plan.unique_prompts:,} distinct of {plan.train_rows:,} rows "
            f"({plan.epochs:.2f} epochs)",
        ),
        ("per task", ", ".join(f"{task} {count:g}" for task, count in plan.per_task.items())),
        (
            "TRL",
            f"per_device_train_batch_size {plan.trl.per_device_train_batch_size}, gradient_accumulation_steps "
            f"{plan.trl.gradient_accumulation_steps}, generation_batch_size {plan.trl.generation_batch_size}",
        ),
        (
            "tokens",
            f"prompts {approx}{tokens.prompt_mean:.0f}, longest {tokens.prompt_longest} of {tokens.prompt_limit}; "
            f"references {approx}{tokens.reference_mean:.0f}, longest {tokens.reference_longest}; "
            f"in all {format_count(tokens.total_expected)} expected, {format_count(tokens.total_most)} at most",
        ),
        ("memory", _memory_line(plan)),
        ("disk", f"about {format_size(plan.disk_bytes)}" if plan.disk_bytes else "unknown"),
        ("time", _time_line(plan)),
    ]
    if not plan.config.trains_grpo:
        section = plan.config.sft_warmup
        at_once = f", {section.micro_batch_size} in one pass" if section.micro_batch_size else ""
        stage = (
            f"{plan.sft_steps:,} steps of {section.batch_size} conversations{at_once} over {plan.sft_rows:,} demonstrations, "
            f"{section.lr_scheduler_type} {section.learning_rate:g}, {plan.evaluations} held-out evaluations; no GRPO"
        )
        if not section.enabled:
            stage = "one held-out evaluation of the policy as it is; nothing is trained"
        left_out = ("one step", "training", "prompts", "per task", "TRL")
        kept = [(label, text.partition("; in all")[0]) for label, text in shown[1:] if label not in left_out]
        return [("policy", shown[0][1]), ("SFT" if section.enabled else "stages", stage), *kept]
    if plan.config.sft_warmup.enabled:
        shown.insert(2, ("SFT warm-up", f"{plan.sft_steps:,} steps over {plan.sft_rows:,} demonstrations"))
    return shown


def _policy_line(plan: Plan) -> str:
    model = plan.config.model
    size = f", {format_count(plan.parameters)} parameters" if plan.parameters else ", size unknown"
    adapter = find_adapter(model)
    how = f"LoRA r {model.lora.r}" if model.lora else "all weights"
    if adapter is not None:
        how = f"its adapter of r {adapter.r} trained on"
    trained = f", {format_count(plan.trainable_parameters)} trained" if plan.trainable_parameters else ""
    form = model.effective_dtype(plan.device.kind) if model.quantization == "none" else model.quantization
    return f"{model.label}{size}, {form}; {how}{trained}"


def _memory_line(plan: Plan) -> str:
    if plan.memory is None:
        return f"unknown, since the shape of {plan.config.model.label} is: {plan.shape_source}"
    memory, whole = plan.memory, plan.device.memory_bytes
    against = f" of {format_size(whole)} ({plan.device.name})" if whole else f" ({plan.device.name})"
    return (
        f"about {format_size(memory.peak)}{against}: weights {format_size(memory.weights)}, gradients "
        f"{format_size(memory.gradients)}, optimiser {format_size(memory.optimiser)}, activations "
        f"{format_size(memory.activations)} or KV cache {format_size(memory.kv_cache)}"
    )


def _time_line(plan: Plan) -> str:
    if plan.duration is None:
        return "unknown"
    d = plan.duration
    parts = [("generation", d.generation), ("training", d.training), ("evaluation", d.evaluation)]
    if d.sft_warmup:
        parts.append(("SFT warm-up", d.sft_warmup))
    listed = ", ".join(f"{name} {_show_time(seconds)}" for name, seconds in parts)
    return f"estimated {_show_time(d.total)}, by a rough model: {listed}"


def _show_time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
