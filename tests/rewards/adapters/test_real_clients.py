"""The trainers' own code calls us: TRL's GRPOTrainer trains with our reward, and others' clients where they are installed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rewards.adapters import source
from rewards.adapters.source import open_source
from rewards.adapters.trainer_rows import LAYOUTS, pack_row
from rewards.serve.application import ServeSettings, make_application
from rewards.serve.scorers import make_scorer, read_section
from rewards.types import Example
from tests.rewards.serve.running import run_server

PLUGIN = """
from rewards.decorator import reward

@reward("letters", range=(0, 4))
def letters(text, reference):
    if text == "boom": raise ValueError("boom on purpose")
    return min(4, text.count(reference))
"""
EXAMPLES = [
    Example(str(n), "t", [{"role": "user", "content": f"say {letter}"}], letter) for n, letter in enumerate("ab")
]


def fetch(name: str, *wanted: str) -> Any:
    """A module of a trainer with these names in it, or a skipped test: some need a GPU's packages to be imported at all."""
    try:
        module = importlib.import_module(name)
        for each in wanted:
            getattr(module, each)
        return module
    except Exception as error:
        pytest.skip(f"{name} is not here: {type(error).__name__}: {error}")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clients")
    (folder / "letters.py").write_text(PLUGIN)
    section = {"plugins": ["letters.py"], "functions": [{"name": "letters"}], "error_budget": 1.0}
    (folder / "rewards.yaml").write_text(yaml.safe_dump(section))
    return folder / "rewards.yaml"


@pytest.fixture(scope="module")
def address(config) -> Iterator[str]:
    scorer = make_scorer("rewards", read_section(config), config.parent)
    with run_server(make_application({"rewards": scorer}, ServeSettings(processes=1))) as url:
        yield url


@pytest.fixture
def environment(config, monkeypatch) -> None:
    monkeypatch.setenv(source.VARIABLE, str(config))
    open_source.cache_clear()


@pytest.mark.parametrize("given", ["file", "url"])
def test_trl_when_its_own_trainer_runs_then_our_rewards_train_it(given, config, address, tmp_path):
    """Two steps of GRPO on a model of a few thousand weights; the rewards logged are those of the completions written."""
    pytest.importorskip("torch")
    trl = fetch("trl")
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    from rewards.adapters.trl import make_reward

    words = ["<pad>", "<eos>", "a", "b", "say", "Ġ", " "]
    plain = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>")
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, pad_token_id=0, eos_token_id=1,
        )
    )  # fmt: skip
    rows = Dataset.from_list([LAYOUTS["trl"][0](example, at) for at, example in enumerate(EXAMPLES)])
    reward = make_reward(str(config)) if given == "file" else make_reward(url=f"{address}/v1/score")
    seen: list[tuple[Any, Any]] = []

    def watched(prompts: Any, completions: Any, **columns: Any) -> Any:
        scores = reward(prompts, completions, **columns)
        seen.extend(zip(completions, scores, strict=True))
        return scores

    watched.__name__ = reward.__name__
    arguments = trl.GRPOConfig(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=2, max_completion_length=8,
        logging_steps=1, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True, bf16=False,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        model=model, reward_funcs=[watched], args=arguments, train_dataset=rows, processing_class=tokenizer
    )
    trainer.train()
    logged = [
        each["rewards/recompensa/mean"] for each in trainer.state.log_history if "rewards/recompensa/mean" in each
    ]
    assert len(logged) == 2 and len(seen) == 8 and all(0 <= score <= 1 for _, score in seen)
    halves = [sum(score for _, score in seen[at : at + 4]) / 4 for at in (0, 4)]
    assert logged == pytest.approx(halves, abs=1e-5)
    (text,) = (message["content"] for message in seen[0][0])
    assert seen[0][1] in (min(4, text.count("a")) / 4, min(4, text.count("b")) / 4)


def test_openrlhf_when_its_own_executor_asks_then_it_reads_our_answer(address):
    """The client of its rollouts, as it is: one sample a request."""
    agent = fetch("openrlhf.utils.agent")
    executor = agent.SingleTurnAgentExecutor(f"{address}/get_reward")
    label = pack_row(EXAMPLES[0])
    query = "<|im_start|>user\nsay a<|im_end|>\n<|im_start|>assistant\naa<|im_end|>"
    (info,) = asyncio.run(executor._fetch_rewards_via_http([query], [query.partition("aa")[0]], [label]))
    assert info == {"rewards": [0.5], "scores": [0.5], "extra_logs": {"letters": [0.5]}}


