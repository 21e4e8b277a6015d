"""The report of a run, built from its folder alone; nothing that trains calls anything in here."""

from grpo.report.page import write_report

__all__ = ["write_report"]
