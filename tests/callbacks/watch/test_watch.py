"""The watch: what each rule is broken by, and what a run makes of events."""

from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbacks.watch.rules import (
    WatchSection,
    metric_aliases,
    rename_metric,
    rename_metrics,
    shipped_rules,
)
from callbacks.watch.watch import (
    Watch,
    append_events,
    does_not_climb,
    make_callback,
    measure_repetition,
    write_events,
)


def make_watch(rules=None, *, only=None, **options):
    """A watch with the shipped rules, or `only` those named in `rules`."""
    if only:
        rules = {name: "off" for name in shipped_rules() if name not in only} | (rules or {})
    options.setdefault("settings", {"max_completion_length": 512})
    return Watch(WatchSection.model_validate({"rules": rules or {}}), **options)


def feed(watch, metric, values, start=1, every=1):
    """Rows of one metric, one value each `every` steps; the events as (step, rule)."""
    events = []
    for place, value in enumerate(values):
        events += watch.observe({"step": start + place * every, "stage": "train", metric: value})
    return [(event.step, event.rule) for event in events]


# -- the shipped table -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "action"),
    [
        ("plateau", "stop"),
        ("extraction", "stop"),
        ("completion_ceiling", "stop"),
        ("clipped", "stop"),
        ("zero_spread", "stop"),
        ("grad_norm", "stop"),
        ("entropy_collapse", "warn"),
        ("reward_errors", "warn"),
        ("repetition", "warn"),
        ("kl", "warn"),
        ("length_growth", "warn"),
        ("reward_start", "warn"),
    ],
)
def test_shipped_rules_when_read_then_the_recipe_and_the_health_ranges_are_there(rule, action):
    """What the recipe says to stop for stops, a health range warns, and each says what to do."""
    shipped = WatchSection().rules[rule]
    assert shipped.action == action
    assert shipped.enabled and shipped.message


@pytest.mark.parametrize(
    ("rule", "metric", "good", "bad"),
    [
        ("grad_norm", "grad_norm", [0.3, 2.0, 0.05], [0.3, 2.1]),
        ("zero_spread", "frac_reward_zero_std", [0.5] * 60, [0.5, 1.0] * 30),
        ("clipped", "completions/clipped_ratio", [0.9] * 5 + [0.0] * 40, [0.6] * 20),
        ("completion_ceiling", "completions/mean_length", [400.0] * 30, [500.0] * 10),
        ("entropy_collapse", "entropy", [0.06] * 40, [0.04] * 20),
        ("repetition", "completions/repetition", [0.2] * 40, [0.4] * 10),
        ("reward_errors", "reward_errors", [0.0] * 5, [0.0, 0.02]),
        ("reward_start", "reward", [0.2] * 40, [0.1] * 25),
        ("grad_norm_vanished", "grad_norm", [0.05] * 40, [0.0001] * 20),
        ("length_growth", "completions/mean_length", [100.0, 140.0] * 60, [100.0 + step for step in range(110)]),
    ],
)
def test_shipped_rule_when_its_metric_leaves_its_range_then_it_is_broken_and_else_not(rule, metric, good, bad):
    """Each rule is quiet over sound values and speaks over those it was made for."""
    assert feed(make_watch(only=[rule]), metric, good) == []
    assert [name for _, name in feed(make_watch(only=[rule]), metric, bad)] == [rule]


def test_plateau_when_the_best_is_70_steps_old_by_step_200_then_it_stops():
    """V4 stood still from step 130; the rule says so at step 200 and is silent about a later plateau."""
    climbing = [0.280 + 0.0015 * step for step in range(0, 131, 10)]
    assert feed(make_watch(only=["plateau"]), "eval/mean_reward", [*climbing, *[0.476] * 7], 0, 10) == [
        (200, "plateau")
    ]
    later = [0.3 + 0.0005 * step for step in range(0, 400, 50)] + [0.5] * 5
    assert feed(make_watch(only=["plateau"]), "eval/mean_reward", later, 0, 50) == []


def test_extraction_when_below_its_floor_then_it_stops_from_step_100_on():
    """0.17 at step 50 is early, at step 100 it is enough."""
    assert feed(make_watch(only=["extraction"]), "eval/extraction", [0.17] * 3, 50, 50) == [(100, "extraction")]
    assert feed(make_watch(only=["extraction"]), "eval/extraction", [0.17, 0.21, 0.3], 50, 50) == []


def test_rules_of_the_recipe_when_the_run_is_held_to_its_own_warm_up_then_they_are_not_in_force():
    """The thresholds of the 0.5B model say nothing of a rehearsal; a gradient that spikes does."""
    rules = make_watch(recipe=False).rules
    assert not {"plateau", "extraction"} & set(rules)
    assert "grad_norm" in rules


