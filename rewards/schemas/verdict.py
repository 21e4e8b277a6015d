"""Valid or not, and whether a schema is one: jsonschema-rs says so, over every draft and in linear time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from rewards.errors import UserError
from rewards.writing.writable import replace_halves_in

DRAFTS = {
    "draft-04": ("http://json-schema.org/draft-04/schema#", 4),
    "draft-06": ("http://json-schema.org/draft-06/schema#", 6),
    "draft-07": ("http://json-schema.org/draft-07/schema#", 7),
    "2019-09": ("https://json-schema.org/draft/2019-09/schema", 2019),
    "2020-12": ("https://json-schema.org/draft/2020-12/schema", 2020),
}
"""The drafts that are read: the URI of each, and a number that orders them."""

SLOW_TEXTS = 2_000
"""Texts and keys that a value may hold where a pattern looks around: those are run step by step, up to a limit each."""

HEAVY_CHARACTERS = 5_000
"""Characters of text that a value may hold where a pattern repeats repetitions, as `(a{1,200}){1,50}` does."""

_BACKTRACKS = 20_000
_PATTERN_BYTES = 64 * 2**20
_LONGEST_INTEGER = 4_000
_DEEPEST_SCHEMA = 300
_URI_CHARACTERS = ":/?#@!$&'()*+,;=%~-._"
_NESTED_REPEATS = re.compile(
    r"\{\d*,?\d{2,}\}[^()]{0,200}\)\s*(?:[+*]|\{\d*,?\d{2,})|[+*][^()]{0,200}\)\s*\{\d*,?\d{2,}"
)
_LISTED_ERRORS = 50
_LISTED_LEAVES = 2_000


class Fault(NamedTuple):
    """What jsonschema-rs finds broken: a JSON pointer into the value, the keyword, and its words."""

    place: str
    keyword: str
    message: str


def find_draft(document: Any) -> int | None:
    """The number of a schema's draft, the newest where it names none; None for one that is not in DRAFTS."""
    identifier = document.get("$schema") if isinstance(document, Mapping) else None
    if identifier is None:
        return 2020
    for name, (_, draft) in DRAFTS.items():
        if isinstance(identifier, str) and name in identifier:
            return draft
    return None


def check_schema(document: Any, name: str) -> list[str]:
    """Every place at which a document is not a schema of its draft, one line each."""
    if not isinstance(document, (Mapping, bool)):
        return [f"{name}: #: {type(document).__name__} is not a schema; write an object, true or false"]
    draft = find_draft(document)
    if draft is None:
        shown = repr(document["$schema"])[:100]  # type: ignore[index]
        return [f"{name}: #/$schema: {shown} is not supported; allowed are {', '.join(DRAFTS)}"]
    try:
        errors = list(islice(_meta_validator(draft).iter_errors(document), _LISTED_ERRORS))
    except (ValueError, RecursionError) as error:
        return [f"{name}: #: cannot be read as a schema ({_one_line(error)})"]
    # Names with spaces or quotation marks in a reference are not URIs, and lead where they say all the same.
    wrong = [error for error in errors if "format" not in error.schema_path[-1:] or error.message.endswith('"regex"')]
    lines = [f"{name}: {point(error.instance_path, '#')}: {_describe(error)}" for error in wrong]
    return list(dict.fromkeys(lines))


def _describe(error: Any) -> str:
    """What is malformed, in the words of a schema's author where that is a common slip."""
    message = _one_line(error.message)
    if error.instance_path and error.instance_path[-1] == "type" and isinstance(error.instance, (str, list)):
        return f"no such type: {error.instance!r}; allowed are array, boolean, integer, null, number, object, string"
    if message.endswith('is not of types "boolean", "object"'):
        return f"{type(error.instance).__name__} is not a schema; write an object, true or false"
    return f"malformed ({message})"


@lru_cache(maxsize=8)
def _meta_validator(draft: int) -> Any:
    import jsonschema_rs

    uri = next(uri for uri, number in DRAFTS.values() if number == draft)
    schema = {"$schema": uri, "$ref": uri}
    return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True, pattern_options=_pattern_options())


def _pattern_options() -> Any:
    import jsonschema_rs

    return jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS, size_limit=_PATTERN_BYTES)


class SchemaVerdict:
    """Valid or not. `formats`: whether `format` is a rule; `shelf`: where other schemas that a reference names may lie.

    Raises UserError for a reference that leads nowhere, or a pattern that is none.
    """

    def __init__(self, document: Any, name: str, formats: bool = False, shelf: Shelf | None = None):
        import jsonschema_rs

        document = _quote_references(document, 0)
        options: dict[str, Any] = {"validate_formats": formats, "offline": True}
        try:
            if shelf is not None:
                options = {"validate_formats": formats, **shelf.options(document)}
                if "registry" in options and not formats:
                    # A meta-schema of its own says itself whether formats are rules.
                    del options["validate_formats"]
            self._validator = jsonschema_rs.validator_for(document, pattern_options=_pattern_options(), **options)
        except jsonschema_rs.ValidationError as error:
            raise UserError(f"{name}: {point(error.instance_path, '#')}: {_one_line(error.message)}") from None
        except jsonschema_rs.ReferencingError as error:
            raise UserError(f"{name}: #: {_one_line(error.message)}") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{name}: #: cannot be read as a schema ({_one_line(error)})") from None

    def is_valid(self, value: Any) -> bool:
        """Whether the value is valid, as jsonschema-rs judges."""
        try:
            return self._validator.is_valid(value)
        except ValueError:
            return self._validator.is_valid(replace_halves_in(value))

    def list_faults(self, value: Any, leaves: int) -> list[Fault]:
        """What is broken: all of it in a value of few leaves, the first of it in a large one."""
        import jsonschema_rs

        value = replace_halves_in(value)
        if leaves <= _LISTED_LEAVES:
            found = list(islice(self._validator.iter_errors(value), _LISTED_ERRORS))
        else:
            found = []
            try:
                self._validator.validate(value)
            except jsonschema_rs.ValidationError as error:
                found = [error]
        return [_read_fault(error) for error in found]


