"""A corpus for the JSON reader made by mutation: valid documents, written down with the faults of models, their values known by construction."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class MutatedCase(NamedTuple):
    """One text and the values it may be read as; `family` is the kind of fault that it is about."""

    family: str
    text: str
    accepted: tuple[Any, ...]


_KEYS = [
    "nota",
    "texto",
    "cliente",
    "preco_total",
    "itens",
    "ok",
    "motivo",
    "data_entrega",
    "canal",
    "sst",
    "latency_ms",
    "@type",
    "id",
]
_WORDS = [
    "entrega",
    "atrasada",
    "produto",
    "bom",
    "ruim",
    "loja",
    "azul",
    "São Paulo",
    "fone",
    "cabo",
    "João",
    "reembolso",
    "rede",
]
_TEXTS = [
    "bom, mas caro", "copo d'água", "nota: dez", "9-18", "2018-2019", "lista", "data", "http://x.com/a?b=1", "C:/temp", "a (b) c",
    "100% certo", "4,5 de 5", "R$ 1.234,56", "{x}", "[1]", "Rua A, 12", "", "não", "texto", "#promo", "x / y", "e-mail: a@b.com", "12:30",
]  # fmt: skip
_PROSE = ["Aqui está o resultado", "Segue a resposta", "Claro", "Resultado final", "Here is the JSON"]


def make_value(rng: random.Random, depth: int = 0) -> Any:
    """An object at the top, and in it what configurations and extractions hold."""
    roll = rng.random()
    if depth == 0 or (depth < 3 and roll < 0.15):
        return {key: make_value(rng, depth + 1) for key in rng.sample(_KEYS, rng.randint(2, 5))}
    if depth < 3 and roll < 0.3:
        kind = rng.randint(0, 2)
        count = rng.randint(1, 4)
        if kind == 0:
            return [rng.randint(0, 99) for _ in range(count)]
        if kind == 1:
            return [rng.choice(_WORDS) for _ in range(count)]
        return [make_value(rng, 2) for _ in range(min(2, count))]
    if roll < 0.5:
        return rng.choice([rng.randint(-5, 9999), rng.randint(0, 99), round(rng.uniform(0.1, 500), 2)])
    if roll < 0.62:
        return rng.choice([True, False, None])
    return rng.choice(_TEXTS) if rng.random() < 0.4 else " ".join(rng.sample(_WORDS, rng.randint(1, 3)))


class Style(NamedTuple):
    """How a value is written: each part is a function of the random generator and what it writes."""

    quote: Callable[[str], str] = lambda text: json.dumps(text, ensure_ascii=False)
    key: Callable[[str], str] | None = None
    scalar: Callable[[Any], str] = lambda value: json.dumps(value, ensure_ascii=False)
    colon: str = ": "
    comma: Callable[[], str] = lambda: ","
    gap: Callable[[str], str] = lambda place: ""
    trail: Callable[[], str] = lambda: ""
    array: tuple[str, str] = ("[", "]")
    pretty: bool = False


def write(value: Any, style: Style, indent: int = 0) -> str:
    """The text of a value in a style; `gap` writes comments, `trail` what stands before a closer."""
    line = "\n" + "  " * (indent + 1) if style.pretty else ""
    end = "\n" + "  " * indent if style.pretty else ""
    between = "" if style.pretty else " "
    if isinstance(value, dict):
        key = style.key or style.quote
        members = [f"{line}{key(name)}{style.colon}{write(item, style, indent + 1)}" for name, item in value.items()]
        return "{" + style.gap("open") + _join(members, style, between) + style.trail() + style.gap("close") + end + "}"
    if isinstance(value, list):
        elements = [f"{line}{write(item, style, indent + 1)}" for item in value]
        opener, closer = style.array
        single = "," if opener == "(" and len(value) == 1 else ""
        return opener + _join(elements, style, between) + (style.trail() if value else "") + single + end + closer
    return style.quote(value) if isinstance(value, str) else style.scalar(value)


def _join(parts: list[str], style: Style, between: str) -> str:
    return "".join(
        part if index == 0 else style.comma() + style.gap("between") + between + part
        for index, part in enumerate(parts)
    )


def _wrap(opener: str, closer: str) -> Callable[[str], str]:
    return lambda text: f"{opener}{text}{closer}"


_PAIRS = [
    "“”",
    "„“",
    "«»",
    "‘’",
    "＂＂",
    "″″",
    "´´",
    "``",
    "‟”",
    "”“",
    "»«",
    "「」",
    "『』",
    "‹›",
    "′′",
    "〝〞",
    "„”",
    "““",
    "””",
]
_COMMENTS = [
    "// nota: 3, {x}\n",
    "# antes, nota: 3\n",
    "/* a, b */",
    "<!-- x -->",
    "-- sem uso\n",
    "/* nota: [1] */",
    "// fim\n",
]
_PYTHON_WORDS = {True: "True", False: "False", None: "None"}


def _portuguese(value: Any) -> str:
    if isinstance(value, float):
        return str(value).replace(".", ",")
    words = {True: "verdadeiro", False: "falso", None: "nulo"}
    return words[value] if value is None or isinstance(value, bool) else json.dumps(value)


def _python(value: Any) -> str:
    return _PYTHON_WORDS[value] if value is None or isinstance(value, bool) else repr(value)


def _has(value: Any, kind: type, test: Callable[[Any], bool] = lambda item: True) -> bool:
    if isinstance(value, kind) and test(value):
        return True
    if isinstance(value, dict):
        return any(_has(item, kind, test) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(_has(item, kind, test) for item in value)
    return False


def _smart_quotes(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    pair = rng.choice(_PAIRS)
    style = Style(quote=_wrap(pair[0], pair[1]), pretty=rng.random() < 0.3)
    if pair == "＂＂":
        style = style._replace(colon=rng.choice([": ", "："]), comma=lambda: rng.choice([",", "，"]))
    return write(value, style), [value]


def _comments(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    def gap(place: str) -> str:
        return f" {rng.choice(_COMMENTS)}" if rng.random() < 0.5 else ""

    trail = "," if rng.random() < 0.3 else ""
    style = Style(gap=gap, pretty=rng.random() < 0.5, trail=lambda: trail)
    return rng.choice(["", "// json\n", "/* {} */ "]) + write(value, style), [value]


def _foreign_remarks(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    """Remarks in the marks of one other language, behind commas and openers, and at the ends of lines."""
    mark = rng.choice(["; {}", "% {}", "(* {} *)", "{# {} #}", "--[[ {} ]]", "<%-- {} --%>", "<- {}"])
    value = {key: item for key, item in value.items() if not isinstance(item, list | dict)} | {"z": "fim"}

    def gap(place: str) -> str:
        return f" {mark.replace('{}', rng.choice(['sem uso', 'conferir', 'do texto', 'veja a nota']))}"

    return write(value, Style(gap=gap, pretty=True)), [value]


def _end_marks(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = write(value, Style(pretty=rng.random() < 0.4))
    mark = rng.choice(
        ["<|im_end|>", "</s>", "<|eot_id|>", "<|endoftext|>", "<end_of_turn>", "<|im_end|>\n<|endoftext|>"]
    )
    turn = rng.choice(["", '\n\nUser: e agora?\nAssistant: {"k": 0}', '\nUsuário: outra\nAssistente: {"k": 1}'])
    return text + (turn or mark), [value]


def _loose_members(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))
    return rng.choice(["{}", "Segue:\n\n{}", "Resultado final:\n{}", "<think>hmm</think>\n{}"]).replace(
        "{}", text[1:].lstrip("\n")
    ), [value]


def _comment_before_closer(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = json.dumps(value, ensure_ascii=False)
    mark = rng.choice(["//", "#", "--"])
    return text[:-1] + rng.choice([" ", ", "]) + f"{mark} {rng.choice(['fim', 'sem uso', 'ok aqui'])} " + "}", [value]


def _python_literals(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    prefix = rng.choice(["", "", "u", "r", "b", "f"])
    style = Style(
        quote=lambda text: prefix + repr(text),
        key=rng.choice([repr, lambda text: "u" + repr(text)]) if prefix == "u" else repr,
        scalar=_python,
        array=rng.choice([("[", "]"), ("(", ")")]),
        pretty=rng.random() < 0.3,
    )
    text = write(value, style)
    return rng.choice(["{}", "resultado = {}", "dict({})", "OrderedDict({})", "```python\n{}\n```"]).replace(
        "{}", text
    ), [value]


def _keyword_call(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    value = {re.sub(r"\W", "", key): item for key, item in value.items()}
    inside = ", ".join(f"{key}={_python_repr(item)}" for key, item in value.items())
    return rng.choice(["dict({})", "Resposta: dict({})", "Pedido({})", "```python\nx = dict({})\n```"]).replace(
        "{}", inside
    ), [value]


def _python_repr(value: Any) -> str:
    return write(value, Style(quote=repr, scalar=_python))


def _commas(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    kind = rng.randint(0, 4)
    if kind == 0:
        style = Style(trail=lambda: rng.choice([",", ",,", " ,"]))
    elif kind == 1:
        style = Style(comma=lambda: rng.choice([",", ",,", " , ,"]))
    elif kind == 2:
        style = Style(comma=lambda: "", pretty=True)
    elif kind == 3:
        style = Style(comma=lambda: ";", pretty=rng.random() < 0.5)
    else:
        style = Style(colon=rng.choice([" = ", " => ", " := ", ":: "]), pretty=rng.random() < 0.5)
    return write(value, style), [value]


def _closers(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))
    kind = rng.randint(0, 2)
    if kind == 0:
        return text + rng.choice(["}", "]", "\n}"]), [value]
    if kind == 1:
        return text[:-1].rstrip(), [value]
    return "[" + text[:-1] + rng.choice(["]", "]}"]), [[value], value]


def _unclosed_quote(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    word = rng.choice(_WORDS)
    value = {"a": word, **value}
    quoted = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))
    return quoted.replace(f'"{word}",', rng.choice([f'"{word},', f'{word}",']), 1), [value]


def _inner_quotes(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    said = rng.choice(
        ['ele disse "{}" ontem', 'o "{}"', '"{}" é bom', 'usa "{}", e "{}" também', 'tela de 15" {}', '"{}"']
    )
    said = said.replace("{}", rng.choice(_WORDS))
    value = {**value, "fala": said} if rng.random() < 0.5 else {"fala": said, **value}
    text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))
    # ""text"" may also be a quote typed twice.
    alike = [value, {**value, "fala": said[1:-1]}] if said.count('"') == 2 and said[0] == said[-1] == '"' else [value]
    return text.replace(json.dumps(said, ensure_ascii=False), f'"{said}"'), alike


def _stray_words(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    value = {"a": rng.choice([True, None, 3, 4.5, "sim"]), **value}
    text = json.dumps(value, ensure_ascii=False)
    return text.replace(", ", f", {rng.choice(['COMENTARIO', 'ops', 'NOTA'])} ", 1), [value]


def _bare(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    value = {key: item for key, item in value.items() if not isinstance(item, str)} | {
        "t": rng.choice(_WORDS), "u": rng.choice(["entrega (rápida)", "loja do centro", "João da Silva", "f(x) = 2"])
    }  # fmt: skip
    style = Style(pretty=rng.random() < 0.5)
    text = write(value, style)
    for key in value:
        if re.fullmatch(r"\w+", key):
            text = text.replace(f'"{key}": ', f"{key}: ", 1)
    for word in (value["t"], value["u"]):
        text = text.replace(f'"{word}"', word)
    return text, [value]


def _decimals(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    value = {key: item for key, item in value.items() if not isinstance(item, list | dict)} | {
        "x": 4.5,
        "ids": [1, 2, 3],
        "y": 0.25,
    }
    text = write(value, Style(pretty=rng.random() < 0.4, scalar=_portuguese))
    return text, [value]


def _fences(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))
    form = rng.choice(
        [
            "```json\n{}\n```", "```\n{}\n```", "~~~json\n{}\n~~~", "````json\n{}\n````", "```json{}```", "```JSON\n{}\n```\n", "'''json\n{}\n'''",
            "Texto:\n\n```json\n{}\n```\n\nFim com {chaves} e [1].", "```json\n{}", "{}\n```", "[```json\n{}\n```]", "```python\nx = 1\n```\n```json\n{}\n```",
            "> ```json\n> {}\n> ```", "- item\n\n  ```json\n  {}\n  ```", "```json title=\"a\"\n{}\n```", "```\n```\n{}",
        ]
    )  # fmt: skip
    if form.startswith("> "):
        text = text.replace("\n", "\n> ")
    return form.replace("{}", text), [value]


def _fence_inside(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    code = rng.choice(["print(1)", "x = {1: 2}", 'print("oi")', "for a in b:\n    pass", '{"k": 1}'])
    kind = rng.randint(0, 2)
    if kind == 0:
        value = {"code": f"```py\n{code}\n```", **value}
        text = json.dumps(value, ensure_ascii=False)
        written = text.replace(json.dumps(value["code"], ensure_ascii=False), f'"{value["code"]}"')
        return f"```json\n{written}\n```", [value]
    value = {"code": code, **value}
    text = json.dumps(value, ensure_ascii=False)
    written = text.replace(json.dumps(code, ensure_ascii=False), f"```python\n{code}\n```", 1)
    return (written if kind == 1 else f"```json\n{written}\n```"), [value]


def _prose(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))
    form = rng.choice(
        [
            "Conforme [1] e [2], o resultado é: {}", "{} é a resposta.", "O campo {nome} foi lido.\n{}", "resultado = {}; return x",
            "Aqui vai :) {} ;)", "callback({});", "A lista [a, b] não importa.\n\n{}\n\n(Tokens: [12, 40])", "<answer>{}</answer>", "JSON: {}.",
            "Formato: {\"nota\": \"<int>\"}\n\n{}", "{}\n\nObs.: usei {x}.", "Não há erros (veja {}).",
        ]
    )  # fmt: skip
    return form.replace("{}", text), [value]


def _several(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))
    key = next(iter(value))
    other = json.dumps({**value, key: "outro"}, ensure_ascii=False)
    form = rng.choice(
        [
            "Rascunho: OTHER\n\nResposta final: {}", "OTHER\n\nCorrigindo, a versão final é:\n\n{}", "{}\n\nExemplo de formato: OTHER", "{}\n{}",
            "```json\nOTHER\n```\nO bloco acima está errado.\n```json\n{}\n```", "OTHER\n\nDesconsidere o bloco acima.\n\n{}", "{}\n\nNota: usei {\"modelo\": \"x\"}",
            "O aluno escreveu \"{\"k\": 10\". Veredito: {}", "<think>OTHER</think>{}\n\nNota: usei {\"modelo\": \"x\"}", "OTHER não vale; o certo é {}",
        ]
    )  # fmt: skip
    return form.replace("OTHER", other).replace("{}", text), [value]


def _reasoning(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = json.dumps(value, ensure_ascii=False)
    tag = rng.choice(["think", "thinking", "reasoning", "scratchpad", "pensamento", "analysis"])
    form = rng.choice(
        [
            '<T>{"k": 0}</T>{}',
            '<T>\nTalvez {"k": 0}?\n</T>\n\n{}',
            'hmm {"k": 0}\n</T>\n{}',
            "<T>a</T>\n```json\n{}\n```",
        ]
    )
    return form.replace("T>", f"{tag}>").replace("{}", text), [value]


def _cut(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))
    return text[: rng.randint(1, len(text) - 1)], [value]


def _composed(rng: random.Random, value: Any) -> tuple[str, list[Any]]:
    """Several faults at once."""
    pair = rng.choice(["“”", "«»", '""', '""', "''", "〝〞"])
    value = {re.sub(r"\W", "", key): item for key, item in value.items()} | {"x": 4.5}
    if pair == "''":
        value = {key: item for key, item in value.items() if not _has(item, str, lambda text: "'" in text)}
    trail = rng.choice(["", ",", ",,"])

    def gap(place: str) -> str:
        return f" {rng.choice(_COMMENTS)}" if place != "open" and rng.random() < 0.3 else ""

    style = Style(
        quote=_wrap(pair[0], pair[1]),
        key=(lambda name: name) if rng.random() < 0.3 else None,
        scalar=rng.choice([_portuguese, _python]) if not _has(value, list) else _python,
        comma=lambda: rng.choice([",", ",", ";", ",,"]),
        gap=gap,
        trail=lambda: trail,
        pretty=rng.random() < 0.5,
    )
    return write(value, style), [value]


FAMILIES: dict[str, Callable[[random.Random, Any], tuple[str, list[Any]]]] = {
    "smart quotes": _smart_quotes,
    "comments": _comments,
    "comment before closer": _comment_before_closer,
    "foreign remarks": _foreign_remarks,
    "end marks": _end_marks,
    "loose members": _loose_members,
    "python": _python_literals,
    "keyword call": _keyword_call,
    "commas": _commas,
    "closers": _closers,
    "unclosed quote": _unclosed_quote,
    "inner quotes": _inner_quotes,
    "stray words": _stray_words,
    "bare text": _bare,
    "decimals": _decimals,
    "fences": _fences,
    "fence inside": _fence_inside,
    "prose": _prose,
    "several": _several,
    "reasoning": _reasoning,
    "cut": _cut,
    "composed": _composed,
}
_WRAPS = [
    "{}",
    "{}",
    "{}",
    "PROSE:\n\n{}",
    "```json\n{}\n```",
    "<think>hmm</think>\n{}",
    "PROSE:\n```\n{}\n```\nAté logo.",
]
_SELF_WRAPPED = {
    "end marks",
    "loose members",
    "fences",
    "fence inside",
    "prose",
    "several",
    "reasoning",
    "cut",
    "keyword call",
    "python",
}


def make_cases(count: int, seed: int) -> Iterator[MutatedCase]:
    """`count` cases, the families in turn; half of those whose form allows it stand in prose, a fence or behind reasoning."""
    names = list(FAMILIES)
    for index in range(count):
        rng = random.Random(f"{seed}-{index}")
        family = names[index % len(names)]
        value = make_value(rng)
        text, accepted = FAMILIES[family](rng, value)
        if family not in _SELF_WRAPPED and rng.random() < 0.5:
            text = rng.choice(_WRAPS).replace("PROSE", rng.choice(_PROSE)).replace("{}", text)
        yield MutatedCase(family, text, tuple(accepted))
