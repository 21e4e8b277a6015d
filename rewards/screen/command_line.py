"""The frame of every command: what it is called, its parser, and what a failure becomes on the screen and as exit code."""

from __future__ import annotations

import argparse
import codecs
import io
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn

from rewards.errors import RecompensaError, UserError
from rewards.screen.harmless_text import escape_json, make_harmless
from rewards.screen.nearest import nearest
from rewards.writing.secrets import hide_known
from rewards.writing.writable import make_writable

DONE, FAILED, BAD_INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 75

CONSOLE_VARIABLE = "RECOMPENSA_CONSOLE"
"""1 in the environment of a process that the console command started, 0 where `python -m` did."""

_MODULES = re.compile(r"python -m (?:grpo\.(?:service\.)?([a-z_]+)|(rewards))\b")
_EXIT_CODES = "exit codes: 0 done, 1 failed, 2 bad input"
_LONGEST_LINE = 4_000
_FEW_OPTIONS = 6

# What argparse says, and how it is said here.
_MISSING = re.compile(r"the following arguments are required: (.*)|one of the arguments (.*) is required", re.DOTALL)
_AMBIGUOUS = re.compile(r"ambiguous option: (\S+) could match (.*)", re.DOTALL)
_ABOUT = re.compile(r"argument ([^\s:]+): (.*)", re.DOTALL)
_REWORDED = (
    (re.compile(r"^not allowed with argument (?:\S*/)?"), "cannot be combined with "),
    (re.compile(r"^expected (one|at least one|at most one) argument$"), r"expected \1 value"),
    (re.compile(r"^ignored explicit argument "), "takes no value, but was given "),
    (re.compile(r"^invalid int value: (.*)$", re.DOTALL), r"\1 is not a whole number"),
    (re.compile(r"^invalid float value: (.*)$", re.DOTALL), r"\1 is not a number"),
)
_ESCAPED = "recompensa.escaped"


def show_commands(text: str) -> str:
    """The text with its `python -m grpo.X` as `recompensa X`, where this process was started so."""
    if os.environ.get(CONSOLE_VARIABLE) != "1":
        return text
    return _MODULES.sub(lambda found: f"recompensa {(found[1] or found[2]).replace('_', '-')}", text)


