"""The loading of a config: order of sources, inheritance, overrides, profiles, and what is said of mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from grpo.config.__main__ import main
from grpo.config.loading import configs_folder, find_config, list_configs, load_config
from grpo.config.run_config import RunConfig, json_schema
from grpo.machine.device import GIB, Device, resolve_profile
from rewards.errors import UserError

CPU = Device("cpu", "CPU, 2 cores", 8 * GIB, 1)
GPU = Device("cuda", "NVIDIA L4", 24 * GIB, 1)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(reference, *overrides: str, profile: str | None = None) -> list[str]:
    with pytest.raises(UserError) as caught:
        load_config(reference, overrides, profile)
    return caught.value.problems


def test_config_when_named_in_any_way_then_is_the_same(tmp_path, monkeypatch):
    """A shipped name works from any folder, with or without its ending and its folder."""
    monkeypatch.chdir(tmp_path)
    loaded = [load_config(name, profile="gpu") for name in ("v4_1", "v4_1.yaml", "configs/v4_1.yaml")]
    assert loaded[0] == loaded[1] == loaded[2]
    assert loaded[0] == load_config(configs_folder() / "v4_1.yaml", profile="gpu")


def test_path_when_it_exists_then_comes_before_the_shipped_name(tmp_path, monkeypatch):
    """A file of the user's hides the shipped config of its name."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "v4_1.yaml", "seed: 5\n")
    assert load_config("v4_1.yaml", profile=None).seed == 5
    assert load_config("v4_1", profile=None).seed == 42


def test_config_when_missing_then_names_the_nearest_shipped_one():
    """An unknown name is one line with the nearest right one."""
    (line,) = problems_of("v4_2.yaml")
    assert line.startswith("v4_2.yaml: no such file")
    assert "did you mean v4_2_" in line


def test_sources_when_all_speak_then_the_later_one_counts(tmp_path):
    """Defaults, parent, child, profile overlay and override win in that order."""
    write(tmp_path / "parent.yaml", "seed: 1\nthreads: 1\ngrpo: {max_steps: 11, beta: 0.5, prompts_per_step: 3}\n")
    child = write(tmp_path / "child.yaml", "extends: parent.yaml\nseed: 2\ngrpo: {max_steps: 12}\n")
    config = load_config(child, ["seed=3"], profile="embedded")
    assert (config.threads, config.seed, config.grpo.beta) == (1, 3, 0.5)
    assert config.grpo.prompts_per_step == load_config("v4_1", profile="embedded").grpo.prompts_per_step
    assert load_config(child, profile="gpu").grpo.max_steps == 12
    assert config.sources == (
        str(tmp_path / "parent.yaml"),
        str(child),
        "configs/profiles/embedded.yaml",
        "--set",
    )
    assert config.profile == "embedded"
    assert config.name == "child"


def test_mapping_when_merged_then_keeps_the_keys_not_written(tmp_path):
    """A child changes one key of a nested section, a list replaces the list, null takes a section back."""
    child = write(tmp_path / "c.yaml", "extends: v4_1\nmodel: {lora: {r: 8}}\nrewards: {functions: [{name: push}]}\n")
    config = load_config(child, profile=None)
    assert (config.model.lora.r, config.model.lora.alpha) == (8, 32)
    assert [spec.name for spec in config.rewards.functions] == ["push"]
    assert load_config(child, ["model.lora=null"], profile=None).model.lora is None
    assert load_config(child, ["model.lora=null", "model.lora.alpha=4"], profile=None).model.lora.r == 16


def test_extends_when_it_goes_round_then_says_the_circle(tmp_path):
    """A cycle is one line naming the files, not a hang."""
    first = write(tmp_path / "a.yaml", "extends: b.yaml\n")
    write(tmp_path / "b.yaml", "extends: a.yaml\n")
    (line,) = problems_of(first)
    assert "b.yaml: extends: is circular (a.yaml -> b.yaml -> a.yaml)" in line


def test_extends_when_the_parent_is_missing_then_the_child_is_blamed(tmp_path):
    """The line names the file that holds the broken link."""
    child = write(tmp_path / "a.yaml", "extends: nothing.yaml\n")
    (line,) = problems_of(child)
    assert line.startswith(f"{child}: extends: nothing.yaml: no such file")


