"""The whole line in one command: plan, preflight, SFT warm-up, GRPO with evaluation, decision, report."""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from callbacks.interrupt import pass_over_signals, terminable
from grpo.distributed.collectives import on_main, wait
from grpo.distributed.first_process import complain, only_first_process_prints
from grpo.distributed.process_group import join, process_group
from grpo.distributed.rank import find_rank
from grpo.distributed.stand_ins import Silent, take_signals
from grpo.engines.choose import choose_engine
from grpo.engines.engine import Engine, EngineFailed
from grpo.engines.packages import quieten_libraries, require_training_stack
from grpo.lifecycle.changed_rewards import check_rewards, refuse_changed
from grpo.lifecycle.next_run import follow
from grpo.lifecycle.run_lock import locked
from grpo.machine.device import PROFILES
from grpo.seeds.options import add_group_options, check_group_options, is_many
from rewards.errors import RewardBudgetExceeded, UserError
from rewards.identity import ALLOW
from rewards.screen.command_line import (
    DONE,
    FAILED,
    INTERRUPTED,
    STOPPED,
    CommandParser,
    add_overrides,
    end_process,
    print_problem,
    run_command,
)

EXAMPLES = """examples:
  python -m grpo.run --config v4_1.yaml                      the recipe; without a GPU the embedded rehearsal of it
  python -m grpo.run --config v4_1.yaml --dry-run            plan and preflight only, nothing is written
  python -m grpo.run --config my.yaml --set grpo.max_steps=100 --set seed=3
  python -m grpo.run --config v4_1.yaml --run-dir runs/mine  a folder of your choice
  python -m grpo.run --config v4_1.yaml --follow             and start the run its decision names, one hop (--follow 3: three)
  python -m grpo.run --resume runs/mine                      resume a run that was interrupted
  python -m grpo.run --config v4_1.yaml --seeds 5            five seeds, one summary: docs/seeds.md
  torchrun --nproc_per_node 8 -m grpo.run --config v4_1.yaml on eight devices: docs/scale_out.md

exit codes: 0 done · 1 failed · 2 bad config, data or preflight · 3 stopped by a watch rule · 75 interrupted, resumable
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: _run_together(arguments), complain)


def _run_together(arguments: list[str] | None) -> int:
    with only_first_process_prints():
        options = parse(arguments)
    try:
        if is_many(options):
            from grpo.seeds.runner import run_group

            with terminable():
                return run_group(options)
        with terminable(), process_group():
            return run(options)
    except KeyboardInterrupt:
        # All processes got the signal: nobody waits for another to say so.
        if not find_rank().local:
            print_problem("stopped")
        return INTERRUPTED


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.run",
        "Train a small language model with GRPO on the rewards of a config, and report what it achieved.",
        EXAMPLES,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", help="a YAML file, or the name of a shipped one (v4_1.yaml)")
    what.add_argument("--resume", type=Path, metavar="RUN", help="resume an interrupted run, in its own folder")
    add_overrides(parser)
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default="auto",
        help="auto: gpu where there is a CUDA device, else embedded; small: a pretrained model of 135M on any machine",
    )
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="where the run is written (default: runs/<config>-<date>-<time>)"
    )
    parser.add_argument(
        ALLOW, action="store_true",
        help="with --resume, though code, options or files of a reward changed: score the evaluations so far again; with "
        "--follow: start the next run anyway",
    )  # fmt: skip
    parser.add_argument(
        "--from-warmup",
        action="store_true",
        help="with --resume: ignore the checkpoints, train again from the end of the warm-up",
    )
    parser.add_argument("--dry-run", action="store_true", help="plan and preflight only; writes nothing")
    parser.add_argument(
        "--follow", type=read_hops, nargs="?", const=1, default=0, metavar="HOPS",
        help="after the report, start the run that the decision names; HOPS runs in a row (default: 1)",
    )  # fmt: skip
    add_group_options(parser)
    parser.add_argument("--quiet", action="store_true", help="only warnings and the last line")
    return parser


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    check_group_options(parser, options)
    if options.allow_changed_rewards and not (options.resume or options.follow):
        parser.error(f"{ALLOW} requires --resume or --follow")
    if options.from_warmup and not options.resume:
        parser.error("--from-warmup requires --resume")
    if options.resume and (options.run_dir or options.profile != "auto"):
        parser.error("--resume takes the run's own config: --profile and --run-dir cannot be combined with it")
    return options


def read_hops(text: str) -> int:
    """A number of runs to follow, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs; write 1 or more")
    return int(text)


