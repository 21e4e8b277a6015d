"""What a bracket must be followed by to begin a value, and what is only a placeholder in prose."""

from __future__ import annotations

import re

from rewards.extraction import patterns as P

PLACEHOLDER = re.compile(r"\{[^\S\n]*[\w .|%$@+\-]{0,80}\}|\[[^\S\n]*(?:[A-Za-zÀ-ÿ_.…\- ][^\[\]{}\n\"'“:=]{0,80})?\]")
# A half-open interval, and a link of a wiki: neither is a list.
ASIDE = re.compile(
    r"\[[ \t]*[-+−]?[\d.,]*[\w.∞]{1,20}[ \t]*[,;][ \t]*[-+−]?[\w.∞]{1,20}[ \t]*(?:\)|\[(?=[\s.,;)]|\Z))|(?P<link>\[\[[A-Za-zÀ-ÿ_][^\[\]{}\n\"',:]{0,80}\]\])"
)
OBJECT_START = re.compile(
    rf"\{{{P.W}(?:[{P.QUOTES}]|--[ \t]|[rbfuRBFU]{{1,2}}[\"']|[}}{{]|\Z|//|/\*|\#|<!--|-?\d[\w.\-]{{0,40}}{P.W}[:,}}]|\(|{P.BARE_WORDS}[\"'”’]?{P.COLON}"
    r"|\\+[\"'nrt]|&(?:[a-z]{2,5}quo|quot|apos|#(?:34|39|[xX]22|[xX]27));|\.\.\.|…|,|\[|-\s|>\s|\*\*[{A-Za-z_])"
)
LIST_START = re.compile(
    rf"\[{P.W}(?:[{P.QUOTES}{{\[\]]|--[ \t]|[rbfuRBFU]{{1,2}}[\"']|[-+]?[.,]?\d|R\$|\Z|//|/\*|<!--|\(|,|\\+[\"'nrt]|&(?:[a-z]{{2,5}}quo|quot|apos|#(?:34|39|[xX]22|[xX]27));"
    r"|(?:true|false|null|True|False|None|NaN|verdadeiro|falso|nulo|sim|não|nao)\b|\#\s)"
)
