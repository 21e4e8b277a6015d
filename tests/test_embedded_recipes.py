"""The recipes of tool calls and personas as the embedded profile has them: each gains over its warm-up, or says that it did not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from grpo.checklist.__main__ import main


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["tools_structured", "tools_hermes", "tools_cep", "personas"])
def test_recipe_when_run_as_the_profile_has_it_then_its_gain_is_told(name, tmp_path, capsys):
    """To the end, its held-out reward not below the warm-up's; a gain that noise explains is a warning of the checklist."""
    pytest.importorskip("trl")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
        "RECOMPENSA_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    run = tmp_path / "run"
    words = [sys.executable, "-m", "grpo.run", "--config", name, "--profile", "embedded", "--run-dir", str(run)]
    done = subprocess.run(
        [*words, "--set", "tracking.wandb=off", "--set", "threads=1"],
        env=environment, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    main([str(run), "--no-policy", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["finished"]["status"] == "passed"
    assert checks["gain"]["value"] >= 0 and checks["gain"]["n"] >= 150
    assert (checks["gain"]["status"] == "passed") == (checks["gain"]["low"] > 0)
