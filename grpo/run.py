"""The whole line in one command: plan, preflight, SFT warm-up, GRPO with evaluation, decision, report."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from grpo.distributed import Silent, find_rank, join, leave, on_main, wait
from grpo.engines import Engine, EngineFailed, choose_engine
from rewards.errors import RecompensaError, RewardBudgetExceeded, UserError

DONE, FAILED, BAD_INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 75
# torchrun ends all processes as soon as it notices that one did.
QUIET_SECONDS = 1.5

EXAMPLES = """examples:
  python -m grpo.run --config v4_1.yaml                      the recipe; without a GPU the embedded rehearsal of it
  python -m grpo.run --config v4_1.yaml --dry-run            plan and preflight only, nothing is written
  python -m grpo.run --config my.yaml --set grpo.max_steps=100 --set seed=3
  python -m grpo.run --config v4_1.yaml --run-dir runs/mine  a folder of your choice
  python -m grpo.run --config v4_1.yaml --follow             and start the run its decision names, one hop (--follow 3: three)
  python -m grpo.run --resume runs/mine                      go on where a run was interrupted
  torchrun --nproc_per_node 8 -m grpo.run --config v4_1.yaml on eight devices: docs/scale_out.md

exit codes: 0 done · 1 failed · 2 bad config, data or preflight · 3 stopped by a watch rule · 75 interrupted, resumable
"""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        return run(options)
    except UserError as error:
        complain("\n".join(f"error: {line}" for line in error.problems))
        return BAD_INPUT
    except RecompensaError as error:
        complain(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        complain("stopped")
        return INTERRUPTED
    finally:
        leave()


def complain(text: str) -> None:
    """Say once on each machine what is wrong; other processes give the one that says it the time to."""
    if find_rank().local:
        time.sleep(QUIET_SECONDS)
    else:
        print(text, file=sys.stderr, flush=True)


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
    parser.add_argument(
        "--follow", type=read_hops, nargs="?", const=1, default=0, metavar="HOPS",
        help="after the report, start the run that the decision names; HOPS runs in a row (default: 1)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="only warnings and the last line")
    options = parser.parse_args(arguments)
    if options.resume and (options.overrides or options.run_dir or options.profile != "auto"):
        parser.error("--resume takes the run's own config: --set, --profile and --run-dir do not go with it")
    return options


def read_hops(text: str) -> int:
    """A number of runs to follow, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs; write 1 or more")
    return int(text)


def run(options: argparse.Namespace) -> int:
    from callbacks.progress import Progress

    started = time.perf_counter()
    rank = find_rank()
    if options.follow and rank.count > 1:
        raise UserError(
            f"--follow: not with {rank.count} processes; start the next run with --config RUN/next_config.yaml"
        )
    # What another process would show is what the first one shows.
    progress = Progress(quiet=options.quiet) if rank.is_main else Progress(quiet=True, stream=io.StringIO())
    config, profile, directory = resolve(options, progress)
    inputs, host, plan, audit = prepare(config, profile, progress)
    if options.dry_run:
        progress.say("dry run: plan and preflight passed, nothing was written", always=True)
        return DONE

    from grpo.device import find_device, require_cuda
    from grpo.environment import prepare_threads

    threads = prepare_threads(config.threads)
    engine = choose_engine(config.model)
    require_training_stack(config, engine)
    if profile == "gpu":
        require_cuda(find_device(), rank.count)
    engine.prepare()
    join("cuda" if profile == "gpu" else "cpu")
    directory = on_main(lambda: directory or create_directory(options, config, profile, plan, audit))
    directory = replace(directory, writes=rank.is_main)
    if directory.stage() == "decision":
        finish(directory, config, profile, progress, time.perf_counter() - started)
        return follow(options, directory, profile, progress)
    with host:
        code = train(config, profile, inputs, host, directory, progress, threads, engine, resuming=bool(options.resume))
    if code in (DONE, STOPPED):
        finish(directory, config, profile, progress, time.perf_counter() - started, finished=code == DONE)
    return follow(options, directory, profile, progress) if code == DONE else code


# -- before anything is spent ------------------------------------------------------------------------------------------


def resolve(options: argparse.Namespace, progress: Any) -> tuple[Any, str, Any]:
    """The config and its profile: from the command line, or from the run that is resumed."""
    from callbacks.tracking_secrets import find_secrets
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
    config = load_config(options.config, options.overrides, profile)
    secrets = find_secrets(config.model_dump(mode="json"))
    if secrets:
        raise UserError(
            [
                f"{place}: looks like a key or a password, and a run writes its config to files; "
                "take it out and set it in the environment, such as WANDB_API_KEY or HF_TOKEN"
                for place in secrets
            ]
        )
    return config, profile, None


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


