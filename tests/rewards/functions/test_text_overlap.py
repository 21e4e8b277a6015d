"""ROUGE, BLEU and their kin, against published implementations and by hand."""

from __future__ import annotations

import json
import math
import random
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.functions.text_overlap import TextOverlap, measure_overlap
from rewards.testing import check_reward
from rewards.text.bleu import corpus_bleu, sentence_bleu, tokenize_13a
from rewards.text.rouge import _common_places, rouge_l, rouge_lsum
from rewards.types import Completion, Example
from tests.timing import at_most

REFERENCE = "O gato dorme no sofá da sala, e o cão late no quintal."
EXAMPLE = Example("1", "any", [], REFERENCE)
CASES = [json.loads(line) for line in (Path(__file__).parent / "overlap_cases.jsonl").read_text().splitlines()]
texts = st.text("ab ,.-12'&ção\n(", max_size=40) | st.lists(
    st.sampled_from(["um", "dois", "três", "1,5", "-", "fim.", "(sim)", "\n"]), max_size=12
).map(" ".join)


@pytest.mark.parametrize("measure", ["rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "jaccard", "exact"])
def test_text_overlap_when_checked_by_the_kit_then_keeps_the_contract(measure):
    """Whichever measure is paid."""
    check_reward(
        TextOverlap(measure=measure),
        EXAMPLE,
        right=[f" {REFERENCE}\n", f"<think>talvez</think>{REFERENCE}"],
        partial=[] if measure == "exact" else ["O gato dorme no sofá da sala", f"{REFERENCE} {'E mais. ' * 9}"],
        wrong=["", "?!", "Nada disso aconteceu ontem"],
        hostile_size=200_000 if measure != "rougeLsum" else 1_000_000,
    )


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_measure_overlap_when_compared_with_published_figures_then_agrees(case):
    """Figures of rouge_score 0.1.2 without stemming, and of sacrebleu 2.6.0's sentence BLEU."""
    found = measure_overlap(case["reference"], case["given"])
    for name in ("rouge1", "rouge2", "rougeL", "rougeLsum", "bleu"):
        assert found[name] == pytest.approx(min(case[name], 1.0), abs=1e-8), name


@settings(max_examples=200, deadline=None)
@given(texts.filter(str.strip), texts)
def test_sentence_bleu_when_sacrebleu_is_there_then_agrees_with_it(reference, given_text):
    """Tokens, smoothing and brevity are those of its defaults."""
    sacrebleu = pytest.importorskip("sacrebleu")
    wanted = sacrebleu.sentence_bleu(given_text, [reference]).score / 100
    assert sentence_bleu(tokenize_13a(reference), tokenize_13a(given_text)) == pytest.approx(min(1.0, wanted), abs=1e-9)


def test_measure_overlap_when_computed_by_hand_then_is_what_the_definitions_say():
    """Two of three words, one of two pairs; three of four words in order; two of four distinct words shared."""
    found = measure_overlap("a b c", "a b d")
    assert (found["rouge1"], found["rouge2"], found["rougeL"]) == pytest.approx((2 / 3, 1 / 2, 2 / 3))
    assert found["jaccard"] == 0.5 and found["exact"] == 0.0
    assert measure_overlap("a b c d", "a c b d")["rougeL"] == 0.75
    # Three words of three right, no run of four: 3/3 * 2/2 * 1/1, and a brevity of exp(1 - 4/3).
    assert measure_overlap("a b c d", "a b c")["bleu"] == pytest.approx(math.exp(-1 / 3))


def test_rouge_lsum_when_lines_are_exchanged_then_is_whole_where_rouge_l_is_not():
    """Each line of the reference finds its own."""
    one, two = ["a", "b", "c"], ["d", "e"]
    assert rouge_lsum([one, two], [two, one]) == 1.0
    assert rouge_l(one + two, two + one) == 0.6


def test_text_overlap_when_words_are_repeated_then_stuffing_does_not_pay():
    """Repeated words count as often as the reference has them."""
    stuffed = "gato sofá sala cão quintal " * 20
    for measure in ("rouge1", "rougeL", "bleu"):
        assert TextOverlap(measure=measure)(EXAMPLE, Completion(stuffed)).value < 0.25


def test_text_overlap_when_words_are_unicode_then_accents_do_not_cut_them():
    """As published, `ação` is `a` and `o`; as an option it is a word."""
    assert measure_overlap("ação", "a o")["rouge1"] == pytest.approx(2 * 1 * 1 / 2)
    assert measure_overlap("ação", "a o", "unicode")["rouge1"] == 0.0


def test_text_overlap_when_texts_are_huge_then_is_quick():
    """A megabyte of one-word lines, the worst case of ROUGE-Lsum, against a reference of 200 lines."""
    reference = "\n".join(f"w{n} a b" for n in range(200))
    with at_most(2.0):
        measure_overlap(reference, "\n".join(f"w{n} b" for n in range(150_000)))


@settings(max_examples=100, deadline=None)
@given(texts, texts)
def test_measure_overlap_when_texts_are_any_then_every_measure_is_a_share(reference, given_text):
    """And each is whole for the text itself, where it has enough words."""
    assert all(0.0 <= value <= 1.0 for value in measure_overlap(reference, given_text).values())
    itself = measure_overlap(reference, reference)
    assert itself["exact"] == 1.0 and all(value in (0.0, 1.0) or value > 1 - 1e-9 for value in itself.values())


def test_problems_when_the_reference_has_too_few_words_then_says_so():
    """A reference that cannot reach the maximum would be a silent ceiling."""
    for measure, reference in (("rouge2", "oi"), ("rouge1", "?!"), ("rougeL", ""), ("bleu", " ")):
        assert TextOverlap(measure=measure).problems(Example("1", "any", [], reference)), measure
    assert TextOverlap(measure="bleu").problems(Example("1", "any", [], "oi")) == []


def test_corpus_bleu_when_sacrebleu_is_there_then_agrees_with_it():
    """Over drawn corpora, with empty texts and without long matches too."""
    sacrebleu = pytest.importorskip("sacrebleu")
    draw = random.Random(3)
    words = ["o", "a", "pedido", "chegou", "atrasado", ",", "mas", "veio", "certo", ".", "12,5", "%"]
    for size in (1, 2, 5, 20):
        for _ in range(10):
            right = [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(size)]
            said = [
                text if draw.random() < 0.3 else " ".join(draw.choices(words, k=draw.randint(0, 12))) for text in right
            ]
            wanted = sacrebleu.corpus_bleu(said, [right]).score / 100
            pairs = [(tokenize_13a(one), tokenize_13a(other)) for one, other in zip(right, said, strict=True)]
            assert corpus_bleu(pairs) == pytest.approx(wanted, abs=1e-9)
            rows = [(Example("1", "any", [], one), Completion(other)) for one, other in zip(right, said, strict=True)]
            assert TextOverlap().figures(rows) == {"corpus_bleu": pytest.approx(wanted, abs=1e-9)}


def test_rouge_lsum_when_there_are_many_lines_then_is_the_union_over_all_pairs():
    """Beyond ten thousand pairs of lines too, as the definition says, computed here without any shortcut."""
    draw = random.Random(4)
    words = [f"w{number}" for number in range(60)]
    right = [draw.choices(words, k=draw.randint(1, 7)) for _ in range(130)]
    said = [line if draw.random() < 0.2 else draw.choices(words, k=draw.randint(1, 7)) for line in right]
    left, other = Counter(word for line in right for word in line), Counter(word for line in said for word in line)
    expected, given_words, hits = left.total(), other.total(), 0
    for line in right:
        for place in sorted(set().union(*(_common_places(line, candidate) for candidate in said))):
            if left[line[place]] > 0 and other[line[place]] > 0:
                left[line[place]] -= 1
                other[line[place]] -= 1
                hits += 1
    assert len(right) * len(said) > 10_000
    assert rouge_lsum(right, said) == pytest.approx(2 * hits / (expected + given_words))


def test_text_overlap_when_accents_are_written_apart_then_are_the_same_text():
    """NFC and NFD spell one text."""
    text = "A entrega não chegou à porta às três"
    apart = unicodedata.normalize("NFD", text)
    assert apart != text
    for words in ("ascii", "unicode"):
        assert measure_overlap(text, apart, words) == measure_overlap(text, text, words)
