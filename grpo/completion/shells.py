"""The words of the command line as completion scripts: bash, zsh and fish."""

from __future__ import annotations

import shlex

from grpo.completion.words import Words


def write_bash(places: dict[tuple[str, ...], Words], *, zsh: bool) -> str:
    """One function for bash, which zsh runs too; names of files are always offered beside the words."""
    cases = []
    for place, words in places.items():
        key = " ".join(place)
        for flag, values in words.values.items():
            cases.append(f"    {shlex.quote(f'{key}|{flag}')}) values={shlex.quote(' '.join(values))} ;;")
    offered = [
        f"    {shlex.quote(' '.join(place))}) words={shlex.quote(' '.join([*words.subcommands, *words.options]))} ;;"
        for place, words in places.items()
    ]
    nested = "|".join(place[0] for place, words in places.items() if len(place) == 1 and words.subcommands)
    lines = [
        "# Completion of recompensa; made by `recompensa completion`.",
        *(["autoload -U +X bashcompinit && bashcompinit"] if zsh else []),
        "_recompensa() {",
        '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" place="" words="" values=""',
        '  if [ "$COMP_CWORD" -gt 1 ]; then place="${COMP_WORDS[1]}"; fi',
        f'  case "$place" in {nested}) if [ "$COMP_CWORD" -gt 2 ]; then place="$place ${{COMP_WORDS[2]}}"; fi ;; esac',
        '  case "$place|$previous" in',
        *cases,
        "  esac",
        '  if [ -z "$values" ] || [ "${current#-}" != "$current" ]; then case "$place" in',
        *offered,
        "  esac; fi",
        '  case "$place" in',
        *[
            f'    {shlex.quote(" ".join(place))}) values="$values {" ".join(words.values[""])}" ;;'
            for place, words in places.items()
            if "" in words.values
        ],
        "  esac",
        '  COMPREPLY=($(compgen -W "$words $values" -- "$current"))',
        '  if [ -n "$place" ] && [ "${current#-}" = "$current" ]; then',
        '    COMPREPLY+=($(compgen -f -- "$current"))',
        "  fi",
        "}",
        "complete -o filenames -F _recompensa recompensa",
    ]
    return "\n".join(lines) + "\n"


def write_fish(places: dict[tuple[str, ...], Words]) -> str:
    lines = ["# Completion of recompensa; made by `recompensa completion`."]
    for place, words in places.items():
        if not place:
            condition = "__fish_use_subcommand"
        else:
            condition = " and ".join(f"__fish_seen_subcommand_from {word}" for word in place).replace(" and ", "; and ")
        start = f"complete -c recompensa -n {shlex.quote(condition)}"
        for name, said in words.subcommands.items():
            lines.append(f"{start} -f -a {shlex.quote(name)} -d {shlex.quote(said)}")
        for flag, said in words.options.items():
            name = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            known = f" -a {shlex.quote(' '.join(words.values[flag]))} -r" if flag in words.values else ""
            lines.append(f"{start} {name} -d {shlex.quote(said)}{known}")
        if "" in words.values:
            lines.append(f"{start} -a {shlex.quote(' '.join(words.values['']))}")
    return "\n".join(lines) + "\n"
