"""What a word that is not allowed was probably meant to be, phrased as the end of an error line."""

from __future__ import annotations

from collections.abc import Collection


def nearest(word: str, allowed: Collection[str]) -> str:
    """`; did you mean X?` if an allowed word is close, otherwise the list of all of them."""
    from difflib import get_close_matches

    near = get_close_matches(word, allowed, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(allowed)}" if allowed else "; there are none"
