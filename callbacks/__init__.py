"""What is watched while a run is in progress: scores per task, decisions, tracking."""

from pathlib import Path
from runpy import run_path

# By its place, not by its name: a `rewards.py` in the working folder must not be taken for it.
run_path(str(Path(__file__).resolve().parents[1] / "rewards" / "siblings.py"))["claim"]()
