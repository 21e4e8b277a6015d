"""The page in a real Chromium: live, in both languages, on a phone and a desk, by keyboard, and safe from what it shows."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import orjson
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api")

from grpo.service.access import AccessTokens
from grpo.service.application import make_application
from grpo.service.ledger import QueuedRun

_spec = importlib.util.spec_from_file_location("report_browser", Path(__file__).parents[1] / "report" / "browser.py")
_browser = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_browser)

HOSTILE = (
    "<script>document.title='stolen'</script>", '"><img src=x onerror="document.title=1">', "</pre></article><h1>Aprovado</h1>",
    "{{ 7*7 }} {% include '/etc/passwd' %}", "\u202eodagen\u202c \x1b[31mvermelho\x07", "javascript:document.title='stolen'",
    "<svg onload=document.title='stolen'>", "x" * 200_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests of this file."""
    program = _browser.find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine: install one (apt-get install chromium) or set CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """`visit(url, width=..., language=..., dark=...)`: a page that complains to nobody; the test fails where it did."""
    complaints, contexts = [], []

    def open_page(url, *, width=1440, language="en-US", dark=False):
        context = chromium.new_context(
            viewport={"width": width, "height": 844 if width < 600 else 900}, locale=language,
            color_scheme="dark" if dark else "light",
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        host = "/".join(url.split("/")[:3])
        page.on("request", lambda request: None if request.url.startswith(host) else complaints.append(request.url))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # That a request was refused is what some tests are about, and Chromium says it of each; so it does of a service that has
    # ended while its page was still open.
    expected = ("status of 422", "ERR_CONNECTION_REFUSED")
    assert [line for line in complaints if not any(part in line for part in expected)] == []


def until(holds, seconds=60.0):
    """Wait until it holds; the page's policy forbids Playwright's own way, which evaluates a text."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def write_step(run: Path, step: int, groups: int, size: int, texts=("SELECT 1",)) -> None:
    """A stored step of training: every seventh group without spread, every fifth completion truncated."""
    rows = []
    for group in range(groups):
        for place in range(size):
            text = texts[(group + place) % len(texts)]
            reward = 0.5 if group % 7 == 0 else round((place + 1) / size, 3)
            rows.append(
                {
                    "id": f"row-{group:05d}", "task": ("sql_qa", "push")[group % 2], "group": group, "step": step, "stage": "train",
                    "prompt": [{"role": "system", "content": "Você"}, {"role": "user", "content": f"pergunta {group} {texts[group % len(texts)][:300]}"}],
                    "completion": text, "reference": "SELECT 2", "truncated": place % 5 == 4, "reward": reward,
                    "advantage": 0.0 if group % 7 == 0 else reward - 0.5, "repairs": [],
                    "scores": {"sql_qa": {"value": reward, "status": "value", "reason": "no SELECT found", "version": "1", "parts": {"columns": reward}}},
                }
            )  # fmt: skip
    path = run / "completions" / f"step-{step:06d}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


@pytest.mark.parametrize(
    ("width", "language", "dark"),
    [(390, "pt-BR", True), (390, "en-US", False), (1440, "pt-BR", False), (1440, "en-US", True)],
)
def test_pages_when_shown_then_they_fit_speak_and_ask_nobody_else(
    application, listen, root, write_run, visit, width, language, dark
):
    """No sideways scrolling, no request elsewhere, no message on the console; a language of the reader's."""
    write_run(root / "a", steps=60)
    write_run(root / "b", steps=60)
    write_step(root / "a", 60, 9, 8)
    with listen(application) as service:
        page = visit(service.url, width=width, language=language, dark=dark)
        for place in ("/", "/runs/a", "/runs/a/steps/60?group=1", "/runs/a/evals/final", "/runs/a/prompt?key=row-00001",
                      "/runs/a/errors", "/runs/a/log", "/compare?a=a&b=b", "/new"):  # fmt: skip
            page.goto(service.url + place)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, place
            heading = page.locator("nav[aria-label] a").first.inner_text()
            assert heading == ("Execuções" if language == "pt-BR" else "Runs"), place
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (int(re.findall(r"\d+", ground)[0]) < 100) is dark, place


def test_run_when_it_writes_on_then_the_page_follows_without_a_reload(
    application, listen, root, write_run, visit, queue
):
    """A run in progress: a new step and a watch event appear by themselves."""
    write_run(root / "a", steps=20)
    status = root / "a" / "status.json"
    status.write_bytes(orjson.dumps({"stage": "grpo", "step": 0, "finished": False}))
    (root / "a" / "decision.json").unlink()
    with listen(application) as service:
        page = visit(f"{service.url}/runs/a")
        page.evaluate("window.kept = true")
        assert page.locator(".head .badge").inner_text() == "running"
        assert "20" in page.locator(".figures dd").first.inner_text()
        with (root / "a" / "metrics.jsonl").open("ab") as file:
            file.write(b'{"stage": "train", "step": 21, "reward": 0.5}\n')
        (root / "a" / "watch.jsonl").write_text(
            '{"rule": "kl", "step": 21, "action": "warn", "message": "The loss is not a number: every further step is lost."}\n'
        )
        until(lambda: page.locator(".figures dd").first.inner_text().startswith("21"))
        assert page.locator(".events li").count() == 1
        assert page.evaluate("window.kept") is True


def test_run_when_it_was_killed_then_the_page_says_so_and_resumes_it(
    application, listen, root, write_run, visit, queue
):
    """The state of a dead run is said, and one button queues it again."""
    write_run(root / "a", steps=20)
    (root / "a" / "status.json").write_bytes(orjson.dumps({"stage": "grpo", "step": 0, "finished": False}))
    for path in (root / "a").glob("*.json*"):
        os.utime(path, (1, 1))
    with listen(application) as service:
        page = visit(f"{service.url}/runs/a")
        assert page.locator(".head .badge").inner_text() == "interrupted"
        page.get_by_role("button", name="Resume").click()
        until(lambda: page.locator(".head .badge").inner_text() in ("queued", "running"))
    assert queue.ledger.find("a") is not None


def test_list_when_there_are_twenty_runs_then_it_is_filtered_and_walked_by_keys(
    application, listen, root, write_run, visit, queue
):
    """j and k walk, Enter opens, / filters, u goes back up; a run that waits is stopped by its button."""
    for number in range(18):
        folder = root / f"run-{number:02d}"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "status.json").write_text('{"stage": "done", "finished": true}')
    queue.submit([QueuedRun("sleeping", "v4_1"), QueuedRun("waits", "v4_1")])
    with listen(application) as service:
        page = visit(service.url)
        assert page.locator("tr[data-row]").count() == 20
        page.keyboard.press("/")
        page.keyboard.type("run-07")
        assert page.locator("tr[data-row]:visible").count() == 1
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs/run-07")
        page.keyboard.press("u")
        page.wait_for_url(service.url + "/")
        page.locator("tr", has_text="waits").get_by_role("button", name="Stop").click()
        until(lambda: page.locator("#ended tr", has_text="waits").count() == 1)
        page.keyboard.press("?")
        assert page.locator("dialog[open]").count() == 1
    assert queue.ledger.find("waits").state == "cancelled"


