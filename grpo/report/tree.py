"""The decision tree as it is drawn: the questions in order, the path that was taken, and where each other answer led."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from callbacks.decision.decision import RECIPE, REHEARSAL

_OUTCOMES = ("yes", "no", "within noise", "not judged", "otherwise")


@dataclass(frozen=True, slots=True)
class Exit:
    """Where an answer leads: `scenario` is A, B, C or ?, `taken` whether the run went there."""

    answer: str
    scenario: str
    text: str
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """One place of the tree: questions asked together, and the exits beside the way on. Unasked ones have no nodes."""

    nodes: Sequence[Mapping[str, Any]] = ()
    unasked: Sequence[str] = ()
    exits: Sequence[Exit] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """The stops from the root on; `ended` says that one of their exits was taken, else the run passed them all."""

    stops: Sequence[Stop] = field(default_factory=tuple)
    ended: bool = False


def lay_out(decision: Mapping[str, Any], rules: Mapping[str, Any] | None = None) -> Tree:
    """The tree of a decision. Without rules that fit its path (an older run) the path itself, in order."""
    path = [node for node in decision.get("path") or () if isinstance(node, Mapping)]
    if not path:
        return Tree()
    name = decision.get("tree") or (REHEARSAL if decision.get("rehearsal") else RECIPE)
    rules = read_rules(str(name)) if rules is None else rules
    if rules:
        stops = _pass_through(rules, path) if "first" in rules else _follow(rules, path)
        if stops and sum(len(stop.nodes) for stop in stops) == len(path):
            return Tree(tuple(stops), any(item.taken for stop in stops for item in stop.exits))
    return Tree(tuple(_list(path)))


def _list(path: Sequence[Mapping[str, Any]]) -> list[Stop]:
    """A stop a kind of question, without exits."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for node in path:
        groups.setdefault(_question_of(node), []).append(node)
    return [Stop(tuple(nodes), answer=_combine(nodes, "all")) for nodes in groups.values()]


def read_rules(name: str = RECIPE) -> Mapping[str, Any]:
    """A shipped tree as data; empty where it cannot be read."""
    try:
        from callbacks.decision.tree import load_tree

        rules = load_tree(name)
    except Exception:  # a report of an older run must not fail over the tree of today
        return {}
    return rules if isinstance(rules, Mapping) and isinstance(rules.get("tree"), Mapping) else {}


def _pass_through(rules: Mapping[str, Any], path: Sequence[Mapping[str, Any]]) -> list[Stop]:
    """A tree whose questions were all asked: its stops in the order in which the answers decide, then what decides nothing."""
    stops: list[Stop] = []
    left, branch, ended = list(path), rules["tree"], False
    while _asks(branch):
        nodes = [node for node in left if _question_of(node) in branch["ask"]]
        left = [node for node in left if node not in nodes]
        answer = _combine(nodes, branch.get("combine", "all"))
        ways = {str(key): way for key, way in branch.items() if key in _OUTCOMES}
        on = ways.get(answer, ways.get("otherwise"))
        exits = [
            Exit(name, *_name_end(rules, way), taken=not ended and name == answer)
            for name, way in ways.items()
            if name != "otherwise" and not (way is on and _asks(on))
        ]
        ended = ended or any(item.taken for item in exits)
        if nodes:
            stops.append(Stop(tuple(nodes), exits=tuple(exits), answer=answer))
        # Past the exit that was taken the other answers are shown too: they were given.
        branch = on if _asks(on) else ways.get("otherwise") if ended else None
    return stops + _list(left)


