"""The plan: what a config will do, counted by hand here, and the command that prints it."""

import io
import json
import subprocess
import sys

import pytest

from callbacks.progress import Progress
from grpo.config.loading import configs_folder, load_config
from grpo.data.run_rows import RunRows
from grpo.machine.device import GIB, Device
from grpo.plan.__main__ import main
from grpo.plan.make_plan import make_plan
from grpo.plan.memory_estimate import embedded_shape
from grpo.policy.tokenizer import EstimatedCounter, find_token_counter
from rewards.types import Example

CPU = Device("cpu", "CPU, 2 cores", 8 * GIB, 1)
L4 = Device("cuda", "NVIDIA L4", 24 * GIB, 1)
COUNTER = EstimatedCounter("an estimate")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One folder for everything generated in these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _isolated(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("RECOMPENSA_CACHE", str(cache))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def row(index: int, task: str = "extraction", prompt: str = "uma resenha", side: str = "train") -> Example:
    return Example(f"{side}-{index}", task, [{"role": "user", "content": f"{prompt} {index}"}], '{"a": 1}', {})


def rows(counts: dict[str, int], side: str = "train") -> list[Example]:
    return [row(index, task, f"{side} {task}", side) for task, count in counts.items() for index in range(count)]


def inputs(counts: dict[str, int] | None = None) -> RunRows:
    return RunRows(rows(counts or {"extraction": 6, "push": 2}), rows({"extraction": 3}, "held"), [])


def test_v4_1_when_planned_on_any_machine_then_says_the_recipe(capsys):
    """The reference recipe: 2 prompts x 16, 600 steps, 1,200 prompts, 30 lr warm-up steps, 80 % of the data."""
    assert main(["--config", "v4_1.yaml", "--profile", "gpu", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [
        plan[key]
        for key in (
            "prompts_per_step",
            "num_generations",
            "completions_per_step",
            "max_steps",
            "prompts_seen",
            "unique_prompts",
            "lr_warmup_steps",
        )
    ] == [2, 16, 32, 600, 1200, 1200, 30]
    assert plan["epochs"] == pytest.approx(1200 / 1480, abs=1e-4)
    assert plan["per_task"] == {"extraction": 480, "insights": 120, "push": 120, "sql_qa": 480}
    assert plan["trl"]["per_device_train_batch_size"] == 8
    assert plan["trl"]["gradient_accumulation_steps"] == 4
    assert plan["trl"]["generation_batch_size"] == 32
    assert plan["model"]["parameters"] == 490_799_104
    assert plan["memory_bytes"]["peak"] < plan["device"]["memory_bytes"]
    assert plan["seconds_estimated"]["total"] > 0


def test_plan_when_printed_then_names_what_matters(capsys):
    """The panel tells policy, step, prompts, tokens, memory and time."""
    assert main(["--config", "v4_1", "--profile", "embedded"]) == 0
    shown = capsys.readouterr().out
    for word in (
        "plan of v4_1, profile embedded",
        "made on the spot",
        "SFT warm-up",
        "per task",
        "memory",
        "time",
        "TRL",
    ):
        assert word in shown


def test_plan_when_shown_by_a_run_then_is_plain_lines():
    """The first screen of a run has no control codes and every value of the panel."""
    stream = io.StringIO()
    plan = make_plan(load_config("v4_1", profile="gpu"), inputs(), COUNTER, profile="gpu", device=L4)
    plan.show(Progress(stream=stream))
    assert "\x1b" not in stream.getvalue()
    for label, _ in plan.lines():
        assert label in stream.getvalue()


@pytest.mark.parametrize(
    ("steps", "prompts", "iterations", "train_rows", "seen", "unique"),
    [
        (3, 2, 1, 8, 6, 6),  # part of one epoch
        (4, 2, 1, 8, 8, 8),  # exactly one
        (9, 2, 1, 8, 18, 8),  # several
        (2, 3, 1, 8, 6, 6),  # an epoch of 8 rows has two whole steps of 3
        (4, 2, 2, 8, 4, 4),  # each generation feeds two steps
        (5, 2, 2, 8, 6, 6),  # the last one only one
    ],
)
def test_prompts_when_counted_then_follow_trl_sampler(steps, prompts, iterations, train_rows, seen, unique):
    """Prompts are drawn without replacement within an epoch and reused num_iterations times."""
    overrides = [
        f"grpo.max_steps={steps}",
        f"grpo.prompts_per_step={prompts}",
        f"grpo.num_iterations={iterations}",
        "grpo.micro_batch_size=null",
        "grpo.warmup_ratio=0",
        "grpo.save_every_steps=2",
    ]
    config = load_config("v4_1", overrides, profile="gpu")
    plan = make_plan(config, inputs({"extraction": train_rows}), COUNTER, profile="gpu", device=L4)
    assert (plan.prompts_seen, plan.unique_prompts) == (seen, unique)
    assert plan.epochs == pytest.approx(seen / train_rows, abs=1e-4)
    assert sum(plan.per_task.values()) == pytest.approx(seen, abs=0.1)


def test_tokens_when_counted_then_most_is_every_completion_at_its_limit():
    """Totals are prompts seen times their mean, and completions at the limit or as long as the references."""
    config = load_config("v4_1", ["grpo.max_steps=10", "grpo.warmup_ratio=0"], profile="gpu")
    plan = make_plan(config, inputs(), COUNTER, profile="gpu", device=L4)
    prompts = COUNTER.count_prompts([example.prompt for example in inputs().train])
    reference = COUNTER.count_texts(['{"a": 1}'])[0]
    tokens = plan.tokens
    assert tokens.prompt_total == round(20 * sum(prompts) / len(prompts))
    assert tokens.completion_most == 20 * 16 * 512
    assert tokens.completion_expected == 20 * 16 * (reference + 1)
    assert tokens.total_most == tokens.prompt_total + tokens.completion_most
    assert (tokens.prompt_longest, tokens.prompt_limit) == (max(prompts), 2048 - 512)


def test_evaluations_when_counted_then_are_before_after_between_and_at_the_end():
    """600 steps with one every 50: before, warm-up, 11 between, the end."""
    plan = make_plan(load_config("v4_1", profile="gpu"), inputs(), COUNTER, profile="gpu", device=L4)
    assert plan.evaluations == 14


def test_warmup_when_on_then_its_steps_follow_from_its_rows(capsys):
    """V4.2-B: one epoch over the 592 extraction pairs in batches of 16 is 37 steps."""
    assert main(["--config", "v4_2_b", "--profile", "gpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sft_warmup"] == {"enabled": True, "rows": 592, "steps": 37}


def test_v4_2_c_when_planned_then_only_insights_has_more_rows(capsys):
    """V4.2-C has 350 pairs of insights, and V4.1's numbers of the other tasks."""
    assert main(["--config", "v4_2_c", "--profile", "gpu", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    shares = {task: count / plan["prompts_seen"] for task, count in plan["per_task"].items()}
    counted = {task: round(share * plan["train_rows"]) for task, share in shares.items()}
    assert counted == {"extraction": 592, "sql_qa": 592, "insights": 350, "push": 148}


def test_device_when_absent_for_gpu_then_the_recipe_one_is_named():
    """Without a CUDA device memory and time are told for the L4, and that is said."""
    plan = make_plan(load_config("v4_1", profile="gpu"), inputs(), COUNTER, profile="gpu", device=CPU)
    assert plan.device_is_reference
    assert plan.device.name == "NVIDIA L4"
    assert any("no CUDA device here" in note for note in plan.notes)


def test_memory_when_beyond_the_device_then_a_note_says_what_to_lower():
    """All of a step at once does not fit a small device."""
    config = load_config("v4_1", ["grpo.micro_batch_size=null"], profile="gpu")
    small = Device("cuda", "Tesla T4", 15 * GIB, 1)
    plan = make_plan(config, inputs(), COUNTER, profile="gpu", device=small)
    assert any("lower grpo.micro_batch_size" in note for note in plan.notes)


def test_dynamic_sampling_when_on_then_a_note_bounds_what_it_adds():
    """Fresh prompts come on top of what the plan counts."""
    config = load_config("v4_1", ["grpo.dynamic_sampling=3"], profile="gpu")
    plan = make_plan(config, inputs(), COUNTER, profile="gpu", device=L4)
    assert any("up to 3 further rounds" in note and "at most 6 fresh prompts" in note for note in plan.notes)


def test_references_when_longer_than_a_completion_may_be_then_a_note_says_so():
    """A right answer that would be cut off can never be rewarded."""
    config = load_config("v4_1", ["grpo.max_completion_length=2"], profile="gpu")
    plan = make_plan(config, inputs(), COUNTER, profile="gpu", device=L4)
    assert plan.tokens.references_beyond_limit == 8
    assert any("8 references are longer" in note for note in plan.notes)


def test_unknown_model_when_planned_then_memory_is_said_to_be_unknown():
    """A model this machine cannot ask about is not an error in a plan, and its name's number is not a size."""
    config = load_config("v4_1", ["model.name=nobody/unheard-of-7B"], profile="gpu")
    plan = make_plan(config, inputs(), COUNTER, profile="gpu", device=L4)
    assert plan.memory is None
    assert plan.to_json()["model"]["parameters"] is None
    assert dict(plan.lines())["memory"].endswith("HF_HUB_OFFLINE is set and it is not in the cache")


def test_plan_when_made_twice_then_is_the_same():
    """Nothing in a plan is random."""
    config = load_config("v4_1", profile="embedded")
    first, second = (make_plan(config, inputs(), profile="embedded", device=CPU).to_json() for _ in range(2))
    assert first == second


def test_command_when_refused_then_exits_with_2_and_all_reasons(capsys):
    """Every refusal is a line on stderr."""
    code = main(
        ["--config", "v4_1", "--profile", "gpu", "--set", "grpo.micro_batch_size=5", "--set", "grpo.warmup_steps=600"]
    )
    shown = capsys.readouterr()
    assert code == 2
    assert shown.out == ""
    assert "grpo.micro_batch_size: 5 does not divide" in shown.err
    assert "grpo.warmup_steps: 600 lr warm-up steps are not fewer than max_steps 600" in shown.err


def test_command_when_run_then_brings_no_training_library():
    """Planning needs no torch."""
    code = (
        "import sys\nfrom grpo.plan.__main__ import main\n"
        "assert main(['--config', 'v4_1', '--profile', 'embedded', '--json']) == 0\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'peft', 'wandb', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=configs_folder().parent
    )
    assert done.returncode == 0, done.stderr


def test_embedded_policy_when_its_rows_have_few_pieces_then_its_own_vocabulary_is_counted():
    """The model gets as many embeddings as its tokenizer has tokens, which may be fewer than the config allows."""
    config = load_config("v4_1", ["sft_warmup.enabled=false"], profile="embedded")
    assert config.model.embedded is not None
    few = inputs()
    plan = make_plan(config, few, profile="embedded", device=CPU)
    tokens = find_token_counter(config.model, few.taught).tokenizer.get_vocab_size()
    assert plan.shape is not None and plan.shape.vocabulary == tokens < config.model.embedded.vocabulary
    whole = embedded_shape(config.model.embedded, config.model.max_sequence_length)
    missing = (config.model.embedded.vocabulary - tokens) * config.model.embedded.hidden_size
    assert whole.parameters - plan.shape.parameters == missing
