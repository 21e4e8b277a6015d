"""The regular expressions of tokens and of what may follow them; all run in time linear in what they match."""

from __future__ import annotations

import re

DOUBLE_QUOTES = '"“”„‟«»＂″ʺ〝〞〟❝❞「」『』'
SINGLE_QUOTES = "'‘’‚‛‹›′ʹʼ＇❛❜"
BACKTICKS = "`´"
QUOTES = DOUBLE_QUOTES + SINGLE_QUOTES + BACKTICKS
# What may end a text that a plain quote opened, beside that quote.
CLOSING_QUOTES = "\"'“”’»›″′＂＇」』〞"
_TYPED_DOUBLE, _TYPED_SINGLE = DOUBLE_QUOTES[1:], SINGLE_QUOTES[1:]

NO_WIDTH = " \t\r\n\xa0\xad\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\x00"
# Zero-width marks and NUL count as whitespace: they say nothing and come with copied text.
W = "[\\s\\xad\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060\\u2066-\\u2069\\ufeff\\x00]*+"
_JSON_W = r"[ \t\r\n]*+"
_DQ = r'"([^"\\\x00-\x1f]*+)"'
_SQ = r"'([^'\\\x00-\x1f]*+)'"
_NUMBER = r"(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+)"
_LITERAL = r"(true|false|null|True|False|None)"
# Those of JSON and Python, and what a Portuguese text calls them; a number that may have a decimal comma or thousands.
ANY_LITERAL = _LITERAL[1:-1] + "|verdadeiro|falso|nulo"
PLAIN_NUMBER = r"-?[0-9]++(?:[.,][0-9]++)*+"

# A key that is a quoted text followed by a colon, bounded so that a look-ahead never runs away.
QUOTED = (
    r"(?:''(?=\w)[^'\n]{1,160}+''|\"\"(?=\w)[^\"\n]{1,160}+\"\""
    r'|"[^"\\\n]{0,160}+(?:\\.[^"\\\n]{0,160}+){0,8}+"'
    r"|'[^'\\\n]{0,160}+(?:\\.[^'\\\n]{0,160}+){0,8}+'"
    rf"|[{_TYPED_DOUBLE}][^{DOUBLE_QUOTES}\n]{{0,160}}+[{DOUBLE_QUOTES}]"
    rf"|[{_TYPED_SINGLE}][^{SINGLE_QUOTES}\n]{{0,160}}+[{SINGLE_QUOTES}]|[`´][^`´\n]{{0,160}}+[`´])"
)
COLON = rf"{W}(?::=|:(?!//)|=>|=(?!=)|->|→|：|﹕)"
BARE_WORDS = r"(?:[^\W\d]|[$@])[\w$@./\-]{0,80}(?::[^\W\d][\w$@./\-]{0,80}(?=\s*:))?(?: [\w$@./\-]{1,40}){0,4}"
_LITERAL_WORD = rf"(?:{ANY_LITERAL})\b"
# A string prefix of Python, before its quote.
_PREFIX = r"(?:[rbfuRBFU]{1,2}(?=[\"']))"
_STRONG_VALUE = rf"{W}(?:[{QUOTES}\d\-\[{{]|{_LITERAL_WORD}|{_PREFIX})"
BARE_KEY = rf"{BARE_WORDS}[\"'”’]?{COLON}"
_DASHES = r"--(?=[ \t])"
_COMMENT = rf"//|/\*|\#|<!--|{_DASHES}|\.\.\.|…"


def _member(quote: str, key: str) -> re.Pattern[str]:
    next_key = rf"(?={_JSON_W}[\"'])"
    whole_key = rf"(?={_JSON_W}{quote}[^{quote}\\\n]{{0,160}}{quote}{_JSON_W}:)"
    first, second = (_DQ, _SQ) if quote == '"' else (_SQ, _DQ)
    after_string = rf"{_JSON_W}(?:,{whole_key}|(?=\}})|{whole_key})"
    after_scalar = rf"{_JSON_W}(?:,{next_key}|(?=\}})|{whole_key})"
    return re.compile(
        rf"{_JSON_W}{key}{_JSON_W}:{_JSON_W}(?:{first}{after_string}|{second}{after_string}|{_NUMBER}{after_scalar}"
        rf"|(-?[0-9]++,[0-9]++){after_scalar}|{_LITERAL}{after_scalar}|([\[{{]))"
    )