def test_kl_when_beta_is_0_then_it_is_ignored():
    """A KL term that is not in the loss is no reason for anything."""
    assert feed(make_watch(only=["kl"]), "kl", [50.0] * 20) == []
    assert feed(make_watch(only=["kl"], beta=0.04), "kl", [50.0] * 20) == [(10, "kl")]


# -- judging -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_not_finite_when_a_value_is_no_number_then_it_is_broken_live_and_replayed(value):
    """A NaN loss stops the run; its row is recorded as null, and a metric that is not there is not NaN."""
    watch = make_watch(only=["loss_not_finite"])
    assert feed(watch, "loss", [0.1, value, value]) == [(2, "loss_not_finite")]
    assert watch.stop.text.startswith("loss_not_finite: loss is not a number at step 2.")
    assert watch.observe({"step": 9, "reward": 0.5}) == []
    assert feed(make_watch(only=["grad_norm"]), "grad_norm", [value, 0.1, value]) == []


def test_rule_with_a_window_when_it_is_not_filled_then_nothing_is_said():
    """Nine bad steps are not ten, also where a history begins in the middle."""
    rules = {"mine": {"metric": "x", "above": 1, "window": 10}}
    assert feed(make_watch(rules), "x", [2.0] * 9) == []
    assert feed(make_watch(rules), "x", [2.0] * 10, start=400) == [(409, "mine")]


@pytest.mark.parametrize(("over", "fires"), [("every", False), ("mean", True), ("last", True)])
def test_rule_over_when_one_value_of_the_window_is_sound_then_only_every_is_kept(over, fires):
    """`every` forgives for one sound value, the mean and the last do not."""
    rules = {"mine": {"metric": "x", "above": 1, "window": 4, "over": over}}
    assert bool(feed(make_watch(rules), "x", [3.0, 0.5, 3.0, 3.0])) is fires


def test_warning_when_the_rule_stays_broken_or_breaks_again_then_it_is_given_once():
    """A screen is not flooded by a rule that flaps."""
    rules = {"mine": {"metric": "x", "above": 1}}
    assert feed(make_watch(rules), "x", [2.0, 2.0, 0.0, 2.0, 0.0, 2.0]) == [(1, "mine")]


def test_stop_when_its_metric_had_recovered_then_it_is_given_again():
    """A run that was resumed after a stop is stopped again by a new break, not by the old one."""
    rules = {"mine": {"metric": "x", "above": 1, "action": "stop"}}
    assert feed(make_watch(rules), "x", [2.0, 2.0, 0.0, 2.0]) == [(1, "mine"), (4, "mine")]


def test_watch_when_a_run_is_replayed_then_its_stop_is_past_and_the_break_is_not_new():
    """The resumed run goes on until something new breaks."""
    rules = {"mine": {"metric": "x", "above": 1, "action": "stop"}}
    watch = make_watch(rules)
    events = watch.replay([{"step": 1, "stage": "train", "x": 2.0}])
    assert [event.rule for event in events] == ["mine"]
    assert watch.stop is None
    assert feed(watch, "x", [2.0], start=2) == []
    assert feed(watch, "x", [0.0, 2.0], start=3) == [(4, "mine")]
    assert watch.stop.step == 4


def test_watch_when_it_replays_what_it_has_seen_already_then_nothing_counts_twice():
    """A run judges its warm-up live and once more when training starts: the file of events stays whole."""
    watch = make_watch({"mine": {"metric": "eval/push", "below": 0.5, "from_step": 0, "window": 1}})
    rows = [{"stage": "warmup", "step": 0, "eval/push": 0.1}]
    live = watch.observe(rows[0])
    assert watch.replay(rows) == live == watch.events


def test_watch_when_rows_are_of_the_untrained_policy_or_no_numbers_then_they_are_passed_over():
    """Before training nothing is judged; null, text and booleans are not values."""
    watch = make_watch({"mine": {"metric": "x", "above": 1, "from_step": 0}})
    rows = [
        {"stage": "before", "step": 0, "x": 9.0},
        {"stage": "train", "step": 1, "x": None},
        {"stage": "train", "step": 1, "x": float("nan")},
        {"stage": "train", "step": 1, "x": "9"},
        {"stage": "train", "step": 1, "x": True},
        {"stage": "train", "x": 9.0},
    ]
    assert [event for row in rows for event in watch.observe(row)] == []