def test_extends_when_relative_then_starts_at_the_file(tmp_path, monkeypatch):
    """A parent is looked for beside the child, not in the working directory."""
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "parent.yaml", "seed: 9\n")
    child = write(tmp_path / "deep" / "child.yaml", "extends: parent.yaml\n")
    monkeypatch.chdir(tmp_path)
    assert load_config(child, profile=None).seed == 9


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("grpo.learning_rate=1e-5", 1e-5),
        ("grpo.learning_rate=1", 1.0),
        ("grpo.max_steps=7", 7),
        ("grpo.scale_rewards=true", True),
        ("model.revision=main=x", "main=x"),
        ("model.revision=null", None),
        ("model.name=no", "no"),
        ("name=4_1", "4_1"),
        ("sft_warmup.tasks=[extraction, push]", ["extraction", "push"]),
        ("rewards.functions[1].weight=1e-1", 0.1),
    ],
)
def test_override_when_given_then_is_read_as_yaml_means_it(override, expected):
    """The value of an override has the type it looks like."""
    value = load_config("v4_1", [override], profile=None)
    for part in override.partition("=")[0].replace("[", ".").replace("]", "").split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("grpo.max_steps", "write section.key=value"),
        ("=3", "write section.key=value"),
        ("grpo..max_steps=3", "write section.key=value"),
        ("grpo.max_step=3", "grpo.max_step: no such key; did you mean max_steps?"),
        ("max_steps=3", "max_steps: no such key; did you mean sft_warmup.max_steps or grpo.max_steps?"),
        ("grpo.max_steps=many", "grpo.max_steps: 'many' is not allowed; allowed: a whole number of at least 1"),
        ("grpo.max_steps=", "grpo.max_steps: null is not allowed"),
        ("grpo.max_steps=6.0", "write 6"),
        ("grpo.temperature=0,7", "write 0.7"),
        ("grpo.temperature=.inf", "not a finite number"),
        ("grpo=[", "not YAML"),
        ("extends=v4", "name the other file with --config"),
        ("rewards.functions[9].weight=1", "has 4 entries"),
        ("rewards.functions.weight=1", "is a list, write an index"),
        ("grpo[0]=1", "write a name"),
        ("data.shop.proportions[0]=1", "no list here"),
    ],
)
def test_override_when_wrong_then_one_line_tells_how_to_write_it(override, said):
    """A bad override is blamed on --set, with what to write."""
    (line,) = problems_of("v4_1", override)
    assert line.startswith("--set: ")
    assert said in line


def test_problems_when_there_are_many_then_all_are_told_with_file_and_line(tmp_path):
    """Every mistake of every source comes in one error."""
    bad = write(
        tmp_path / "bad.yaml",
        "extends: v4_1\n"
        "seed: yes\n"
        "grpo:\n"
        "  max_step: 10\n"
        "  num_generations: 1\n"
        "  beta: '0.1'\n"
        "  scale_rewards: no\n"
        "  temperature: 0.5\n"
        "  temperature: 0.7\n"
        "model: {lora: {rank: 8}}\n"
        "evaluation: 5\n",
    )
    lines = problems_of(bad, "grpo.max_steps=ten")
    told = {
        f"{bad}: grpo.temperature: written twice, in lines 8 and 9": "keep one of them",
        f"{bad}: seed: 'yes' is not allowed (line 2)": "a whole number from 0 to 4294967295",
        f"{bad}: grpo.max_step: no such key (line 4)": "did you mean max_steps?",
        f"{bad}: grpo.num_generations: 1 is not allowed (line 5)": "a whole number of at least 2",
        f"{bad}: grpo.beta: '0.1' is not allowed (line 6)": "without quotes",
        f"{bad}: grpo.scale_rewards: 'no' is not allowed (line 7)": "write false",
        f"{bad}: model.lora.rank: no such key (line 10)": "allowed: r, alpha, dropout, target_modules",
        f"{bad}: evaluation: 5 is not allowed (line 11)": "a section with the keys",
        "--set: grpo.max_steps: 'ten' is not allowed": "a whole number",
    }
    assert len(lines) == len(told)
    for start, end in told.items():
        assert any(line.startswith(start) and end in line for line in lines), start


def test_misspelt_key_when_the_overlay_replaces_its_section_then_is_still_told(tmp_path):
    """A profile must not hide a mistake in what it replaces."""
    bad = write(tmp_path / "bad.yaml", "extends: v4_1\nmodel: {lora: {rank: 8}}\ngrpo: {num_generations: 1}\n")
    lines = problems_of(bad, profile="embedded")
    assert [line.partition(" is not")[0].partition(": no such")[0] for line in lines] == [
        f"{bad}: model.lora.rank",
        f"{bad}: grpo.num_generations: 1",
    ]


@pytest.mark.parametrize(
    "text", ["", "- a\n", "grpo: [\n", "a: 1\n---\nb: 2\n", "\ta: 1\n", "name: !!python/name:os.x\n"]
)
def test_file_when_it_is_no_config_then_one_line_says_so(tmp_path, text):
    """Text that is not a mapping of sections never becomes a traceback."""
    path = write(tmp_path / "x.yaml", text)
    (line,) = problems_of(path)
    assert line.startswith(f"{path}: ")


