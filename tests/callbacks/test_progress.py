"""What is shown of a run: plain lines in a log, bars and tables on a terminal."""

import io

import pytest

from callbacks.progress import Progress, _style_of, format_change, format_seconds
from rewards.statistics.estimates import Estimate


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def measure(**tasks):
    return {name: Estimate(mean, 40, 0.2, mean - 0.05, mean + 0.05) for name, mean in tasks.items()}


def test_progress_in_a_log_writes_few_plain_lines():
    """A hundred steps of a second each make a line every fifteen seconds, none with a control code."""
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream=stream, line_seconds=15, clock=clock)
    with progress.stage("GRPO", 100) as stage:
        for _ in range(100):
            clock.now += 1.0
            stage.advance(reward=0.5)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 + 100 // 15
    assert lines[1] == "GRPO: 15/100 steps, about 1 min 25 s left  reward 0.500"
    assert lines[-1] == "GRPO: done, 100 steps in 1 min 40 s"
    assert all(character.isprintable() for line in lines for character in line)


def test_progress_of_a_resumed_stage_counts_its_own_pace():
    """Steps done before the resume do not make the rest look faster."""
    clock = Clock()
    with Progress(stream=io.StringIO(), clock=clock).stage("GRPO", 100, done=80) as stage:
        assert stage.seconds_left() is None
        clock.now += 20.0
        stage.advance(10)
        assert stage.seconds_left() == pytest.approx(20.0)


def test_progress_when_steps_are_reached_then_it_never_counts_back():
    """40, then 30 again, then 90 of 100; the line of the last step is that of the end."""
    stream, clock = io.StringIO(), Clock()
    with Progress(stream=stream, clock=clock).stage("GRPO", 100) as stage:
        for step, done in ((40, 40), (30, 40), (90, 90), (100, 100)):
            clock.now += 20.0
            stage.reach(step)
            assert stage.done == done
    shown = [line.partition(",")[0] for line in stream.getvalue().splitlines()]
    assert shown == ["GRPO: 100 steps", "GRPO: 40/100 steps", "GRPO: 90/100 steps", "GRPO: done"]


def test_progress_when_a_stage_ends_early_then_its_last_line_says_where():
    """An interrupted stage returns in order, and is not done for that."""
    stream = io.StringIO()
    with Progress(stream=stream).stage("GRPO", 100) as stage:
        stage.advance(3)
    assert stream.getvalue().splitlines()[-1] == "GRPO: stopped at 3/100 steps"


def test_progress_when_quiet_shows_warnings_only():
    """Quiet leaves warnings and what is said always."""
    stream = io.StringIO()
    progress = Progress(stream=stream, quiet=True)
    with progress.stage("GRPO", 2) as stage:
        stage.advance()
    progress.say("hello")
    progress.show_evaluation("step 50", measure(all=0.5))
    progress.warn("clipped")
    progress.say("everything is in runs/x", always=True)
    assert stream.getvalue().splitlines() == ["warning: clipped", "everything is in runs/x"]


def test_evaluation_table_in_a_log_has_changes_with_arrows_beyond_the_interval():
    """An arrow stands where the mean left the other's interval, and only there."""
    stream = io.StringIO()
    Progress(stream=stream).show_evaluation(
        "step 100",
        measure(all=0.50, push=0.30),
        previous=measure(all=0.48, push=0.31),
        baseline=measure(all=0.30, push=0.40),
    )
    text = stream.getvalue()
    line = text.splitlines()[2]
    assert line.split()[:7] == ["all", "0.500", "0.450", "to", "0.550", "40", "+0.020"]
    # Welch's t(78) is 1.9908, the error sqrt(2 * 0.2^2 / 40) = 0.04472: half the width is 0.0890.
    assert line.endswith("+0.020 (-0.069 to +0.109)  +0.200 (+0.111 to +0.289) ↑")
    assert text.splitlines()[3].endswith("-0.100 (-0.189 to -0.011) ↓")


