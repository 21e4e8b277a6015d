"""Settings in YAML that anybody may have written: one line for whatever is wrong with them, and no wait without end."""

import os

import pytest

from grpo.compare.promotion_rules import load_rules
from grpo.config.trl_reading import read_trl_file
from grpo.console import main
from grpo.decide.history import read_history
from rewards.errors import UserError
from rewards.serve.scorers import read_section
from rewards.writing.yaml_files import parse_yaml, read_yaml
from tests.timing import at_most

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "more than 20,000 keys and values"),
        ("a: &a [*a]\n", "more than 20,000 keys and values"),
        ("a: " + "[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ("a: !!python/object/apply:os.system ['x']\n", "not YAML"),
        ("a: 2024-99-99\n", "a value that cannot be read"),
        ("a: 1" + "0" * 5_000 + "\n", "a value that cannot be read"),
        ("? [a, b]\n: 1\n", "not YAML"),
        ("a: [", "not YAML"),
        ("a: *nobody\n", "not YAML"),
        ("a: \0\n", "not YAML"),
        ("<<: 3\n", "not YAML"),
    ],
)
def test_parse_yaml_when_it_is_a_trap_then_one_line_says_so(text, said):
    """Anchors that expand, depth, tags of Python's, numbers of 5,000 digits, dates that are none."""
    with at_most(10), pytest.raises(UserError) as refused:
        parse_yaml(text, "rules.yaml")
    assert len(refused.value.problems) == 1 and "\n" not in str(refused.value)
    assert str(refused.value).startswith("rules.yaml: ") and said in str(refused.value)


def test_parse_yaml_when_anchors_are_honest_then_they_are_read():
    """A shared part, a merge, an empty file."""
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\n", "x") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}
    assert parse_yaml("", "x") is None


def test_read_history_when_a_whole_file_is_something_else_then_a_few_lines_say_so(tmp_path):
    """A Parquet file, an archive: not a line for each of thousands."""
    (tmp_path / "metrics.jsonl").write_bytes(b"PAR1\x00\n" * 5_000)
    with pytest.raises(UserError) as refused:
        read_history(tmp_path)
    assert len(refused.value.problems) == 21 and refused.value.problems[-1].endswith("and 4980 more such lines")


@pytest.mark.parametrize(
    "words",
    [
        ("rewards", "score", "--reward", "json_valid", "--input", "{}"),
        ("rewards", "list", "--plugin", "{}"),
        ("init", "{}"),
        ("evaluate", "--model", "{}", "--data", "{}"),
        ("run", "--dry-run", "--config", "{}"),
    ],
)
def test_commands_when_a_link_leads_to_itself_then_one_line_says_so(words, tmp_path, capsys):
    """pathlib raises a RuntimeError over it, up to Python 3.12."""
    path = tmp_path / "odd.py"
    path.symlink_to("odd.py")
    assert main([word.replace("{}", str(path)) for word in words]) in (1, 2)
    said = capsys.readouterr().err.strip().splitlines()
    assert 1 <= len(said) <= 3 and str(path) in said[0] and "Traceback" not in said[0]


@pytest.mark.parametrize("read", [read_yaml, read_section, read_trl_file, load_rules, read_history])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_readers_when_they_are_given_a_pipe_or_a_device_then_they_do_not_wait_for_it(read, kind, tmp_path):
    """Nobody writes into the pipe, and /dev/zero never ends."""
    path = tmp_path / "odd.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with at_most(10), pytest.raises(UserError, match="not a regular file"):
        read(path)
