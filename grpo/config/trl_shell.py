"""A GRPO training with TRL as a shell starts it: its options, the script and the file that they go to; nothing is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grpo.config.trl_found import FoundSettings, as_number, find_beside

ReadFile = Callable[[Path, FoundSettings], FoundSettings]
_OPTION = re.compile(r"--[A-Za-z][A-Za-z0-9_-]*(=.*)?", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?[-=]([^{}]*))?\})")
# Commands beside the training: servers, evaluations, downloads.
_OTHERS = re.compile(
    r"\b(vllm-serve|vllm serve|api_server|swift (rollout|deploy|infer|eval|export|sample)|lighteval|lm_eval|huggingface-cli|hf)\b"
)

# Scripts that stand around a training, by what they are called.
_BESIDE = re.compile(
    r"(eval|infer|predict|prepare|preprocess|merge|convert|download|plot|analy|summar|score|benchmark|check_)",
    re.IGNORECASE,
)
_TRAINS = re.compile(r"grpo|train|rlvr", re.IGNORECASE)
# `cat > NAME <<'EOF'`, its lines, and the word that ends them.
_DOCUMENT = re.compile(
    r"^([^\n#]*)<<-?[ \t]*['\"]?(\w+)['\"]?([^\n]*)\n(.*?)^[ \t]*\2[ \t]*$", re.DOTALL | re.MULTILINE
)
# `> log`, `2>&1`, `&>> log`: the file may be a word of its own.
_REDIRECTION = re.compile(r"(\d*|&)(>>?|<)(&\d+|&-)?(.*)", re.DOTALL)

# `<node1_ip>`, which whoever runs the script is to fill in.
_PLACEHOLDER = re.compile(r"<[A-Za-z][\w .-]*>")


@dataclass
class Command:
    """One training as it is started: `options` by name, those before the script being the launcher's."""

    text: str
    program: str = ""  # the script, or what stands in its place, such as `trl grpo`
    launcher: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)


def find_commands(text: str) -> list[Command]:
    """Every command of a shell script that has options and is not of something else; loops and conditions are not run."""
    constants, arrays = _find_constants(text)
    found = []
    for line in split_commands(text):
        # What one case of several adds is not known to be added.
        if not re.match(r"\s*(\w+)\+=\(", line):
            for name, content in arrays.items():
                line = content.join(re.split(rf'"?\$\{{{name}\[[@*]\]\}}"?', line))
        if _OTHERS.search(line):
            continue
        try:
            words = shlex.split(line.rstrip("\\"))  # of a last line end with a space behind it that one is left
        except ValueError:
            words = line.split()
        filled = [each for word in without_redirections(words) for each in _fill_in_word(word, constants)]
        command = _read_words(filled, line)
        if _BESIDE.match(Path(command.program).name) and not _TRAINS.search(Path(command.program).name):
            continue
        # Without options it is a training where it is started as one, on several processes.
        if command.options or (
            command.program.endswith(".py") and re.search(r"\b(accelerate|torchrun|deepspeed)\b", line)
        ):
            found.append(command)
    return found


def without_redirections(words: list[str]) -> list[str]:
    """The words of a command without redirections, as the shell hands them to the program."""
    kept, following = [], False
    for word in words:
        match = None if _PLACEHOLDER.fullmatch(word) else _REDIRECTION.fullmatch(word)
        if match is None and not following:
            kept.append(word)
        following = match is not None and not match[3] and not match[4]
    return kept


def split_commands(text: str) -> list[str]:
    """A script's commands: comments are gone, continued lines joined, quoted line ends kept."""
    commands, current, quote, place, line = [], "", "", 0, 0  # `line`: where the present line begins in `current`
    while place < len(text):
        char = text[place]
        if char == "\\" and quote != "'":
            following = text[place + 1 : place + 2]
            current += " " if following == "\n" else char + following
            line = len(current) if following == "\n" else line
            place += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and (not current or current[-1].isspace()):
            # A comment between two continued lines ends the command for a shell, and not for whoever wrote it.
            end = text.find("\n", place)
            continued = line and not current[line:].strip()
            place = len(text) if end < 0 else end + 1 if continued else end
            continue
        elif char in "\n;|&" and not (char == "&" and text[place - 1 : place] == ">"):
            commands.append(current)
            current, place, line = "", place + 1, 0
            continue
        current += char
        place += 1
    return [each.strip() for each in [*commands, current] if each.strip()]


