"""Reading Portuguese text without its accents: folding, words, numbers as people write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

# Digits are ASCII only: \d would take every script's, which float() then reads as numbers.
NUMBER = re.compile(r"(?<![0-9A-Za-z_])[0-9]+(?:[.,][0-9]+)*", re.ASCII)
_LONGEST_PROMPT = 50_000
_WORD = re.compile(r"[^\W_]+")
_SPACES = re.compile(r"\s+")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+\Z")


def compose(text: str) -> str:
    """The text with each letter and its accents as one character (NFC): the same text may be written either way."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """Lower case, no accents, single spaces: how texts are compared when only their words matter."""
    text = text.casefold()
    if not text.isascii():
        text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return _SPACES.sub(" ", text).strip()


@lru_cache(maxsize=4096)
def fold_label(text: str) -> str:
    """`fold` for the short words of an enumeration, remembered."""
    return fold(text)


def list_words(text: str) -> tuple[str, ...]:
    """A word list written as prose."""
    return tuple(text.split())


def split_words(folded: str) -> list[str]:
    """The runs of characters and digits of a folded text."""
    return _WORD.findall(folded)


def read_number(written: str) -> float | None:
    """The value of a plain number in Portuguese or programming notation: `1.234,56`, `1.234`, `4,5`, `4.5`; else None.

    A point before exactly three last digits groups thousands, as Portuguese writes them.
    """
    whole, comma, decimals = written.partition(",")
    if comma:
        if "," in decimals or "." in decimals:
            return None
        whole = whole.replace(".", "") if _THOUSANDS.match(whole) else whole
        written = f"{whole}.{decimals}"
    elif _THOUSANDS.match(written):
        written = written.replace(".", "")
    try:
        return float(written) if len(written) <= 40 else None
    except ValueError:
        return None


def numbers_in(text: str) -> list[float]:
    """Every number of a text in order; a date or a code gives its digits group by group."""
    values = []
    for match in NUMBER.finditer(text):
        value = read_number(match[0])
        if value is not None:
            values.append(value)
            continue
        values.extend(float(group) for group in re.split(r"[.,]", match[0]) if 0 < len(group) <= 40)
    return values


def share_echoed(words: Sequence[str], prompt: Sequence[str], size: int = 4) -> float:
    """Share of a text's words that stand in runs of at least `size` words copied from the prompt, or all of a shorter text."""
    size = min(size, len(words))
    if not size or len(prompt) < size:
        return 0.0
    known = {tuple(prompt[at : at + size]) for at in range(len(prompt) - size + 1)}
    copied = bytearray(len(words))
    for at in range(len(words) - size + 1):
        if tuple(words[at : at + size]) in known:
            copied[at : at + size] = b"\1" * size
    return sum(copied) / len(words)


def judge_echo(words: Sequence[str], prompt: Iterable[Mapping[str, str]], free: float = 0.8) -> float:
    """1 while at most `free` of a text is copied from the prompt's messages in runs of four words, 0 when all of it is."""
    written = " ".join(str(turn.get("content", "")) for turn in prompt)
    return min(1.0, (1.0 - share_echoed(words, _prompt_words(written[:_LONGEST_PROMPT]))) / (1.0 - free))


@lru_cache(maxsize=1024)
def _prompt_words(text: str) -> tuple[str, ...]:
    return tuple(split_words(fold(text)))