def test_verl_when_its_reward_manager_scores_then_number_and_parts(config):
    """The function found by the settings of a run's command line, called by the manager of its reward loop."""
    fetch("verl.experimental.reward_loop.reward_manager.naive")
    import numpy as np
    import torch
    from omegaconf import OmegaConf
    from verl import DataProto
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
    from verl.trainer.ppo.reward import get_custom_reward_fn

    named = {"path": "pkg://rewards.adapters.verl", "name": "compute_score", "reward_kwargs": {"config": str(config)}}
    settings = OmegaConf.create({"reward": {"custom_reward_function": named}})
    rows = [LAYOUTS["verl"][0](example, at) for at, example in enumerate(EXAMPLES)]

    class Letters:
        def decode(self, ids: Any, **_: Any) -> str:
            return "".join(chr(int(each)) for each in ids)

    def batch(row: dict[str, Any], text: str) -> Any:
        ids = torch.tensor([[ord(letter) for letter in text]])
        one = {key: np.array([row[key]], dtype=object) for key in ("data_source", "reward_model", "extra_info")}
        return DataProto.from_dict({"responses": ids, "attention_mask": torch.ones_like(ids)}, non_tensors=one)

    async def score() -> list[Any]:
        manager = NaiveRewardManager(settings, Letters(), get_custom_reward_fn(settings))
        return [await manager.run_single(batch(*each)) for each in ((rows[0], "aaa"), (rows[1], "b"))]

    first, second = asyncio.run(score())
    assert (first["reward_score"], second["reward_score"]) == (0.75, 0.25)
    assert first["reward_extra_info"] == {"score": 0.75, "acc": 0.0, "recompensa_error": 0.0, "letters": 0.75}


def test_areal_when_its_pool_calls_then_a_number(environment, config):
    """In a process of its own, by the line of a workflow."""
    api = fetch("areal.api.reward_api")
    from rewards.adapters.areal import reward

    row = LAYOUTS["areal"][0](EXAMPLES[1], 0)
    wrapper = api.AsyncRewardWrapper(reward, max_workers=1)
    assert asyncio.run(wrapper("say b", "bb<|im_end|>", [1], [2], **row)) == 0.5


def test_swift_when_its_algorithm_scores_then_numbers_and_nan_for_none(environment):
    """`--external_plugins` runs the file, `--reward_funcs` finds the name, and GRPO's own function calls it."""
    module = fetch("swift.rewards", "ORM", "orms")
    algorithm = fetch("swift.rl_core.grpo_algorithm")
    import torch
    from swift.rl_core.data import GRPOSample

    from rewards.adapters.swift import register

    register()
    samples = []
    for example, text in zip(EXAMPLES, ("aaaa", "boom"), strict=True):
        row = LAYOUTS["ms-swift"][0](example, 0)
        turns = [*row["messages"], {"role": "assistant", "content": text}]
        samples.append(GRPOSample(messages=turns, extra={"row": row["row"]}))
    made = module.orms["recompensa"](args=None)
    scores = algorithm.compute_rewards_per_func(samples, [made], [None], torch.device("cpu"))
    assert scores[0].tolist() == [1.0] and torch.isnan(scores[1]).all()


def test_skyrl_when_its_gym_makes_the_environment_then_a_step_ends_it(environment):
    """Registered by the entry point, made as its generator makes it."""
    gym = fetch("skyrl_gym")
    gym.register(id="recompensa", entry_point="rewards.adapters.skyrl:Env")
    row = LAYOUTS["skyrl"][0](EXAMPLES[0], 0)
    made = gym.make("recompensa", env_config={}, extras=row)
    made.init(row["prompt"])
    step = made.step("aa")
    assert step["reward"] == 0.5 and step["done"] is True and step["metadata"]["functions"] == {"letters": 0.5}


def test_eval_protocol_when_its_models_are_the_real_ones_then_a_result(environment):
    """An EvaluateResult with its metrics."""
    fetch("eval_protocol.models")
    from rewards.adapters.eval_protocol import evaluate

    result = evaluate([{"role": "user", "content": "say a"}, {"role": "assistant", "content": "a"}], "a")
    assert result.score == 0.25 and result.is_score_valid and result.metrics["letters"].score == 0.25


def test_verifiers_when_a_task_names_it_in_its_settings_then_the_trace_has_the_reward(environment):
    """Plugged by `fn` as in a taskset's TOML, called and weighted by the task's own scoring."""
    tasks, traces = fetch("verifiers.v1.task"), fetch("verifiers.v1.trace")
    from verifiers.v1.configs.task import TaskConfig

    row = LAYOUTS["verifiers"][0](EXAMPLES[0], 0)
    plugged = {"recompensa": {"fn": "rewards.adapters.verifiers:reward", "weight": 2.0}}
    task = tasks.Task(tasks.WireTaskData.model_validate(row), TaskConfig.model_validate({"rewards": plugged}))
    # A trace of a whole rollout has an agent, a model and a graph of messages; scoring reads the reply.
    trace = traces.Trace.model_construct(root_reply="aaa", rewards={}, metrics={}, nodes=[], state=None)
    asyncio.run(task.score(trace))
    assert (trace.rewards["recompensa"].score, trace.rewards["recompensa"].value) == (0.75, 1.5)
