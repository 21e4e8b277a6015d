"""The Modelfile of Ollama: the GGUF file, where an answer ends, and the chat template in Ollama's own language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grpo.policy.chat_template import Messages

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_SYSTEM, _USER, _REPLY, _AGAIN = "\x01system\x01", "\x01user\x01", "\x01reply\x01", "\x01again\x01"


@dataclass(frozen=True, slots=True)
class TurnShape:
    """A chat template as the texts between the turns; what Ollama's language can say.

    `default` stands where there is no system turn; `last` follows the last question, `middle` one that was answered.
    """

    system: tuple[str, str] | None
    default: str
    user: str
    middle: str
    last: str
    reply: str

    def render(self, messages: Messages) -> str:
        """The conversation as Ollama would render it, up to the assistant's header."""
        parts = []
        if messages[0]["role"] == "system" and self.system is not None:
            parts += [self.system[0], messages[0]["content"], self.system[1]]
            messages = messages[1:]
        else:
            parts.append(self.default)
        for number, message in enumerate(messages):
            if message["role"] == "user":
                tail = self.last if number == len(messages) - 1 else self.middle
                parts += [self.user, message["content"], tail]
            else:
                parts += [message["content"], self.reply]
        return "".join(parts)

    def write(self) -> str:
        """The template in Go's language; every text is quoted, so that no white space is lost."""
        if self.system is None:
            head = _quote(self.default)
        else:
            before, after = map(_quote, self.system)
            head = "{{ if .System }}" + before + "{{ .System }}" + after
            head += "{{ else }}" + _quote(self.default) + "{{ end }}"
        return (
            head
            + "{{ range $number, $_ := .Messages }}"
            + '{{ if eq .Role "user" }}'
            + _quote(self.user)
            + "{{ .Content }}"
            + "{{ if eq (len (slice $.Messages $number)) 1 }}"
            + _quote(self.last)
            + "{{ else }}"
            + _quote(self.middle)
            + "{{ end }}"
            + '{{ else if eq .Role "assistant" }}{{ .Content }}'
            + _quote(self.reply)
            + "{{ end }}{{ end }}"
        )


def find_shape(
    render: Callable[[Messages], str], conversations: Sequence[Messages], start: str = ""
) -> TurnShape | None:
    """The shape of a template, told from what it renders; None where it is not made of texts between turns.

    `start` is the start token where the runtime writes it by itself.
    """

    def without_start(messages: Messages) -> str:
        return render(messages).removeprefix(start)

    asked, again = {"role": "user", "content": _USER}, {"role": "user", "content": _AGAIN}
    replied, told = {"role": "assistant", "content": _REPLY}, {"role": "system", "content": _SYSTEM}
    try:
        first, last = _cut(without_start([asked]), _USER)
        begin, middle, between, end = _cut(without_start([asked, replied, again]), _USER, _REPLY, _AGAIN)
    except Exception:  # the template refuses the trial, or rewrites what is said
        return None
    user = _common_end(first, between)
    system = None
    try:
        head, after, _ = _cut(without_start([told, asked]), _SYSTEM, _USER)
        user = _common_end(user, after)
        system = (head, after.removesuffix(user))
    except Exception:  # no system turns; then none is offered
        pass
    if begin != first or end != last:
        return None
    shape = TurnShape(system, first.removesuffix(user), user, middle, last, between.removesuffix(user))
    trials: list[Any] = [[asked], [asked, replied, again], *conversations]
    if system is not None:
        trials += [[told, asked], [told, asked, replied, again]]
    for messages in trials:
        try:
            if shape.render(messages) != without_start(messages):
                return None
        except Exception:
            return None
    return shape


def write_modelfile(
    file: str, shape: TurnShape | None, stops: Sequence[str], *, context: int, temperature: float
) -> str:
    """The Modelfile for a GGUF file that lies beside it."""
    lines = [f"FROM ./{file}"]
    if shape is not None:
        lines.append(f'TEMPLATE """{shape.write()}"""')
    else:
        lines.append(
            "# Its chat template cannot be said in Ollama's language: Ollama takes the one in the file where it knows it."
        )
    # Ollama takes the quotes off and reads no escapes; what it does not count as printable it drops.
    lines += [f'PARAMETER stop "{stop}"' for stop in stops if stop.isprintable() and stop.strip()]
    lines += [f"PARAMETER temperature {temperature:g}", f"PARAMETER num_ctx {context}"]
    return "\n".join(lines) + "\n"


def _cut(text: str, *words: str) -> list[str]:
    """The text around the words, which stand in it once each and in this order."""
    pieces = []
    for word in words:
        before, found, text = text.partition(word)
        if not found or word in text:
            raise ValueError(word)
        pieces.append(before)
    return [*pieces, text]


def _common_end(one: str, other: str) -> str:
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return one[len(one) - count :]


def _quote(text: str) -> str:
    """An action of Go's template language that writes the text; empty for no text.

    What does not print is escaped: Ollama's reader drops it elsewhere, and Go knows no halves of surrogate pairs.
    """
    quoted = "".join(
        each if each.isprintable() and each not in '"\\' else _ESCAPES.get(each) or _escape(ord(each)) for each in text
    )
    return '{{ "' + quoted + '" }}' if text else ""


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
