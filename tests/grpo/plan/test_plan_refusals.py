"""What a plan refuses, one truth a test; the lines name the setting and what to write."""

import json

import pytest

from grpo.config.loading import load_config
from grpo.config.sections import GrpoSection, ModelSection, ratio_to_steps
from grpo.data.run_rows import RunRows
from grpo.machine.device import GIB, Device, require_cuda, require_one_device
from grpo.plan.make_plan import make_plan
from grpo.plan.refusals import _say_filter
from grpo.policy.tokenizer import EstimatedCounter
from rewards.errors import UserError
from rewards.types import Example
from sft_warmup.config import SftWarmupSection

L4 = Device("cuda", "NVIDIA L4", 24 * GIB, 1)
COUNTER = EstimatedCounter("an estimate")


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def example(name: str, characters: int = 20) -> Example:
    return Example(name, "push", [{"role": "user", "content": "x" * characters}], "y", {})


def inputs(train: int = 8, held_out: int = 2, **changed) -> RunRows:
    return RunRows(
        changed.get("train_rows") or [example(f"t{index}") for index in range(train)],
        changed.get("held_out_rows") or [example(f"h{index}") for index in range(held_out)],
        [],
    )


def refusals(*overrides: str, rows: RunRows | None = None, name: str = "v4_1", device=L4, world_size=None) -> list[str]:
    config = load_config(name, overrides, profile="gpu")
    with pytest.raises(UserError) as caught:
        make_plan(config, rows or inputs(), COUNTER, profile="gpu", device=device, world_size=world_size)
    return caught.value.problems


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("grpo.micro_batch_size=5", "grpo.micro_batch_size: 5 does not divide the 32 completions"),
        ("grpo.micro_batch_size=64", "allowed: 1, 2, 4, 8, 16, 32, or null"),
        ("grpo.warmup_steps=600", "grpo.warmup_steps: 600 lr warm-up steps"),
        ("grpo.max_steps=1", "grpo.warmup_ratio: 1 lr warm-up steps"),
        ("trl={router_aux_loss_coef: 0.1}", "has no experts whose load it could balance"),
        ("model.max_sequence_length=8192", "model.max_sequence_length: 8192 is beyond the context"),
        ("model.name=./no/such/model", "no/such/model is not a folder"),
        ("evaluation.max_completion_length=2048", "evaluation.max_completion_length: 2048 leaves no room"),
        ("model={engine: vllm, vllm: {mode: server}}", "model.vllm.server_devices: not given"),
    ],
)
def test_setting_when_it_cannot_work_then_one_line_refuses_it(override, said):
    """One bad setting is one line that names it."""
    (line,) = refusals(override)
    assert said in line


def test_problems_when_there_are_many_then_all_come_at_once():
    """A plan refuses everything it refuses in one go."""
    lines = refusals(
        "grpo.micro_batch_size=5",
        "grpo.warmup_steps=900",
        "model={engine: vllm, vllm: {mode: server}}",
        rows=inputs(train=1),
    )
    assert [line.partition(":")[0] for line in lines] == [
        "model.vllm.server_devices",
        "grpo.micro_batch_size",
        "grpo.warmup_steps",
        "data",
    ]


def test_unsloth_when_it_would_raise_the_batch_then_the_plan_says_so():
    """unsloth makes 16 of a batch of 2, silently: with 2 x 16 in passes of 2 that is another recipe."""
    (line,) = refusals("model.engine=unsloth", "grpo.micro_batch_size=2")
    assert "unsloth would silently raise 2 completions a pass to 16" in line
    make_plan(
        load_config("v4_1", ("model.engine=unsloth", "grpo.micro_batch_size=16"), profile="gpu"),
        inputs(), COUNTER, profile="gpu", device=L4,
    )  # fmt: skip


def test_rows_when_fewer_than_one_generation_batch_then_are_refused():
    """TRL would train 0 steps and exit with 0."""
    (line,) = refusals(rows=inputs(train=1))
    assert "1 training rows are fewer than grpo.prompts_per_step 2" in line
    make_plan(load_config("v4_1", profile="gpu"), inputs(train=2), COUNTER, profile="gpu", device=L4)


def test_held_out_when_empty_then_is_refused():
    """A run that measures nothing is not a run."""
    (line,) = refusals(rows=RunRows([example("a"), example("b")], [], []))
    assert "no held-out rows" in line


def test_prompt_when_beyond_the_context_then_its_row_is_named():
    """Prompts longer than what the completion leaves of the context are listed with their length."""
    # 3.2 characters a token: 1,536 tokens are left beside 512 for the completion, 8 of them the template's.
    fits, longer = example("fits", int(1528 * 3.2)), example("longer", int(1530 * 3.2))
    train = [example("a"), fits, longer]
    (line,) = refusals(rows=inputs(train_rows=train))
    assert "1 training prompts are longer than 1536 tokens" in line
    assert "'longer' about 1538 tokens" in line
    assert "'fits'" not in line
    (line,) = refusals(rows=inputs(held_out_rows=[longer]))
    assert "1 held-out prompts" in line