def test_section_when_all_its_keys_are_commented_out_then_says_nothing(tmp_path):
    """An empty section keeps what its parent had."""
    path = write(tmp_path / "x.yaml", "extends: v4\ngrpo:\n  # max_steps: 3\n")
    assert load_config(path, profile=None).grpo.max_steps == 200


@pytest.mark.parametrize(
    ("text", "steps"),
    [("warmup_steps: 7", 7), ("warmup_ratio: 0.5", 300), ("warmup_steps: 0", 0), ("max_steps: 100", 5)],
)
def test_lr_warmup_when_a_child_says_it_the_other_way_then_the_child_counts(tmp_path, text, steps):
    """Ratio and steps are two ways to say one thing; the later source withdraws the other."""
    path = write(tmp_path / "x.yaml", f"extends: v4_1\ngrpo:\n  {text}\n")
    assert load_config(path, profile=None).grpo.lr_warmup_steps == steps


def test_lr_warmup_when_said_both_ways_at_once_then_is_refused(tmp_path):
    """One source that says both is a mistake."""
    path = write(tmp_path / "x.yaml", "grpo: {warmup_ratio: 0.1, warmup_steps: 7}\n")
    (line,) = problems_of(path)
    assert "warmup_ratio and warmup_steps are both set" in line


def test_path_when_relative_then_starts_at_its_source(tmp_path, monkeypatch):
    """Paths in a file start at its folder, in an override at the working directory."""
    (tmp_path / "deep").mkdir()
    path = write(tmp_path / "deep" / "x.yaml", "data: {source: files, train: rows/t.jsonl, held_out: /rows/h.jsonl}\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(path, ["sft_warmup.data=d.jsonl"], profile=None)
    assert config.data.train == tmp_path / "deep" / "rows" / "t.jsonl"
    assert config.data.held_out == Path("/rows/h.jsonl")
    assert config.sft_warmup.data == tmp_path / "d.jsonl"


@pytest.mark.parametrize(
    ("profile", "device", "resolved"),
    [("auto", CPU, "embedded"), ("auto", GPU, "gpu"), ("gpu", CPU, "gpu"), ("embedded", GPU, "embedded")],
)
def test_profile_when_resolved_then_follows_the_device_only_for_auto(profile, device, resolved):
    """auto looks at the device, the other two are what they say; one line tells which."""
    assert resolve_profile(profile, device)[0] == resolved
    assert "\n" not in resolve_profile(profile, device)[1]
    config = load_config("v4_1", profile=profile, device=device)
    assert (config.model.embedded is not None) == (resolved == "embedded")


def test_profile_when_unknown_then_lists_the_known():
    """A misspelt profile is one line."""
    with pytest.raises(UserError, match="allowed: auto, gpu, small, embedded"):
        load_config("v4_1", profile="cpu")


PERSONAS = (
    *("gemma3_27b", "llama31_8b", "llama31_8b_instruct", "llama3_8b", "llama3_8b_instruct", "mistral_7b"),
    *("mistral_7b_instruct", "qwen25_14b_instruct", "qwen3_32b"),
)
TOOLS = ("tools_cep", "tools_hermes", "tools_structured")
TMF921 = ("tmf921_stage1", "tmf921_stage2", "tmf921_grpo", "tmf921_zero_shot")


def test_every_shipped_config_when_loaded_then_can_be_cut_into_batches():
    """Each recipe loads under each profile and its step divides."""
    shipped = {"base", "v4", "v4_1", "v4_2_a", "v4_2_b", "v4_2_c", "qwen3_8b", "personas", *TMF921, *TOOLS}
    assert shipped | {f"personas_{model}" for model in PERSONAS} == set(list_configs())
    for name in list_configs():
        for profile in ("gpu", "embedded"):
            assert load_config(name, profile=profile).grpo.batch_problems() == []


# The table of the V4 line's recipes.
RECIPES = {
    "v4": ("Polygl0t/Tucano2-qwen-0.5B-Instruct", 200, 2e-6, "cosine", 20, 16, 512),
    "v4_1": ("Polygl0t/Tucano2-qwen-0.5B-Instruct", 600, 5e-6, "constant_with_warmup", 30, 16, 512),
    "v4_2_a": ("Polygl0t/Tucano2-qwen-3.7B-Instruct", 400, 2e-6, "constant_with_warmup", 20, 8, 1024),
    "v4_2_b": ("Polygl0t/Tucano2-qwen-0.5B-Base", 600, 5e-6, "constant_with_warmup", 30, 16, 512),
    "v4_2_c": ("Polygl0t/Tucano2-qwen-0.5B-Instruct", 600, 5e-6, "constant_with_warmup", 30, 16, 512),
    "qwen3_8b": ("Qwen/Qwen3-8B", 400, 2e-6, "constant_with_warmup", 20, 8, 1024),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_when_resolved_then_has_the_values_of_its_table(name):
    """The shipped recipes are the published ones."""
    config = load_config(name, profile="gpu")
    grpo = config.grpo
    found = (
        config.model.name,
        grpo.max_steps,
        grpo.learning_rate,
        grpo.lr_scheduler_type,
        grpo.lr_warmup_steps,
        grpo.num_generations,
        grpo.max_completion_length,
    )
    assert found == RECIPES[name]
    assert (config.model.max_sequence_length, grpo.prompts_per_step) == (2048, 2)
    assert (grpo.temperature, grpo.beta, grpo.trl_scale_rewards, grpo.loss_type) == (1.0, 0.0, "none", "dr_grpo")
    assert [spec.name for spec in config.rewards.functions] == ["extraction", "sql_qa", "insights", "push"]
    lora = (64, 128) if name == "qwen3_8b" else (16, 32)
    assert (config.model.lora.r, config.model.lora.alpha, config.model.lora.target_modules) == (*lora, "all-linear")


def test_qwen3_8b_when_resolved_then_is_qlora_with_checkpointing():
    """The 8B rung is quantised, in bfloat16, and recomputes its activations."""
    model = load_config("qwen3_8b", profile="gpu").model
    assert (model.quantization, model.dtype, model.gradient_checkpointing) == ("nf4", "bfloat16", True)


def test_schema_when_printed_then_accepts_every_shipped_config_and_describes_every_field():
    """An editor that uses the schema marks no shipped file, marks a typo, and explains each key."""
    schema = json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in (*configs_folder().glob("*.yaml"), *configs_folder().glob("profiles/*.yaml")):
        validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert not validator.is_valid({"grpo": {"max_step": 3}})
    undescribed = [
        f"{name}.{key}"
        for name, part in {"RunConfig": schema, **schema["$defs"]}.items()
        for key, field in part["properties"].items()
        if not field.get("description") and "$ref" not in field
    ]
    assert undescribed in ([], ["DataSection.shop"])


def test_config_when_stored_as_json_then_comes_back_the_same():
    """config.json holds everything."""
    for name in list_configs():
        config = load_config(name, profile="embedded")
        assert RunConfig.model_validate_json(config.to_json()).model_dump() == config.model_dump()


def test_show_when_its_yaml_is_loaded_again_then_nothing_changes(tmp_path, capsys):
    """What `show` prints is itself a config."""
    assert main(["show", "v4_2_b", "--profile", "gpu", "--set", "name='1e5'"]) == 0
    path = write(tmp_path / "again.yaml", capsys.readouterr().out)
    expected = load_config("v4_2_b", ["name=x1e5"], profile="gpu").model_dump()
    assert load_config(path, profile="gpu").model_dump() == {**expected, "name": "1e5"}


def test_command_when_the_config_is_bad_then_exits_with_2_and_no_traceback(tmp_path, capsys):
    """A user's mistake goes to stderr."""
    assert main(["show", str(write(tmp_path / "x.yaml", "grop: {}\n"))]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "grop: no such key (line 1); did you mean grpo?" in shown.err


def test_list_when_printed_then_has_a_line_for_each_config(capsys):
    """Every shipped config opens with a comment that says what it is."""
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list_configs())
    assert all(len(line.split()) > 4 for line in lines)


def test_import_when_done_alone_then_brings_no_heavy_library():
    """Loading a config starts neither torch nor anything else that is slow."""
    code = (
        "import sys, grpo.config.loading\n"
        "grpo.config.loading.load_config('v4_1')\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'peft', 'wandb', 'matplotlib', 'rich', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=configs_folder().parent
    )
    assert json.loads(found.stdout.replace("'", '"')) == []


def test_find_config_when_given_a_folder_then_does_not_take_it_for_a_file(tmp_path, monkeypatch):
    """A folder that has the name of a shipped config is not a config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v4").mkdir()
    assert find_config("v4") == configs_folder() / "v4.yaml"


def test_list_when_asked_for_json_then_is_one_object(capsys):
    """Each shipped config with the first line of its file."""
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["configs"]
    assert [each["name"] for each in found] == list(list_configs())
    assert all(each["about"] and not each["about"].startswith("#") for each in found)
