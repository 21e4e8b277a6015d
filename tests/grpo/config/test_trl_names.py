"""Names and settings of TRL in a config: taken, said in our own way, or refused in one line with the reason."""

from __future__ import annotations

from itertools import combinations
from typing import get_args

import pytest

from grpo.config import trl_fields, trl_names
from grpo.config.loading import load_config
from grpo.config.sections import GrpoSection
from rewards.errors import UserError


def refuse(*overrides: str) -> str:
    with pytest.raises(UserError) as refusal:
        load_config("v4_1", list(overrides), profile=None)
    (line,) = refusal.value.problems
    return line


def test_tables_when_held_against_trl_then_every_setting_is_in_one_of_them():
    """A new TRL brings new settings: each is handed through, said by a key of ours, or refused with a reason."""
    dataclasses = pytest.importorskip("dataclasses")
    trl = pytest.importorskip("trl")
    tables = [
        set(each) for each in (trl_fields.HANDED, trl_fields.SAME_VALUE, trl_fields.OTHER_WAY, trl_fields.REFUSED)
    ]
    assert not [one & other for one, other in combinations(tables, 2) if one & other]
    fields = {field.name for field in dataclasses.fields(trl.GRPOConfig)}
    # The two were TRL's once: warmup_ratio and max_prompt_length.
    assert set.union(*tables) - fields == {"warmup_ratio", "max_prompt_length"} and fields <= set.union(*tables)


def test_same_values_when_followed_then_each_is_a_key_of_ours():
    """What a message tells to write can be written."""
    config = load_config("v4_1", profile=None)
    for path in trl_fields.SAME_VALUE.values():
        place = config
        for part in path.split("."):
            assert part in type(place).model_fields, path
            place = getattr(place, part)


def test_names_when_held_against_transformers_then_all_are_known():
    """Every optimiser of transformers is offered or refused, and every schedule but the two that wait for a metric."""
    training_args = pytest.importorskip("transformers.training_args")
    optimisers = {each.value for each in training_args.OptimizerNames}
    assert trl_names.OPTIMISERS.keys() | trl_names._REFUSED.keys() == optimisers
    schedules = {each.value for each in training_args.SchedulerType} - {"reduce_lr_on_plateau", "greedy"}
    assert set(get_args(trl_names.Scheduler)) == trl_names.SCHEDULES.keys() == schedules


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("grpo.optim=foo", "not an optimiser of transformers; allowed: adamw_torch"),
        ("grpo.optim=adamw_troch", "did you mean adamw_torch?"),
        ("grpo.optim=galore_adamw", "wants optim_target_modules"),
        ("grpo.lr_scheduler_type=cosine_with_min_lr", "needs one of lr_scheduler_kwargs.min_lr and min_lr_rate"),
        ("grpo.lr_scheduler_kwargs={power: 2}", "lr_scheduler_kwargs.power: no such setting of constant_with_warmup"),
        ("grpo.delta=0.9", "delta 0.9 is not above 1, the ratio with which every completion begins"),
        ("grpo.eval_steps=5", "no such key; write evaluation.every_steps"),
        ("grpo.torch_dtype=bfloat16", "no such key; write model.dtype"),
        ("model.use_peft=true", "no such key; write model.lora"),
        ("grpo.lr_scheduler_kwargs={num_cycles: abc}", "lr_scheduler_kwargs.num_cycles: no such setting"),
        ("trl={top_entropy_quantile: 1.5}", "1.5 is not allowed; allowed: a share above 0 and up to 1"),
        ("trl={pad_to_multiple_of: 0}", "0 is not allowed; allowed: a whole number of at least 1"),
        ("trl={ddp_backend: foo}", "allowed: nccl, gloo"),
        ("trl={optim_args: momentum}", "allowed: name=value"),
        ("trl={gradient_checkpointing_kwargs: {reentrant: true}}", "allowed: a mapping with use_reentrant"),
        ("trl={dataloader_prefetch_factor: 2}", "give dataloader_num_workers as well"),
        ("grpo.use_vllm=true", "write model.engine: vllm"),
        ("grpo.per_device_train_batch_size=8", "grpo.prompts_per_step"),
        ("grpo.top_entropy_quantile=0.2", "write trl.top_entropy_quantile"),
        ("grpo.fp16=true", "write model.dtype: float16"),
        ("trl={torch_compile: true}", "torch_compile: cannot be set: a compiled policy cannot share prompts"),
        ("trl={adam_epsilon: 0.1}", "adam_epsilon: write grpo.adam_epsilon"),
        ("trl={sapo_temperature_pos: high}", "sapo_temperature_pos: 'high' is not a number"),
        ("trl={no_such_thing: 1}", "no_such_thing: no such setting of TRL"),
    ],
)
def test_config_when_a_setting_cannot_be_used_then_one_line_says_what_to_do(override, said):
    """Before anything is loaded, and with the reason."""
    assert said in refuse(override)


