"""The quick look for words that may take a value back; without regular expressions, since every answer in prose passes here."""

from __future__ import annotations


def may_take_back(after: str) -> bool:
    """False where the words behind a value lack every one without which nothing is taken back."""
    if len(after) < 12:
        return False
    low = after.lower()
    return (
        "acima" in low
        or "above" in low
        or "anterior" in low
        or "previous" in low
        or "ignor" in low
        or "sider" in low
        or "isso" in low
        or " this" in low
        or " that" in low
        or "bloco" in low
        or "block" in low
        or "resposta" in low
        or "answer" in low
        or "json" in low
        or "never mind" in low
    )
