"""Every shipped config resolves to its golden copy; RECOMPENSA_UPDATE_GOLDEN=1 writes the copies again."""

import json
import os
from itertools import product
from pathlib import Path

import pytest

from grpo.config.loading import configs_folder, load_config

GOLDEN = Path(__file__).parents[2] / "golden"
NAMES = sorted(path.stem for path in configs_folder().glob("*.yaml"))


@pytest.mark.parametrize(("name", "profile"), [*product(NAMES, ("gpu", "embedded")), ("v4_1", "small")])
def test_config_when_resolved_then_equals_its_golden_copy(name, profile):
    """No resolved value changes unseen, whichever file or default it comes from."""
    resolved = load_config(name, profile=profile).model_dump(mode="json")
    # A path of a shipped file is absolute once it is resolved: where the checkout lies is nothing of the config's.
    resolved = json.loads(json.dumps(resolved).replace(f"{configs_folder()}/", "configs/"))
    copy = GOLDEN / f"{name}.{profile}.json"
    if os.environ.get("RECOMPENSA_UPDATE_GOLDEN"):
        copy.write_text(json.dumps(resolved, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert resolved == json.loads(copy.read_text(encoding="utf-8")), (
        f"{name} under profile {profile} resolves to other values than {copy.name}; if that is meant, "
        "run this test with RECOMPENSA_UPDATE_GOLDEN=1 and commit the copies"
    )


def test_golden_copies_when_listed_then_each_has_its_config():
    """A removed config leaves no copy behind."""
    assert {path.name for path in GOLDEN.glob("*.json")} == {
        *(f"{n}.{p}.json" for n in NAMES for p in ("gpu", "embedded")),
        "v4_1.small.json",
    }