def cut_documents(text: str) -> tuple[str, dict[str, str]]:
    """A shell script without its here-documents, and the text of those that `cat > NAME <<EOF` writes to a file, by
    NAME.
    """
    written = {}
    for match in _DOCUMENT.finditer(text):
        if target := re.search(r">\s*([^\s<>|;&]+)", match[1] + match[3]):
            written[target[1].strip("'\"")] = match[4]
    return _DOCUMENT.sub(lambda match: match[1] + match[3], text), written


def read_command(command: Command, path: Path, read_file: ReadFile, written: Collection[str] = ()) -> FoundSettings:
    """The settings of a command, including those of the script and the configuration file that it names.

    `read_file(file, options)` reads another file under these options, including the files in `written`, which the
    script itself creates.
    """
    found = FoundSettings()
    if re.fullmatch(r"trl \w+", command.program) and command.program != "trl grpo":
        return FoundSettings(refusals=[f"{command.program} is another training than TRL's GRPO"])
    for name, value in command.options.items():
        if "$" in value or _PLACEHOLDER.fullmatch(value):
            found.unknown[name] = value
        else:
            several = command.lists.get(name, [])
            found.settings[name] = [as_number(each) for each in several] if len(several) > 1 else as_number(value)
    _note_processes(found, command, path)
    for name in ("config", "config_path", "recipe"):
        if name in found.unknown and re.search(r"yaml|yml|conf|recipe", found.unknown[name], re.IGNORECASE):
            found.refusals.append(
                f"its settings stand in {found.unknown[name]}, which only running the script tells; translate that file"
            )
            return found
        below = found.settings.get(name)
        if not isinstance(below, str) or not below.endswith((".yaml", ".yml", ".json")):
            continue
        place = Path(below) if below in written else find_beside(below, path)
        if place is None:
            found.refusals.append(
                f"its settings stand in {below}, which is not here; put it there, or translate that file"
            )
            return found
        del found.settings[name]
        found.notes.append(f"{place.name}: read as well; options stand above it")
        return found.put_over(read_file(place, FoundSettings()))
    if not command.program.endswith(".py"):
        return found
    place = find_beside(command.program, path)
    if place is not None:
        inner = read_file(place, found)
        if inner:
            return inner
    elif not command.options.keys() & _TELLING:
        found.refusals.append(f"its settings stand in {command.program}, which is not here; translate that file")
    elif "config" not in command.options:
        found.notes.append(
            f"{command.program} is not here: its options are read as TRL's, and defaults of its own are not"
        )
        for name in _MODEL_NAMES:
            if name in found.settings:
                found.settings.setdefault("model_name_or_path", found.settings.pop(name))
    return found


# What a script that is not here calls its model.
_MODEL_NAMES = ("model_path", "model_name", "base_model", "model_id", "model")
# Options that only a training with GRPO has.
_TELLING = {
    "num_generations", "max_completion_length", "max_prompt_length", "beta", "loss_type", "use_vllm", "epsilon",
    "num_iterations", "scale_rewards", "per_device_train_batch_size", "learning_rate",
}  # fmt: skip


