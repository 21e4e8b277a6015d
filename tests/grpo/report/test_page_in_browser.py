"""The page in a real Chromium: nothing runs, nothing is fetched, nothing overflows, in light, dark, on a phone, on paper."""

import importlib.util
from pathlib import Path

import orjson
import pytest

from grpo.report import write_report

spec = importlib.util.spec_from_file_location("report_browser", Path(__file__).with_name("browser.py"))
chromium = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chromium)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for all tests of this file."""
    program = chromium.find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine: install one (apt-get install chromium) or set CHROMIUM to its path")
    with chromium.Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory, write_run):
    """The report of a whole run whose completions are partly hostile."""
    return write_report(write_run(tmp_path_factory.mktemp("runs") / "v4_1", steps=200))[0]


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory, hostile_texts):
    """The report of a run in which every text is hostile: completions, reasons, names, the decision, events, the audit."""
    folder = tmp_path_factory.mktemp("hostile")
    texts = [*hostile_texts, "<svg onload=document.title='stolen'>", "&lt;b&gt;", "x" * 1_000_000, "‮" * 50]
    write_hostile_run(folder, texts)
    return write_report(folder)[0]


def write_hostile_run(folder: Path, texts: list[str]) -> None:
    (folder / "eval").mkdir()
    bad = "<script>document.title='stolen'</script><img src=http://example.org/x onerror=document.title='stolen'>"
    rows = [
        {"id": text[:300], "task": f"t{n % 3}{bad}", "completion": text, "reference": text, "reward": n / 10, "repairs": [text[:99]],
         "prompt": [{"role": "user", "content": text}], "scores": {bad: {"value": 0.5, "reason": text, "version": bad, "parts": {bad: 0.5}}}}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    earlier = [{**row, "reward": 1 - row["reward"]} for row in rows]
    for name, stored in (("warmup", earlier), ("final", rows)):
        (folder / "eval" / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in stored))
    metrics = [
        {"stage": stage, "step": step, "eval/mean_reward": 0.4, f"eval/{bad}": 0.4, f"eval/{bad}_n": 5, "reward": 0.3, f"reward/{bad}": 0.3}
        for stage, step in (("warmup", 0), ("train", 1), ("train", 2), ("final", 3))
    ]  # fmt: skip
    node = {"name": bad, "question": bad, "outcome": bad, "value": 0.1, "threshold": 0.2, "margin": -0.1, "note": bad}
    objects = {
        "config.json": {"config": {"name": bad, "model": {"name": bad}}, "source": bad, "overrides": [bad], "profile": bad},
        "decision.json": {"scenario": bad, "title": bad, "reason": bad, "action": bad, "path": [node], "answers": {bad: {"question": bad, "answer": bad}}},
        "audit.json": {"passed": False, "errors": [bad], "warnings": [bad], "probes": {bad: {"gold": 1.0}}, bad: {bad: bad}},
        "plan.json": {"notes": [bad], "max_steps": 3}, "environment.json": {bad: bad, "packages": {bad: bad}},
        "status.json": {"stage": bad, "stopped_by": bad},
    }  # fmt: skip
    for name, value in objects.items():
        (folder / name).write_bytes(orjson.dumps(value))
    for name, lines in (
        ("metrics.jsonl", metrics),
        ("watch.jsonl", [{"rule": bad, "metric": "reward", "step": 2, "message": bad}]),
    ):
        (folder / name).write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def find_requests(browser) -> list[str]:
    """What the page asked for besides itself."""
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    return [url for url in asked if not url.startswith("file://")]


def find_complaints(browser) -> list[dict]:
    """What the browser complained about: errors, refused styles, scripts."""
    return [
        event
        for event in browser.events
        if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    ]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 768, 390])
def test_page_when_shown_then_it_fits_fetches_nothing_and_has_no_errors(browser, page, width, dark):
    """No sideways scrolling at any width; no request, no message on the console."""
    browser.open(page, width=width, dark=dark)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert find_requests(browser) == []
    assert find_complaints(browser) == []


def test_page_when_dark_is_preferred_then_background_and_text_change_places(browser, page):
    """Light and dark follow the reader's system, and text stays readable on its ground in both."""
    for dark in (False, True):
        browser.open(page, width=1200, dark=dark)
        ground, ink = (
            measure_light(browser.ask(f"getComputedStyle(document.body).{name}"))
            for name in ("backgroundColor", "color")
        )
        assert (ground < ink) is dark
        # The contrast that the accessibility guidelines ask of small text (WCAG 2.1, 1.4.3), with the muted colour too.
        for selector in ("body", ".lede", ".eyebrow", "th"):
            ink = measure_light(browser.ask(f"getComputedStyle(document.querySelector('{selector}')).color"))
            assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) >= 4.5, (selector, dark)


