"""Leaves that are neither text nor numbers, each equal to itself only: 1 and true are equal in Python."""

from __future__ import annotations


class Sign:
    """A leaf by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


TRUE, FALSE, EMPTY_OBJECT, EMPTY_LIST = map(Sign, ("true", "false", "{}", "[]"))
HIDDEN = Sign("hidden")
