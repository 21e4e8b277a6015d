"""The ladder, and the config that follows from a decision."""

import json

import pytest
import yaml

from callbacks.decision.decision import Decision
from grpo.config.leaves import flatten
from grpo.config.loading import find_config, load_config
from grpo.decide.next_config import find_changes, write_next_config
from grpo.ladder import BASE_RUNG, RUNGS, check_next_run, estimate_peak, find_rung, main, measure_rungs
from grpo.machine.device import GIB, Device
from rewards.errors import UserError

L4 = Device("cuda", "NVIDIA L4", 24 * GIB, 1)
SMALL_GPU = Device("cuda", "small", 8 * GIB, 1)


def decision(scenario, next_config, rung="0.5B", **more):
    return Decision(scenario, "title", "action", "reason: with a colon", rung, False, next_config=next_config, **more)


def settings(name, *overrides):
    return load_config(name, overrides, profile=None).model_dump(mode="json")


def write(tmp_path, decided, name, *overrides):
    return write_next_config(decided, name, tmp_path / "next_config.yaml", config=settings(name, *overrides))


def differences(path, name, *overrides):
    """What a run from the written config would do otherwise than the present one."""
    before = flatten(settings(name, *overrides))
    after = flatten(load_config(path, profile=None).model_dump(mode="json"))
    return {".".join(key): value for key, value in after.items() if before.get(key) != value and key != ("name",)}


def test_rungs_name_configs_that_are_shipped():
    """Every config of the ladder exists and has the model of its rung."""
    for rung in RUNGS:
        assert load_config(rung.config, profile=None).model.name == rung.model
        for name in (rung.base, rung.fix):
            assert name is None or find_config(name).is_file()


def test_rungs_lead_from_small_to_large():
    """0.5B, 3.7B, 8B, and nothing above."""
    names = []
    rung, above = find_rung(RUNGS[0].model)
    while above is not None:
        names.append(rung.name)
        rung, above = find_rung(above.model)
    assert [*names, rung.name] == ["0.5B", "3.7B", "8B"]


def test_rung_of_the_base_model_has_nothing_to_fall_back_on():
    """After the Base model scenario B can only skip the rung."""
    rung, above = find_rung(BASE_RUNG.model)
    assert (rung.base, above.name) == (None, "3.7B")


def test_rung_of_a_config_name_alone_is_found():
    """A history without its model is placed by the shipped config it came from."""
    assert find_rung(None, "v4_2_a.yaml")[0].name == "3.7B"
    assert find_rung()[0].name == "0.5B"


def test_rung_of_an_unknown_model_stands_alone():
    """No ladder is invented for a model that is on none."""
    rung, above = find_rung("someone/else")
    assert (rung.name, rung.config, above) == ("someone/else", None, None)


@pytest.mark.parametrize(
    ("decided", "present", "following"),
    [
        (decision("A", "v4_2_a.yaml"), "v4_1.yaml", "v4_2_a.yaml"),
        (decision("A", "qwen3_8b.yaml", "3.7B"), "v4_2_a.yaml", "qwen3_8b.yaml"),
        (decision("B", "v4_2_b.yaml"), "v4_1.yaml", "v4_2_b.yaml"),
        (decision("B", "v4_2_a.yaml"), "v4_2_b.yaml", "v4_2_a.yaml"),
        (decision("C", "v4_2_a.yaml", task="sql_qa"), "v4_1.yaml", "v4_2_a.yaml"),
        (decision("undecided", "v4_1.yaml", cause="schedule"), "v4.yaml", "v4_1.yaml"),
    ],
)
def test_next_config_of_a_shipped_recipe_when_loaded_then_it_is_the_recipe_that_follows(
    tmp_path, decided, present, following
):
    """From each shipped config a decision leads to the settings of the shipped config it names."""
    path = write(tmp_path, decided, present)
    expected = settings(following)
    assert {**load_config(path, profile=None).model_dump(mode="json"), "name": None} == {**expected, "name": None}


