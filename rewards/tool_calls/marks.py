"""The marks that open and close tool calls, reasoning and fences, as regular expressions that run in linear time."""

from __future__ import annotations

import re

from rewards.extraction.reasoning import TAG_NAMES as THINK
from rewards.tool_calls import markup

BAR = r"[|｜]"
GAP = r"[▁_ ]"
# Tags and tokens behind which nothing but calls can stand.
MARKER = (
    r"<(?!no_)(?:[\w-]{1,20}[:_])?(?:tool_calls?|function_calls?|toolcalls?|use_tool|use_mcp_tool|tool_use|invoke)>|<TOOLCALL>|<｜DSML｜function_calls>"
    r"|<\|tool_call\|>|<\|tool_call>|<\|tool_call_start\|>|<\|python_start\|>|<\|python_tag\|>|<\|START_ACTION\|>|<\|tools_prefix\|>"
    r"|<\|action_start\|>\s*<\|plugin\|>|\[TOOL_CALLS\]|\[TOOL_REQUEST\]|(?<![\w])functools(?=\s*\[)|->\s*tool/function_call"
    r"|function call\s*<\|role_sep\|>|<start_function_call>"
)
BEGIN = rf"<{BAR}tool{GAP}call{GAP}begin{BAR}>|(?<![\w])function\s*<{BAR}tool{GAP}sep{BAR}>"
HARMONY = (
    r"\bto=(?:functions\.)?(?P<recipient>[A-Za-z_][\w.-]{0,199})(?=[^{}\n]{0,120}<\|message\|>)"
    r"|\bto=functions\.(?P<plain>[A-Za-z_][\w.-]{0,199})(?=[^{}\n]{0,80}\{)"
)
# What may stand before a call in Python on its line: a number or bullet, a word that announces it, `await`.
LEAD = (
    r"[ \t]*(?:(?:\d{1,2}[.)]|[-*•→])[ \t]+)?(?:\**(?:tool[ _]?call|function[ _]?call|call|action|chamada)\**[ \t]?:\**[ \t]*)?[`*]{0,2}"
    r"(?:(?:(?:const|let|var)[ \t]+)?(?P<ASSIGNED>[A-Za-z_]\w{0,40})[ \t]*=[ \t]*)?(?:await[ \t]+)?"
)
ASSIGNED = re.compile(r"[^\W\d]\w{0,40}[ \t]*=[ \t]*(?:await[ \t]+)?(?=[^\W\d][\w.]{0,199}\()")
# What a program does with the results of its calls.
SHOWN = re.compile(r"(?:\s*(?:print|final_answer)\(\s*\w{1,60}\s*\)[ \t]*;?){0,8}\s*")
REACT = (
    r"(?:^|(?<=>))[ \t]*(?:\**Action\**:\**|✿FUNCTION✿:)[ \t]*`?(?P<action>[A-Za-z_][\w.-]{0,199})`?[ \t]*\n+"
    r"[ \t]*(?:\**Action Input\**:\**|✿ARGS✿:)[ \t]*(?:```\w*\s*(?=\{))?"
)
LABELLED = (
    r"(?:^|(?<=>))[ \t]*\**(?:Tool|Function)(?: Name)?\**:\**[ \t]*`?(?P<labelled>[A-Za-z_][\w.-]{0,199})`?[ \t]*\n+"
    r"[ \t]*\**(?:Arguments|Parameters|Args|Input)\**:\**\s*(?:```\w*\s*)?(?=\{)"
)
FUNCTIONARY = (
    r">>>(?!all\b)[ \t]*(?P<sender>[A-Za-z_][\w.-]{0,199})[ \t]*\n\s*(?=\{)"
    r"|<\|recipient\|>[ \t]*(?P<addressee>[A-Za-z_][\w.-]{0,199})\s*<\|content\|>\s*(?=\{)"
)
# A tag named as functions are, with tags inside it.
ELEMENT = r"<(?P<element>[A-Za-z][A-Za-z0-9]{0,40}(?:_[A-Za-z0-9]{1,40}){1,8})>(?=\s*<[A-Za-z_])"
START = re.compile(
    rf"(?P<marker>{MARKER})|(?P<begin>{BEGIN})|(?P<harmony>{HARMONY})"
    rf"|(?P<analysis><\|channel\|>\s{{0,8}}analysis\b)"
    rf"|(?P<open><\|?(?:{THINK})(?:\s[^<>\n]{{0,80}})?\|?>|\[(?:THINK|THINKING|REASONING)\]|◁think▷|<\|START_THINKING\|>)"
    rf"|(?P<close><\|?/(?:{THINK})\|?\s{{0,8}}>|\[/(?:THINK|THINKING|REASONING)\]|◁/think▷|<\|END_THINKING\|>)"
    rf"|(?P<markup>{markup.OPEN.pattern.replace('?P<name>', '?:')})"
    r"|(?P<parameter><(?:[\w-]{1,20}:|｜DSML｜)?param(?:eter)?(?:\s*=|\s+name\s*=))"
    r"|(?P<fence>```[ \t]*(?P<language>[\w+-]*)[ \t]*\n?)"
    rf"|(?P<react>{REACT})|(?P<labels>{LABELLED})|(?P<functionary>{FUNCTIONARY})|(?P<elements>{ELEMENT})"
    r"|(?P<json>[{\[])"
    rf"|(?P<line>(?:^|(?<=>)){LEAD.replace('ASSIGNED', 'assigned')}(?=[^\W\d][\w.-]{{0,199}}\())",
    re.IGNORECASE | re.MULTILINE,
)
# Where a mark can start: most texts have few such places.
PLACE = re.compile(r"[<\[{`◁]|>>>")
PLACE_OR_WORD = re.compile(
    r"[<\[{`◁]|->|\bto=|\bfunctools\b|\bfunction(?= call\s*<|\s*<)|(?:^|(?<=>))(?:[ \t]*(?:\**Action\b|✿FUNCTION)|"
    rf"\**(?:Tool|Function)(?: Name)?\**:|{LEAD}[^\W\d][\w.-]{{0,199}}\()|>>>",
    re.MULTILINE | re.IGNORECASE,
)
MARKS = ("<", "{", "[", "`", "◁")
WORDS = (
    "(",
    "->",
    "to=",
    "functools",
    "function",
    "Function:",
    "Function Name:",
    "Tool:",
    "Tool Name:",
    "tool:",
    "function:",
    "Tool**",
    "Function**",
    "Name**",
    "Action",
    "action",
    "✿FUNCTION",
)
CLOSE = re.compile(
    rf"<\|?/(?:{THINK})\|?\s{{0,8}}>|\[/(?:THINK|THINKING|REASONING)\]|◁/think▷|<\|END_THINKING\|>", re.IGNORECASE
)
CHANNEL_END = re.compile(r"<\|end\|>|<\|start\|>|<\|channel\|>")
MARKER_END = re.compile(
    r"\s*(?:</(?:[\w-]{1,20}[:_])?(?:tool_calls?|function_calls?|toolcalls?|use_tool|use_mcp_tool|tool_use|invoke)>|</TOOLCALL>|</｜DSML｜(?:function|tool)_calls>|<\|tool_call_end\|>"
    r"|<\|python_end\|>|<\|END_ACTION\|>|<\|tools_suffix\|>|<\|action_end\|>|<tool_call\|>|\[END_TOOL_REQUEST\]|<end_function_call>"
    r"|<\|eom_id\|>|<\|eot_id\|>|</s>)",
    re.IGNORECASE,
)
ANOTHER = re.compile(MARKER, re.IGNORECASE)
BETWEEN = re.compile(r"[\s;,]*+")
SPACE = re.compile(r"\s*+")
# Between the lines of a program.
REMARKS = re.compile(r"(?:\s++|#[^\n]*+)*+")
# Behind a call that fills its line; a comment and a full stop are no more of a program than it is.
BLANKS = re.compile(
    r"[ \t`*]*+[.;]?[ \t`*]*+(?:\#[^\n]*)?(?:(?:<bot_end>|<\|[\w|]{1,40}\|>|</s>|<eos>|<end_of_turn>|</code>|</tool_code>)[ \t]*+)*+"
)
LINE = re.compile(r"[^\n]*+")
MESSAGE = re.compile(r"[^{}\n]{0,400}?<\|message\|>\s*|[^{}\n]{0,400}")
NO_MESSAGE = re.compile(r"\s*(?:<\|call\|>|<\|end\|>|\Z)")
MAY_BE_JSON = re.compile(r"[{\[]\s*[\[{\"'“‘\w}\]-]")
NAMED = re.compile(
    rf"\s*(?:function\s*<{BAR}tool{GAP}sep{BAR}>\s*)?(?P<name>[A-Za-z_][\w.:/-]{{0,199}})\s*"
    rf"(?:\[CALL_ID\][\w-]{{0,40}}|<{BAR}tool{GAP}sep{BAR}>|<\|tool_call_argument_begin\|>|\[ARGS\]|```(?:json)?|\s)*+(?=\{{)"
)
PAIRS = re.compile(r"\s*(?P<name>[A-Za-z_][\w.:/-]{0,199})\s*(?:<tool_sep>)?\s*(?=<(?:longcat_)?arg_key>)")
TAGGED = re.compile(
    r"\s*(?:<server_name>[^<>\n]{0,200}</server_name>\s*)?<(?:tool_|function_)?name>\s*(?P<name>[A-Za-z_][\w.:/-]{0,199})\s*</(?:tool_|function_)?name>\s*"
    r"(?:<(?P<tag>arguments|parameters|args|input)>\s*|(?=</))"
)
LONE_NAME = re.compile(
    r"\s*(?P<name>[A-Za-z_][\w.:/-]{0,199})(?:\s*<tool_sep>\s*|\s*\n\s*|(?<=\w\w\w))</(?:\w{1,20}_)?tool_call>",
    re.IGNORECASE,
)
# A name alone on the first line, as GLM 4 writes it before its arguments; a word of prose has no such form.
HEADLINE = re.compile(r"(?P<name>[a-z][a-z0-9]*(?:[_.][A-Za-z0-9]+|[A-Z][A-Za-z0-9]*){1,12})[ \t]*\n\s*\Z")
# The same after GLM 4's token, and a name of one word, which may as well be a heading.
TURN = re.compile(r"<\|assistant\|>(?P<name>[A-Za-z_][\w.-]{0,199})[ \t]*\n\s*\Z")
HEADING = re.compile(r"(?P<name>[A-Za-z_][\w-]{1,80})[ \t]*\n\s*\Z")
COUNTER = re.compile(r":\d+\Z")
AFTER_NAMED = re.compile(rf"\s*(?:```)?\s*(?:<{BAR}tool{GAP}call{GAP}end{BAR}>|<\|call\|>)?")
# What looks like the marker of a notation that is not read.
UNREAD = re.compile(
    r"<(?!\|?(?:no_|[\w:.-]{0,40}(?:response|result|output)))\|?[\w:.-]{0,40}(?:tool|function|invoke|call)[\w:.-]{0,40}\|?>"
    r"|<[|｜][^<>\n]{0,40}(?:tool|function|call|action)[^<>\n]{0,40}[|｜]>"
    r"|\[(?:[A-Z]+_)?(?:TOOL|FUNCTION|CALL|ACTION)S?(?:_[A-Z]+)*\]",
    re.IGNORECASE,
)
CODE = frozenset({"tool_code", "python", "py", "tool_call", "tool_calls", ""})
