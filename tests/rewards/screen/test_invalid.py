"""What pydantic refuses, told by one explainer: to commands with what is allowed, over a wire without what was sent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rewards.screen.invalid import explain, explain_flags, show_path


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    share: float = Field(0.5, ge=0, le=1)


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    held_out_rows: int = Field(4, ge=1, multiple_of=2)
    names: Annotated[list[str], Field(min_length=2, max_length=3)] = ["a", "b"]
    short: str = Field("a", max_length=3)
    kind: Literal["mean", "sum"] = "mean"
    inner: Inner = Inner()
    either: int | list[Inner] | None = None
    even: int = 2
    needed: bool

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even; add one")
        return value


def refuse(model: Any, values: dict[str, Any]) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(values)
    return raised.value


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"held_out_rows": 3},
            "held_out_rows: 3 is not allowed; allowed: a whole number of at least 1, a multiple of 2",
        ),
        ({"names": ["a"]}, 'names: ["a"] is not allowed; allowed: a list of 2 to 3 entries whose entries are a string'),
        ({"short": "abcd"}, "short: 'abcd' is not allowed; allowed: a string of at most 3 characters"),
        ({"kind": "max"}, "kind: 'max' is not allowed; allowed: 'mean' or 'sum'"),
        ({"inner": {"share": 1.5}}, "inner.share: 1.5 is not allowed; allowed: a number from 0 to 1"),
        ({"inner": {"shar": 1}}, "inner.shar: no such rule of mine; did you mean share?"),
        ({"either": [{"share": 2}]}, "either[0].share: 2 is not allowed; allowed: a number from 0 to 1"),
        ({"even": 3}, "even: must be even; add one"),
        ({"needed": "offf"}, "needed: 'offf' is not allowed; allowed: true or false"),
        ({"needed": None}, "needed: null is not allowed; allowed: true or false"),
    ],
)
def test_explanation_when_the_model_is_known_then_says_what_is_allowed(values, line):
    """Ranges, choices, counts and our own validators, by the path of the key."""
    error = refuse(Options, {"needed": True, **values})
    assert line in explain(error, Options, show_path, key="rule of mine")


def test_explanation_when_a_key_is_missing_or_there_are_too_many_then_says_so():
    """The path of what is missing; what lies beyond `most` is counted."""
    assert explain(refuse(Options, {}), Options, show_path) == ["needed: is missing; write true or false"]
    error = refuse(Options, {"needed": True, **{f"x{index}": 1 for index in range(7)}})
    lines = explain(error, Options, lambda path: show_path(path) if path else "options", most=5)
    assert len(lines) == 6 and lines[-1] == "options: and 2 more keys are wrong"


def test_explanation_when_only_lasting_faults_are_asked_for_then_what_another_layer_may_mend_is_left_out():
    """A missing key and a validator's verdict may be put right by what is laid over; a wrong type may not."""
    error = refuse(Options, {"even": 3, "held_out_rows": "x"})
    (line,) = explain(error, Options, show_path, alone=True)
    assert line.startswith("held_out_rows: 'x' is not allowed")


def test_explanation_when_the_model_has_no_schema_then_the_words_are_pydantics():
    """A plugin's option may be of a type that JSON Schema does not know."""

    class Odd:
        pass

    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        odd: Odd

    (line,) = explain(refuse(Holder, {"odd": 10**5000}), Holder, show_path)
    assert line.startswith("odd: ") and "input should be an instance of" in line and len(line) < 300


def test_explanation_when_it_answers_a_request_then_nothing_of_what_was_sent_is_in_it():
    """A body may hold a key: an answer, and a log, have none of it."""

    class Request:
        def errors(self) -> list[Any]:
            return [
                {"type": "string_type", "loc": ("body", "name"), "msg": "Input should be a string", "input": "secret"}
            ]

    assert explain(Request(), None, show_path, key="field") == ["name: input should be a string"]


def test_flags_when_a_value_is_refused_then_are_named_as_they_were_written():
    """`held_out_rows` is --held-out-rows to the person who wrote it."""
    error = refuse(Options, {"needed": True, "held_out_rows": 0})
    assert explain_flags(error, Options)[0].startswith("--held-out-rows: 0 is not allowed; allowed: ")
