"""Scripts that say their settings in pieces, and files that are of another training than TRL's GRPO."""

from __future__ import annotations

import json

import pytest

from grpo.config.__main__ import main
from grpo.config.from_trl import translate
from grpo.config.trl_reading import read_trl_file
from rewards.errors import UserError

PIECES = """
import os
from dataclasses import dataclass, field
from trl import GRPOConfig, GRPOTrainer

ORGANISATION = "Qwen"

@dataclass
class Settings:
    rate: float = 1e-5
    group: int = field(default=8)

class Fixed:
    BETA = 0.1

settings = Settings(rate=3e-6)

def build(epochs=2, temperature: float = 0.8, kl=False):
    options = dict(learning_rate=settings.rate, num_generations=settings.group, num_train_epochs=epochs, temperature=temperature)
    options["epsilon_high"] = 0.28
    if kl:
        options["beta"] = 0.04
    else:
        options["beta"] = Fixed.BETA
    if has_gpu():
        options["use_vllm"] = True
    options.update(per_device_train_batch_size=8, max_completion_length=int(os.environ.get("LENGTH", "256")))
    options.pop("num_train_epochs")
    options.setdefault("temperature", 0.1)
    config = GRPOConfig(**options)
    config.seed = 7
    config.scale_rewards = measured()
    return config

config = build(temperature=0.9)
trainer = GRPOTrainer(model=f"{ORGANISATION}/Qwen3-0.6B", args=config, optimizers=(mine, None))
"""


def read(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_trl_file(path)


def test_script_when_its_settings_are_put_together_in_pieces_then_each_is_followed(tmp_path):
    """Entries set later, branches, attributes, parameters, objects, the environment: what is told is taken, the rest named."""
    found = read(tmp_path, "train.py", PIECES)
    assert found.settings == {
        "learning_rate": 3e-6, "num_generations": 8, "temperature": 0.9, "epsilon_high": 0.28, "beta": 0.1, "seed": 7,
        "per_device_train_batch_size": 8, "max_completion_length": 256, "model_name_or_path": "Qwen/Qwen3-0.6B",
    }  # fmt: skip
    assert found.unknown.keys() == {"use_vllm", "scale_rewards"} and "has_gpu()" in found.unknown["use_vllm"]
    assert any(note.startswith("optimizers: ") for note in found.notes)


def test_script_when_it_changes_what_a_parser_or_a_library_made_then_the_changes_count(tmp_path):
    """`training_args.beta = 0.1` stands above the command line; settings of another file are unknown as a whole."""
    (tmp_path / "train.py").write_text(
        "parser = TrlParser((ScriptArguments, GRPOConfig, ModelConfig))\n"
        "script_args, training_args, model_args = parser.parse_args_and_config()\n"
        "training_args.beta = 0.1\ntrainer = GRPOTrainer(model='m', args=training_args)\n"
    )
    found = read(tmp_path, "run.sh", "python train.py --beta 0.5 --num_generations 4\n")
    assert (found.settings["beta"], found.settings["num_generations"]) == (0.1, 4)
    found = read(
        tmp_path,
        "other.py",
        "args = vf.get_default_grpo_config(run_name='r')\nargs.num_generations = 6\nGRPOTrainer(model='m', args=args)\n",
    )
    assert found.settings["num_generations"] == 6 and next(iter(found.unknown)).startswith(
        "**vf.get_default_grpo_config"
    )


def test_script_when_it_asks_which_settings_trl_has_then_the_answer_is_that_of_todays(tmp_path):
    """Scripts for several versions of TRL put a setting in where there is one of that name."""
    found = read(
        tmp_path,
        "train.py",
        "o = dict(num_generations=4)\nknown = inspect.signature(GRPOConfig).parameters\n"
        "if 'beta' in known:\n    o['beta'] = 0.1\nelif 'kl_coeff' in known:\n    o['kl_coeff'] = 0.1\n"
        "if config_supports('kl_coeff', GRPOConfig):\n    o['kl_coeff'] = 0.2\n"
        "if has_fast_network():\n    o['epsilon'] = 0.1\nc = GRPOConfig(**o)\n",
    )
    assert found.settings == {"num_generations": 4, "beta": 0.1} and list(found.unknown) == ["epsilon"]


def test_script_when_its_settings_are_fields_of_its_own_class_then_they_are_read_there(tmp_path):
    """As `self.rate` in a method, and through a parameter that is annotated with the class."""
    found = read(
        tmp_path,
        "train.py",
        "class Settings(BaseModel):\n    rate: float = 2e-6\n    group: int = 4\n    beta: float = 0.2\n"
        "    def make(self):\n        return GRPOConfig(learning_rate=self.rate, num_generations=self.group)\n"
        "def train(settings: Settings):\n    c = settings.make()\n    c.beta = settings.beta\n"
        "    GRPOTrainer(model='m', args=c)\n",
    )
    assert found.settings.items() >= {"learning_rate": 2e-6, "num_generations": 4, "beta": 0.2}.items()


def test_script_when_a_part_of_its_settings_is_of_another_object_then_no_option_of_that_name_is_taken(tmp_path):
    """`run.training.learning_rate` is not the `--learning_rate` that is None unless somebody gives it."""
    found = read(
        tmp_path,
        "train.py",
        "parser.add_argument('--learning_rate', default=None)\npart = run.training\n"
        "c = GRPOConfig(learning_rate=part.learning_rate, num_generations=4)\n",
    )
    assert found.unknown == {"learning_rate": "part.learning_rate"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "packing: true\nlearning_rate: 1e-5\nmax_length: 512\n", "it is a supervised training (SFT)"),
        ("a.yaml", "rpo_alpha: 1.0\nbeta: 0.1\n", "a training on preferences, such as DPO"),
        ("a.yaml", "model: {_component_: torchtune.models.qwen}\nseed: 1\n", "a recipe of torchtune's"),
        ("a.yaml", "actor_rollout_ref: {actor: {}}\nalgorithm: {adv_estimator: grpo}\n", "a file of verl's"),
        ("a.yaml", "compute_environment: LOCAL\nnum_processes: 8\n", "translate what accelerate launches"),
        ("a.yaml", "stage: sft\nfinetuning_type: lora\n", "LLaMA-Factory's, which has no GRPO"),
        (
            "a.yaml",
            "model_name_or_path: m\ntemplate: qwen3\ninfer_backend: vllm\n",
            "no setting that only GRPO has, and TRL has none called template, infer_backend",
        ),
        ("a.yaml", "stage: dpo\nfinetuning_type: full\n", "LLaMA-Factory's, which has no GRPO"),
        ("a.sh", "trl sft --model_name_or_path m --learning_rate 1e-5\n", "trl sft is another training"),
        ("a.sh", "swift rlhf --rlhf_type grpo --model m --model_type got_ocr2\n", "model_type got_ocr2 reads images"),
        ("a.py", "args = vf.defaults(n=1)\nvf.GRPOEnvTrainer(model='m', env=e, args=args)\n", "is given env"),
        ("a.sh", 'for FILE in *; do\naccelerate launch grpo.py --config "$CONFIG_FILE"\ndone\n', "stand in $CONFIG_FILE"),
        (
            "a.py",
            "from .config import GRPOConfig\nc = GRPOConfig(k_samples=4, beta=0.1)\n",
            "its GRPOConfig comes from .config and has settings that TRL's has not: k_samples",
        ),
    ],
)  # fmt: skip
def test_file_when_it_is_of_another_training_then_that_is_the_reason(tmp_path, name, text, said):
    """It was translated into TRL's defaults, as if every setting of it had been left out."""
    assert said in read(tmp_path, name, text).refusals[0]


