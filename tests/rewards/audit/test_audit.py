"""The audit: what wastes a run is an error, what spoils its meaning a warning, and good rows bring neither."""

from __future__ import annotations

import json
import statistics
from typing import Any, ClassVar

import pytest

from rewards.__main__ import main
from rewards.audit.audit import audit_rows, classify_reference, say_gold
from rewards.audit.probes import make_answers
from rewards.decorator import as_function, reward
from rewards.functions.field_f1 import FieldF1
from rewards.functions.json_valid import JsonValid
from rewards.host.scoring import RewardHost
from rewards.host.weighted import WeightedFunction
from rewards.types import Completion, Example, RewardFunction, Score

CITIES = ("Belém", "Natal", "Recife", "Manaus", "Cuiabá", "Vitória", "Palmas", "Macapá")


class Constant(RewardFunction):
    """The same for everything."""

    name: ClassVar[str] = "constant"
    version: ClassVar[str] = "1"
    value: float = 1.0

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(self.value)


class Style(Constant):
    """The same for everything, but says that it does not judge content."""

    name: ClassVar[str] = "style"
    judges_content: ClassVar[bool] = False


class Exact(RewardFunction):
    """1 for the reference; fails on an empty text."""

    name: ClassVar[str] = "exact"
    version: ClassVar[str] = "1"

    def __call__(self, example: Example, completion: Completion) -> Score:
        if not completion.text:
            raise IndexError("no letters")
        return Score(float(completion.text == example.reference))


def row(n: int, task: str = "t", **changes: Any) -> Example:
    """A row whose reference follows from its prompt."""
    city = CITIES[n % len(CITIES)]
    fields = {"city": city, "weight": n * 1.5, "fragile": n % 2 == 0, **changes}
    prompt = (
        f"Envie o pacote {n} de {str(n * 1.5).replace('.', ',')} kg para {city}, protocolo {'abcdefghij'[n % 10] * 9}"
    )
    return Example(f"{task}-{n}", task, [{"role": "user", "content": prompt}], json.dumps(fields))


def audit(train: list[Example], held_out: list[Example] = (), host: RewardHost | None = None) -> dict[str, Any]:
    return audit_rows(host or RewardHost([FieldF1()]), train, held_out).to_json()


def test_audit_when_rows_and_rewards_are_sound_then_passes_without_a_warning():
    """Nothing to learn to ignore."""
    found = audit([row(n) for n in range(40)], [row(n, "t") for n in range(100, 150)])
    assert found["passed"] and found["warnings"] == [] and found["errors"] == []
    assert found["strictness"]["t"] == {"strict": 90, "repaired": 0, "literal": 0, "unreadable": 0}
    assert found["probes"]["t"]["gold"] == 1.0 and found["probes"]["t"]["spread"] > 0.2
    assert json.loads(json.dumps(found)) == found


def test_audit_when_a_reference_misses_the_maximum_then_fails_and_counts():
    """Five rows are named, the rest counted."""
    found = audit([row(n) for n in range(8)], host=RewardHost([Constant(value=0.5)]))
    assert not found["passed"] and len(found["gold_failures"]) == 8
    gold = [line for line in found["errors"] if line.startswith("gold self-test")]
    assert len(gold) == 6 and gold[-1] == "gold self-test: constant: 3 more references fail"


def test_audit_when_a_reward_says_the_same_of_everything_then_fails():
    """A metric that never changes is an alarm about the scorer."""
    found = audit([row(n) for n in range(8)], host=RewardHost([Constant(), FieldF1()]))
    assert [line for line in found["errors"] if "constant" in line] == [
        "reward 'constant' is 1.0000 for right answers, for wrong ones and for none: a metric that never changes is a "
        "broken scorer; fix it or leave it out"
    ]


def test_audit_when_only_style_is_constant_then_warns_and_passes():
    """A limit that no answer of the audit passes may still bind a policy."""
    found = audit([row(n) for n in range(8)], host=RewardHost([Style(), FieldF1()]))
    assert found["passed"] and [line.split(" is ")[0] for line in found["warnings"] if "style" in line] == [
        "reward 'style'"
    ]


class Labels(RewardFunction):
    """Compares with the column `label`, which only some tasks have; else everything is right."""

    name: ClassVar[str] = "labels"
    version: ClassVar[str] = "1"

    def problems(self, example: Example) -> list[str]:
        return ["label: missing"] if example.task == "without" else []

    def __call__(self, example: Example, completion: Completion) -> Score:
        assert example.task != "without"
        return Score(float(example.task != "t" or completion.text == example.reference))