def test_page_when_opened_then_the_verdict_is_seen_without_scrolling(browser, page):
    """Scenario, headline and next step stand in the first screen of a laptop and of a phone."""
    for width, height in ((1200, 800), (390, 844)):
        browser.open(page, width=width, height=height)
        assert browser.ask("document.querySelector('.next').getBoundingClientRect().bottom") <= height


def test_page_when_every_text_is_hostile_then_nothing_runs_and_no_element_is_added(browser, hostile_page):
    """Scripts, handlers, forged markup and direction overrides stay text; a megabyte of one letter stays small."""
    for width in (1200, 390):
        browser.open(hostile_page, width=width)
        assert browser.ask("document.title") != "stolen"
        assert (
            browser.ask("document.querySelectorAll('script, img, iframe, object, form, [onerror], [onload]').length")
            == 0
        )
        assert browser.ask("document.querySelectorAll('h1').length") == 1
        assert browser.ask("document.documentElement.scrollWidth") <= width
        assert find_requests(browser) == []
        assert find_complaints(browser) == []
    assert "‮" not in browser.ask("document.body.textContent")
    assert hostile_page.stat().st_size < 1_000_000


def test_charts_when_drawn_then_labels_lie_inside_their_figures(browser, page):
    """No tick and no name of a threshold leaves its card, on a phone either."""
    outside = """[...document.querySelectorAll('figure')].flatMap(figure => {
        const box = figure.getBoundingClientRect();
        return [...figure.querySelectorAll('.plot span')].filter(label => {
            const at = label.getBoundingClientRect();
            return at.left < box.left || at.right > box.right || at.top < box.top || at.bottom > box.bottom;
        }).map(label => label.textContent)}).join('|')"""
    for width in (1200, 390):
        browser.open(page, width=width)
        assert browser.ask("document.querySelectorAll('figure .plot svg path').length") > 50
        assert browser.ask(outside) == ""


def test_tree_when_drawn_then_the_exit_that_was_taken_stands_out(browser, page):
    """Exactly one exit is marked as taken, it names the decision, and what was not asked comes after it."""
    browser.open(page, width=1200)
    assert browser.ask("document.querySelectorAll('.exits .taken').length") == 1
    title = browser.ask("document.querySelector('h1').textContent")
    assert title in browser.ask("document.querySelector('.exits .taken').textContent")
    order = "[...document.querySelectorAll('.stop')].map(stop => stop.classList.contains('unasked') ? 'u' : stop.classList.contains('leaves') ? 'l' : 'p').join('')"
    assert browser.ask(order).strip("p").lstrip("l").strip("u") == ""


def test_page_when_printed_then_it_becomes_a_pdf_of_some_pages(browser, page, tmp_path):
    """Printing works, and without the list of contents."""
    browser.open(page, width=1200)
    browser.print_to(tmp_path / "report.pdf")
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert 2 <= data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") + data.count(b"/Type /Page/") <= 40


def measure_light(colour: str) -> float:
    """The relative luminance of a computed colour, 0 black to 1 white (WCAG 2.1)."""
    parts = [float(part) / 255 for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
