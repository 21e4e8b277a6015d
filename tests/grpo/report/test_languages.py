"""The report in Portuguese, its half page, its cost, what it was made of, its tables as CSV, and what of it is on paper."""

from __future__ import annotations

import base64
import csv
import importlib.util
import io
import re
from pathlib import Path

import orjson
import pytest

from grpo.report import write_report
from grpo.report.__main__ import main
from grpo.report.exports import write_csv

_spec = importlib.util.spec_from_file_location("report_browser", Path(__file__).with_name("browser.py"))
chromium = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(chromium)


@pytest.fixture(scope="module")
def run(tmp_path_factory, write_run):
    """A rehearsal with a price, a language, a best checkpoint and the identity that a run of today writes."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "v4_1", rehearsal=True, steps=60)
    saved = orjson.loads((folder / "config.json").read_bytes())
    saved["config"]["report"] = {"language": "pt-BR", "price_per_hour": 12.5, "currency": "R$"}
    (folder / "config.json").write_bytes(orjson.dumps(saved))
    (folder / "best").mkdir()
    (folder / "identity.json").write_bytes(
        orjson.dumps(
            {
                "rows": {"training rows": "ab" * 32},
                "rewards": [{"name": "push", "version": "3", "fingerprint": "0123abcd"}],
            }
        )
    )
    environment = orjson.loads((folder / "environment.json").read_bytes())
    (folder / "environment.json").write_bytes(orjson.dumps({**environment, "commit": "c0ffee" * 6}))
    return folder


def read_text(page: str) -> str:
    return re.sub(
        r"\s+",
        " ",
        re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>|<pre.*?</pre>|<code>.*?</code>", "", page, flags=re.S)),
    )


def test_report_when_its_language_is_portuguese_then_nothing_of_ours_is_english(run):
    """Words that every English report has; names, commands and keys of settings stay what they are."""
    html, markdown = write_report(run)
    page = html.read_text()
    text = read_text(page.replace(str(run), "RUN").split('id="reproduce"')[0])
    assert '<html lang="pt-BR">' in page and "Em resumo" in text and "Como se chegou à decisão" in text
    english = re.compile(r"\b(the|of|with|was|were|from|is|and|reward|step|mean|warm-up|margin|interval|prompt of)\b")
    found = {text[max(0, match.start() - 40) : match.end() + 40] for match in english.finditer(text)}
    assert found == set()
    assert "0,5" in text and not re.search(r"(?<![\w.])0\.\d{3}(?![\w.])", text)
    assert "## Tarefa por tarefa" in markdown.read_text()


def test_report_when_another_language_is_asked_for_then_that_one_is_written(run, capsys):
    """--language stands above the config; --csv writes the tables beside it."""
    assert main([str(run), "--language", "en", "--csv", str(run / "tables")]) == 0
    assert '<html lang="en">' in (run / "report.html").read_text()
    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert {path.stem for path in written} >= {"report", "tasks", "rewards", "states", "curves", "probes", "plan"} - {
        "probes"
    }
    rows = list(csv.DictReader(io.StringIO((run / "tables" / "tasks.csv").read_text())))
    assert {row["task"] for row in rows} == {"all", "extraction", "insights", "push", "sql_qa"}
    assert float(rows[0]["final_low"]) < float(rows[0]["final_mean"]) < float(rows[0]["final_high"])


def test_half_page_when_a_price_is_known_then_it_says_what_the_run_cost_and_where_the_model_is(run):
    """812.4 s at 12.50 an hour are 2.82; the best checkpoint's folder, a command, commit and hashes of the rows."""
    page = write_report(run)[0].read_text()
    assert "R$ 2,82" in page
    assert f"{run}/best" in page and f"grpo.chat {run} --task extraction" in page
    assert "c0ffee" * 6 in page and "ab" * 8 in page and "0123abcd" in page
    assert f"python -m rewards explain {run} --id" in page


def test_tables_when_saved_from_the_page_then_they_are_the_csv(run):
    """Each table has a link that holds it; text in a cell cannot become a formula."""
    page = write_report(run)[0].read_text()
    links = dict(re.findall(r'download="(\w+)\.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page))
    assert {"tasks", "rewards", "states", "plan"} <= set(links)
    assert base64.b64decode(links["tasks"]).decode().startswith("task,before_mean")
    assert write_csv([{"a": "=1+1", "b": None}, {"a": 2.5, "c": 'x"y'}]) == 'a,b,c\r\n\'=1+1,,\r\n2.5,,"x""y"\r\n'


def test_page_when_it_is_printed_then_prompts_references_and_curves_are_on_the_paper(run, tmp_path):
    """The half page ends before the middle of the first sheet; what a reader would open is open; tasks share one scale."""
    program = chromium.find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine: install one (apt-get install chromium) or set CHROMIUM to its path")
    page = write_report(run)[0]
    with chromium.Browser(program, tmp_path / "profile") as browser:
        browser.open(page, width=760, height=1075)
        browser.call("Emulation.setEmulatedMedia", media="print")
        assert browser.ask("document.querySelector('.brief').getBoundingClientRect().bottom") < 0.75 * 1075
        hidden = "[...document.querySelectorAll('.sample details pre')].filter(box => box.getBoundingClientRect().height < 8).length"
        assert browser.ask(hidden) == 0
        assert browser.ask("document.querySelectorAll('.sample details pre').length") > 8
        scales = "[...document.querySelectorAll('#curves figure:not(.lead) .y')].map(axis => axis.textContent)"
        assert browser.ask(f"new Set({scales}).size") == 1
        assert browser.ask("getComputedStyle(document.querySelector('table.tasks tr')).display") == "table-row"
