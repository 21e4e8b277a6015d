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


def write(folder, **files: str):
    """Files of a project, by name; __ stands for a folder's end and the last _ for the dot."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/")[::-1].replace("_", ".", 1)[::-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


LAUNCHED = """\
import argparse
from dataclasses import dataclass, field
from trl import GRPOConfig, GRPOTrainer
@dataclass
class Own:
    beta: float = field(default=0.02)
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=1e-6)
p.add_argument("--rows-a-step", dest="acc", type=int, default=4)
p.add_argument("--small", action="store_true")
args = p.parse_args()
options = dict(learning_rate=args.lr, gradient_accumulation_steps=args.acc, unheard=args.nowhere)
c = GRPOConfig(per_device_train_batch_size=8, beta=own.beta, max_steps=7 if args.small else 9, **options)
model, other = "some/model", 3
t = GRPOTrainer(model=model, args=c)
"""


def test_shell_when_it_starts_a_script_then_its_options_go_into_the_script(tmp_path, capsys):
    """Options stand above the script's defaults; the launcher tells the processes; a server beside it is none of it."""
    write(
        tmp_path,
        train_py=LAUNCHED,
        run_sh="#!/bin/bash\nLR=3e-6 # a rate\ntrl vllm-serve --model other/model --tensor_parallel_size 4 &\n"
        'accelerate launch --num_processes 2 train.py --lr ${LR} \\\n  # a comment between\n  --small --rows-a-step "${ACC:-16}"\n',
    )
    code, found = run(capsys, str(tmp_path / "run.sh"))
    grpo = found["config"]["grpo"]
    assert code == 0 and found["config"]["model"]["name"] == "some/model"
    assert (grpo["learning_rate"], grpo["prompts_per_step"], grpo["beta"], grpo["max_steps"]) == (3e-6, 32, 0.02, 7)
    assert "vllm" not in found["config"]["model"]


def test_shell_when_it_names_a_yaml_then_that_is_read_below_its_options(tmp_path, capsys):
    """As TrlParser reads it; a word with a # in it is a word; accelerate's file tells the processes."""
    write(
        tmp_path,
        recipes__grpo_yaml="learning_rate: 2e-5\nbeta: 0.1\nmax_steps: 3\n",
        acc_yaml="num_processes: 4\n",
        scripts__run_sh="accelerate launch --config_file acc.yaml src/grpo.py --dataset_name a/b#100 --config "
        "recipes/grpo.yaml --beta 0.2\n",
    )
    code, found = run(capsys, str(tmp_path / "scripts" / "run.sh"))
    grpo = found["config"]["grpo"]
    assert code == 0
    assert (grpo["learning_rate"], grpo["beta"], grpo["max_steps"], grpo["prompts_per_step"]) == (2e-5, 0.2, 3, 4)


def make_notebook(*cells: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": cell.splitlines(True)} for cell in cells]})


def test_notebook_when_translated_then_its_cells_are_read(tmp_path, capsys):
    """Lines for the shell are none of Python; a model that is loaded by the notebook names it."""
    text = make_notebook(
        "%%capture\n!pip install trl",
        "from trl import GRPOConfig\nmodel_id, out = 'some/model', 'here'\n"
        "model = AutoModelForCausalLM.from_pretrained(model_id, torch_dtype=torch.bfloat16)",
        "c = GRPOConfig(\n    num_generations=4, per_device_train_batch_size=4, fp16=True)\nt = GRPOTrainer(model=model, args=c)",
    )
    code, found = run(capsys, str(write(tmp_path, grpo_ipynb=text) / "grpo.ipynb"))
    assert code == 0 and found["config"]["grpo"]["num_generations"] == 4
    assert found["config"]["model"]["name"] == "some/model"
    shell = make_notebook("%%writefile a.yaml\nmax_steps: 5\nbeta: 0.3\n", "!trl grpo --config a.yaml")
    assert run(capsys, str(write(tmp_path, shell_ipynb=shell) / "shell.ipynb"))[1]["config"]["grpo"]["beta"] == 0.3


def test_wrappers_when_translated_then_their_own_names_and_defaults_are_written(tmp_path, capsys):
    """axolotl trains one completion a pass with a cosine; ms-swift adapters at 1e-4, beta 0.04, temperature 0.9."""
    axolotl = (
        "base_model: some/model\nrl: gdpo\nadapter: qlora\nlora_r: 8\nmicro_batch_size: 4\nnum_epochs: 2\noptimizer: adamw_8bit\n"
        "learning_rate: 1e-5\ntrl: {num_generations: 4, beta: 0.01, max_completion_length: 64}\n"
    )
    swift = (
        "NPROC_PER_NODE=2 \\\nswift rlhf --rlhf_type grpo --model some/model --dataset a/b#100 \\\n"
        "  --num_generations 4 --per_device_train_batch_size 4 --report_to a b --lora_rank 16\n"
    )
    write(tmp_path, a_yaml=axolotl, b_sh=swift)
    found = run(capsys, str(tmp_path / "a.yaml"))[1]["config"]
    assert (found["model"]["name"], found["model"]["quantization"], found["model"]["lora"]["r"]) == (
        "some/model",
        "nf4",
        8,
    )
    grpo = found["grpo"]
    assert (grpo["micro_batch_size"], grpo["num_train_epochs"], grpo["optim"], grpo["lr_scheduler_type"]) == (
        4, 2, "adamw_8bit", "cosine",
    )  # fmt: skip
    assert (grpo["beta"], grpo["warmup_ratio"], grpo["multi_objective_aggregation"]) == (
        0.01,
        0.03,
        "normalize_then_sum",
    )
    found = run(capsys, str(tmp_path / "b.sh"))[1]["config"]
    grpo = found["grpo"]
    assert (grpo["learning_rate"], grpo["beta"], grpo["temperature"], grpo["loss_type"]) == (1e-4, 0.04, 0.9, "grpo")
    assert (grpo["prompts_per_step"], found["model"]["lora"]["r"], found["model"]["lora"]["dropout"]) == (2, 16, 0.05)


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [("max_steps: 3", "float32"), ("use_peft: true", "bfloat16"), ("torch_dtype: bfloat16", "bfloat16"),
     ("use_peft: true\nfp16: true", "float16"), ("bf16: false\nuse_peft: true", "float32"), ("fp16: true", "float32")],
)  # fmt: skip
def test_dtype_when_the_file_says_more_or_less_then_weights_are_what_trl_has(settings, dtype, tmp_path, capsys):
    """TRL's weights are float32 unless told; below adapters the type of its products serves as well."""
    found = run(capsys, str(write(tmp_path, a_yaml=settings + "\nbeta: 0.0\n") / "a.yaml"))[1]
    assert found["config"]["model"]["dtype"] == dtype
    assert any("TRL 1.14.2 trains float32" in note for note in found["notes"]) == (settings == "max_steps: 3")


