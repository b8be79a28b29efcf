"""`qfx`, the command line. Each sub-command imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from brevitas_quantizers import __version__
from qfx_plugin.cli import boards, build, completion, demo, doctor, export, report, verify

OK, DISAGREEMENT, USER_ERROR, INTERRUPTED = 0, 1, 2, 130

_COMMANDS = (demo, export, verify, build, report, boards, doctor, completion)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `qfx`.

    Args:
        arguments: without the program's name; by default those of the process.

    Returns:
        Exit status: 0 all is well, 1 executors disagree (or something needed is missing, for
        `doctor`), 2 an error that the user can mend, told in one line.
    """
    parser = make_parser()
    options = parser.parse_args(arguments)
    from qfx_plugin.errors import QfxError, VerificationError

    try:
        return options.run(options)
    except KeyboardInterrupt:
        sys.stderr.write("qfx: interrupted\n")
        return INTERRUPTED
    except QfxError as error:
        if options.verbose:
            raise
        sys.stderr.write(f"qfx: {error}\n")
        return DISAGREEMENT if isinstance(error, VerificationError) else USER_ERROR


def make_parser() -> argparse.ArgumentParser:
    """The parser with all sub-commands."""
    parser = argparse.ArgumentParser(
        prog="qfx",
        description="Neural networks in learned fixed point, every bit proven.",
        epilog="Exit status: 0 all is well, 1 executors disagree, 2 an error that you can mend.",
    )
    parser.add_argument("--version", action="version", version=f"qfx-plugin {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="store_true", help="show tracebacks of errors")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands, common)
    return parser
