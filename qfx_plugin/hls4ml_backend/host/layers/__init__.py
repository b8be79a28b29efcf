"""Layers that hls4ml does not have, and how it writes them.

A module of this package has `LAYERS`, classes of hls4ml, `TEMPLATES`, which write them, and the
`HEADER` with their functions, a file of `templates/nnet_utils`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hls4ml.model.layers import layer_map, register_layer

from brevitas_quantizers.fixed_point.discover import import_modules

_HEADERS = Path(__file__).parents[2] / "templates" / "nnet_utils"


def register(backend: Any) -> None:
    """Make layers, templates and headers known to hls4ml."""
    for module in import_modules(__name__):
        for layer in getattr(module, "LAYERS", ()):
            if layer.__name__ not in layer_map:
                register_layer(layer.__name__, layer)
        for template in getattr(module, "TEMPLATES", ()):
            backend.register_template(template)
        if hasattr(module, "HEADER"):
            backend.register_source(_HEADERS / module.HEADER)
