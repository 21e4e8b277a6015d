"""The command `recompensa` and its place among a user's own files: names, help, completion, packages found by location."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from grpo.console import COMMANDS, find_commands, find_main, main
from rewards.siblings import ROOT, claim, command_words
from tests.timing import stopwatch

REPOSITORY = Path(__file__).resolve().parents[1]
PATH = {"PYTHONPATH": str(REPOSITORY)}


def start(words, folder, **environment):
    """The words run as a process in that folder, with the packages of this checkout."""
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, env={**os.environ, **PATH, **environment}, timeout=120
    )


@pytest.fixture
def crowded(tmp_path):
    """A folder in which a user keeps files of the names that our packages have; importing one is an error."""
    (tmp_path / "rewards.py").write_text("raise RuntimeError('rewards of the user')\n")
    for name in ("callbacks", "sft_warmup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('{name} of the user')\n")
    return tmp_path


def test_module_command_when_the_folder_has_packages_of_our_names_then_ours_are_used(crowded):
    """`python -m grpo.plan` puts the working folder first on the path, and still plans."""
    done = start([sys.executable, "-m", "grpo.config", "list"], crowded)
    assert done.returncode == 0 and "v4_1" in done.stdout, done.stderr


def test_console_when_the_folder_has_packages_of_all_our_names_then_it_works(crowded):
    """Also where a `grpo` lies there, which `python -m grpo.run` could not get past."""
    (crowded / "grpo").mkdir()
    (crowded / "grpo" / "__init__.py").write_text("raise RuntimeError('grpo of the user')\n")
    done = start(command_words("config", "show", "v4_1", "--json"), crowded)
    assert done.returncode == 0 and '"sql_qa"' in done.stdout, done.stderr


def test_worker_when_the_folder_has_a_rewards_file_then_a_plugin_is_scored(crowded):
    """The process of a plugin's function finds ours too, and a plugin may itself be called rewards.py."""
    (crowded / "rewards.py").write_text(
        "from typing import ClassVar\n"
        "from rewards.hookspecs import hookimpl\n"
        "from rewards.types import RewardFunction, Score\n"
        "class Mine(RewardFunction):\n"
        "    name: ClassVar[str] = 'mine'\n"
        "    version: ClassVar[str] = '1'\n"
        "    def __call__(self, example, completion):\n"
        "        return Score(0.5)\n"
        "@hookimpl\n"
        "def register_rewards(register):\n"
        "    register(Mine)\n"
    )
    (crowded / "rows.jsonl").write_text(
        '{"id": "a", "task": "t", "prompt": "p", "completion": "c", "reference": "r"}\n'
    )
    words = ["score", "--plugin", "./rewards.py", "--reward", "mine", "--input", "rows.jsonl"]
    done = start(command_words("rewards", *words), crowded)
    assert done.returncode == 0 and '"value": 0.5' in done.stdout, done.stderr


def test_claim_when_a_name_is_taken_already_then_one_line_says_by_what(monkeypatch, tmp_path):
    """A script that imported its own rewards.py before ours is told which file to rename."""
    stranger = type(sys)("rewards")
    stranger.__file__ = str(tmp_path / "rewards.py")
    monkeypatch.setitem(sys.modules, "rewards", stranger)
    with pytest.raises(ImportError, match=re.escape(f"'rewards' is {tmp_path / 'rewards.py'}, imported before")):
        claim()


def test_help_when_asked_for_then_every_command_is_listed_at_once(capsys):
    """No command is imported for it: that takes less than 0.3 s even on a slow machine, start of Python included."""
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in find_commands())
    seconds = []
    for _ in range(3):
        with stopwatch(time_of_children) as spent:
            subprocess.run(command_words("--help"), env={**os.environ, **PATH}, check=True, capture_output=True)
        seconds.append(spent.seconds)
    with stopwatch(time_of_children) as bare:
        subprocess.run([sys.executable, "-c", "import argparse, pathlib, runpy"], check=True)
    assert min(seconds) < 0.25 + bare.seconds


