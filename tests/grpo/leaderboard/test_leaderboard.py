"""The leaderboard: relative differences with honest intervals, blending voices, base against instruct."""

from __future__ import annotations

import json
import random

import pytest

from grpo.leaderboard.__main__ import main
from grpo.leaderboard.families import pair_families, split_name
from grpo.leaderboard.voices import listen
from rewards.statistics.ratios import relative_change

OWN = "ô meu bem o abacaxi está um mel"
OTHER = "informamos que o produto encontra-se disponível nas gôndolas"


def voice(number, text, persona="feirante"):
    """A stored completion of a row with a contrast."""
    return {
        "id": f"r{number}", "task": persona, "prompt": [{"role": "user", "content": "?"}], "completion": text,
        "reference": OWN, "reward": float(text == OWN), "scores": {}, "columns": {"persona": persona, "contrast": [OTHER]},
    }  # fmt: skip


def write_run(folder, name, rewards, model="m", text=OWN):
    """The folder of a run with a final evaluation of these rewards."""
    path = folder / name / "eval"
    path.mkdir(parents=True)
    (folder / name / "config.json").write_text(json.dumps({"config": {"model": {"name": model}}}))
    rows = [{**voice(number, text), "reward": reward} for number, reward in enumerate(rewards)]
    (path / "final.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def test_relative_change_when_all_doubled_then_is_plus_hundred_per_cent_without_noise():
    """The ratio of each pair is 2: no noise is left in it."""
    before = {"t": [0.1, 0.2, 0.3, 0.4] * 10}
    found = relative_change(before, {"t": [2 * value for value in before["t"]]})
    assert found.value == pytest.approx(1.0) and found.n == 40
    assert found.low == pytest.approx(1.0, abs=0.35) and found.low <= 1.0 <= found.high


def test_relative_change_when_before_may_be_nothing_then_has_no_upper_bound():
    """A mean that the noise cannot tell from 0 bounds no ratio; a mean of 0 has none."""
    found = relative_change({"t": [0.0] * 11 + [0.1]}, {"t": [0.5] * 12})
    assert found.value == pytest.approx(59.0) and found.high is None and found.low > 0
    assert relative_change({"t": [0.0] * 5}, {"t": [1.0] * 5})[:3] == (None, None, None)


def test_relative_change_when_simulated_then_covers_the_truth():
    """300 draws of 60 pairs, true ratio 1.25: the interval holds it in about 95 of 100."""
    draw, held = random.Random(5), 0
    for _ in range(300):
        before = [draw.betavariate(2, 3) for _ in range(60)]
        after = [min(1.0, max(0.0, 1.25 * value + draw.uniform(-0.12, 0.12))) for value in before]
        found = relative_change({"t": before}, {"t": after})
        held += found.low <= 0.25 <= (found.high or 9)
    assert held >= 270


def test_voices_when_an_answer_is_another_s_then_it_is_blended():
    """Nobody's voice is no blending; a right one neither."""
    rows = [voice(1, OWN), voice(2, OTHER), voice(3, "xyz"), voice(4, OTHER, "gerente")]
    heard = listen(rows)
    assert heard.blended.mean == 0.5 and heard.unheard == 0.25
    assert heard.by_persona["gerente"].mean == 1.0 and heard.by_persona["feirante"].n == 3
    assert listen([{**voice(1, OWN), "columns": {}}]).blended is None


def test_voices_when_blending_is_beyond_the_noise_then_is_an_alarm():
    """40 of 100 are; 2 of 10 may be chance."""
    many = [voice(number, OTHER if number < 40 else OWN) for number in range(100)]
    assert "personas blend: 0.400" in listen(many).alarm()
    assert listen(many[38:48]).alarm() == ""


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("meta-llama/Meta-Llama-3-8B", ("llama-3-8b", None)),
        ("meta-llama/Meta-Llama-3-8B-Instruct", ("llama-3-8b", "instruct")),
        ("mistralai/Mistral-7B-Instruct-v0.3", ("mistral-7b", "instruct")),
        ("mistralai/Mistral-7B-v0.3", ("mistral-7b", None)),
        ("google/gemma-3-27b-it", ("gemma-3-27b", "instruct")),
        ("google/gemma-3-27b-pt", ("gemma-3-27b", "base")),
        ("Qwen/Qwen3-8B-Base", ("qwen3-8b", "base")),
    ],
)
def test_family_when_a_model_is_named_then_its_mark_is_read(model, expected):
    """As the makers mark them."""
    assert split_name(model) == expected


def test_families_when_one_name_says_nothing_then_it_is_the_other_of_its_pair():
    """Llama's base has no mark, Qwen3's instruct model neither."""
    models = {
        "a": "Llama-3.1-8B",
        "b": "Llama-3.1-8B-Instruct",
        "c": "Qwen3-8B-Base",
        "d": "Qwen3-8B",
        "e": "gemma-3-27b-it",
    }
    assert pair_families(models) == {"llama-3.1-8b": ("a", "b"), "qwen3-8b": ("c", "d")}


def test_board_when_runs_are_read_then_has_places_percentages_families_and_alarms(tmp_path, capsys):
    """Base against instruct, the second better in most rows; its texts are another's, which is an alarm."""
    base = write_run(tmp_path, "base", [0.2, 0.4] * 20, "Llama-3.1-8B")
    instruct = write_run(tmp_path, "instruct", [0.3, 0.5] * 19 + [0.2, 0.4], "Llama-3.1-8B-Instruct", OTHER)
    assert main([base, instruct, "--target", "0.5", "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    first, second = board["runs"]
    assert (first["run"], second["run"]) == ("instruct", "base") and second["relative"] is None
    assert first["relative"]["value"] == pytest.approx(0.095 / 0.3) and first["relative"]["low"] > 0
    assert second["of_target"] == pytest.approx(0.6)
    (family,) = board["families"]
    assert family["winner"] == "instruct" and family["margin"] == pytest.approx(0.095)
    assert [alarm.partition(":")[0] for alarm in board["alarms"]] == ["instruct"]
    assert main([base, instruct]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("ALARM  instruct: personas blend") and "base against instruct" in shown


def test_board_when_all_files_of_a_group_are_named_then_its_own_are_no_runs(tmp_path, capsys):
    """What a shell makes of `runs/GROUP/*`."""
    runs = [write_run(tmp_path, name, [0.2, 0.4] * 20) for name in ("seed-1", "seed-2")]
    for name in ("group.json", "summary.json"):
        (tmp_path / name).write_text("{}")
        runs.insert(0, str(tmp_path / name))
    assert main([*runs, "--json"]) == 0
    assert {each["run"] for each in json.loads(capsys.readouterr().out)["runs"]} == {"seed-1", "seed-2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["RUN", "--metric", "rouge9"], "--metric rouge9: not recorded in all runs; they share reward"),
        (["RUN", "--target", "0"], "--target 0: give a mean above 0"),
        (["RUN", "--blending", "2"], "--blending 2: give a share in 0..1"),
    ],
)
def test_board_when_asked_wrongly_then_one_line_and_two(arguments, said, tmp_path, capsys):
    """No traceback."""
    run = write_run(tmp_path, "run", [0.5, 0.6])
    assert main([run if word == "RUN" else word for word in arguments]) == 2
    assert said in capsys.readouterr().err
