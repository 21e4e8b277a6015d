"""A training with TRL, told as YAML, script or command line, becomes a config of ours, or is refused with a true reason."""

from __future__ import annotations

import json

import pytest

from grpo.config.__main__ import main
from grpo.config.loading import load_config

YAML = """\
model_name_or_path: Qwen/Qwen2.5-1.5B-Instruct
torch_dtype: bfloat16
use_peft: true
lora_r: 8
num_processes: 2
per_device_train_batch_size: 16
gradient_accumulation_steps: 4
num_generations: 16
learning_rate: 2e-5
warmup_ratio: 0.1
max_steps: -1
num_train_epochs: 1
beta: 0.04
max_prompt_length: 512
max_completion_length: 1024
top_entropy_quantile: 0.2
use_vllm: true
vllm_gpu_memory_utilization: 0.5
sync_ref_model: true
reward_funcs: [accuracy]
no_such_setting: 3
"""
SCRIPT = """\
import torch
from trl import GRPOConfig, GRPOTrainer
LENGTH = 2048
parser.add_argument("--lr", type=float, default=5e-6)
args = parser.parse_args()
model, tokenizer = FastLanguageModel.from_pretrained(model_name="some/model", max_seq_length=LENGTH, load_in_4bit=True)
model = FastLanguageModel.get_peft_model(model, r=32, lora_alpha=64, target_modules=["q_proj", "v_proj"])
config = GRPOConfig(
    learning_rate=args.lr, num_generations=4, per_device_train_batch_size=4, max_completion_length=LENGTH - 512,
    optim="adamw_8bit", lr_scheduler_type="cosine", max_steps=250, temperature=compute(), loss_type="dr_grpo",
)
trainer = GRPOTrainer(model=model, reward_funcs=[f], args=config, train_dataset=rows)
"""


