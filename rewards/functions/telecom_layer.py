"""What the rewards of all telecom layers share: core, figures, likeness and schema as parts with declared weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field, field_validator

from rewards.answers import count_leaves, read_answer
from rewards.documents.leaves import Comparison, Flat, compare, flatten
from rewards.errors import UserError
from rewards.extraction.strict import read_strict
from rewards.functions.field_f1 import FieldF1
from rewards.functions.json_valid import reference_problems
from rewards.functions.kpi_values import KpiValues
from rewards.functions.schema_valid import resolve_schema
from rewards.schemas.rules import depth_within
from rewards.schemas.values import comparable
from rewards.telecom.contents import (
    MOST_LEAVES,
    Contents,
    covered_by,
    read_contents,
    share_of_counts,
    share_of_figures,
    share_plausible,
    share_stated,
)
from rewards.telecom.derivation import is_telemetry, layer_of, read_prompt
from rewards.telecom.enumerations import normalise_values
from rewards.telecom.equals import LayerRules, make_equal
from rewards.telecom.expressions import GRAPHS, expand, expand_to_graphs, find_notation
from rewards.telecom.named import find_named
from rewards.telecom.pairing import count_pairs
from rewards.telecom.paths import (
    Path,
    ValuePlaces,
    find_places,
    last_key,
    mask_leaves,
    normalise_keys,
    share_equal,
    share_present,
)
from rewards.telecom.reference import Compared, Gold
from rewards.telecom.schema_share import say_null, share_of_rules, without_positions
from rewards.telecom.worth import find_proof, join_content, least, share_listed, share_of_pairs
from rewards.types import PATH_OR_TEXT, Completion, Example, RewardFunction, Score

LAYERS = ("tmf921", "o1_nrm", "a1_policy", "intent_3gpp", "camara", "etsi_zsm")
LIFECYCLE = "tmf921_lifecycle_"
ADVERSARIAL = "adversarial"

MAX_DEPTH = 40
MOST_WITHOUT_CONTENT = 0.4
"""What structure alone may earn."""
_UNITS = frozenset(("time", "rate", "share"))
_OF_CONTENT = ("kpi", "values", "expression", "listed")
_SLACK = 4
_LENGTHENED = 20
_ENDLESS, _ENDLESS_SLACK = 50, 2_000
"""Leaves for each of the reference's, and some more, beyond which an answer earns nothing and is not looked at."""
_ASKED = frozenset(("duration", "priorityLevel"))
"""Enumerated keys whose numbers are figures all the same."""
_CONSTANT_KEYS = frozenset(
    ("@type", "@baseType", "@referredType", "type", "unit", "units", "name", "metric", "kpi", "kpiName", "metricName",
     "targetName")
)  # fmt: skip
"""Keys whose values say what something is, not what was measured: they can be learnt, so telemetry masks spare them."""


def is_known_layer(layer: str) -> bool:
    return layer in LAYERS or layer.startswith(LIFECYCLE) or ADVERSARIAL in layer


