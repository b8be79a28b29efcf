"""How many LUTs a network costs as one adder graph, without writing or simulating anything."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ..qonnx_import import load_qonnx
from .graph.kernel import GraphOptions
from .options import RtlOptions
from .project import build_unrolled


def count_luts(onnx_model: Any, effort: int = 2) -> int:
    """LUTs of an exported network, by the adder-graph compiler's own count.

    Args:
        onnx_model: what `export_qonnx` returns.
        effort: of the solver; see `GraphOptions`.

    Raises:
        TargetError: an operation cannot be unrolled.
        ToolMissingError: alkaid is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="qfx-cost-") as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(onnx_model.SerializeToString())
        graph = load_qonnx(path)
    graph.verify()
    options = RtlOptions(style="unrolled", graph=GraphOptions(effort=effort))
    return int(build_unrolled(graph, options).facts["cost_lut"])
