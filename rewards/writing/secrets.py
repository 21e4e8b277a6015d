"""Keys and passwords kept out of what is written or sent: found by their names, by their shape, and by the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

HIDDEN = "(hidden)"
# `token` alone is a secret's name, `max_tokens` and `tokenizer` are not; a name may be said with _ or - or nothing.
_NAME = re.compile(
    r"(?:^|[_\-. ])(?:api[_-]?keys?|apikey|token|secret|passw(?:or)?d|passphrase|credentials?|authorization|bearer"
    r"|(?:private|access|secret|auth)[_-]?key)$",
    re.IGNORECASE,
)
_SHAPE = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_\-]{16,}|\bgh[opsu]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\bxox[abprs]-[\w\-]{10,}|\bwandb_v\d_\w{16,}|\beyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]+"
    # Google, GitLab, Stripe, npm, PyPI, DigitalOcean, SendGrid, Groq, xAI, Replicate, Azure storage, private keys.
    r"|\bAIza[\w\-]{35}|\bya29\.[\w\-]{20,}|\bglpat-[\w\-]{16,}|\b[sr]k_(?:live|test)_\w{16,}|\bnpm_\w{30,}"
    r"|\bpypi-[\w\-]{40,}|\bdop_v1_[0-9a-f]{40,}|\bSG\.[\w\-]{16,}\.[\w\-]{16,}|\bgsk_\w{20,}|\bxai-\w{20,}|\br8_\w{30,}"
    r"|\bAccountKey=[A-Za-z0-9+/=]{40,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_LOGIN = re.compile(r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)")
_ASSIGNED = re.compile(
    r"((?:api[_-]?keys?|apikey|token|secret|passw(?:or)?d|passphrase|credentials?|authorization|(?:private|access|auth)[_-]?key)"
    r"['\"]?\s*[=:]\s*['\"]?(?:bearer\s+)?)([^\s'\",}]+)",
    re.IGNORECASE,
)
# Names of environment variables have no separator at times: PGPASSWORD, OPENAI_KEY, AWS_ACCESS_KEY_ID.
_VARIABLE = re.compile(
    r"(?:api_?key|token|secret|passw(?:or)?d|passphrase|credentials?|_key|_key_id|_pat|_auth|authorization)$",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"://[^\s/@:]+:([^\s/@]+)@")
_INDEX = re.compile(r"\[\d+\]$")
# Shorter values are words such as `none` or `auto`, which would be hidden wherever they occur.
_SHORTEST = 8


def redact(value: Any, environment: Mapping[str, str] | None = None) -> Any:
    """A copy of nested plain data in which what looks like a secret reads `(hidden)`; numbers and shapes are kept."""
    return _redact(value, _secret_values(environment))


def redact_text(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A text, such as a command line, without the secrets in it."""
    return _redact_text(text, _secret_values(environment))


def hide_environment(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A page without the values of environment variables that are secrets, wherever in it they stand."""
    for value in _secret_values(environment):
        text = text.replace(value, HIDDEN)
    return text


def hide_known(text: str) -> str:
    """A line of a log, a message or a traceback without what is surely a secret: values of the environment, keys by their
    shape, logins of URLs. Names beside a value are not enough here: messages are about tokens and keys of other kinds too.
    """
    for value in _known_values(len(os.environ)):
        if value in text:
            text = text.replace(value, HIDDEN)
    return _LOGIN.sub(HIDDEN, _SHAPE.sub(HIDDEN, text))


def find_secrets(value: Any, environment: Mapping[str, str] | None = None) -> list[str]:
    """The dotted places of nested plain data at which something looks like a secret."""
    return [place for place, text in _walk(value, "") if _looks_secret(place, text, _secret_values(environment))]


def _secret_values(environment: Mapping[str, str] | None) -> tuple[str, ...]:
    """The values of environment variables with a secret's name, longest first, so that none is hidden in part."""
    environment = os.environ if environment is None else environment
    values = {value for name, value in environment.items() if _NAME.search(name) or _VARIABLE.search(name)}
    for value in environment.values():
        values.update(_URL_PASSWORD.findall(value))
    values = {value for value in values if len(value) >= _SHORTEST}
    return tuple(sorted(values, key=lambda value: (-len(value), value)))


@lru_cache(maxsize=1)
def _known_values(count: int) -> tuple[str, ...]:
    """Of this process's environment, read anew when it has another number of variables: this is asked for every message."""
    return _secret_values(None)


def _redact(value: Any, secrets: tuple[str, ...], name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _redact(item, secrets, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redact(item, secrets, name) for item in value]
    if not isinstance(value, str):
        return value
    return HIDDEN if _is_named_secret(name, value) else _redact_text(value, secrets)


def _redact_text(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _SHAPE.sub(HIDDEN, text)
    text = _LOGIN.sub(HIDDEN, text)
    return _ASSIGNED.sub(lambda match: match[1] + HIDDEN if len(match[2]) >= _SHORTEST else match[0], text)


def _looks_secret(place: str, text: str, secrets: tuple[str, ...]) -> bool:
    return _is_named_secret(place, text) or _redact_text(text, secrets) != text


def _is_named_secret(name: str, text: str) -> bool:
    # The tokens of a tokenizer, such as eos_token, are written in angle brackets.
    plain = len(text) >= _SHORTEST and not text.startswith("<") and not any(letter.isspace() for letter in text)
    return plain and _NAME.search(_INDEX.sub("", name)) is not None


def _walk(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _walk(item, f"{place}[{number}]")
    elif isinstance(value, str):
        yield place, value