def test_prompt_when_beyond_its_own_limit_then_that_limit_is_named():
    """data.max_prompt_tokens is the stricter limit where it is lower."""
    lines = refusals("data.max_prompt_tokens=10", rows=inputs(train=9))
    assert [line.partition(" (")[0] for line in lines] == [
        "data: 9 training prompts are longer than 10 tokens",
        "data: 2 held-out prompts are longer than 10 tokens",
    ]
    assert "and 6 more" in lines[0]
    assert "raise data.max_prompt_tokens" in lines[0]


def test_prompt_when_it_is_too_long_and_the_rows_are_of_a_file_then_the_line_says_how_to_leave_them_out(tmp_path):
    """The command that filters them, with the limit and the policy's own tokenizer; generated rows have no file."""
    longer = example("longer", int(1530 * 3.2))
    files = ("data.source=files", f"data.train={tmp_path / 'a b.jsonl'}", f"data.held_out={tmp_path / 'b.jsonl'}")
    (line,) = refusals(*files, rows=inputs(train_rows=[example("a"), example("b"), longer]))
    assert f"grpo.data filter '{tmp_path / 'a b.jsonl'}' --out kept.jsonl --max-tokens 1536 --tokenizer " in line
    (line,) = refusals(rows=inputs(train_rows=[example("a"), example("b"), longer]))
    assert "filter" not in line
    for policy in ("model.gguf=package:file", "model.embedded={layers: 1}"):
        config = load_config("v4_1", [*files, policy], profile=None)
        assert _say_filter(config, "training", 1536) == ""


def test_completion_when_as_long_as_the_context_then_is_refused():
    """No room is left for a prompt."""
    lines = refusals("grpo.max_completion_length=2048")
    assert any("grpo.max_completion_length: 2048 leaves no room for a prompt" in line for line in lines)


def test_checkpoints_when_between_two_generations_then_are_refused():
    """A resume in the middle of a cycle would not come back to the same weights."""
    (line,) = refusals("grpo.num_iterations=4", "grpo.save_every_steps=50")
    assert "grpo.save_every_steps: 50 is not a multiple of num_iterations 4" in line


def test_devices_when_one_process_sees_two_then_a_run_is_refused_and_a_plan_says_so():
    """transformers would multiply the batch by the devices without a word."""
    two = Device("cuda", "NVIDIA L4", 24 * GIB, 2)
    with pytest.raises(UserError, match="one process sees 2 CUDA devices"):
        require_one_device(two)
    require_one_device(two, world_size=2)
    config = load_config("v4_1", profile="gpu")
    plan = make_plan(config, inputs(), COUNTER, profile="gpu", device=two)
    assert any("one process sees 2 CUDA devices" in note for note in plan.notes)
    shared = make_plan(config, inputs(), COUNTER, profile="gpu", device=two, world_size=2)
    assert shared.trl.per_device_train_batch_size * shared.trl.gradient_accumulation_steps * 2 == 32
    assert not any("one process" in note for note in shared.notes)


def test_processes_when_they_cannot_share_a_step_then_are_refused():
    """32 completions on 3 processes have no equal shares."""
    (line,) = refusals(world_size=3)
    assert "32 completions a step cannot be shared equally between 3 processes" in line
    assert "allowed: a multiple of 3 prompts, or as many processes as divide 32" in line


@pytest.fixture
def model_folder(tmp_path):
    """A local model whose generation_config.json the test writes."""

    def make(**settings) -> str:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
        (tmp_path / "model" / "vocab.json").write_text("{}", encoding="utf-8")
        (tmp_path / "model" / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
        return str(tmp_path / "model")

    return make


def notes_of(*overrides: str) -> str:
    config = load_config("v4_1", overrides, profile="gpu")
    return "\n".join(make_plan(config, inputs(), COUNTER, profile="gpu", device=L4).notes)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": False},
        {"temperature": 0.6},
        {"top_p": 0.95},
        {"top_k": 50},
        {"repetition_penalty": 1.2},
        {"min_p": 0.1},
        {"suppress_tokens": [5]},
        {"bad_words_ids": [[7, 8]]},
        {"min_new_tokens": 4},
        {"sequence_bias": [[[3], -1.0]]},
        {"forced_eos_token_id": 2},
        {"num_beams": 4},
        {"a_key_of_next_year": 1},
        {"do_sample": True, "temperature": 0.1, "top_k": 50, "repetition_penalty": 1.2},
    ],
)
def test_generation_config_when_it_asks_for_another_sampling_then_the_plan_notes_it(model_folder, settings):
    """Nothing in the file stops a run; whatever transformers would obey is named as set aside."""
    said = notes_of(f"model.name={model_folder(**settings)}")
    for key, value in settings.items():
        if value is not True:
            assert f"{key} {value}" in said
    assert "set aside, section grpo samples" in said


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"eos_token_id": 2},
        {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0},
        {"top_k": None},
        {"suppress_tokens": [], "num_beams": 1, "max_new_tokens": 2048, "transformers_version": "4.0"},
    ],
)
def test_generation_config_when_it_agrees_then_nothing_is_said(model_folder, settings):
    """Stop tokens, equal values and lengths change no sampling."""
    assert "set aside" not in notes_of(f"model.name={model_folder(**settings)}")


