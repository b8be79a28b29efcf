"""The entry point `hls4ml.backends`: makes `backend="QFX"` known to hls4ml.

hls4ml hides what goes wrong in a plugin (it prints the exception, and retries after a
`TypeError`), so this function does nothing that can fail. `backend` is imported here and nowhere
else: importing it before hls4ml has finished loading would be circular.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def register(*, register_backend: Callable[..., Any], register_writer: Callable[..., Any]) -> None:
    """Register the backend and its writer, the writer first, as hls4ml demands.

    Args:
        register_backend: hls4ml's function (name, backend class).
        register_writer: hls4ml's function (name, writer class).
    """
    from .host.backend import QFXBackend, QFXWriter

    register_writer(QFXBackend.NAME, QFXWriter)
    register_backend(QFXBackend.NAME, QFXBackend)