def time_of_children() -> float:
    """Processor seconds of the processes that have ended, whatever else the machine does."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def test_commands_when_their_modules_are_there_then_each_has_a_main_and_a_parser():
    """What the table names is what exists; the parsers are what completion is made of."""
    from importlib import import_module

    for name, (module, _) in find_commands().items():
        found = import_module(find_main(module))
        assert callable(found.main) and callable(found.make_parser), name
    assert set(COMMANDS) - set(find_commands()) <= {"init"}


@pytest.mark.parametrize("name", [name for name in find_commands() if name != "completion"])
def test_help_when_a_command_is_started_in_either_way_then_it_speaks_as_it_was_called(name, capsys, monkeypatch):
    """Usage and examples have `recompensa run` under the console command and `python -m grpo.run` under Python."""
    from importlib import import_module

    monkeypatch.delenv("RECOMPENSA_CONSOLE", raising=False)
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0 and f"recompensa {name}" in shown and "python -m" not in shown
    assert "\nexamples:\n" in shown and "\nexit codes: 0 " in shown
    with pytest.raises(SystemExit):
        import_module(find_main(COMMANDS[name][0])).main(["--help"])
    shown = capsys.readouterr().out
    assert (
        re.search(rf"usage: python -m (grpo\.)?(service\.)?{name.replace('-', '_')}\b", shown)
        and "recompensa " + name not in shown
    )


@pytest.mark.parametrize(
    "words", [("config", "show"), ("config", "from-trl"), ("harness", "run"), ("harness", "table")]
)
def test_help_when_it_is_a_subcommands_then_it_has_those_of_the_examples_that_are_its_own(words, capsys):
    """`config show --help` shows how to show a config, not how to list them."""
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    _, _, shown = capsys.readouterr().out.partition("\nexamples:\n")
    examples, _, codes = shown.partition("\n\n")
    assert examples and all(line.startswith(f"  recompensa {' '.join(words)}") for line in examples.splitlines())
    assert codes.startswith("exit codes: 0 ")


def test_command_when_there_is_none_of_that_name_then_the_nearest_is_proposed(capsys):
    """One line and exit code 2."""
    assert main(["evalute"]) == 2
    assert capsys.readouterr().err == "error: evalute: no such command of 'recompensa'; did you mean evaluate?\n"


MISTYPED = [
    ("plan --confg v4_1.yaml", "--confg: no such option of 'recompensa plan'; did you mean --config?"),
    ("run --confg=v4_1.yaml", "--confg: no such option of 'recompensa run'; did you mean --config?"),
    ("watch runs/a --onec", "--onec: no such option of 'recompensa watch'; did you mean --once?"),
    ("rewards --plugn x score", "--plugn: no such option of 'recompensa rewards'; did you mean --plugin?"),
    ("rewards score --rewrd x", "--rewrd: no such option of 'recompensa rewards score'; did you mean --reward?"),
    ("config show v4_1 --profle gpu", "--profle: no such option of 'recompensa config show'; did you mean --profile?"),
    ("data stats a.jsonl --limt 3", "--limt: no such option of 'recompensa data stats'; did you mean --limit?"),
    ("data stast a.jsonl", "stast: no such command of 'recompensa data'; did you mean stats?"),
    ("ladder --frobnicate", "--frobnicate: no such option of 'recompensa ladder'; there are: --help, --json"),
    ("run --frobnicate", "--frobnicate: no such option of 'recompensa run'; see --help"),
    ("rewards list field_f1", "field_f1: unexpected argument of 'recompensa rewards list'; see --help"),
]


@pytest.mark.parametrize(("words", "said"), MISTYPED)
def test_option_when_it_is_mistyped_then_one_line_names_the_nearest(words, said, capsys):
    """Also where argparse would complain of a required option first, which is the one that was mistyped."""
    try:
        code = main(words.split())
    except SystemExit as end:
        code = end.code
    assert (code, capsys.readouterr().err) == (2, f"error: {said}\n")


COMPLAINTS = [
    ("run --config v4_1 --profile embeded", "--profile: not allowed: 'embeded'; did you mean embedded?"),
    (
        "run --config v4_1 --profile xyz",
        "--profile: not allowed: 'xyz'; there are: auto, gpu, small, embedded; see --help",
    ),
    ("run", "--config or --resume: required by 'recompensa run'; see --help"),
    ("run --config", "--config: expected one value; see --help"),
    ("run --config a --resume b", "--resume: cannot be combined with --config; see --help"),
    ("run --config a --quiet=3", "--quiet: takes no value, but was given '3'; see --help"),
    ("run --config a --slots x", "--slots: 'x' is not a positive integer; write 1 or more; see --help"),
    ("run --config a --from-warmup", "--from-warmup requires --resume; see --help"),
    ("plan --config a --max-hours x", "--max-hours: 'x' is not a number; see --help"),
    ("init a.jsonl --seed x", "--seed: 'x' is not a whole number; see --help"),
    ("watch", "RUN: required by 'recompensa watch'; see --help"),
    ("rewards score", "--reward, --input: required by 'recompensa rewards score'; see --help"),
    ("config", "command: required by 'recompensa config'; there are: list, schema, show, from-trl; see --help"),
    (
        "evaluate --model a --task t --prompt x --limit 3 --out d",
        "--out, --limit: not with --prompt, whose one answer is printed; leave it out",
    ),
    ("checklist r --no-policy --asked 5", "--asked: not with --no-policy, which times no answers; leave it out"),
    ("watch r --once --every 5", "--every: not with --once or --json, which look once; leave it out"),
    (
        "data filter a.jsonl --out b.jsonl --quality --tokenizer m",
        "--tokenizer: counts for --max-tokens; give that too",
    ),
    (
        "rewards score --reward push --input a.jsonl --in-process --timeout-seconds 3",
        "--timeout-seconds: not with --in-process, where time limits do not work; leave it out",
    ),
    (
        "init tests/test_console.py --split x --subset y",
        "--split, --subset: of a Hub data set or a folder, and this is a file; leave it out",
    ),
    (
        "export r --to x --format foo",
        "--format foo: not a format; there are: adapter, safetensors, gguf-f32, gguf-f16, gguf-bf16, gguf-q8_0, f32, merged, "
        "gguf, f16, bf16, q8_0, all",
    ),
    (
        "export r --to x --pu 3",
        "--pu: short for more than one option of 'recompensa export': --push, --public; see --help",
    ),
]


@pytest.mark.parametrize(("words", "said"), COMPLAINTS)
def test_command_line_when_it_is_wrong_then_one_line_says_what_in_our_words(words, said, capsys):
    """No usage before it and no name of a program at its start, whatever argparse complains of."""
    try:
        code = main(words.split())
    except SystemExit as end:
        code = end.code
    assert (code, capsys.readouterr()) == (2, ("", f"error: {said}\n"))


BASH = """
source ./words.bash
try() { COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=(); _recompensa; echo "${COMPREPLY[*]}"; }
try recompensa de
try recompensa run --res
try recompensa run --config v4_2
try recompensa run --profile g
try recompensa rewards resc
try recompensa rewards score --rew
try recompensa config show qwen
"""


def test_completion_when_bash_asks_then_commands_options_and_configs_are_known(capsys, tmp_path):
    """The script is run by bash itself."""
    assert main(["completion", "bash"]) == 0
    (tmp_path / "words.bash").write_text(capsys.readouterr().out)
    done = subprocess.run(["bash", "-c", BASH], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "decide", "--resume", "v4_2_a v4_2_b v4_2_c", "gpu", "rescore", "--reward", "qwen3_8b",
    ]  # fmt: skip
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_when_another_shell_asks_then_it_knows_the_same_words(shell, capsys):
    """Neither shell is at hand in CI: that the words are in the script has to do."""
    assert main(["completion", shell]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("evaluate", "rescore", "v4_1", "run-dir"))


def test_output_when_the_reader_goes_away_then_nothing_is_said_about_it(tmp_path):
    """`recompensa decide ... | head` ends quietly, help and results alike."""
    metrics = tmp_path / "metrics.jsonl"
    rows = [f'{{"step": {step}, "eval/mean_reward": 0.4}}\n' for step in range(0, 2000, 10)]
    metrics.write_text("".join(rows))
    for words in (["decide", "--metrics", str(metrics), "--json"], ["run", "--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            command_words(*words), stdout=writer, stderr=subprocess.PIPE, text=True, env={**os.environ, **PATH}
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, "")


def test_root_when_run_from_a_checkout_then_the_packages_stand_in_it():
    """The place the packages are found by is the one they are in."""
    assert str(REPOSITORY) == ROOT


def test_console_when_started_as_a_module_then_it_lists_the_commands(tmp_path):
    """`python -m grpo.console --help` is the console command, not a silent import."""
    done = start([sys.executable, "-m", "grpo.console", "--help"], tmp_path)
    assert done.returncode == 0 and "commands:" in done.stdout and "  init " in done.stdout, done.stderr