@pytest.mark.parametrize(
    ("old", "rule", "values"),
    [
        ("completion_length", "completion_ceiling", [512.0] * 10),
        ("clipped_ratio", "clipped", [0.9] * 20),
        ("train/grad_norm", "grad_norm", [3.0]),
        ("train/completion_length", "completion_ceiling", [512.0] * 10),
    ],
)
def test_metric_when_it_has_an_old_name_then_its_rule_still_judges_it(old, rule, values):
    """Rows of older versions and of W&B exports are watched as ours."""
    assert [name for _, name in feed(make_watch(only=[rule]), old, values)] == [rule]


def test_rule_when_it_names_a_metric_by_an_alias_then_it_means_the_metric():
    """A user may write the name they know."""
    watch = make_watch({"mine": {"metric": "completion_length", "above": 10}})
    assert feed(watch, "completions/mean_length", [11.0]) == [(1, "mine")]


def test_row_when_it_has_both_names_then_neither_is_lost():
    """A task called reward does not become the mean."""
    row = {"eval/mean_reward": 0.5, "eval/reward": 0.3, "step": 1}
    assert rename_metrics(row) == row
    assert rename_metrics({"eval_reward": 0.4, "eval_reward_n": 30}) == {
        "eval/mean_reward": 0.4,
        "eval/mean_reward_n": 30,
    }


def test_aliases_when_read_then_none_is_the_name_of_another():
    """An alias leads to a name that is final, and no shipped rule is written with an alias."""
    for target in metric_aliases().values():
        assert rename_metric(target) == target
    for rule in shipped_rules().values():
        assert rename_metric(rule["metric"]) == rule["metric"]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60), st.integers(1, 12))
def test_watch_when_values_are_anything_then_each_warning_comes_once_and_is_serialisable(values, window):
    """No value breaks the watch itself, and an event fits into a line of JSON."""
    watch = make_watch({"mine": {"metric": "grad_norm", "above": 1.0, "window": window, "over": "mean"}})
    events = [
        event for step, value in enumerate(values, 1) for event in watch.observe({"step": step, "grad_norm": value})
    ]
    warned = [event.rule for event in events if event.action == "warn"]
    assert len(warned) == len(set(warned))
    for event in events:
        assert orjson.loads(orjson.dumps(event.to_json()))["text"].startswith(event.rule)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=2, max_size=50), st.data())
def test_watch_when_a_run_is_cut_and_resumed_anywhere_then_its_events_are_those_of_a_whole_one(values, data):
    """Replaying what was recorded and going on gives what one run would have given."""
    rows = [
        {"step": step, "grad_norm": norm, "frac_reward_zero_std": zero} for step, (norm, zero) in enumerate(values, 1)
    ]
    cut = data.draw(st.integers(0, len(rows)))
    whole = make_watch()
    expected = [event for row in rows for event in whole.observe(row)]
    resumed = make_watch()
    before = resumed.replay(rows[:cut])
    assert before + [event for row in rows[cut:] for event in resumed.observe(row)] == expected


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([2.0, 2.2, 2.4, 3.02], [(4, "mine")]),
        ([2.0, 2.2, 2.4, 3.0], []),  # grown by half, not by more
        ([2.0, 2.4, 2.2, 4.0], []),  # a quarter below the one before
        ([0.0, 1.0, 2.0, 3.0], []),  # a share of nothing
        ([2.0, 2.2, 9.0], []),
    ],
)
def test_rise_when_computed_by_hand_then_every_quarter_is_above_the_one_before(values, found):
    """A window of four steps: each is a quarter; the last is held against the first."""
    watch = make_watch({"mine": {"metric": "x", "rises": 0.5, "window": 4}})
    assert feed(watch, "x", values) == found
    if found:
        assert watch.events[0].text == "mine: x +51% has grown by more than 50% over 4 steps at step 4."


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1.0, 1.0, 1.0, 1.0, 3.1], [(5, "mine")]),
        ([1.0, 1.0, 1.0, 1.0, 3.0], []),
        ([1.0, 1.0, 1.0, 3.1], []),  # of three others no median is told
        ([0.0, 0.0, 0.0, 0.0, 5.0], []),
        ([1.0, 9.0, 9.0, 1.0, 1.0, 3.1], [(6, "mine")]),  # the median of five others is 1
    ],
)
def test_spike_when_computed_by_hand_then_it_is_held_against_the_median_of_the_others(values, found):
    """Three times the median of at least four."""
    assert feed(make_watch({"mine": {"metric": "x", "spikes": 3.0, "window": 10}}), "x", values) == found


