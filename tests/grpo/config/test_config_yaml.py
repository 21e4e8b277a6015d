"""The YAML reader: numbers and booleans as people mean them, duplicates, aliases and odd files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.config.yaml_layer import YamlLayer, parse_value, read_source, show_path, write_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("1.0e-5", 1e-5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("010", 10),
        ("4_1", "4_1"),
        ("12:30", "12:30"),
        ("0x1F", "0x1F"),
        ("no", "no"),
        ("On", "On"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("'16'", "16"),
        ('"true"', "true"),
        ("2026-11-21", "2026-11-21"),
        ("1,5", "1,5"),
        ("[1e-3, no]", [1e-3, "no"]),
        ("{r: 8}", {"r": 8}),
        ("{no: 1, 4_1: 2}", {"no": 1, "4_1": 2}),
    ],
)
def test_value_when_plain_then_is_what_it_looks_like(text, expected):
    """The traps of YAML 1.1 are gone."""
    source = YamlLayer("x")
    value = parse_value(text, source)
    assert source.problems == []
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999"])
def test_number_when_not_finite_then_is_a_problem(text):
    """An infinite rate never reaches training."""
    source = YamlLayer("x")
    parse_value(text, source)
    assert "not a finite number" in source.problems[0]


def test_key_when_written_twice_then_both_lines_are_told(tmp_path):
    """A doubled key is an error at any depth, and the rest of the file is still read."""
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n", encoding="utf-8")
    source = read_source(path, "x.yaml")
    assert source.problems == [
        "x.yaml: b.c: written twice, in lines 3 and 5; keep one of them",
        "x.yaml: a: written twice, in lines 1 and 6; keep one of them",
    ]
    assert source.data == {"a": 1, "b": {"c": 1, "d": 2}}


def test_lines_when_read_then_belong_to_the_keys(tmp_path):
    """The line of each key is known, list entries included."""
    path = tmp_path / "x.yaml"
    path.write_text("a:\n  b: 1\n  c:\n    - d: 2\n    - 3\n", encoding="utf-8")
    lines = read_source(path).lines
    assert lines["a", "b"] == 2
    assert lines["a", "c", 0, "d"] == 4
    assert lines["a", "c", 1] == 5


def test_alias_when_it_holds_itself_then_is_a_problem_and_no_hang():
    """A circular alias ends."""
    source = YamlLayer("x")
    parse_value("&a [1, *a]", source)
    assert "alias to itself" in source.problems[0]


def test_alias_when_ordinary_then_is_read():
    """Anchors work."""
    source = YamlLayer("x")
    assert parse_value("{a: &x {r: 1}, b: *x}", source) == {"a": {"r": 1}, "b": {"r": 1}}
    assert source.problems == []


def test_nesting_when_very_deep_then_is_a_problem():
    """Deep nesting is not a crash."""
    source = YamlLayer("x")
    parse_value("[" * 20_000 + "]" * 20_000, source)
    assert len(source.problems) == 1


def test_file_when_not_text_then_is_a_problem(tmp_path):
    """Bytes that are not UTF-8, a folder and a missing file each give one line."""
    binary = tmp_path / "x.yaml"
    binary.write_bytes(b"\xff\xfe\x00a")
    for path in (binary, tmp_path, Path("/no/such/file.yaml")):
        assert len(read_source(path).problems) == 1


def test_path_when_shown_then_reads_like_the_file():
    """Indexes stand in brackets."""
    assert show_path(("rewards", "functions", 0, "name")) == "rewards.functions[0].name"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["no", "1e5", "4_1", "010", "~", "", "12:30", ".5", "true", "1.5e3", "=", "<<"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "no", "1e5"]), VALUES, min_size=1, max_size=3))
def test_mapping_when_written_then_reads_back_the_same(data):
    """Whatever is printed can be read again."""
    source = YamlLayer("x")
    assert parse_value(write_yaml(data), source) == data
    assert source.problems == []