def test_generation_config_when_a_shipped_model_is_not_here_then_its_recommendation_is_known():
    """What the shipped models recommend is noted without a network."""
    assert "temperature 0.1, top_k 50, repetition_penalty 1.2: set aside" in notes_of()


def test_generation_config_when_a_run_of_before_recorded_the_key_then_it_is_still_read():
    """The key that version 0.1 wrote into every config.json is forgotten; another value is a mistake."""
    assert ModelSection.model_validate({"generation_config": "refuse"}) == ModelSection()
    with pytest.raises(ValueError, match="generation_config"):
        ModelSection.model_validate({"generation_config": "keep"})


def test_cuda_when_required_and_absent_then_one_line_says_what_to_check():
    """Profile gpu without a device stops before anything is spent."""
    require_cuda(L4)
    with pytest.raises(UserError, match="no CUDA device is visible here"):
        require_cuda(Device("cpu", "CPU, 2 cores", None, 1))


@pytest.mark.parametrize(
    ("prompts", "generations", "micro", "world", "expected"),
    [
        (2, 16, None, 1, (32, 1, 32)),
        (2, 16, 8, 1, (8, 4, 32)),
        (2, 16, 8, 2, (8, 2, 32)),
        (2, 16, None, 2, (16, 1, 32)),
        (4, 16, 64, 1, (64, 1, 64)),
    ],
)
def test_trl_batch_when_resolved_then_multiplies_back_to_the_step(prompts, generations, micro, world, expected):
    """What the user writes is what TRL gets, however it is cut."""
    section = GrpoSection(prompts_per_step=prompts, num_generations=generations, micro_batch_size=micro)
    batch = section.trl_batch(world)
    found = (batch.per_device_train_batch_size, batch.gradient_accumulation_steps, batch.generation_batch_size)
    assert found == expected
    assert found[0] * found[1] * world == found[2]


@pytest.mark.parametrize(
    ("ratio", "steps", "expected"), [(0.05, 600, 30), (0.1, 200, 20), (0.07, 100, 7), (0.05, 150, 8), (0, 100, 0)]
)
def test_ratio_when_made_into_steps_then_is_rounded_up_in_decimals(ratio, steps, expected):
    """0.07 of 100 is 7: binary fractions add no step."""
    assert ratio_to_steps(ratio, steps) == expected


@pytest.mark.parametrize(("given", "rows", "steps"), [({}, 592, 37), ({"epochs": 2}, 33, 6), ({"max_steps": 5}, 9, 5)])
def test_warmup_steps_when_counted_then_include_the_short_last_batch(given, rows, steps):
    """One epoch unless told otherwise; the last batch of an epoch may be short."""
    assert SftWarmupSection(batch_size=16, **given).steps(rows) == steps


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"quantization": "nf4", "lora": None}, "lora cannot be null"),
        ({"quantization": "nf4", "embedded": {}}, "does not apply to the embedded policy"),
        ({"embedded": {"hidden_size": 100, "heads": 3}}, "not a multiple of heads"),
        ({"embedded": {"hidden_size": 12, "heads": 4}}, "even number"),
        ({"lora": {"target_modules": []}}, "names no layer"),
    ],
)
def test_model_when_its_settings_exclude_each_other_then_says_why(section, said):
    """A policy that cannot be trained or built is a mistake of the config."""
    with pytest.raises(ValueError, match=said):
        ModelSection.model_validate(section)


def test_plan_when_a_models_folder_has_no_tokenizer_then_refused(tmp_path):
    """Weights alone cannot be spoken to, which the dry run says before anything is loaded."""
    shape = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "vocab_size": 32,
        "intermediate_size": 8,
    }
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", **shape}))
    (line,) = [line for line in refusals(f"model.name={tmp_path}") if "tokenizer" in line]
    assert line.startswith(f"model.name: {tmp_path} holds no tokenizer (tokenizer.json")
