"""Small QONNX networks in the form our exporter writes, for tests of everything that reads QONNX.

Every function returns an `onnx.ModelProto` with seeded random weights; save it with `onnx.save`.
Names are stable: layer `fc1` has tensors `fc1_w` (initializer), `fc1_wq` (after its Quant),
`fc1_acc` (accumulator) and `fc1_out` (after ReLU and Quant). The input is `x`, the output `logits`.
`random_inputs(model, samples, seed)` makes inputs with ties, negative and saturating values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX_DOMAIN = "qonnx.custom_op.general"
QONNX_ROUNDING = {
    "AP_RND_CONV": "ROUND",
    "AP_TRN": "FLOOR",
    "AP_TRN_ZERO": "DOWN",
    "AP_RND_INF": "HALF_UP",
    "AP_RND_ZERO": "HALF_DOWN",
}

UNNAMED_ROUNDING = {"AP_RND": (1, "FLOOR"), "AP_RND_MIN_INF": (-1, "CEIL")}
"""Half LSBs that an Add puts in front of this mode."""


class QonnxBuilder:
    """Appends nodes one after the other; every method returns the name of its output tensor."""

    def __init__(self, input_shape: Sequence[int], seed: int = 0, batch: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = (batch, *input_shape)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: np.ndarray | float) -> str:
        """A float32 initializer."""
        self.initializers[name] = np.asarray(value, dtype=np.float32)
        return name

    def node(self, op_type: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        """Any standard node, named after its output."""
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [output], name=f"{output}_node", **attributes)
        )
        return output

    def quant(
        self,
        source: str,
        output: str,
        width: float,
        frac_bits: int | np.ndarray,
        *,
        signed: bool = True,
        rounding: str = "AP_RND_CONV",
        overflow: str = "AP_SAT",
        mode: str | None = None,
        **extra: object,
    ) -> str:
        """A Quant node with the standard and the `qfx_*` attributes; AP_RND gets its Add."""
        scale = np.exp2(-np.asarray(frac_bits, dtype=np.float64))
        qonnx_mode = mode or QONNX_ROUNDING.get(rounding)
        if rounding in UNNAMED_ROUNDING and mode is None:
            sign, qonnx_mode = UNNAMED_ROUNDING[rounding]
            half = self.constant(f"{output}_half", sign * scale / 2)
            source = self.node("Add", [source, half], f"{output}_add")
        inputs = [
            source,
            self.constant(f"{output}_scale", scale),
            self.constant(f"{output}_zero", 0.0),
            self.constant(f"{output}_bits", width),
        ]
        self.nodes.append(
            helper.make_node(
                "Quant",
                inputs,
                [output],
                name=f"{output}_node",
                domain=QONNX_DOMAIN,
                rounding_mode=qonnx_mode,
                signed=int(signed),
                narrow=int(signed and overflow == "AP_SAT_SYM"),
                qfx_rounding=rounding,
                qfx_overflow=overflow,
                qfx_name=output,
                **extra,
            )
        )
        return output

    def weight(
        self,
        name: str,
        shape: Sequence[int],
        width: int,
        *,
        per_channel: bool = False,
        frac_bits: int | None = None,
        rounding: str = "AP_RND_CONV",
        k: int | None = None,
    ) -> str:
        """A weight initializer, already cast, with its identity Quant; K-hot if `k` is given."""
        base = width - 1 if frac_bits is None else frac_bits
        points: int | np.ndarray = base
        if per_channel:
            spread = self.rng.integers(-1, 3, size=shape[0])
            points = (base + spread).reshape(-1, *[1] * (len(shape) - 1))
        high = 1 << (width - 1)
        if k is None:
            codes = self.rng.integers(-high, high, size=tuple(shape))
            extra: dict[str, object] = {}
        else:
            codes = _khot_codes(self.rng, tuple(shape), width, k)
            extra = {"qfx_k": k, "qfx_digits": "signed"}
        values = codes * np.exp2(-np.asarray(points, dtype=np.float64))
        self.constant(name, values)
        return self.quant(name, f"{name}q", width, points, rounding=rounding, mode="ROUND", **extra)

    def activation(self, source: str, layer: str, width: int, frac_bits: int, **cast: str) -> str:
        """ReLU and an unsigned Quant."""
        relu = self.node("Relu", [source], f"{layer}_relu")
        return self.quant(relu, f"{layer}_out", width, frac_bits, signed=False, **cast)

    def conv(
        self,
        source: str,
        layer: str,
        weight_shape: Sequence[int],
        width: int,
        *,
        bias: bool = True,
        per_channel: bool = False,
        output: str | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        group: int = 1,
        k: int | None = None,
        **attributes: object,
    ) -> str:
        """A Conv (1-D or 2-D, by the weight's rank) with quantized weights."""
        spatial = len(weight_shape) - 2
        operands = [
            source,
            self.weight(f"{layer}_w", weight_shape, width, per_channel=per_channel, k=k),
        ]
        if bias:
            operands.append(self.weight(f"{layer}_b", (weight_shape[0],), width, frac_bits=width))
        return self.node(
            "Conv",
            operands,
            output or f"{layer}_acc",
            kernel_shape=list(weight_shape[2:]),
            pads=list(pads or [0] * 2 * spatial),
            strides=list(strides or [1] * spatial),
            group=group,
            **attributes,
        )

    def linear(
        self,
        source: str,
        layer: str,
        features: tuple[int, int],
        width: int,
        *,
        bias: bool = True,
        per_channel: bool = False,
        output: str | None = None,
        matmul: bool = False,
        k: int | None = None,
    ) -> str:
        """A Gemm with `transB=1`, or Transpose, MatMul (and Add) if `matmul` or without bias."""
        inputs, outputs = features
        output = output or f"{layer}_acc"
        w = self.weight(f"{layer}_w", (outputs, inputs), width, per_channel=per_channel, k=k)
        b = [self.weight(f"{layer}_b", (outputs,), width, frac_bits=width)] if bias else []
        if bias and not matmul:
            return self.node("Gemm", [source, w, *b], output, transB=1)
        transposed = self.node("Transpose", [w], f"{layer}_wt", perm=[1, 0])
        if not bias:
            return self.node("MatMul", [source, transposed], output)
        product = self.node("MatMul", [source, transposed], f"{layer}_product")
        return self.node("Add", [product, *b], output)

    def model(self, output: str, output_shape: Sequence[int]) -> onnx.ModelProto:
        """The finished, checked model."""
        batch = self.shape[0]
        graph = helper.make_graph(
            self.nodes,
            "qfx_test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, (batch, *output_shape))],
            [numpy_helper.from_array(value, name) for name, value in self.initializers.items()],
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX_DOMAIN, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="qfx-tests")
        model.ir_version = 8
        helper.set_model_props(model, {"qfx": '{"version": 1}'})
        return model


def _khot_codes(rng: np.random.Generator, shape: tuple[int, ...], width: int, k: int) -> np.ndarray:
    """Random signed K-hot codes inside a signed `width`-bit range."""
    powers = 1 << rng.integers(0, max(width - 2, 1), size=(*shape, k))
    signs = rng.integers(-1, 2, size=(*shape, k))
    return np.clip((signs * powers).sum(axis=-1), -(1 << (width - 1)), (1 << (width - 1)) - 1)


def mlp(
    widths: Sequence[int] = (16, 32, 10),
    bit_width: int = 8,
    bias: bool = True,
    seed: int = 0,
    *,
    weight_bit_width: int | None = None,
    per_channel: bool = False,
    rounding: str = "AP_RND_CONV",
    overflow: str = "AP_SAT",
    k: int | None = None,
    matmul: bool = False,
    batch: int = 1,
) -> onnx.ModelProto:
    """Input Quant, then Gemm, ReLU, Quant per hidden layer; raw accumulators at the end."""
    b = QonnxBuilder(widths[:1], seed, batch)
    weight_width = weight_bit_width or bit_width
    cast = {"rounding": rounding, "overflow": overflow}
    x = b.quant("x", "x_q", bit_width, bit_width - 2, **cast)
    for index, features in enumerate(zip(widths[:-1], widths[1:], strict=True), start=1):
        last = index == len(widths) - 1
        layer = f"fc{index}"
        x = b.linear(
            x,
            layer,
            features,
            weight_width,
            bias=bias,
            per_channel=per_channel,
            output="logits" if last else None,
            matmul=matmul,
            k=k,
        )
        if not last:
            x = b.activation(x, layer, bit_width, bit_width - 3, **cast)
    return b.model("logits", widths[-1:])


def cnn(
    bit_width: int = 8,
    bias: bool = True,
    seed: int = 0,
    *,
    size: int = 8,
    in_channels: int = 1,
    channels: tuple[int, int] = (4, 6),
    kernel: int = 3,
    hidden: Sequence[int] = (),
    classes: int = 10,
    weight_bit_width: int | None = None,
    per_channel: bool = False,
    rounding: str = "AP_RND_CONV",
    overflow: str = "AP_SAT",
    pool: str = "max",
    k: int | None = None,
    batch: int = 1,
) -> onnx.ModelProto:
    """Two (Conv, ReLU, Quant, 2x2 pool) stages, Flatten, Gemm; `pool` is "max" or "average"."""
    b = QonnxBuilder((in_channels, size, size), seed, batch)
    weight_width = weight_bit_width or bit_width
    cast = {"rounding": rounding, "overflow": overflow}
    x, previous, pad = (
        b.quant("x", "x_q", bit_width, bit_width - 2, **cast),
        in_channels,
        kernel // 2,
    )
    for index, count in enumerate(channels, start=1):
        layer = f"conv{index}"
        shape = (count, previous, kernel, kernel)
        x = b.conv(
            x, layer, shape, weight_width, bias=bias, per_channel=per_channel, pads=[pad] * 4, k=k
        )
        x, previous = b.activation(x, layer, bit_width, bit_width - 3, **cast), count
        x = _pool(b, x, layer, pool, bit_width)
    x = b.node("Flatten", [x], "flat", axis=1)
    widths = [previous * (size // 4) ** 2, *hidden, classes]
    for index, features in enumerate(zip(widths[:-1], widths[1:], strict=True), start=1):
        last, layer = index == len(widths) - 1, f"fc{index}"
        output = "logits" if last else None
        x = b.linear(
            x, layer, features, weight_width, bias=bias, per_channel=per_channel, output=output, k=k
        )
        if not last:
            x = b.activation(x, layer, bit_width, bit_width - 3, **cast)
    return b.model("logits", (classes,))


def _pool(b: QonnxBuilder, x: str, layer: str, pool: str, bit_width: int) -> str:
    name = f"{layer}_pool"
    if pool == "max":
        return b.node("MaxPool", [x], name, kernel_shape=[2, 2], strides=[2, 2])
    mean = b.node("AveragePool", [x], f"{name}_mean", kernel_shape=[2, 2], strides=[2, 2])
    return b.quant(mean, name, bit_width, bit_width - 3, signed=False)


def residual(
    bit_width: int = 8,
    bias: bool = True,
    seed: int = 0,
    *,
    per_channel: bool = False,
    batch: int = 1,
) -> onnx.ModelProto:
    """conv1, then conv2 with a skip: the Add's operands have different binary points."""
    b = QonnxBuilder((2, 6, 6), seed, batch)
    options = {"bias": bias, "per_channel": per_channel, "pads": [1, 1, 1, 1]}
    x = b.quant("x", "x_q", bit_width, bit_width - 2)
    skip = b.activation(
        b.conv(x, "conv1", (4, 2, 3, 3), bit_width, **options), "conv1", bit_width, 3
    )
    branch = b.conv(skip, "conv2", (4, 4, 3, 3), bit_width, **options)
    branch = b.quant(branch, "conv2_out", bit_width, bit_width - 5)
    x = b.node("Add", [branch, skip], "sum")
    x = b.activation(x, "add", bit_width, bit_width - 4)
    x = b.node("Flatten", [x], "flat", axis=1)
    b.linear(x, "fc1", (144, 5), bit_width, bias=bias, per_channel=per_channel, output="logits")
    return b.model("logits", (5,))


def depthwise(
    bit_width: int = 8,
    bias: bool = True,
    seed: int = 0,
    *,
    per_channel: bool = False,
    batch: int = 1,
) -> onnx.ModelProto:
    """Depthwise 3x3 (stride 2), pointwise 1x1, Flatten, Gemm."""
    b = QonnxBuilder((4, 7, 7), seed, batch)
    options = {"bias": bias, "per_channel": per_channel}
    x = b.quant("x", "x_q", bit_width, bit_width - 2)
    x = b.conv(x, "dw", (4, 1, 3, 3), bit_width, group=4, strides=[2, 2], pads=[1] * 4, **options)
    x = b.activation(x, "dw", bit_width, bit_width - 3)
    x = b.conv(x, "pw", (6, 4, 1, 1), bit_width, **options)
    x = b.activation(x, "pw", bit_width, bit_width - 3)
    x = b.node("Flatten", [x], "flat", axis=1)
    b.linear(x, "fc1", (96, 5), bit_width, bias=bias, per_channel=per_channel, output="logits")
    return b.model("logits", (5,))


def concat(
    bit_width: int = 8, bias: bool = True, seed: int = 0, *, batch: int = 1
) -> onnx.ModelProto:
    """Two convolutions with different output formats, concatenated by channel, then a 1x1 conv."""
    b = QonnxBuilder((2, 6, 6), seed, batch)
    x = b.quant("x", "x_q", bit_width, bit_width - 2)
    left = b.conv(x, "left", (3, 2, 3, 3), bit_width, bias=bias, pads=[1] * 4)
    left = b.activation(left, "left", bit_width, bit_width - 3)
    right = b.conv(x, "right", (2, 2, 1, 1), bit_width, bias=bias)
    right = b.quant(right, "right_out", bit_width, bit_width - 4)
    x = b.node("Concat", [left, right], "joined", axis=1)
    x = b.conv(x, "mix", (4, 5, 1, 1), bit_width, bias=bias)
    x = b.activation(x, "mix", bit_width, bit_width - 3)
    x = b.node("Flatten", [x], "flat", axis=1)
    b.linear(x, "fc1", (144, 5), bit_width, bias=bias, output="logits")
    return b.model("logits", (5,))


def average_pool(
    bit_width: int = 8,
    bias: bool = True,
    seed: int = 0,
    *,
    global_pool: bool = True,
    batch: int = 1,
) -> onnx.ModelProto:
    """Conv, ReLU, Quant, average pool (global 4x4, or 2x2), Quant, Reshape, Gemm."""
    b = QonnxBuilder((2, 4, 4), seed, batch)
    x = b.quant("x", "x_q", bit_width, bit_width - 2)
    x = b.conv(x, "conv1", (4, 2, 3, 3), bit_width, bias=bias, pads=[1] * 4)
    x = b.activation(x, "conv1", bit_width, bit_width - 3)
    if global_pool:
        x, features = b.node("GlobalAveragePool", [x], "mean"), 4
    else:
        x = b.node("AveragePool", [x], "mean", kernel_shape=[2, 2], strides=[2, 2])
        features = 16
    x = b.quant(x, "mean_out", bit_width, bit_width - 3, signed=False)
    b.initializers["shape"] = np.array([batch, features], dtype=np.int64)
    x = b.node("Reshape", [x, "shape"], "flat")
    b.linear(x, "fc1", (features, 5), bit_width, bias=bias, output="logits")
    return b.model("logits", (5,))


def conv1d(
    bit_width: int = 8, bias: bool = True, seed: int = 0, *, batch: int = 1
) -> onnx.ModelProto:
    """A strided, dilated 1-D convolution with asymmetric padding, max pool, Flatten, Gemm."""
    b = QonnxBuilder((3, 16), seed, batch)
    x = b.quant("x", "x_q", bit_width, bit_width - 2)
    x = b.conv(x, "conv1", (4, 3, 3), bit_width, bias=bias, pads=[2, 1], strides=[2], dilations=[2])
    x = b.activation(x, "conv1", bit_width, bit_width - 3)
    x = b.node("MaxPool", [x], "pool", kernel_shape=[2], strides=[2])
    x = b.node("Flatten", [x], "flat", axis=1)
    b.linear(x, "fc1", (16, 5), bit_width, bias=bias, output="logits")
    return b.model("logits", (5,))


def per_channel_activation(bit_width: int = 8, seed: int = 0, *, batch: int = 1) -> onnx.ModelProto:
    """An activation whose Quant has one binary point per channel, before a grouped convolution."""
    b = QonnxBuilder((4, 5, 5), seed, batch)
    points = np.array([0, 2, -1, 1]).reshape(1, 4, 1, 1) + bit_width - 3
    x = b.quant("x", "x_q", bit_width, points)
    x = b.conv(x, "conv1", (6, 2, 3, 3), bit_width, group=2)
    x = b.activation(x, "conv1", bit_width, bit_width - 3)
    x = b.node("Flatten", [x], "flat", axis=1)
    b.linear(x, "fc1", (54, 5), bit_width, output="logits")
    return b.model("logits", (5,))


def random_inputs(model: onnx.ModelProto, samples: int, seed: int = 0) -> np.ndarray:
    """(samples, *input shape) float32 on a 2**-10 grid: ties, both signs, some out of range."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    codes = np.random.default_rng(seed).normal(0.0, 1024.0, size=(samples, *shape))
    return (np.rint(codes) / 1024.0).astype(np.float32)
