"""What a text says of the values above it: that one is void, or which of several is chosen."""

from __future__ import annotations

import re

_THING = r"(?:bloco|json|objeto|resposta|vers[ãa]o|registro|block|object|answer|response|version|record)"
_ABOVE = rf"(?:{_THING}\s+(?:que est[áa] |de )?(?:acima|anterior|above)|(?:previous|above|last|[úu]ltim[oa])\s+{_THING}|{_THING}\s+(?:above|previous))"
_THIS = r"(?:\s+(?:o|a|the|this|that|es[st][ea]|my|meu|minha)){0,2}\s+"
# What is said of the value above, behind it or on a line of its own; of nothing else, for prose speaks of earlier things too.
_WITHDRAWN = re.compile(
    r"(?:\b(?:desconsider(?:e|em|ar)|ignor(?:e|em|ar)|descart(?:e|em|ar)|esque[çc]a|disregard|discard|scrap|forget|retiro|anulo|retract|withdraw|cancel(?:e|a)?|scratch|strike|risque|apague|never mind)\b"
    rf"{_THIS}(?:{_ABOVE}|{_THING}\b(?=\s*[.,;:!\n]|\s*\Z)|acima|above|isso|that|this)\b"
    rf"|\b{_ABOVE}\b(?!\s+d[oae]s?\b)[^.\n{{}}]{{0,24}}\b(?:n[ãa]o (?:vale|serve|conta|est[áa] (?:cert|corret))|(?:est[áa]|estava) (?:errad|incorret)|[ée] inv[áa]lid"
    r"|foi (?:anulad|cancelad|retirad|descartad)|is (?:wrong|invalid|void|incorrect|not valid)|(?:deve(?:m)?|precisa|pode) ser (?:ignorad|desconsiderad|descartad|apagad)|(?:should|must|can) be (?:ignored|disregarded|discarded|dropped)"
    r"|(?:foi|é|era) um (?:erro|engano|equ[íi]voco|teste)|(?:was|is) (?:an? )?(?:error|mistake|test\b)|cont[ée]m (?:um )?erros?|contains? (?:an )?errors?))",
    re.IGNORECASE,
)
_NAMES_NEXT = re.compile(r"\s*[,(]\s*[`*]{0,3}")
# Which of several values is chosen, said by its number or its name.
CHOSEN = re.compile(
    r"\b(?:fi(?:co|que|camos) com|escolh\w+|prefir\w+|recomend\w+|recommend\w*|sugir\w+|suggest\w*|opt\w+ p(?:or|ela|elo)|vale|keep|choose|pick|use|go (?:with|for))\s+(?:[ao]|the)?\s*"
    r"(?P<noun>op[çc][ãa]o|vers[ãa]o|option|version|bloco|block|resposta|answer|json)?\s*"
    r"(?:(?P<first>primeir[oa]|first)|(?P<last>[úu]ltim[oa]|last|segund[oa]|second)|(?P<label>[A-Z0-9]\b))(?!\w)"
    r"|\b(?:[ao]|the)\s+(?:(?P<former>primeir[oa]|first)|(?P<latter>[úu]ltim[oa]|last|segund[oa]|second))(?:\s+(?:op[çc][ãa]o|option|one))?"
    r"\s+(?:é|is)\s+(?:[ao]\s+|the\s+)?(?:mais\s+|more\s+)?(?:melhor|cert[oa]|corret[oa]|adequad[oa]|better|best|right|correct)\b"
    r"|\b(?:melhor|vencedora?|escolhid[oa]|escolha|best|winner|choice)(?:\s+(?:op[çc][ãa]o|option))?\s*:\s*(?P<winner>[A-Z0-9])(?!\w)",
    re.IGNORECASE,
)


def takes_back(after: str) -> bool:
    """True where the words behind a value take it back; what stands behind the next value is about that one."""
    bracket = re.search(r"[{\[]", after)
    if bracket is not None:
        after = after[: bracket.start()]
    match = _WITHDRAWN.search(after)
    if match is not None and bracket is not None and _NAMES_NEXT.fullmatch(after, match.end()):
        # "Ignore the version above, {...}": what is withdrawn is shown.
        return False
    return match is not None and not re.search(r"\bn[ãa]o\s+\Z|\bnot\s+\Z", after[: match.start()], re.IGNORECASE)