def test_completions_when_they_are_hostile_then_they_stay_text(application, listen, root, write_run, visit):
    """In groups, prompts over steps, errors, comparison and list: nothing runs, nothing is added to the page."""
    write_run(root / "<b>r", steps=20)
    run = root / "<b>r"
    write_step(run, 20, 8, 8, HOSTILE)
    write_step(run, 19, 8, 8, HOSTILE[::-1])
    lines = (run / "completions" / "step-000020.jsonl").read_bytes().splitlines()
    broken = orjson.loads(lines[0])
    broken["scores"] = {HOSTILE[0]: {"value": None, "status": "error", "reason": HOSTILE[1], "version": HOSTILE[6]}}
    (run / "completions" / "step-000020.jsonl").write_bytes(
        b"\n".join([orjson.dumps(broken), *lines[1:], b"{broken", b""])
    )
    with listen(application) as service:
        home = f"{service.url}/runs/%3Cb%3Er"
        page = visit(home, width=390)
        for place in (
            "",
            "/steps/20?group=0",
            "/steps/20?group=1",
            "/steps/20?group=3",
            "/prompt?key=row-00001",
            "/errors",
            "/evals/final",
        ):
            page.goto(home + place)
            assert page.title() != "stolen" and page.title() != "1"
            assert page.locator("h1").count() == 1
            assert page.locator("main script, main img, main iframe, [onerror], [onload]").count() == 0
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
            assert "\u202e" not in page.content()


