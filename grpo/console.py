"""The command `recompensa`: each subcommand is the `main` of a module, imported only when it is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

COMMANDS = {
    "init": ("grpo.init", "make a config and a held-out split from your own rows"),
    "plan": ("grpo.plan", "what a config will do and cost, in seconds, on any machine"),
    "preflight": ("grpo.preflight", "check the rows and rewards of a config"),
    "run": ("grpo.run", "the whole pipeline: plan, preflight, warm-up, GRPO, evaluation, decision, report"),
    "watch": ("grpo.watch", "follow a run in the terminal"),
    "report": ("grpo.report", "rebuild the report of a run"),
    "decide": ("grpo.decide", "what to do next, given a recorded history"),
    "evaluate": ("grpo.evaluate", "answer any rows with any model, and score the answers"),
    "compare": ("grpo.compare", "compare runs, and say which may be promoted"),
    "tables": ("grpo.tables", "the tables of a paper: by split, by layer, split x layer, what changed"),
    "leaderboard": ("grpo.leaderboard", "rank many runs: intervals, relative differences, blending, families"),
    "harness": ("grpo.harness", "ask several models and servers the same suites of prompts"),
    "checklist": ("grpo.checklist", "check a trained policy before it is deployed: template, calls, refusals, latency"),
    "rewards": ("rewards", "list, score, audit, rescore, explain, attack, write reward functions"),
    "config": ("grpo.config", "shipped configs, every resolved value of one, the JSON Schema for editors"),
    "data": ("grpo.data", "stats, validate, filter, merge, split, dedup, upsample, mix, audit; generated data"),
    "ladder": ("grpo.ladder", "the rungs of model sizes, and what fits here"),
    "chat": ("grpo.chat", "talk to a trained policy: what was read, each repair, the reward"),
    "serve-model": ("grpo.serve_model", "a trained policy behind an OpenAI-compatible endpoint"),
    "prune": ("grpo.prune", "show what a run weighs, delete weights that are not needed"),
    "export": ("grpo.export", "write a trained policy as files that run anywhere, proved against its run"),
    "serve": ("grpo.service.serve", "a queue of runs, a page and an HTTP interface over a folder of runs"),
    "submit": ("grpo.service.submit", "submit a run to a service"),
    "ps": ("grpo.service.ps", "list the runs of a service"),
    "logs": ("grpo.service.logs", "show the log of a run of a service"),
    "cancel": ("grpo.service.cancel", "stop a run of a service, or resume it"),
    "completion": ("grpo.completion", "completion for bash, zsh or fish"),
}
_ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None) -> int:
    """Hand the arguments to the subcommand they begin with; its exit code, 2 where there is none of that name."""
    from rewards.screen.command_line import CONSOLE_VARIABLE

    given = list(sys.argv[1:] if arguments is None else arguments)
    before = os.environ.get(CONSOLE_VARIABLE)
    # What a `python -m` command starts by this path goes on to speak as that does.
    os.environ.setdefault(CONSOLE_VARIABLE, "1")
    try:
        return _dispatch(given)
    finally:
        if before is None:
            os.environ.pop(CONSOLE_VARIABLE, None)


def find_commands() -> dict[str, tuple[str, str]]:
    """The subcommands that are there: name, module and what it does."""
    return {name: entry for name, entry in COMMANDS.items() if find_main(entry[0]) is not None}


def find_main(module: str) -> str | None:
    """The module that has the `main` of a command: itself, or its `__main__` where it is a package; None for neither."""
    place = _ROOT.joinpath(*module.split("."))
    if (place / "__main__.py").is_file():
        return f"{module}.__main__"
    return module if place.with_suffix(".py").is_file() else None


def _dispatch(given: list[str]) -> int:
    commands = find_commands()
    command, rest = (given[0], given[1:]) if given else (None, [])
    if command is not None and command in commands:
        from importlib import import_module

        module = find_main(commands[command][0])
        assert module is not None  # find_commands lists only those that are there
        return import_module(module).main(rest)
    if command in ("-h", "--help", "help"):
        print(_describe(commands), flush=True)
        return 0
    if command == "--version":
        from importlib.metadata import version

        print(f"recompensa {version('recompensa')}", flush=True)
        return 0
    if command is None:
        print(_describe(commands), file=sys.stderr)
        return 2
    from rewards.screen.command_line import BAD_INPUT, print_problem
    from rewards.screen.nearest import nearest

    print_problem(f"error: {command}: no such command of 'recompensa'{nearest(command, list(commands))}")
    return BAD_INPUT


def _describe(commands: dict[str, tuple[str, str]]) -> str:
    width = max(map(len, commands))
    lines = "\n".join(f"  {name:<{width}}  {said}" for name, (_, said) in commands.items())
    return f"""usage: recompensa COMMAND ...

Train a small language model to write exact structured answers, with rewards one can trust.

commands:
{lines}

examples:
  recompensa plan --config v4_1.yaml
  recompensa run --config v4_1.yaml
  recompensa rewards list
  recompensa COMMAND --help
  source <(recompensa completion bash)

Each is also `python -m grpo.COMMAND`; this form works even where a folder is called grpo or rewards."""


def start() -> None:
    """The console script: the command line of this process, and its exit code."""
    from rewards.screen.command_line import end_process

    try:
        code = main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 1
    end_process(code)


if __name__ == "__main__":
    start()