class CommandParser(argparse.ArgumentParser):
    """A parser whose help names commands the way this one was started, and whose examples keep their lines.

    The help ends with the exit codes, the usual ones unless `examples` has others; a subcommand's has those of the examples
    that are its own.
    """

    def __init__(self, prog: str, description: str | None = None, examples: str = "", **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        self._examples = show_commands(examples).rstrip()
        parts = [self._examples, "" if "exit code" in self._examples else _EXIT_CODES]
        epilog = "\n\n".join(filter(None, parts))
        super().__init__(prog=show_commands(prog), description=description, epilog=epilog, **settings)

    def add_subparsers(self, **settings: Any) -> Any:
        """As argparse's, with parsers of this class."""
        return super().add_subparsers(**{"parser_class": self._make_subparser, **settings})

    def _make_subparser(self, *, prog: str, **settings: Any) -> CommandParser:
        own = [line for line in self._examples.splitlines() if f"{line.strip()} ".startswith(f"{prog} ")]
        return CommandParser(prog, examples="\n".join(["examples:", *own]) if own else "", **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's, but none may stay unknown: a subcommand names its own options for what was mistyped."""
        self._given = list(sys.argv[1:] if args is None else args)
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse_unknown(unknown)
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """End with one line; where an option is missing because it was mistyped, the mistyped one is named."""
        if "required" in message:
            before = self._given[: self._given.index("--")] if "--" in self._given else self._given
            self._refuse_unknown([word for word in before if self._is_mistyped(word)])
        said = self._reword(message)
        print_problem(f"error: {said}" if said.endswith("?") else f"error: {said}; see --help")
        self.exit(BAD_INPUT)

    def _reword(self, message: str) -> str:
        """A complaint of argparse's in the words of our own: first what it is about, then what is wrong with it."""
        if found := _MISSING.fullmatch(message):
            names = found[1] or found[2].replace(" ", " or ")
            choices = [action.choices for action in self._actions if names in (action.dest, action.metavar)]
            there = f"; there are: {', '.join(map(str, choices[0]))}" if len(choices) == 1 and choices[0] else ""
            return f"{names}: required by '{self.prog}'{there}"
        if found := _AMBIGUOUS.fullmatch(message):
            return f"{found[1]}: short for more than one option of '{self.prog}': {found[2]}"
        if found := _ABOUT.fullmatch(message):
            said = found[2]
            for pattern, words in _REWORDED:
                said = pattern.sub(words, said)
            return f"{found[1].rpartition('/')[2]}: {said}"
        return message

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if choices and str(value) not in choices:
            raise argparse.ArgumentError(action, f"not allowed: {value!r}{nearest(str(value), choices)}")

    def _is_mistyped(self, word: str) -> bool:
        name = word.partition("=")[0]
        return name.startswith("--") and not any(
            option.startswith(name) if self.allow_abbrev else option == name for option in self._option_string_actions
        )

    def _refuse_unknown(self, words: list[str]) -> None:
        """End with a line for each option that does not exist, else for what was given too much; not at all for neither."""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        mistyped = [word.partition("=")[0] for word in words if word.startswith("-") and word != "--"]
        lines = [f"error: {name}: no such option of '{self.prog}'{_near(name, options)}" for name in mistyped]
        if words and not lines:
            lines = [f"error: {word}: unexpected argument of '{self.prog}'; see --help" for word in words]
        if lines:
            print_problem("\n".join(lines))
            self.exit(BAD_INPUT)


def _near(name: str, options: list[str]) -> str:
    """The option that was probably meant; of a few all, of many where they stand."""
    said = nearest(name, options)
    return said if said.endswith("?") or len(options) <= _FEW_OPTIONS else "; see --help"


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """The option `--set KEY=VALUE`, into `overrides`."""
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="change one setting, such as grpo.max_steps=100 (repeatable)",
    )  # fmt: skip


def refuse_idle(options: argparse.Namespace, why: str, **defaults: Any) -> None:
    """Raise UserError for options that were given though nothing reads them here; each by its name and its default."""
    given = [f"--{name.replace('_', '-')}" for name, default in defaults.items() if getattr(options, name) != default]
    if given:
        raise UserError(f"{', '.join(given)}: {why}")


def run_command(work: Callable[[], int], complain: Callable[[str], None] | None = None) -> int:
    """Do the work of a command and return its exit code; any failure is reported in plain lines, never as a traceback.

    2 for a user's mistake; 1 for any other failure, Ctrl-C, or a machine that refuses (disk full, no permission); 0 if
    the reader of the output has gone, as with `head`. `complain` reports what is wrong, by default on standard error;
    each line begins with `error: `.
    """
    complain = complain or print_problem
    _open_streams()
    sys.excepthook = _show_traceback
    sys.unraisablehook = _pass_over_interrupts
    threading.excepthook = lambda given: _show_traceback(
        given.exc_type, given.exc_value or given.exc_type(), given.exc_traceback
    )
    try:
        try:
            return work()
        finally:  # after `--help` too, which ends by SystemExit
            sys.stdout.flush()
    except UserError as error:
        complain("\n".join(f"error: {line}" for line in error.problems))
        return BAD_INPUT
    except ModuleNotFoundError as error:
        from rewards.screen.missing_package import say_missing_package

        line = say_missing_package(error.name)
        if line is None:
            raise
        complain(f"error: {line}")
        return BAD_INPUT
    except RecompensaError as error:
        complain(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        print_problem("stopped")
        return FAILED
    except SystemExit as end:
        # Of a library, with a message that Python would print as it is.
        if not isinstance(end.code, str):
            raise
        complain(f"error: {end.code}")
        return FAILED
    except BrokenPipeError:
        # The reader has seen enough; nothing may be written to the pipe any more, not even when Python winds up.
        silence_output()
        return DONE
    except OSError as error:
        complain(f"error: {error.filename or 'standard output'}: {error.strerror or error}")
        return FAILED
    except RuntimeError as error:
        # pathlib's, the second one up to Python 3.12.
        if str(error).startswith("Could not determine home directory"):
            complain("error: a path begins with ~ and a user who is not on this machine; write the whole path")
            return BAD_INPUT
        path = str(error).removeprefix("Symlink loop from ")
        if path == str(error):
            raise
        complain(f"error: {path.strip(chr(39))}: a link that points to itself; make it point to a file")
        return BAD_INPUT


def end_process(code: int) -> NoReturn:
    """End this process with the code: all is done, and while Python winds up a signal would only turn it into another."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _open_streams() -> None:
    """Standard streams that a shell has closed (`>&-`) lead nowhere: else the next file that is opened would be one of them.

    What standard output cannot write in its encoding is escaped, as JSON escapes it: no character of a row ends a command.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:  # another thread was quicker
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    codecs.register_error(_ESCAPED, _escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ESCAPED)


def _escape(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    return json.dumps(fault.object[fault.start : fault.end])[1:-1], fault.end


def _pass_over_interrupts(given: Any) -> None:
    """Where a signal comes in the middle of a finalizer, its KeyboardInterrupt can be raised to nobody: no fault to show."""
    if not issubclass(given.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(given)


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of ours, as Python shows it, but for the secrets in it."""
    print(hide_known("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr, flush=True)


def print_problem(text: str) -> None:
    """Lines on standard error; what they quote cannot steer a terminal, and commands have the name the user typed.

    Secrets in them are hidden.
    """
    # Where nobody can be told, the exit code tells.
    with suppress(OSError, ValueError):
        for line in hide_known(show_commands(text)).split("\n"):
            print(make_harmless(line, _LONGEST_LINE), file=sys.stderr, flush=True)


def silence_output() -> None:
    """Whatever is still written to standard output goes nowhere."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no real file, as under a test
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """One JSON document on standard output, readable, with nothing in it that a terminal would obey."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(make_writable(value)[0], ensure_ascii=False, indent=indent)
    print(escape_json(text))
