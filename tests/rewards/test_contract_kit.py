"""The contract kit must find each broken promise."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest
from pydantic import field_serializer

from rewards.testing import check_reward, hostile_completions
from rewards.types import Completion, Example, RewardFunction, Score

EXAMPLE = Example("1", "any", [], "sim", {"seen": []})


class Fair(RewardFunction):
    """1 for yes, a half for maybe."""

    name: ClassVar[str] = "fair"
    version: ClassVar[str] = "1"

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score({"sim": 1.0, "talvez": 0.5}.get(completion.text, 0.0))


class Raising(Fair):
    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(1.0 if completion.text == "sim" else 0.0 * len(completion.text.encode()))


class Slow(Fair):
    def __call__(self, example: Example, completion: Completion) -> Score:
        if len(completion.text) > 900:
            time.sleep(0.2)
        return super().__call__(example, completion)


class Remembering(Fair):
    def __call__(self, example: Example, completion: Completion) -> Score:
        example.columns["seen"].append(completion.text)
        return super().__call__(example, completion)


_calls: list[int] = []


class Moody(Fair):
    def __call__(self, example: Example, completion: Completion) -> Score:
        _calls.append(1)
        return Score(1.0 if completion.text == "sim" else 0.5 / len(_calls))


class TooMuch(Fair):
    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(1.0 if completion.text == "sim" else 0.0, "", {"part": float(len(completion.text))})


class Forgetting(Fair):
    option: Any = 1

    @field_serializer("option")
    def _lose(self, value: Any) -> Any:
        return 2


class Strict(Fair):
    def problems(self, example: Example) -> list[str]:
        return ["never good"]


def check(function: RewardFunction, **more: Any) -> None:
    texts = {"right": "sim", "partial": "talvez", "wrong": ["não", ""], **more}
    check_reward(function, EXAMPLE, **texts, hostile_size=1000, seconds=0.1)


def test_check_reward_when_the_function_is_fair_then_passes():
    """A function that keeps the contract passes."""
    check(Fair())


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (Raising(), "raised UnicodeEncodeError"),
        (Slow(), "took"),
        (Remembering(), "changed the example"),
        (Moody(), "differ"),
        (TooMuch(), "part 'part'"),
        (Forgetting(), "options do not survive"),
        (Strict(), "never good"),
    ],
)
def test_check_reward_when_a_promise_is_broken_then_names_it(function, word):
    """Each broken promise has its own message."""
    with pytest.raises(AssertionError, match=word):
        check(function, partial=())


def test_check_reward_when_the_order_is_wrong_then_shows_both_texts():
    """Partial must stand between right and wrong."""
    with pytest.raises(AssertionError, match="'talvez' must earn more than 'talvez'"):
        check(Fair(), wrong=["talvez"])
    with pytest.raises(AssertionError, match=r"earns 0\.5000, not the maximum"):
        check(Fair(), right="talvez", partial=())


def test_hostile_completions_when_made_then_are_many_different_and_as_long_as_asked():
    """No text twice; the longest reach the size."""
    texts = dict(hostile_completions(1000))
    assert len(texts) == len(set(texts)) > 30
    assert max(len(text) for name, text in texts.items() if name.startswith("1000 letters")) == 1000
