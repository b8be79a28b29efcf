"""Tcl, which runs the scripts that are handed over: `tclsh`, or the one in Python's tkinter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

from ..errors import TargetError, ToolMissingError
from . import process

TIME_LIMIT = 60
_WITHIN_PYTHON = (
    "import sys, tkinter\n"
    "tcl = tkinter.Tcl()\n"
    "tcl.tk.setvar('argv0', sys.argv[1])\n"
    "tcl.tk.call('set', 'argv', tcl.tk.call('list', *sys.argv[2:]))\n"
    "try:\n    tcl.tk.evalfile(sys.argv[1])\n"
    "except tkinter.TclError as error:\n    sys.exit(tcl.tk.getvar('errorInfo'))\n"
)


def find() -> tuple[str, ...] | None:
    """The command that runs a script: tclsh, or Python with tkinter."""
    path = shutil.which("tclsh")
    if path is not None:
        return (path,)
    if util.find_spec("_tkinter") is not None:
        return (sys.executable, "-c", _WITHIN_PYTHON)
    return None


def available() -> bool:
    """Whether Tcl can be run."""
    return find() is not None


def require() -> tuple[str, ...]:
    """The command that runs a script.

    Raises:
        ToolMissingError: there is none.
    """
    command = find()
    if command is None:
        raise ToolMissingError(
            "no Tcl found: install the package 'tcl' (Debian, Ubuntu, Fedora), or a Python with "
            "tkinter"
        )
    return command


def version() -> str:
    """Such as `Tcl 8.6`; the patch level does not change results.

    Raises:
        ToolMissingError: there is no Tcl.
    """
    command = require()
    if len(command) > 1:
        import _tkinter

        return f"Tcl {_tkinter.TCL_VERSION}"
    result = subprocess.run(
        command,
        input="puts $tcl_version\n",
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return f"Tcl {result.stdout.strip()}"


def run(script: Path, *arguments: str, folder: Path, name: str | None = None) -> str:
    """Run a script in `folder`; returns what it prints.

    Args:
        script: Tcl.
        arguments: for the script.
        folder: working folder.
        name: what messages call the script; by default its own name.

    Raises:
        ToolMissingError: there is no Tcl.
        TargetError: the script fails; the text holds Tcl's first message.
    """
    try:
        command = [*require(), str(script), *arguments]
        result = process.run(command, cwd=folder, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise TargetError(
            f"Tcl script {name or script.name} took more than {TIME_LIMIT} s"
        ) from None
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise TargetError(f"Tcl script {name or script.name} fails: {lines[0]}")
    return result.stdout
