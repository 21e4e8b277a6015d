"""One prompt answered by a run's best policy or any model: `python -m grpo.evaluate --model RUN --prompt TEXT`."""

from __future__ import annotations

import argparse
import hashlib
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from grpo.evaluate.policy_source import PolicySource, find_source, load_run_config
from rewards.errors import UserError
from rewards.screen.command_line import print_json
from rewards.types import Example


def answer_prompt(options: argparse.Namespace) -> int:
    """Print the policy's answer and nothing else, or as one JSON object with `--json`; returns the exit code.

    Of a run's task the prompt stands where its rows have their last user message. A text that one of the held-out rows
    asks gets the answer that the run's evaluation gave it: sampling, seed and random numbers are the same.
    """
    from grpo.evaluate.request import find_config, make_settings
    from grpo.machine.device import choose_device
    from grpo.machine.environment import prepare_threads, require_torch_device

    text = sys.stdin.read().strip() if options.prompt == "-" else options.prompt
    if not text:
        raise UserError("--prompt: the text is empty; give one, or - to read it from standard input")
    source = find_source(options.model)
    if source.kind == "endpoint":
        raise UserError("--prompt: asks a model on this machine; a server is asked with --data rows.jsonl")
    config = find_config(options, source)
    named = config.model.name in (source.location, source.base)
    source = replace(source, revision=config.model.revision if named else None)
    example = _make_example(text, options.task, source)
    threads = prepare_threads(config.threads)
    device = choose_device(config.model.device, "gpu" if config.model.embedded else "small").kind
    settings = make_settings(config, 1)
    with redirect_stdout(sys.stderr):
        answer = _answer(source, config, device, threads, example, settings, require_torch_device)
    if options.json:
        print_json(
            {
                "model": source.name, "id": example.id, "task": example.task, "prompt": example.prompt,
                "answer": answer.text, "truncated": answer.truncated,
            }
        )  # fmt: skip
        return 0
    print(answer.text)
    if answer.truncated:
        print(
            f"cut off after {settings.max_completion_length} tokens: --set evaluation.max_completion_length=N",
            file=sys.stderr,
        )
    return 0


def _answer(source, config, device, threads, example, settings, require_torch_device):
    from grpo.evaluate.backends import choose, find_problems, open_writer

    if problems := find_problems(config, source, 1):
        raise UserError(problems)
    choose(config).prepare()
    require_torch_device(device)
    import torch

    from grpo.engines.packages import quieten_libraries

    quieten_libraries()
    torch.set_num_threads(threads)
    with open_writer(source, config, device) as writer:
        prompt = writer.prompts.prompt_ids(example.prompt)
        length = len(prompt) + settings.max_completion_length
        if length > writer.context:
            raise UserError(
                f"--prompt: {len(prompt)} tokens and an answer of {settings.max_completion_length} are beyond the context of "
                f"{source.name}, {writer.context}; shorten it or --set evaluation.max_completion_length"
            )
        writer.start(length)
        return writer.write([example], [prompt], settings)[0][0].completion


def _make_example(text: str, task: str | None, source: PolicySource) -> Example:
    """The prompt as a row: of the run's task, or a user's message alone where no run is known."""
    if source.run is None:
        if task is not None:
            raise UserError(f"--task {task}: --model is not a run, whose rows would show how the task is asked")
        return Example(_id_of(text), "default", [{"role": "user", "content": text}], None, {})
    rows = _held_out_rows(source.run)
    tasks = sorted({row.task for row in rows})
    if task is None and len(tasks) > 1:
        raise UserError(f"--task: not given, and this run has several; name one of {', '.join(tasks)}")
    if task is not None and task not in tasks:
        raise UserError(f"--task {task}: this run has no such task; it has {', '.join(tasks)}")
    of_task = [row for row in rows if task in (None, row.task)]
    for row in of_task:
        if _asked(row) == text:
            return row
    messages = [dict(message) for message in of_task[0].prompt]
    place = max(index for index, message in enumerate(messages) if message["role"] == "user")
    messages[place:] = [{"role": "user", "content": text}]
    return Example(_id_of(text), of_task[0].task, messages, None, {})


def _held_out_rows(run: Path) -> list[Example]:
    from grpo.data.run_rows import load_inputs

    rows = load_inputs(load_run_config(run, rows=True)).held_out
    return [row for row in rows if any(message["role"] == "user" for message in row.prompt)]


def _asked(row: Example) -> str:
    return next(message["content"] for message in reversed(row.prompt) if message["role"] == "user").strip()


def _id_of(text: str) -> str:
    return "prompt-" + hashlib.sha256(text.encode()).hexdigest()[:12]