def test_evaluation_table_when_there_is_one_task_then_it_is_told_once():
    """The mean over all tasks would be the same line again."""
    stream = io.StringIO()
    Progress(stream=stream).show_evaluation("step 100", measure(all=0.50, push=0.50))
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["step", "task", "push"]


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["log", "terminal"])
def test_evaluation_table_when_functions_are_told_then_they_stand_below_the_tasks(stream):
    """Each with mean, interval and n; changes are those of tasks."""
    Progress(stream=stream).show_evaluation(
        "step 100", measure(all=0.50, push=0.30), previous=measure(all=0.48), functions=measure(form=0.91)
    )
    line = next(line for line in stream.getvalue().splitlines() if "form" in line)
    assert line.split() == ["form", "0.910", "0.860", "to", "0.960", "40"]


@pytest.mark.parametrize(
    ("low", "high", "arrow"),
    [(-0.01, 0.21, ""), (0.01, 0.19, " ↑"), (-0.19, -0.01, " ↓"), (None, None, ""), (0.0, 0.2, ""), (-0.2, 0.0, "")],
)
def test_change_when_pairs_are_known_then_the_arrow_is_that_of_their_interval(low, high, arrow):
    """A mean beyond the other's interval is not a rise where the paired change is undecided: so says the decision."""
    before, after = Estimate(0.4, 40, 0.2, 0.35, 0.45), Estimate(0.5, 40, 0.2, 0.45, 0.55)
    ends = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
    assert format_change(before, after, Estimate(0.1, 40, 0.3, low, high)) == f"+0.100{ends}{arrow}"


def test_evaluation_when_it_has_a_note_then_the_title_says_it():
    """Beside the title in a log, below the table on a terminal; risen is green there and fallen red."""
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        Progress(stream=stream).show_evaluation("step 1", measure(all=0.5), note="20 rows")
    assert log.getvalue().splitlines()[0] == "step 1: 20 rows" and "20 rows" in terminal.getvalue()
    assert [_style_of(cell) for cell in ("+0.100 ↑", "-0.100 ↓", "+0.100", "")] == ["green", "red", "", ""]


def test_evaluation_of_a_task_that_is_new_or_unscored_shows_a_dash():
    """Nothing to compare with, and nothing scored, are not a crash."""
    assert format_change(None, Estimate(0.5, 3, 0.1, 0.4, 0.6)) == "-"
    stream = io.StringIO()
    nothing = {"all": Estimate(None, 0, None, None, None)}
    Progress(stream=stream).show_evaluation("step 1", nothing, previous={}, baseline=nothing)
    assert stream.getvalue().splitlines()[-1].split() == ["all", "-", "-", "0", "-", "-"]


def test_progress_on_a_terminal_draws_and_cleans_up():
    """Nested bars end with the cursor shown again, also when the stage fails; names are not markup."""
    stream = Terminal()
    progress = Progress(stream=stream)
    with pytest.raises(RuntimeError), progress.stage("GRPO [bold]", 5) as stage:
        stage.advance(reward=0.5)
        with progress.stage("evaluation", 2, unit="rows") as inner:
            inner.advance(2)
        progress.show_evaluation("step [1]", measure(all=0.5), baseline=measure(all=0.2))
        raise RuntimeError
    text = stream.getvalue()
    assert "GRPO [bold]: stopped at 1/5 steps" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "step [1]" in text


def test_say_with_control_codes_shows_them_harmless():
    """A quoted completion cannot move the cursor or clear the screen."""
    stream = io.StringIO()
    Progress(stream=stream).warn("bad \x1b[2J text\x07")
    assert "\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()


def test_say_on_a_stream_without_arrows_does_not_fail():
    """An ASCII log gets a replacement, not a crash."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Progress(stream=stream).say("+0.1 ↑ ação")
    stream.flush()
    assert raw.getvalue() == b"+0.1 ? a??o\n"


@pytest.mark.parametrize(
    ("seconds", "said"), [(8.4, "8 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (59.7, "1 min 00 s")]
)
def test_seconds_are_said_as_people_do(seconds, said):
    """Seconds, minutes and hours."""
    assert format_seconds(seconds) == said
