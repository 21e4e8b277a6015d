"""The Portuguese catalogue: every text of the page and the report is in it, what is put in stays, numbers are written again."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from grpo.language.catalogue import ENGLISH, PORTUGUESE, choose_language, read_catalogue
from tests.timing import at_most

ROOT = Path(__file__).resolve().parents[3]
TEXT = re.compile(r"""_\(\s*"((?:[^"\\]|\\.)+)\"""")


@pytest.fixture(scope="module")
def portuguese():
    return read_catalogue(PORTUGUESE)


@pytest.mark.parametrize("folder", ["grpo/service/templates", "grpo/report/templates"])
def test_templates_when_read_then_every_text_of_theirs_is_in_the_catalogue(folder, portuguese):
    """A text that somebody adds and does not translate is named."""
    said = {text for path in (ROOT / folder).glob("*.j2") for text in TEXT.findall(path.read_text(encoding="utf-8"))}
    assert {text for text in said if not portuguese.knows(text)} == set()


@pytest.mark.parametrize(
    ("english", "said"),
    [
        (
            "The mean went from 0.000 zero-shot to 0.080 after the warm-up to 0.160 at step 4 (+0.080, -0.021 to +0.198)",
            "A média foi de 0,000 sem treino (zero-shot) para 0,080 depois do aquecimento e 0,160 no passo 4 "
            "(+0,080, -0,021 a +0,198)",
        ),
        (
            "The mean went from 0.100 zero-shot to 0.300 at step 9 (+0.200)",
            "A média foi de 0,100 sem treino (zero-shot) para 0,300 no passo 9 (+0,200)",
        ),
        ("Is the mean at the end above that of the warm-up?", "A média no final está acima da do aquecimento?"),
        ("stop at 0.5, mean of 30", "parar em 0,5, média de 30"),
    ],
)
def test_decision_when_said_in_portuguese_then_no_english_is_left_inside(portuguese, english, said):
    """A shorter sentence's pattern would take the rest of a longer one into a hole, and leave it as it is."""
    assert portuguese.translate(english) == said


def test_entries_when_they_have_holes_then_the_translation_fills_the_same(portuguese):
    """No value is lost on the way, and none is asked for that is not there."""
    holes = re.compile(r"\{(\w*)\}")
    wrong = {
        key for key, said in portuguese._templates.items() if sorted(holes.findall(key)) != sorted(holes.findall(said))
    }
    assert wrong == set()


def test_reasons_when_rewards_say_them_then_nearly_all_are_said_in_portuguese(portuguese):
    """Of the golden scores of all reward functions; those that name a place of a document may keep an English end."""
    reasons = set()
    for path in (ROOT / "tests" / "rewards" / "golden").glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            collect(orjson.loads(line), reasons)
    assert len(reasons) > 200
    unknown = {reason for reason in reasons if not portuguese.covers(reason)}
    assert len(unknown) <= 0.02 * len(reasons), sorted(unknown)


def collect(value, reasons):
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "reason" and isinstance(item, str) and item:
                reasons.add(item)
            else:
                collect(item, reasons)
    elif isinstance(value, list):
        for item in value:
            collect(item, reasons)


def test_trees_when_they_ask_and_conclude_then_every_text_is_in_the_catalogue(portuguese):
    """Questions, titles, reasons and actions, as the trees write them with something in their holes."""
    from callbacks.decision.tree import load_tree

    missing = set()
    for name in ("recipe", "rehearsal", "own"):
        tree = load_tree(name)
        texts = [question["text"] for question in tree["questions"].values()]
        for conclusion in tree["conclusions"].values():
            texts += [conclusion[key] for key in ("title", "reason", "action", "said") if key in conclusion]
        for text in texts:
            filled = re.sub(r"\{[^}]*\}", "0.5", re.sub(r"^[ABC]: ", "", text))
            shown = filled[0].upper() + filled[1:]
            if not (portuguese.covers(filled) or portuguese.covers(shown)):
                missing.add(filled)
    assert missing == set()


def test_watch_rules_when_they_speak_then_every_message_is_in_the_catalogue(portuguese):
    """What a rule means and what to do about it, of all that are built in."""
    from callbacks.watch.rules import WatchSection

    messages = {rule.message.strip() for rule in WatchSection().rules.values()}
    assert len(messages) > 10
    assert {message for message in messages if not portuguese.covers(message)} == set()


@pytest.mark.parametrize(
    ("english", "said"),
    [
        ("3 of 5 leaves right, 4 given; read with repairs", "3 de 5 folhas certas, 4 dadas; lido com reparos"),
        ("core 0.42, likeness 0.5", "núcleo 0,42, semelhança 0,5"),
        (
            "The mean went from 0.392 to 0.576 (+0.184): at least 33% up, clear of zero, and no task got worse.",
            "A média foi de 0,392 para 0,576 (+0,184): pelo menos 33% acima, ganho claro, e nenhuma tarefa caiu.",
        ),
        ("Rehearsal: it learnt", "Ensaio: aprendeu"),
        (
            "does not name the product 'fone'; does not name the offer '18%' alone; too many marks, emoji or hashtags, not lively",
            "não cita o produto 'fone'; não cita só a oferta '18%'; pontuação, emoji ou hashtags demais, sem vivacidade",
        ),
        ("wrong: customer, price", "errados: customer, price"),
        ("what nobody has translated", "what nobody has translated"),
        ("", ""),
    ],
)
def test_translation_when_a_text_holds_something_then_it_stays_in_its_place(english, said, portuguese):
    """Names stay, numbers get their comma, unknown texts stay English."""
    assert portuguese.translate(english) == said
    assert read_catalogue(ENGLISH).translate(english) == english


def test_translation_when_a_text_is_hostile_then_it_ends_soon(portuguese):
    """A reason of many kilobytes, made of what patterns are split at, costs no more than reading it a few times."""
    for text in ("; " * 20_000, "a to b (" * 10_000, "The mean went from " * 5_000, "x, " * 30_000 + "{0}"):
        with at_most(1.25):
            portuguese.translate(text)


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("pt-BR,pt;q=0.9,en;q=0.8", PORTUGUESE),
        ("pt", PORTUGUESE),
        ("en-GB,pt", ENGLISH),
        ("de,fr", ENGLISH),
        ("", ENGLISH),
    ],
)
def test_language_when_a_browser_asks_then_the_first_that_there_is_is_taken(wanted, language):
    """English where there is none of its own."""
    assert choose_language(wanted) == language
