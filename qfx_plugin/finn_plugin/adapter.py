"""The door to FINN: which one is installed, how it starts without Vivado, how it is kept quiet.

Two distributions bring a package called `finn`: AMD's own (a source tree, no distribution of that
name on PyPI) and `finn-plus`. They cannot be installed together; one plugin serves both, by looking
for features.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import multiprocessing
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import QfxError, TargetError, ToolMissingError, one_line

FINN_PLUS = "finn-plus"
UPSTREAM = "finn"
CHECKED = "finn-plus 1.6.1"

_NO_VIVADO = "/none/Vivado/2024.2"
_started: list[str] = []


def flavour() -> str | None:
    """`"finn-plus"`, `"finn"` for AMD's own tree, or None."""
    try:
        importlib.metadata.version(FINN_PLUS)
    except importlib.metadata.PackageNotFoundError:
        return UPSTREAM if importlib.util.find_spec("finn") else None
    return FINN_PLUS


def available() -> bool:
    """Whether a FINN is installed."""
    return flavour() is not None


def version() -> str:
    """Name and version of the FINN that is installed.

    Raises:
        ToolMissingError: there is none.
    """
    found = flavour()
    if found is None:
        raise ToolMissingError(
            "FINN is not installed: pip install finn-plus==1.6.1 psutil, or run next to AMD's FINN "
            "(a python that can `import finn`)"
        )
    if found == FINN_PLUS:
        return f"{FINN_PLUS} {importlib.metadata.version(FINN_PLUS)}"
    return f"{UPSTREAM} (source tree)"


def require() -> str:
    """Start FINN as a library, with our operations registered; return its name and version.

    Without Vivado nothing of FINN starts by itself: its settings are initialised from scratch, the
    variable that names Vivado's folder gets a value that no file lies under, and the type of the
    simulator, which the builder wants at import, gets a stand-in. What is set already stays.

    Raises:
        ToolMissingError: no FINN is installed, or it cannot be imported.
    """
    if not _started:
        name = version()
        _environment()
        try:
            with quiet():
                _start_library()
                importlib.import_module("qfx_plugin.finn_plugin.ops.register").register()
                _reach_workers("qonnx.transformation.base")
        except ImportError as error:
            raise ToolMissingError(f"{name} could not be imported: {error}") from error
        _started.append(name)
    return _started[0]


def module(name: str) -> ModuleType:
    """A module of FINN or qonnx, after FINN has been started.

    Raises:
        ToolMissingError: no FINN is installed, or this one has no such module.
    """
    found = require()
    try:
        with quiet():
            _reach_workers(name)
            return importlib.import_module(name)
    except ImportError as error:
        raise ToolMissingError(f"{found} has no usable module {name}: {error}") from error


def op_of(node: Any) -> Any:
    """FINN's operation of a node, after FINN has been started."""
    return _registry().getCustomOp(node)


@cache
def _registry() -> ModuleType:
    return module("qonnx.custom_op.registry")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """FINN prints its progress and warns about its own code: keep both away from the caller."""
    root = logging.getLogger()
    level = root.manager.disable
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)


@contextlib.contextmanager
def guarded(what: str) -> Iterator[None]:
    """Quiet, and whatever FINN's or qonnx's own code raises is one line of ours.

    Args:
        what: what is being done, with the layer's name if there is one.

    Raises:
        TargetError: instead of any error that is not one of ours.
    """
    try:
        with quiet():
            yield
    except QfxError:
        raise
    except Exception as error:
        reason = one_line(error, whole=True, typed=True)
        raise TargetError(f"{what}: FINN fails with {reason}") from error


def vivado() -> Path | None:
    """Vivado's folder, if it is there."""
    found = os.environ.get("XILINX_VIVADO")
    return Path(found) if found and Path(found).is_dir() else None


def _environment() -> None:
    """What FINN reads from the environment; user settings win."""
    if "FINN_BUILD_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="qfx-finn-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["FINN_BUILD_DIR"] = folder
    folder = os.environ["FINN_BUILD_DIR"]
    Path(folder).mkdir(parents=True, exist_ok=True)
    # This file need not exist; naming it keeps FINN from writing into the home folder.
    os.environ.setdefault("FINN_SETTINGS", str(Path(folder) / "settings.yaml"))
    os.environ.setdefault("FINN_DEPS", str(Path(folder) / "deps"))
    # Each worker would start a FINN of its own, for work of milliseconds.
    os.environ.setdefault("NUM_DEFAULT_WORKERS", "1")
    os.environ.setdefault("XILINX_VIVADO", _NO_VIVADO)


def _start_library() -> None:
    if importlib.util.find_spec("finn.util.settings"):
        importlib.import_module("finn.util.settings").initialize_dummy_settings()
    if importlib.util.find_spec("finn.xsi"):
        xsi = importlib.import_module("finn.xsi")
        if "SimEngine" not in vars(xsi) and vivado() is None:
            vars(xsi)["SimEngine"] = _NoSimulator
    importlib.import_module("finn.custom_op.fpgadataflow")


def _reach_workers(name: str) -> None:
    """Let processes that a module of FINN or qonnx starts know our operations, spawned or not."""
    loaded = importlib.import_module(name)
    if getattr(loaded, "mp", None) is multiprocessing:
        vars(loaded)["mp"] = _Workers()


class _Workers:
    """`multiprocessing`, whose pools begin with our operations registered."""

    def __getattr__(self, name: str) -> Any:
        return getattr(multiprocessing, name)

    def Pool(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: N802  its name there
        """As `multiprocessing.Pool`."""
        keywords.setdefault("initializer", require)
        return multiprocessing.Pool(*arguments, **keywords)


class _NoSimulator:
    """Stands for Vivado's simulator where FINN only needs a type."""

    def __init__(self, *arguments: object, **keywords: object) -> None:
        raise ToolMissingError("this step needs Vivado's simulator, and XILINX_VIVADO names none")
