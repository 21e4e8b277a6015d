"""The drawn tree as an outline, stop by stop, against the trees' own YAML and against small ones made up here."""

from __future__ import annotations

import pytest

from grpo.report.tree import lay_out


def outline(tree):
    """A line a stop: its questions (in brackets where they were not asked), the answer, and its exits, `>` the one taken."""
    lines = []
    for stop in tree.stops:
        asked = " + ".join(node["name"] for node in stop.nodes) or f"({' + '.join(stop.unasked)})"
        exits = [f"{'> ' if each.taken else ''}{each.answer}: {each.scenario} {each.text}" for each in stop.exits]
        lines.append((asked, stop.answer, exits))
    return lines


def walk(*path, **decision):
    """The tree of a decision whose path is (name, outcome) pairs."""
    nodes = [{"name": name, "outcome": outcome} for name, outcome in path]
    return lay_out({"path": nodes, **decision})


SCALE = [
    "yes: A the rung is exhausted, scale up",
    "within noise: ? undecided: cannot distinguish scaling up from staying",
]
PLATEAU = [
    "yes: B stuck without valid JSON, restart from Base, unless schedule says otherwise",
    "within noise: ? undecided: cannot distinguish a plateau (B) from a slow climb",
]
FLOOR = [
    "yes: C fix the weakest task, unless improving says otherwise",
    "within noise: ? undecided, unless improving says otherwise",
]
NONE = "otherwise: ? undecided: none of the scenarios applies"
PLATEAUS = "plateau + plateau mean + plateau extraction"
STUCK = (("plateau", "yes"), ("plateau mean", "yes"), ("plateau extraction", "yes"))
OPEN = (("plateau", "no"), ("plateau mean", "yes"), ("plateau extraction", "yes"))


def test_outline_when_the_first_question_decides_then_the_rest_of_the_tree_follows_unasked():
    """Every exit of the recipe's tree is on the page, and one of them is taken."""
    assert outline(walk(("scale", "yes"))) == [
        ("scale", "yes", ["> " + SCALE[0], SCALE[1]]),
        (f"({PLATEAUS})", "not asked", PLATEAU),
        ("(floor)", "not asked", FLOOR),
        ("(improving)", "not asked", ["yes: ? undecided, unless plateau says otherwise", NONE]),
    ]
    assert outline(walk(("scale", "within noise")))[0][2] == [SCALE[0], "> " + SCALE[1]]


def test_outline_when_a_later_question_decides_then_the_way_there_has_no_exit():
    """B after a schedule that explains nothing; the way on that was not taken is told as what it would ask."""
    tree = walk(("scale", "no"), *STUCK, ("schedule", "no"))
    assert tree.ended and outline(tree) == [
        ("scale", "no", SCALE),
        (PLATEAUS, "yes", [PLATEAU[1], "otherwise: C fix the weakest task, unless improving says otherwise, unless floor says otherwise"]),
        ("schedule", "no", ["yes: ? undecided: the plateau was caused by the schedule", "> otherwise: B stuck without valid JSON, restart from Base"]),
    ]  # fmt: skip


def test_outline_when_tasks_were_asked_for_then_they_stand_at_one_stop():
    """One yes of two is yes; exits that say the same are one."""
    tree = walk(("scale", "no"), *OPEN, ("floor: a", "no"), ("floor: b", "yes"), ("improving", "yes"))
    assert outline(tree)[2:] == [
        ("floor: a + floor: b", "yes", ["either way: ? undecided, unless improving says otherwise"]),
        ("improving", "yes", ["> yes: C fix the weakest task", "within noise: ? undecided: cannot distinguish improvement from standstill", NONE]),
    ]  # fmt: skip


@pytest.mark.parametrize("floors", [[("floors", "not judged")], [("floor: a", "no"), ("floor: b", "not judged")], []])
def test_outline_when_an_end_turns_on_a_question_answered_before_then_it_is_not_called_unasked(floors):
    """The plateau was asked at the second stop: rising or flat, the run is told the same, at the question that ended it."""
    tree = walk(("scale", "no"), *OPEN, *floors, ("improving", "yes"))
    asked, answer, exits = outline(tree)[-1]
    assert (asked, answer, tree.ended) == ("improving", "yes", True)
    assert exits == ["> yes: ? undecided: none of the scenarios applies", NONE]
    assert [stop.unasked for stop in tree.stops] == [()] * len(tree.stops)


def test_outline_of_ones_own_rows_when_a_task_lost_then_its_exit_is_taken():
    """What decides comes first; what was asked and decided nothing comes last."""
    tree = walk(("zero-shot", "yes"), ("gain", "yes"), ("kept: a", "yes"), ("kept: b", "no"), tree="own")
    assert tree.ended and outline(tree) == [
        ("gain", "yes", ["no: B no gain", "within noise: ? undecided: within the noise"]),
        ("kept: a + kept: b", "no", ["> no: C a task got worse"]),
        ("zero-shot", "yes", []),
    ]
    target = walk(("gain", "yes"), ("kept: a", "yes"), ("target", "no"), tree="own")
    assert outline(target)[0] == ("target", "no", ["yes: C the target is reached, but a task got worse, unless kept says otherwise", "within noise: ? undecided: too close to the target to tell"])  # fmt: skip
    assert not target.ended, "the end turns on the target once more, and the decision is drawn in its place"


