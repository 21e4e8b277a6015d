"""The command `python -m grpo.harness`: suites asked of models, adapters and servers; pages, a table and a journal of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.screen.command_line import DONE, FAILED, CommandParser, end_process, print_json, run_command
from rewards.screen.harmless_text import make_harmless, make_label

HOME = Path("harness")
EXAMPLES = """\
SUITE is a YAML or JSON Lines file of prompts with what is expected of each answer (docs/harness.md), or `starter`, which is
shipped. A model is what python -m grpo.evaluate takes: a run, a folder, an adapter, a Hub name, a GGUF file.

examples:
  python -m grpo.harness check starter                              the suite's own answers, scored
  python -m grpo.harness check suite.yaml --training train.jsonl    and which of its prompts training covers
  python -m grpo.harness run starter --model BASE --model runs/mine
  python -m grpo.harness run suite.yaml --model runs/mine --endpoint http://127.0.0.1:8000/v1 --endpoint-model qwen
  python -m grpo.harness run suite.yaml --resume harness/20260101-120000-suite
  python -m grpo.harness table                                      every session, with dates and status
  python -m grpo.harness journal harness runs > JOURNAL.md           sessions and training runs, the newest first

exit codes: 0 done · 1 a model failed, or an answer of the suite is wrong · 2 bad input · 75 interrupted, resume with --resume
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.harness", "Ask suites of prompts of several models at once.", EXAMPLES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = commands.add_parser("run", help="ask the suite of the models; the first is the baseline")
    asked.add_argument("suite", metavar="SUITE", help="a YAML or JSON Lines file, or starter")
    asked.add_argument("--model", action="append", default=[], metavar="MODEL", help="whom to ask (repeatable)")
    asked.add_argument(
        "--endpoint", action="append", default=[], metavar="URL", help="an OpenAI-compatible server (repeatable)"
    )
    asked.add_argument(
        "--endpoint-model", action="append", default=[], metavar="NAME", help="its model, one for each --endpoint"
    )
    asked.add_argument("--max-tokens", type=int, default=512, metavar="N", help="most tokens of an answer (512)")
    asked.add_argument("--temperature", type=float, default=0.0, metavar="T", help="of all models alike (0)")
    asked.add_argument(
        "--config", metavar="CONFIG", help="how models that are not runs are loaded (a config's model section)"
    )
    asked.add_argument("--home", type=Path, default=HOME, metavar="DIR", help="where sessions are kept (harness)")
    asked.add_argument("--resume", type=Path, metavar="SESSION", help="resume an interrupted session")
    asked.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    check = commands.add_parser("check", help="read a suite and score its own answers")
    check.add_argument("suite", metavar="SUITE", help="a YAML or JSON Lines file, or starter")
    check.add_argument(
        "--training", action="append", default=[], metavar="SOURCE",
        help="count the training rows that cover each prompt (repeatable)",
    )  # fmt: skip
    check.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    page = commands.add_parser("report", help="write the page of a session again")
    page.add_argument("session", type=Path, metavar="SESSION", help="the folder of a session")
    for name, what in (
        ("table", "every session as a table"),
        ("journal", "sessions and training runs as a journal in Markdown"),
    ):
        each = commands.add_parser(name, help=what)
        each.add_argument(
            "homes",
            nargs="*",
            type=Path,
            metavar="DIR",
            help="folders of sessions, and of runs for the journal (harness)",
        )
        if name == "table":
            each.add_argument("--html", type=Path, metavar="FILE", help="write it as a page too")
            each.add_argument("--json", action="store_true", help="one JSON list instead of lines")
    return parser


def run(options: argparse.Namespace) -> int:
    return {"run": ask, "check": check, "report": report, "table": table, "journal": journal}[options.command](options)


