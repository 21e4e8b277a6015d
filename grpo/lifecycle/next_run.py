"""The run that a decision names, started in place of the process of the one that is done."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from grpo.lifecycle.changed_rewards import check_next_rewards
from rewards.identity import ALLOW
from rewards.screen.command_line import CONSOLE_VARIABLE, DONE
from rewards.siblings import command_words


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
    for line in check_next_rewards(path, directory, profile, allowed=options.allow_changed_rewards):
        progress.warn(line)
    arguments = ["--config", str(path), "--profile", profile]
    if options.allow_changed_rewards and options.follow > 1:
        arguments.append(ALLOW)
    if options.follow > 1:
        arguments += ["--follow", str(options.follow - 1)]
    if options.quiet:
        arguments.append("--quiet")
    progress.say(f"--follow: python -m grpo.run {' '.join(arguments)}", always=True)
    sys.stdout.flush()
    # A process of its own gets back all memory of the device, and Ctrl-C reaches it as it would the first.
    by_console = os.environ.get(CONSOLE_VARIABLE) == "1"
    words = command_words("run", *arguments) if by_console else [sys.executable, "-m", "grpo.run", *arguments]
    os.execv(sys.executable, words)
    return DONE