def test_next_config_when_the_user_had_settings_of_their_own_then_only_the_rung_changes(tmp_path):
    """Seed, schedule, floors and watch rules go along; what changes is what the larger model needs."""
    own = ("seed=7", "grpo.lr_scheduler_type=linear", "decision.floors.push=0.3", "decision.watch.rules.kl=off")
    path = write(tmp_path, decision("A", "v4_2_a.yaml"), "v4_1.yaml", *own)
    assert differences(path, "v4_1.yaml", *own) == {
        "model.name": "Polygl0t/Tucano2-qwen-3.7B-Instruct",
        "grpo.max_steps": 400,
        "grpo.learning_rate": 2e-6,
        "grpo.num_generations": 8,
        "grpo.micro_batch_size": 4,
        "grpo.max_completion_length": 1024,
    }
    text = path.read_text()
    assert "seed: 7  # as this run had it" in text
    assert "weight_decay" not in text


def test_next_config_when_read_then_each_change_has_its_reason_and_the_head_says_what_decided(tmp_path):
    """A person sees beside every line why it is there and what stood there before."""
    lines = write(tmp_path, decision("A", "v4_2_a.yaml"), "v4_1.yaml").read_text().splitlines()
    assert "# reason: with a colon" in lines
    changed = [line for line in lines if ": " in line and not line.startswith("#")]
    assert all("  # " in line for line in changed)
    assert "  num_generations: 8  # smaller groups leave memory to the larger model; was 16" in lines


def test_next_config_for_a_weak_extraction_when_the_user_has_rewards_of_their_own_then_only_its_options_change(
    tmp_path,
):
    """Partial credit is added to the extraction that is there; rows and the other functions stay."""
    own = ("rewards.functions=[{name: extraction, weight: 2.0}, {name: json_valid}]",)
    path = write(tmp_path, decision("C", "v4_2_c.yaml", task="extraction"), "v4_1.yaml", *own)
    changed = differences(path, "v4_1.yaml", *own)
    assert changed.keys() == {"rewards.functions"}
    extraction, other = changed["rewards.functions"]
    assert (extraction["weight"], extraction["options"]["synonym_credit"]) == (2.0, 0.75)
    assert other["name"] == "json_valid" and other["options"] == {}


def test_next_config_for_weak_insights_when_the_rows_are_the_shops_then_there_are_more_of_them(tmp_path):
    """350 pairs instead of 148, the other tasks as many as before, no reward touched."""
    changed = differences(write(tmp_path, decision("C", "v4_2_c.yaml", task="insights"), "v4_1.yaml"), "v4_1.yaml")
    assert {key.rpartition(".")[0] for key in changed} == {"data.shop", "data.shop.proportions"}
    assert round(changed["data.shop.train_rows"] * changed["data.shop.proportions.insights"]) == 350
    assert round(changed["data.shop.train_rows"] * changed["data.shop.proportions.extraction"]) == 592


def test_next_config_for_weak_insights_when_the_rows_are_the_users_then_there_is_none(tmp_path):
    """More rows of a user's own file cannot be written into a config."""
    rows = tmp_path / "rows.jsonl"
    rows.touch()
    own = ("data.source=files", f"data.train={rows}", f"data.held_out={rows}")
    assert write(tmp_path, decision("C", "v4_2_c.yaml", task="insights"), "v4_1.yaml", *own) is None