def test_groups_when_there_are_ten_thousand_completions_then_they_are_looked_through_without_a_stutter(
    application, listen, root, write_run, visit
):
    """1,250 groups of 8: sorted, filtered, walked by keys and scrolled; no frame of the scrolling takes long."""
    write_run(root / "a", steps=20)
    write_step(root / "a", 20, 1250, 8, ("SELECT " + "coluna, " * 60,))
    with listen(application) as service:
        page = visit(f"{service.url}/runs/a/steps/20?only=zero&sort=-mean")
        assert "179 of 1,250 groups, 10,000 completions" in page.locator(".lede").inner_text()
        assert page.locator(".list li .tag", has_text="zero spread").count() == 50
        page.goto(f"{service.url}/runs/a/steps/20?group=1002")
        assert page.locator(".list a[aria-current]").inner_text().count("row-01002") == 1
        assert page.locator(".answers .answer").count() == 8
        assert page.locator(".answer b.value").first.inner_text() == "1.000"
        page.keyboard.press("j")
        page.wait_for_url("**group=1003")
        until(lambda: page.locator(".about bdi").inner_text() == "row-01003")
        page.keyboard.press("]")
        page.keyboard.press("]")
        assert re.search(r"group=1003#s\d$", page.url)
        longest = page.evaluate(
            """async () => {
                let last = performance.now(), longest = 0;
                for (let count = 0; count < 40; count++) {
                    window.scrollBy(0, 60);
                    document.querySelector('.list').scrollBy(0, 60);
                    await new Promise(requestAnimationFrame);
                    const now = performance.now();
                    longest = Math.max(longest, now - last);
                    last = now;
                }
                return longest;
            }"""
        )
        assert longest < 1000  # a busy machine may be late; a page that stutters is later
        page.goto(f"{service.url}/runs/a/steps/20?words=pergunta+777+")
        assert "1 of 1,250 groups" in page.locator(".lede").inner_text()


def test_links_when_they_name_a_group_and_a_sample_then_that_answer_is_what_is_seen(
    application, listen, root, write_run, visit
):
    """Run, step, group and sample stand in the address, on a phone too."""
    write_run(root / "a", steps=20)
    write_step(root / "a", 20, 60, 8)
    with listen(application) as service:
        page = visit(f"{service.url}/runs/a/steps/20?group=55#s2", width=390)
        top = page.evaluate("document.getElementById('s2').getBoundingClientRect().top")
        assert -10 <= top <= 844
        assert page.locator(".answer:target").get_attribute("id") == "s2"


