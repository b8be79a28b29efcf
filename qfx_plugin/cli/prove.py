"""`qfx prove m.onnx`: what of the Verilog is proven for all inputs, and what only sampled."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from qfx_plugin.cli import settings
from qfx_plugin.cli.verify import positive


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "prove",
        parents=[common],
        help="prove that the Verilog equals the model, for all inputs",
        description="Compiles a QONNX file to Verilog, and proves by Yosys that each node's adder "
        "graph, and the whole network, equal the intermediate model for all inputs. What no proof "
        "ends for is compared on random inputs, and the text says so. Exit status 1 if anything "
        "is refuted, with the inputs that do it.",
    )
    parser.add_argument("model", type=Path, help="QONNX file")
    parser.add_argument(
        "--limit", type=positive, default=60, metavar="SECONDS",
        help="for each proof (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=positive, default=256, metavar="N",
        help="random inputs where a proof does not end (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="of random inputs (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    settings.add_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prove, print, and tell by the exit status."""
    from rich.console import Console

    from qfx_plugin.cli.hosts import silence_hosts
    from qfx_plugin.cli.progress import ConsoleProgress
    from qfx_plugin.proofs import prove

    silence_hosts()
    with ConsoleProgress(Console(stderr=True)) as progress:
        proofs = prove(
            options.model,
            limit_s=options.limit,
            samples=options.samples,
            seed=options.seed,
            started=progress.stage,
        )
    text = json.dumps(proofs.to_dict(), indent=2) if options.json else str(proofs)
    sys.stdout.write(f"{text}\n")
    return 1 if proofs.refuted else 0
