"""Configs that would hang, crash or fill the screen: a line or a few, and soon."""

from __future__ import annotations

import time

import pytest

from grpo.config.loading import load_config
from rewards import limits
from rewards.errors import UserError
from tests.timing import at_most

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def problems_of(path) -> list[str]:
    with at_most(20, time.perf_counter), pytest.raises(UserError) as caught:
        load_config(path, [], "gpu")  # no overlay hides what is written
    assert all("\n" not in line and len(line) < 1_000 for line in caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LAUGHS, "once its anchors are written out"),
        ("".join(f"k{n}: {n}\n" for n in range(50_000)), "20,000 keys"),
        ("name: " + "x" * 5_000_000, "a config has at most 1"),
        ("a: &a [*a]\n", "an alias to itself"),
        ("a: " + "[" * 5_000 + "]" * 5_000, "nest"),
        (
            "extends: v4_1.yaml\ngrpo: {max_steps: 2147483648}\n",
            "grpo.max_steps: 2,147,483,648 is more than any run needs",
        ),
        ("extends: v4_1.yaml\ndata: {shop: {train_rows: 1000000000}}\n", "data.shop.train_rows: 1,000,000,000"),
        ("extends: v4_1.yaml\nthreads: 1000000\n", "threads: 1,000,000"),
        ("extends: v4_1.yaml\nrewards: {functions: [{name: push, weight: 1.0e308}]}\n", "weight: 1e+308"),
    ],
)
def test_config_when_it_would_hang_or_cannot_be_meant_then_is_one_line(tmp_path, content, said):
    """Billion laughs, 50,000 keys, a file of 5 MB, depth, numbers that can only be slips."""
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    lines = problems_of(path)
    assert said in lines[-1] or said in lines[0]


def test_config_when_thousands_of_keys_are_wrong_then_a_few_are_told_and_the_rest_counted(tmp_path):
    """Nobody reads 5,000 lines, and guessing what each means takes its time."""
    path = tmp_path / "bad.yaml"
    path.write_text("".join(f"k{n}: {n}\n" for n in range(5_000)))
    lines = problems_of(path)
    assert len(lines) == limits.CONFIG_PROBLEMS + 1 and lines[-1].endswith("and 4975 more keys are wrong")


def test_config_when_files_extend_one_another_without_end_then_the_chain_is_cut(tmp_path):
    """A hundred files, each of which names the next."""
    for number in range(100):
        (tmp_path / f"c{number}.yaml").write_text(f"extends: c{number + 1}.yaml\n")
    (tmp_path / "c100.yaml").write_text("seed: 1\n")
    assert any("20 files extend one another" in line for line in problems_of(tmp_path / "c0.yaml"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "grpo.yaml",
            "model_name_or_path: a/b\nreward_funcs: [accuracy]\n",
            "a config of TRL; python -m grpo.config from-trl",
        ),
        ("ppo.yaml", "actor_rollout_ref: {}\ntrainer: {}\n", "a config of verl; write one of ours"),
        ("train.py", "print(1)\n", "a Python script, not a config"),
    ],
)
def test_config_when_it_is_another_trainer_s_then_the_first_line_says_so(tmp_path, name, text, said):
    """Before a line for each of its keys."""
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / name, profile=None)
    assert said in caught.value.problems[0]
