"""The thresholds of the shop's recipes belong to the rewards they were set for."""

from __future__ import annotations

from dataclasses import replace

from grpo.config.loading import load_config
from grpo.decide.decide_run import choose_measure
from rewards.config import build_host


def test_thresholds_when_a_built_in_reward_moves_then_they_are_asked_anew():
    """Who raises a version of one of these looks at 0.55 and the floors again, and then writes the new version here."""
    config = load_config("v4_1", [], "gpu")
    with build_host(config.rewards) as host:
        assert config.decision.thresholds_for == host.versions()
        identities = host.identities()
    assert choose_measure(config.decision, identities) == (config.decision, ())
    assert choose_measure(config.decision, {}) == (config.decision, ())


def test_thresholds_when_a_run_had_another_version_then_it_is_held_to_its_own_start():
    """They are not comparable, and the decision says so."""
    config = load_config("v4_1", [], "gpu")
    with build_host(config.rewards) as host:
        identities = host.identities()
    identities["push"] = replace(identities["push"], version="99")
    section, (line,) = choose_measure(config.decision, identities)
    assert section.relative_to == "baseline"
    said = "the thresholds are not comparable: they were set for push 3 (here 99); this run is held to its own start"
    assert line == said
    del identities["push"]
    assert "push 3 (not used here)" in choose_measure(config.decision, identities)[1][0]


def test_thresholds_when_they_name_a_fingerprint_then_code_and_options_count_too():
    """Whoever sets thresholds for one scorer alone writes its whole identity, as the audit prints it."""
    config = load_config("v4_1", [], "gpu")
    with build_host(config.rewards) as host:
        identities = host.identities()
    pinned = config.decision.model_copy(update={"thresholds_for": {"push": str(identities["push"])}})
    assert choose_measure(pinned, identities) == (pinned, ())
    identities["push"] = replace(identities["push"], fingerprint="0" * 12)
    section, (line,) = choose_measure(pinned, identities)
    assert section.relative_to == "baseline" and "(here 3 (000000000000))" in line
