"""When an export is proved, and when not: answers, tokens and means that can be worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import pytest

torch = pytest.importorskip("torch")

from grpo.export import proof  # noqa: E402
from grpo.export.proof import ExportProof, Judged, compare, judge, show  # noqa: E402
from rewards.statistics.estimates import ALL, NOTHING, Estimate  # noqa: E402
from rewards.types import Completion, Example  # noqa: E402

ROWS = [Example(f"row-{number}", "t", [], None, {}) for number in range(4)]


def judged(texts, mean=0.5, low=0.4, high=0.6, source="here"):
    estimates = {} if mean is None else {ALL: Estimate(mean, 4, 0.1, low, high)}
    return Judged(source, [Completion(text) for text in texts], estimates)


OWN = judged("abcd")


# -- the proof --------------------------------------------------------------------------------------------------------------


def test_answers_when_two_of_four_differ_then_their_rows_are_named_and_the_mean_decides():
    """Half of the answers; inside the run's interval that is no fault."""
    found = compare(ExportProof("f", "r"), ROWS, judged("aXcY"), OWN)
    assert (found.rows, found.equal_answers, found.others) == (4, 0.5, ["row-1", "row-3"])
    assert found.passed is True and found.problems == [] and found.own_source == "here"
    assert (found.mean.mean, found.own.mean) == (0.5, 0.5)
    empty = compare(ExportProof("f", "r"), [], judged(""), judged(""))
    assert (empty.rows, empty.equal_answers, empty.others, empty.passed) == (0, None, [], True)


@pytest.mark.parametrize(
    ("mean", "own", "passes"),
    [
        (0.4, {}, True),
        (0.6, {}, True),
        (0.6 + 1e-12, {}, True),  # rounding of a sum in another order
        (0.4 - 1e-12, {}, True),
        (0.6001, {}, False),
        (0.3999, {}, False),
        (0.39, {}, False),
        (0.61, {}, False),
        (0.5, {"low": None, "high": None}, True),  # every answer earned the same
        (0.51, {"low": None, "high": None}, False),
        (0.45, {"low": 0.4, "high": None}, True),
        (0.55, {"low": 0.4, "high": None}, False),
        (0.3, {"mean": None}, True),  # nothing to hold it against
        (None, {}, False),
        (None, {"mean": None}, True),
    ],
    ids=str,
)
def test_mean_when_it_leaves_the_runs_own_interval_then_the_export_is_not_the_policy(mean, own, passes):
    """Where nothing could be scored that is a fault too, unless the run itself could score nothing."""
    found = compare(ExportProof("f.gguf", "r"), ROWS, judged("abcd", mean), judged("abcd", **own))
    assert found.passed is passes
    if not passes and mean is None:
        assert found.problems == ["f.gguf: none of its 4 answers could be scored"]
    elif not passes:
        assert found.problems[0].startswith(f"f.gguf: its mean over 4 rows, {mean:.3f}")
        assert found.problems[0].endswith("100.0% of the answers are equal")


def test_proof_when_it_is_described_then_only_what_was_shown_is_said():
    """For people in a line, for programs as an object."""
    assert ExportProof("f", None, note="no runtime").describe() == "f: not proved (no runtime)"
    assert ExportProof("f", None).passed is None and ExportProof("f", "r", problems=["x"]).passed is False
    assert ExportProof("f", "r").describe() == "f in r: loaded"
    whole = ExportProof("f", "r", 4, OWN.whole, OWN.whole, "now", 0.75, ["row-1"], 200, 3, "a note")
    assert whole.describe() == (
        "f in r: 4 rows, mean 0.500 (0.400 to 0.600); the run's own 0.500 (0.400 to 0.600) (now); 75.0% equal answers; "
        "token ids equal on 200 texts; template byte-equal on 3 conversations; a note"
    )
    assert whole.to_json() == {
        "file": "f", "runtime": "r", "passed": True, "rows": 4,
        "reward": {"mean": 0.5, "n": 4, "low": 0.4, "high": 0.6}, "own": {"mean": 0.5, "n": 4, "low": 0.4, "high": 0.6},
        "own_source": "now", "equal_answers": 0.75, "different_rows": ["row-1"], "equal_token_texts": 200,
        "equal_conversations": 3, "note": "a note", "problems": [],
    }  # fmt: skip
    assert [show(each) for each in (NOTHING, Estimate(0.5, 1, None, None, None), Estimate(0.5, 1, None, 0.25, None))] == [
        "none", "0.500", "0.500"
    ]  # fmt: skip


