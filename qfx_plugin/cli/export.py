"""`qfx export module:function`: a trained model from Python code to a QONNX file."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from qfx_plugin.cli import settings

_DESCRIPTION = """\
Writes a trained QFX model as QONNX. A model is Python code: MODULE:FUNCTION names a function
without arguments that returns it, such as `my_nets:digits_mlp`. The module is imported, and so
runs: name only code that you trust. Weights come from a file of `torch.save(model.state_dict())`,
which is read as data (weights_only=True) and cannot run code."""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "export",
        parents=[common],
        help="a trained model from Python code to a QONNX file",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("factory", metavar="MODULE:FUNCTION", help="makes the model")
    parser.add_argument(
        "--input-shape", type=shape, required=True, metavar="1,28,28",
        help="shape of one sample, channels first",
    )  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="STATE.PT", help="trained state_dict")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("model.onnx"), help="default: %(default)s"
    )
    parser.add_argument(
        "--target",
        default="qonnx",
        help="who shall read it: qonnx, hls4ml, finn (stock FINN; builds with QFX's plugin read "
        "qonnx), qcdq (default: qonnx)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    settings.add_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the model, load its weights, write the file."""
    from qfx_plugin.cli.hosts import silence_hosts

    silence_hosts()
    from rich.console import Console

    from qfx_plugin.build.export import export_state
    from qfx_plugin.cli.progress import ConsoleProgress

    model = make_model(options.factory)
    with ConsoleProgress(Console(stderr=True)) as progress:
        progress.stage(f"writing {options.out}")
        path = export_state(
            model, options.weights, options.input_shape, options.out, options.target
        )
    if options.json:
        import json

        sys.stdout.write(json.dumps({"path": str(path), "bytes": path.stat().st_size}) + "\n")
    else:
        sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
    return 0


def make_model(factory: str) -> Any:
    """Call `MODULE:FUNCTION`; modules in the working folder are found, as with `python -m`.

    Raises:
        OptionError: no such module or function, or it fails or returns no model.
    """
    from qfx_plugin.errors import OptionError

    module_name, colon, name = factory.partition(":")
    if not colon or not module_name or not name.isidentifier():
        raise OptionError(f"factory must be MODULE:FUNCTION, not {factory!r}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), name)
        model = function()
    except Exception as error:  # whatever the user's own code raises; -v shows where
        raise OptionError(f"factory {factory}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not hasattr(model, "state_dict"):
        raise OptionError(
            f"factory {factory} must return a torch module, not {type(model).__name__}"
        )
    return model


def shape(text: str) -> tuple[int, ...]:
    """`1,28,28` or `1x28x28`."""
    try:
        sizes = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"must be sizes such as 1,28,28, not {text!r}")
    return sizes
