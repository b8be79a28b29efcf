"""Results as data, terminal tables, JSON, and one HTML file."""

from __future__ import annotations

from qfx_plugin.report.html import render_html, write_html
from qfx_plugin.report.model import (
    DatasetSummary,
    DemoReport,
    ExecutorAgreement,
    LearnedFormat,
    ModelResult,
)
from qfx_plugin.report.terminal import print_report

__all__ = [
    "DatasetSummary",
    "DemoReport",
    "ExecutorAgreement",
    "LearnedFormat",
    "ModelResult",
    "print_report",
    "render_html",
    "write_html",
]
