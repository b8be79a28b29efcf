"""The command line as a parser: all sub-commands."""

from __future__ import annotations

import argparse

from brevitas_quantizers import __version__
from qfx_plugin.cli import (
    boards,
    build,
    bundle,
    completion,
    demo,
    doctor,
    export,
    prove,
    report,
    verify,
)
from qfx_plugin.cli.arguments import Arguments

COMMANDS = (demo, export, verify, prove, build, report, bundle, boards, doctor, completion)

_EPILOG = """\
exit status:
  0    all is well
  1    the answer is no: executors disagree, nothing is proven, a step failed, or (doctor) a
       package is missing without which nothing works
  2    an error that you can mend, told in one line
  130  interrupted"""


def make_parser() -> argparse.ArgumentParser:
    """The parser with all sub-commands."""
    parser = Arguments(
        prog="qfx",
        description="Neural networks in learned fixed point, every bit proven.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"qfx-plugin {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    # Before the command or behind it: what is suppressed does not undo what came before.
    for place, default in ((parser, False), (common, argparse.SUPPRESS)):
        place.add_argument(
            "-v", "--verbose", action="store_true", default=default,
            help="show logs on standard error, and tracebacks of errors",
        )  # fmt: skip
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands, common)
    commands.choices["completion"].set_defaults(whole=parser)
    return parser
