"""The words and marks by which a text says what a value in it is: the answer, a draft, a format, a turn of a conversation."""

from __future__ import annotations

import re

FINAL = re.compile(
    # The first letters, so that other words cost one look each.
    r"\b(?=[acdefhilmnprstuv])(?:(?:so|logo|ent[ãa]o|assim|thus|hence|therefore)(?=\s*[:,])|final|finais|definitiv\w*|corrig\w+|corre[çc]\w+|corret[oa]\w*|correct\w*|certo|revisad\w+|revised|atualizad\w+|updated|"
    r"na verdade|actually|melhor\w*|proposta|propost[oa]|portanto|conclu\w+|veredito|verdict|avalia[çc]\w+|fixed|instead"
    r"|(?:resposta|vers[ãa]o|answer|version) (?:atual|current)|current (?:answer|version))\b|[✅✔✓]",
    re.IGNORECASE,
)
WEAK_FINAL = re.compile(
    r"\b(?:resposta|answer|resultado|result|output|sa[ií]da|solu[çc][ãa]o|solution|json|segue|aqui est[áa]|here is|gerad[oa])\b",
    re.IGNORECASE,
)
TITLE = re.compile(r"\A\W*(?:resposta|answer|respuesta)\s*:\W*\Z", re.IGNORECASE)
NOT_FINAL = re.compile(
    r"\b(?:exemplos?|examples?|e\.g\.|p\. ?ex|formatos?|formats?|template|modelo|esquema|schema|rascunho|draft|entrada|input|"
    r"prompt|instru[çc]\w+|pergunta|question|original|antes|anterior\w*|inicia\w*|errad\w+|incorret\w+|incorrect|wrong|"
    r"primeir[ao]|first|tentativa|attempt|talvez|maybe|pensamento|pensei|hip[óo]tese|mapeamento|legenda|tabela|obs|"
    r"observa[çc]\w+|dica|coment[áa]rio|contexto|context|em vez de|instead of|ao inv[ée]s|not|confian[çc]a|confidence|"
    r"tokens?|previously|formerly|anteriormente|do alun[oa]|do usu[áa]rio|do cliente|do modelo|responda|retorne|respond|return|use|siga|deve ser|seria|"
    r"estrutura|campos|logs?|debug|metadata|metadados|ignore|desconsidere|descart\w+|inv[áa]lid\w+|invalid|atual|current|escreveu|disse|citou)\b"
    r"|\bn[ãa]o(?: é| e| use| vale| seria| usar)?\b|^\W*(?:user|usu[áa]rio)\s*:|\bhist[óo]rico\b|\bhistory\b|[❌✗✘]"
    # A label of its own, which says that the value came from elsewhere.
    r"|^\W*(?:raw|request|requisi[çc][ãa]o|tool (?:output|result)|source|fonte|racioc[ií]nio|reasoning|observation|evid[êe]ncia|evidence|gabarito|before|old|velh[oa])\b[^:]{0,20}:\W*$",
    re.IGNORECASE,
)
# What stands right before the value that another one is put in the place of.
REPLACED = re.compile(
    r"(?:\b(?:em vez de|ao inv[ée]s de|em lugar de|no lugar de|instead of|rather than|onde se l[êe]|e n[ãa]o|and not|seria|would(?: have)? be(?:en)?|replac(?:es|ing|ed)|substitu(?:i|iu|indo)|supersed\w+"
    r"|n[ãa]o (?:use|usar|retorne|considere)|(?:do not|don't|never) (?:use|return))"
    r"|\b(?:apesar d[aeo]s?|despite|contra|against)\b[^.;:\n]{0,30}|[❌✗✘~]~?)[\s`*:\"'“«]{0,8}\Z",
    re.IGNORECASE,
)
# What joins a value with the one that it was turned into.
TURNED_INTO = re.compile(
    r"[\s`*~\"'”»]{0,8}(?:para|por|to|with|by|→|->|=>|⇒|vira|virou|becomes?|became)[\s`*:]{0,8}(?:```\w*\s*)?\Z",
    re.IGNORECASE,
)
# Words that speak of the value below them even where their sentence and paragraph have ended.
REFUSED = re.compile(
    r"\b(?:exemplos?|examples?|rascunho|draft|errad\w+|incorret\w+|incorrect|wrong|ignore|desconsidere|descart\w+|inv[áa]lid\w+|invalid"
    r"|template|modelo|esquema|schema|formatos?|formats?)\b",
    re.IGNORECASE,
)
# A sentence between two values that calls the first one wrong.
CORRECTS = re.compile(
    r"\b(?:that|this|it|isso|isto|esse|essa|eso|esto|acima|above|previous|anterior)\b[^.\n]{0,24}\b(?:wrong|incorrect|errad\w+|incorret\w+|equivocad\w+)"
    r"|\A\W*(?:n[ãa]o est[áa] certo|is not right|isn't right|is not correct)|\A\W*(?:est[áa]|is|was|era|estava)\s+(?:wrong|incorrect|errad\w+|incorret\w+)"
    r"|\A[\s`*\"'”»]{0,8}\?\s*(?:n[ãa]o|no|nope)\b"
    r"|\A[\s`*\"'”».…]{0,12}(?:(?:hm+|hum+|ah|eh|uh+|opa|espera|espere|wait|well|bem)\b[\s,.!…-]{0,6})?(?:n[ãa]o|no|nope)\b[\s,.!…:-]{1,8}(?:```\w*\s*)?\Z"
    r"|\b(?:ops|opa|errei|me enganei|enganei-me|me equivoqu[eé]|i made a mistake|my mistake|oops)\b",
    re.IGNORECASE,
)
PARAGRAPH_ENDS = re.compile(r"[.!][ \t\r]*\n[ \t\r]*\n\s*(?:(?:```|~~~)\w*\s*)?\Z")
TURN = re.compile(
    r"(?:\A|\n)[ \t*#]*(?:user|usu[áa]ri[oa]|usuario|human|humano|cliente|pergunta|question)\b[ \t*]*:", re.IGNORECASE
)
NEXT_TURN = re.compile(
    r"\n[ \t*#]*(?:user|usu[áa]ri[oa]|usuario|human|humano)\b[ \t*]*:|<\|(?:im_start\|>|start_header_id\|>)?user",
    re.IGNORECASE,
)
DENIED_AFTER = re.compile(
    r"[\s`*_)\]\"',;:—–-]{0,8}(?:\.\s+(?=isso |este |esse |that |this ))?(?:\(|←|<-+|//|#)?\s*"
    r"(?:isso |este |esse |that |this |which |que )?(?:n[ãa]o (?:vale|é|serve|est[áa]|use|conta|basta|funciona|atende|confere|passa)|(?:does not|doesn't|will not|won't) (?:count|work|suffice|do|pass)|"
    r"est[áa] (?:errad|incorret)|era (?:o|um) rascunho|é (?:s[óo] |apenas )?(?:um |o )?(?:exemplo|rascunho|formato|modelo)|errad|"
    r"n[ãa]o\s*(?:[.,;!]|\Z)|foi (?:rejeitad|descartad|recusad|a sa[ií]da d|o exemplo|s[óo]\b|apenas)|was (?:rejected|only|just|the (?:draft|example))|"
    r"incorret|wrong|draft|rascunho|exemplo|example|inv[áa]lid|is wrong|is not|is just|descart|ignore|seria\b|would be)",
    re.IGNORECASE,
)
CONFIRMED_AFTER = re.compile(
    r"[\s`*_)\]\"'.,;:—–-]{0,8}(?:\(|←|<-+|//|#)?\s*(?:sim\s*(?:[.,;!]|\Z)|(?:é|is) (?:[ao]|the|my|minha|meu) (?:corret[oa]|cert[oa]|right|correct|boa|válid[oa]|valid|one\b|oficial|resposta|classifica\w+|resultado|sa[ií]da|veredito|answer|result|classification|verdict)|est[áa] (?:cert[oa]|corret[oa])|is (?:right|correct)\b|final|correto|certo|is the (?:final )?answer)",
    re.IGNORECASE,
)
ANSWER_WORD = r"(?:resposta|resultado|lista|valores|sa[ií]da|solu[çc][ãa]o|answer|result|list|values|output|solution|respuesta|salida|soluci[óo]n)"
SAID_BEFORE = re.compile(
    rf"\b{ANSWER_WORD}\b[^.;:\n\[\]]{{0,40}}(?:\b(?:é|eh|são|s[ãa]o|fica|is|are|es|son)|=)\s*[*`]*\Z", re.IGNORECASE
)
SAID_AFTER = re.compile(
    rf"[*`]*\s*(?:é|são|is|are|es|son)\s+(?:[ao]s?|the|my|la|el|los|las|minha)?\s*{ANSWER_WORD}\b", re.IGNORECASE
)
_RECORD_NOUN = r"(?:item|arquivo|registro|cliente|pedido|produto|linha|ficha|nota|p[áa]gina|file|record|customer|order|product|row|entry|document|documento|page|objeto|object)"
SIDE_BY_SIDE = re.compile(
    r"\s*</tool_call>\s*<tool_call>\s*|[\s,;]*(?:(?:[-*•]|\(?\d{1,4}[.)\]:]|e|and|&|\+)\s+)?"
    # Rows of a table, fences joined by a word, and headings that count records.
    r"|[ \t]*\|[ \t]*\n[ \t]*(?:\|[^|{}\n]{0,60})*\|[ \t]*|\s*```\s*(?:e|and|&|\+)\s*```\w*\s*"
    rf"|\s*(?:```\s*)?[#*]{{0,4}}[ \t]*{_RECORD_NOUN}\s*(?:#|n[ºo°.]\s*)?\d{{1,4}}\s*[:.)*-]{{0,3}}\s*(?:```\w*\s*)?",
    re.IGNORECASE,
)
ANSWER_TAG = re.compile(
    r"<(?:answer|final|final_answer|output|json|result|response|resposta|resultado|saida|saída|tool_call|function_call|solution"
    r"|\|message\|)[^<>]{0,60}>\s*(?:```\w*\s*)?\Z",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(
    r"\s*(?:<[^<>]*>|\[[^\[\]\d]*\]|\.{2,}|…|int|integer|inteiro|str|string|float|bool|boolean|booleano|xxx+|\?+|_+"
    r"|\w+(?:\s*\|\s*\w+)+"
    r"|(?:your|sua|seu|insert|insira|enter|digite|preencha|coloque|write|escreva)[ _][^.\n]{0,40}[ _](?:here|aqui))\s*\Z",
    re.IGNORECASE,
)
# Words and ranges that stand in formats, and in answers too: alone they prove nothing.
PERHAPS_PLACEHOLDER = re.compile(
    r"\s*(?:texto|number|n[úu]mero|decimal|array|lista|list|object|objeto|dict|any|date|data|opcional|optional|type|tipo"
    r"|\w+ ou \w+|\d+\s*(?:-|a|to|\.\.)\s*\d+|\(.*\))\s*\Z",
    re.IGNORECASE,
)
REMARKS = re.compile(r"(?:\s++|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)|//[^\n]*+|\#[^\n]*+|<!--(?:[^-]|-(?!->))*+-->)*+")
JSON_FENCES = {"json", "json5", "jsonc", "", "jsonl", "ndjson", "javascript", "js", "text", "txt", "plaintext"}
FENCE_AHEAD = re.compile(r"(?:```|~~~|''')[ \t]*\w*\s*\Z")
SENTENCE_END = re.compile(r"[.!?;]\s+")
# Behind the fence of a value, a sentence that goes on with a small letter is still about it.
GOES_ON_BEHIND_FENCE = re.compile(r"\s*(?:```|~~~)[\"'”»)\s]*(?=[^\W\d_A-ZÀ-Ý])")
