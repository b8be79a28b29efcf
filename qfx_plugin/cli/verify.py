"""`qfx verify m.onnx`: run all executors, compare their integer codes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfx_plugin.cli import settings
from qfx_plugin.cli.help import InstalledHelp

if TYPE_CHECKING:
    from qfx_plugin.cli.progress import ConsoleProgress
    from qfx_plugin.executors import Executor
    from qfx_plugin.verify import Agreement


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "verify",
        parents=[common],
        help="compare all executors of a QONNX file, code by code",
        description="Runs a QONNX file on integers and in every executor that is installed, and "
        "compares the results as integer codes. Exit status 1 if a single one differs.",
        add_help=False,
    )
    parser.add_argument(
        "-h", "--help", action=InstalledHelp, names={"executors": _executors},
        help="show this help message and exit",
    )  # fmt: skip
    parser.add_argument("model", type=Path, help="QONNX file")
    parser.add_argument(
        "--inputs",
        metavar="FILE",
        help="inputs, (samples, ...): X.npy; for several inputs X.npz with arrays by their names, "
        "or NAME=X.npy,NAME=Y.npy; default: random ones that reach every code, ties and values "
        "out of range included",
    )
    parser.add_argument(
        "--samples",
        type=positive,
        metavar="N",
        help="how many inputs: the first N of the file, or N random ones (default: 256)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of random inputs (default: %(default)s)"
    )
    parser.add_argument(
        "--executors",
        nargs="+",
        metavar="NAME",
        help="only these of {names} (default: all that are installed, and quick)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    settings.add_option(parser)
    parser.set_defaults(run=run)


def _executors() -> tuple[str, ...]:
    from qfx_plugin.executors import EXECUTORS

    return EXECUTORS.names()


def run(options: argparse.Namespace) -> int:
    """Compare, print, and tell by the exit status."""
    from rich.console import Console

    from qfx_plugin.build.inputs import random_inputs, read_inputs
    from qfx_plugin.cli.hosts import silence_hosts
    from qfx_plugin.cli.progress import ConsoleProgress
    from qfx_plugin.qonnx_import import load_qonnx
    from qfx_plugin.verify import verify

    silence_hosts()
    graph = load_qonnx(options.model)
    inputs: Any
    if options.inputs is not None:
        inputs = read_inputs(options.inputs, graph, options.samples)
    else:
        inputs = random_inputs(graph, options.samples or 256, options.seed)
    with ConsoleProgress(Console(stderr=True)) as progress:
        agreement = verify(options.model, inputs, executors=_watched(options.executors, progress))
    sys.stdout.write(_as_json(agreement) if options.json else f"{agreement}\n")
    return 0 if agreement.agrees else 1


def _watched(names: list[str] | None, progress: ConsoleProgress) -> list[str | Executor]:
    """The executors; each one tells when it starts."""
    from qfx_plugin.executors import EXECUTORS

    def watched(executor: Executor) -> Executor:
        def start(job: Any) -> Any:
            progress.stage(f"{executor.name} ({executor.version})")
            return executor.start(job)

        return replace(executor, start=start)

    if names is None:
        names = [name for name, executor in EXECUTORS.items() if executor.by_default]
    return [watched(EXECUTORS.find(name)) for name in names]


def _as_json(agreement: Agreement) -> str:
    return json.dumps({"agrees": agreement.agrees} | asdict(agreement), indent=2) + "\n"


def positive(text: str) -> int:
    value = int(text) if text.strip().lstrip("+-").isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return value