def test_next_config_of_a_users_own_file_when_written_elsewhere_then_it_extends_it_by_its_whole_path(
    tmp_path, monkeypatch
):
    """The next rung trains on the same files, scored by the same functions, from any folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "a b.jsonl").touch()
    functions = [{"name": "json_valid", "weight": 0.5, "tasks": None, "options": {}}]
    (tmp_path / "here" / "mine.yaml").write_text(
        yaml.safe_dump(
            {
                "extends": "v4_1",
                "data": {"source": "files", "train": "a b.jsonl", "held_out": "a b.jsonl"},
                "rewards": {"functions": functions},
            }
        )
    )
    path = write(tmp_path, decision("A", "v4_2_a.yaml"), "mine.yaml")
    monkeypatch.chdir(tmp_path)
    config = load_config(path, profile=None)
    assert str(config.data.train) == str(tmp_path / "here" / "a b.jsonl")
    assert config.model_dump(mode="json")["rewards"]["functions"] == functions
    assert "a b.jsonl" not in path.read_text()


def test_next_config_when_the_source_is_gone_or_was_edited_then_the_settings_of_the_run_count(tmp_path):
    """What was run is what the next run is made from, whatever became of the file."""
    source = tmp_path / "mine.yaml"
    source.write_text("extends: v4_1\nseed: 5\n")
    had = settings(source)
    source.write_text("extends: v4_1\nseed: 6\n")
    edited = write_next_config(decision("A", "v4_2_a.yaml"), str(source), tmp_path / "n.yaml", config=had)
    source.unlink()
    assert load_config_of(tmp_path, edited, source) == 5
    gone = write_next_config(decision("A", "v4_2_a.yaml"), str(source), tmp_path / "n.yaml", config=had)
    assert load_config(gone, profile=None).seed == 5


def load_config_of(tmp_path, path, source):
    source.write_text("extends: v4_1\nseed: 6\n")
    seed = load_config(path, profile=None).seed
    source.unlink()
    return seed


def test_next_config_when_hop_follows_hop_then_names_do_not_pile_up(tmp_path):
    """The folder of the third run is called after the first and the rung it is on."""
    first = write(tmp_path, decision("A", "v4_2_a.yaml"), "v4_1.yaml").rename(tmp_path / "first.yaml")
    assert load_config(first, profile=None).name == "v4_1-3.7B"
    second = write(tmp_path, decision("A", "qwen3_8b.yaml", "3.7B"), str(first))
    config = load_config(second, profile=None)
    assert (config.name, config.model.name) == ("v4_1-8B", "Qwen/Qwen3-8B")


def test_next_config_of_a_run_that_goes_on_when_written_then_only_its_steps_double(tmp_path):
    """Learning less than asked means the same config for longer."""
    path = write(tmp_path, decision("undecided", "v4_1.yaml"), "v4_1.yaml")
    assert differences(path, "v4_1.yaml") == {"grpo.max_steps": 1200}


def test_next_config_when_written_then_readers_of_yaml_1_1_read_the_same(tmp_path):
    """5e-06 is a text to many readers; the file has a point in it."""
    data = yaml.safe_load(write(tmp_path, decision("A", "v4_2_a.yaml"), "v4_1.yaml").read_text())
    assert data["grpo"]["learning_rate"] == 2e-6


def test_next_config_of_a_decision_without_one_when_a_file_is_there_then_it_goes(tmp_path):
    """An earlier file is not left to mislead."""
    path = tmp_path / "next_config.yaml"
    path.write_text("extends: v4_1.yaml\n")
    assert write_next_config(decision("undecided", None), "v4_1.yaml", path) is None
    assert not path.exists()


def test_changes_when_the_run_already_has_them_then_there_are_none(tmp_path):
    """A run that was itself the fix is not sent round in a circle."""
    present = flatten(settings("v4_2_c.yaml"))
    assert find_changes(decision("C", "v4_2_c.yaml", task="insights"), present) == {}


# -- memory and the next run -------------------------------------------------------------------------------------------


def test_rungs_when_measured_then_each_has_its_adjustments_and_its_memory():
    """0.5B has nothing below it, 3.7B halves the group, 8B is quantised and still needs more than 3.7B."""
    small, middle, large = measure_rungs()
    assert small.adjustments == {}
    assert middle.adjustments["grpo.num_generations"] == 8
    assert large.adjustments["model.quantization"] == "nf4"
    assert 4 * GIB < middle.peak_bytes < large.peak_bytes < 24 * GIB
    assert large.fits(L4) is True and large.fits(SMALL_GPU) is False
    assert large.fits(Device("cpu", "CPU", 64 * GIB, 1)) is None


def test_memory_of_a_rung_when_prompts_are_shorter_then_it_is_less():
    """The plan's longest prompt, not the greatest length allowed, decides whether a run fits."""
    config = load_config("v4_1", profile=None)
    assert estimate_peak(config, 300) < estimate_peak(config)


