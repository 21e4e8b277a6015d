"""The whole line in one command: plan, preflight, SFT warm-up, GRPO with evaluation, decision, report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from rewards.errors import RecompensaError, RewardBudgetExceeded, UserError

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 75

EXAMPLES = """examples:
  python -m grpo.run --config v4_1.yaml                      the recipe; without a GPU the embedded rehearsal of it
  python -m grpo.run --config v4_1.yaml --dry-run            plan and preflight only, nothing is written
  python -m grpo.run --config my.yaml --set grpo.max_steps=100 --set seed=3
  python -m grpo.run --config v4_1.yaml --run-dir runs/mine  a folder of your choice
  python -m grpo.run --resume runs/mine                      go on where a run was interrupted

exit codes: 0 done · 1 failed · 2 bad config, data or preflight · 3 stopped by a watch rule · 75 interrupted, resumable
"""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        return run(options)
    except UserError as error:
        print("\n".join(f"error: {line}" for line in error.problems), file=sys.stderr)
        return BAD_INPUT
    except RecompensaError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m grpo.run",
        description="Train a small language model with GRPO on the rewards of a config, and say what it was worth.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", help="a YAML file, or the name of a shipped one (v4_1.yaml)")
    what.add_argument("--resume", type=Path, metavar="RUN", help="go on with an interrupted run, in its own folder")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting (repeatable)",
    )
    parser.add_argument(
        "--profile",
        choices=("auto", "gpu", "embedded"),
        default="auto",
        help="auto: gpu where there is a CUDA device, else embedded",
    )
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="where the run is written (default: runs/<config>-<date>-<time>)"
    )
    parser.add_argument("--dry-run", action="store_true", help="plan and preflight only; writes nothing")
    parser.add_argument("--quiet", action="store_true", help="only warnings and the last line")
    options = parser.parse_args(arguments)
    if options.resume and (options.overrides or options.run_dir or options.profile != "auto"):
        parser.error("--resume takes the run's own config: --set, --profile and --run-dir do not go with it")
    return options


def run(options: argparse.Namespace) -> int:
    from callbacks.progress import Progress

    started = time.perf_counter()
    progress = Progress(quiet=options.quiet)
    config, profile, directory = resolve(options, progress)
    inputs, host, plan, audit = prepare(config, profile, progress)
    if options.dry_run:
        progress.say("dry run: plan and preflight passed, nothing was written", always=True)
        return DONE

    from grpo.device import find_device, require_cuda
    from grpo.environment import prepare_threads

    threads = prepare_threads(config.threads)
    require_training_stack()
    if profile == "gpu":
        require_cuda(find_device(), int(os.environ.get("WORLD_SIZE") or 1))
    directory = directory or create_directory(options, config, profile, plan, audit)
    if directory.stage() == "decision":
        finish(directory, config, profile, progress, time.perf_counter() - started)
        return DONE
    with host:
        code = train(config, profile, inputs, host, directory, progress, threads, resuming=bool(options.resume))
    if code == DONE:
        finish(directory, config, profile, progress, time.perf_counter() - started)
    return code


# -- before anything is spent ------------------------------------------------------------------------------------------


def resolve(options: argparse.Namespace, progress: Any) -> tuple[Any, str, Any]:
    """The config and its profile: from the command line, or from the run that is resumed."""
    from grpo.config import RunConfig, load_config
    from grpo.device import resolve_profile
    from grpo.run_directory import RunDirectory

    if options.resume:
        directory = RunDirectory.open(options.resume)
        saved = directory.read_json("config.json")
        if directory.stage() == "done":
            raise UserError(
                f"--resume {options.resume}: this run is finished; python -m grpo.report rebuilds its report"
            )
        return RunConfig.model_validate(saved["config"]), saved["profile"], directory
    profile, line = resolve_profile(options.profile)
    if line:
        progress.say(line)
    return load_config(options.config, options.overrides, profile), profile, None


def prepare(config: Any, profile: str, progress: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Rows, rewards, plan and audit. Everything that can be refused is refused here."""
    from grpo.inputs import load_inputs
    from grpo.plan import make_plan
    from grpo.preflight import run_preflight
    from rewards.config import build_host

    inputs = load_inputs(config)
    host = build_host(config.rewards)
    plan = make_plan(config, inputs, profile=profile)
    plan.show(progress)
    audit = run_preflight(config, inputs, host)
    versions = ", ".join(f"{name} {version}" for name, version in audit["reward_versions"].items())
    progress.say(f"preflight: {audit['references']} gold answers score the maximum ({versions})")
    return inputs, host, plan, audit


