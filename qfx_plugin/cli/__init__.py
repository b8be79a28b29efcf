"""`qfx`, the command line. Each sub-command imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from brevitas_quantizers import __version__
from qfx_plugin.cli import doctor, settings
from qfx_plugin.cli.parser import make_parser

__all__ = ["main", "make_parser"]

OK, DISAGREEMENT, USER_ERROR, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `qfx`.

    Args:
        arguments: without the program's name; by default those of the process.

    Returns:
        Exit status: 0 all is well, 1 the answer is no (executors disagree, nothing is proven, or
        something needed is missing, for `doctor`), 2 an error that the user can mend, told in one
        line, 130 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if not settings.path_in(given):
        make_parser().parse_args(given)  # help and wrong flags end here, before anything heavy
    try:
        from qfx_plugin.errors import QfxError, VerificationError
    except ModuleNotFoundError as error:
        return _without_packages(given, error)
    options = argparse.Namespace(
        verbose="-v" in given or "--verbose" in given, json="--json" in given
    )
    try:
        parser = make_parser()
        settings.read_settings(given, parser)
        options = parser.parse_args(given)
        if hasattr(sys.stdout, "reconfigure"):  # names of files and networks may hold anything
            sys.stdout.reconfigure(errors="backslashreplace")
        with _told_plainly():
            status = _logged(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as error:
        sys.stderr.write(": ".join(filter(None, ["qfx: interrupted", str(error)])) + "\n")
        return INTERRUPTED
    except QfxError as error:
        if options.verbose:
            raise
        _tell(options, type(error).__name__, _one_line(str(error)))
        return DISAGREEMENT if isinstance(error, VerificationError) else USER_ERROR
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_ERROR
    except OSError as error:  # a full disk, a home that cannot be written, ...
        if options.verbose:
            raise
        _tell(options, "DataError", _of_system(error))
        return USER_ERROR
    except ModuleNotFoundError as error:
        if options.verbose or _is_ours(error):
            raise
        _tell(options, "ToolMissingError", _missing(error))
        return USER_ERROR


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Warnings of ours in one line, without the place in the code."""
    from qfx_plugin.errors import QfxWarning

    usual = warnings.formatwarning

    def plain(message: Any, category: type[Warning], *place: Any, **more: Any) -> str:
        ours = issubclass(category, QfxWarning)
        return f"qfx: {message}\n" if ours else usual(message, category, *place, **more)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _logged(options: argparse.Namespace) -> int:
    run: Callable[[argparse.Namespace], int] = options.run
    if not options.verbose:
        return run(options)
    from qfx_plugin.cli.logs import LOG, show_logs

    show_logs()
    shown = {name: value for name, value in vars(options).items() if name not in ("run", "whole")}
    LOG.debug("qfx-plugin %s, Python %s: %s", __version__, sys.version.split()[0], shown)
    status = run(options)
    LOG.debug("exit status %d", status)
    return status


def _tell(options: argparse.Namespace, kind: str, text: str) -> None:
    """An error in one line, or as JSON where results are JSON."""
    if getattr(options, "json", False):
        sys.stdout.write(json.dumps({"error": {"kind": kind, "text": text}}) + "\n")
    sys.stderr.write(f"qfx: {text}\n")


def _of_system(error: OSError) -> str:
    where = [str(error.filename)] if error.filename else []
    hint = ": set QFX_CACHE to a folder that can be written" if _in_cache(error) else ""
    return ": ".join([*where, error.strerror or str(error)]) + hint


def _in_cache(error: OSError) -> bool:
    from qfx_plugin.tools.cache import cache_dir

    return str(error.filename or "").startswith(str(cache_dir()))


def _one_line(text: str) -> str:
    return " ".join(text.split()) if "\n" in text else text


def _without_packages(given: list[str], error: ModuleNotFoundError) -> int:
    """Where not even NumPy is installed, only `doctor`, help and version work."""
    if _is_ours(error):
        raise error
    options = make_parser().parse_args(given)
    if options.run is doctor.run:
        return int(doctor.run(options))
    _tell(options, "ToolMissingError", _missing(error))
    return USER_ERROR


def _is_ours(error: ModuleNotFoundError) -> bool:
    return (error.name or "").split(".")[0] in ("qfx_plugin", "brevitas_quantizers", "")


def _missing(error: ModuleNotFoundError) -> str:
    return f"package {error.name} is not installed: `qfx doctor` tells what is missing"