def test_line_when_it_climbs_by_just_what_is_asked_then_it_climbs():
    """0.01 in 70 steps without noise; flat over three points it does not; over two nothing is said."""
    climbing, flat = [(0, 0.0), (35, 0.005), (70, 0.01)], [(0, 0.5), (35, 0.5), (70, 0.5)]
    assert not does_not_climb(climbing, 0.0, 70, 0.01)
    assert does_not_climb(climbing, 0.0, 70, 0.0101) and does_not_climb(flat, 0.0, 70, 0.01)
    assert not does_not_climb(flat[1:], 0.0, 35, 0.01) and not does_not_climb(flat, 0.0, 71, 0.01)


def test_events_when_one_row_breaks_two_rules_then_the_stop_comes_first():
    """Whoever reads one line reads that one."""
    watch = make_watch({"soft": {"metric": "x", "above": 1}, "hard": {"metric": "x", "above": 1, "action": "stop"}})
    assert feed(watch, "x", [2.0]) == [(1, "hard"), (1, "soft")]


# -- what a run makes of it --------------------------------------------------------------------------------------------


def test_repetition_when_a_text_says_its_phrases_again_then_the_share_grows():
    """Four-word phrases: all new is 0, one phrase over and over nearly 1, a short text 0."""
    assert measure_repetition(["one two three four five six seven"]) == 0.0
    assert measure_repetition(["a b c d " * 25]) == pytest.approx(1 - 4 / 97)
    assert measure_repetition(["short", ""]) == 0.0
    assert measure_repetition([]) == 0.0


def test_events_when_written_and_added_to_then_each_has_a_line(tmp_path):
    """Writing replaces the file, adding keeps what is there, and adding nothing makes no file."""
    path = tmp_path / "watch.jsonl"
    append_events(path, [])
    assert not path.exists()
    path.write_bytes(b"what was there before\n")
    write_events(path, make_watch({"mine": {"metric": "x", "above": 1}}).observe({"step": 1, "x": 2.0}))
    append_events(path, make_watch().observe({"step": 5, "grad_norm": 9.0}))
    events = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [(event["rule"], event["step"], event["action"]) for event in events] == [
        ("mine", 1, "warn"),
        ("grad_norm", 5, "stop"),
    ]


def test_callback_when_a_rule_stops_then_training_ends_with_a_checkpoint():
    """The stop takes effect at the step's end or log, is not asked of the last step, and nothing else stops."""
    pytest.importorskip("transformers")
    watch = make_watch()
    callback = make_callback(watch)
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    state = SimpleNamespace(global_step=5, max_steps=10)
    callback.on_log(None, state, control)
    assert not control.should_training_stop
    watch.observe({"step": 5, "stage": "train", "grad_norm": 9.0})
    callback.on_log(None, SimpleNamespace(global_step=10, max_steps=10), control)
    assert not control.should_training_stop
    callback.on_step_end(None, state, control)
    assert control.should_training_stop and control.should_save


# -- the supervised stage ----------------------------------------------------------------------------------------------


def feed_sft(watch, metric, values, every=10):
    """Rows of the supervised stage as they are recorded, all of step 0; the events as (SFT step, rule)."""
    events = []
    for place, value in enumerate(values, 1):
        events += watch.observe({"stage": "warmup", "step": 0, "sft/step": place * every, metric: value}, step=0)
    return [(event.step, event.rule) for event in events]


@pytest.mark.parametrize(
    ("metric", "values", "wanted"),
    [
        ("sft/loss", [2.0, 1.9, 1.8, 1.7, 5.6, 1.6], [(50, "sft_loss_spike")]),
        ("sft/loss", [2.0, 1.9, 1.8, 1.7, 5.0, 1.6], []),
        ("sft/loss", [2.0, float("nan"), 1.0], [(20, "sft_loss_not_finite")]),
        ("sft/grad_norm", [1.0, 1.1, None], [(30, "sft_grad_not_finite")]),
        ("sft/loss", [1.0 + 0.1 * step for step in range(12)], [(110, "sft_divergence")]),
        ("sft/held_out_loss", [3.0, 2.0, 1.0, *[0.999] * 20], [(230, "sft_plateau")]),
        ("sft/held_out_loss", [3.0 / step for step in range(1, 24)], []),
        ("sft/held_out_loss_above_best", [0.0, 0.05, 0.11], [(30, "sft_overfit")]),
        ("sft/loss_fell_for_nothing", [0.3], [(10, "sft_loss_without_task")]),
    ],
)
def test_watch_when_sft_goes_wrong_then_the_rule_names_the_step_of_sft(metric, values, wanted):
    """NaN, spikes, divergence, a plateau of the held-out loss and a loss that fell for nothing, each by its own rule."""
    assert feed_sft(make_watch(), metric, values) == wanted
