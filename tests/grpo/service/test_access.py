"""Who may pass the gate of the service: each rule alone, by the request that only this rule refuses or lets through."""

from __future__ import annotations

import asyncio

import orjson
import pytest

pytest.importorskip("fastapi")

from grpo.service.access import (
    COOKIE,
    PAGE_POLICY,
    READ,
    SUBMIT,
    AccessTokens,
    Gate,
    is_loopback,
)

TOKENS = AccessTokens("may-read", "may-submit")
BINDING = {
    "content-security-policy": PAGE_POLICY, "x-content-type-options": "nosniff", "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin", "cache-control": "no-store",
}  # fmt: skip


def ask(method="GET", path="/v1/runs", tokens=TOKENS, hosts=None, bodies=(b"",), answer=(), **headers):
    """Status, headers, body and what the application saw of it: its role, and the bodies or ends that it was given."""
    seen, sent, left = {}, [], list(bodies)

    async def application(scope, receive, send):
        seen["role"] = scope["state"]["role"]
        seen["received"] = [await receive() for _ in bodies]
        await send({"type": "http.response.start", "status": 200, "headers": [*answer]})
        await send({"type": "http.response.body", "body": b"passed"})

    async def receive():
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(Gate(application, tokens, hosts)(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent), seen


# -- tokens -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "role"),
    [
        ({"authorization": "Bearer may-read"}, READ),
        ({"authorization": "bearer  may-submit "}, SUBMIT),
        ({"authorization": "Basic may-submit"}, None),
        ({"authorization": "may-submit"}, None),
        ({"authorization": "Bearer "}, None),
        ({"authorization": "Bearer may-read2"}, None),
        ({"authorization": "Bearer \xe9"}, None),
        ({"cookie": f"{COOKIE}={TOKENS.cookie_of(READ)}"}, READ),
        ({"cookie": f"a=1; {COOKIE}={TOKENS.cookie_of(SUBMIT)}; b"}, SUBMIT),
        ({"cookie": f"x{COOKIE}={TOKENS.cookie_of(SUBMIT)}"}, None),
        ({"cookie": f"{COOKIE}=may-submit"}, None),  # the token itself is no cookie
        ({"cookie": f"{COOKIE}={TOKENS.cookie_of(SUBMIT)}", "authorization": "Bearer wrong"}, None),
        ({}, None),
    ],
)
def test_request_when_it_brings_a_token_or_a_cookie_then_its_role_is_that_of_the_one(headers, role):
    """A token in the header comes before the cookie of a browser."""
    status, found, body, seen = ask(**headers)
    if role is None:
        assert (status, found["www-authenticate"]) == (401, "Bearer") and seen == {}
        assert orjson.loads(body)["problems"][0].startswith("authorization: a token is needed")
    else:
        assert (status, seen["role"]) == (200, role)


@pytest.mark.parametrize(("token", "status"), [("may-read", 403), ("may-submit", 200), ("wrong", 401)])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_request_when_it_would_change_something_then_a_token_that_may_read_is_not_enough(method, token, status):
    """Whatever the method."""
    found, _, body, _ = ask(method, authorization=f"Bearer {token}")
    assert found == status
    if status == 403:
        assert orjson.loads(body) == {"problems": ["authorization: this token may read only"]}
    for safe in ("GET", "HEAD", "OPTIONS"):
        assert ask(safe, authorization=f"Bearer {token}")[0] == (401 if token == "wrong" else 200)


def test_tokens_when_there_is_only_one_then_the_other_role_is_nobodys():
    """Without any, everybody on this machine may do all; with one, nobody without it may do anything."""
    assert ask("POST", tokens=AccessTokens())[3]["role"] == SUBMIT
    reads, submits = AccessTokens(read="r"), AccessTokens(submit="s")
    assert [ask(tokens=each)[0] for each in (reads, submits)] == [401, 401]
    assert ask("POST", tokens=reads, authorization="Bearer r")[0] == 403
    assert ask("POST", tokens=submits, authorization="Bearer s")[0] == 200
    assert [reads.role_of(word) for word in ("", "r", "s")] == [None, READ, None]
    assert submits.role_of("") is None and not AccessTokens().needed and reads.needed and submits.needed
    # The cookie of a role that has no token is nobody's either.
    assert reads.role_of_cookie(AccessTokens(read="r").cookie_of(SUBMIT)) is None
    assert AccessTokens(read="x", submit="x").role_of("x") == SUBMIT


def test_cookie_when_it_is_made_then_it_does_not_hold_the_token_and_another_token_makes_another():
    """Stolen from a browser it opens this service, and is turned back into nothing."""
    first, second = TOKENS.cookie_of(READ), AccessTokens("other", "may-submit").cookie_of(READ)
    assert first.startswith("read.") and "may-read" not in first and first != second
    assert TOKENS.role_of_cookie(second) is None and TOKENS.role_of_cookie(first) == READ
    assert TOKENS.role_of_cookie("submit." + first.removeprefix("read.")) is None
    assert TOKENS.role_of_cookie("é") is None


