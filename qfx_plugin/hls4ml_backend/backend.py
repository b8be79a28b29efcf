"""hls4ml backend `QFX`: the Vitis backend under its own name, with its own flows.

It converts what the Vitis backend converts. A QONNX file with `Quant` nodes it refuses: hls4ml's
own reading of those changes numbers silently (other rounding modes, per-channel scales, the
precision of the input), and `qfx_plugin.hls4ml_backend.convert` reads them exactly.
"""

from __future__ import annotations

from hls4ml.backends import VitisBackend, VivadoBackend
from hls4ml.model.flow import get_flow, register_flow
from hls4ml.model.layers import Quant
from hls4ml.model.optimizer import ModelOptimizerPass, register_pass
from hls4ml.writer.vitis_writer import VitisWriter

from ..errors import TargetError


class QFXWriter(VitisWriter):
    """Writes the project as the Vitis backend does."""


class RefuseQuantNodes(ModelOptimizerPass):
    """Stops a conversion that hls4ml would not do exactly."""

    def __init__(self) -> None:
        self.name = "refuse_quant_nodes"

    def transform(self, model: object) -> bool:
        """Check every layer; changes nothing.

        Raises:
            TargetError: names the first `Quant` node.
        """
        for node in model.graph.values():
            if isinstance(node, Quant):
                raise TargetError(
                    f"node {node.name!r}: backend 'QFX' does not take QONNX Quant nodes from "
                    "hls4ml's own converter, which changes numbers; use "
                    "qfx_plugin.hls4ml_backend.convert(path, output_dir)"
                )
        return False


class QFXBackend(VitisBackend):
    """The Vitis backend, registered as `QFX`."""

    NAME = "QFX"

    def __init__(self) -> None:
        # VitisBackend's own __init__ would register the name Vitis again.
        super(VivadoBackend, self).__init__(name=self.NAME)
        self._register_layer_attributes()
        self._register_flows()

    def _register_flows(self) -> None:
        register_pass("refuse_quant_nodes", RefuseQuantNodes, backend=self.name)
        check = register_flow("check", ["qfx:refuse_quant_nodes"], backend=self.name)
        self._default_flow = register_flow(
            "ip", None, requires=[check, *get_flow("vitis:ip").requires], backend=self.name
        )
        writing = ["make_stamp", f"{self.name.lower()}:write_hls"]
        self._writer_flow = register_flow(
            "write", writing, requires=[self._default_flow], backend=self.name
        )
        register_flow(
            "fifo_depth_optimization",
            ["vitis:fifo_depth_optimization", *writing],
            requires=[self._default_flow],
            backend=self.name,
        )