def test_audit_when_a_reward_is_constant_in_one_task_then_names_the_task():
    """Beside another function it dilutes the reward and says nothing."""
    rows = [row(n, task) for n in range(8) for task in ("t", "u")]
    found = audit(rows, host=RewardHost([WeightedFunction(Labels(), 0.1), FieldF1()]))
    assert found["passed"]
    assert [line.partition(" for right")[0] for line in found["warnings"]] == ["task u: reward 'labels' is 1.0000"]


def test_audit_when_rows_are_unfit_then_says_so_once():
    """What is wrong with the row is not told again as a fault of the function."""
    found = audit([row(n, "without") for n in range(4)], host=RewardHost([Labels()]))
    assert len(found["errors"]) == 4 and all("label: missing" in line for line in found["errors"])
    assert found["warnings"] == [] and found["probes"] == {}


def test_audit_when_all_that_a_task_earns_is_constant_then_fails():
    """Every group would have zero spread."""
    found = audit([row(n) for n in range(8)], host=RewardHost([Style()]))
    assert any(
        line.startswith("task t: the reward is 1.0000 for right answers, for wrong ones") for line in found["errors"]
    )


def test_audit_when_another_rows_answer_is_as_good_then_warns():
    """A reward for form alone can be earned without reading."""
    found = audit([row(n) for n in range(8)], host=RewardHost([JsonValid()]))
    assert found["passed"] and any("another row's answer earns as much" in line for line in found["warnings"])


def test_audit_when_a_reward_fails_on_wrong_answers_then_says_so():
    """What a policy will write must not raise."""
    found = audit([row(n) for n in range(8)], host=RewardHost([Exact()]))
    (line,) = [line for line in found["warnings"] if "exact" in line]
    assert "failed on 8 of the audit's wrong answers (IndexError: no letters)" in line


def test_audit_when_references_are_python_literals_then_says_how_many():
    """The finding that cost another project a training run: no gold answer was strict JSON."""
    rows = [
        Example(str(n), "t", [{"role": "user", "content": "?"}], repr({"a": True, "n": n}) if n < 30 else '{"a": true}')
        for n in range(40)
    ]
    found = audit(rows, host=RewardHost([Constant()]))
    assert found["strictness"]["t"]["literal"] == 30
    assert any("30 of 40 references are not strict JSON (30 literal)" in line for line in found["warnings"])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1}', "strict"),
        ("{'a': True}", "literal"),
        ('{"a": 4,5}', "repaired"),
        ('{"a": 1,}', "literal"),
        ("nada", "unreadable"),
        ("42", "unreadable"),
        ("{" * 5000, "unreadable"),
    ],
)
def test_classify_reference_when_written_by_hand_then_names_its_kind(text, kind):
    """Strict first, Python next, what a reader makes of it last; a trailing comma is Python too."""
    assert classify_reference(text) == kind


def test_audit_when_a_field_is_made_up_then_it_is_left_out_of_the_reward_and_told():
    """No policy can guess an identifier: the function that has the option ignores it from now on."""
    rows = [row(n, id=f"urn:pacote:{n * 7919:07d}") for n in range(20)]
    host = RewardHost([FieldF1(), JsonValid()])
    found = audit(rows, host=host)
    assert found["masked"] == {"field_f1": ["id"]} and found["underivable_fields"] == {"t": {"id": 1.0}}
    assert host.functions[0].function.ignore_fields == ("id",)
    assert any("ignore_fields: [id]" in line for line in found["warnings"])
    wrong_id = Completion(rows[0].reference.replace("urn", "arn"))
    assert host.score([(rows[0], wrong_id)])[0].outcomes[0].value == 1.0


def test_audit_when_a_row_has_nothing_but_made_up_fields_then_they_stay_and_are_told():
    """What the audit does by itself must not make a row unfit."""
    rows = [row(n, id=f"urn:pacote:{n * 7919:07d}") for n in range(20)]
    only = Example("only", "t", rows[0].prompt, json.dumps({"id": "urn:pacote:0000001"}))
    found = audit([*rows, only])
    assert found["masked"] == {} and found["passed"]
    assert any("id (100%)" in line for line in found["warnings"])


def test_audit_when_the_user_ignores_the_field_already_then_there_is_nothing_to_tell():
    """Saying so yourself ends the warning."""
    rows = [row(n, id=f"urn:pacote:{n * 7919:07d}") for n in range(20)]
    found = audit(rows, host=RewardHost([FieldF1(ignore_fields=("id",))]))
    assert found["masked"] == {} and found["warnings"] == []


