"""`qfx report build/`: what a build found out, in the terminal, as JSON and as one HTML file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "report",
        parents=[common],
        help="what a build or a demo found out: terminal, JSON, HTML",
        description="Shows agreement, formats, resources against the board, timing, checks, and "
        "what is missing, from a folder that `qfx build` has written; or accuracy, agreement and "
        "formats from one of `qfx demo`. Exit status 1 if a step failed, or nothing is proven.",
    )
    parser.add_argument("folder", type=Path, help="the folder of the build or the demo")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one HTML file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print or write the report."""
    from qfx_plugin import report as reports

    found = _load(options.folder)
    of_demo = isinstance(found, reports.DemoReport)
    if options.html is not None:
        (reports.write_html if of_demo else reports.write_build_html)(found, options.html)
    if options.json:
        sys.stdout.write(found.to_json())
    else:
        (reports.print_report if of_demo else reports.print_build)(found)
    return 0 if found.proven else 1


def _load(folder: Path) -> Any:
    """A demo leaves a report and no manifest of steps."""
    from qfx_plugin.errors import DataError

    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    from qfx_plugin.build.summary import summarize
    from qfx_plugin.report import DemoReport

    report = folder / "report.json"
    if report.exists() and not (folder / "manifest.json").exists():
        return DemoReport.load(report)
    return summarize(folder)