def ask(options: argparse.Namespace) -> int:
    """Ask everybody, then compare and write the page."""
    from callbacks.interrupt import terminable
    from grpo.harness.page import write_page
    from grpo.harness.results import summarise_session
    from grpo.harness.session import ask_models, open_session, read_session
    from grpo.harness.suite import read_suite
    from rewards.writing.files import write_json

    suite = read_suite(find_suite(options.suite))
    if options.resume:
        session = read_session(options.resume)
        if session.fingerprint != suite.fingerprint:
            raise UserError(
                f"--resume {options.resume}: this session asks another suite, not {options.suite}; start a new session"
            )
    else:
        session = open_session(options.home, suite, list_models(options), list_options(options))
    with terminable():
        code = ask_models(session, lambda line: print(make_harmless(line, 600), file=sys.stderr, flush=True))
    summary = summarise_session(session)
    write_json(session.folder / "summary.json", summary)
    page = write_page(session, summary)
    if options.json:
        print_json(summary)
        return code
    show(summary)
    print(f"everything is in {session.folder}; read {page}")
    return code


def check(options: argparse.Namespace) -> int:
    """Score each `answer` of a suite by its own expectations: all must earn everything."""
    from grpo.harness.coverage import measure_coverage
    from grpo.harness.suite import read_suite
    from rewards.functions.expectations import Expectations
    from rewards.types import Completion, Example

    suite, function = read_suite(find_suite(options.suite)), Expectations()
    wrong: list[dict[str, Any]] = []
    answered = 0
    for row in suite.rows:
        if row["reference"] is None:
            continue
        answered += 1
        example = Example(row["id"], row["task"], row["prompt"], row["reference"], {"expect": row["expect"]})
        score = function(example, Completion(row["reference"]))
        if (score.value or 0.0) < 1.0 - 1e-9:
            wrong.append({"id": row["id"], "value": score.value, "reason": score.reason})
    covered = measure_coverage(suite, options.training) if options.training else None
    if options.json:
        print_json(
            {
                "suite": suite.name,
                "prompts": len(suite.rows),
                "categories": suite.categories,
                "answers": answered,
                "wrong": wrong,
                "coverage": covered,
            }
        )
        return FAILED if wrong else DONE
    shares = ", ".join(f"{make_label(name)} {count}" for name, count in suite.categories.items())
    print(
        f"{make_label(suite.name)}: {len(suite.rows)} prompts ({shares}), {answered} with an answer, {len(wrong)} of them wrong"
    )
    for each in wrong:
        print(f"  {make_label(each['id'])}: {each['value']:.3f}: {make_label(each['reason'], 300)}")
    if covered:
        show_coverage(covered)
    return FAILED if wrong else DONE


def show_coverage(covered: dict[str, Any]) -> None:
    """A line a prompt: training rows that have what it wants, and what none of them has."""
    left = f", {covered['unreadable']:,} unreadable left out" if covered["unreadable"] else ""
    print(f"covered by {covered['rows']:,} training rows{left}:")
    for each in covered["prompts"]:
        said = "nothing that rows can be searched for" if each["rows"] is None else f"{each['rows']:,} rows"
        if each["missing"]:
            said = f"NOT COVERED: no row has {', '.join(each['missing'])}"
        asked = f"; {each['asked']:,} rows ask this very prompt" if each["asked"] else ""
        print(make_label(f"  {each['category']}  {each['id']}  {said}{asked}", 300))


def report(options: argparse.Namespace) -> int:
    from grpo.harness.page import write_page
    from grpo.harness.results import summarise_session
    from grpo.harness.session import read_session

    session = read_session(options.session)
    print(write_page(session, summarise_session(session)))
    return DONE


def table(options: argparse.Namespace) -> int:
    from grpo.harness.page import make_table, write_table

    rows = make_table(find_sessions(options.homes))
    if options.html:
        write_table(options.html, rows)
    if options.json:
        print_json(rows)
        return DONE
    for row in rows:
        mean = "  –  " if row["mean"] is None else f"{row['mean']:.3f}"
        interval = "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f}, n {row['n']})"
        said = row["against_baseline"] or row["said"]
        print(
            make_label(
                f"{row['date'][:16]}  {row['suite']}  {row['model']}  {row['status']}  {mean}{interval}  {said}", 400
            )
        )
    return DONE