def test_outline_of_a_rehearsal_when_an_early_answer_ends_it_then_the_later_ones_are_still_shown():
    """They were given; only one exit is taken."""
    for decision in ({"rehearsal": True}, {"tree": "rehearsal"}):
        tree = walk(("gain", "no"), ("clear of zero", "within noise"), ("not fallen: a", "no"), **decision)
        assert outline(tree) == [
            ("clear of zero", "within noise", ["no: B it did not learn", "> within noise: ? undecided: within the noise"]),
            ("not fallen: a", "no", ["no: C a task got worse"]),
            ("gain", "no", ["no: ? undecided: it learnt, but less than required", "within noise: ? undecided: it learnt, about as much as required"]),
        ]  # fmt: skip
    assert outline(walk(("gain", "no"), tree="recipe", rehearsal=True)) == [("gain", "no", [])]


RULES = {
    "tree": {"ask": ["a"], "yes": "good", "otherwise": {"ask": ["b"], "no": "bad", "otherwise": "open"}},
    "conclusions": {
        "good": {"scenario": "A", "said": "well done"},
        "bad": {"scenario": "D", "said": "odd letter"},
        "open": {"scenario": "B", "title": "Undecided: {task} of it"},
    },
}


def small(*path, rules=RULES):
    return lay_out({"path": [{"name": name, "outcome": outcome} for name, outcome in path]}, rules)


def test_outline_of_a_small_tree_when_its_ends_lack_words_then_they_are_named_by_what_they_have():
    """A letter that is no scenario is `?`; a title with holes is not shown; an end without anything is its own name."""
    assert outline(small(("a", "no"), ("b", "no"))) == [
        ("a", "no", ["yes: A well done"]),
        ("b", "no", ["> no: ? odd letter", "otherwise: ? undecided"]),
    ]
    titled = {**RULES, "conclusions": {"open": {"title": "Undecided: no more"}}}
    tree = small(("a", "no"), ("b", "yes"), rules=titled)
    assert outline(tree) == [
        ("a", "no", ["yes: ? undecided: good"]),
        ("b", "yes", ["no: ? undecided: bad", "> otherwise: ? undecided: no more"]),
    ]
    for bare in ({"tree": RULES["tree"]}, {"tree": RULES["tree"], "conclusions": {"good": "text"}}):
        assert outline(small(("a", "yes"), rules=bare))[0] == ("a", "yes", ["> yes: ? undecided: good"])


def test_outline_of_a_small_tree_when_exits_say_the_same_then_they_are_one_unless_one_was_taken():
    """`either way`; two ends that differ in their scenario do not say the same."""
    same = {
        "tree": {"ask": ["a"], "yes": {"ask": ["b"], "yes": "x", "no": "y"}, "otherwise": "z"},
        "conclusions": {name: {"scenario": "A", "said": "s"} for name in "xy"},
    }
    assert outline(small(("a", "yes"), ("b", "yes"), rules=same))[1] == ("b", "yes", ["> yes: A s", "no: A s"])
    assert outline(small(("a", "no"), rules=same)) == [("a", "no", ["yes: A s, unless b says otherwise", "> otherwise: ? undecided: z"])]  # fmt: skip
    further = {**same, "tree": {"ask": ["a"], "yes": "x", "otherwise": {"ask": ["b"], "yes": "x", "no": "y"}}}
    assert outline(small(("a", "yes"), rules=further))[1] == ("(b)", "not asked", ["either way: A s"])
    further["conclusions"] = {**same["conclusions"], "y": {"scenario": "B", "said": "s"}}
    assert outline(small(("a", "yes"), rules=further))[1] == ("(b)", "not asked", ["yes: A s", "no: B s"])


def test_outline_when_the_path_fits_no_tree_then_it_is_the_path_question_by_question():
    """Each with its own answer; nothing of a tree is claimed."""
    path = [("x: a", "yes"), ("x: b", "no"), ("y", "yes")]
    assert outline(small(*path)) == [("x: a + x: b", "no", []), ("y", "yes", [])] == outline(small(*path, rules={}))
    assert outline(small(("a", "no"), ("c", "yes"))) == [("a", "no", []), ("c", "yes", [])]
    assert lay_out({"path": [{"name": "a", "outcome": "yes"}, "odd", 7]}, RULES).ended
    assert outline(walk(("scale", "yes"), tree="unheard of")) == [("scale", "yes", [])]
    assert lay_out({"path": ["odd"]}, RULES).stops == () == lay_out({"path": None}, RULES).stops
