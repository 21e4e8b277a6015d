"""Trainings whose settings stand in several places: a YAML that the script reads, a file that the shell writes, options of options."""

from __future__ import annotations

import ast

import pytest
import yaml

from grpo.config.__main__ import main
from grpo.config.from_trl import translate
from grpo.config.loading import load_config
from grpo.config.trl_adapters import translate_adapters
from grpo.config.trl_reading import read_trl_file
from tests.timing import at_most


def test_shell_script_when_it_writes_its_config_first_then_that_is_read(tmp_path):
    """`cat > grpo.yaml <<EOF` is the file that the next command names; its lines are no commands."""
    script = tmp_path / "run.sh"
    script.write_text(
        "set -e\ncat > configs/g8.yaml << 'YAML'\ntraining:\n  num_generations: 8   # --num_generations 4 was too few\n"
        "  learning_rate: 2.0e-5\nYAML\n"
        "accelerate launch --num_processes 4 train.py --config configs/g8.yaml --beta 0.1 2>&1 | tee log\n"
        "python scripts/eval_stratified.py --config configs/g8.yaml --n 1319\n"
    )
    found = read_trl_file(script)
    assert {"num_generations": 8, "learning_rate": 2e-5, "beta": 0.1}.items() <= found.settings.items()
    assert not any("trainings are started" in note for note in found.notes)


SETTINGS_FILE = """
import argparse, yaml
from trl import GRPOConfig, GRPOTrainer

def load_config(path):
    with open(path) as f:
        cfg = yaml.safe_load(f)
    return cfg

parser = argparse.ArgumentParser()
parser.add_argument("--config", default="configs/grpo.yaml")
parser.add_argument("--max_steps", type=int, default=-1)
parser.add_argument("--learning_rate", type=float, default=None)
parser.add_argument("--targets", default="q_proj, v_proj")
args = parser.parse_args()
cfg = load_config(args.config)
t = cfg["training"]
lora = cfg.get("lora", {})
lora_config = LoraConfig(
    r=lora.get("r", 64), lora_alpha=2 * lora["r"], target_modules=[x.strip() for x in args.targets.split(",") if x.strip()]
)
base = dict(num_generations=int(t["num_generations"]), temperature=t.get("temperature", 0.7))
config = GRPOConfig(
    **{**base, "beta": 0.04}, learning_rate=args.learning_rate or t["learning_rate"],
    max_steps=args.max_steps if args.max_steps > 0 else 300, epsilon=t["nowhere"],
)
GRPOTrainer(model=cfg["model"]["name"], args=config)
"""


