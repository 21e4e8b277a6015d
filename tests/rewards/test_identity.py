"""A reward's identity: what changes it, what does not, and what is refused across two of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rewards.errors import UserError
from rewards.functions.extraction import FieldExtraction
from rewards.functions.push import Push
from rewards.host.scoring import RewardHost
from rewards.host.weighted import WeightedFunction
from rewards.identity import find_differences, fingerprint_function, read_identities, refuse_differences

PLUGIN = '''"""A reward."""
from typing import ClassVar
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction, Score
from {sibling} import LIMIT

class Short(RewardFunction):
    """Short answers."""
    name: ClassVar[str] = "short"
    version: ClassVar[str] = "1"
    schema_file: str = ""
    share: float = 0.5

    def __call__(self, example, completion):
        return Score(1.0 if len(completion.text) < LIMIT else self.share)  # {comment}

@hookimpl
def register_rewards(register):
    register(Short)
'''

SHOW = """
import sys
from rewards.config import RewardsSection, build_host
section = RewardsSection.model_validate({"plugins": [sys.argv[1]], "functions": [{"name": "short", "options": eval(sys.argv[2])}]})
with build_host(section) as host:
    print(next(iter(host.identities().values())).fingerprint)
"""


@pytest.fixture
def fingerprint(tmp_path):
    """The fingerprint of a plugin file in a fresh process, as another run would find it."""

    def ask(comment="x", limit=10, source=PLUGIN, **options):
        (tmp_path / "sizes_of_mine.py").write_text(f"LIMIT = {limit}  # {comment}\n")
        plugin = tmp_path / "short.py"
        plugin.write_text(source.replace("{sibling}", "sizes_of_mine").replace("{comment}", comment))
        done = subprocess.run(
            [sys.executable, "-c", SHOW, str(plugin), repr(options)], capture_output=True, text=True,
            env={"PYTHONPATH": f"{tmp_path}:{':'.join(filter(None, sys.path))}", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return ask


def test_fingerprint_when_only_comments_differ_then_the_same_and_else_another(fingerprint, tmp_path):
    """Code, a module beside it, an option, and the bytes of a file that an option names; no comment, docstring or layout."""
    schema = tmp_path / "schema.json"
    schema.write_text("{}")
    first = fingerprint()
    assert fingerprint(comment="another comment") == first
    assert fingerprint(source=PLUGIN.replace("Short answers.", "Answers that are short.")) == first
    documented = PLUGIN.replace(
        "share: float = 0.5", 'share: float = 0.5\n    """What a long answer earns."""'
    ).replace("completion):", 'completion):\n        """The score of one completion."""')
    assert fingerprint(source=documented) == first
    with_file = fingerprint(schema_file=str(schema))
    schema.write_text('{"type": "object"}')
    others = [
        fingerprint(limit=11), fingerprint(share=0.25), fingerprint(source=PLUGIN.replace("< LIMIT", "<= LIMIT")),
        with_file, fingerprint(schema_file=str(schema)),
    ]  # fmt: skip
    assert len({first, *others}) == 1 + len(others)


def test_fingerprint_when_more_of_the_package_was_imported_meanwhile_then_the_same():
    """It follows the files, not what a process happens to have loaded."""
    code = (
        "{}from rewards.config import RewardsSection, build_host\n"
        "host = build_host(RewardsSection.model_validate({{'functions': [{{'name': 'extraction'}}]}}))\n"
        "print(next(iter(host.identities().values())).fingerprint)\n"
    )
    before = ["", "import rewards.rescore, rewards.audit.audit, rewards.commands.score\n"]
    found = {
        subprocess.run([sys.executable, "-c", code.format(line)], capture_output=True, text=True).stdout
        for line in before
    }
    assert len(found) == 1 and "" not in found


def test_differences_when_scorers_differ_then_each_is_named_and_refused():
    """Version, code, weight, and one that came or went; an older run, which kept none, is let through."""
    host = RewardHost([WeightedFunction(FieldExtraction()), WeightedFunction(Push(), weight=2.0)])
    now = host.identities()
    kept = [identity.to_json() for identity in now.values()]
    assert read_identities(kept) == now and not find_differences(now, read_identities(kept))
    changed = [{**each} for each in kept]
    changed[0]["fingerprint"], changed[1]["weight"] = "0" * 12, 1.0
    lines = find_differences(read_identities(changed), now)
    assert "still says version" in lines[0] and "another weight" in lines[1]
    assert find_differences(now, {"push": now["push"]}) == ["'extraction' is gone"]
    with pytest.raises(UserError, match="--allow-changed-rewards"):
        refuse_differences("--resume x", read_identities(changed), now)
    assert refuse_differences("--resume x", read_identities(changed), now, allowed=True) == lines
    assert refuse_differences("--resume x", {}, now) == []
    assert fingerprint_function(FieldExtraction()) == now["extraction"].fingerprint
