"""What a stop leaves to be done: the row of a step whose evaluation is still to come, and the answers of one under way."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import orjson
import pytest

torch = pytest.importorskip("torch")

from grpo.training.answered import Answered, mark_weights  # noqa: E402
from grpo.training.postponed import Postponed, make_callback  # noqa: E402
from rewards.extraction.reasoning import PLAIN, ReasoningStyle  # noqa: E402
from rewards.types import Completion  # noqa: E402

# -- the row that waits -----------------------------------------------------------------------------------------------------


def test_row_when_its_evaluation_is_still_to_come_then_it_is_held_and_else_logged():
    """Of that step alone; the next step that is postponed begins with nothing of it."""
    waits = Postponed()
    assert waits.hold(3, {"loss": 1.0}, {}, {}) is False and waits.logs is None
    waits.begin(3)
    assert waits.hold(4, {"loss": 1.0}, {}, {}) is False and waits.logs is None
    logs, seconds, noted = {"loss": 1.0}, {"loss": 2.0}, {"errors": 1}
    assert waits.hold(3, logs, seconds, noted) is True
    logs["loss"] = seconds["loss"] = noted["errors"] = 9  # the trainer goes on with its own
    assert (waits.step, waits.logs, waits.seconds, waits.noted) == (3, {"loss": 1.0}, {"loss": 2.0}, {"errors": 1})
    waits.begin(6)
    assert (waits.step, waits.logs, waits.seconds, waits.noted) == (6, None, {}, {})


def test_row_when_a_checkpoint_keeps_it_then_it_comes_back_as_it_was(tmp_path):
    """By the state of the trainer; a checkpoint whose step was whole, or none at all, keeps nothing."""
    waits = Postponed()
    waits.begin(3)
    waits.hold(3, {"loss": 1.5}, {"loss": 2.0}, {"errors": 1})
    state = make_callback(waits, print, print).state()
    (tmp_path / "trainer_state.json").write_text(json.dumps({"stateful_callbacks": {"CatchUp": state}}))
    later = Postponed(step=9, logs={"loss": 0.0}, seconds={"a": 1.0}, noted={"b": 1})
    later.read(tmp_path)
    assert later == waits
    nothing = make_callback(Postponed(), print, print).state()
    assert nothing == {"args": {}, "attributes": {}}
    for content in ({"stateful_callbacks": {"CatchUp": nothing}}, {"stateful_callbacks": {}}, {}):
        (tmp_path / "trainer_state.json").write_text(json.dumps(content))
        later.read(tmp_path)
        assert later == Postponed()
        later.begin(9)
    later.read(None)
    assert later == Postponed()


@pytest.mark.parametrize("logs", [None, {"loss": 1.5}])
def test_row_when_the_run_goes_on_then_the_evaluation_comes_first_and_the_row_after_it(logs):
    """Until the evaluation is made its step still waits, as a stop in the middle of it finds; then nothing does."""
    said, waits = [], Postponed(3, logs, {"loss": 2.0}, {"errors": 1})
    callback = make_callback(
        waits, lambda step: said.append(("evaluated", step, waits.step)), lambda *row: said.append((*row, waits.step))
    )
    callback.on_train_begin(None, None, None)
    row = [(3, logs, {"loss": 2.0}, {"errors": 1}, None)] if logs else []
    assert said == [("evaluated", 3, 3), *row]
    callback.on_train_begin(None, None, None)
    assert len(said) == 1 + len(row) and waits.step is None


@pytest.mark.parametrize(
    ("step", "logs", "saves"),
    [
        (3, {"loss": float("nan"), "epoch": 1.0}, False),
        (3, {"grad_norm": float("inf")}, False),
        (3, {"loss": 1.0, "count": 2, "note": "nan"}, True),
        (3, None, True),
        (None, {"loss": float("nan")}, True),  # a watch rule judges that row when it is logged
    ],
)
def test_checkpoint_when_a_row_that_nobody_has_judged_is_not_finite_then_it_is_not_saved(step, logs, saves):
    """Weights after a loss that is not a number are none, and would be what the run goes on from."""
    control = SimpleNamespace(should_save=True)
    callback = make_callback(Postponed(step), print, print)
    assert callback.on_log(None, None, control, logs=logs) is control
    assert control.should_save is saves


# -- the answers ------------------------------------------------------------------------------------------------------------


def line_of(value) -> bytes:
    body = orjson.dumps(value)
    return orjson.dumps({"sha256": hashlib.sha256(body).hexdigest(), "of": value}) + b"\n"


def test_answers_when_asked_for_the_first_time_then_the_file_begins_with_what_was_asked(tmp_path):
    """And a batch is added behind it, line by line, and known at once."""
    path = tmp_path / "eval" / "answered.partial"
    kept = Answered(path, {"step": 3, "stage": "train"})
    kept.recall(PLAIN)
    head = line_of({"step": 3, "stage": "train"})
    assert path.read_bytes() == head and kept.answers == {}
    kept.add([4, 2], [Completion("a", True), Completion("b")])
    assert path.read_bytes() == head + line_of({"rows": [[4, "a", True], [2, "b", False]]})
    assert [(place, each.text) for place, each in kept.answers.items()] == [(4, "a"), (2, "b")]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        kept.add([1, 5], [Completion("c")])


def test_answers_when_recalled_then_they_are_read_in_the_models_own_style(tmp_path):
    """Where its reasoning ends decides what is scored."""
    path, style = tmp_path / "answered.partial", ReasoningStyle(("<r>", "</r>"))
    for _ in range(2):
        kept = Answered(path, {"step": 3})
        kept.recall(style)
        if not kept.answers:
            kept.add([0], [Completion("<r>x</r>y", False, style)])
    assert kept.answers[0].style == style and kept.answers[0].text == "<r>x</r>y"


@pytest.mark.parametrize(
    "broken",
    [
        line_of([1, 2]),
        b'{"of": {"rows": []}}\n',
        b"[]\n",
        line_of({"rows": [[9, "z", False]]})[:-1],  # its end was not written
        line_of({"rows": [[9, "z", False]]}).replace(b'"z"', b'"y"'),
        b"\xff\n",
    ],
)
def test_answers_when_a_line_is_broken_then_it_and_what_follows_are_answered_again(tmp_path, broken):
    """The file is cut where it begins, so that the next batch stands behind whole ones."""
    path = tmp_path / "answered.partial"
    whole = line_of({"step": 3}) + line_of({"rows": [[0, "a", False]]})
    path.write_bytes(whole + broken + (line_of({"rows": [[7, "late", False]]}) if broken.endswith(b"\n") else b""))
    kept = Answered(path, {"step": 3})
    kept.recall(PLAIN)
    assert list(kept.answers) == [0] and path.read_bytes() == whole
    kept.add([1], [Completion("b")])
    again = Answered(path, {"step": 3})
    again.recall(PLAIN)
    assert [each.text for each in again.answers.values()] == ["a", "b"]


def test_answers_when_they_are_of_another_evaluation_then_the_file_begins_anew(tmp_path):
    """Nothing of another policy's answers is taken over."""
    path = tmp_path / "answered.partial"
    path.write_bytes(line_of({"step": 3}) + line_of({"rows": [[0, "a", False]]}))
    kept = Answered(path, {"step": 4})
    kept.recall(PLAIN)
    assert kept.answers == {} and path.read_bytes() == line_of({"step": 4})


def test_mark_of_weights_when_one_of_every_sixteenth_is_another_then_so_is_the_mark():
    """Of 64 numbers every fourth is looked at, of ten each one, of each weight; in half precision as well."""
    model = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(64)), torch.nn.Parameter(torch.zeros(10).half())])
    before = mark_weights(model)
    assert len(before) == 32
    noticed = []
    for weight in model:
        for place in range(len(weight)):
            with torch.no_grad():
                weight[place] = 1.0
                noticed.append(mark_weights(model) != before)
                weight[place] = 0.0
    assert noticed == [place % 4 == 0 for place in range(64)] + [True] * 10
    assert mark_weights(torch.nn.Identity()) == hashlib.sha256(b"").hexdigest()[:32]