def test_judge_when_nobody_scores_then_there_are_answers_and_no_estimates():
    """With a host the mean is that of its rewards, task by task."""
    answers = [Completion("a"), Completion("b")]
    assert judge("x", ROWS[:2], answers, None).estimates == {} and judge("x", ROWS[:2], answers, None).whole is NOTHING
    host = SimpleNamespace(
        score=lambda pairs: [SimpleNamespace(example=e, reward=float(c.text == "a")) for e, c in pairs]
    )
    assert judge("x", ROWS[:2], answers, host).whole.mean == 0.5
    with pytest.raises(ValueError, match="zip"):
        judge("x", ROWS, answers, host)


class Runtime:
    """llama.cpp as far as the proof asks: words are tokens, and a template of its own."""

    def __init__(self, tokens=lambda text: text.split(), render=lambda messages: messages[0]["content"]):
        self.tokenize, self.render = tokens, render


def make_prompts(start=None):
    tokenizer = SimpleNamespace(
        all_special_tokens=["<end>"], bos_token=start, encode=lambda text, add_special_tokens: text.split()
    )
    return SimpleNamespace(tokenizer=tokenizer, render=lambda messages, reply: (start or "") + messages[0]["content"])


ASKED = [
    Example(str(n), f"task {n % 2}", [{"role": "user", "content": f"question {n}"}], f"answer {n}", {})
    for n in range(12)
]


def test_tokens_when_one_text_is_cut_otherwise_then_the_line_shows_both(monkeypatch):
    """Texts of the run itself are never excused; of the others those with combining marks are counted."""
    monkeypatch.setattr(proof, "make_texts", lambda special, said: [*special, "a b", "क\u094d ख", *said])
    found = ExportProof("f", "r")
    proof._compare_tokens(found, Runtime(), make_prompts(), ASKED[:2])
    assert (found.texts, found.problems, found.note) == (5, [], "")
    other = Runtime(lambda text: list(text) if "\u094d" in text else text.split())
    found = ExportProof("f", "r")
    proof._compare_tokens(found, other, make_prompts(), ASKED[:2])
    assert found.texts == 4 and found.problems == []
    assert found.note == "1 texts of scripts with combining marks become other tokens in llama.cpp"
    marked = Example("x", "t", [{"role": "user", "content": "-"}], "क\u094d ख", {})
    found = ExportProof("f", "r")
    proof._compare_tokens(found, other, make_prompts(), [marked])
    assert found.problems[0].startswith("f: llama.cpp cuts 'क्") and "--format safetensors" in found.problems[0]
    found = ExportProof("f", "r")
    proof._compare_tokens(found, Runtime(lambda text: ["x"]), make_prompts(), ASKED[:2])
    assert found.texts == 0 and found.problems == [
        "f: llama.cpp cuts '<end>' into 1 tokens ['x'], the run's tokenizer into 1 ['<end>']; export it with --format safetensors"
    ]


def test_texts_when_a_row_has_no_reference_then_its_question_is_one_of_them(monkeypatch):
    """The last message of a row is what was asked."""
    asked = []
    monkeypatch.setattr(proof, "make_texts", lambda special, said: asked.append((special, said)) or [])
    row = Example("x", "t", [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], None, {})
    proof._compare_tokens(ExportProof("f", "r"), Runtime(), make_prompts(), [row, ASKED[0]])
    assert asked == [(["<end>"], ["q", "answer 0"])]


def test_template_when_it_is_rendered_otherwise_then_the_place_is_named():
    """One row of each task and the first eight; the start token is llama.cpp's to write where it adds it."""
    found = ExportProof("f", "r")
    proof._compare_template(found, Runtime(), make_prompts(), ASKED, False)
    assert found.conversations == 2 + 8 and found.problems == []
    starts = make_prompts("<s>")
    for adds, problems in ((True, 0), (False, 1)):
        found = ExportProof("f", "r")
        proof._compare_template(found, Runtime(), starts, ASKED, adds)
        assert len(found.problems) == problems
    found = ExportProof("f", "r")
    proof._compare_template(
        found, Runtime(render=lambda m: m[0]["content"].replace("tion", "TION")), make_prompts(), ASKED, True
    )
    assert "renders row 1 otherwise from character 4 on: 'TION 1' for 'tion 1'" in found.problems[0]
    assert len(found.problems) == 1 and found.conversations == 0
    found = ExportProof("f", "r")
    proof._compare_template(found, Runtime(render=lambda m: m[0]["content"] + "!"), make_prompts(), ASKED, True)
    assert "from character 10 on: '!' for ''" in found.problems[0]  # the one ends where the other goes on


