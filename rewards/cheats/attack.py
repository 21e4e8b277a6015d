"""Attacking a reward function: cheats must earn no more than an honest half of an answer, and clearly less than a right one.

python -m rewards attack extraction
python -m rewards attack field_f1:volatile=telecom --data rows.jsonl --json
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.cheats.cheats import Knowledge, is_same, keeps_form, known_labels, make_cheats, make_halves
from rewards.errors import UserError
from rewards.screen.command_line import BAD_INPUT, CommandParser, print_json, print_problem
from rewards.types import Completion, Example

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost

CLEARLY = 0.2
"""How far below a right answer a cheat must stay."""

SLACK = 0.02
"""How far above an honest half a cheat may come: two texts share a few words by chance."""

MOST_ROWS = 20
MOST_KNOWN = 200

FORM_ONLY = frozenset({"json_valid", "schema_valid"})
"""Functions that pay for the form alone: to them a text with a perfect form is a right answer, and no cheat."""

_ROUNDING = 1e-9


class CheatResult(NamedTuple):
    """What a cheat earned on average and at best, and the example where it did best.

    `half` is the mean of the best honest halves on the same rows, and `won` says why the cheat got through, if it did.
    """

    name: str
    mean: float
    best: float
    half: float
    example_id: str
    text: str
    won: str = ""


class AttackReport(NamedTuple):
    """Mean values of the right answers and of the best honest halves, and every cheat, the winners and the best paid first."""

    function: str
    version: str
    rows: int
    right: float
    half: float
    cheats: tuple[CheatResult, ...]

    @property
    def wins(self) -> tuple[CheatResult, ...]:
        return tuple(cheat for cheat in self.cheats if cheat.won)

    def to_dict(self) -> dict[str, Any]:
        described = self._asdict()
        described["cheats"] = [cheat._asdict() for cheat in self.cheats]
        described["wins"] = [cheat.name for cheat in self.wins]
        return described


class _Row(NamedTuple):
    """What one row pays: for its right answer, for the best honest half of it, and for each cheat by name."""

    example: Example
    right: float
    half: float
    cheats: dict[str, tuple[float, str]]


def attack(host: RewardHost, examples: Sequence[Example]) -> AttackReport:
    """Attack the host's one function on these examples.

    A cheat wins when its mean over its rows is more than SLACK above that of the best honest halves of those rows, or
    within CLEARLY of that of their right answers. Functions that pay for the form alone are attacked with broken forms
    only, and all of these must stay clearly below. Raises UserError where the function finds fault with a row, fails, or
    applies to none.
    """
    function = host.functions[0].function
    problems = [f"row '{example.id}': {line}" for example in examples for line in function.problems(example)]
    problems += [f"row '{row.id}': no reference to make cheats from" for row in examples if not row.reference]
    if problems or not examples:
        raise UserError(problems[:MOST_ROWS] or "no rows to attack with; give at least one")
    rows = [row for at in range(len(examples)) if (row := _attack_row(host, examples, at)) is not None]
    if not rows:
        raise UserError(f"'{function.name}' applies to none of the rows; give rows with what it looks at")
    names = dict.fromkeys(name for row in rows for name in row.cheats)
    results = [_judge(name, [row for row in rows if name in row.cheats]) for name in names]
    results.sort(key=lambda result: (not result.won, -result.mean, result.name))
    return AttackReport(
        function.name,
        function.version,
        len(rows),
        _mean([row.right for row in rows]),
        _mean([row.half for row in rows]),
        tuple(results),
    )


def _attack_row(host: RewardHost, examples: Sequence[Example], at: int) -> _Row | None:
    """Every value of one row; None where the function does not apply to it."""
    example, function = examples[at], host.functions[0].function
    reference = example.reference or ""
    right = _value(host, example, reference)
    if right is None:
        return None
    # The nearest other rows first, so that every row has guesses of its own.
    others = [row.reference or "" for row in (*examples[at + 1 :], *examples[:at])]
    others = [other for other in others if not is_same(other, reference)][:MOST_KNOWN]
    cheats = make_cheats(example, Knowledge(tuple(others), known_labels(function)))
    if function.name in FORM_ONLY:
        half = right
        cheats = [cheat for cheat in cheats if not keeps_form(cheat.text, reference)]
    else:
        halves = [_value(host, example, text) or 0.0 for text in make_halves(reference, others)]
        half = max(halves, default=right - CLEARLY)
    return _Row(
        example, right, half, {cheat.name: (_value(host, example, cheat.text) or 0.0, cheat.text) for cheat in cheats}
    )


def _judge(name: str, rows: Sequence[_Row]) -> CheatResult:
    mean = _mean([row.cheats[name][0] for row in rows])
    half, limit = _mean([row.half for row in rows]), _mean([row.right for row in rows]) - CLEARLY
    dearest = max(rows, key=lambda row: row.cheats[name][0])
    best, text = dearest.cheats[name]
    won = ""
    if mean > half + SLACK:
        won = f"more than an honest half ({half:.3f})"
    elif mean > limit + _ROUNDING:
        won = f"not clearly below a right answer (limit {limit:.3f})"
    return CheatResult(name, mean, best, half, dearest.example.id, text, won)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _value(host: RewardHost, example: Example, text: str) -> float | None:
    """What the function pays for a text, None where it does not apply; a fault is raised as the user's to mend."""
    outcome = host.score([(example, Completion(text))])[0].outcomes[0]
    if outcome.status == "error":
        raise UserError(f"row '{example.id}': {outcome.function} failed on {text[:80]!r}: {outcome.reason}")
    return outcome.value