# One well-formed member and its comma. Groups: key, text, text in the other quotes, number, decimal comma, literal, opener.
MEMBER = {'"': _member('"', _DQ), "'": _member("'", _SQ)}


def _element(quote: str) -> re.Pattern[str]:
    first, second = (_DQ, _SQ) if quote == '"' else (_SQ, _DQ)
    after = rf"{_JSON_W}(?:,(?={_JSON_W}[\"'\[{{])|(?=\]))"
    return re.compile(rf"{_JSON_W}(?:{first}{after}|{second}{after}|([\[{{]))")


# One well-formed element and its comma. Groups: text, text in the other quotes, opener.
ELEMENT = {'"': _element('"'), "'": _element("'")}

SKIP = re.compile(W)
COMMENT = re.compile(
    r"//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)|\#[^\n]*+|--(?=[ \t]|[^\W\d])[^\n]*+|<!--(?:[^-]|-(?!->))*+(?:-->|\Z)"
)
ESCAPED_SPACE = re.compile(r"\\[nrt]")
# Three dots, with a remark in brackets, or with the name of what JavaScript spreads there.
ELLIPSIS = re.compile(r"(?:\.{3,}+|…)(?:\s*+\([^()\n]{0,80}\)|[A-Za-z_][\w.]{0,40}+(?=\s*[,}\]]))?+")
UNPACKED = re.compile(rf"\*\*[A-Za-z_][\w.]{{0,60}}(?:\([^()\n]{{0,80}}\))?(?={W}[,}}])")
# An index behind a list, as code has it.
INDEX = re.compile(rf"\[(?:-?\d{{1,6}}|-?\d{{0,6}}:-?\d{{0,6}}|'\w{{1,40}}'|\"\w{{1,40}}\")\](?={W}[,}}])")
# A keyword argument of a call, whatever its value.
KEYWORD = re.compile(r"[A-Za-z_]\w{0,60}[ \t]*=(?![=>])")
# A function as JavaScript writes it, whose body may have blocks in blocks.
_BODY = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]{0,400}+\}){0,400}+\}){0,800}+\}"
FUNCTION = re.compile(
    rf"(?:(?:async[ \t]+)?function\b[ \t]*\*?[ \t]*\w{{0,40}}[ \t]*\([^()\n]{{0,80}}\)|(?:\([^()\n]{{0,80}}\)|\w{{1,40}})[ \t]*=>)[ \t]*{_BODY}(?={W}[,}}\]])"
)
QUOTED_KEY = re.compile(rf"({QUOTED}){COLON}")
OPEN_QUOTED_KEY = re.compile(rf"[{QUOTES}]((?:[^\W\d]|[$@])[\w$@.:\-]{{0,80}}?){COLON}(?={_STRONG_VALUE})")
BARE_KEY_START = re.compile(rf"({BARE_WORDS}|-?\d[\w.\-]{{0,40}}|\([^()\n]{{0,80}}\))([\"'”’]?){COLON}")
ODD_KEY = re.compile(rf"([^\W\d][^\s\"'{{}}\[\](),:]{{0,40}}):(?={_STRONG_VALUE})")
KEY_WITH_VALUE = re.compile(rf"{QUOTED}{COLON}(?={_STRONG_VALUE})")
FOLLOWS_KEY = re.compile(rf"{COLON}((?!))?")  # the empty group: no bracket to check


# A line comment that another line follows, or that ends the text: not `"a" // b",`, which ends as a string does.
_TO_LINE_END = r"(?![^\"\n]{0,400}+\"[ \t]*+,?+[ \t\r]*+\n)(?:[^\n]{0,400}+\n|[^\"\n]{0,400}+\Z)"
_REMARK = rf"\([^()\"\n]{{0,80}}\){W}(?:[,}}\]]|\n|\Z)"
# Dots at the end of the text, where it was cut off on purpose.
_TRAIL_OFF = r"(?:\.{3,}+|…)\s*+(?:[\[(<][^\n\"]{0,60}+)?\Z"
_MARKUP_END = r"```|~~~|'''|</"


