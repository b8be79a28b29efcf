"""Results as data, terminal tables, JSON, and one HTML file."""

from __future__ import annotations

from qfx_plugin.report.build_html import render_build_html, write_build_html
from qfx_plugin.report.build_model import BuildReport, ResourceUse, StepRow
from qfx_plugin.report.build_terminal import print_build
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
    "BuildReport",
    "DatasetSummary",
    "DemoReport",
    "ExecutorAgreement",
    "LearnedFormat",
    "ModelResult",
    "ResourceUse",
    "StepRow",
    "print_build",
    "print_report",
    "render_build_html",
    "render_html",
    "write_build_html",
    "write_html",
]
