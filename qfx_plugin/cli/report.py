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
        help="what a build found out: terminal, JSON, HTML",
        description="Shows agreement, formats, resources against the board, timing, checks, and "
        "what is missing, from a folder that `qfx build` has written. Exit status 1 if a step "
        "failed, or nothing is proven.",
    )
    parser.add_argument("folder", type=Path, help="the build folder")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one HTML file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print or write the report."""
    from qfx_plugin.build.summary import summarize
    from qfx_plugin.report import print_build, write_build_html

    report = summarize(options.folder)
    if options.html is not None:
        write_build_html(report, options.html)
    if options.json:
        sys.stdout.write(report.to_json())
    else:
        print_build(report)
    return 0 if report.proven else 1
