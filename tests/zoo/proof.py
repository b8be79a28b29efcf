"""The way of a float network to every target, compared code by code with the interpreter.

The columns of `docs/coverage.md`: `benchmarks/coverage.py` fills all, the tests of the zoo some.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import Tensor, nn

from brevitas_quantizers import calibrate, export_qonnx, import_qonnx, quantize
from qfx_plugin import load_qonnx, verify_agreement
from qfx_plugin.errors import VerificationError
from qfx_plugin.ir import Graph, interpret

FIRST = ("quantize", "export", "torch", "qonnx", "onnxruntime", "import")
"""Columns of every network, in order: each needs the one before."""

HARDWARE = ("hls4ml, arrays", "hls4ml, streams", "FINN", "RTL, unrolled", "RTL, streaming")

PAUSES = {"idle": 0.4, "backpressure": 0.4, "seed": 1}


class Proof:
    """A network and some samples of its inputs."""

    def __init__(
        self, model: nn.Module, inputs: Sequence[Tensor], options: Mapping[str, Any] | None = None
    ) -> None:
        self.model, self.inputs, self.options = model, tuple(inputs), dict(options or {})

    def column(self, name: str) -> int:
        """Number of codes compared, 0 of a column that compares none.

        Raises:
            QfxError: what stands in the way, or that a code differs.
        """
        return self._columns[name]()

    @cached_property
    def quantized(self) -> nn.Module:
        """In fixed point, calibrated on the samples."""
        batch: Any = self.inputs if len(self.inputs) > 1 else self.inputs[0]
        return calibrate(quantize(self.model, example=batch, **self.options), [batch]).eval()

    @cached_property
    def file(self) -> onnx.ModelProto:
        """In QONNX."""
        return export_qonnx(self.quantized, self._first(self.inputs))

    @cached_property
    def graph(self) -> Graph:
        """As the file says it."""
        return load_qonnx(self.file)

    @cached_property
    def x(self) -> dict[str, Any]:
        """The samples by the file's names."""
        names = [op.output for op in self.graph.inputs]
        return dict(zip(names, (tensor.numpy() for tensor in self.inputs), strict=True))

    @property
    def _columns(self) -> dict[str, Callable[[], int]]:
        return {
            "quantize": lambda: 0 * len(list(self.quantized.parameters())),
            "export": lambda: 0 * len(self.graph.ops),
            **{name: partial(self._verified, name) for name in FIRST[2:5]},
            "import": self._imported,
            "hls4ml, arrays": lambda: self._hls4ml("io_parallel"),
            "hls4ml, streams": lambda: self._hls4ml("io_stream"),
            "FINN": self._finn,
            "RTL, unrolled": lambda: self._rtl("unrolled"),
            "RTL, streaming": lambda: self._rtl("streaming", **PAUSES),
        }

    def _hls4ml(self, io_type: str) -> int:
        from qfx_plugin.hls4ml_backend import convert

        with tempfile.TemporaryDirectory(prefix="qfx-zoo-") as folder:
            project = convert(self.graph, Path(folder), io_type=io_type)
            return int(project.compile(quick=True).check(self.x))

    def _rtl(self, style: str, **pauses: Any) -> int:
        from qfx_plugin.rtl.options import RtlOptions
        from qfx_plugin.rtl.project import build_network

        return build_network(self.graph, RtlOptions(style=style)).check(self.x, **pauses)

    def _verified(self, executor: str) -> int:
        result = verify_agreement(self.file, self.x, self.quantized, executors=[executor])
        return result.raise_if_different(required=[executor])[executor].codes

    def _imported(self) -> int:
        """Read back into PyTorch, and written again: the same codes."""
        twin = import_qonnx(self.file)
        again = load_qonnx(export_qonnx(twin, self._first(self.inputs)))
        names = [op.output for op in again.inputs]
        found = interpret(again, dict(zip(names, self.x.values(), strict=True)))
        codes = 0
        for got, wanted in zip(found.values(), interpret(self.graph, self.x).values(), strict=True):
            if not np.array_equal(got.values, wanted.values):
                raise VerificationError("the imported network, exported again, differs")
            codes += got.codes.size
        return codes

    def _finn(self) -> int:
        """FINN's own execution of the hardware's nodes."""
        from qfx_plugin.finn_plugin import model as models
        from qfx_plugin.finn_plugin.hardware.convert import to_hardware
        from qfx_plugin.finn_plugin.integers import require_integers
        from qfx_plugin.finn_plugin.lowering.lower import lower
        from qfx_plugin.finn_plugin.network import Dataflow

        plan = lower(self.graph)
        hardware = to_hardware(require_integers(models.build(plan)))
        return Dataflow(self.graph, hardware, plan.contract).check(self.x)

    @staticmethod
    def _first(inputs: Sequence[Tensor]) -> Any:
        given = tuple(tensor[:1] for tensor in inputs)
        return given if len(given) > 1 else given[0]
