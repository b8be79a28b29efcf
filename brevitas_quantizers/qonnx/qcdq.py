"""QONNX to QCDQ: standard QuantizeLinear, Clip, DequantizeLinear that plain onnxruntime runs.

`QuantizeLinear` rounds half to even and saturates to 8 bits; other modes get exact nodes in front
of it, see `exact_nodes`. Codes of weights become int8 or int32 initializers.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from brevitas_quantizers.fixed_point import ExportError, cast_codes, code_range
from brevitas_quantizers.onnx_files import STANDARD_DOMAINS, Reader, reader_of
from brevitas_quantizers.onnx_files.exact_nodes import NodeChain, append_cast, needs_nodes

from .patterns import ExportedQuant, ExportedQuants, is_quant

MAX_ACTIVATION_BITS = 8
WIDE_BITS = 24
"""Codes that float32 holds."""
LEAST_OPSET = 13
_KEEP_SCALE = ("Relu", "MaxPool", "Flatten", "Reshape", "Identity", "Squeeze", "Dropout")
_INT32_LIMIT = 1 << 31


def to_qcdq(model: onnx.ModelProto, wide: bool = False) -> onnx.ModelProto:
    """A copy of a QONNX model in standard operators only; tensors keep their names.

    Biases of Conv and Gemm are int32 on the scale of input times weight, as integer kernels take
    them for granted, or float initializers where that scale cannot hold them.

    Args:
        model: of `export_qonnx`, or of others.
        wide: whether activations of more than 8 bits, which QuantizeLinear does not have, become
            nodes on floats.

    Raises:
        ExportError: an activation of more than 8 bits (24 if `wide`), an opset below 13, a
            scale that differs along more than one axis, or an operator that is no standard one.
    """
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version < LEAST_OPSET:
        raise ExportError(f"QCDQ needs opset {LEAST_OPSET} or later, not {version}")
    rewritten = copy.deepcopy(model)
    most = WIDE_BITS if wide else MAX_ACTIVATION_BITS
    _Rewriter(rewritten.graph, reader_of(model), most).run()
    for node in rewritten.graph.node:
        if node.domain not in STANDARD_DOMAINS:
            raise ExportError(
                f"{node.op_type} {node.name!r}: QCDQ has standard operators only, not those of "
                f"domain {node.domain!r}: give the file as it was exported, channels first"
            )
    kept = [opset for opset in rewritten.opset_import if opset.domain in STANDARD_DOMAINS]
    del rewritten.opset_import[:]
    rewritten.opset_import.extend(kept)
    return rewritten


class _Rewriter:
    """One pass over the nodes of a graph, in order."""

    def __init__(self, graph: onnx.GraphProto, reader: Reader, most: int) -> None:
        self.graph = graph
        self.most = most
        self.casts = ExportedQuants(graph, reader)
        self.found = {n.output[0]: self.casts.read(n) for n in graph.node if is_quant(n)}
        self.nodes: list[onnx.NodeProto] = []
        self.added: list[onnx.TensorProto] = []
        self.biases = self._bias_scales()

    def run(self) -> None:
        """Replace casts, and drop what only they have read."""
        absorbed = self.casts.absorbed
        for node in self.graph.node:
            cast = self.found.get(node.output[0]) if node.output else None
            if cast is not None:
                self._replace(cast)
            elif not (node.output and node.output[0] in absorbed):
                self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in node.input}
        read |= {value.name for value in self.graph.output}
        known = {tensor.name for tensor in self.graph.initializer}
        inputs = [value for value in self.graph.input if value.name not in known]
        del self.graph.input[:]  # of old files, which list initializers among them
        self.graph.input.extend(inputs)
        kept = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend([*kept, *self.added])
        values = [value for value in self.graph.value_info if value.name not in absorbed]
        del self.graph.value_info[:]
        self.graph.value_info.extend(values)

    def _replace(self, cast: ExportedQuant) -> None:
        if cast.source not in self.casts.constants:
            self._activation(cast)
        elif cast.output in self.biases:
            self._bias(cast, self.biases[cast.output])
        else:
            self._weight(cast, _codes(cast, self.casts.constants[cast.source]), cast.scale)

    def _activation(self, cast: ExportedQuant) -> None:
        check_activation(cast.name, cast.width, self.most)
        chain = NodeChain(cast.source, cast.output)
        if cast.width > MAX_ACTIVATION_BITS:
            append_cast(chain, cast.scale, cast.width, cast.signed, cast.rounding, cast.overflow)
            ends = code_range(cast.width, cast.signed, cast.overflow)
            bounds = [chain.constant(np.float32(end) * cast.scale) for end in ends]
            chain.x = chain.node("Max", [chain.x, bounds[0]])
            chain.node("Min", [chain.x, bounds[1]], cast.output)
            self._take(chain)
            return
        if needs_nodes(cast.rounding, cast.overflow):
            append_cast(chain, cast.scale, cast.width, cast.signed, cast.rounding, cast.overflow)
        dtype = np.int8 if cast.signed else np.uint8
        scale, axis = _linear_scale(cast.name, cast.scale)
        constants = [chain.constant(scale), chain.constant(np.zeros(scale.shape, dtype))]
        chain.x = chain.node("QuantizeLinear", [chain.x, *constants], **axis)
        low, high = code_range(cast.width, cast.signed, cast.overflow)
        if (low, high) != (np.iinfo(dtype).min, np.iinfo(dtype).max):
            bounds = [chain.constant(dtype(low)), chain.constant(dtype(high))]
            chain.x = chain.node("Clip", [chain.x, *bounds])
        chain.node("DequantizeLinear", [chain.x, *constants], cast.output, **axis)
        self._take(chain)

    def _weight(
        self, cast: ExportedQuant, codes: NDArray[np.int64], scale: NDArray[np.float32]
    ) -> None:
        """DequantizeLinear of an initializer: int8 or uint8 codes, int32 above 8 bits."""
        narrow = np.int8 if cast.signed else np.uint8
        dtype = narrow if cast.width <= 8 else np.int32
        if np.any(abs(codes) >= _INT32_LIMIT):
            raise ExportError(f"{cast.name}: its codes must have at most 32 bits")
        self._dequantize(cast, codes.astype(dtype), scale)

    def _bias(self, cast: ExportedQuant, scale: NDArray[np.float32] | None) -> None:
        """int32 on the accumulator's scale, else float values."""
        codes = _codes(cast, self.casts.constants[cast.source])
        values = (codes * cast.scale.astype(np.float64)).astype(np.float32)
        if scale is not None:
            steps = values.astype(np.float64) / scale
            if np.all(steps == np.rint(steps)) and np.all(abs(steps) < _INT32_LIMIT):
                self._dequantize(cast, steps.astype(np.int32), scale)
                return
        self.added.append(numpy_helper.from_array(values, cast.output))

    def _dequantize(
        self, cast: ExportedQuant, codes: NDArray[np.generic], scale: NDArray[np.float32]
    ) -> None:
        chain = NodeChain("", cast.output)
        scale, axis = _linear_scale(cast.name, scale)
        names = [chain.constant(codes), chain.constant(scale)]
        if codes.dtype != np.int32:
            names.append(chain.constant(np.zeros(scale.shape, codes.dtype)))
        chain.node("DequantizeLinear", names, cast.output, **axis)
        self._take(chain)

    def _take(self, chain: NodeChain) -> None:
        self.nodes += chain.nodes
        self.added += chain.initializers

    def _bias_scales(self) -> dict[str, NDArray[np.float32] | None]:
        """By the bias of a Conv or Gemm: the scale of its accumulator, or None if unknown."""
        scales: dict[str, NDArray[np.float32] | None] = {}
        for node in self.graph.node:
            if node.op_type in ("Conv", "Gemm") and len(node.input) == 3:
                x, weight, bias = node.input
                if bias in self.found:
                    scales[bias] = None if bias in scales else self._product(x, weight)
        return scales

    def _product(self, x: str, weight: str) -> NDArray[np.float32] | None:
        """Scale of `x` times that of the weight, one or one per output channel."""
        left, right = self._scale(x), self.found.get(weight)
        if left is None or left.size != 1 or right is None:
            return None
        per_output = right.scale.size == 1 or right.scale.size == right.scale.shape[0]
        return (
            left.reshape(()) * right.scale.reshape(-1 if right.scale.ndim else ())
            if (per_output)
            else None
        )

    def _scale(self, name: str) -> NDArray[np.float32] | None:
        """Scale of a tensor, seen through nodes that keep it."""
        while name not in self.found:
            node = self.casts.producers.get(name)
            if node is None or node.op_type not in _KEEP_SCALE:
                return None
            name = node.input[0]
        return self.found[name].scale


def check_activation(name: str, width: int, most: int) -> None:
    """Refuse what QuantizeLinear, or float32, cannot do.

    Raises:
        ExportError: names the activation and what would work.
    """
    if width > most:
        kind = "QuantizeLinear" if most == MAX_ACTIVATION_BITS else "float32"
        raise ExportError(f"{name}: an activation of {kind} has at most {most} bits, not {width}")


def _codes(cast: ExportedQuant, values: NDArray[np.generic]) -> NDArray[np.int64]:
    _, exponent = np.frexp(cast.scale)
    points = np.asarray(1 - exponent, dtype=np.int64)
    return cast_codes(values, points, cast.width, cast.signed, cast.rounding, cast.overflow)


def _linear_scale(
    name: str, scale: NDArray[np.float32]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The scale as QuantizeLinear takes it: one, or a vector along an axis."""
    axes = [axis for axis, size in enumerate(scale.shape) if size > 1]
    if not axes:
        return scale.reshape(()), {}
    if len(axes) > 1:
        raise ExportError(f"{name}: scale must differ along one axis, not {list(scale.shape)}")
    return scale.reshape(-1), {"axis": axes[0] - scale.ndim}
