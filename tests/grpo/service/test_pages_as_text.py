"""The pages as the text that is sent: numbers in the reader's language, foreign text harmless, without a browser."""

from __future__ import annotations

import re
from types import SimpleNamespace

import orjson
import pytest

pytest.importorskip("fastapi")

from markupsafe import Markup
from starlette.testclient import TestClient

from grpo.language.catalogue import ENGLISH, PORTUGUESE, read_catalogue
from grpo.report.charts import Drawing
from grpo.service import rendering
from grpo.service.rendering import Renderer, _Numbers

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202eevil\x1b[31m"
NAME = "<b>r & \"q\" 'x'"


@pytest.fixture
def pages(application, root, write_run):
    """A client of the pages over a run in which every text is hostile."""
    write_run(root / NAME, steps=20)
    folder = root / NAME / "completions"
    folder.mkdir(exist_ok=True)
    rows = []
    for number in range(8):
        scores = {
            HOSTILE: {"value": 0.5, "status": "value", "reason": HOSTILE, "version": HOSTILE, "parts": {HOSTILE: 1.0}}
        }
        if number == 3:
            scores[HOSTILE] = {"value": None, "status": "error", "reason": HOSTILE, "version": HOSTILE}
        rows.append(
            {"id": HOSTILE, "task": HOSTILE, "prompt": [{"role": HOSTILE, "content": HOSTILE}], "completion": HOSTILE * 3,
             "reference": HOSTILE, "truncated": False, "reward": 0.1 * number, "scores": scores, "repairs": [HOSTILE],
             "columns": {HOSTILE: HOSTILE}, "step": 20, "stage": "train", "group": number // 4, "advantage": 0.5}
        )  # fmt: skip
    (folder / "step-000020.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    event = {"step": 3, "stage": "train", "rule": HOSTILE, "metric": HOSTILE, "value": 1.0, "limit": 0.5, "message": HOSTILE,
             "text": HOSTILE, "action": "stop"}  # fmt: skip
    (root / NAME / "watch.jsonl").write_bytes(orjson.dumps(event) + b"\n")
    with TestClient(application, base_url="http://localhost") as client:
        yield client


PLACES = ("/", "/new", "/compare", "", "/log", "/errors", "/steps/20", "/steps/20?group=0&first=1", "/steps/20?words=evil",
          "/evals/final")  # fmt: skip


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_pages_when_every_text_of_a_run_is_hostile_then_none_of_it_is_markup(pages, language):
    """In names, prompts, completions, reasons, columns, events: each is shown, and stays text."""
    from urllib.parse import quote

    shown = 0
    for place in PLACES:
        path = place if place in ("/", "/new", "/compare") else f"/runs/{quote(NAME)}{place}"
        answer = pages.get(path, headers={"accept-language": language})
        assert answer.status_code == 200, (path, answer.text[:300])
        assert f'lang="{language}"' in answer.text
        text = answer.text
        for raw in ("<script>alert", "<img src=x", "onerror=alert(2)>", "<b>r", "\u202e", "\x1b"):
            assert raw not in text.replace("&lt;img src=x onerror=alert(2)&gt;", ""), (path, raw)
        shown += text.count("&lt;script&gt;alert(1)")
        # What is in an attribute cannot end it.
        assert not re.search(r"=\"[^\"]*'&gt;&lt;img[^\"]*\"\s+onerror", text)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert shown > 20


def test_page_when_the_browser_has_it_already_then_it_is_not_sent_again(pages):
    """By its tag, for each language and theme its own; a refusal is always sent."""
    first = pages.get("/new")
    tag = first.headers["etag"]
    assert pages.get("/new", headers={"if-none-match": tag}).status_code == 304
    assert pages.get("/new", headers={"if-none-match": 'W/"other"'}).status_code == 200
    assert first.headers["vary"] == "Cookie, Accept-Language"
    other = pages.get("/new", headers={"if-none-match": tag, "accept-language": "pt"})
    assert other.status_code == 200 and other.headers["etag"] != tag


@pytest.mark.parametrize(
    ("to", "place"),
    [("/runs/a?b=1", "/runs/a?b=1"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("https://evil.example", "/"),
     ("", "/"), ("javascript:alert(1)", "/")],
)  # fmt: skip
def test_settings_when_they_are_chosen_then_the_reader_comes_back_to_a_place_of_this_page(pages, to, place):
    """Never to another site; what is no language and no theme is not kept."""
    answer = pages.get("/set", params={"to": to, "language": "pt-BR", "theme": "dark"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, place)
    cookies = answer.headers.get_list("set-cookie")
    assert [each.partition(";")[0] for each in cookies] == ["language=pt-BR", "theme=dark"]
    assert all("HttpOnly" in each and "Max-Age=31536000" in each for each in cookies)
    pages.cookies.clear()
    odd = pages.get("/set", params={"language": "xx", "theme": "plaid"}, follow_redirects=False)
    (gone,) = odd.headers.get_list("set-cookie")  # a theme that is none takes the choice back
    assert gone.startswith('theme=""') and "Max-Age=0" in gone
    assert not pages.get("/set", follow_redirects=False).headers.get_list("set-cookie")


def test_steps_when_the_last_one_is_asked_for_then_it_is_the_newest_that_is_stored(pages, root, write_run):
    """A run without any leads back to its page."""
    from urllib.parse import quote

    answer = pages.get(f"/runs/{quote(NAME)}/steps", follow_redirects=False)
    assert answer.headers["location"] == f"/runs/{quote(NAME, safe='')}/steps/20"
    write_run(root / "young", steps=0)
    for path in (root / "young" / "completions").glob("*"):
        path.unlink()
    answer = pages.get("/runs/young/steps", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/young")
    assert pages.get("/runs/young/steps/20").status_code == 404


# -- numbers and texts ------------------------------------------------------------------------------------------------------


def test_numbers_when_written_then_they_are_those_of_the_language():
    """A true minus, a dash where there is none, no truth values; decimal commas in Portuguese."""
    english, portuguese = _Numbers(read_catalogue(ENGLISH)), _Numbers(read_catalogue(PORTUGUESE))
    assert [english.number(value) for value in (1.23456, -0.5, 2, None, True, "1")] == [
        "1.235",
        "−0.500",
        "2.000",
        "–",
        "–",
        "–",
    ]
    assert (english.number(0.5, 1), portuguese.number(1.25, 2)) == ("0.5", "1,25")
    assert [english.signed(value) for value in (0.25, -0.25, None)] == ["+0.250", "−0.250", "–"]
    assert english.signed(0.25, 1) == "+0.2" and portuguese.signed(0.25) == "+0,250"
    assert [english.short(value) for value in (0.000123456, -1234.0, None)] == ["0.000123", "−1.23e+03", "–"]
    assert [english.count(value) for value in (1234567, 0.4, None)] == ["1,234,567", "0", "–"]
    assert english.interval({"low": 0.1, "high": 0.25}) == "0.100 to 0.250"
    assert english.interval(SimpleNamespace(low=-1.0, high=2)) == "−1.000 to 2.000"
    assert english.interval({"low": None, "high": None}) == "" and english.interval({}) == ""
    assert portuguese.interval({"low": 0.1, "high": 0.25}) == "0,100 a 0,250"


def test_chart_when_its_labels_are_hostile_then_only_its_shapes_are_markup():
    """Names of tasks stand beside lines, and in what is read aloud."""
    drawing = Drawing('<path d="M0 0"/>', [("left", True, 40.0, HOSTILE), ("right", False, 60.0, "b")], [(12.3456, "0.5")],
                      [(50.0, HOSTILE)], HOSTILE)  # fmt: skip
    text = _Numbers(read_catalogue(ENGLISH)).chart(drawing)
    assert isinstance(text, Markup) and "<script" not in text and "<img" not in text
    assert text.count("&lt;script&gt;") == 3 and '<path d="M0 0"/>' in text
    assert '<text x="100%" y="12.35%">0.5</text>' in text and '<text x="50.0%" y="13">' in text
    assert '<text class="left" x="4" y="40.0%" dy="13">' in text
    assert '<text class="right" x="100%" y="60.0%" dy="-4">b</text>' in text


def test_texts_when_a_template_prints_them_then_what_is_no_text_is_left_and_nothing_is_empty():
    """None is nothing; markup is made by ourselves; a long text is cut and says by how much."""
    assert rendering._finalize(None) == "" and rendering._finalize(3) == 3
    assert rendering._finalize(Markup("<b>")) == "<b>" and "\u202e" not in rendering._finalize("a\u202eb")
    assert rendering._finalize("x" * 100_000) == "x" * 100_000 and "more characters" in rendering._finalize(
        "x" * 100_001
    )
    assert [rendering._show_text(value) for value in (None, 3, "a")] == ["", "3", "a"]
    assert "more characters" in rendering._show_text("x" * 6001) and rendering._show_text("x" * 6000) == "x" * 6000
    assert (rendering._say_seconds(None), rendering._say_bytes(None), rendering._stamp(None)) == ("–", "–", "–")
    assert rendering._say_bytes(int(1.25 * 2**30)) == "1.2 GiB"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d", rendering._stamp(1.7e9))


def test_version_when_a_style_changes_then_its_address_does(tmp_path, monkeypatch):
    """A browser that kept the old one would show the new page in it."""
    import shutil

    first = Renderer()._version
    assert first == Renderer()._version and len(first) == 12
    folder = tmp_path / "service"
    shutil.copytree(rendering._FOLDER, folder)
    monkeypatch.setattr(rendering, "_FOLDER", folder)
    assert Renderer()._version == first
    with next(path for path in (folder / "static").iterdir() if path.is_file()).open("a") as file:
        file.write(" ")
    assert Renderer()._version != first
