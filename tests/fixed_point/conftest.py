"""Reports how much the oracle has compared, at the end of every run."""

from __future__ import annotations

import pytest

ORACLE_CASES = "oracle_cases"
"""Property under which an oracle test records the (mode, format, value) cases it compared."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    compared = {
        report.nodeid.rsplit("::", 1)[-1]: value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == ORACLE_CASES
    }
    if compared:
        parts = ", ".join(f"{name} {value:,}" for name, value in compared.items())
        terminalreporter.write_line(
            f"ap_fixed oracle: {sum(compared.values()):,} (mode, format, value) cases compared, "
            f"0 differences ({parts})"
        )
