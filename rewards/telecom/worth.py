"""What the shares of an answer are worth together: its content, and how much of structure's pay that content earns."""

from __future__ import annotations

from collections.abc import Mapping

from rewards.telecom.reference import Compared

PROOF = 0.5
"""Share of what the reference says that must be right before structure is paid in full."""
_TURNING = ("decisions", "identities")


def join_content(shares: Mapping[str, float], elsewhere: float = 0.5) -> float:
    """The least of the shares; wrong decisions take half of it, and `elsewhere` is what is left where it is for another."""
    said = [share for name, share in shares.items() if name not in _TURNING]
    if not said:
        return min(shares.values())
    decided, identified = (shares.get(name, 1.0) for name in _TURNING)
    return min(said) * (1.0 + decided) / 2 * (elsewhere + (1.0 - elsewhere) * identified)


def share_of_pairs(compared: Compared, name: str) -> float | None:
    """The share of the reference's pairs of a kind that are right; None where it has none."""
    pairs = getattr(compared.pairs, name)
    return getattr(compared.paired, name) / pairs if pairs else None


def share_listed(compared: Compared) -> float | None:
    """The share of what stands in lists that is right beside its siblings; None where nothing does."""
    return compared.paired.listed / compared.paired.seen if compared.paired.seen else None


def least(*shares: float | None) -> float | None:
    """The least of those that are there."""
    return min((share for share in shares if share is not None), default=None)


def find_proof(*truths: float | None, needed: float = PROOF) -> float:
    """How much of structure's pay is earned: all where `needed` of what the reference says is right, else in proportion."""
    return min(1.0, max((truth for truth in truths if truth is not None), default=1.0) / needed)