def run(options: argparse.Namespace) -> int:
    from callbacks.progress import Progress
    from grpo.lifecycle.begin import create_directory
    from grpo.lifecycle.faults import guard
    from grpo.lifecycle.resume import find_resume_point
    from grpo.lifecycle.run_identity import check_inputs

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
    config = plan.config  # with epochs counted out in steps
    if directory is not None:
        check_inputs(directory, inputs)
        refuse_changed(directory, host, allowed=options.allow_changed_rewards)
    if options.dry_run:
        progress.say("dry run: plan and preflight passed, nothing was written", always=True)
        return DONE

    from grpo.machine.device import choose_device, require_cuda, require_one_device
    from grpo.machine.environment import prepare_threads, require_torch_device

    threads = prepare_threads(config.threads)
    engine = choose_engine(config.model)
    require_training_stack(config, engine)
    device = choose_device(config.model.device, profile)
    if profile == "gpu" and config.model.device == "auto":
        require_cuda(device)
    require_one_device(device, rank.count)
    engine.prepare()
    require_torch_device(device.kind)
    join(device.kind)
    directory = on_main(lambda: directory or create_directory(options, config, profile, plan, audit, inputs))
    directory = replace(directory, writes=rank.is_main)
    with locked(directory.path, wanted=rank.is_main):
        try:
            code = DONE
            if options.resume:
                # Another process may have ended it while this one was proving its rewards.
                _refuse_finished(directory)
                on_main(directory.forget_drafts)
                for line in on_main(lambda: check_rewards(directory, audit, host, allowed=True)):
                    progress.warn(line)
            point = on_main(lambda: find_resume_point(directory, config, from_warmup=options.from_warmup))
            for note in point.notes:
                progress.warn(note)
            if point.stage != "decision":
                with host:
                    code = guard(
                        lambda: train(config, device.kind, inputs, host, directory, progress, threads, engine, point),
                        directory, plan, progress,
                    )  # fmt: skip
            if code in (DONE, STOPPED):
                took, last = time.perf_counter() - started, config.last_step(len(inputs.warmup))
                ending = partial(finish, directory, config, last, profile, progress, took, code)
                code = guard(ending, directory, plan, progress)
        except KeyboardInterrupt:
            if directory.stage() == "done":
                left = (
                    "the run that its decision names was not started" if options.follow else "nothing was left to stop"
                )
                progress.say(f"{directory.path} is finished and its report written; {left}", always=True)
                return INTERRUPTED if options.follow else DONE
            progress.say(f"stopped at once; resume with: python -m grpo.run --resume {directory.quoted}", always=True)
            return INTERRUPTED
    if rank.count == 1 and not options.follow:  # processes that wait for each other must stay stoppable
        pass_over_signals()
    return follow(options, directory, profile, progress) if code == DONE else code


def resolve(options: argparse.Namespace, progress: Any) -> tuple[Any, str, Any]:
    """The config and its profile: from the command line, or from the run that is resumed."""
    from grpo.config.loading import load_config, read_config
    from grpo.lifecycle.run_directory import RunDirectory
    from grpo.machine.device import resolve_profile
    from rewards.writing.secrets import find_secrets

    if options.resume:
        from grpo.lifecycle.run_identity import apply_free, read_settings

        directory = RunDirectory.open(options.resume)
        _refuse_finished(directory)
        saved, notes = read_settings(directory)
        for note in notes:
            progress.warn(note)
        saved = apply_free(saved, options.overrides)
        return read_config(saved["config"], f"--resume {options.resume}"), saved["profile"], directory
    profile, line = resolve_profile(options.profile)
    config = load_config(options.config, options.overrides, profile)
    if line:
        progress.say(line)
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


def _refuse_finished(directory: Any) -> None:
    if directory.stage() == "done":
        raise UserError(f"--resume {directory.path}: this run is finished; python -m grpo.report rebuilds its report")