def attack_named(name: str, data: str | None = None, plugins: Sequence[str] = ()) -> AttackReport:
    """Attack a function named as on the command line, on the rows of a file, or on its sample rows; raises UserError."""
    from rewards.commands.selection import make_host, parse_reward
    from rewards.plugins import load_rewards
    from rewards.rows import read_rows
    from rewards.sample_rows import find_options, open_samples

    registry = load_rewards(plugins)
    function_name, given = parse_reward(name)
    if function_name in registry and data is None:
        options = find_options(registry.get(function_name))
        missing = [f"{key}={json.dumps(value)}" for key, value in options.items() if key not in given]
        name = function_name + ":" + ",".join(filter(None, (name.partition(":")[2], *missing)))
    with make_host([name], plugins, any_task=True, registry=registry) as host:
        entry = registry.get(function_name)
        samples = nullcontext(read_rows(data)) if data is not None else open_samples(entry)
        with samples as examples:
            applicable = [row for row in examples if data is None or not entry.tasks or row.task in entry.tasks]
            if not applicable:
                raise UserError(f"{data}: no row of the tasks {', '.join(entry.tasks)}, which '{entry.name}' is for")
            step = -(-len(applicable) // MOST_ROWS)
            return attack(host, applicable[::step])


def run(arguments: Sequence[str] | None = None) -> int:
    """The command `attack`: 0 when every cheat failed, 1 when one won, 2 for bad input."""
    options = make_parser().parse_args(arguments)
    try:
        report = attack_named(options.name, options.data, options.plugin)
    except UserError as error:
        print_problem("\n".join(f"error: {line}" for line in error.problems))
        return BAD_INPUT
    if options.json:
        print_json(report.to_dict())
    else:
        _show(report, options.show)
    return 1 if report.wins else 0


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m rewards attack",
        "Try every known cheat on a reward function. A cheat wins when it earns more than an honest half of an "
        f"answer, or comes within {CLEARLY:g} of a right one.",
        """\
examples:
  python -m rewards attack extraction
  python -m rewards attack field_f1:volatile=telecom --data rows.jsonl
  python -m rewards attack my_reward --plugin ./my_rewards.py --data rows.jsonl --json

exit codes: 0 every cheat failed, 1 a cheat won, 2 bad input""",
    )
    parser.add_argument("name", metavar="NAME[:k=v,...]", help="a reward function and its options")
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="rows as JSON Lines, as a run reads them; the function's own sample rows without it",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object with every cheat and its text")
    parser.add_argument("--show", action="store_true", help="show the text of every cheat, not only of those that won")
    parser.add_argument("--plugin", action="append", default=[], metavar="MODULE|PATH", help="one more plugin")
    return parser


def _show(report: AttackReport, everything: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from rewards.screen.terminal import make_console

    console = make_console()
    console.print(
        Text.assemble(
            (report.function, "bold cyan"),
            f" version {report.version}, {report.rows} rows: ",
            f"right {report.right:.3f}, best honest half {report.half:.3f}",
        )
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title, side in (("cheat", "left"), ("mean", "right"), ("best", "right"), ("verdict", "left")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    for cheat in report.cheats:
        verdict = Text(f"WINS: {cheat.won}", "bold red") if cheat.won else Text("fails", "green")
        table.add_row(Text(cheat.name), f"{cheat.mean:.3f}", f"{cheat.best:.3f}", verdict)
    console.print(table)
    for cheat in report.cheats:
        if cheat.won or everything:
            console.print(Text(f"{cheat.name}, best on '{cheat.example_id}': {_shorten(cheat.text)}", "dim"))
    wins = len(report.wins)
    console.print(
        Text(f"{wins} of {len(report.cheats)} cheats win", "bold red")
        if wins
        else Text(f"all {len(report.cheats)} cheats fail", "bold green")
    )


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:297]}..."
