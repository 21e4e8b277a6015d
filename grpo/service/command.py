"""What the commands that speak to a service share: where it is, and how runs look in a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from grpo.service.client import DEFAULT_URL, URL_VARIABLE
from rewards.screen.amounts import format_seconds, format_size
from rewards.screen.harmless_text import make_harmless

_STYLES = {
    "running": "cyan",
    "done": "green",
    "failed": "bold red",
    "stopped": "red",
    "queued": "",
    "interrupted": "yellow",
}


def add_service(parser: argparse.ArgumentParser) -> None:
    """The option `--url`."""
    parser.add_argument(
        "--url", metavar="URL", help=f"the service ({URL_VARIABLE}, else {DEFAULT_URL}); its token: RECOMPENSA_TOKEN"
    )


def show_runs(runs: Sequence[Mapping[str, Any]]) -> None:
    """A line a run."""
    from rich.table import Table
    from rich.text import Text

    from rewards.screen.terminal import make_console

    console = make_console()
    if not runs:
        console.print("no runs")
        return
    table = Table(box=None, pad_edge=False)
    for head in ("run", "state", "step", "left", "memory", "mean", "decision", "margin"):
        table.add_column(head, justify="left" if head in ("run", "state", "decision") else "right", overflow="fold")
    for run in runs:
        steps = f"{run['step']}/{run['max_steps']}" if run.get("max_steps") else "-"
        if run.get("warmup_step") is not None:
            steps = f"warm-up {run['warmup_step']}/{run.get('warmup_steps') or '-'}"
        left, memory = run.get("seconds_left"), run.get("memory_bytes")
        decided = (run.get("scenario") or "-") + ("" if run.get("final") or not run.get("scenario") else " (so far)")
        table.add_row(
            Text(make_harmless(run["id"], 100), "bold"),
            Text(run["state"], _STYLES.get(run["state"], "")),
            steps,
            format_seconds(left) if isinstance(left, int | float) and run["state"] == "running" else "-",
            format_size(memory, 1) if isinstance(memory, int) else "-",
            _show(run.get("mean"), ".3f"),
            decided,
            _show(run.get("margin"), "+.3f"),
        )
        if run.get("reason"):
            table.add_row(Text("  " + make_harmless(run["reason"], 160), "dim"))
    console.print(table)


def _show(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else "-"
