"""What the report says of the audit and of the watch rules: the audit's own alarms, and the bounds of this run's rules."""

from types import SimpleNamespace

import pytest

from grpo.report.checks import PROBES, make_audit
from grpo.report.curves import read_bounds
from rewards.audit.probes import is_overpaid


@pytest.mark.parametrize(
    ("kind", "mean", "alarming"),
    [
        ("other", 0.7, False), ("other", 0.8, True), ("empty", 0.39, False), ("empty", 0.4, True), ("noise", 0.5, True),
        ("changed", 0.79, False), ("part", 0.79, False),
    ],
)  # fmt: skip
def test_probes_when_shown_then_their_alarm_is_the_audits(kind, mean, alarming):
    """Another row's answer may earn less than the right one, 0.8 here; no answer less than half of it."""
    (row,) = make_audit({"probes": {"task": {"gold": 0.8, kind: mean}}})["probes"]
    cells = {cell["name"]: cell["alarm"] for cell in row["cells"]}
    assert cells[kind] is alarming is is_overpaid(kind, mean, 0.8)


def test_probes_when_named_then_a_changed_reference_is_called_what_it_is():
    """Every second value is another one; one changed fact would be another probe."""
    assert dict(PROBES)["changed"] == "the reference with every second value changed"


def bounds(**watch):
    """The bounds of a run with these changes of the watch rules."""
    return read_bounds(SimpleNamespace(config={"decision": {"watch": {"rules": watch}}, "grpo": {"beta": 0.0}}))


def test_bounds_when_a_rule_was_changed_or_switched_off_then_the_picture_follows():
    """The line stands where this run would have been stopped or warned, and nowhere else."""
    assert bounds()["frac_reward_zero_std"][0] == (0.5, "stop at 0.5, mean of 30")
    changed = bounds(zero_spread={"above": 0.75, "action": "warn"}, clipped="off", kl={"above": 2.0})
    assert changed["frac_reward_zero_std"][0] == (0.75, "warn at 0.75, mean of 30")
    assert not [label for _, label in changed.get("completions/clipped_ratio", []) if label.startswith("stop")]
    assert "kl" not in changed
