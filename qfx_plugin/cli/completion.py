"""`qfx completion bash`: completion of commands and options in the shell."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "completion",
        parents=[common],
        help="a script that completes commands and options in a shell",
        description='Prints a script. For bash: eval "$(qfx completion bash)" in ~/.bashrc.',
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.add_argument("--json", action="store_true", help="the script as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script, made from the parser itself."""
    import shtab

    from qfx_plugin.cli import make_parser

    script = shtab.complete(make_parser(), shell=options.shell) + "\n"
    if options.json:
        script = json.dumps({"shell": options.shell, "script": script}) + "\n"
    sys.stdout.write(script)
    return 0