# A key that lost its colon or its closing quote.
_HALF_KEY = (
    rf"[{QUOTES}](?:[^\W\d]|[$@])[\w$@.:\-]{{0,80}}(?:[{CLOSING_QUOTES}]{_STRONG_VALUE}|{W}:(?={_STRONG_VALUE}))"
)
_CUT_QUOTED = (
    r"(?:\"(?:[^\"\\\n]|\\.){0,300}+\\?|'(?:[^'\\\n]|\\.){0,300}+\\?|[“‘„«‹「『〝＂`][^“”‘’»›」』〞＂`\n]{0,300}+)"
)
_MISQUOTED = rf"[\"'“‘][^\"'“”‘’\n\\:,{{}}]{{1,80}}[\"'“”‘’]{COLON}"


# A tuple as a key, as Python's mappings have.
_TUPLE_KEY = rf"\([^()\n]{{0,80}}\){W}:(?={_STRONG_VALUE})"


def _after_member(bare: str) -> str:
    return rf"\Z|[}}\])]|{_PREFIX}?{QUOTED}(?:{COLON}|{W}\Z)|{_HALF_KEY}|{_CUT_QUOTED}\Z|{_MISQUOTED}|{bare}|{_TUPLE_KEY}|:{W}{QUOTED}{COLON}|[(\[][^()\[\]\n\"]{{0,60}}[)\]]{W}\Z|,|{_COMMENT}|{_MARKUP_END}"


_STRICT_BARE = rf"(?:{BARE_KEY}|-?\d{{1,20}}{W}:)(?={_STRONG_VALUE})"
_LENIENT_BARE = rf"{BARE_KEY}|-?\d[\w.\-]{{0,40}}{W}:"


def _follows_member(bare: str) -> re.Pattern[str]:
    return re.compile(
        rf"{W}(?:\Z|(?!;[ \t]*[}}\])][ \t]*\")[,;，、；،]{W}(?:{_after_member(bare)}|\{{{W}{QUOTED}{COLON})|([}}\])])|(?:\|{W})?{QUOTED}{COLON}"
        rf"|(?<=\s)[^\W\d]\w{{0,60}}[\"'”’]{COLON}"
        rf"|/\*|(?://|(?<=\s)\#|(?<=\s){_DASHES}){_TO_LINE_END}|(?<=\s)(?:\.\.\.|…)|{_TRAIL_OFF}|<!--|\+{W}[\"']|{_REMARK}|{_MARKUP_END})|[ \t\r]*+\n{W}{bare}"
    )