def test_audit_when_a_value_may_be_known_then_it_is_kept_and_told():
    """An answer that is not in the prompt may be what is asked for: it is never taken out of the reward."""
    rows = [row(n, capital=f"Vila {'abcdefghijklmnopqrstuvwxyz'[n]}{n}") for n in range(20)]
    host = RewardHost([FieldF1()])
    found = audit(rows, host=host)
    assert found["masked"] == {} and host.functions[0].function.ignore_fields == ()
    assert any("capital (100%)" in line for line in found["warnings"])


def test_audit_when_held_out_rows_stand_in_training_then_names_a_pair():
    """Scores would measure memory."""
    train = [row(n) for n in range(40)]
    twin = Example("twin", "t", [{"role": "user", "content": f"{train[3].prompt[0]['content']}!"}], train[3].reference)
    found = audit(train, [twin, *(row(n) for n in range(100, 150))])
    assert found["near_duplicates"]["0.95"] == {"held_out": 1, "same_answer": 1}
    assert found["near_duplicate_rows"][0]["held_out"] == "twin" and found["near_duplicate_rows"][0]["train"] == "t-3"
    assert any("'twin' and 't-3'" in line for line in found["warnings"])


def test_audit_when_a_task_has_no_reward_or_no_training_then_says_so():
    """A task without a reward is an error, one that is only held out a warning."""
    host = RewardHost([FieldF1()])
    object.__setattr__(host.functions[0], "tasks", ("t",))
    found = audit([row(n) for n in range(8)], [row(n, "u") for n in range(40)], host)
    assert found["errors"] == ["task u: no reward function applies to it; add one to rewards.functions"]
    assert found["held_out_only_tasks"] == ["u"] and any("no training row" in line for line in found["warnings"])


def test_audit_when_made_then_counts_nothing_against_the_run():
    """The host's tallies stay empty."""
    host = RewardHost([FieldF1()])
    audit([row(n) for n in range(8)], host=host)
    assert host.report()["field_f1"]["values"] == 0


def test_make_answers_when_the_reference_is_json_then_half_of_its_leaves_change():
    """Every second leaf is another row's."""
    answers = dict(make_answers([row(0), row(1)], 0))
    assert json.loads(answers["changed"]) == {"city": "Natal", "weight": 0.0, "fragile": False}
    assert answers["other"] == row(1).reference and answers["empty"] == ""


def test_audit_command_when_given_files_then_prints_json_and_exits_by_the_verdict(capsys, tmp_path):
    """0 and 2, and the rewards are chosen by the rows."""
    path = tmp_path / "rows.jsonl"
    rows = [row(n) for n in range(40)]
    path.write_text(
        "".join(
            json.dumps({"id": r.id, "task": r.task, "prompt": r.prompt, "reference": r.reference}) + "\n" for r in rows
        )
    )
    assert main(["audit", "--data", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reward_versions"].keys() == {"field_f1"}
    assert main(["audit", "--data", str(path), "--reward", "push"]) == 2
    assert "a run would be wasted" in capsys.readouterr().out


def test_audit_command_when_pretty_then_a_table_and_below_it_what_was_found(capsys, tmp_path):
    """Fields that do not follow are named, and the last line is the verdict."""
    rows = [row(n, id=f"urn:pacote:{n * 7919:07d}") for n in range(40)]
    lines = ({"id": r.id, "task": r.task, "prompt": r.prompt, "reference": r.reference} for r in rows)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["audit", "--data", str(path), "--held-out", str(path)]) == 0
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("derivability, t") and line.endswith("not in the prompt: id 100%") for line in shown)
    assert "near duplicates       look  40 at 0.90, 40 at 0.95, 40 at 0.98, of 40 held-out rows" in shown
    assert sum(line.startswith("warning: ") for line in shown) == 2 and shown[-1] == "audit passed"


def test_audit_command_when_options_do_not_go_together_then_says_so(capsys):
    """Options of files mean nothing to a configuration."""
    assert main(["audit", "--config", "v4_1.yaml", "--reward", "push", "--held-out", "x"]) == 2
    assert capsys.readouterr().err == "error: --held-out, --reward: goes with --data; a configuration names its own\n"


def test_audit_when_no_row_has_a_reference_then_fails():
    """Nothing can be checked then, whatever the rewards say of such rows."""
    rows = [Example(str(number), "any", [{"role": "user", "content": "p"}], None) for number in range(3)]
    with RewardHost([WeightedFunction(JsonValid())]) as host:
        found = audit_rows(host, rows)
    assert not found.passed and any("no row has a reference" in line for line in found.errors)