class LayerReward(RewardFunction):
    """A layer's reward: the weighted mean of the parts that apply, times `size`, which falls for far too long ones.

    `core`: required keys hold values of the right kind, enumerated and identifying ones the right values. `content`:
    the least of `kpi`, `values`, `expression`, `stated` and `listed`, less where `decisions` or `identities` are wrong.
    `likeness`: field F1 against the reference. `schema`: share of the layer's schema rules kept. An answer whose
    content is all wrong earns at most `MOST_WITHOUT_CONTENT`. `overall` is the value itself. All parts lie in 0..1.
    """

    required: ClassVar[frozenset[str]] = frozenset()
    enumerated: ClassVar[frozenset[str]] = frozenset()
    own_schema: ClassVar[str | None] = None
    judges_values: ClassVar[bool] = True
    elsewhere: ClassVar[float] = 0.5
    """What is left of the content of an answer that is for another slice, network, cell or device."""
    decisive: ClassVar[frozenset[str]] = frozenset()
    """Keys whose values decide what an answer asks for: a wrong one is no smaller fault than a wrong figure."""

    core_weight: float = Field(0.3, ge=0, description="Share of the value that the core part earns.")
    kpi_weight: float = Field(0.4, ge=0, description="Share of figures and expression; left out where there are none.")
    likeness_weight: float = Field(0.2, ge=0, description="Share of field F1 against the reference.")
    schema_weight: float = Field(0.1, ge=0, description="Share of the rules of the schema kept.")
    validate_with: str | None = Field(
        None,
        json_schema_extra=PATH_OR_TEXT,
        description="Another schema than ours: a path, or the name of one that we ship.",
    )
    mask_underivable: bool = Field(
        True, description="Neither pay nor charge what a monitor or report row's prompt does not contain."
    )
    normalise_typos: bool = Field(
        True, description="Read keys that published schemas misspell, such as successProbility, as they are meant."
    )
    value_tolerance: float = Field(
        0.0, ge=0, lt=1, description="Relative difference up to which a figure that no column names is right."
    )
    plausible_within: float = Field(
        10.0,
        ge=1,
        description="Factor up to which telemetry that the prompt lacks is plausible; 1 asks for its very value.",
    )
    plausible_weight: float = Field(
        0.0, ge=0, description="Share of the plausibility of such telemetry; 0 only reports it."
    )
    kpis: KpiValues = Field(KpiValues(), description="The options of kpi_values for the figures.")
    likeness: FieldF1 = Field(
        FieldF1(volatile="telecom", units=("time", "rate", "share")),
        description="The options of field_f1 for the similarity.",
    )

    @field_validator("validate_with")
    @classmethod
    def _check_schema(cls, written: str | None) -> str | None:
        if written is not None:
            try:
                resolve_schema(written)
            except UserError as error:
                raise ValueError("; ".join(error.problems)) from None
        return written

    @field_validator("schema_weight")
    @classmethod
    def _check_weights(cls, weight: float, info: Any) -> float:
        if weight + math.fsum(info.data.get(name, 1.0) for name in ("core_weight", "likeness_weight")) <= 0:
            raise ValueError("core, likeness and schema all weigh nothing; raise one, as a row may state no figure")
        return weight

    @classmethod
    def takes(cls, layer: str) -> bool:
        """Whether a layer is this function's own."""
        return layer == cls.name

    def problems(self, example: Example) -> list[str]:
        if not self.is_for(example):
            return []
        problems = reference_problems(example)
        if problems:
            return problems
        if self.takes_nothing_known(example):
            return self.likeness.problems(example)
        problems = self.kpis.problems(example)
        reference = read_strict(example.reference or "null")
        if not isinstance(reference, (dict, list)) or not reference:
            problems.append("reference: nothing in it; write the configuration as a JSON object")
        elif not depth_within(reference, MAX_DEPTH):
            problems.append(f"reference: nested deeper than {MAX_DEPTH}; no configuration is")
        return problems

    def is_for(self, example: Example) -> bool:
        """Whether a row is of this layer, or of none that another function knows."""
        layer = layer_of(example)
        return self.takes(layer) or not is_known_layer(layer)

    def takes_nothing_known(self, example: Example) -> bool:
        """Whether the row names a layer that nobody knows, which only the reference can judge."""
        layer = example.columns.get("target_layer")
        return isinstance(layer, str) and bool(layer) and not is_known_layer(layer)

    def __call__(self, example: Example, completion: Completion) -> Score:
        if not self.is_for(example):
            return Score(None, f"layer '{layer_of(example)}' has a reward of its own")
        if self.takes_nothing_known(example):
            score = self.likeness(example, completion)
            return Score(score.value, score.reason, {**score.parts, "overall": score.value or 0.0})
        answer = read_answer(completion)
        value = answer.value
        gold = self._read_gold(example)
        if gold.notation and find_notation(value) not in ("", gold.notation):
            gold = self._read_gold(example, graphs=True)
        if isinstance(value, list) and len(value) == 1 and not isinstance(gold.value, list):
            value = value[0]
        if not isinstance(value, type(gold.value)) or not value or not depth_within(value, MAX_DEPTH):
            return Score(
                0.0, "no JSON found" if value is None else "no configuration found", {"core": 0.0, "overall": 0.0}
            )
        given = count_leaves(completion)
        if given > _ENDLESS * gold.flat.size + _ENDLESS_SLACK:
            return Score(0.0, "far longer than the reference", {"core": 0.0, "size": 0.0, "overall": 0.0})
        factor = self.kpis.doubted if answer.doubted else 1.0
        return self._judge(example, gold, value, factor)

    def _judge(self, example: Example, gold: Gold, written: Any, factor: float) -> Score:
        value = self._normalise(written)
        graphs = gold.notation == GRAPHS
        expanded = expand_to_graphs(value) if graphs else expand(value)
        given = ValuePlaces(
            find_places(expanded if graphs else value, gold.places.kinds).kinds,
            find_places(expanded, gold.places.leaves).leaves,
        )
        figures = _find_kpis(self).judge(example, expanded, same_keys=True)
        compared = self._compare(gold, expanded)
        content = self._judge_content(example, gold, compared, figures, given)
        core = self.judge_core(gold, given, value)
        likeness, size = compared.likeness, compared.size
        worth = join_content(content, self.elsewhere) if content else None
        proof = (
            find_proof(worth, likeness)
            if self.judges_values
            else find_proof(likeness, core.get("enumerations"), needed=1.0)
        )
        parts: dict[str, float] = {}
        weighted: list[tuple[float, float]] = []
        if core:
            core = {name: share * (proof if name == "required" else 1.0) for name, share in core.items()}
            parts["core"] = math.fsum(core.values()) / len(core)
            weighted.append((self.core_weight, parts["core"]))
            parts.update({f"core/{name}": share for name, share in core.items()})
        if worth is not None:
            parts.update(content)
            parts.update({f"kpi/{name}": share for name, share in figures.items()})
            parts["content"] = worth
            weighted.append((self.kpi_weight, parts["content"]))
        if likeness is not None:
            parts["likeness"] = likeness
            weighted.append((self.likeness_weight, likeness))
        if compared.plausible is not None:
            parts["plausible"] = compared.plausible
            weighted.append((self.plausible_weight, compared.plausible))
        if gold.schema is not None and gold.judged is not None:
            judged = gold.schema.judge(say_null(written if self.validate_with else value))
            parts["schema"] = share_of_rules(judged, gold.judged) * proof
            tolerated = {without_positions(place) for place in gold.judged.unknown}
            unknown = [place for place in judged.unknown if without_positions(place) not in tolerated]
            parts["known"] = 1.0 - len(unknown) / judged.keys if judged.keys else 1.0
            weighted.append((self.schema_weight, parts["schema"]))
        weights = math.fsum(weight for weight, _ in weighted)
        mean = math.fsum(weight * share for weight, share in weighted) / weights if weights else 0.0
        if "content" in parts and self.kpi_weight:
            mean = min(mean, MOST_WITHOUT_CONTENT + parts["content"])
        parts["size"] = size
        parts["overall"] = min(1.0, mean * size * factor)
        notes = [
            f"{name} {parts[name]:.2f}"
            for name in (
                "core",
                "kpi",
                "values",
                "expression",
                "listed",
                "stated",
                "decisions",
                "identities",
                "likeness",
                "schema",
                "size",
            )
            if parts.get(name, 1) < (1 if name != "stated" else min(1, *(parts.get(other, 1) for other in _OF_CONTENT)))
        ]
        notes += ["another answer beside it contradicts it"] if factor < 1 else []
        return Score(parts["overall"], ", ".join(notes), parts)

    def judge_core(self, gold: Gold, given: ValuePlaces, value: Any) -> dict[str, float]:
        """The shares whose mean is the core part; a layer may add its own."""
        shares = {
            "required": share_present(gold.required, gold.places, given),
            "enumerations": share_equal(gold.enumerated, gold.places, given),
        }
        return {name: share for name, share in shares.items() if share is not None}

    def choose_required(self, places: ValuePlaces) -> frozenset[Path]:
        """The places that an answer must have: the layer's keys that the reference has, else its top keys."""
        found = frozenset(path for path in places.kinds if last_key(path) in self.required)
        return found or frozenset(path for path in places.kinds if len(path) == 1)

    def choose_enumerated(self, places: ValuePlaces) -> frozenset[Path]:
        """The places whose values must be the reference's own."""
        return frozenset(path for path in places.leaves if last_key(path) in self.enumerated)

    def _normalise(self, written: Any) -> Any:
        """Published misspellings set right, and enumerations as one release of the standard spells them."""
        return normalise_values(normalise_keys(written) if self.normalise_typos else written)

    def _judge_content(
        self, example: Example, gold: Gold, compared: Compared, figures: Mapping[str, float], places: ValuePlaces
    ) -> dict[str, float]:
        """The shares of what the reference says, of which the least is the content; an empty one where it says nothing."""
        shares: dict[str, float | None] = {}
        if figures:
            shares["kpi"] = math.fsum(figures.values()) / len(figures)
        if self.judges_values and compared.reference is not None:
            known = compared.reference is gold.flat
            expected = gold.contents if known else self._read_contents(compared.reference)
            given = self._read_contents(compared.answer, _LENGTHENED * gold.flat.size + 1_000)
            columns = _find_kpis(self).figures_of(example) if figures else {}
            rates = _find_kpis(self).rates_of(example.reference, columns)
            shares["values"] = share_of_figures(expected, given, self.value_tolerance, covered_by(columns), rates)
            shares["expression"] = share_of_counts(expected.words, given.words)
            found = [share for share in (shares.get("kpi"), shares["values"]) if share is not None]
            shares["stated"] = share_stated(expected, given, min(found, default=None))
            decisive = [path for path in gold.enumerated if last_key(path) in self.decisive]
            shares["decisions"] = least(share_equal(decisive, gold.places, places), share_of_pairs(compared, "decided"))
            shares["identities"] = least(
                share_equal(gold.named, gold.places, places), share_of_pairs(compared, "identified")
            )
            shares["listed"] = share_listed(compared)
        return {name: share for name, share in shares.items() if share is not None}

    def _read_contents(self, flat: Flat, most: int = MOST_LEAVES) -> Contents:
        return read_contents(flat.value, _CONSTANT_KEYS, self.enumerated - _ASKED, most)

    def _compare(self, gold: Gold, value: Any) -> Compared:
        """Field F1 without what is masked, None where nothing is left; and 1, or less when far too much is given."""
        given = flatten(make_equal(value), gold.rules)
        found: Comparison = compare(gold.flat, given, gold.rules)
        allowed = 1.25 * found.expected + _SLACK
        size = min(1.0, allowed / found.given) if found.given else 1.0
        if not gold.masked:
            paired = gold.pairs if found.exact else count_pairs(gold.flat, given, gold.rules, self.decisive)
            likeness = found.field_f1 if found.expected else None
            return Compared(likeness, size, gold.flat, given, None, paired, gold.pairs)
        reference, answer = mask_leaves(gold.value, value, lambda path, leaf: (path, comparable(leaf)) in gold.masked)
        plausible = share_plausible(
            gold.masked, find_places(value, {path for path, _ in gold.masked}), self.plausible_within
        )
        left = flatten(make_equal(reference), gold.rules)
        if not left.size or reference == {}:
            return Compared(None, size, None, given, plausible, gold.pairs, gold.pairs)
        kept = flatten(make_equal(answer), gold.rules)
        paired, pairs = (count_pairs(left, each, gold.rules, self.decisive) for each in (kept, left))
        return Compared(compare(left, kept, gold.rules).field_f1, size, left, kept, plausible, paired, pairs)

    def _read_gold(self, example: Example, graphs: bool = False) -> Gold:
        masked = self.mask_underivable and is_telemetry(example, self.kpis.telemetry_layers)
        prompt = "\n".join(str(message.get("content", "")) for message in example.prompt)
        return _read_gold(self, example.reference or "null", prompt, masked, graphs)


