"""The audit of what is pinned: its bill of materials, and one line whatever became of the look-up."""

from __future__ import annotations

from tests.tiers import audit


def test_bill_when_written_by_ourselves_then_every_pinned_package_is_in_it():
    """CycloneDX, with a name by which a database knows each package."""
    packages = audit.read_lock(audit.LOCK.read_text(encoding="utf-8"))
    bill = audit.make_bill(packages)
    assert bill["bomFormat"] == "CycloneDX" and len(bill["components"]) == len(packages) > 50
    named = {each["name"]: each for each in bill["components"]}
    assert named["torch"]["purl"].startswith("pkg:pypi/torch@2.")


def test_audit_when_judged_then_one_line_says_what_it_came_to():
    """No weakness, one that is known, no database: three codes."""
    assert audit.judge(0, "No known vulnerabilities found") == (0, "pip-audit: no known weakness")
    code, line = audit.judge(
        1, "Traceback\nrequests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded"
    )
    assert (
        code == 75 and "cannot be reached from here (requests.exceptions.ConnectionError" in line and "\n" not in line
    )
    code, line = audit.judge(1, "Found 1 known vulnerability in 1 package\nname 1.0 CVE-1 1.1")
    assert code == 1 and "CVE-1" in line
    assert audit.judge(1, "/x/python: No module named pip_audit")[0] == 75
