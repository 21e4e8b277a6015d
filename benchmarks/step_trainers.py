"""What the step benchmark compares: our trainer and TRL's own, with one policy, one set of rows, one clock."""

from __future__ import annotations

import math
import os
import tempfile
import time
from functools import cache
from pathlib import Path

SHAPE = {"layers": 6, "hidden_size": 256, "intermediate_size": 768, "heads": 4, "kv_heads": 2, "vocabulary": 1024}
REWARDS = ("extraction", "sql_qa", "insights", "push")


@cache
def read_shop():
    """Rows of the shop, training then held-out, and a tokenizer taught on them."""
    from grpo.config.sections import EmbeddedSection
    from grpo.data.rows import read_rows
    from grpo.data.section import ShopSection
    from grpo.data.shop import build_shop
    from grpo.policy.embedded import make_tokenizer
    from grpo.policy.tokenizer import training_texts

    folder = Path(tempfile.gettempdir()) / "recompensa-benchmark-shop"
    shop = build_shop(folder, ShopSection(train_rows=200, held_out_rows=256, warmup_rows=0))
    rows = read_rows(shop.train)
    return rows, read_rows(shop.held_out), make_tokenizer(training_texts(rows), EmbeddedSection(**SHAPE))


def make_policy(setting: dict):
    """Random weights, the same for the same setting, and a head that ends completions as the setting says.

    With `model: small` it is the pretrained model of profile small and its LoRA, whose completions run to the limit.
    """
    import torch

    if setting.get("model") == "small":
        return make_small_policy()

    from grpo.config.sections import EmbeddedSection
    from grpo.policy.embedded import make_model
    from grpo.policy.loading import Policy

    tokenizer = read_shop()[2]
    model = make_model(tokenizer, EmbeddedSection(**SHAPE), context=4096, seed=0)
    # Of nearly even logits, the end token is drawn with chance p when it is ahead by this much.
    p = 1 - (1 - setting["ends"]) ** (1 / setting["completion"])
    bias = torch.zeros(len(tokenizer))
    bias[tokenizer.eos_token_id] = math.log(p * (len(tokenizer) - 1) / (1 - p)) if p else -30.0
    model.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    return Policy(model, tokenizer)


def make_small_policy():
    """SmolLM2 with adapters that already say something, and a head that never ends a completion."""
    import torch

    from grpo.config.loading import load_config
    from grpo.policy.loading import load_policy

    policy = load_policy(load_config("v4_1", profile="small").model, texts=(), seed=0, device="cpu")
    generator = torch.Generator().manual_seed(0)
    for name, weight in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01, generator=generator)
    head = policy.model.get_output_embeddings()
    bias = torch.zeros(head.weight.shape[0])
    bias[policy.eos_ids] = -100.0
    head.bias = torch.nn.Parameter(bias, requires_grad=False)
    return policy


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
        section, directory=Path(directory), seed=1, device="cpu", bf16=False, gradient_checkpointing=False
    )


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
    trainer = {"plain": make_plain, "ours": make_ours}[name](setting, directory, steps)
    trainer.before_loss = lambda inputs: None
    return trainer


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
