"""What counts as a secret: by name, by shape, by the environment; and what does not, so that a config stays readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbacks.tracking.secrets import HIDDEN, find_secrets, hide_environment, redact, redact_text

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
