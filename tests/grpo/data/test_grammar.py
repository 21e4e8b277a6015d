"""The two sides of the grammar: held-out phrasings, products and names do not occur in training."""

import re
import unicodedata

from grpo.data.shop import families, insights, phrasings, pushes
from grpo.data.shop.vocabulary import FIRST_NAMES, PRODUCTS, QUALIFIERS, SURNAMES

SIDES = {"train", "held_out"}


def find_pairs(value):
    """Every pair of a training and a held-out side, anywhere inside the value."""
    if isinstance(value, families.Family):
        yield {"train": value.train, "held_out": value.held_out}
    elif isinstance(value, dict) and set(value) == SIDES:
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from find_pairs(inner)


def find_texts(value):
    """Every text inside the value."""
    if isinstance(value, str):
        yield value
    else:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from find_texts(inner)


def fold(text: str) -> str:
    """Without case, accents and repeated white space."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    return " ".join("".join(char for char in decomposed if not unicodedata.combining(char)).split())


PAIRS = [
    pair
    for module in (phrasings, families, insights, pushes)
    for value in vars(module).values()
    for pair in find_pairs(value)
]
PHRASINGS = {side: {fold(text) for pair in PAIRS for text in find_texts(pair[side])} for side in SIDES}


def test_phrasings_when_listed_then_both_sides_are_many():
    """The walk over the modules found the grammar."""
    assert len(PAIRS) > 60 and len(PHRASINGS["train"]) > 350 and len(PHRASINGS["held_out"]) > 190


def test_held_out_phrasings_when_searched_in_training_then_none_is_there():
    """No held-out sentence stands in training, not even as a part of a longer one."""
    found = [
        (held_out, train) for held_out in PHRASINGS["held_out"] for train in PHRASINGS["train"] if held_out in train
    ]
    assert found == []


def test_held_out_phrasings_when_split_into_words_then_training_has_them_all():
    """Held-out rows test reading; a word never seen would test guessing."""
    words = {
        side: {word for text in PHRASINGS[side] for word in re.findall(r"\w+", re.sub(r"\{\w+\}", " ", text))}
        for side in SIDES
    }
    assert words["held_out"] - words["train"] == set()


def test_phrasings_of_one_fact_when_compared_then_no_text_states_two_values():
    """A sentence for one complaint, action or answer never serves for another."""
    for choices in (
        phrasings.OPENINGS,
        phrasings.COMPLAINTS,
        phrasings.ACTIONS,
        phrasings.BUYING_AGAIN,
        phrasings.PRAISES,
    ):
        texts = [fold(text) for pair in choices.values() for text in find_texts(pair)]
        assert len(texts) == len(set(texts))


def test_products_and_names_when_compared_then_the_sides_share_no_word():
    """Held-out products share no head word with training; names and qualifiers share nothing."""
    heads = {side: {fold(product.name).split()[0] for product in PRODUCTS[side]} for side in SIDES}
    assert heads["train"] & heads["held_out"] == set()
    for words in (FIRST_NAMES, SURNAMES, QUALIFIERS):
        assert {fold(word) for word in words["train"]} & {fold(word) for word in words["held_out"]} == set()


def test_names_when_compared_with_surnames_then_no_held_out_name_is_a_training_surname():
    """A held-out first name must not have been seen as a surname, nor the other way round."""
    names = {side: {fold(name) for name in FIRST_NAMES[side] + SURNAMES[side]} for side in SIDES}
    assert names["train"] & names["held_out"] == set()


def test_products_when_listed_then_each_is_there_once():
    """A product listed twice would be drawn twice as often."""
    for side in SIDES:
        names = [product.name for product in PRODUCTS[side]]
        assert len(names) == len(set(names))