def _read_fault(error: Any) -> Fault:
    keywords = [step for step in error.schema_path if isinstance(step, str)]
    return Fault(point(error.instance_path), keywords[-1] if keywords else "", _one_line(error.message))


def point(path: Any, start: str = "") -> str:
    """A path as a JSON pointer."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return start + "".join(f"/{step}" for step in steps)


def _quote_references(schema: Any, depth: int) -> Any:
    """A schema whose references are URIs: `#/definitions/Page«Item»` is written so by generators, and meant so."""
    if depth > _DEEPEST_SCHEMA:
        return schema
    if isinstance(schema, list):
        return [_quote_references(each, depth + 1) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: quote(value, safe=_URI_CHARACTERS)
        if key in ("$ref", "$id") and isinstance(value, str)
        else value
        if key in ("enum", "const", "default", "examples")
        else _quote_references(value, depth + 1)
        for key, value in schema.items()
    }


class Shelf(NamedTuple):
    """Where schemas that are referred to may lie: beside the file of the schema, or copies of remote ones in a folder.

    `http://host/a/b.json` is `a/b.json` in the folder `remotes`. Nothing outside of the two is opened, and no network.
    """

    file: Path | None = None
    remotes: Path | None = None

    def options(self, document: Any) -> dict[str, Any]:
        """What jsonschema-rs is to be called with."""
        import jsonschema_rs

        options: dict[str, Any] = {"retriever": self.read}
        if self.file is not None:
            options["base_uri"] = self.file.absolute().as_uri()
        identifier = document.get("$schema") if isinstance(document, Mapping) else None
        if isinstance(identifier, str) and identifier not in [uri for uri, _ in DRAFTS.values()] and self.remotes:
            # A meta-schema of its own must be known beforehand.
            options["registry"] = jsonschema_rs.Registry([(identifier, self.read(identifier))], retriever=self.read)
            del options["retriever"]
        return options

    def read(self, uri: str) -> Any:
        parts = urlsplit(uri)
        path = unquote(parts.path)
        if parts.scheme == "file" and self.file is not None:
            return _read_inside(Path(path), self.file.parent)
        if parts.scheme in ("http", "https") and self.remotes is not None:
            return _read_inside(self.remotes / path.lstrip("/"), self.remotes)
        raise ValueError("nothing is read but files beside the schema, and those in the folder `remotes`")


def _read_inside(path: Path, folder: Path) -> Any:
    path = path.resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"{path.name} is not in {folder}")
    return json.loads(path.read_text(encoding="utf-8-sig"))


class Pattern:
    """An ECMA-262 pattern as jsonschema-rs runs it: in linear time, or for a pattern that looks around, up to a limit."""

    __slots__ = ("_validator", "text")

    def __init__(self, text: str):
        self.text = text
        self._validator = _compile_pattern(text)

    def search(self, value: str) -> bool:
        try:
            return self._validator.is_valid(value)
        except ValueError:
            return self._validator.is_valid(replace_halves_in(value))


@lru_cache(maxsize=512)
def _compile_pattern(text: str) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for({"pattern": text}, pattern_options=_pattern_options(), offline=True)


@lru_cache(maxsize=512)
def is_slow(text: str) -> bool:
    """Whether a pattern looks around or back, and is not a regular expression in the strict sense."""
    import jsonschema_rs

    options = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES)
    try:
        jsonschema_rs.validator_for({"pattern": text}, pattern_options=options, offline=True)
    except jsonschema_rs.ValidationError:
        return True
    return False


def is_heavy(text: str) -> bool:
    """Whether a pattern repeats repetitions: linear, but with a factor of thousands."""
    return _NESTED_REPEATS.search(text) is not None


def shorten_integers(value: Any) -> Any:
    """A value in which integers of more than 4,000 digits, which jsonschema-rs misreads, are as long as that.

    The reader of JSON gives those beyond Python's limit as their digits.
    """
    if isinstance(value, dict):
        return {key: shorten_integers(child) for key, child in value.items()}
    if isinstance(value, list):
        return [shorten_integers(child) for child in value]
    if isinstance(value, str) and len(value) > _LONGEST_INTEGER and value.removeprefix("-").isdecimal():
        return -_HUGE if value.startswith("-") else _HUGE
    if type(value) is int and abs(value) > _HUGE:
        return _HUGE if value > 0 else -_HUGE
    return value


_HUGE = 10**_LONGEST_INTEGER


def _one_line(said: object) -> str:
    return " ".join(str(said).split("\n\nFailed validating", 1)[0].split())[:300]
