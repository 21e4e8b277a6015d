"""How completions ended, counted by task and told in a table's cell."""

import io

import pytest

from callbacks.evaluation.endings import TaskEndings, count_endings
from callbacks.progress import Progress
from rewards.statistics.estimates import Estimate

ENDED = [("push", True, False), ("sql_qa", True, True), ("sql_qa", False, False), ("push", False, False)]


def test_endings_when_counted_then_all_stands_first_and_each_task_has_its_own():
    """Four completions: two cut off, one of them in a loop."""
    assert list(count_endings(ENDED).items()) == [
        ("all", TaskEndings(4, 2, 1)),
        ("push", TaskEndings(2, 1, 0)),
        ("sql_qa", TaskEndings(2, 1, 1)),
    ]
    assert count_endings([]) == {}


@pytest.mark.parametrize(
    ("ended", "said"),
    [(TaskEndings(8, 0, 0), "0 %"), (TaskEndings(8, 2, 0), "25 %"), (TaskEndings(4, 2, 1), "50 % (25 % in loops)")],
)
def test_endings_when_told_then_loops_stand_behind_all_that_was_cut_off(ended, said):
    """Loops are a part of what was cut off, and told only where there are any."""
    assert ended.describe() == said


def test_evaluation_table_when_answers_were_cut_off_then_it_has_their_share_a_task():
    """Behind n; a table of answers that all came to their end has no such column."""
    estimates = {name: Estimate(mean, 2, 0.1, 0.1, 0.9) for name, mean in (("all", 0.5), ("push", 0.4), ("x", 0.6))}
    with_cut, without = io.StringIO(), io.StringIO()
    Progress(stream=with_cut).show_evaluation(
        "end", estimates, previous=estimates, functions=estimates, endings=count_endings(ENDED)
    )
    heads, whole, push, other = with_cut.getvalue().splitlines()[1:5]
    assert heads.split()[-4:] == ["cut", "off", "vs", "previous"] and "2  50 % (25 % in loops)  +0.000" in whole
    assert push.split()[6:8] == ["50", "%"] and other.split()[6] == "-"
    Progress(stream=without).show_evaluation("end", estimates, endings={"all": TaskEndings(4, 0, 0)})
    assert "cut off" not in without.getvalue()
