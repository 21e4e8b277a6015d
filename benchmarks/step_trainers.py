"""What the step benchmark compares: our trainer and TRL's own, with one policy, one set of rows, one clock."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.step_models import make_policy, read_shop

REWARDS = ("extraction", "sql_qa", "insights", "push")


def make_examples(length: int, tokenizer=None) -> list:
    """Rows of the shop whose prompts have about `length` tokens: texts of other rows fill them up, or they are cut."""
    from dataclasses import replace

    from grpo.policy.prompts import PromptBuilder

    rows, _, embedded = read_shop()
    tokenizer = tokenizer or embedded
    builder, examples = PromptBuilder(tokenizer), []
    filling = " ".join(message["content"] for row in rows[:20] for message in row.prompt)
    for row in rows[:32]:
        words = (" ".join(message["content"] for message in row.prompt) + " " + filling[len(examples) * 50 :]).split(
            " "
        )
        low, high = 1, len(words)
        while low < high:  # the most words that fit
            middle = (low + high + 1) // 2
            prompt = [{"role": "user", "content": " ".join(words[:middle])}]
            low, high = (middle, high) if len(builder.prompt_ids(prompt)) <= length else (low, middle - 1)
        examples.append(replace(row, prompt=[{"role": "user", "content": " ".join(words[:low])}]))
    return examples


def make_host():
    from rewards.config import RewardsSection, build_host

    return build_host(RewardsSection(functions=[{"name": name} for name in REWARDS]))


def make_arguments(setting: dict, directory: str, steps: int):
    from grpo.config.sections import GrpoSection
    from grpo.training.trl_arguments import trl_arguments

    section = GrpoSection(
        max_steps=steps, learning_rate=1e-6, warmup_steps=0, prompts_per_step=setting["prompts"],
        num_generations=setting["group"], max_completion_length=setting["completion"], save_every_steps=10**6,
        micro_batch_size=setting.get("micro"),
    )  # fmt: skip
    return trl_arguments(
        section, directory=Path(directory), seed=1, device=setting.get("device", "cpu"),
        bf16=setting.get("dtype") == "bfloat16", gradient_checkpointing=False, engine=setting.get("trl"),
    )  # fmt: skip


class Spread:
    """The host's rewards, with a little added that differs: random weights write only wrong answers, all worth 0.

    Without it every advantage would be 0 and our loss free; what is measured must be a step that learns.
    """

    def __init__(self, host):
        self.host = host

    def score(self, pairs):
        from dataclasses import replace

        scored = self.host.score(pairs)
        return [replace(each, reward=(each.reward or 0.0) + 0.01 * (n % 7)) for n, each in enumerate(scored)]


def make_ours(setting: dict, directory: str, steps: int):
    from grpo.training.trainer import SharedPrefixTrainer

    class Ours(SharedPrefixTrainer):
        def _prepare_inputs(self, batch):
            inputs = super()._prepare_inputs(batch)
            self.before_loss(inputs)
            return inputs

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            self.after_loss()
            return loss

    policy = make_policy(setting)
    return Ours(
        policy, make_examples(setting["prompt"], policy.tokenizer), Spread(make_host()),
        make_arguments(setting, directory, steps), record=lambda *_: None,
    )  # fmt: skip


def make_plain(setting: dict, directory: str, steps: int):
    """TRL's own trainer with the same rows and rewards, and clocks at the same places as ours."""
    from collections import defaultdict

    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import GRPOTrainer

    from rewards.types import Completion

    policy = make_policy(setting)
    examples, host = make_examples(setting["prompt"], policy.tokenizer), Spread(make_host())

    def score(completions, completion_ids, row, **_):
        start = time.perf_counter()
        ends = {policy.tokenizer.eos_token_id}
        pairs = [
            (examples[index], Completion(messages[0]["content"], truncated=ids[-1] not in ends))
            for messages, ids, index in zip(completions, completion_ids, row, strict=True)
        ]
        rewards = [scored.reward for scored in host.score(pairs)]
        trainer.seconds["scoring"] += time.perf_counter() - start
        return rewards

    class Plain(GRPOTrainer):
        def _generate_single_turn(self, *args, **kwargs):
            start = time.perf_counter()
            written = super()._generate_single_turn(*args, **kwargs)
            self.seconds["generation"] += time.perf_counter() - start
            return written

        def _prepare_inputs(self, batch):
            inputs = super()._prepare_inputs(batch)
            self.before_loss(inputs)
            self.start = time.perf_counter()
            return inputs

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            self.seconds["loss"] += time.perf_counter() - self.start
            self.after_loss()
            return loss

    trainer = Plain(
        model=policy.model,
        reward_funcs=score,
        args=make_arguments(setting, directory, steps),
        train_dataset=Dataset.from_dict(
            {"prompt": [[dict(m) for m in e.prompt] for e in examples], "row": list(range(len(examples)))}
        ),
        processing_class=policy.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.seconds = defaultdict(float)
    return trainer


def build_trainer(name: str, setting: dict, directory: str, steps: int):
    """Ours, or TRL's own: plain, with its chunked head (liger), or as unsloth patched it; the caller hooks its parts."""
    if name != "ours":
        setting = bound_pass(setting) | ({"trl": {"use_liger_kernel": True}} if name == "liger" else {})
    trainer = (make_ours if name == "ours" else make_plain)(setting, directory, steps)
    trainer.before_loss, trainer.after_loss = (lambda inputs: None), (lambda: None)
    return trainer


def bound_pass(setting: dict) -> dict:
    """The setting with completions in one pass of TRL's bounded where the logits of all would fill the memory.

    That changes no sum, and hardly its time: a pass is still thousands of tokens.
    """
    if setting.get("micro") is not None or setting.get("model", "embedded5m") == "embedded5m":
        return setting
    return setting | {"micro": 4 if setting.get("device", "cpu") == "cpu" else min(setting["group"], 16)}


def quieten() -> None:
    """Only the tables go to the terminal."""
    import warnings

    import datasets
    import transformers

    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