def prepare(config: Any, profile: str, progress: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Rows, rewards, plan and audit. Everything that can be refused is refused here."""
    from grpo.data.run_rows import load_inputs
    from grpo.plan.make_plan import make_plan
    from grpo.preflight import run_preflight
    from rewards.audit.audit import SHOWN, say_gold
    from rewards.config import build_host

    inputs = load_inputs(config)
    host = build_host(config.rewards)
    plan = make_plan(config, inputs, profile=profile)
    plan.show(progress)
    audit = run_preflight(config, inputs, host)
    progress.say(f"preflight: {say_gold(audit)}")
    for line in audit["warnings"][:SHOWN]:
        progress.warn(line)
    if (more := len(audit["warnings"]) - SHOWN) > 0:
        progress.warn(f"{more} more of the preflight: python -m grpo.preflight shows all")
    return inputs, host, plan, audit


def train(
    config: Any,
    device: Literal["cuda", "mps", "cpu"],
    inputs: Any,
    host: Any,
    directory: Any,
    progress: Any,
    threads: int,
    engine: Engine,
    point: Any,
) -> int:
    """Warm-up, GRPO and the evaluations, from where the run stands, its ResumePoint."""
    quieten_libraries()
    import torch

    from callbacks.interrupt import Interrupted, Interruption
    from callbacks.tracking.tracking import Tracker
    from grpo.lifecycle.resume import list_reliance
    from grpo.training.endings import Stopped
    from grpo.training.held_out import judge
    from grpo.training.stages import Stages
    from grpo.training.supervised import run_first_stage

    torch.set_num_threads(threads)
    stage, checkpoint, reached = point.stage, point.checkpoint, point.step
    resume = f"python -m grpo.run --resume {directory.quoted}"
    last = config.last_step(len(inputs.warmup))
    supervised = None
    if stage == "sft":
        # Rows of the supervised stage count its own steps, those of an evaluation after it come after all of them.
        supervised = reached or (config.sft_warmup.steps(len(inputs.warmup)) if point.warmed else None)
        resume_from = None if supervised is None else ("judged", 0)
    else:
        resume_from = (("train", reached) if reached else ("start", 0)) if stage == "grpo" else ("train", last)
    # From here on files change that every process has to read first.
    wait()
    with (
        Interruption() as interruption,
        Tracker(
            directory.path, config.tracking, run_name=directory.path.name, config=config.model_dump(mode="json"),
            resume_from=resume_from, supervised_step=supervised, notify=progress.say,
        ) if directory.writes else Silent() as tracker,
    ):  # fmt: skip
        take_signals(interruption)
        stages = Stages(
            config, inputs, host, directory, cast(Any, tracker), progress, interruption, device, engine=engine
        )
        record = stages.record
        try:
            if stage == "sft":
                run_first_stage(stages, point)
                checkpoint = None
                directory.reach(stage := "grpo" if config.trains_grpo else "final", 0 if config.trains_grpo else last)
            else:
                record.resume(checkpoint)
                stages.restore_policy(checkpoint if stage == "final" else None)
            record.replay()
            stages.renew_best()
            if stage == "grpo":
                stages.train(resume_from=checkpoint)
                directory.reach(stage := "final", config.grpo.max_steps)
            stages.evaluate("final", last)
            if config.trains_grpo:
                judge(stages)
            record.write_environment(device)
            directory.forget_answers()
            directory.reach("decision", last, relies_on=list_reliance(directory.path))
        except Interrupted:
            progress.say(f"interrupted; resume with: {resume}", always=True)
            return INTERRUPTED
        except Stopped as stop:
            record.write_environment(device)
            directory.reach(stage, stop.event.step, stopped_by=stop.event.rule)
            kept = "a checkpoint is kept" if stage == "grpo" else "the policy so far is in sft/"
            said = f"stopped by watch rule {stop.event.rule}; {kept}; to resume anyway: {resume}"
            progress.say(said, always=True)
            return STOPPED
        except EngineFailed as fault:
            stages.save_checkpoint()
            progress.say(f"error: {fault}", always=True)
            progress.say(f"the run is kept; resume with: {resume}", always=True)
            return INTERRUPTED
        except RewardBudgetExceeded as fault:
            stages.save_checkpoint()
            progress.say(f"error: {fault}", always=True)
            progress.say(f"the run is kept; fix the plugin and resume with: {resume}", always=True)
            return FAILED
    return DONE


def finish(
    directory: Any, config: Any, last_step: int, profile: str, progress: Any, seconds: float, code: int = DONE
) -> int:
    """Decide, write the report, say in one line where everything is; `code` comes back: what was stopped stays resumable."""
    if not directory.writes:
        return code
    from callbacks.tracking.tracking import publish_files
    from grpo.decide.advice import list_commands
    from grpo.decide.decide_run import decide_run
    from grpo.lifecycle.resume import read_reliance
    from grpo.lifecycle.run_directory import name_policy, read_peak_memory, read_policy_note
    from grpo.report import write_report
    from rewards.screen.amounts import format_seconds, format_size

    decision = decide_run(directory.path, config, rehearsal=profile == "embedded")
    kept = read_policy_note(directory.path)
    ended: dict[str, Any] = {"step": last_step, "finished": True, "seconds": round(seconds, 1)}
    ended |= {"policy": {"folder": "best", **kept}} if kept else {}
    ended |= {"peak_memory_bytes": peak} if (peak := read_peak_memory(directory.path)) is not None else {}
    if code == DONE:
        # A run is done, and cannot be resumed, once its report is there. Until then it goes by the same files as before.
        directory.write_json("status.json", {"stage": "decision", **read_reliance(directory.path), **ended})
    pages = write_report(directory.path)
    publish_files(directory.path, config.tracking, pages, run_name=directory.path.name, notify=progress.say)
    if code == DONE:
        directory.write_json("status.json", {"stage": "done", **ended})
    progress.say(f"decision: {decision.scenario}: {decision.action}", always=True)
    for command in list_commands(decision, directory.path):
        progress.say(f"  {command}", always=True)
    holds = f"; best/ holds the {name_policy(kept)}: python -m grpo.export {directory.quoted} --to DIR" if kept else ""
    used = f", peak memory {format_size(peak)}" if peak is not None else ""
    progress.say(
        f"everything is in {directory.path} ({format_seconds(seconds)}{used}); read {pages[0]}{holds}", always=True
    )
    return code


if __name__ == "__main__":
    end_process(main())