def test_script_when_its_settings_stand_in_a_yaml_file_then_that_is_read_as_the_script_does(tmp_path):
    """Each entry by the path that the script takes to it, with the script's own defaults; one that is missing stays unknown."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "grpo.yaml").write_text(
        "model: {name: Qwen/Qwen3-0.6B}\ntraining: {num_generations: '8', learning_rate: 1e-6}\nlora: {r: 32}\n"
    )
    script = tmp_path / "train_grpo.py"
    script.write_text(SETTINGS_FILE)
    found = read_trl_file(script)
    expected = {
        "num_generations": 8, "temperature": 0.7, "beta": 0.04, "learning_rate": 1e-6, "max_steps": 300, "lora_r": 32,
        "lora_alpha": 64, "lora_target_modules": ["q_proj", "v_proj"], "model_name_or_path": "Qwen/Qwen3-0.6B",
    }  # fmt: skip
    assert expected.items() <= found.settings.items()
    assert found.unknown == {"epsilon": "t['nowhere']"}
    assert "configs/grpo.yaml: read as well, because the script reads it" in found.notes


def test_script_when_its_yaml_file_is_not_here_then_it_is_named(tmp_path):
    """Whoever translates it may put the file there."""
    script = tmp_path / "train_grpo.py"
    script.write_text(SETTINGS_FILE)
    found = read_trl_file(script)
    assert "num_generations" in found.unknown and found.settings["beta"] == 0.04
    assert any(note.startswith("configs/grpo.yaml: the script reads it, but it was not found") for note in found.notes)


def test_script_when_its_options_are_picked_by_version_then_those_it_names_count(tmp_path):
    """`GRPOConfig(**keep_supported(options))`, as scripts do that run with several versions of TRL."""
    script = tmp_path / "train.py"
    script.write_text(
        "options = {'num_generations': 4, 'loss_type': 'dapo'}\n"
        "config = GRPOConfig(**filter_supported_kwargs(options, fields))\nGRPOTrainer(args=config)\n"
    )
    assert read_trl_file(script).settings == {"num_generations": 4, "loss_type": "dapo"}


@pytest.mark.parametrize(
    "text", ["9 ** 9 ** 9", "'x' * 10 ** 9", "[x for x in range(10 ** 9)]", "a.b.c.d", "x[1](2)", "{}['a']", "1 / 0"]
)
def test_expression_when_it_is_hostile_or_unknown_then_it_is_not_worked_out(tmp_path, text):
    """A file from anywhere is read: nothing in it may cost time or memory."""
    script = tmp_path / "train.py"
    script.write_text(f"config = GRPOConfig(beta={text}, num_generations=4)\n")
    with at_most(5):
        assert read_trl_file(script).unknown == {"beta": ast.unparse(ast.parse(text))}


@pytest.mark.parametrize(
    ("adapter", "lora", "said"),
    [
        (
            {"lora_r": 16, "lora_alpha": 32, "use_rslora": True},
            (16, 128),
            "model.lora.alpha 128 gives the same scale at rank 16",
        ),
        (
            {"lora_r": 8, "lora_alpha": 16, "use_rslora": True},
            (8, 45),
            "model.lora.alpha 45 gives the same scale at rank 8, the integer nearest to 45.25",
        ),
        (
            {"lora_rank": 64, "use_dora": True},
            (64, 32),
            "DoRA's magnitudes are not trained here; the config uses plain LoRA",
        ),
        ({"lora_r": 4, "lora_modules_to_save": ["lm_head"]}, (4, 32), "only adapters are trained here"),
    ],
)
def test_adapters_when_they_are_more_than_plain_lora_then_the_scale_is_kept_and_the_rest_is_told(adapter, lora, said):
    """A setting of TRL's own that was called none of its settings, and a scale that was taken for another one."""
    notes: list[str] = []
    found = translate_adapters(adapter, notes)
    assert (found["r"], found["alpha"]) == lora
    assert len(notes) == 1 and said in notes[0]


def test_script_when_its_adapter_is_told_in_full_then_nothing_of_it_is_lost_in_silence(tmp_path, capsys):
    """`LoraConfig` has more arguments than TRL's ModelConfig; what is at its default is not worth a word."""
    script = tmp_path / "train.py"
    script.write_text(
        "config = GRPOConfig(num_generations=4, per_device_train_batch_size=4)\n"
        "peft = LoraConfig(r=16, lora_alpha=16, use_rslora=True, bias='none', init_lora_weights='pissa', use_dora=False)\n"
        "GRPOTrainer(model='m', args=config)\n"
    )
    main(["from-trl", str(script)])
    shown = capsys.readouterr().err
    assert "model.lora.alpha 64 gives the same scale" in shown and "lora_init: left out" in shown
    assert "dora" not in shown and "bias" not in shown


def test_script_when_its_trainer_has_settings_of_another_class_then_that_class_is_the_reason(tmp_path):
    """TRL's asynchronous trainer is another one, whose settings mean other things."""
    script = tmp_path / "train.py"
    script.write_text("config = AsyncGRPOConfig(learning_rate=1e-5)\nAsyncGRPOTrainer(model='m', args=config)\n")
    assert read_trl_file(script).refusals == ["its trainer is given AsyncGRPOConfig, which is not TRL's GRPOConfig"]


GROUPS = "num_generations: 4\nper_device_train_batch_size: 4\nmax_steps: 9\n"