def test_yaml_when_values_name_other_values_then_they_are_followed(tmp_path):
    """As Hydra and OmegaConf do; what they would have to work out is named and not taken for a text."""
    found = read(
        tmp_path,
        "a.yaml",
        "lengths: {whole: 1024}\nnum_generations: 4\nmax_completion_length: ${lengths.whole}\n"
        "beta: ${oc.env:BETA,0.1}\nlearning_rate: ${eval:'1e-6 * 2'}\n",
    )
    assert (found.settings["max_completion_length"], found.settings["beta"]) == (1024, 0.1)
    assert list(found.unknown) == ["learning_rate"]


def test_translation_when_a_value_is_unknown_or_empty_then_it_is_said_and_never_ours_by_default(tmp_path):
    """`learning_rate: null` is TRL's default, not ours; what nobody here takes is said with its reason, known or not."""
    found = read(
        tmp_path,
        "a.py",
        "c = GRPOConfig(learning_rate=None, num_generations=4, per_device_train_batch_size=4, reward_weights=w(), "
        "generation_kwargs={'top_p': 0.9, 'temperature': 1.0, 'do_sample': True, 'penalty_alpha': 0.6},"
        "vllm_sampling_params=SamplingParams(min_p=0.1))\n",
    )
    translation = translate(found)
    notes = "\n".join(translation.notes)
    assert (translation.config["grpo"]["learning_rate"], translation.config["grpo"]["top_p"]) == (1e-6, 0.9)
    assert "learning_rate: the file gives no value; TRL's default 1e-06 is written" in notes
    assert "reward_weights (w())" in notes and "generation_kwargs: penalty_alpha left out" in notes
    assert "vllm_sampling_params: left out" in notes


