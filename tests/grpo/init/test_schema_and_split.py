"""The inferred schema, held against jsonschema, and the split."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from grpo.init.schema import PATTERNS, infer_schema
from grpo.init.split import split_rows
from rewards.audit.near_duplicates import find_near_duplicates
from rewards.errors import UserError
from rewards.schemas import Schema
from rewards.types import Example

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-2, 2)
    | st.sampled_from(["a", "b", "2025-01-02", "x@y.z", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("pqrs"), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(values, min_size=1, max_size=40))
def test_schema_when_inferred_then_every_value_keeps_it(answers):
    """By jsonschema's verdict and by ours; whatever the answers hold."""
    schema = infer_schema(answers)
    Draft202012Validator.check_schema(schema)
    validator, own = Draft202012Validator(schema), Schema(schema)
    assert all(validator.is_valid(answer) for answer in answers)
    assert all(own.judge(answer).valid for answer in answers)


def test_schema_when_there_is_evidence_then_it_is_narrow():
    """Types, choices, required keys, null, a form of texts, and no keys beyond those seen."""
    answers = [
        {
            "status": ("paid", "open", "late")[n % 3], "name": f"n {n}", "day": f"2025-03-{n % 28 + 1:02d}",
            "mail": None if n % 4 else f"m{n}@example.org", "sum": n * 1.5, "items": [{"n": n}], **({"note": "x y"} if n % 2 else {}),
        }
        for n in range(60)
    ]  # fmt: skip
    schema = infer_schema(answers)
    fields = schema["properties"]
    assert fields["status"] == {"type": "string", "enum": ["late", "open", "paid"]}
    assert fields["name"] == {"type": "string", "minLength": 1}
    assert fields["day"]["pattern"] == PATTERNS["date"]
    assert fields["mail"] == {"type": ["string", "null"]}  # fifteen addresses are too few to make a rule of
    assert fields["sum"] == {"type": "number"} and fields["items"]["items"]["properties"]["n"] == {"type": "integer"}
    assert set(schema["required"]) == {"status", "name", "day", "mail", "sum", "items"}
    assert schema["additionalProperties"] is False


def test_schema_when_keys_are_data_then_it_names_none():
    """A mapping from products to numbers has no fields."""
    schema = infer_schema([{f"product {n}": n, f"other {n}": 1} for n in range(40)])
    assert (
        schema == {**schema, "type": "object", "additionalProperties": {"type": "integer"}}
        and "properties" not in schema
    )


def test_schema_when_names_are_copied_from_prompts_then_they_are_no_choices():
    """Seven companies are not all there are; three codes, or four plain words, may well be."""
    companies = ("Acme Ltd", "Blue Finch", "Northwind", "Harbour", "Lumen", "Pine Street", "Ostrava")
    answers = [{"who": companies[n % 7], "money": ("EUR", "USD")[n % 2]} for n in range(70)]
    fields = infer_schema(answers, copied={"who", "money"})["properties"]
    assert "enum" not in fields["who"] and fields["money"]["enum"] == ["EUR", "USD"]
    assert "enum" in infer_schema(answers)["properties"]["who"]


def make_rows(count, seed=1):
    numbers = random.Random(seed)
    words = ["".join(numbers.choice("abcdefghijklmnop") for _ in range(7)) for _ in range(400)]
    rows = []
    for at in range(count):
        text = " ".join(numbers.choice(words) for _ in range(25))
        for twin in range(1 + (at % 5 == 0) * 2):
            # A stop, then another case: the same to a reader.
            said = (text, f"{text}.", text.upper())[twin]
            rows.append(Example(f"{at}-{twin}", "t", [{"role": "user", "content": said}], f"answer {at % 3}"))
    numbers.shuffle(rows)
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_split_when_rows_have_twins_then_none_is_parted_from_them(seed):
    """No near-duplicate across it, the wanted number within a few, the same for the same seed."""
    rows = make_rows(150)
    split = split_rows(rows, seed=seed)
    assert find_near_duplicates(split.train, split.held_out) == []
    assert abs(len(split.held_out) - 42) <= 4 and len(split.train) + len(split.held_out) == len(rows)
    assert split.joined == 90
    assert [row.id for row in split_rows(rows, seed=seed).held_out] == [row.id for row in split.held_out]
    assert [row.id for row in split_rows(rows, seed=seed + 100).held_out] != [row.id for row in split.held_out]


def test_split_when_labels_are_rare_then_both_sides_have_them():
    """One in ten rows has the rare label."""
    rows = [
        Example(str(n), "t", [{"role": "user", "content": f"{n * 7919} {n * 104729} {n * 1299709}"}], "rare" if n % 10 == 0 else "usual")
        for n in range(200)
    ]  # fmt: skip
    split = split_rows(rows, seed=3)
    rare = [sum(row.reference == "rare" for row in side) for side in (split.train, split.held_out)]
    assert rare == [16, 4]


def test_split_when_all_prompts_are_of_one_mould_then_only_nearer_ones_count():
    """A page of instructions with one number in it: the rows can still be parted, and it is said."""
    page = (
        "Read the following order and answer with one JSON object that has the keys id and amount, nothing else. " * 4
    )
    rows = [Example(str(n), "t", [{"role": "user", "content": f"{page} Order {n}."}], str(n)) for n in range(60)]
    split = split_rows(rows, seed=1)
    assert split.similarity > 0.95 and 18 <= len(split.held_out) <= 22


def test_split_when_there_is_nothing_to_part_then_says_so():
    """Too few rows, or one prompt for all."""
    with pytest.raises(UserError, match="3 usable rows; at least 10"):
        split_rows(make_rows(2)[:3], seed=1)
    same = [Example(str(n), "t", [{"role": "user", "content": "the same"}], str(n)) for n in range(30)]
    with pytest.raises(UserError, match="all rows ask the same"):
        split_rows(same, seed=1)
