"""Settings that were written and do nothing: each is told with the reason, and nothing else is."""

import pytest

from grpo.config.leaves import flatten
from grpo.config.loading import list_configs, load_config
from grpo.config.run_config import RunConfig
from grpo.config.without_effect import _CONDITIONS, find_without_effect


def told(*overrides: str, profile: str = "gpu", config: str = "v4_1") -> str:
    return "\n".join(find_without_effect(load_config(config, list(overrides), profile)))


@pytest.mark.parametrize(
    "key, others, because",
    [
        ("model.vllm.mode=server", (), "model.engine is transformers; write model.engine: vllm"),
        ("model.vllm.weights_folder=x", ("model.vllm={mode: server, weight_transfer: file}",), "model.engine"),
        ("model.vllm.server_port=9", ("model.engine=vllm",), "model.vllm.mode is colocate"),
        (
            "model.vllm.gpu_memory_utilization=0.5",
            ("model.engine=vllm", "model.vllm={mode: server, server_base_url: 'http://host:1'}"),
            "runs already",
        ),
        (
            "model.vllm.importance_sampling_clip_max=2",
            ("model.engine=vllm", "model.vllm.importance_sampling_correction=false"),
            "correction is false",
        ),
        (
            "trl.vllm_model_impl=transformers",
            ("model.engine=vllm", "model.vllm.mode=server"),
            "colocated vLLM alone, and model.vllm.mode is server",
        ),
        ("grpo.speculation=4", ("model.engine=vllm",), "writes the completions itself"),
        ("grpo.max_steps=7", ("stages=[sft]",), "stages [sft] leaves GRPO out"),
        ("trl.pad_to_multiple_of=8", ("stages=[sft]",), "leaves GRPO out"),
        ("sft_warmup.learning_rate=0.001", (), "no SFT stage runs"),
        ("sft_warmup.learning_rate=0.001", ("sft_warmup.enabled=true", "stages=[grpo]"), "no SFT stage runs"),
        ("data.shop.warmup_slips=0.5", ("sft_warmup.enabled=true",), "data.shop.warmup_rows is 0"),
        ("evaluation.every_steps=7", ("stages=[]",), "trains nothing"),
        ("grpo.epsilon_high=0.28", (), "nothing is clipped"),
        ("grpo.off_policy_mask_threshold=0.5", (), "nothing is masked"),
        ("grpo.epsilon=0.3", ("grpo.loss_type=sapo", "grpo.num_iterations=2"), "does not clip"),
        ("grpo.epsilon=0.3", ("grpo.loss_type=cispo", "grpo.epsilon_high=5"), "one bound"),
        ("trl.sapo_temperature_pos=2", (), "not sapo"),
        ("trl.vespo_k_pos=2", (), "not vespo"),
        ("trl.use_bias_correction_kl=true", (), "grpo.beta is 0"),
        ("trl.entropy_target=0.5", (), "use_adaptive_entropy"),
        ("grpo.warmup_steps=9", ("grpo.lr_scheduler_type=constant",), "does not warm up"),
        (
            "sft_warmup.warmup_ratio=0.2",
            ("sft_warmup={enabled: true, lr_scheduler_type: constant}",),
            "does not warm up",
        ),
        ("grpo.adam_beta2=0.9", ("grpo.optim=sgd",), "optim sgd is not Adam"),
        ("evaluation.top_p=0.9", ("evaluation.temperature=0",), "greedy"),
        ("evaluation.kept_examples=5", (), "none is left to keep"),
        ("decision.scale_at=0.9", ("decision.relative_to=baseline",), "judged by what it gained"),
        ("decision.target=0.9", (), "decision.relative_to is thresholds"),
        ("data.tool_calls.form=cep", (), "data.source is shop"),
        ("data.shop.seed=9", ("data.source=tool_calls",), "data.source is tool_calls"),
        ("data.shop.warmup_rows=9", ("data.source=tool_calls",), "data.source is tool_calls"),
        (
            "data.shop.warmup_slips=0.5",
            ("data.source=tool_calls", "sft_warmup.enabled=true"),
            "data.source is tool_calls",
        ),
        ("data.task_column=kind", (), "names its tasks itself"),
        ("data.tmf921.replay=0.1", ("data.source=tmf921",), "no data.tmf921.weak"),
        ("data.tmf921.weak_count=2", ("data.source=tmf921",), "continue_from names no run"),
        ("tracking.entity=me", ("tracking.wandb=off",), "tracking.wandb is off"),
        ("tracking.project=mine", ("tracking.wandb=off",), "no tracker"),
        ("report.currency=BRL", (), "price_per_hour"),
    ],
)
def test_setting_when_nothing_reads_it_then_it_is_named_with_the_reason(key, others, because):
    """Every condition of the table, each with a key that it makes idle."""
    line = next(line for line in told(*others, key).splitlines() if key.partition("=")[0] in line)
    assert line.startswith("no effect: ") and because in line


def test_model_name_when_the_profile_brings_another_policy_then_one_line_says_so():
    """`--set model.name` under embedded or small would train another policy than the one that was named."""
    assert "no effect: model.name: the policy is made on the spot" in told("model.name=a/b", profile="embedded")
    assert "no effect: model.name: weights and tokenizer are those of" in told("model.name=a/b", profile="small")


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.engine=vllm", "model.vllm={mode: server, server_devices: '1', server_port: 9, group_port: 9}"),
        ("grpo.num_iterations=2", "grpo.epsilon_high=0.28"),
        ("grpo.loss_type=cispo", "grpo.epsilon_high=5"),
        ("stages=[sft]",),
        ("stages=[sft]", "grpo.max_completion_length=100"),
        ("sft_warmup.enabled=true", "sft_warmup.learning_rate=0.001"),
        ("model.vllm.mode=colocate",),
        ("model.gguf=package:file", "model.name=a/b", "model.dtype=float32"),
        ("evaluation.max_examples=50", "evaluation.kept_examples=5"),
    ],
)
def test_setting_when_it_is_read_or_the_default_then_nothing_is_told(overrides):
    """What works, what is the default anyway, and a stage that is left out over a recipe."""
    assert told(*overrides) == ""


def test_shipped_configs_when_run_under_any_profile_then_nothing_is_told():
    """A profile that lays itself over a recipe is meant to switch parts of it off."""
    for name in list_configs():
        assert told(profile="embedded", config=name) == "", name
    assert told(profile="small") == told(profile="gpu") == ""


def test_own_recipe_when_a_profile_switches_it_off_then_nothing_is_told(tmp_path):
    """vLLM settings of one's own recipe are no slip because --profile embedded uses transformers; in one file they are."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("extends: v4_1\nmodel: {name: a/b, engine: vllm, vllm: {gpu_memory_utilization: 0.4}}\n")
    assert told(config=str(recipe), profile="embedded") == ""
    recipe.write_text("extends: v4_1\nmodel: {engine: transformers, vllm: {gpu_memory_utilization: 0.4}}\n")
    assert "no effect: model.vllm.gpu_memory_utilization" in told(config=str(recipe))


def test_conditions_when_read_then_every_key_of_them_exists():
    """A key that was renamed would leave its condition idle."""
    known = {".".join(key[:end]) for key in flatten(RunConfig().model_dump()) for end in range(1, len(key) + 1)}
    for condition in _CONDITIONS:
        for key in f"{condition.keys} {condition.decided_by} {condition.but}".split():
            assert key in known or key.startswith("trl."), key