class Unruly(Style):
    """One written for another trainer: its right answers are out of its range."""

    name: ClassVar[str] = "unruly"
    said: str = "returned 2"

    def __call__(self, example: Example, completion: Completion) -> Score:
        if completion.text == example.reference:
            raise ValueError(self.said)
        return Score(0.0 if completion.text else 0.1)


def test_function_that_judges_no_content_when_it_fails_on_right_answers_then_the_run_is_stopped():
    """Its best completions would have no value at all; a server that is not there is told of and stops nothing."""
    rows = [row(n) for n in range(8)]
    with RewardHost([Unruly()]) as host:
        found = audit_rows(host, rows)
    assert found.errors[0] == "reward 'unruly' failed on 8 right answers (ValueError: returned 2)"

    class Away(Unruly):
        name: ClassVar[str] = "away"

        def __call__(self, example: Example, completion: Completion) -> Score:
            error = OSError("no route")
            error.kind = "network"  # type: ignore[attr-defined]
            raise error

    with RewardHost([Exact(), Away()]) as host:
        found = audit_rows(host, rows)
    assert not found.errors
    assert "reward 'away' failed on 4 right answers (network: no route)" in found.warnings


def test_gold_self_test_when_a_function_judges_no_content_then_nobody_says_that_it_passed():
    """Only those that were held to the references are named beside them."""
    rows = [row(n) for n in range(8)]
    with RewardHost([FieldF1(), Style()]) as host:
        said = say_gold(audit_rows(host, rows).facts)
    assert said == f"all 8 reference answers earn full reward (field_f1 {FieldF1.version}); not held to them: style 1"
    with RewardHost([Style()]) as host:
        assert "no function is held to its reference answers (style 1)" in say_gold(audit_rows(host, rows).facts)


def test_strictness_when_answers_are_calls_as_programs_write_them_then_they_are_not_taken_for_json():
    """`[weather(city="Porto")]` is no JSON that went wrong, and json.dumps would not mend it."""
    rows = [Example(str(number), "calls", [], f'[weather(city="Porto", day={number})]') for number in range(40)]
    with RewardHost([WeightedFunction(Constant(), 1.0)]) as host:
        found = audit_rows(host, train=rows, held_out=[])
    assert not any("strict JSON" in line for line in found.warnings) and found.facts["strictness"] == {}


def test_audit_when_a_reward_compares_within_a_batch_then_says_that_its_numbers_cannot_be_compared():
    """The longest answer of the batch earns 1: of right answers alone, and of one beside wrong ones, that is another."""

    @reward("longest", batch=True, judges_content=False)
    def longest(texts):
        most = max(map(len, texts))
        return [float(len(text) == most) for text in texts]

    rows = [row(n) for n in range(40)]
    found = audit(rows, host=RewardHost([as_function(longest), FieldF1()]))
    said = [line for line in found["warnings"] if line.startswith("reward 'longest'")]
    assert len(said) == 1 and "1.00 alone and 0.00 beside wrong ones" in said[0] and "cannot be compared" in said[0]

    @reward("ranked", batch=True)
    def ranked(texts):
        return [at / len(texts) for at, _ in enumerate(texts)]

    failed = audit(rows, host=RewardHost([as_function(ranked)]))
    assert not failed["passed"] and "set judges_content = False" in failed["errors"][0]


def test_audit_when_a_reward_fails_on_one_completion_alone_then_says_so_once():
    """It would fail in the last batch of an evaluation."""

    @reward("spread", batch=True, judges_content=False)
    def spread(texts):
        return [statistics.stdev([len(each) for each in texts]) * 0 + 1.0 for _ in texts]

    found = audit([row(n) for n in range(40)], host=RewardHost([as_function(spread), FieldF1()]))
    said = [line for line in found["warnings"] if "fails on it alone" in line]
    assert len(said) == 1 and "'spread'" in said[0] and "(StatisticsError: " in said[0]


def test_audit_when_a_reward_of_batches_judges_each_by_itself_then_nothing_is_said():
    """Seeing several at once is no comparison."""

    @reward("own", batch=True, judges_content=False)
    def own(texts):
        return [min(1.0, len(text) / 200) for text in texts]

    assert [
        line
        for line in audit([row(n) for n in range(40)], host=RewardHost([as_function(own)]))["warnings"]
        if "compares the completions" in line
    ] == []