# -- a file in llama.cpp ----------------------------------------------------------------------------------------------------


class Loaded(Runtime):
    """llama.cpp with a file: notes what it was started with and what it was asked."""

    said: ClassVar[list] = []

    def __init__(self, path, **settings):
        super().__init__()
        self.said.append((path.name, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.said.append("closed")

    def answer(self, ids, limit, advance):
        advance(len(ids))
        self.said.append((ids, limit))
        return [SimpleNamespace(tokens=[len(each)], truncated=len(each) > 1) for each in ids]


@pytest.fixture
def loaded(monkeypatch):
    """What a made-up llama.cpp was asked; it answers with the number of a prompt's tokens."""
    monkeypatch.setattr(Loaded, "said", [])
    monkeypatch.setattr(proof, "LlamaCpp", Loaded)
    monkeypatch.setattr(proof, "name_runtime", lambda: "llama.cpp b1")
    monkeypatch.setattr(proof, "make_texts", lambda special, said: ["a b"])
    prompts = make_prompts()
    prompts.prompt_ids = lambda prompt: list(range(int(prompt[0]["content"][-1]) + 1))
    prompts.completion = lambda tokens, truncated: Completion(str(tokens[0]), truncated)
    return prompts


def test_file_when_it_is_loaded_then_it_has_room_for_prompt_and_answer_and_answers_exactly(loaded, tmp_path):
    """The longest prompt of 3 tokens, 600 of an answer and 8 more; answers are held against the run's own."""
    done = []
    own = Judged("own", [Completion("1"), Completion("X"), Completion("3")], {})
    found = proof.prove_gguf(
        tmp_path / "x.gguf", loaded, ASKED[:3], None, own, limit=600, adds_start=False, threads=2, advance=done.append
    )
    assert Loaded.said == [
        ("x.gguf", {"context": 611, "slots": 8, "threads": 2, "exact": True}), ([[0], [0, 1], [0, 1, 2]], 600), "closed"
    ]  # fmt: skip
    assert (found.file, found.runtime, found.rows, found.others, done) == ("x.gguf", "llama.cpp b1", 3, ["1"], [3])
    assert (found.texts, found.passed) == (1, True) and found.conversations == 2 + 3
    Loaded.said.clear()
    proof.prove_gguf(tmp_path / "x.gguf", loaded, [], None, None, limit=4, adds_start=False)
    assert Loaded.said[0][1] == {"context": 512, "slots": 8, "threads": None, "exact": True}
    proof.prove_gguf(tmp_path / "x.gguf", loaded, [], None, None, limit=500, adds_start=False)
    assert Loaded.said[-2][1]["context"] == 64 + 500 + 8


def test_file_when_its_tokens_are_others_or_nothing_is_to_be_held_against_it_then_it_answers_nothing(
    loaded, tmp_path, monkeypatch
):
    """A fault of the tokenizer is said at once; without own answers the tokens and the template are the proof."""
    found = proof.prove_gguf(tmp_path / "x", loaded, ASKED[:2], None, None, limit=4, adds_start=False)
    assert found.passed and found.rows == 0 and found.conversations == 2 + 2 and Loaded.said[-1] == "closed"
    loaded.tokenizer.encode = lambda text, add_special_tokens: [7]
    own = Judged("own", [Completion("1"), Completion("2")], {})
    found = proof.prove_gguf(tmp_path / "x", loaded, ASKED[:2], None, own, limit=4, adds_start=False)
    assert found.passed is False and found.rows == 0 and len(Loaded.said) == 4
    loaded.tokenizer.encode = lambda text, add_special_tokens: text.split()
    scored = []
    host = SimpleNamespace(
        score=lambda pairs: scored.extend(pairs) or [SimpleNamespace(example=e, reward=0.5) for e, _ in pairs]
    )
    found = proof.prove_gguf(tmp_path / "x", loaded, ASKED[:2], host, own, limit=4, adds_start=False)
    assert found.mean.mean == 0.5 and [(c.text, c.truncated) for _, c in scored] == [("1", False), ("2", True)]
