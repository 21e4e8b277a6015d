"""What is pinned in requirements.lock: a bill of materials in sbom.json, and its known weaknesses.

python tests/tiers/audit.py            with pip-audit and cyclonedx-bom installed, as `make audit` sees to
Exit codes: 0 nothing known, 1 something is, 75 where the database of weaknesses could not be asked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK, BILL = ROOT / "requirements.lock", ROOT / "sbom.json"
REASONED: dict[str, str] = {}
"""Weaknesses that do not touch this project: their number, and why."""

UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "NameResolutionError", "ProxyError", "SSLError", "HTTPError",
               "Max retries", "ServiceError", "Failed to connect", "Connection reset", "Could not connect", "404")  # fmt: skip


def read_lock(text: str) -> list[tuple[str, str]]:
    """Name and version of each pinned package."""
    return re.findall(r"^([A-Za-z0-9][\w.\-]*)==([^\s;]+)", text, re.MULTILINE)


def make_bill(packages: list[tuple[str, str]]) -> dict:
    """The packages as CycloneDX 1.6 has them, for machines on which its own tool is not there."""
    components = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name.lower()}@{version}",
         "bom-ref": f"{name}=={version}"}
        for name, version in packages
    ]  # fmt: skip
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}


def write_bill() -> str:
    """Write sbom.json and say by what."""
    words = [sys.executable, "-m", "cyclonedx_py", "requirements", str(LOCK), "--output-file", str(BILL)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode == 0:
        return "cyclonedx-bom"
    BILL.write_text(
        json.dumps(make_bill(read_lock(LOCK.read_text(encoding="utf-8"))), indent=2) + "\n", encoding="utf-8"
    )
    return "ourselves, cyclonedx-bom is not installed"


def judge(code: int, said: str) -> tuple[int, str]:
    """Exit code and one line for what pip-audit ended with."""
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    if code == 0:
        return 0, "pip-audit: no known weakness"
    if "No module named" in said:
        return 75, "pip-audit is not installed: python -m pip install pip-audit"
    if any(word in said for word in UNREACHABLE):
        return (
            75,
            f"pip-audit: the database of weaknesses cannot be reached from here ({last[:200]}); run it with a network",
        )
    return 1, said.strip()


def main() -> int:
    packages = read_lock(LOCK.read_text(encoding="utf-8"))
    print(f"sbom.json: {len(packages)} packages, written by {write_bill()}")
    words = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--requirement", str(LOCK)]
    words += [word for number in REASONED for word in ("--ignore-vuln", number)]
    try:
        done = subprocess.run([*words, *sys.argv[1:]], capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        print("pip-audit: no answer from the database of weaknesses in 10 minutes")
        return 75
    code, line = judge(done.returncode, done.stdout + done.stderr)
    print(line)
    for number, reason in REASONED.items():
        print(f"{number} is left out: {reason}")
    return code


if __name__ == "__main__":
    sys.exit(main())