def run(capsys, *arguments: str):
    code = main(["from-trl", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_yaml_when_translated_then_every_setting_is_said_or_noted(tmp_path, capsys):
    """2 x 16 x 4 completions a step are 8 prompts of 16; TRL's own defaults are written out."""
    path = tmp_path / "grpo.yaml"
    path.write_text(YAML, encoding="utf-8")
    code, found = run(capsys, str(path))
    assert code == 0
    config, notes = found["config"], "\n".join(found["notes"])
    grpo, model = config["grpo"], config["model"]
    assert (grpo["prompts_per_step"], grpo["micro_batch_size"], grpo["num_generations"]) == (8, 16, 16)
    assert (grpo["learning_rate"], grpo["warmup_ratio"], grpo["num_train_epochs"]) == (2e-5, 0.1, 1)
    assert (grpo["loss_type"], grpo["lr_scheduler_type"], grpo["scale_rewards"]) == ("dapo", "linear", "group")
    assert model["lora"] == {"r": 8, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"}
    assert (model["engine"], model["vllm"]) == ("vllm", {"gpu_memory_utilization": 0.5})
    assert model["max_sequence_length"] == 1536 and config["trl"] == {"top_entropy_quantile": 0.2}
    for name in ("sync_ref_model", "reward_funcs", "no_such_setting", "max_prompt_length", "2 processes"):
        assert name in notes


def test_script_when_translated_then_it_is_read_and_not_run(tmp_path, capsys):
    """Constants, arithmetic and defaults of its command line are told; a call is not made."""
    path = tmp_path / "train.py"
    path.write_text(SCRIPT, encoding="utf-8")
    code, found = run(capsys, str(path))
    assert code == 0
    grpo, model = found["config"]["grpo"], found["config"]["model"]
    assert (grpo["learning_rate"], grpo["max_completion_length"], grpo["max_steps"]) == (5e-6, 1536, 250)
    assert (model["name"], model["quantization"], model["lora"]["r"]) == ("some/model", "nf4", 32)
    assert any("temperature (compute())" in note for note in found["notes"]) and "temperature" not in grpo


def test_command_line_when_translated_then_options_are_read(tmp_path, capsys):
    """A shell script with line ends; a variable of the shell is not guessed."""
    path = tmp_path / "train.sh"
    path.write_text(
        "# --beta 9\naccelerate launch train.py --model_name_or_path some/model \\\n  --num-generations=4 --bf16 "
        "--per_device_train_batch_size 8 --learning_rate $LR --max_steps 10 --loss_type grpo\n",
        encoding="utf-8",
    )
    code, found = run(capsys, str(path))
    assert code == 0 and found["config"]["grpo"]["prompts_per_step"] == 2
    assert found["config"]["grpo"]["beta"] == 0.0 and "learning_rate ($LR)" in found["notes"][0]


def test_yaml_when_settings_stand_in_sections_then_they_are_found(tmp_path, capsys):
    """A section for the training, one for the adapter, one for the model, and Hydra's; a mapping of TRL stays one."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "model: {name: some/model}\nlora_config: {r: 8, alpha: 16, dropout: 0}\nmax_steps: 7\n"
        "evaluation: {temperature: 0.0}\n"
        "args:\n  _target_: trl.GRPOConfig\n  learning_rate: 5e-6\n  num_generations: 4\n  per_device_train_batch_size: 8\n"
        "  max_steps: 9\n  gradient_checkpointing_kwargs: {use_reentrant: false}\n",
        encoding="utf-8",
    )
    code, found = run(capsys, str(path))
    assert code == 0
    grpo, model = found["config"]["grpo"], found["config"]["model"]
    assert (grpo["learning_rate"], grpo["num_generations"], grpo["prompts_per_step"], grpo["max_steps"]) == (
        5e-6,
        4,
        2,
        7,
    )
    assert grpo["temperature"] == 1.0  # an evaluation's own is not the training's
    assert model["name"] == "some/model"
    assert (model["lora"]["r"], model["lora"]["alpha"]) == (8, 16)
    assert not any("use_reentrant:" in note or "_target_" in note for note in found["notes"])


def test_script_when_no_value_is_told_then_every_setting_is_named(tmp_path, capsys):
    """A script that takes all of them from elsewhere is one of TRL's all the same."""
    path = tmp_path / "train.py"
    path.write_text(
        "from trl import GRPOConfig\nc = GRPOConfig(learning_rate=options.rate, beta=options.beta)\n", "utf-8"
    )
    code, found = run(capsys, str(path))
    assert code == 0
    assert "learning_rate (options.rate), beta (options.beta)" in found["notes"][0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.py", "class GRPOConfig:\n    kl_coef = 1\n\nc = GRPOConfig(max_steps=3)", "a class of its own, not TRL's"),
        ("a.py", "t = GRPOTrainer(model='m', args=GRPOConfig(max_steps=3), tools=[search])", "is given tools"),
        ("a.py", "m = FastVisionModel.from_pretrained('m')\nc = GRPOConfig(max_steps=3)", "reads images"),
        ("a.py", "print('hello')", "has no setting of TRL's GRPO"),
        ("a.py", "def f(:", "is not Python that can be read"),
        ("a.yaml", "- 1\n- 2\n", "does not hold a mapping"),
        ("a.yaml", "optim: galore_adamw\n", "wants optim_target_modules"),
        ("a.yaml", "loss_type: reinforce\n", "grpo.loss_type: 'reinforce' is not allowed"),
        ("a.yaml", "load_in_4bit: true\n", "4-bit weights are frozen"),
    ],
)
def test_training_when_it_has_no_counterpart_then_one_line_says_why(name, text, said, tmp_path, capsys):
    """Exit code 2 and the reason, no traceback and no half of a config."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["from-trl", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert said in err and not out


def test_output_when_written_then_it_is_a_config(tmp_path, capsys):
    """What has no counterpart stands in it as comments; it loads, and says the same again."""
    path, output = tmp_path / "grpo.yaml", tmp_path / "ours.yaml"
    path.write_text(YAML, encoding="utf-8")
    assert main(["from-trl", str(path), "--output", str(output)]) == 0
    assert "# no_such_setting: not a setting of TRL" in output.read_text(encoding="utf-8")
    assert "note: sync_ref_model" in capsys.readouterr().err
    assert load_config(output, profile=None).grpo.prompts_per_step == 8
