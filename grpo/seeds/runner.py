"""Runs the members of a group, one after another or several at once, each as a process of `grpo.run`."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from grpo.seeds.group import GroupRun, RunGroup, choose_seeds, create_group, open_group
from rewards.errors import UserError
from rewards.screen.command_line import DONE, FAILED, INTERRUPTED, STOPPED

_LOOK_SECONDS = 0.5
_END_SECONDS = 120.0


def run_group(options: argparse.Namespace) -> int:
    """Make or continue the group that the options ask for, then write and show its summary.

    0 where every run is done (or was stopped by a watch rule), 75 where it was interrupted and can be resumed, else the
    exit code of the first run that failed; the others are made all the same.
    """
    from grpo.config.loading import load_config
    from grpo.machine.device import resolve_profile
    from grpo.seeds.summary import show_summary, summarise_group, write_summary

    if options.resume:
        group = open_group(options.resume)
    else:
        profile, line = resolve_profile(options.profile)
        if line and not options.quiet:
            print(line)
        config = load_config(options.config, options.overrides, profile)
        folder = options.run_dir or Path("runs") / f"{config.name}-seeds-{time.strftime('%Y%m%d-%H%M%S')}"
        if any(text.partition("=")[0].strip() == "seed" for text in (*options.overrides, *options.grid)):
            seeds = [config.seed]
            if options.seeds:
                seeds = choose_seeds(options, config.seed)
        else:
            seeds = choose_seeds(options, config.seed)
        source = str(Path(options.config).resolve()) if Path(options.config).is_file() else options.config
        for setting in options.grid:
            _check_setting(options.config, options.overrides, setting, profile)
        group = create_group(
            folder, config=source, profile=profile, overrides=options.overrides, seeds=seeds, grid=options.grid
        )
    if options.dry_run:
        for member in group.members:
            print(f"{member.name}: {member.folder} ({member.state})")
        return DONE
    code = _run_members(group, max(1, options.slots), quiet=options.quiet)
    summary = summarise_group(group)
    write_summary(group, summary)
    show_summary(summary)
    if code == INTERRUPTED:
        print(
            f"interrupted; resume with: python -m grpo.run --resume {shlex.quote(str(group.folder))}", file=sys.stderr
        )
    else:
        print(f"everything is in {group.folder}; its summary in {group.folder / 'summary.json'}")
    return code


def _check_setting(config: str, overrides: list[str], setting: str, profile: str) -> None:
    """Every value of a grid must be one that the config takes, before the first run is paid for."""
    from grpo.config.loading import load_config
    from grpo.seeds.group import read_grid

    problems: list[str] = []
    for override in read_grid(setting):
        try:
            load_config(config, [*overrides, override], profile)
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems)


def _run_members(group: RunGroup, slots: int, *, quiet: bool) -> int:
    waiting = deque(member for member in group.members if member.state != "done")
    running: dict[GroupRun, subprocess.Popen[Any]] = {}
    code = DONE
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                member = waiting.popleft()
                print(f"{member.name}: {member.folder}", flush=True)
                running[member] = subprocess.Popen(_words(group, member, quiet=quiet or slots > 1))
            for member, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[member]
                if process.returncode == INTERRUPTED:
                    # Whoever stopped one of them meant all of them.
                    waiting.clear()
                    code = INTERRUPTED
                elif process.returncode not in (DONE, STOPPED) and code == DONE:
                    code = process.returncode if process.returncode > 0 else FAILED
                    print(f"{member.name}: failed with exit code {process.returncode}", file=sys.stderr, flush=True)
            if running:
                time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        _end(running)
    return code


def _end(running: dict[GroupRun, subprocess.Popen[Any]]) -> None:
    """Ask the runs that are left to save a checkpoint and end; they have two minutes."""
    for process in running.values():
        process.terminate()
    deadline = time.monotonic() + _END_SECONDS
    for process in running.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def _words(group: RunGroup, member: GroupRun, *, quiet: bool) -> list[str]:
    words = [sys.executable, "-m", "grpo.run"]
    if member.state == "begun":
        words += ["--resume", str(member.folder)]
    else:
        words += ["--config", group.config, "--profile", group.profile, "--run-dir", str(member.folder)]
        for override in (*group.overrides, *member.setting, f"seed={member.seed}"):
            words += ["--set", override]
    return [*words, "--quiet"] if quiet else words
