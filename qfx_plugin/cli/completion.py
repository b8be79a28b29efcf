"""`qfx completion bash`: completion of commands and options in the shell."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
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

    parser: argparse.ArgumentParser = options.whole
    _add_values(parser)
    script = shtab.complete(parser, shell=options.shell) + "\n"
    if options.json:
        script = json.dumps({"shell": options.shell, "script": script}) + "\n"
    sys.stdout.write(script)
    return 0


def _add_values(parser: argparse.ArgumentParser) -> None:
    """Files, folders, targets, executors and boards, which the parser itself does not know."""
    import shtab

    from qfx_plugin.boards import list_boards
    from qfx_plugin.build.flow import TARGETS
    from qfx_plugin.executors import EXECUTORS

    known = {
        ("build", "target"): TARGETS.names(),
        ("build", "board"): tuple(board.name for board in list_boards()),
        ("boards", "board"): tuple(board.name for board in list_boards()),
        ("verify", "executors"): EXECUTORS.names(),
    }
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        for action in command._actions:
            if action.type is Path:
                folder = action.dest == "folder" or action.metavar == "DIR"
                action.complete = shtab.DIRECTORY if folder else shtab.FILE
            elif (name, action.dest) in known:
                action.choices = known[name, action.dest]
