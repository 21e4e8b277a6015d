"""What to do after a decision: the next step of each conclusion, in words and as a shipped config."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from callbacks.decision.decision import Rung

Move = tuple[str, str | None]


def scale_up(rung: Rung, next_rung: Rung | None, task: str | None) -> Move:
    """Scenario A: the next rung, or the end of the ladder."""
    if next_rung is None:
        return f"{rung.name} is the last rung: export the best checkpoint.", None
    return f"Scale up to {next_rung.name} ({next_rung.model}).", next_rung.config


def scale_up_or_export(rung: Rung, next_rung: Rung | None, task: str | None) -> Move:
    """A run that was judged against its own warm-up and learnt: the next rung, or exporting its policy."""
    if next_rung is None:
        return "Export the best checkpoint.", None
    return f"Scale up to {next_rung.name} ({next_rung.model}).", next_rung.config


def restart_from_base(rung: Rung, next_rung: Rung | None, task: str | None) -> Move:
    """Scenario B: the Base model with a warm-up; if the run already was that, the next rung."""
    if rung.base is not None:
        return "Restart from the Base model with an SFT warm-up that teaches the JSON first.", rung.base
    if next_rung is not None:
        return (
            f"The Base model with an SFT warm-up does not help here: skip the rung, go to {next_rung.name}.",
            next_rung.config,
        )
    return "No rung is left: fix the data and the rewards of extraction first.", None


def keep_the_rate(rung: Rung, next_rung: Rung | None, task: str | None) -> Move:
    """A plateau caused by the schedule: the same rung with a learning rate that does not decay."""
    return (
        "Run this rung again at a constant rate; only then does a plateau say something about the model.",
        rung.config,
    )


def fix_task(rung: Rung, next_rung: Rung | None, task: str | None) -> Move:
    """Scenario C: what helps the weakest task."""
    if task == "extraction":
        return "Refine extraction's reward: field values and partial credit.", rung.fix
    if task == "sql_qa":
        if next_rung is None:
            return "Accept sql_qa as it is: there is no larger model to route it to.", None
        return f"Accept sql_qa here and route it to the larger model: plan {next_rung.name}.", next_rung.config
    if task == "insights":
        return "Give insights more data (148 to 350 pairs).", rung.fix
    return f"Look at the completions of {task}: refine its reward or give it more data.", None


MOVES: Mapping[str, Callable[[Rung, Rung | None, str | None], Move]] = {
    "scale_up": scale_up,
    "scale_up_or_export": scale_up_or_export,
    "restart_from_base": restart_from_base,
    "keep_the_rate": keep_the_rate,
    "fix_task": fix_task,
}


def route_tasks(tasks: list[str], routed: str | None, rung: Rung, next_rung: Rung | None) -> dict[str, str]:
    """Which rung serves each task once `routed` goes to the larger model; empty where nothing is routed."""
    if routed != "sql_qa" or next_rung is None:
        return {}
    return {task: next_rung.name if task == routed else rung.name for task in tasks}