def require_training_stack() -> None:
    """One clear line where the base install is there but not what trains."""
    from importlib.util import find_spec

    missing = [name for name in ("torch", "transformers", "trl", "peft", "datasets") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"training needs {', '.join(missing)}: pip install torch==2.13.0 && pip install 'recompensa[train]'"
        )


def create_directory(options: argparse.Namespace, config: Any, profile: str, plan: Any, audit: dict[str, Any]) -> Any:
    from grpo.run_directory import RunDirectory

    path = options.run_dir or Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    directory = RunDirectory.create(path)
    directory.write_json(
        "config.json",
        {
            "profile": profile,
            "source": options.config,
            "overrides": options.overrides,
            "config": config.model_dump(mode="json"),
        },
    )
    directory.write_json("plan.json", plan.to_json())
    directory.write_json("audit.json", audit)
    directory.reach("sft")
    return directory


# -- the stages --------------------------------------------------------------------------------------------------------


def train(
    config: Any, profile: str, inputs: Any, host: Any, directory: Any, progress: Any, threads: int, *, resuming: bool
) -> int:
    """Warm-up, GRPO and the evaluations, from wherever the run stands."""
    quieten_libraries()
    import torch

    from callbacks.interrupt import Interruption
    from callbacks.tracking import Tracker
    from grpo import environment
    from grpo.stages import Interrupted, Stages
    from grpo.trainer import latest_checkpoint

    torch.set_num_threads(threads)
    device = "cuda" if profile == "gpu" else "cpu"
    stage = directory.stage()
    checkpoint = latest_checkpoint(directory.checkpoints) if stage in ("grpo", "final") else None
    reached = int(checkpoint.name.rsplit("-", 1)[1]) if checkpoint else 0
    resume_from = None
    if resuming:
        resume_from = {"sft": ("before", 0), "grpo": ("train", reached) if reached else ("warmup", 0)}.get(
            stage, ("train", config.grpo.max_steps)
        )
    with (
        Interruption() as interruption,
        Tracker(
            directory.path, config.tracking, run_name=directory.path.name, config=config.model_dump(mode="json"),
            resume_from=resume_from, notify=progress.say,
        ) as tracker,
    ):  # fmt: skip
        stages = Stages(config, inputs, host, directory, tracker, progress, interruption, device)
        try:
            if stage == "sft":
                stages.make_policy()
                directory.write_json(
                    "environment.json", environment.describe(profile=profile, **environment.describe_device())
                )
                if not resuming or not stages.was_evaluated("before"):
                    stages.evaluate("before", 0)
                if config.sft_warmup.enabled:
                    stages.warm_up()
                stages.evaluate("warmup", 0)
                directory.reach(stage := "grpo")
            else:
                stages.restore_policy(checkpoint if stage == "final" else None)
                stages.replay_best()
            if stage == "grpo":
                stages.train(resume_from=checkpoint)
                directory.reach(stage := "final", config.grpo.max_steps)
            stages.evaluate("final", config.grpo.max_steps)
            directory.reach("decision", config.grpo.max_steps)
            directory.write_json(
                "environment.json",
                environment.describe(
                    profile=profile, **environment.describe_device(), settings=stages.effective, rewards=host.report()
                ),
            )
        except Interrupted:
            progress.say(f"interrupted; go on with: python -m grpo.run --resume {directory.path}", always=True)
            return INTERRUPTED
        except RewardBudgetExceeded as fault:
            stages.save_checkpoint()
            progress.say(f"error: {fault}", always=True)
            progress.say(
                f"the run is kept; mend the plugin and go on with: python -m grpo.run --resume {directory.path}",
                always=True,
            )
            return FAILED
    return DONE


def finish(directory: Any, config: Any, profile: str, progress: Any, seconds: float) -> None:
    """Decide, write the report, and say in one line where everything is."""
    from callbacks.progress import format_seconds
    from grpo.decide import decide_run
    from grpo.report import write_report

    decision = decide_run(directory.path, config, rehearsal=profile == "embedded")
    directory.write_json(
        "status.json", {"stage": "done", "step": config.grpo.max_steps, "finished": True, "seconds": round(seconds, 1)}
    )
    write_report(directory.path)
    progress.say(f"decision: {decision.scenario}: {decision.action}", always=True)
    progress.say(
        f"everything is in {directory.path} ({format_seconds(seconds)}); read {directory.path / 'report.html'}",
        always=True,
    )


def quieten_libraries() -> None:
    """Library chatter would drown the progress bars; warnings of ours are said through them."""
    import logging
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*experimental.*")
    from datasets.utils.logging import disable_progress_bar
    from transformers.utils import logging as transformers_logging

    disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
