"""The figures of docs/reliability.md, by the scripts that make them; slow but for what the page says of itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def run_script(name: str, *words: str) -> dict:
    """The JSON that a script of benchmarks/ prints last."""
    done = subprocess.run([sys.executable, f"benchmarks/{name}.py", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout[done.stdout.index("{") :])


def test_page_when_it_names_a_script_then_the_script_is_there_and_explains_itself():
    """A figure without its command is a claim."""
    named = set(re.findall(r"benchmarks/(\w+)\.py", PAGE))
    assert named >= {"sql_attacks", "damages", "full_disk", "hostile_completions", "bad_inputs", "kills", "long_haul"}
    for name in named:
        assert (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8").startswith('"""')


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damages_when_all_are_tried_then_each_is_recovered_or_refused_in_one_line():
    """Checkpoints, run files, settings: none resumes silently to other numbers, none ends in a traceback."""
    found = run_script("damages", "--json")
    bad = {name: result for name, (result, _) in found["results"].items() if result not in ("identical", "refused")}
    assert bad == {} and found["damages"] >= 200


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_when_at_random_moments_then_each_resumes_to_the_same_bytes():
    """All weights, LoRA, a long warm-up; some killed again while they resume."""
    found = run_script("kills", "--kills", "12")
    assert found["identical"] == found["kills"] == 12, found["others"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_long_haul_when_2000_steps_are_taken_then_memory_files_and_step_time_are_flat():
    """Slopes after the first quarter, a thousand steps: memory within 8 MiB, no more files, a step within a tenth."""
    found = run_script("long_haul", "--steps", "2000")
    assert found["exit_code"] == 0
    assert found["memory_mib_per_1000_steps"] < 8
    assert found["open_files_per_1000_steps"] < 1
    assert found["step_percent_per_1000_steps"] < 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_bad_inputs_when_all_are_tried_then_none_hangs_or_crashes():
    """Configs and files: one line a fault, or carried safely."""
    found = run_script("bad_inputs", "--json")
    assert found["cases"] >= 400 and not {"hang", "crash", "ill-said"} & set(found["counted"])
