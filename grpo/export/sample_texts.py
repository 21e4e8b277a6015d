"""Two hundred texts that a tokenizer may stumble over: accents, emoji, numbers, code, spaces, and the template's markers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_PIECES = (
    "Olá", "não", "coração", "ônibus", "Ção", "È vero", "naïve", "façade", "Ünïcödé", "ñandú", "straße", "Ærø", "日本語", "中文字符",
    "한국어", "Привет", "Ελλάδα", "שלום", "مرحبا", "हिन्दी", "ไทย", "😀", "🇧🇷", "👩‍👩‍👧", "🏳️‍🌈", "✅", "…", "—", "“aspas”", "‘simples’", "€ 1.234,56",
    "R$ 12,50", "1234567890", "3.14159", "1e-5", "0x1F", "10%", "½", "²", "2026-11-25", "12:34:56", "a1b2c3", "ABC123def", "CamelCaseName",
    "snake_case_name", "kebab-case", "don't", "I'll", "we'VE", "D'ARTAGNAN", "l'été", "e-mail@exemplo.com.br", "https://exemplo.br/?q=ção&n=1",
    '{"nome": "José", "preço": 12.5}', "[1, 2, 3]", "SELECT * FROM t WHERE x >= 10;", "<tag>", "</tag>", "a && b || !c", "x = y ** 2", "`code`",
    "\\n", "\t", "\n", "\n\n", "\r\n", "   ", " leading", "trailing ", "a  b   c    d", "tab\tseparated", "line one\nline two\n  indented", "!!!", "???",
    "...", "#hashtag", "@user", "$100", "C++", "C#", ".NET", "\u00a0", "\u200b", "\ufeff", "zero\u200bwidth", "é", "ﬁ", "Ⅷ", "①", "∑∫√", "→", "µm", "°C",
)  # fmt: skip
COUNT = 200


def make_texts(markers: Iterable[str], rows: Sequence[str] = ()) -> list[str]:
    """The texts, markers of the template between them, and then as many of the run's own rows as there is room for."""
    markers = sorted(marker for marker in set(markers) if marker)[:24]
    texts = list(_PIECES)
    texts += [f"{one} {other}" for one, other in zip(_PIECES, _PIECES[7:], strict=False)][:40]
    texts += ["".join(_PIECES[start : start + 5]) for start in range(0, 60, 3)]
    texts += [text for marker in markers for text in (marker, f"{marker}user\nOlá{marker}\n")][:30]
    texts += [*rows[: COUNT - len(texts)]] if len(texts) < COUNT else []
    place = 0
    while len(texts) < COUNT:
        texts.append(f"{place} {_PIECES[place % len(_PIECES)]}-{place * 37}")
        place += 1
    return texts[:COUNT]
