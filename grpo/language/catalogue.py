"""English words as those of another language: whole texts, and texts with something in them, found by what they say.

The key of an entry is the English text as the program writes it, `{0}` where it puts something in; what is not in the
catalogue stays English. Files of a language lie in a folder of its name, one a topic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

ENGLISH, PORTUGUESE = "en", "pt-BR"
LANGUAGES = {ENGLISH: "English", PORTUGUESE: "Português"}

_HOLE = re.compile(r"\{(\w*)\}")
_NUMBER = re.compile(r"[+\-−]?\d[\d,]*(?:\.\d+)?(?:e[+\-]?\d+)?")
_KEPT = 8192
_DEEPEST = 3


class Catalogue:
    """The entries of one language; English has none and gives back what it is given."""

    def __init__(self, language: str = ENGLISH, entries: dict[str, str] | None = None):
        self.language = language if language in LANGUAGES else ENGLISH
        entries = _read(self.language) if entries is None else entries
        self._whole = {key: said for key, said in entries.items() if not _HOLE.search(key)}
        self._templates = {key: said for key, said in entries.items() if _HOLE.search(key)}
        self._patterns: list[tuple[str, re.Pattern[str], list[str], str, bool]] = [
            (_longest_piece(key), *_compile(key), said, "; " in key)
            for key, said in self._templates.items()
            # Holes with names are a template's own, which fills them itself: read in a text they would fit too much.
            if all(hole.isdigit() for hole in _HOLE.findall(key))
        ]
        # Those that say most are tried first: a short pattern fits where a longer one is meant.
        self._patterns.sort(
            key=lambda entry: -sum(not character.isspace() for character in _HOLE.sub("", entry[1].pattern))
        )
        self.translate: Callable[[str], str] = lru_cache(_KEPT)(self._translate)

    def say(self, key: str, **values: Any) -> str:
        """A text of a template: `say("step {step} of {steps}", step=3, steps=9)`; numbers are to be formatted before."""
        said = self._templates.get(key) or self._whole.get(key) or key
        return said.format(**values) if values else said

    def knows(self, key: str) -> bool:
        """Whether this very text is in the catalogue."""
        return self.language == ENGLISH or key in self._whole or key in self._templates

    def number(self, text: str) -> str:
        """A number as it is written in the language, from one as a program writes it."""
        if self.language != PORTUGUESE:
            return text
        return text.translate({ord(","): ".", ord("."): ","})

    def covers(self, text: str) -> bool:
        """Whether nothing of a text would stay English."""
        return self.language == ENGLISH or self._find(text) is not None

    def _translate(self, text: str) -> str:
        if self.language == ENGLISH or not text:
            return text
        found = self._find(text)
        return text if found is None else found

    def _find(self, text: str, depth: int = 0) -> str | None:
        """The whole text in the language; None where a part of it is not known."""
        if _NUMBER.fullmatch(text):
            return self.number(text)
        if (said := self._whole.get(text)) is not None:
            return said
        # A text of several is taken apart before a pattern of one of them may take them all into its hole.
        several = "; " in text
        return (
            self._match(text, depth, several)
            or (self._split(text, "; ", depth) if several else None)
            or (self._match(text, depth, False) if several else None)
            or next(
                (found for mark in (". ", ", ") if mark in text and (found := self._split(text, mark, depth))), None
            )
        )

    def _match(self, text: str, depth: int, several: bool) -> str | None:
        """By the pattern that says most of those that fit; of several texts only by one that is made of several too."""
        for piece, pattern, names, said, parted in self._patterns:
            if (parted or not several) and piece in text and (match := pattern.fullmatch(text)) is not None:
                values = {name: self._fill(value, depth) for name, value in zip(names, match.groups(), strict=True)}
                return said.format(
                    *values.values(), **{name: value for name, value in values.items() if not name.isdigit()}
                )
        return None

    def _split(self, text: str, mark: str, depth: int) -> str | None:
        if depth >= _DEEPEST:
            return None
        parts = [self._find(part, depth + 1) for part in text.split(mark)]
        return mark.join(part for part in parts if part is not None) if all(parts) else None

    def _fill(self, value: str, depth: int) -> str:
        if _NUMBER.fullmatch(value):
            return self.number(value)
        if depth >= _DEEPEST:
            return value
        return self._find(value, depth + 1) or _numbers_of(value, self.number)


@lru_cache(maxsize=4)
def read_catalogue(language: str) -> Catalogue:
    """The catalogue of a language; English's for one that there is none of."""
    return Catalogue(language)


def choose_language(wanted: str) -> str:
    """The language of a browser's list (Accept-Language) that there is; English where there is none."""
    for part in wanted.split(","):
        name = part.split(";")[0].strip().lower()
        if name.startswith("pt"):
            return PORTUGUESE
        if name.startswith("en"):
            return ENGLISH
    return ENGLISH


def _read(language: str) -> dict[str, str]:
    folder = Path(__file__).parent / language.replace("-", "_")
    entries: dict[str, str] = {}
    for key, said in _read_files(folder):
        entries[key] = said
    return entries


def _read_files(folder: Path) -> Iterator[tuple[str, str]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(folder.glob("*.yaml")):
        for key, said in (yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {}).items():
            yield str(key), str(said)


def _compile(key: str) -> tuple[re.Pattern[str], list[str]]:
    names: list[str] = []
    pieces: list[str] = []
    end = 0
    for hole in _HOLE.finditer(key):
        pieces += [re.escape(key[end : hole.start()]), "(.+?)"]
        names.append(hole[1] or str(len(names)))
        end = hole.end()
    pieces.append(re.escape(key[end:]))
    return re.compile("".join(pieces), re.DOTALL), names


def _longest_piece(key: str) -> str:
    return max(_HOLE.sub("\0", key).split("\0"), key=len)


def _numbers_of(text: str, write: Callable[[str], str]) -> str:
    """The text with the numbers that stand alone in it written again; what is part of a name is left."""
    return re.sub(r"(?<![\w.,/\-])[+\-−]?\d+\.\d+(?![\w.,/])", lambda match: write(match[0]), text)