def test_next_run_when_it_does_not_fit_the_device_then_it_is_refused_with_both_sizes(tmp_path):
    """The refusal names the model, what it takes and what is there."""
    path = write(tmp_path, decision("A", "qwen3_8b.yaml", "3.7B"), "v4_2_a.yaml")
    with pytest.raises(UserError, match=r"Qwen/Qwen3-8B .* takes about .* does not fit small, 8 GiB"):
        check_next_run(path, "gpu", device=SMALL_GPU)
    check_next_run(path, "gpu", device=L4)


def test_next_run_when_the_plan_knows_the_prompts_then_they_count(tmp_path):
    """Short prompts make room that the greatest length allowed would not leave."""
    path = write(tmp_path, decision("undecided", "v4_1.yaml"), "v4_1.yaml")
    device = Device("cuda", "between", estimate_peak(load_config("v4_1", profile=None), 300) + GIB, 1)
    with pytest.raises(UserError, match="does not fit"):
        check_next_run(path, "gpu", device=device)
    (tmp_path / "plan.json").write_text(json.dumps({"tokens": {"prompt_longest": 300}}))
    check_next_run(path, "gpu", device=device)


def test_next_run_when_this_one_has_several_processes_then_it_says_how_to_start_it(tmp_path):
    """One process of several cannot become the next run."""
    path = write(tmp_path, decision("A", "v4_2_a.yaml"), "v4_1.yaml")
    with pytest.raises(UserError, match="torchrun"):
        check_next_run(path, "gpu", device=L4, world_size=2)


def test_ladder_command_when_called_then_it_prints_the_rungs(capsys):
    """As text for a person, as JSON for a program."""
    assert main([]) == 0
    assert "Qwen/Qwen3-8B" in capsys.readouterr().out
    assert main(["--json"]) == 0
    assert [rung["name"] for rung in json.loads(capsys.readouterr().out)] == ["0.5B", "3.7B", "8B"]


# -- following ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """`follow` of a run's folder with what it would have started instead of this process."""
    from callbacks.progress import Progress
    from grpo import ladder, run
    from grpo.lifecycle import next_run
    from grpo.lifecycle.run_directory import RunDirectory

    started = []
    monkeypatch.setattr(next_run.os, "execv", lambda program, arguments: started.append(arguments[1:]))
    monkeypatch.setattr("grpo.machine.device.find_device", lambda: L4)
    assert ladder.check_next_run is check_next_run

    def follow(*arguments, profile="gpu"):
        options = run.parse(["--config", "v4_1.yaml", *arguments])
        return run.follow(options, RunDirectory(tmp_path), profile, Progress()), started

    return follow


def test_follow_when_not_asked_for_then_nothing_is_started(tmp_path, followed):
    """A decision alone starts no run."""
    write(tmp_path, decision("A", "v4_2_a.yaml"), "v4_1.yaml")
    assert followed() == (0, [])


def test_follow_when_asked_for_then_the_next_run_is_started_for_one_hop(tmp_path, followed):
    """Without a number one run follows; with one, as many, and each knows how many are left."""
    path = write(tmp_path, decision("A", "v4_2_a.yaml"), "v4_1.yaml")
    start = ["-m", "grpo.run", "--config", str(path), "--profile", "gpu"]
    assert followed("--follow") == (0, [start])
    assert followed("--follow", "3") == (0, [start, [*start, "--follow", "2"]])


def test_follow_when_the_decision_names_no_run_then_it_says_so(tmp_path, followed, capsys):
    """Nothing to follow is not a failure."""
    assert followed("--follow") == (0, [])
    assert "names no next run" in capsys.readouterr().out


def test_follow_when_the_next_rung_does_not_fit_then_it_is_refused(tmp_path, followed, monkeypatch):
    """The refusal comes before anything is started."""
    write(tmp_path, decision("A", "qwen3_8b.yaml", "3.7B"), "v4_2_a.yaml")
    monkeypatch.setattr("grpo.machine.device.find_device", lambda: SMALL_GPU)
    with pytest.raises(UserError, match="does not fit"):
        followed("--follow")


@pytest.mark.parametrize("hops", ["0", "-1", "many"])
def test_follow_when_the_number_is_none_then_the_command_line_is_refused(hops):
    """A hop count below one is a mistake."""
    from grpo.run import parse

    with pytest.raises(SystemExit):
        parse(["--config", "v4_1.yaml", f"--follow={hops}"])