def require_training_stack(config: Any, engine: Engine) -> None:
    """One clear line where the base install is there but not what trains."""
    missing = [name for name in ("torch", "transformers", "trl", "peft", "datasets") if not is_installed(name)]
    problems = []
    if missing:
        problems.append(
            f"training needs {', '.join(missing)}: pip install torch==2.13.0 && pip install 'recompensa[train]'"
        )
    for name in engine.packages:
        if not is_installed(name):
            problems.append(
                f"model.engine: {config.model.engine} needs {name}: pip install 'recompensa[gpu]', or use engine "
                "transformers"
            )
    if not is_installed("bitsandbytes"):
        where = {
            "model.quantization": config.model.quantization == "nf4",
            "grpo.optim": needs_bitsandbytes(config.grpo.optim),
        }
        problems += [
            f"{key}: {'nf4' if key.startswith('model') else config.grpo.optim} needs bitsandbytes: pip install "
            "'recompensa[quant]'"
            for key, wanted in where.items()
            if wanted
        ]
    if problems:
        raise UserError(problems)


def is_installed(name: str) -> bool:
    """Whether that package can be imported; a mere folder of its name does not count."""
    from importlib.util import find_spec

    found = find_spec(name)
    return found is not None and found.origin is not None


def needs_bitsandbytes(optimiser: str) -> bool:
    """Whether transformers takes the optimiser of that name from bitsandbytes."""
    return optimiser.endswith(("_8bit", "_32bit")) or "bnb" in optimiser or optimiser.startswith("paged_")


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
    config: Any,
    profile: str,
    inputs: Any,
    host: Any,
    directory: Any,
    progress: Any,
    threads: int,
    engine: Engine,
    *,
    resuming: bool,
) -> int:
    """Warm-up, GRPO and the evaluations, from wherever the run stands."""
    quieten_libraries()
    import torch

    from callbacks.interrupt import Interruption
    from callbacks.tracking import Tracker
    from grpo import environment
    from grpo.stages import Interrupted, Stages, Stopped
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
    # From here on files change that every process has to read first.
    wait()
    with (
        Interruption() as interruption,
        Tracker(
            directory.path, config.tracking, run_name=directory.path.name, config=config.model_dump(mode="json"),
            resume_from=resume_from, notify=progress.say,
        ) if directory.writes else Silent() as tracker,
    ):  # fmt: skip
        stages = Stages(config, inputs, host, directory, tracker, progress, interruption, device, engine=engine)
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
            directory.write_json("environment.json", describe_end(profile, stages, host))
        except Interrupted:
            progress.say(f"interrupted; go on with: python -m grpo.run --resume {directory.path}", always=True)
            return INTERRUPTED
        except Stopped as stop:
            directory.reach("grpo", stop.event.step, stopped_by=stop.event.rule)
            directory.write_json("environment.json", describe_end(profile, stages, host))
            progress.say(
                f"stopped by watch rule {stop.event.rule}; a checkpoint is kept, go on all the same with: "
                f"python -m grpo.run --resume {directory.path}",
                always=True,
            )
            return STOPPED
        except EngineFailed as fault:
            stages.save_checkpoint()
            progress.say(f"error: {fault}", always=True)
            progress.say(f"the run is kept; go on with: python -m grpo.run --resume {directory.path}", always=True)
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


def describe_end(profile: str, stages: Any, host: Any) -> dict[str, Any]:
    """The environment with the settings that were in force and what the reward functions did."""
    from grpo import environment

    return environment.describe(
        profile=profile, **environment.describe_device(), settings=stages.effective, rewards=host.report()
    )


def finish(directory: Any, config: Any, profile: str, progress: Any, seconds: float, *, finished: bool = True) -> None:
    """Decide, write the report, and say in one line where everything is; a run that was stopped stays resumable."""
    if not directory.writes:
        return
    from callbacks.progress import format_seconds
    from callbacks.tracking import publish_files
    from grpo.decide import decide_run
    from grpo.report import write_report

    decision = decide_run(directory.path, config, rehearsal=profile == "embedded")
    if finished:
        directory.write_json(
            "status.json",
            {"stage": "done", "step": config.grpo.max_steps, "finished": True, "seconds": round(seconds, 1)},
        )
    pages = write_report(directory.path)
    publish_files(directory.path, config.tracking, pages, run_name=directory.path.name, notify=progress.say)
    progress.say(f"decision: {decision.scenario}: {decision.action}", always=True)
    progress.say(
        f"everything is in {directory.path} ({format_seconds(seconds)}); read {directory.path / 'report.html'}",
        always=True,
    )


def follow(options: argparse.Namespace, directory: Any, profile: str, progress: Any) -> int:
    """Start the run that the decision names in place of this process, where one was asked for and it fits."""
    if not options.follow:
        return DONE
    from grpo.ladder import check_next_run

    path = directory.path / "next_config.yaml"
    if not path.is_file():
        progress.say("--follow: the decision names no next run", always=True)
        return DONE
    check_next_run(path, profile)
    arguments = ["--config", str(path), "--profile", profile]
    if options.follow > 1:
        arguments += ["--follow", str(options.follow - 1)]
    if options.quiet:
        arguments.append("--quiet")
    progress.say(f"--follow: python -m grpo.run {' '.join(arguments)}", always=True)
    sys.stdout.flush()
    # A process of its own gets back all memory of the device, and Ctrl-C reaches it as it would the first.
    os.execv(sys.executable, [sys.executable, "-m", "grpo.run", *arguments])
    return DONE


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