@pytest.mark.parametrize(
    ("text", "path", "value", "said"),
    [
        ("loss_type: luspo\n", "grpo.loss_type", "luspo", None),
        ("delta: 1.2\n", "grpo.delta", 1.2, None),
        ("scale_rewards: none\n", "grpo.scale_rewards", "none", None),
        ("delta: 1.5\nloss_type: cispo\n", "grpo.loss_type", "cispo", "delta: left out; loss_type cispo"),
        ("max_grad_norm: null\n", "grpo.max_grad_norm", 0.0, None),
        ("use_cpu: true\n", "model.device", "cpu", None),
        ("model_init_kwargs: {revision: v2, rope_scaling: 2}\n", "model.revision", "v2", "rope_scaling left out"),
        ("use_vllm: true\nvllm_server_host: h\n", "model.vllm.mode", "server", "vllm_mode: server is written"),
        ("use_vllm: true\nvllm_mode: colocate\nvllm_server_host: h\n", "model.vllm.mode", "colocate", "no server"),
    ],
)
def test_setting_when_ours_has_it_too_then_it_is_translated(tmp_path, capsys, text, path, value, said):
    """Each was refused or only noted, though nothing stands against it; the config that comes out loads."""
    file = tmp_path / "a.yaml"
    file.write_text("num_generations: 4\nper_device_train_batch_size: 4\n" + text, encoding="utf-8")
    assert main(["from-trl", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    place = found["config"]
    for part in path.split("."):
        place = place[part]
    assert place == value
    assert said is None or any(said in note for note in found["notes"])


def test_shell_script_when_it_starts_no_training_then_it_is_refused(tmp_path):
    """A script that asks for free devices and starts another one was translated into TRL's defaults."""
    with pytest.raises(UserError, match="has no setting of TRL's GRPO"):
        read(tmp_path, "a.sh", "nvidia-smi --query-compute-apps=pid --format=csv -i 3\nbash train.sh --gpu_id 3\n")


def test_command_when_its_values_are_json_placeholders_or_end_in_a_space_then_each_is_read_as_meant(tmp_path):
    """`--x 1 \\ ` has a space behind the line end, `<port>` is to be filled in, and TRL takes mappings as JSON."""
    found = read(
        tmp_path,
        "a.sh",
        "trl grpo --gradient_checkpointing_kwargs '{\"use_reentrant\": false}' --vllm_server_port <port> --run_name '' \\\n"
        " --num_generations 4 > log --num_iterations 1 \\ \n",
    )
    assert found.settings["num_generations"] == 4 and found.settings["num_iterations"] == 1
    assert found.settings["gradient_checkpointing_kwargs"] == {"use_reentrant": False}
    assert found.unknown == {"vllm_server_port": "<port>"} and found.settings["run_name"] == ""


def test_script_when_names_branches_and_trainer_are_its_own_then_they_are_told_apart(tmp_path):
    """Another name for GRPOConfig, adapters in a branch that is not taken, a trainer with a loss of its own."""
    found = read(
        tmp_path,
        "train.py",
        "from trl import GRPOConfig as Config, GRPOTrainer as Trainer\n"
        "parser.add_argument('--lora', action='store_true')\nargs = parser.parse_args()\n"
        "class Mine(Trainer):\n    def _compute_loss(self, model, inputs): ...\n"
        "if args.lora:\n    peft = LoraConfig(r=8)\nc = Config(num_generations=4, beta=0.3)\n"
        "if os.environ.get('DEBUG'):\n    c.max_steps = 3\nMine('org/m', args=c)\n",
    )
    assert found.settings == {"num_generations": 4, "beta": 0.3, "model_name_or_path": "org/m"} and not found.unknown
    assert found.notes == ["Mine: the script's own trainer changes _compute_loss, which is not read"]


def test_settings_when_they_stand_in_a_variable_of_the_shell_or_in_a_file_that_is_read_as_text_then_they_are_found(
    tmp_path,
):
    """`$COMMON` with several options in it, and `yaml.safe_load(Path(...).read_text())`."""
    found = read(tmp_path, "a.sh", 'COMMON="--num_generations 8 --beta 0.1"\ntrl grpo $COMMON --epsilon 0.2\n')
    assert found.settings == {"num_generations": 8, "beta": 0.1, "epsilon": 0.2}
    (tmp_path / "c.yaml").write_text("training: {num_generations: 6}\n")
    found = read(
        tmp_path, "a.py", "c = yaml.safe_load(Path('c.yaml').read_text())\na = GRPOConfig(**c['training'], beta=0.1)\n"
    )
    assert found.settings == {"num_generations": 6, "beta": 0.1}


SIGNATURE = "known = inspect.signature(GRPOConfig).parameters\no = dict(num_generations=4, beta=0.1, kl_coeff=0.2)\n"


@pytest.mark.parametrize(
    ("lines", "beta"),
    [
        ("if 'beta' not in known:\n    o.pop('beta')\n", 0.1),
        ("if not hasattr(GRPOConfig, 'beta'):\n    o.pop('beta')\nelse:\n    o['beta'] = 0.3\n", 0.3),
        ("if not ('beta' in known):\n    o['beta'] = 0.2\nelse:\n    o['beta'] = 0.4\n", 0.4),
        ("if 'kl_coeff' not in known and 'beta' in known:\n    o['beta'] = 0.5\n", 0.5),
        ("if 'kl_coeff' in known or not config_supports('beta'):\n    o['beta'] = 0.6\n", 0.1),
        ("params = {'use_vllm': False, 'beta': 0.0}\nif params['use_vllm']:\n    o['beta'] = 0.7\n", 0.1),
        ("hyperparams = {'beta': 0.0}\nif hyperparams.get('beta'):\n    o['beta'] = hyperparams['beta']\n", 0.1),
        ("params = {'delta': 1}\nif 'beta' in params:\n    o['beta'] = 0.8\n", 0.1),
    ],
)
def test_script_when_a_guard_is_turned_round_or_is_a_plain_test_then_the_right_branch_is_taken(tmp_path, lines, beta):
    """A test of a value that the script shows is one of that value, whatever its mapping is called."""
    text = SIGNATURE + "if 'kl_coeff' not in known:\n    o.pop('kl_coeff')\n" + lines + "c = GRPOConfig(**o)\n"
    found = read(tmp_path, "train.py", text)
    assert found.settings == {"num_generations": 4, "beta": beta} and not found.unknown


def test_script_when_a_test_is_of_values_from_elsewhere_then_the_setting_is_unknown(tmp_path):
    """`params["use_vllm"]` of a file that is not there asks nothing of TRL."""
    text = (
        "params = load()\no = dict(num_generations=4)\nif params['use_vllm']:\n    o['beta'] = 0.7\nGRPOConfig(**o)\n"
    )
    found = read(tmp_path, "train.py", text)
    assert list(found.unknown) == ["beta"] and found.settings == {"num_generations": 4}


@pytest.mark.parametrize(
    "lines",
    [
        "steps = 100\nsteps *= 2\n",
        "steps = 100\nfor steps in (1, 2):\n    pass\n",
        "steps = 100\nwith measured() as steps:\n    pass\n",
        "steps = 100\nif (steps := count()):\n    pass\n",
        "steps = 100\nsteps, rest = count()\n",
    ],
)
def test_script_when_a_name_is_given_another_value_then_its_first_is_not_taken(tmp_path, lines):
    """`+=`, a loop, `with`, `:=` and unpacking change a name as a second assignment does."""
    found = read(tmp_path, "train.py", f"{lines}c = GRPOConfig(max_steps=steps, num_generations=4)\n")
    assert found.unknown == {"max_steps": "steps"} and found.settings == {"num_generations": 4}


def test_script_when_a_name_is_set_within_a_condition_then_it_is_followed(tmp_path):
    """`:=` is an assignment too."""
    found = read(tmp_path, "train.py", "if (steps := 30) > 20:\n    c = GRPOConfig(max_steps=steps)\n")
    assert found.settings == {"max_steps": 30}


@pytest.mark.parametrize(
    ("lines", "value", "steps"),
    [
        ("args.steps = 7\n", "args.steps", 7),
        ("args.steps = args.steps * 2\n", "args.steps", 200),
        ("args.steps *= 2\n", "args.steps", None),
        ("if args.fast:\n    args.steps = 7\n", "args.steps", None),
        ("class C:\n    steps: int = 5\nc = C()\nc.steps = 9\n", "c.steps", 9),
        ("class C:\n    steps: int = 5\nC.steps += 9\n", "C.steps", None),
    ],
)
def test_script_when_an_attribute_is_set_later_then_what_it_was_is_not_taken(tmp_path, lines, value, steps):
    """Options and objects of the script's classes are changed as names are."""
    head = "parser.add_argument('--steps', type=int, default=100)\nargs = parser.parse_args()\n"
    found = read(tmp_path, "train.py", f"{head}{lines}c = GRPOConfig(max_steps={value}, num_generations=4)\n")
    assert found.settings.get("max_steps") == steps and ("max_steps" in found.unknown) == (steps is None)