def test_settings_when_the_plan_would_refuse_them_then_what_it_takes_is_written(tmp_path, capsys):
    """A checkpoint between two uses of a batch, room for a prompt, filters beside vLLM's ratio, 4-bit weights in vLLM."""
    text = "num_iterations: 4\nsave_steps: 25\nmax_completion_length: 8192\nuse_vllm: true\ntop_p: 0.9\n"
    config = run(capsys, str(write(tmp_path, a_yaml=text) / "a.yaml"))[1]["config"]
    assert config["grpo"]["save_every_steps"] == 28 and config["model"]["max_sequence_length"] == 10240
    assert config["model"]["vllm"]["importance_sampling_correction"] is False
    found = run(capsys, str(write(tmp_path, b_yaml=text + "use_peft: true\nload_in_4bit: true\n") / "b.yaml"))[1]
    assert "engine" not in found["config"]["model"] and any(
        note.startswith("use_vllm: left out") for note in found["notes"]
    )


def test_settings_when_trl_ignores_counts_or_raises_them_then_so_does_the_translation(tmp_path, capsys):
    """A share of the steps, a schedule that reads nothing, a batch that needs more processes, unsloth's own batch."""
    text = (
        "max_steps: 400\nsave_steps: 0.1\nlr_scheduler_type: constant_with_warmup\nlr_scheduler_kwargs: {min_lr_rate: 0.1}\n"
        "num_generations: 7\nper_device_train_batch_size: 16\n"
    )
    found = run(capsys, str(write(tmp_path, a_yaml=text) / "a.yaml"))[1]
    notes = "\n".join(found["notes"])
    assert found["config"]["grpo"]["save_every_steps"] == 40
    assert "constant_with_warmup does not read them" in notes and "--processes 7 would fit" in notes
    text = (
        "m = FastLanguageModel.from_pretrained('a/b')\nc = GRPOConfig(num_generations=6, per_device_train_batch_size=1)"
    )
    found = run(capsys, str(write(tmp_path, a_py=text) / "a.py"))[1]
    assert found["config"]["grpo"]["prompts_per_step"] == 1 and found["config"]["grpo"]["micro_batch_size"] == 6
    assert any("unsloth raises 1 to num_generations 6" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.sh", "accelerate launch src/grpo.py --config gone.yaml", "its settings stand in gone.yaml, which is not here"),
        ("a.sh", "accelerate launch src/gone.py", "its settings stand in src/gone.py, which is not here"),
        ("a.sh", "megatron rlhf --rlhf_type grpo --model a/b", "it trains with Megatron-SWIFT"),
        ("a.sh", "swift rlhf --rlhf_type dpo --model a/b", "rlhf_type dpo is not GRPO"),
        ("a.sh", "swift rlhf --rlhf_type grpo --model a/Qwen2.5-VL-3B", "reads images or sound"),
        ("a.yaml", "base_model: a/b\nrl: ebft", "rl: ebft is another trainer of axolotl's, not GRPO"),
        ("a.yaml", "base_model: a/b\nmicro_batch_size: 2", "it has no rl: a supervised training, not GRPO"),
        ("a.py", "from predibase import GRPOConfig\nc = GRPOConfig(base_model='m')", "is that of predibase"),
        ("a.py", "t = GRPOTrainer(model='m', args=make(3))", "is given make(3), whose settings the file does not show"),
        ("a.ipynb", "{}", "is not a notebook that can be read"),
    ],
)  # fmt: skip
def test_file_when_its_settings_are_elsewhere_or_not_trl_then_one_line_says_so(name, text, said, tmp_path, capsys):
    """TRL's defaults in the place of settings that were not read would be a wrong config, and nobody would see it."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["from-trl", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert said in err and not out and err.count("\n") == 1


def test_script_when_it_goes_on_with_an_adapter_or_calls_twice_then_it_is_said(tmp_path, capsys):
    """The adapter is named; of two GRPOConfigs the last counts."""
    text = (
        "base = AutoModelForCausalLM.from_pretrained('a/b')\nm = PeftModel.from_pretrained(base, 'sft/last')\n"
        "c = GRPOConfig(max_steps=1)\nc = GRPOConfig(max_steps=2)\nt = GRPOTrainer(model=m, args=c)\n"
    )
    found = run(capsys, str(write(tmp_path, a_py=text) / "a.py"))[1]
    notes = "\n".join(found["notes"])
    assert found["config"]["model"]["adapter"] == "sft/last" and found["config"]["grpo"]["max_steps"] == 2
    assert "without is_trainable=True" in notes and "lines 3, 4" in notes