@pytest.mark.parametrize(
    ("schedule", "settings", "said"),
    [
        ("cosine", {"num_cycles": "two"}, "num_cycles: 'two' is not a number"),
        ("warmup_stable_decay", {"num_decay_steps": 2, "decay_type": "steep"}, "allowed: linear, cosine, 1-sqrt"),
        ("polynomial", {"power": -1.0}, "power: -1.0 is not above 0"),
        ("polynomial", {"lr_end": 1e-3}, "lr_end, 0.001, is not below learning_rate 1e-06"),
        ("inverse_sqrt", {"timescale": 0}, "timescale: 0 is not above 0"),
        ("polynomial", {}, None),
    ],
)
def test_schedule_when_transformers_would_stumble_over_its_settings_then_the_config_does(schedule, settings, said):
    """They ended in a traceback when training began, after the warm-up."""
    problem = trl_names.find_schedule_problem(schedule, settings, 1e-6)
    assert problem is None if said is None else said in problem


def test_settings_when_the_device_has_no_tf32_then_it_is_not_asked_for(tmp_path):
    """A config for a GPU rehearses on a processor, where transformers refuses tf32."""
    pytest.importorskip("trl")
    from grpo.training.trl_arguments import trl_arguments

    common = {"directory": tmp_path, "seed": 1, "device": "cpu", "bf16": False, "gradient_checkpointing": False}
    section = GrpoSection(max_steps=3, warmup_steps=0, max_grad_norm=0)
    assert trl_arguments(section, **common, handed={"tf32": True}).max_grad_norm == 0


def test_epochs_when_given_then_are_counted_out_in_whole_steps():
    """Two and a half passes over 103 rows, four prompts a step, each batch used twice: 25 batches an epoch."""
    section = GrpoSection(num_train_epochs=2.5, prompts_per_step=4, num_iterations=2, max_steps=7)
    assert section.with_steps(103).max_steps == 125
    assert section.with_steps(103).num_train_epochs is None
    assert GrpoSection(max_steps=7).with_steps(103).max_steps == 7


def test_settings_when_handed_through_then_trl_has_them(tmp_path):
    """Section trl reaches TRL's arguments as it is."""
    pytest.importorskip("trl")
    from grpo.training.trl_arguments import trl_arguments

    config = load_config("v4_1", ["trl={top_entropy_quantile: 0.2, sapo_temperature_neg: 1.5}"], profile=None)
    arguments = trl_arguments(
        config.grpo,
        directory=tmp_path,
        seed=1,
        device="cpu",
        bf16=False,
        gradient_checkpointing=False,
        handed=config.trl,
    )
    assert (arguments.top_entropy_quantile, arguments.sapo_temperature_neg) == (0.2, 1.5)


def test_settings_when_trl_has_them_then_none_is_told_to_be_another(tmp_path):
    """A run warns of every setting that is not in force; with plain TRL there is none."""
    pytest.importorskip("trl")
    from grpo.machine.environment import changed_settings, effective_arguments
    from grpo.training.trl_arguments import trl_arguments

    section = GrpoSection(max_steps=3, warmup_steps=0)
    arguments = trl_arguments(
        section, directory=tmp_path, seed=1, device="cpu", bf16=False, gradient_checkpointing=False
    )
    found = effective_arguments(arguments)
    assert changed_settings(found | section.trl_settings(), found) == []


@pytest.mark.parametrize("mode", ["colocate", "server"])
def test_vllm_when_its_own_settings_and_those_of_section_trl_meet_then_none_is_given_twice(mode, tmp_path):
    """TRL's arguments are made with all that section trl may say of vLLM; what the engine gives is refused there."""
    pytest.importorskip("trl")
    from grpo.engines.vllm import VllmEngine
    from grpo.training.trl_arguments import trl_arguments

    config = load_config("v4_1", ["model.engine=vllm", f"model.vllm.mode={mode}"], profile=None)
    given = VllmEngine(config.model).arguments()
    assert not given.keys() & trl_fields.HANDED.keys()
    assert "write model.max_sequence_length" in refuse("trl.vllm_max_model_length=1024")
    arguments = trl_arguments(
        GrpoSection(max_steps=3), directory=tmp_path, seed=1, device="cpu", bf16=False, gradient_checkpointing=False,
        engine=given, handed={"vllm_model_impl": "transformers"},
    )  # fmt: skip
    assert arguments.vllm_model_impl == "transformers"