@pytest.mark.parametrize("path", ["/login", "/logout", "/static/page.css", "/v1/health"])
def test_request_when_the_place_is_open_then_no_token_is_asked_for_and_foreign_sites_still_are_refused(path):
    """Whoever logs in has none yet; another site may not do it for him."""
    assert ask(path=path)[0] == 200 and ask("POST", path=path)[0] == 200
    assert ask("POST", path=path, origin="https://evil.example", host="here")[0] == 403
    assert ask(path=f"/v1{path}")[0] == 401
    assert ask(path=f"{path}/more")[0] == (200 if path.startswith("/static/") else 401)


@pytest.mark.parametrize(
    ("method", "accept", "status"),
    [
        ("GET", "text/html,*/*", 303),
        ("GET", "application/json", 401),
        ("HEAD", "text/html", 401),
        ("POST", "text/html", 401),
    ],
)
def test_request_when_a_browser_has_no_cookie_then_it_is_sent_to_the_login(method, accept, status):
    """A program gets the line; both with the headers that bind a page."""
    found, headers, body, _ = ask(method, path="/", accept=accept)
    assert found == status and headers.get("location") == ("/login" if status == 303 else None)
    assert (body == b"") == (status == 303)
    assert {name: headers[name] for name in BINDING} == BINDING


# -- other sites ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),  # a program
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"origin": "http://HERE:8080"}, True),
        ({"origin": "http://here"}, False),
        ({"origin": "http://here:8081"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "http://here:8080", "sec_fetch_site": "cross-site"}, False),
    ],
)
def test_request_when_another_site_makes_it_then_it_changes_nothing(headers, passes):
    """The browser says who asks; to look is allowed, since nobody else can read the answer."""
    given = {"host": "Here:8080", "authorization": "Bearer may-submit", **headers}
    status, _, body, _ = ask("POST", **given)
    assert status == (200 if passes else 403)
    if not passes:
        assert orjson.loads(body)["problems"] == ["origin: this request was made by another site"]
    assert ask("GET", **given)[0] == 200


@pytest.mark.parametrize(
    ("host", "passes"),
    [("name", True), ("NAME:8080", True), ("[::1]:8080", True), ("[::1]", True), ("evil.example", False), ("", False),
     ("name.evil.example", False), ("[::2]", False)],
)  # fmt: skip
def test_request_when_it_asks_under_a_name_that_is_not_ours_then_it_is_refused(host, passes):
    """A site whose name leads here (DNS rebinding) is of its own origin, and may read what it asks."""
    status, _, body, _ = ask(hosts=frozenset({"name", "::1"}), host=host, authorization="Bearer may-read")
    assert status == (200 if passes else 421)
    if not passes:
        assert "serve --name adds one" in orjson.loads(body)["problems"][0]
    assert ask(hosts=None, host=host, authorization="Bearer may-read")[0] == 200


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.1", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_address_when_only_this_machine_reaches_it_then_it_is_a_loopback(host, is_here):
    """On any other a service without a token is open to the network."""
    assert is_loopback(host) is is_here


# -- bodies and headers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "status"), [("1000000", 200), ("1000001", 413), ("-1", 200), ("many", 200), ("", 200)]
)
def test_body_when_it_says_that_it_is_too_large_then_it_is_not_read(length, status):
    """One million bytes are allowed; what is no number is counted as it comes."""
    found, _, body, seen = ask("POST", authorization="Bearer may-submit", content_length=length)
    assert found == status
    if status == 413:
        assert orjson.loads(body) == {"problems": ["body: larger than 1,000,000 bytes"]} and seen == {}
    assert ask("GET", authorization="Bearer may-submit", content_length=length)[0] == 200


def test_body_when_it_grows_too_large_then_it_ends_for_the_application():
    """Two halves of a million pass, one byte more is the end of the connection."""
    bodies = [b"x" * 500_000, b"x" * 500_000, b"x"]
    received = ask("POST", authorization="Bearer may-submit", bodies=bodies)[3]["received"]
    assert [message["type"] for message in received] == ["http.request", "http.request", "http.disconnect"]


def test_headers_when_a_page_is_sent_then_they_bind_it_and_its_own_come_first():
    """A report brings a policy of its own; nothing is said twice."""
    _, headers, body, _ = ask(
        authorization="Bearer may-read", answer=[(b"Content-Security-Policy", b"own"), (b"x", b"y")]
    )
    assert body == b"passed" and headers.pop("Content-Security-Policy") == "own" and headers.pop("x") == "y"
    assert headers == {name: value for name, value in BINDING.items() if name != "content-security-policy"}


def test_gate_when_it_is_no_request_then_it_passes_as_it_is():
    """The start and the end of the application."""
    seen = []

    async def application(scope, receive, send):
        seen.append((scope, receive, send))

    asyncio.run(Gate(application, TOKENS, frozenset())({"type": "lifespan"}, 1, 2))
    assert seen == [({"type": "lifespan"}, 1, 2)]
