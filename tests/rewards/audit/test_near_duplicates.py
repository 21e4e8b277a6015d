"""Near duplicates: exact against brute force, and what is compared."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.audit import near_duplicates
from rewards.audit.near_duplicates import (
    THRESHOLDS,
    count_near_duplicates,
    find_near_duplicates,
    fold_prompt,
    group_near_duplicates,
)
from rewards.types import Example

LETTERS = 5


def example_of(id: str, text: str, reference: str = "x", system: str = "") -> Example:
    turns = [{"role": "system", "content": system}] if system else []
    return Example(id, "t", [*turns, {"role": "user", "content": text}], reference)


def similarity(one: str, other: str) -> float:
    first, second = (
        {text[at : at + LETTERS] for at in range(max(1, len(text) - LETTERS + 1))} for text in (one, other)
    )
    return len(first & second) / len(first | second)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text("ab c", min_size=0, max_size=60), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 59), st.sampled_from("abz")), max_size=8),
)
def test_find_when_texts_are_altered_then_finds_what_brute_force_finds(texts, edits):
    """The index with its prefixes leaves out nothing that is similar enough, and adds nothing."""
    train = [example_of(f"t{at}", text) for at, text in enumerate(texts)]
    held = []
    for at, (which, place, letter) in enumerate(edits):
        text = texts[which % len(texts)]
        held.append(example_of(f"h{at}", text[:place] + letter + text[place + 1 :]))
    best = {
        one.id: max(similarity(fold_prompt(one), fold_prompt(other)) for other in train) if train else 0.0
        for one in held
    }
    found = {pair.held_out.id: pair.similarity for pair in find_near_duplicates(train, held)}
    assert found == {id: value for id, value in best.items() if value >= THRESHOLDS[0]}


def test_find_when_only_case_accents_spaces_and_the_system_turn_differ_then_is_one():
    """What a person would call the same prompt."""
    (pair,) = find_near_duplicates(
        [example_of("t", "Qual é a  Região do pedido?", system="sql")], [example_of("h", "qual e a regiao do pedido?")]
    )
    assert pair.similarity == 1.0 and pair.same_answer


def test_find_when_a_twin_with_the_same_answer_is_less_similar_then_it_is_named():
    """The leak matters more than the likeness."""
    text = (
        "o pedido chegou atrasado e a caixa veio amassada, mas o produto funciona muito bem até agora, obrigado a todos"
    )
    train = [example_of("other answer", text, "a"), example_of("same answer", text + " vocês", "b")]
    (pair,) = find_near_duplicates(train, [example_of("h", text, "b")])
    assert pair.train.id == "same answer" and 0.9 <= pair.similarity < 1.0


def test_count_when_pairs_differ_in_likeness_then_counts_by_threshold():
    """A pair counts at every threshold that it reaches."""
    text = (
        "a entrega atrasou três dias e ninguém respondeu as mensagens que mandei pelo aplicativo da loja ontem à noite"
    )
    found = find_near_duplicates([example_of("t", text)], [example_of("h", text), example_of("g", text + " ok", "y")])
    counts = count_near_duplicates(found)
    assert counts["0.90"] == {"held_out": 2, "same_answer": 1}
    assert counts["0.98"] == {"held_out": 1, "same_answer": 1}


def test_find_when_texts_are_pages_then_one_changed_word_is_near():
    """Long texts are compared by runs of words."""
    words = [f"palavra{number}" for number in range(400)]
    changed = [*words[:200], "outra", *words[201:]]
    (pair,) = find_near_duplicates([example_of("t", " ".join(words))], [example_of("h", " ".join(changed))])
    assert 0.97 < pair.similarity < 1.0


def test_find_when_a_side_is_empty_then_finds_nothing():
    """A run without held-out rows is not a crash."""
    assert find_near_duplicates([], []) == []
    assert find_near_duplicates([example_of("t", "a")], []) == []


@pytest.mark.parametrize("threshold", [*THRESHOLDS, 1.0])
@pytest.mark.parametrize("with_numpy", [True, False])
def test_group_when_texts_are_of_one_mould_then_groups_are_those_of_brute_force(monkeypatch, threshold, with_numpy):
    """Groups are exact, and called by their first text, with NumPy and without it."""
    if not with_numpy:
        monkeypatch.setattr(near_duplicates, "_tabulate", lambda sketches, bits: None)
    drawn = random.Random(5)
    words = ["entrega", "produto", "prazo", "loja", "caixa", "preco", "cor", "peso"]
    texts = []
    for _ in range(60):
        text = [drawn.choice(words) for _ in range(drawn.choice([0, 1, 8, 8, 8, 40]))]
        texts += [" ".join(text)] * drawn.randint(1, 2)
        for _ in range(drawn.randint(0, 2)):
            if text:
                text[drawn.randrange(len(text))] += drawn.choice("xyz")
            texts.append(" ".join(text))
    wanted = list(range(len(texts)))
    for at in range(len(texts)):
        for other in range(at):
            if wanted[at] != wanted[other] and similarity(texts[at], texts[other]) >= threshold - 1e-9:
                low, high = sorted((wanted[at], wanted[other]))
                wanted = [low if name == high else name for name in wanted]
    assert group_near_duplicates([example_of(str(at), text) for at, text in enumerate(texts)], threshold) == wanted


def test_group_when_asked_then_tells_how_far_it_is():
    """A caller with a bar hears of it."""
    heard: list[int] = []
    group_near_duplicates([example_of(str(at), f"texto {at} {at * 7}") for at in range(1200)], 0.9, heard.append)
    assert heard == [0, 500, 1000]