def test_form_when_it_is_wrong_then_its_lines_are_shown_and_right_it_leads_to_the_run(queue, allowed, listen, visit):
    """What the preflight says stands above the form; a right one is queued and opened."""

    def preflight(config, overrides, profile):
        return ["--set: grpo.max_steps: -3 is not allowed"] if "grpo.max_steps=-3" in overrides else []

    with listen(make_application(queue, allowed, preflight=preflight)) as service:
        page = visit(f"{service.url}/new")
        page.fill("[name=name]", "mine")
        page.fill("[name=set]", "grpo.max_steps=-3")
        with page.expect_response("**/v1/runs") as answer:
            page.get_by_role("button", name="Check and queue").click()
        assert answer.value.status == 422
        page.wait_for_selector(".problem")
        assert page.locator("#problems").inner_text() == "--set: grpo.max_steps: -3 is not allowed"
        page.fill("[name=set]", "grpo.max_steps=3")
        page.get_by_role("button", name="Check and queue").click()
        page.wait_for_url("**/runs/mine")
    assert queue.ledger.find("mine").overrides == ("grpo.max_steps=3",)


def test_login_when_a_token_is_needed_then_the_page_asks_for_it_and_the_cookie_opens_it(queue, allowed, listen, visit):
    """A reader sees no buttons that change something; a wrong token opens nothing."""
    tokens = AccessTokens(read="r" * 20, submit="s" * 20)
    with listen(make_application(queue, allowed, tokens=tokens)) as service:
        page = visit(f"{service.url}/new")
        assert page.url.endswith("/login")
        page.fill("[name=token]", "r" * 20)
        page.get_by_role("button", name="Enter").click()
        page.wait_for_url(service.url + "/")
        assert page.get_by_role("link", name="New run").count() == 0
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.fill("[name=token]", "s" * 20)
        page.get_by_role("button", name="Enter").click()
        page.wait_for_url(service.url + "/")
        assert page.get_by_role("link", name="New run").count() >= 1
        cookie = page.context.cookies()[0]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and "s" * 20 not in cookie["value"]


SMALL = (
    "data.shop.train_rows=60", "data.shop.held_out_rows=20", "data.shop.warmup_rows=120",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=3", "grpo.max_steps=6", "grpo.prompts_per_step=2", "grpo.num_generations=4",
    "grpo.max_completion_length=16", "evaluation.max_completion_length=16", "grpo.save_every_steps=2",
    "grpo.log_completions_every=2", "evaluation.every_steps=2", "threads=1",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_newcomer_when_the_service_is_started_then_a_run_is_finished_in_the_browser_alone(tmp_path, visit):
    """From `recompensa serve` to a report, through a kill of the service and one of the run, with the bytes of an undisturbed run."""
    import sys

    environment = {**os.environ, "RECOMPENSA_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[3])

    def serve(port):
        process = subprocess.Popen(
            [sys.executable, "-m", "grpo.service.serve", "--port", str(port)], cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return process, re.search(r"http://\S+", process.stdout.readline())[0]

    service, url = serve(0)
    port = int(url.rsplit(":", 1)[1])
    try:
        page = visit(f"{url}/new")
        for name in ("calm", "killed"):
            page.goto(f"{url}/new")
            page.fill("[name=name]", name)
            page.fill("[name=set]", "\n".join(SMALL))
            page.get_by_role("button", name="Check and queue").click()
            page.wait_for_url(f"**/runs/{name}", timeout=120_000)
        page.goto(f"{url}/runs/calm")
        page.wait_for_selector(".badge.done", timeout=240_000)
        page.get_by_role("link", name="Report").first.click()
        page.wait_for_selector("h1")
        page.goto("about:blank")
        state = tmp_path / "runs" / ".service" / "runs" / "killed"
        deadline = time.monotonic() + 120
        while not (tmp_path / "runs" / "killed" / "checkpoints").is_dir() and time.monotonic() < deadline:
            time.sleep(0.1)
        service.send_signal(signal.SIGKILL)
        service.wait()
        os.kill(int((state / "pid").read_text().split()[0]), signal.SIGKILL)
        service, url = serve(port)
        page.goto(f"{url}/runs/killed")
        page.wait_for_selector(".badge.done", timeout=240_000)
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
    calm, killed = (tmp_path / "runs" / name / "metrics.jsonl" for name in ("calm", "killed"))
    assert calm.read_bytes() == killed.read_bytes()