def _follow(rules: Mapping[str, Any], path: Sequence[Mapping[str, Any]]) -> list[Stop]:
    """Down the tree along the answers of the path, then on along the unwritten answers to show what was not asked."""
    stops: list[Stop] = []
    left = list(path)
    branch: Any = rules["tree"]
    while _asks(branch):
        asked = [str(name) for name in branch["ask"]]
        nodes = [node for node in left if _question_of(node) in (*asked, *(f"{name}s" for name in asked))]
        # Questions that apply to nothing, such as floors of tasks the run has not, are passed in silence.
        reached = bool(left)
        left = [node for node in left if node not in nodes]
        answer = _combine(nodes, branch.get("combine", "all"))
        given = [node for node in path if node not in left]
        ways = {str(key): _settle(way, given) for key, way in branch.items() if key in _OUTCOMES}
        key = answer if answer in ways else "otherwise"
        ends = reached and not left
        on = ways.get(key)
        goes_on = _asks(on)
        exits = [
            Exit(name, *_name_end(rules, way), taken=ends and not goes_on and name == key)
            for name, way in ways.items()
            # The way that is drawn on is not an exit; nor is, under a question that ends here, the one to the unasked rest.
            if way is not on or not goes_on
            if not (ends and not goes_on and name == "otherwise" and _asks(way))
        ]
        if nodes or not reached:
            answered = answer if reached else "not asked"
            stops.append(Stop(tuple(nodes), () if reached else tuple(asked), _unite(exits), answered))
        if ends and not goes_on:
            # What would have been asked had the answer been another one.
            key, on = "otherwise", ways.get("otherwise")
            if not _asks(on):
                break
        branch = on
    return stops


def _settle(way: Any, answered: Sequence[Mapping[str, Any]]) -> Any:
    """Where a path leads once the questions on it that were already answered are skipped: an end may depend on one of
    them again.
    """
    while _asks(way):
        known = [node for node in answered if _question_of(node) in way["ask"]]
        if {_question_of(node) for node in known} != set(map(str, way["ask"])):
            break
        way = way.get(_combine(known, way.get("combine", "all")), way.get("otherwise"))
    return way


def _asks(way: Any) -> bool:
    return isinstance(way, Mapping) and "ask" in way


def _unite(exits: Sequence[Exit]) -> tuple[Exit, ...]:
    """One exit in place of several that say the same."""
    if len(exits) > 1 and len({(item.scenario, item.text) for item in exits}) == 1 and not any(e.taken for e in exits):
        return (Exit("either way", exits[0].scenario, exits[0].text),)
    return tuple(exits)


def _name_end(rules: Mapping[str, Any], way: Any) -> tuple[str, str]:
    """Scenario and words of a branch: a conclusion by its name, one that is left open, or what further questions lead to."""
    if _asks(way):
        ends = [_name_end(rules, item) for key, item in way.items() if key in _OUTCOMES]
        scenario, text = next((end for end in ends if end[0] != "?"), ("?", "undecided"))
        return scenario, f"{text}, unless {' and '.join(map(str, way['ask']))} says otherwise"
    if isinstance(way, Mapping):
        return "?", f"undecided: cannot distinguish {way.get('open', 'the answers')}"
    conclusion = (rules.get("conclusions") or {}).get(way)
    conclusion = conclusion if isinstance(conclusion, Mapping) else {}
    scenario = str(conclusion.get("scenario", "?"))
    scenario = scenario if scenario in ("A", "B", "C") else "?"
    if conclusion.get("said"):
        return scenario, str(conclusion["said"])
    said = str(conclusion.get("title") or way).removeprefix("Undecided: ")
    return "?", f"undecided: {said}" if "{" not in said else "undecided"


def _question_of(node: Mapping[str, Any]) -> str:
    return str(node.get("name", "")).split(":")[0].strip()


def _combine(nodes: Sequence[Mapping[str, Any]], rule: Any) -> str:
    """As the decision combines them: `any` asks for one yes; else one no or not judged outweighs, then the noise."""
    outcomes = [str(node.get("outcome", "")) for node in nodes]
    order = ("yes", "within noise", "no") if rule == "any" else ("no", "not judged", "within noise", "yes")
    return next((outcome for outcome in order if outcome in outcomes), "not judged")