@pytest.mark.parametrize(
    ("lines", "wanted", "said"),
    [
        (
            "vllm_server_base_url: http://gpu:8000\n",
            {"engine": "transformers", "mode": "colocate", "server_base_url": None},
            "vllm_server_base_url: left out; without use_vllm no server is asked",
        ),
        (
            "use_vllm: true\nvllm_server_host: gpu\n",
            {"engine": "vllm", "mode": "server", "server_base_url": "http://gpu:8000"},
            "older versions of TRL took that",
        ),
        (
            "use_vllm: true\nvllm_mode: ${oc.env:MODE}\nvllm_server_host: gpu\n",
            {"engine": "vllm", "mode": "server", "server_base_url": "http://gpu:8000"},
            "vllm_mode: server is written, because the file gives its address",
        ),
        (
            "use_vllm: ${oc.env:FAST}\nvllm_server_host: gpu\n",
            {"mode": "server", "server_base_url": "http://gpu:8000"},
            "write them yourself: use_vllm",
        ),
    ],
)
def test_server_when_the_file_tells_its_address_alone_then_the_config_loads(tmp_path, lines, wanted, said):
    """An address beside mode colocate would be refused; what an older TRL did is said only where the file is silent."""
    out = make(tmp_path, GROUPS + lines)
    config = load(tmp_path, out)
    found = {"engine": config.model.engine, **config.model.vllm.model_dump()}
    assert {name: found[name] for name in wanted} == wanted
    assert any(said in note for note in out.notes)
    assert ("older" in " ".join(out.notes)) == ("older" in said or "FAST" in lines)


@pytest.mark.parametrize(
    ("lines", "length", "said"),
    [
        ("use_vllm: true\nvllm_max_model_length: 900\n", 900, None),
        ("use_vllm: true\nvllm_max_model_len: 3000\nmax_completion_length: 1500\n", 3000, None),
        ("use_vllm: true\nvllm_max_model_length: 400\nmax_completion_length: 500\n", None, "leaves a prompt no room"),
        ("vllm_max_model_length: 900\n", None, "colocated vLLM alone"),
        ("use_vllm: true\nvllm_mode: server\nvllm_max_model_length: 900\n", None, "colocated vLLM alone"),
    ],
)
def test_model_length_when_vllm_is_given_one_then_it_is_the_longest_row(tmp_path, lines, length, said):
    """Colocated vLLM is given model.max_sequence_length, which says it here."""
    out = make(tmp_path, GROUPS + lines)
    assert out.config["model"].get("max_sequence_length") == length and not load(tmp_path, out).trl
    assert [note for note in out.notes if "vllm_max_model_length" in note and (said or "") in note] or said is None


@pytest.mark.parametrize("schedule", ["constant", "constant_with_warmup"])
def test_schedule_when_transformers_ignores_its_settings_then_they_are_left_out(tmp_path, schedule):
    """A constant rate has no shape."""
    out = make(tmp_path, f"{GROUPS}lr_scheduler_type: {schedule}\nlr_scheduler_kwargs: {{num_cycles: 2}}\n")
    assert load(tmp_path, out).grpo.lr_scheduler_type == schedule
    assert f"lr_scheduler_kwargs: left out; {schedule} does not read them" in out.notes


def test_axolotl_when_a_value_is_not_told_then_it_is_named_and_no_default_stands_for_it(tmp_path):
    """As of TRL's own files."""
    out = make(
        tmp_path,
        "base_model: m\nrl: grpo\nmicro_batch_size: 8\nlearning_rate: ${oc.env:LR}\nlr_scheduler: ${oc.env:SHAPE}\n"
        "warmup_ratio: ${oc.env:WARM}\nwandb_name: ${oc.env:NAME}\n",
    )
    (note,) = [each for each in out.notes if "write them yourself" in each]
    assert all(name in note for name in ("learning_rate", "lr_scheduler_type", "warmup_ratio")) and "wandb" not in note
    assert not out.config["grpo"].keys() & {"learning_rate", "lr_scheduler_type", "warmup_ratio"}


def test_interpolation_when_its_default_is_falsy_then_it_is_taken(tmp_path):
    """0 and false are values; no default is none."""
    path = tmp_path / "grpo.yaml"
    path.write_text("beta: ${oc.env:KL,0}\nuse_vllm: ${oc.env:FAST,false}\nseed: ${oc.env:SEED}\nnum_generations: 4\n")
    found = read_trl_file(path)
    assert found.settings == {"beta": 0, "use_vllm": False, "num_generations": 4} and list(found.unknown) == ["seed"]


def make(tmp_path, text):
    path = tmp_path / "grpo.yaml"
    path.write_text(text, encoding="utf-8")
    return translate(read_trl_file(path))


def load(tmp_path, out):
    path = tmp_path / "made.yaml"
    path.write_text(yaml.safe_dump(out.config), encoding="utf-8")
    return load_config(str(path), profile=None)