def journal(options: argparse.Namespace) -> int:
    from grpo.harness.journal import list_runs, make_journal
    from grpo.harness.session import list_sessions

    homes = options.homes or [HOME]
    sessions = [session for home in homes for session in list_sessions(home)]
    runs = [run for home in homes for run in list_runs(home)]
    if not sessions and not runs:
        raise UserError(
            f"{', '.join(map(str, homes))}: neither a session nor a run there; give the folders that hold them"
        )
    print(make_journal(sessions, runs))
    return DONE


def show(summary: dict[str, Any]) -> None:
    """The summary as lines: alarms first, then each model, then who is first."""
    for alarm in summary["alarms"]:
        print(make_harmless(f"ALARM  {alarm}", 400))
    for model in summary["models"]:
        total = model["results"].get("all")
        if total is None:
            print(make_harmless(f"{model['name']}: {model['status']}: {model['said']}", 600))
            continue
        interval = "" if total["low"] is None else f" ({total['low']:.3f} to {total['high']:.3f}, n {total['n']})"
        print(make_harmless(f"{model['name']}: {total['mean']:.3f}{interval}", 300))
        for name, cell in model["results"].items():
            if name != "all" and cell is not None and len(summary["categories"]) > 1:
                print(make_harmless(f"    {name}: {cell['mean']:.3f}, n {cell['n']}", 200))
    for run_name, said in summary["did_training_hurt"].items():
        print(make_harmless(f"did training hurt {run_name}? {said['answer']}", 600))
    if statement := summary["leaderboard"].get("statement"):
        print(make_harmless(statement, 400))


def find_suite(name: str) -> Path:
    """The file of a suite: a path, or the name of a shipped one; `UserError` where there is none."""
    from grpo.config.loading import configs_folder

    path = Path(name).expanduser()
    shipped = configs_folder() / "suites" / f"{name}.yaml"
    if path.is_file():
        return path
    if "/" not in name and shipped.is_file():
        return shipped
    names = ", ".join(sorted(each.stem for each in shipped.parent.glob("*.yaml")))
    raise UserError(f"{name}: no such file, and no shipped suite of that name; shipped: {names}")


def find_sessions(homes: list[Path]) -> list[Any]:
    """The sessions in these folders, oldest first; raises UserError if there is none."""
    from grpo.harness.session import list_sessions

    found = [session for home in homes or [HOME] for session in list_sessions(home)]
    if not found:
        raise UserError(
            f"{', '.join(map(str, homes or [HOME]))}: no session there; begin one: python -m grpo.harness run"
        )
    return sorted(found, key=lambda session: session.started)


def list_models(options: argparse.Namespace) -> list[str]:
    """Whom to ask, servers as URL#MODEL; `UserError` for none, or for servers without a model."""
    if len(options.endpoint) != len(options.endpoint_model):
        raise UserError(
            f"--endpoint-model: {len(options.endpoint_model)} names for {len(options.endpoint)} servers; name one for each"
        )
    if strange := [url for url in options.endpoint if not url.startswith(("http://", "https://"))]:
        raise UserError(f"--endpoint {strange[0]}: give the address of a server, such as http://127.0.0.1:8000/v1")
    served = [f"{url}#{name}" for url, name in zip(options.endpoint, options.endpoint_model, strict=True)]
    if not options.model and not served:
        raise UserError(
            "--model: not given; name a model with --model, or a server with --endpoint and --endpoint-model"
        )
    return [*options.model, *served]


def list_options(options: argparse.Namespace) -> list[str]:
    """How everybody is asked, as options of the evaluation: all alike, whatever a run's own config says."""
    if options.max_tokens < 1:
        raise UserError(f"--max-tokens {options.max_tokens}: give 1 or more")
    if not 0.0 <= options.temperature <= 10.0:
        raise UserError(f"--temperature {options.temperature:g}: give 0 to 10")
    settings = {
        "temperature": options.temperature, "max_completion_length": options.max_tokens, "top_p": 1.0, "top_k": 0,
        "repetition_penalty": 1.0, "seed": 42,
    }  # fmt: skip
    words = [part for key, value in settings.items() for part in ("--set", f"evaluation.{key}={value}")]
    return [*words, *(["--config", options.config] if options.config else [])]


if __name__ == "__main__":
    end_process(main())
