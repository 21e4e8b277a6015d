"""The section of a config that changes the watch rules: by name, laid over the shipped ones, refused with the reason."""

import orjson
import pytest
import yaml
from pydantic import ValidationError

from callbacks.watch.rules import ExpectedBand, WatchRule, WatchSection, merge_rules, shipped_rules
from callbacks.watch.watch import Watch


def test_rules_when_a_config_changes_one_then_the_rest_of_it_stays():
    """A new window leaves metric, condition and message; another condition takes the place of the old one."""
    rules = WatchSection.model_validate({"rules": {"grad_norm": {"above": 3.5}, "clipped": {"below": 0.01}}}).rules
    assert (rules["grad_norm"].above, rules["grad_norm"].action) == (3.5, "stop")
    assert (rules["clipped"].below, rules["clipped"].above, rules["clipped"].window) == (0.01, None, 20)
    assert rules.keys() == shipped_rules().keys()


def test_rules_when_switched_off_then_they_say_nothing():
    """By `off` or `enabled: false`, and all of them by the section."""
    for change in ("off", {"enabled": False}):
        assert "grad_norm" not in Watch(WatchSection.model_validate({"rules": {"grad_norm": change}})).rules
    assert Watch(WatchSection(enabled=False)).rules == []


def test_rules_when_stored_and_read_again_then_they_are_the_same():
    """A resumed run is watched by what the first part was watched by."""
    section = WatchSection.model_validate(
        {"rules": {"clipped": {"below": 0.01}, "kl": "off", "mine": {"metric": "x", "stalls": 0.1, "window": 9}}}
    )
    assert WatchSection.model_validate(orjson.loads(section.model_dump_json())) == section


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"grad_nrm": "off"}, "did you mean grad_norm"),
        ({"mine": {"metric": "x"}}, "has no condition"),
        ({"mine": {"metric": "x", "above": 1, "below": 0}}, "has above and below"),
        ({"mine": {"above": 1}}, "metric"),
        ({"mine": {"metric": "x", "above": 1, "until_step": 3, "from_step": 5}}, "no step is judged"),
        ({"mine": {"metric": "x", "rises": 1, "window": 3}}, "window of 4 or more"),
        ({"mine": {"metric": "x", "above": 1, "action": "explode"}}, "action"),
        ({"mine": 3}, "mine"),
        ([], "rules"),
    ],
)
def test_rules_when_they_make_no_sense_then_they_are_refused_with_the_reason(rules, said):
    """A rule that can never speak, or always would, is a mistake to be told."""
    with pytest.raises(ValidationError, match=said):
        WatchSection.model_validate({"rules": rules})


def test_rules_when_written_in_yaml_then_the_config_lays_them_over_the_shipped(tmp_path):
    """A user's file adds, changes and switches off by name, and a misspelt name is told with the right one."""
    from grpo.config.loading import load_config
    from rewards.errors import UserError

    path = tmp_path / "mine.yaml"
    rules = {"kl": "off", "grad_norm": {"above": 4}, "slow": {"metric": "reward", "below": 0.2, "from_step": 50}}
    path.write_text(yaml.safe_dump({"extends": "v4_1", "decision": {"watch": {"rules": rules}}}))
    resolved = load_config(path, profile=None).decision.watch.rules
    assert (resolved["kl"].enabled, resolved["grad_norm"].above, resolved["slow"].from_step) == (False, 4.0, 50)
    assert resolved["plateau"] == WatchRule.model_validate(shipped_rules()["plateau"])
    path.write_text(
        yaml.safe_dump({"extends": "v4_1", "decision": {"watch": {"rules": {"slow": {"metrc": "reward"}}}}})
    )
    with pytest.raises(UserError, match="did you mean metric"):
        load_config(path, profile=None)


def test_rule_when_its_bounds_meet_then_it_stands():
    """One step is judged where both ends are it, and four values have four quarters."""
    made = WatchRule.model_validate({"metric": "x", "rises": 1, "window": 4, "from_step": 5, "until_step": 5})
    assert (made.from_step, made.until_step, made.window) == (5, 5, 4)


@pytest.mark.parametrize(
    ("band", "label"),
    [({"low": 1}, "expected above 1"), ({"high": 2}, "expected below 2"), ({"low": 1, "high": 2}, "expected 1 to 2")],
)
def test_band_when_it_has_an_end_then_it_says_which(band, label):
    """Either end, or both."""
    assert ExpectedBand.model_validate(band).label == label


@pytest.mark.parametrize(
    ("band", "said"), [({}, "a band has no end"), ({"low": 2, "high": 2}, "low 2 is not below high 2")]
)
def test_band_when_it_holds_nothing_then_it_is_refused(band, said):
    """No end, or ends that meet."""
    with pytest.raises(ValidationError, match=said):
        ExpectedBand.model_validate(band)


def test_bands_when_changed_then_the_rest_of_a_shipped_one_stays():
    """By its name or an alias, switched off by `off` or false, added where it is new."""
    made = WatchSection.model_validate(
        {"expected": {"gradient_norm": {"high": 1.5}, "frac_reward_zero_std": False, "mine": {"low": 3}}}
    ).expected
    assert (made["grad_norm"].low, made["grad_norm"].high) == (0.05, 1.5)
    assert not made["frac_reward_zero_std"].enabled and made["completions/mean_length"].enabled
    assert made["mine"].low == 3
    off = WatchSection.model_validate({"expected": {"grad_norm": "off"}, "rules": {"kl": False}})
    assert not off.expected["grad_norm"].enabled and not off.rules["kl"].enabled


def test_merge_when_nothing_is_changed_then_the_shipped_rules_come_back():
    """The default section is the shipped table."""
    assert merge_rules({}) == WatchSection().rules
