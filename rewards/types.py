"""The values that pass between a reward function and those who call it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict
from pydantic_core import core_schema

from rewards.extraction.reasoning import PLAIN, ReasoningStyle, SplitText, split_reasoning

if TYPE_CHECKING:
    from rewards.extraction import Extraction

K = TypeVar("K")
V = TypeVar("V")

PATH_OR_TEXT: JsonDict = {"format": "path-or-text"}
"""`Field(json_schema_extra=PATH_OR_TEXT)` marks an option that may be a path beside other texts (a name, the thing itself).

A relative path then starts at the YAML it is written in, as it does in every field of type `pathlib.Path`.
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a data set, as a reward function sees it.

    `prompt` is the list of messages; `reference` the right answer as the text a perfect model would write;
    `columns` everything else in the row.
    """

    id: str
    task: str
    prompt: Sequence[Mapping[str, str]]
    reference: str | None
    columns: Mapping[str, Any] = field(default_factory=dict)


class Completion:
    """What the policy wrote. Treat it as hostile text: read it, never execute it, never trust it.

    `text` is the whole text, `answer` the part after the reasoning. `style` says how the model marks its reasoning
    where the text alone does not show it. `truncated` is True where the text was cut off; `repeated` where that
    happened before the length limit because the text kept repeating itself.
    """

    repeated = False

    def __init__(self, text: str, truncated: bool = False, style: ReasoningStyle = PLAIN):
        self.text = text
        self.truncated = truncated
        self.style = style

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Completion:
        """The completion of a stored row, with the reasoning style from its `reasoning` column; invalid values there
        are ignored.

        Raises KeyError if the row has no `completion`.
        """
        said = row.get("reasoning")
        style = PLAIN
        if isinstance(said, dict):
            tags = said.get("tags")
            listed = tags if isinstance(tags, list) else []
            pairs = tuple((str(tag[0]), str(tag[1])) for tag in listed if isinstance(tag, list) and len(tag) == 2)
            style = ReasoningStyle(said.get("opened") is True, pairs)
        return cls(row["completion"], bool(row.get("truncated", False)), style)

    @cached_property
    def split(self) -> SplitText:
        """The text cut into reasoning and answer."""
        return split_reasoning(self.text, self.style)

    @property
    def answer(self) -> str:
        """The text without its reasoning; empty if the policy was cut off while reasoning."""
        return self.split.answer

    @cached_property
    def extraction(self) -> Extraction:
        """The JSON in the text, read once and shared by all functions; positions refer to `text`."""
        from rewards.extraction import extract_json

        if self.style == PLAIN:
            return extract_json(self.text)
        # Only the style knows where this reasoning ends, so the answer alone is read and its places moved.
        found, offset = extract_json(self.answer), len(self.text) - len(self.answer)
        span = None if found.span is None else (found.span[0] + offset, found.span[1] + offset)
        moved = tuple(repair._replace(place=repair.place + offset) for repair in found.repairs)
        return found._replace(span=span, repairs=moved)

    def __repr__(self) -> str:
        return f"Completion({self.text[:60]!r}, truncated={self.truncated})"


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict: `value` in 0..1, or None if the function does not apply; `parts` are named shares in 0..1 for the
    logs.

    `usage` is what scoring consumed, such as tokens or money; the report adds it up.
    """

    value: float | None
    reason: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)


class RewardFunction(BaseModel):
    """A reward function: a frozen callable whose fields are its YAML options.

    Set `name` and `version` on the class, and raise the version whenever a score could change. `tasks` names the tasks
    it applies to (empty: all). Set `judges_content` to False if a reference answer need not earn the maximum, as for
    style or length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    version: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ()
    judges_content: ClassVar[bool] = True
    together: ClassVar[str] = ""
    """`batch`: several completions at once; `group`: all answers to one prompt at once; both by `score_together`."""

    def problems(self, example: Example) -> list[str]:
        """What is wrong with this row's reference or columns, one line each; preflight stops if there is any."""
        return []

    def warnings(self, example: Example) -> list[str]:
        """What cannot be judged well in a usable row, one line each; the audit shows them and continues."""
        return []

    def figures(self, pairs: Sequence[tuple[Example, Completion]]) -> Mapping[str, float]:
        """Metrics over many completions that are not means of their scores, by name; `score` and `rescore` report them."""
        return {}

    def __call__(self, example: Example, completion: Completion) -> Score:
        raise NotImplementedError

    def score_together(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Score | None]:
        """One score per pair, in order; called if `together` is set. May be `async`."""
        raise NotImplementedError


class FrozenMapping(Mapping[K, V]):
    """A mapping for options: written like a dict in YAML, but immutable, hashable and picklable, as a frozen model
    needs.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[K, V] | None = None, /):
        self._items = dict(items or {})

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenMapping, (self._items,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        key, value = get_args(source) or (Any, Any)
        inner = core_schema.no_info_before_validator_function(
            lambda items: dict(items) if isinstance(items, Mapping) else items,
            handler.generate_schema(dict[key, value]),  # type: ignore[valid-type]
        )
        return core_schema.no_info_after_validator_function(
            cls, inner, serialization=core_schema.plain_serializer_function_ser_schema(dict)
        )