def _note_processes(found: FoundSettings, command: Command, path: Path) -> None:
    """How many processes the command starts, where it says so, or the launcher's file does."""
    nodes = as_number(command.launcher.get("nnodes", command.launcher.get("num_machines", "1")))
    each = command.launcher.get("nproc_per_node") or command.launcher.get("num_processes")
    if each is not None:
        count = as_number(each)
        if isinstance(count, int) and isinstance(nodes, int):
            many = "nproc_per_node" in command.launcher
            found.settings["num_processes"] = count * nodes if many else count
        return
    name = command.launcher.get("config_file")
    if name is None:
        return
    place = find_beside(name, path)
    told = re.search(r"^num_processes:\s*(\d+)", place.read_text(encoding="utf-8"), re.MULTILINE) if place else None
    if told:
        found.settings["num_processes"] = int(told[1])
    else:
        where = "does not say" if place else "was not found, so it is unknown"
        found.notes.append(f"{name} {where} how many processes it starts: give --processes; without it one is assumed")


def _read_words(words: list[str], line: str) -> Command:
    command, name = Command(line), None
    into: dict[str, str] = {}
    words = [word for word in words if not word or word.strip("\\ \t")]  # a line end that a space follows
    for place, word in enumerate(words):
        if re.fullmatch(r"(N_?PROC_PER_NODE|NUM_PROCESSES)=\d+", word):
            command.launcher["nproc_per_node"] = word.partition("=")[2]
        if not command.program and not word.startswith("-") and (program := _find_program(words, place)):
            command.program = program
            command.launcher |= into
            into, name = {}, None
        elif _OPTION.fullmatch(word):
            name, given, value = word[2:].partition("=")
            name = name.replace("-", "_")
            into[name] = value if given else "true"
            command.lists[name] = [value] if given else []
        elif name is not None and not word.startswith("--"):
            command.lists[name].append(word.rstrip(","))
            into[name] = command.lists[name][0]
            if not command.program and place + 1 < len(words):  # a launcher's option has one value
                name = None
    command.options = into
    return command


def _find_program(words: list[str], place: int) -> str:
    """What trains, if it begins at that word: a Python file, a module, or the command line of TRL or of ms-swift."""
    word = words[place]
    if word.endswith(".py"):
        return word
    if place and words[place - 1] == "-m" and not word.startswith(("torch.distributed", "accelerate")):
        return word
    pair = f"{word.rpartition('/')[2]} {words[place + 1] if place + 1 < len(words) else ''}"
    return pair if pair in ("swift rlhf", "megatron rlhf", "axolotl train") or re.fullmatch(r"trl \w+", pair) else ""


def _find_constants(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Variables that are set to one value, and arrays, by name; one that is set twice is not known."""
    values: dict[str, str] = {}
    repeated: set[str] = set()
    for command in split_commands(text):
        match = re.fullmatch(r"(?:export |readonly |local |declare )?(\w+)=(?!\()(.*)", command, re.DOTALL)
        if match is None:
            continue
        try:
            words = shlex.split(match[2])
        except ValueError:
            continue
        if len(words) == 1 and not re.search(r"\$\(|`", words[0]):
            repeated |= {match[1]} & values.keys()
            values[match[1]] = words[0]
        else:
            repeated.add(match[1])
    arrays = {name: " ".join(split_commands(content)) for name, content in re.findall(r"(\w+)=\(([^()]*)\)", text)}
    return {name: value for name, value in values.items() if name not in repeated}, arrays


def _fill_in_word(word: str, constants: Mapping[str, str]) -> list[str]:
    """A word with its variables in it; several where it is a variable that holds options."""
    filled = _fill_in(word, constants)
    if _VARIABLE.fullmatch(word) and filled.lstrip().startswith("--"):
        try:
            return shlex.split(filled)
        except ValueError:
            return filled.split()
    return [filled]


def _fill_in(word: str, constants: Mapping[str, str], depth: int = 0) -> str:
    """A word with its variables in it, as far as they are known; `${NAME:-default}` is the default where NAME is not set."""

    def value_of(match: re.Match[str]) -> str:
        known = constants.get(match[1] or match[2])
        if known is not None and known != match[0] and depth < 10:
            return _fill_in(known, {k: v for k, v in constants.items() if k != (match[1] or match[2])}, depth + 1)
        return match[3] if match[3] is not None else match[0]

    return _VARIABLE.sub(value_of, word)