# What may stand after the closing quote of a member's value; the group is a closing bracket, to be checked on the stack.
FOLLOWS_MEMBER = _follows_member(_STRICT_BARE)
FOLLOWS_BARE_MEMBER = _follows_member(_LENIENT_BARE)
FOLLOWS_ELEMENT = re.compile(
    rf"{W}(?:\Z|[,;，、；،]{W}(?:\Z|[\]}})]|[{QUOTES}]|{_PREFIX}|[-+0-9\[{{(]|{_LITERAL_WORD}|[\w\-]{{1,40}}{W}(?:[,\]]|\Z)|[A-Za-z_][\w.]{{0,60}}\(|,|{_COMMENT}|{_MARKUP_END})"
    rf"|([}}\])])|(?<=\s){QUOTED}(?:{W}(?:[,\])}}\"'“]|\Z)|{COLON}{_STRONG_VALUE})|/\*|(?://|(?<=\s)\#|(?<=\s){_DASHES}){_TO_LINE_END}|(?<=\s)(?:\.\.\.|…)|{_TRAIL_OFF}|<!--|\+{W}[\"']|{_REMARK}|{_MARKUP_END})|[ \t\r]*+\n{W}(?:[\[{{]|{QUOTED}{COLON}|(?:{QUOTED}|-?[0-9][\w.]*+|{_LITERAL_WORD})(?:[ \t\r]*+\n|\Z))|\"(?=\w)[^\"\n]{{1,80}}\"{W}[,\]]"
)
# What may follow the close of a text that holds no other quote of its kind, where nothing surer does: a comment that swallows
# the closer, a stray word before a key, a line with a bare key, and for elements a number or a word without its opening quote.
WEAK_MEMBER = re.compile(
    rf"(?P<sure>[ \t]+(?://|\#|{_DASHES})[^\"\n]{{0,200}}[}}\]])"
    rf"|{W}[,;]{W}[^\W\d][\w\-]{{0,40}}[ \t]+(?={QUOTED}{COLON}{_STRONG_VALUE})"
    rf"|[ \t]+[^\W\d][\w\-]{{0,40}}[ \t]*,{W}(?={QUOTED}{COLON}{_STRONG_VALUE})"
    rf"|(?:[ \t]+(?:e|y|and|&|/)|\.)[ \t]+(?={QUOTED}{COLON}{_STRONG_VALUE})"
    r"|[ \t\r]*\n[ \t\r\n]*,?[ \t]*[A-Za-z_]\w{0,40}[ \t]*:[ \t]+\S|[ \t]*,[ \t\r]*\n[ \t]*[A-Za-z_]\w{0,40}[ \t]*:[ \t]+\S"
)
WEAK_ELEMENT = re.compile(
    rf"(?P<sure>[ \t]+(?://|\#|{_DASHES})[^\"\n]{{0,200}}[}}\]])"
    rf"|{W},{W}[^\W\d][\w\-]{{0,40}}[{CLOSING_QUOTES}]{W}[,\]]"
    rf"|{W},{W}[^\W\d][\w\-]{{0,40}}[ \t]+(?=\"[^\"\n]{{0,160}}\"{W}[,\]])"
    rf"|{W},{W}[^\W\d][\w \-]{{0,60}}{W},{W}[\"'\d\[{{]"
    rf"|{W},{W}[^\W\d][\w ]{{0,60}}(?:\([^()\"\n]{{0,40}}\))?{W}\]"
    rf"|[ \t]+-?[0-9][0-9.]*+{W}(?:[,\]]|\Z)|[ \t]+[|][ \t]+[\"']|[ \t]+[^\W\d][\w\-]{{0,40}}{W}\][,}}\]]"
)
# A second quoted text that belongs to the first, as in C and Python.
CONCATENATED = re.compile(rf"(?:[ \t]++|[ \t]*+\r?\n[ \t]*+)({QUOTED}){W}(?:[,}}\])]|\Z|(?!{QUOTED}{COLON})[\"'])")
AFTER_CLOSER = re.compile(
    rf"{W}(?:[,;}}\])，；]|\Z|[{QUOTES}<\\]|{_DASHES}|(?<=\n)|//|/\*|\#|\{{{W}(?:{QUOTED}{COLON}|{BARE_KEY}))"
)
# Where a bare value inside an object ends at a comma; a key may have a bullet.
_BULLETED_KEY = rf"[-*•][ \t]+{QUOTED}{COLON}"
COMMA_ENDS_MEMBER = re.compile(rf"{W}(?:>{W})?(?:{_after_member(BARE_KEY)}|[{{\[]|\*\*\{{|{_BULLETED_KEY})")
COMMA_ENDS_NUMBERED = re.compile(rf"{W}(?:{_after_member(_LENIENT_BARE)}|[{{\[]|{_BULLETED_KEY})")
BARE_EVENT = re.compile(r"[,;，、；،{}\[\]\n\r()]|[\"“”'’`»」』＂]|//|/\*|\s\#|\s--(?=\s)|<!--|\.\.\.")
_FLAT_RUN = rf"((?:[^\[\]{{}}(){QUOTES}#/<\-]|-(?!-))*+)"
FLAT = re.compile(rf"\[{_FLAT_RUN}\]")
FLAT_TUPLE = re.compile(rf"\({_FLAT_RUN}\)(?!\s*=>)(?={W}(?:[,;}}\])]|\Z))")
TUPLE_START = re.compile(rf"\({W}(?!\)\s*=>)(?:{_PREFIX}|[\"'\[{{(]|\)|(?:-?\d[\w.]*+|{_LITERAL_WORD}){W},)")
CALL = re.compile(
    rf"(?:new[ \t]+)?(-?[A-Za-z_][\w.]{{0,60}})\({W}(?=[\"'\[{{(\d\-)]|{_PREFIX}|[A-Za-z_]\w{{0,60}}=|(?:None|True|False|nan)\b|<class )"
)
PREFIXED_STRING = re.compile(rf"(?:[rbfuRBFU]{{1,2}}|@)(?=[\"'](?!{W}[,\]}}:]))")
SPLIT_SCALAR = re.compile(rf"({PLAIN_NUMBER}|{ANY_LITERAL})\s++(?={BARE_KEY})")
RESYNC = re.compile(
    rf"[^{{\[\n]{{0,200}}?(?:(?<=\s)(?={QUOTED}{COLON}{_STRONG_VALUE})|,(?={W}(?:{QUOTED}{COLON}|{_STRICT_BARE}))|(?=[}}\]]){W}|\n(?={W}{QUOTED}{COLON}))"
)
LIST_REOPENED = re.compile(rf"{W},{W}(?=[\[{{])")
# Where a line of bare text in an object is the last one of its value.
LINE_ENDS_VALUE = re.compile(
    rf"{W}(?:\Z|[}}\])\],;{{\[|]|{QUOTED}{COLON}|{BARE_KEY}|```|~~~|//|/\*|\#|<|>|--[ \t]|[-*•][ \t]|\d+[.)]?[ \t])"
)
# A number or literal, and what stands between it and the next key: another separator, or stray words.
SCALAR_AND_JUNCTION = re.compile(
    rf"({PLAIN_NUMBER}|{ANY_LITERAL})"
    r"(?:(?P<junction>\s*[|&;/:]|\.|\s*(?:\\[nrt])++|\s+(?:\+|and|e|y))|\s*,\s*[^\W\d][\w ]{0,60})\s*"
)
CALL_GOES_ON = re.compile(r"[ \t]*[\w=+*/.-]")
BARE_KEY_BEFORE = re.compile(r",[ \t]*[^\W\d]\w{0,40}[ \t]*:[ \t]*\Z")
CLOSED_VALUE = re.compile(rf"{QUOTED}{W}(?:[}}\]]{W}(?:[,}}\]]|\Z)|,{W}(?:{QUOTED}|[^\W\d]\w{{0,40}}){COLON}|\Z)")
SWALLOWED_MEMBER = re.compile(
    r",[ \t]*(?P<quote>['\"]?)[^\W\d][\w]{0,40}(?P=quote)[ \t]*:[ \t]*(?:-?[0-9][0-9.,]*+|true|false|null|\[[^\[\]\"]{0,80}\])[ \t]*\Z"
)
REOPENED = re.compile(rf"{W}(?:,{W}(?={QUOTED}{COLON})|(?={QUOTED}{COLON}{_STRONG_VALUE}))")
MISMATCHED_CLOSE = re.compile(
    rf"[{CLOSING_QUOTES}]{W}(?:,{W}{QUOTED}{COLON}(?={_STRONG_VALUE})|[}}\]]{W}(?:[,}}\]]|\Z))"
)
QUOTE_MARK = re.compile(r">[ \t]?")
# A semicolon in the place of the colon, and the value behind it.
SEMICOLON_VALUE = re.compile(rf";{W}(?:{QUOTED}|{PLAIN_NUMBER}|{_LITERAL_WORD}){W}[,}}]|;{W}[\[{{]")
LONE_KEY = re.compile(rf"({QUOTED}){W}")
CUT_KEY = re.compile(rf"{_CUT_QUOTED}\Z")
SET_ITEM = re.compile(rf"(?:-?[0-9][0-9.]*+|None|True|False|null|true|false)\s*+[,}}]|{_PREFIX}|\({W}[\"'\d(]")
CONCATENATION = re.compile(rf"(?:{W}\+{W}|{W}\\\n{W})(?=[\"'])")
BRACKETED_TEXT = re.compile(r"\[[^\[\]{}\n]{0,80}\]|\{[^\[\]{}\n]{0,80}\}")
SPACED_SCALARS = re.compile(
    rf"(?:-?[0-9][0-9.]*+|{_LITERAL_WORD})(?:\s++(?:-?[0-9][0-9.]*+(?![^\s])|{_LITERAL_WORD}))++"
)
# A number and the beginning of a bare key, where the text ends.
CUT_BEHIND_SCALAR = re.compile(rf"({PLAIN_NUMBER}|{ANY_LITERAL})\s*,\s*[^\W\d]\w{{0,40}}")
ENTITY_BEFORE = re.compile(r"&(?:[a-z]{2,8}|#\d{1,6})\Z")
SCALAR_BEFORE_KEY = re.compile(rf"(?:{PLAIN_NUMBER}|{ANY_LITERAL})(?:[.:;/|]|\s*(?:\\[nrt])++)?")
KEY_IN_LIST = re.compile(rf"(?:{QUOTED}{COLON}|{BARE_WORDS}{COLON}(?={_STRONG_VALUE}))")
LIST_GOES_ON = re.compile(rf"(?:-?[0-9][\w.]*+|{_LITERAL_WORD})(?:{W}(?:[,\]]|\Z)|[ \t\r]*+\n)")
# A word, or a line of words, that goes on with a list without a comma.
STRAY_ELEMENT = re.compile(rf"(?:[^\W\d][\w\-]{{0,40}}(?={W}\])|[^\W\d][^\n{{}}\[\],:\"]{{0,80}}(?=\n|{W}[,\]]))")
# A blank line, as before a paragraph.
PARAGRAPH_BEFORE = re.compile(r"\n[ \t\r]*\n[ \t\r]*\Z")
VALUE_BELOW = re.compile(r"[ \t\r]*\n\s*(?:```\w*\s*)?[{\[]")
LIST_FOLLOWS = re.compile(rf"{W},{W}\[")
MORE_RECORDS = re.compile(rf"{W},{W}\{{")
KEY_AHEAD = re.compile(rf",{W}{QUOTED}{COLON}")
COMMAS = re.compile(r"(?:[ \t\r\n]*+,){2,}+|")
PLAIN_DECIMAL = re.compile(r"-?[0-9]++,[0-9]++")
MISQUOTED_KEY = re.compile(rf"[\"'“‘]([^\"'“”‘’\n\\:,{{}}]{{1,80}})[\"'“”‘’]{COLON}")
INNER_COLON = re.compile(r"[\"'“”‘’]\s*+:")
# What strict JSON has after a key: a value that is whole, or a text that the end of all cuts off.
STRICT_VALUE = re.compile(
    r"[ \t\r\n]*+(?:[-\d\[{tfn]|\"(?:[^\"\\\n]|\\[^\n]){0,2000}+(?:\"[ \t\r\n]*+(?:[,}]|\Z)|\\?\Z(?<![\]}\"])))"
)
STRUCTURE = re.compile(r"[,{}\[\]\n]|:(?!\w)")
FENCE = re.compile(r"```|~~~|'''")
FENCED_TEXT = re.compile(r"```(?:[ \t]*[\w+.#-]{0,30}(?:[ \t][^\n`]{0,60})?\r?\n)?")
NEXT_ELEMENT = re.compile(rf"([\"'])[^\"'\n]{{0,160}}+\1{W}[,\]]")
COLONS = re.compile(rf":(?:{W}:)*+")
ESCAPED_QUOTED = re.compile(r'\\"([^"\\\n]*+)\\"')
SOUND_SCALAR = re.compile(rf"{PLAIN_NUMBER}|{_LITERAL[1:-1]}")
# Nothing but closers, or the end of a value and a paragraph behind it that has no structure.
ONLY_CLOSERS = re.compile(
    r"(?:[ \t\r}\])]|\n(?![ \t\r]*\n))*+(?:\s*+\Z|\n[ \t\r]*\n[^\"{}\[\]]*+\Z|\s*+(?:```|</)[^\"{}\[\]]*+\Z)"
)
STRING_GOES_ON = re.compile(
    rf"(?:[\"'][^\"'\n]{{0,300}}[\"']{W},{W}{QUOTED}{COLON}|, [^\"'{{}}\[\]\n]{{1,60}}\"{W},{W}{QUOTED}{COLON}[^{{}}\n]{{0,200}}\}})"
)
MISTYPED_CLOSER = re.compile(rf"{W}(?:,{W}{QUOTED}{COLON}|[}}\]]{W}(?:[,}}\]]|\Z))")
# A key with a value, behind at least a word of the comment that it stands in.
KEY_AFTER_WORDS = re.compile(rf"[\w.!?)\]][ \t]+(?={QUOTED}{COLON}{_STRONG_VALUE})")
CLOSER = re.compile(r"[}\])]")
# What stands behind a closer of the wrong kind: other closers, or nothing.
LINE_ENDS = re.compile(r"[ \t\r]*+\n")
CLOSERS_FOLLOW = re.compile(rf"{W}(?:[,}}\])]|\Z|```)")
HASH_WORD = re.compile(r"#\w[\w\-/!?]{0,60}[ \t]*+(?:[,;}\]]|\n|\Z)")
