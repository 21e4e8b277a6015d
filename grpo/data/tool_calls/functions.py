"""The functions that generated rows can call, and requests for them: each request says all that its call needs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

CITIES = ("Lisbon", "Porto", "Recife", "Madrid", "Lima", "Oslo", "Cairo", "Dublin")
PEOPLE = ("Ana", "Bruno", "Carla", "Diego", "Elena", "Felix")
CURRENCIES = ("EUR", "USD", "BRL", "GBP")
LABELS = ("gym", "school", "train", "medicine")
MODES = ("bus", "train", "bicycle")
THINGS = ("keys", "tickets", "report", "dinner")
EVENTS = ("login_failed", "payment_refused", "door_opened", "sensor_lost", "order_cancelled")
FIELDS = ("user", "card", "site", "device")
TARGETS = ("security", "operations", "support", "finance")


class CallRequest(NamedTuple):
    """What is asked, and the call that answers it."""

    text: str
    name: str
    arguments: dict[str, Any]


def _property(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


def _describe(name: str, what: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "description": what,
        "parameters": {"type": "object", "properties": properties, "required": list(properties)},
    }


_TEXT, _NUMBER = _property("string"), _property("integer")

FUNCTIONS = {
    description["name"]: description
    for description in (
        _describe("get_weather", "Weather of a city.", city=_TEXT, unit=_property("string", enum=["celsius", "fahrenheit"])),
        _describe("convert_currency", "Convert an amount of money.", amount=_NUMBER, source=_TEXT, target=_TEXT),
        _describe("set_alarm", "Set an alarm at a full hour.", hour=_NUMBER, label=_TEXT),
        _describe("send_message", "Send a message to a person.", recipient=_TEXT, about=_TEXT),
        _describe("find_route", "Find a route between two cities.", origin=_TEXT, destination=_TEXT,
                  mode=_property("string", enum=list(MODES))),
    )
}  # fmt: skip

RULES = {
    description["name"]: description
    for description in (
        _describe("count_rule", "Act when an event comes so often within a window.", event=_TEXT, count=_NUMBER,
                  within_seconds=_NUMBER, by=_TEXT, action=_property("object")),
        _describe("sequence_rule", "Act when one event follows another within a window.", first=_TEXT, then=_TEXT,
                  within_seconds=_NUMBER, action=_property("object")),
        _describe("silence_rule", "Act when an event stays out for a window.", event=_TEXT, within_seconds=_NUMBER,
                  action=_property("object")),
    )
}  # fmt: skip


def draw_call(rng: random.Random, name: str) -> CallRequest:
    """A request for one of `FUNCTIONS` or `RULES`."""
    text, arguments = _WRITERS[name](rng)
    return CallRequest(text, name, arguments)


def _weather(rng: random.Random) -> tuple[str, dict[str, Any]]:
    city, unit = rng.choice(CITIES), rng.choice(("celsius", "fahrenheit"))
    text = rng.choice(("what is the weather in {0} in {1}", "tell me in {1} how warm {0} is", "weather of {0}, {1}"))
    return text.format(city, unit), {"city": city, "unit": unit}


def _currency(rng: random.Random) -> tuple[str, dict[str, Any]]:
    amount = rng.randrange(10, 100)
    source, target = rng.sample(CURRENCIES, 2)
    text = rng.choice(("convert {0} {1} to {2}", "how much is {0} {1} in {2}", "change {0} {1} into {2}"))
    return text.format(amount, source, target), {"amount": amount, "source": source, "target": target}


def _alarm(rng: random.Random) -> tuple[str, dict[str, Any]]:
    hour, label = rng.randrange(10, 24), rng.choice(LABELS)
    text = rng.choice(("wake me at {0} for {1}", "set an alarm at {0} for the {1}", "alarm at {0}: {1}"))
    return text.format(hour, label), {"hour": hour, "label": label}


def _message(rng: random.Random) -> tuple[str, dict[str, Any]]:
    person, thing = rng.choice(PEOPLE), rng.choice(THINGS)
    text = rng.choice(("write to {0} about the {1}", "tell {0} about the {1}", "message {0}: the {1}"))
    return text.format(person, thing), {"recipient": person, "about": thing}


def _route(rng: random.Random) -> tuple[str, dict[str, Any]]:
    origin, destination = rng.sample(CITIES, 2)
    mode = rng.choice(MODES)
    text = rng.choice(("how do I get from {0} to {1} by {2}", "route from {0} to {1} by {2}", "{2} from {0} to {1}"))
    return text.format(origin, destination, mode), {"origin": origin, "destination": destination, "mode": mode}


def _action(rng: random.Random) -> tuple[str, dict[str, Any]]:
    kind, target = rng.choice(("alert", "block", "log")), rng.choice(TARGETS)
    return f"{kind} {target}", {"type": kind, "target": target}


def _count(rng: random.Random) -> tuple[str, dict[str, Any]]:
    event, count, seconds, by = rng.choice(EVENTS), rng.randrange(2, 10), rng.randrange(10, 100), rng.choice(FIELDS)
    said, action = _action(rng)
    text = rng.choice(
        (
            "{4} when {1} {0} of one {3} come within {2} seconds",
            "{1} times {0} by {3} in {2} seconds: {4}",
            "if {0} happens {1} times per {3} in {2} seconds, {4}",
        )
    )
    arguments = {"event": event, "count": count, "within_seconds": seconds, "by": by, "action": action}
    return text.format(event, count, seconds, by, said), arguments


def _sequence(rng: random.Random) -> tuple[str, dict[str, Any]]:
    first, then = rng.sample(EVENTS, 2)
    seconds = rng.randrange(10, 100)
    said, action = _action(rng)
    text = rng.choice(
        (
            "{3} when {1} follows {0} within {2} seconds",
            "{0} and then {1} in {2} seconds: {3}",
            "if {1} comes {2} seconds or less after {0}, {3}",
        )
    )
    arguments = {"first": first, "then": then, "within_seconds": seconds, "action": action}
    return text.format(first, then, seconds, said), arguments


def _silence(rng: random.Random) -> tuple[str, dict[str, Any]]:
    event, seconds = rng.choice(EVENTS), rng.randrange(10, 100)
    said, action = _action(rng)
    text = rng.choice(
        (
            "{2} when {0} stays out for {1} seconds",
            "no {0} in {1} seconds: {2}",
            "if {0} is missing for {1} seconds, {2}",
        )
    )
    return text.format(event, seconds, said), {"event": event, "within_seconds": seconds, "action": action}


_WRITERS: dict[str, Callable[[random.Random], tuple[str, dict[str, Any]]]] = {
    "get_weather": _weather, "convert_currency": _currency, "set_alarm": _alarm, "send_message": _message,
    "find_route": _route, "count_rule": _count, "sequence_rule": _sequence, "silence_rule": _silence,
}  # fmt: skip
