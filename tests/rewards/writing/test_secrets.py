"""What counts as a secret: by name, by shape, by the environment; and what does not, so that a config stays readable."""

import io
import os
import sys
from contextlib import redirect_stderr
from typing import ClassVar
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewards.errors import RecompensaError, UserError
from rewards.host.scoring import RewardHost
from rewards.screen.command_line import run_command
from rewards.types import Completion, Example, RewardFunction, Score
from rewards.writing import secrets as hiding
from rewards.writing.secrets import HIDDEN, find_secrets, hide_environment, redact, redact_text
from rewards.writing.writable import to_line

NOTHING: dict[str, str] = {}


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "apikey",
        "API-KEY",
        "hub_token",
        "token",
        "password",
        "client_secret",
        "credentials",
        "aws.access_key",
    ],
)
def test_value_under_a_secret_name_is_hidden(key):
    """The usual names of keys, in any case and spelling."""
    assert redact({key: "abcdef123456"}, NOTHING) == {key: HIDDEN}
    assert find_secrets({"a": {key: "abcdef123456"}}, NOTHING) == [f"a.{key}"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_tokens", 512), ("tokens", "many words here"), ("eos_token", "<|im_end|>"), ("tokenizer", "Polygl0t/Tucano2"), ("token", "none"),
        ("revision", "0123456789abcdef0123456789abcdef01234567"), ("key_f1", "field_f1_strict"), ("api_key", None), ("secret", "two words of text"),
    ],
)  # fmt: skip
def test_value_that_is_no_secret_is_kept(key, value):
    """Counts, tokens of a tokenizer, revisions and words stay as they are."""
    assert redact({key: value}, NOTHING) == {key: value}
    assert find_secrets({key: value}, NOTHING) == []


@pytest.mark.parametrize(
    "text",
    ["hf_AbCdEfGhIjKlMnOpQrSt", "sk-proj-0123456789abcdefghij", "ghp_0123456789abcdefghijklmn", "AKIAABCDEFGHIJKLMNOP", "xoxb-1234567890-abc"],
)  # fmt: skip
def test_text_with_the_shape_of_a_key_is_hidden_inside_other_text(text):
    """A key in a note is no better than one in a field."""
    assert redact_text(f"use {text}, please", NOTHING) == f"use {HIDDEN}, please"


def test_assignments_logins_and_headers_lose_their_values_only():
    """What is hidden leaves readable what it was."""
    assert (
        redact_text("--set rewards.api_key=abcdef123456 --set seed=3", NOTHING)
        == f"--set rewards.api_key={HIDDEN} --set seed=3"
    )
    assert redact_text("https://ana:senha123@example.org/x", NOTHING) == f"https://{HIDDEN}@example.org/x"
    assert redact_text("Authorization: Bearer abcdef123456", NOTHING) == f"Authorization: Bearer {HIDDEN}"


def test_values_of_the_environment_are_hidden_wherever_they_occur():
    """The longest first, so that a key that begins like another is hidden whole; short values and other variables are words."""
    environment = {"WANDB_API_KEY": "0123456789", "HF_TOKEN": "0123456789abc", "MY_SECRET": "on", "HOME": "/home/ana"}
    assert redact(["x0123456789abcx", "0123456789", "on", "/home/ana"], environment) == [
        f"x{HIDDEN}x",
        HIDDEN,
        "on",
        "/home/ana",
    ]


LETTERS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=12, max_size=40)
PLANTED = (
    "HF_TOKEN",
    "WANDB_API_KEY",
    "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "OPENAI_KEY",
    "GITHUB_PAT",
)


class Careless(RewardFunction):
    """Says what it knows, as a client's error does."""

    name: ClassVar[str] = "careless"
    version: ClassVar[str] = "1"
    raises: bool = True

    def __call__(self, example, completion):
        said = f"401 for https://ana:{os.environ['SERVICE_URL'].split(':')[2].split('@')[0]}@x/ with {completion.text}"
        if self.raises:
            raise RuntimeError(said)
        return Score(1.0, said)


@pytest.mark.parametrize("raises", [True, False])
@given(secrets=st.lists(LETTERS, min_size=len(PLANTED) + 1, max_size=len(PLANTED) + 1, unique=True))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_secrets_when_planted_and_a_fault_is_raised_then_nobody_writes_them(raises, secrets):
    """Stored rows, lines of a log, messages, settings for a tracker, tracebacks: the same few places write all of them."""
    from callbacks.progress import Progress

    planted = dict(zip(PLANTED, secrets, strict=False))
    url = f"postgres://ana:{secrets[-1]}@host/db"
    with mock.patch.dict(os.environ, {**planted, "SERVICE_URL": url, "NUMBER": str(secrets)}):
        hiding._known_values.cache_clear()
        text = " ".join(planted.values())
        out = []
        with RewardHost([Careless(raises=raises)]) as host:
            (scored,) = host.score([(Example("1", "t", [{"role": "user", "content": "a"}], None), Completion(text))])
        record = host.to_record(scored)
        out.append(to_line({"scores": record["scores"]}).decode())
        out.append(str(scored.outcomes[0].trace))
        shown = io.StringIO()
        Progress(stream=shown).warn(f"wandb failed ({url}, {text})")
        out.append(shown.getvalue())

        def fail(error):
            raise error

        ended = SystemExit(f"{url} {text}")  # of a library
        for error in (UserError(f"{url}: no answer with {text}"), RecompensaError(text), OSError(5, text, url), ended):
            with redirect_stderr(shown := io.StringIO()):
                run_command(lambda error=error: fail(error))
            out.append(shown.getvalue())
        with redirect_stderr(shown := io.StringIO()):
            try:
                fail(RuntimeError(text + url))
            except RuntimeError as error:
                sys.excepthook(type(error), error, error.__traceback__)
        out.append(shown.getvalue())
        out.append(str(redact({"note": text, "uri": url, "nested": [{"a": f"x{text}"}]})))
    hiding._known_values.cache_clear()
    for said in out:
        assert HIDDEN in said or said in ("", "None"), said
        assert not [secret for secret in secrets if secret in said], said


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_hiding_twice_is_hiding_once(value):
    """What is written over once does not change again, so that a resumed run keeps its config."""
    once = redact(value, NOTHING)
    assert redact(once, NOTHING) == once


@pytest.mark.parametrize(
    "value",
    [
        "AIza" + "b" * 35, "glpat-" + "c" * 20, "sk_live_" + "d" * 24, "npm_" + "e" * 36, "dop_v1_" + "0f" * 32,
        "SG." + "g" * 22 + "." + "h" * 43, "gsk_" + "i" * 40, "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_keys_of_other_vendors_are_known_by_their_shape(value):
    """Under any name, in any text."""
    assert find_secrets({"note": f"see {value} there"}, NOTHING) == ["note"]
    assert value not in redact_text(f"--note={value}", NOTHING)


def test_page_that_repeats_a_secret_of_the_environment_is_shown_without_it():
    """A completion may quote what stood in the data."""
    page = hide_environment("<td>hf-value-12345 and hf-value-12345</td>", {"HF_TOKEN": "hf-value-12345", "LANG": "and"})
    assert page == f"<td>{HIDDEN} and {HIDDEN}</td>"
