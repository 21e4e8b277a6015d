"""Reward for keeping a JSON Schema: the share of its rules that the answer keeps, 1 exactly when it is valid."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from rewards.answers import read_answer
from rewards.errors import UserError
from rewards.hookspecs import hookimpl
from rewards.schemas import Schema, Shelf, compile_text, list_schemas, schema_text
from rewards.schemas.verdict import shorten_integers
from rewards.screen.nearest import nearest
from rewards.telecom.derivation import layer_of
from rewards.types import PATH_OR_TEXT, Completion, Example, RewardFunction, Score
from rewards.writing.writable import replace_halves

_LONG = 4_000
_DIGITS = re.compile(r"[0-9]++")
_PARTS = ("valid", "rules", "known", "single")

with warnings.catch_warnings():
    # The option's name hides a deprecated method of pydantic's, which nobody calls.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class SchemaValid(RewardFunction):
        """Share of the schema's rules that the answer keeps; unknown keys are a part apart, even in an open schema."""

        name: ClassVar[str] = "schema_valid"
        version: ClassVar[str] = "8"

        schema: str | None = Field(  # type: ignore[assignment]  # see above
            None,
            json_schema_extra=PATH_OR_TEXT,
            description="The name of one of our schemas, a path, or the schema itself; none: by target_layer.",
        )
        formats: bool = Field(False, description="Whether `format` is a rule, as dates and e-mail addresses have.")
        remotes: str | None = Field(
            None, description="A folder with copies of remote schemas that are referred to; nothing is ever fetched."
        )
        unknown_cost: float = Field(
            0.0,
            ge=0,
            le=1,
            description="Taken off in proportion when keys are unknown to an open schema; 1: all of it.",
        )
        doubted: float = Field(
            0.25, ge=0, le=1, description="Factor for an answer beside which the text gives a contradicting one."
        )
        repeated: float = Field(0.5, ge=0, le=1, description="Factor for an answer that gives a key two values.")

        @field_validator("schema", mode="before")
        @classmethod
        def _read_schema(cls, schema: Any) -> Any:
            # Options must not change: a schema written in the configuration is kept as text.
            if isinstance(schema, Mapping):
                schema = json.dumps(schema, ensure_ascii=False)
            return json.dumps(schema) if isinstance(schema, bool) else schema

        @model_validator(mode="after")
        def _check_schema(self) -> SchemaValid:
            if self.remotes is not None and not Path(self.remotes).is_dir():
                raise ValueError(f"remotes: '{self.remotes}' is not a folder; name one with schemas in it")
            if self.schema is not None:
                try:
                    self._resolve(self.schema)
                except UserError as error:
                    raise ValueError("; ".join(error.problems)) from None
            return self

        def _resolve(self, written: str) -> Schema:
            return resolve_schema(written, self.formats, None if self.remotes is None else Path(self.remotes))

        def problems(self, example: Example) -> list[str]:
            try:
                self.schema_for(example)
            except UserError as error:
                return error.problems
            return []

        def schema_for(self, example: Example) -> Schema:
            """The schema that a row's answer must keep; raises UserError when neither option nor layer names one."""
            if self.schema is not None:
                return self._resolve(self.schema)
            layer = layer_of(example)
            # The layers of a family share its schema; the longest name is the nearest.
            families = [name for name in list_schemas() if layer == name or layer.startswith(f"{name}_")]
            name = max(families, key=len, default=None)
            if name is None:
                raise UserError(
                    f"target_layer: no schema for layer '{layer}'; set the option schema, or use one of the layers "
                    f"{', '.join(list_schemas())}"
                )
            return self._resolve(name)

        def __call__(self, example: Example, completion: Completion) -> Score:
            value = completion.extraction.value
            if value is None:
                return Score(0.0, "no JSON found", dict.fromkeys(_PARTS, 0.0))
            if len(completion.text) > _LONG and any(len(run[0]) > _LONG for run in _DIGITS.finditer(completion.text)):
                value = shorten_integers(value)
            judged = self.schema_for(example).judge(value)
            answer = read_answer(completion)
            known = 1.0 - len(judged.unknown) / judged.keys if judged.keys else 1.0
            single = (self.doubted if answer.doubted else 1.0) * (self.repeated if answer.repeated else 1.0)
            notes = [str(each) for each in judged.broken[:3]]
            notes += [f"and {len(judged.broken) - 3} more"] if len(judged.broken) > 3 else []
            notes += [f"unknown: {', '.join(judged.unknown[:3])}"] if judged.unknown else []
            notes += ["a key is given two values"] if answer.repeated else []
            notes += ["another answer beside it contradicts it"] if answer.doubted else []
            reason = replace_halves("; ".join(notes))
            parts = {"valid": float(judged.valid), "rules": judged.share, "known": known, "single": single}
            return Score(judged.share * (1.0 - self.unknown_cost * (1.0 - known)) * single, reason, parts)


def resolve_schema(written: str, formats: bool = False, remotes: Path | None = None) -> Schema:
    """A compiled schema from its name, its path or its text; raises UserError when it is none of these or is faulty.

    A file is read again when it has changed. `formats` and `remotes` are the options of SchemaValid.
    """
    if written.lstrip()[:1] == "{" or written in ("true", "false"):
        return compile_text(written, formats=formats, shelf=None if remotes is None else Shelf(remotes=remotes))
    if written in list_schemas():
        return compile_text(schema_text(written), written, formats)
    path = Path(written)
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        raise UserError(
            f"schema: '{written[:200]}' is neither a file nor one of ours{nearest(written, list_schemas())}"
        ) from None
    return _read_file(path.absolute(), state.st_mtime_ns, state.st_size, formats, remotes)


@lru_cache(maxsize=64)
def _read_file(path: Path, changed: int, size: int, formats: bool, remotes: Path | None) -> Schema:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); name a file with a JSON Schema") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and ("openapi" in document or "swagger" in document):
        raise UserError(f"{path}: is not a JSON Schema but an API; run python -m rewards schema import on it first")
    return compile_text(text, str(path), formats, Shelf(path, remotes))


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(SchemaValid)
