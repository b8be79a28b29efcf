"""The one module that talks to hls4ml."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from ..errors import QfxError, TargetError, ToolMissingError
from .lowering.plan import Plan

SUPPORTED = "hls4ml>=1.3,<1.4"
BACKEND = "QFX"


def available() -> bool:
    """Whether a version of hls4ml that this module knows is installed."""
    return _is_supported(_installed_version())


def version() -> str:
    """Version of the installed hls4ml.

    Raises:
        ToolMissingError: it is not installed.
    """
    found = _installed_version()
    if found is None:
        raise ToolMissingError(f"hls4ml is not installed: pip install '{SUPPORTED}'")
    return found


def require() -> ModuleType:
    """The imported hls4ml.

    Raises:
        ToolMissingError: it is not installed, or its version is not one that was checked.
    """
    found = version()
    if not _is_supported(found):
        raise ToolMissingError(
            f"hls4ml must be {SUPPORTED}, not {found}: pip install '{SUPPORTED}'"
        )
    with silent(), _translated("import hls4ml"):
        module = importlib.import_module("hls4ml")
    if BACKEND.lower() not in module.backends.get_available_backends():
        _register_again()
    return module


def _register_again() -> None:
    """hls4ml only prints what goes wrong in a plugin: do it again, and let it be seen.

    Raises:
        ToolMissingError: the backend cannot be registered; the text says why.
    """
    from .plugin import register

    backends = importlib.import_module("hls4ml.backends")
    writer = importlib.import_module("hls4ml.writer")
    with _translated(f"register the backend {BACKEND}"):
        register(register_backend=backends.register_backend, register_writer=writer.register_writer)


def build(plan: Plan, config: Mapping[str, Any]) -> Any:
    """Hand `plan` to hls4ml and check that it kept every type and weight.

    Args:
        plan: the layers.
        config: hls4ml's whole configuration: project settings, and `HLSConfig`.

    Returns:
        hls4ml's `ModelGraph`.

    Raises:
        ToolMissingError: no supported hls4ml is installed.
        TargetError: hls4ml refuses the model, or changes a type or a weight.
    """
    require()
    with silent(), _translated("convert the model"):
        parser = importlib.import_module("qfx_plugin.hls4ml_backend.host.parser")
        return parser.graph_from_plan(plan, config)


def write(graph: Any) -> None:
    """Write the HLS project of a graph that `build` returned into its output folder."""
    with silent(), _translated("write the project"):
        graph.write()


def reuse_factors(graph: Any) -> dict[str, int]:
    """Reuse factor of each layer with multipliers; hls4ml moves one that does not divide."""
    nodes = [node for node in graph.get_layers() if "weight" in node.weights]
    return {node.name: int(node.get_attr("reuse_factor")) for node in nodes}


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version("hls4ml")
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_supported(found: str | None) -> bool:
    return found is not None and found.split(".")[:2] == ["1", "3"]


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """hls4ml prints its progress and warns about what the configuration decides on purpose."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _translated(step: str) -> Iterator[None]:
    """hls4ml raises bare `Exception`s: give each a name that callers can catch."""
    try:
        yield
    except QfxError:
        raise
    except ImportError as error:
        raise ToolMissingError(f"hls4ml could not {step}: {error}") from error
    except Exception as error:  # hls4ml raises this very class for whatever it does not support
        raise TargetError(f"hls4ml could not {step}: {type(error).__name__}: {error}") from error