@lru_cache(maxsize=256)
def _find_kpis(function: LayerReward) -> KpiValues:
    """The figures' function with the layer's own word on masking."""
    return function.kpis if function.mask_underivable else function.kpis.model_copy(update={"mask_underivable": False})


@lru_cache(maxsize=2048)
def _read_gold(function: LayerReward, reference: str, prompt: str, telemetry: bool, graphs: bool) -> Gold:
    """A reference, read once for all completions of its group."""
    written = read_strict(reference)
    plain = function._normalise(written)
    value = expand_to_graphs(plain) if graphs else expand(plain)
    # What is required are the keys as they are written, what is enumerated stands in expressions too.
    places = ValuePlaces(find_places(value if graphs else plain).kinds, find_places(value).leaves)
    masked: frozenset[tuple[Path, Any]] = frozenset()
    if telemetry:
        known = read_prompt(Example("", "", [{"role": "user", "content": prompt}], None))
        masked = frozenset(
            (path, leaf)
            for path, leaves in places.leaves.items()
            if last_key(path) not in _CONSTANT_KEYS
            for leaf in leaves
            if not known.contains(leaf if not isinstance(leaf, tuple) else None)
        )
    own = function.likeness.make_rules()
    rules = LayerRules(**{each.name: getattr(own, each.name) for each in fields(own)} | {"units": own.units | _UNITS})
    named = find_named(places, rules.keys, prompt)
    enumerated = function.choose_enumerated(places) | named
    if masked:
        dark = {path for path, _ in masked}
        enumerated = frozenset(path for path in enumerated if path not in dark)
    name = function.validate_with or function.own_schema
    schema = resolve_schema(name) if name else None
    judged = schema.judge(written if function.validate_with else plain) if schema else None
    if judged is not None and not judged.share:
        judged = None
    flat = flatten(make_equal(value), rules)
    return Gold(
        value,
        places,
        function.choose_required(places),
        enumerated,
        masked,
        rules,
        flat,
        function._read_contents(flat),
        schema,
        judged,
        count_pairs(flat, flat, rules, function.decisive),
        named,
        GRAPHS if graphs else find_notation(plain),
    )
