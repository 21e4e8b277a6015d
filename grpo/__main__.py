"""`recompensa` as `python -m grpo`, or started by the path of this file, which finds the packages from any folder."""

if __package__ in (None, ""):
    from pathlib import Path
    from runpy import run_path

    run_path(str(Path(__file__).resolve().parents[1] / "rewards" / "siblings.py"))["claim"]()

from grpo.console import start

if __name__ == "__main__":
    start()
