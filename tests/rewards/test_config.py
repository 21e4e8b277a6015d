"""The rewards section: what it accepts, and how it says what is wrong."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rewards.config import FunctionSpec, RewardsSection, build_host
from rewards.errors import UserError
from rewards.plugins import load_rewards


def section_of(*functions: dict, **settings: object) -> RewardsSection:
    return RewardsSection(functions=[FunctionSpec(**function) for function in functions], **settings)


def problems_of(section: RewardsSection) -> list[str]:
    with pytest.raises(UserError) as caught:
        build_host(section, load_rewards())
    return caught.value.problems


def test_build_host_when_an_option_is_misspelt_then_proposes_the_right_one():
    """The line names the place, the function and the nearest option."""
    section = section_of(
        {"name": "push"}, {"name": "insights"}, {"name": "field_f1", "options": {"ignore_field": ["id"]}}
    )
    assert problems_of(section) == [
        "rewards.functions[2].options.ignore_field: no such option of 'field_f1'; did you mean ignore_fields?"
    ]


def test_build_host_when_much_is_wrong_then_lists_everything():
    """All problems come together, one line each."""
    lines = problems_of(
        section_of(
            {"name": "extracion"},
            {"name": "push", "options": {"maximum_characters": "many", "tone_cost": 2}},
            {"name": "push"},
            {"name": "extraction", "options": {"fields": {"a": {"kind": "colour"}}}},
        )
    )
    assert len(lines) == 5
    assert lines[0] == "rewards.functions[0].name: no reward function 'extracion'; did you mean extraction?"
    assert lines[1] == (
        "rewards.functions[1].options.maximum_characters: 'many' is not allowed; allowed: a whole number of at least 1"
    )
    assert lines[2].startswith("rewards.functions[1].options.tone_cost: ")
    assert "already rewards.functions[1]" in lines[3]
    assert lines[4].startswith("rewards.functions[3].options.fields.a.kind: ")


def test_build_host_when_no_function_is_named_then_asks_for_one():
    """A run without rewards is a mistake."""
    assert "empty" in problems_of(RewardsSection())[0]


def test_build_host_when_options_come_from_yaml_then_functions_have_them():
    """Lists and mappings of YAML become frozen options."""
    host = build_host(
        section_of(
            {"name": "field_f1", "weight": 2, "tasks": ["a"], "options": {"ignore_fields": ["id"]}},
            {"name": "extraction", "options": {"synonyms": {"ruim": "negativo"}}},
        )
    )
    first, second = host.functions
    assert (
        first.function.ignore_fields == ("id",)
        and first.weight == 2
        and first.applies_to("a")
        and not first.applies_to("b")
    )
    assert second.function.synonyms == {"ruim": "negativo"} and second.tasks == ("extraction",)
    assert not first.isolated


@pytest.mark.parametrize(
    "wrong",
    [
        {"functions": [{"name": "push", "weight": 0}]},
        {"functions": [{"name": "push", "weight": float("nan")}]},
        {"timeout_seconds": 0},
        {"error_budget": 1.5},
        {"error_budget_minimum": 0},
        {"function": []},
    ],
)
def test_rewards_section_when_a_value_is_out_of_range_then_is_refused(wrong):
    """Values that make no sense never reach a run."""
    with pytest.raises(ValidationError):
        RewardsSection.model_validate(wrong)
