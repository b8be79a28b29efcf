"""QFX plugins: from a trained fixed-point network to hls4ml, FINN and RTL, every bit proven.

Names are resolved on first use, so that `import qfx_plugin` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from brevitas_quantizers import __version__

if TYPE_CHECKING:
    from .ir import FixedTensor, Graph, interpret
    from .qonnx_import import load_qonnx
    from .rtl.options import RtlOptions
    from .rtl.project import compile_rtl
    from .verify import Agreement
    from .verify import verify as verify_agreement

_MODULES = {
    "Agreement": ("verify", "Agreement"),
    "FixedTensor": ("ir", "FixedTensor"),
    "Graph": ("ir", "Graph"),
    "RtlOptions": ("rtl.options", "RtlOptions"),
    "compile_rtl": ("rtl.project", "compile_rtl"),
    "interpret": ("ir", "interpret"),
    "load_qonnx": ("qonnx_import", "load_qonnx"),
    "verify_agreement": ("verify", "verify"),
}

__all__ = [
    "Agreement",
    "FixedTensor",
    "Graph",
    "RtlOptions",
    "__version__",
    "compile_rtl",
    "interpret",
    "load_qonnx",
    "verify_agreement",
]


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f".{module}", __name__), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
