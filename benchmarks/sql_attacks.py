"""Attacks on the machine by SQL: what each ended in, how long it took, and how much memory the worst process held.

python benchmarks/sql_attacks.py                    with the limits of a run
python benchmarks/sql_attacks.py --steps 300000 --seconds 0.5 --json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rewards import limits as bounds
from rewards.sql.processes import find_pool
from rewards.sql.sandbox import Limits, run_query
from tests.rewards.sql.attacks import build_shop_database, list_attacks


def measure(limits: Limits) -> dict[str, object]:
    """Every attack once, in one pool."""
    with tempfile.TemporaryDirectory() as folder:
        path = build_shop_database(Path(folder, "shop.db"))
        before = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        around = sorted(entry.name for entry in Path(folder).iterdir())
        honest = run_query(path, "SELECT COUNT(*) FROM orders WHERE late = 1", limits).rows
        slowest, slowest_sql, paid, lost = 0.0, "", [], []
        found = list_attacks()
        for kind, sql, refused in found:
            started = time.perf_counter()
            result = run_query(path, sql, limits)
            took = time.perf_counter() - started
            if took > slowest:
                slowest, slowest_sql = took, sql[:100]
            if refused and result.status != "error":
                paid.append(f"{kind}: {sql[:100]}")
            if result.status == "ok" and (len(result.rows) > limits.rows or result.size > limits.bytes):
                paid.append(f"too large: {sql[:100]}")
            if "ended its process" in result.message or "took longer" in result.message:
                lost.append(sql[:100])
        # Another statement: the first one's result is remembered.
        still = run_query(path, "SELECT COUNT(*) FROM orders WHERE late = 1 AND 1", limits).rows
        find_pool().close()
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return {
            "attacks": len(found),
            "not_refused": paid,
            "ended_by_the_clock": lost,
            "changed": hashlib.sha256(Path(path).read_bytes()).hexdigest() != before
            or sorted(entry.name for entry in Path(folder).iterdir()) != around,
            "answers_still": still == honest,
            "slowest_seconds": round(slowest, 2),
            "slowest": slowest_sql,
            "peak_mib": round(peak / bounds.MIB, 1),
            "processes_started": find_pool().starts,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=bounds.SQL_STEPS)
    parser.add_argument("--seconds", type=float, default=bounds.SQL_PROCESSOR_SECONDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = measure(Limits(steps=options.steps, seconds=options.seconds))
    if options.json:
        print(json.dumps(measured))
        return
    for name, value in measured.items():
        print(f"{name:20} {json.dumps(value, ensure_ascii=True)}")


if __name__ == "__main__":
    main()
