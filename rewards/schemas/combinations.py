"""What the keywords of JSON Schema ask that combine other schemas: allOf, anyOf, oneOf, not, if."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.schemas.nodes import Broken, Build, Check, Rule, SchemaNode, make_assertion, report, show

_GRADED_DEPTH = 5


def apply_when(applies: Check, inner: SchemaNode) -> Rule:
    return Rule(
        lambda value: not applies(value) or inner.valid(value),
        lambda value, place, broken: inner.grade(value, place, broken) if applies(value) else (0.0, 0.0),
    )


def build_all(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    for index, inner in enumerate(schema["allOf"]):
        member = builder.node(inner, f"{place}/allOf/{index}")
        node.same.append(member)
        node.rules.append(Rule(member.valid, member.grade))


def build_any(keyword: str) -> Build:
    def build(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
        branches = [builder.node(inner, f"{place}/{keyword}/{index}") for index, inner in enumerate(schema[keyword])]
        node.branches.extend(branches)
        at_most = 1 if keyword == "oneOf" else len(branches)

        def valid(value: Any) -> bool:
            if keyword == "anyOf":
                return any(inner.valid(value) for inner in branches)
            return sum(inner.valid(value) for inner in branches) == 1

        def grade(value: Any, place: str, broken: list[Broken]) -> tuple[float, float]:
            fitting = sum(inner.valid(value) for inner in branches)
            if 1 <= fitting <= at_most:
                return 1.0, 1.0
            if fitting:
                report(broken, place, keyword, f"fits {fitting} alternatives, one is allowed")
                return 0.5, 1.0
            best = 0.0
            faults: list[Broken] = []
            # Alternatives within alternatives multiply: far down, nearly fitting is worth nothing.
            for inner in branches if place.count("/") < _GRADED_DEPTH else ():
                tried: list[Broken] = []
                share = inner.share(value, place, tried)
                if share > best or not faults:
                    best, faults = share, tried
            report(broken, place, keyword, f"fits none of {len(branches)} alternatives")
            for fault in faults:
                report(broken, *fault)
            # Nearly an alternative is worth something, but never the whole rule.
            return min(best, 0.9), 1.0

        node.rules.append(Rule(valid, grade))

    return build


def build_not(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    inner = builder.child(schema, place, "not")
    node.applied.append(inner)
    node.rules.append(
        make_assertion("not", lambda value: not inner.valid(value), lambda value: f"{show(value)} is ruled out")
    )


def build_if(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    test = builder.child(schema, place, "if")
    then = builder.child(schema, place, "then") if "then" in schema else None
    otherwise = builder.child(schema, place, "else") if "else" in schema else None
    node.conditional = (test, then, otherwise)
    if then is not None:
        node.rules.append(apply_when(test.valid, then))
    if otherwise is not None:
        node.rules.append(apply_when(lambda value: not test.valid(value), otherwise))
