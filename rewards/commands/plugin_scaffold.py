"""A working plugin package to start from: one reward function with samples, its test, rows, README, licence, and what installs it."""

from __future__ import annotations

import keyword
import re
from datetime import date
from pathlib import Path

from rewards.errors import UserError

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

_MODULE = '''\
"""Reward of `{name}`: say in one sentence what it pays for."""

from collections import Counter

from rewards import Score, reward

LONGEST = 10_000  # characters of an answer that are read: an endless text must not take endless time

# Rows to try it on: `recompensa rewards attack {name}` cheats on them, and finds no way.
SAMPLES = [
    {{"id": "1", "prompt": "Quem escreveu Dom Casmurro?", "reference": "Machado de Assis"}},
    {{"id": "2", "prompt": "Qual é a capital do Pará?", "reference": "Belém do Pará"}},
    {{"id": "3", "prompt": "Qual é a capital do Acre?", "reference": "Rio Branco"}},
    {{"id": "4", "prompt": "Qual é o maior rio do Brasil?", "reference": "o rio Amazonas"}},
]


@reward("{name}", version="1")  # raise the version whenever a score could change; tasks=[...]: only for these
def {function}(answer, reference):
    """1 for the reference's words in its order; else half of the share of words that the two have in common."""
    said, right = list_words(answer[:LONGEST]), list_words(reference or "")
    if not right:
        return None  # does not apply: this row has no reference
    if said == right:
        return 1.0
    shared = 2 * sum((Counter(said) & Counter(right)).values()) / (len(said) + len(right))
    missing = [word for word in right if word not in said]
    # Half a point at most: only the whole answer is right.
    return Score(shared / 2, f"misses {{', '.join(missing[:5])}}" if missing else "", {{"shared": shared}})


def list_words(text):
    """The words of a text in lower case, without the punctuation around them."""
    return [word for word in (piece.strip(".,;:!?()'\\"") for piece in text.casefold().split()) if word]
'''

_TEST = '''\
"""The contract kit on one example: what earns all, something and nothing."""

from {module} import {function}

from rewards.testing import check_reward
from rewards.types import Example

EXAMPLE = Example(
    id="1",
    task="default",
    prompt=[{{"role": "user", "content": "Quem escreveu Dom Casmurro?"}}],
    reference="Machado de Assis",
)


def test_{name}_when_checked_by_the_kit_then_keeps_the_contract():
    """The reward function keeps every promise that a run relies on."""
    check_reward(
        {function},
        EXAMPLE,
        right=["machado de assis", "Machado de Assis."],
        partial=["Machado", "foi Machado de Assis"],
        wrong=["José Alencar escreveu esse livro e muitos outros romances", ""],
    )


def test_{name}_when_called_then_is_the_plain_function():
    """The decorator leaves the function what it was."""
    assert {function}("Rio Branco", "Rio Branco") == 1.0
'''

_README = """\
# {distribution}

The reward function `{name}` for [recompensa](https://pypi.org/project/recompensa/): say what it pays for, and for which rows.

```
pip install --editable .
recompensa rewards score --reward {name} --input rows.jsonl    # what it says of your rows
recompensa rewards attack {name}                               # what a policy could cheat it with
pytest                                                         # the contract kit
recompensa rewards serve --reward {name}                       # to any trainer, by URL
```

In a run:

```yaml
rewards:
  functions:
    - name: {name}
```

| it reads | what |
|---|---|
| `reference` | the right answer |

Licence: Apache-2.0 (LICENSE).
"""

_LICENSE = """\
Copyright {year} the authors of {distribution}

Licensed under the Apache License, Version 2.0 (the "License"); you may not use this software except in compliance with the
License. You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an "AS
IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the specific language
governing permissions and limitations under the License.
"""

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "The reward function {name} for recompensa"
readme = "README.md"
license = "Apache-2.0"
license-files = ["LICENSE"]
requires-python = ">=3.11"
dependencies = ["recompensa"]

[project.entry-points.recompensa]
{name} = "{module}"

[tool.hatch.build.targets.wheel]
include = ["{module}.py"]
"""

_ROWS = """\
{"id": "1", "task": "default", "prompt": "Quem escreveu Dom Casmurro?", "reference": "Machado de Assis", "completion": "Machado de Assis."}
{"id": "2", "task": "default", "prompt": "Qual é a capital do Pará?", "reference": "Belém", "completion": "A capital é Belém"}
{"id": "3", "task": "default", "prompt": "Qual é a capital do Acre?", "reference": "Rio Branco", "completion": "não sei"}
"""


def write_plugin(name: str, folder: Path) -> list[Path]:
    """Write the package of a reward function into `folder`, which must not exist yet; returns the files.

    Raises UserError for a name that no reward function may have, and for a folder that is there or cannot be made.
    """
    problems = find_name_problems(name)
    if folder.exists():
        problems.append(f"{folder}: exists already; choose another folder with --folder")
    if problems:
        raise UserError(problems)
    words = {
        "name": name,
        "function": name,
        "year": str(date.today().year),
        "module": f"recompensa_{name}",
        "distribution": f"recompensa-{name.strip('_').replace('_', '-')}",
    }
    files = {
        "pyproject.toml": _PROJECT.format(**words),
        f"{words['module']}.py": _MODULE.format(**words),
        f"tests/test_{name}.py": _TEST.format(**words),
        "rows.jsonl": _ROWS,
        "README.md": _README.format(**words),
        "LICENSE": _LICENSE.format(**words),
    }
    written = []
    try:
        for place, text in files.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder with --folder"
        ) from None
    return written


def find_name_problems(name: str) -> list[str]:
    """Why a reward function may not have this name, one line each; whether another has it is for the caller to see."""
    if not _NAME.match(name) or keyword.iskeyword(name) or not name.strip("_"):
        return [
            f"{name!r}: not a name for a reward function; write lower-case letters, digits and underscores, such as my_reward"
        ]
    return []
