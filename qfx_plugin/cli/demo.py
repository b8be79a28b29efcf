"""`qfx demo`: train, export and prove every bit, on real data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from qfx_plugin.cli import settings


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "demo",
        parents=[common],
        help="train float and QFX networks on real data, export, compare all executors",
        description="Trains an MLP and a CNN in float and in QFX, exports them to QONNX, compares "
        "all executors code by code, and writes report.html and report.json. Data: scikit-learn's "
        "digits, or MNIST from the folder that the environment variable QFX_DATA names.",
    )
    parser.add_argument(
        "--dataset",
        choices=("digits", "mnist", "cifar10"),
        help="default: mnist if QFX_DATA is set, else digits",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/demo"),
        metavar="DIR",
        help="where models and reports go (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of weights and sample order (default: %(default)s)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few epochs: to see that all works, not for accuracy"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    settings.add_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo, print its tables, write its reports."""
    from qfx_plugin.cli.hosts import silence_hosts

    silence_hosts()
    from rich.console import Console

    from qfx_plugin.cli.progress import ConsoleProgress
    from qfx_plugin.demo import run_demo
    from qfx_plugin.files import write_file
    from qfx_plugin.report import print_report, write_html

    _check_folder(options.out)
    console = Console(stderr=options.json)
    with ConsoleProgress(console) as progress:
        report = run_demo(options.dataset, options.out, options.seed, options.quick, progress)
    write_file(options.out / "report.json", report.to_json())
    page = write_html(report, options.out / "report.html")
    if options.json:
        sys.stdout.write(report.to_json())
    else:
        print_report(report, console)
        console.print(f"Report: {page}", highlight=False, soft_wrap=True)
    return 0 if report.proven else 1


def _check_folder(folder: Path) -> None:
    """Refuse to write over reports that are no demo's, before hours of training."""
    from qfx_plugin.errors import DataError
    from qfx_plugin.report import DemoReport

    found = [name for name in ("report.json", "report.html") if (folder / name).exists()]
    if not found:
        return
    try:
        DemoReport.load(folder / "report.json")
    except DataError:
        raise DataError(
            f"{folder}: holds a {found[0]} that is no demo's: name another folder with --out"
        ) from None
