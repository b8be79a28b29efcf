"""One file, one verdict: both builders read every node alike, in numbers and in words."""

from __future__ import annotations

from collections.abc import Callable

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, import_qonnx
from brevitas_quantizers.fixed_point import QfxError
from qfx_plugin import interpret, load_qonnx
from tests import qonnx_models as models
from tests.qonnx_models import QonnxBuilder

CHANNELS_LAST = "qonnx.custom_op.channels_last"
IMAGE = (2, 8, 6)


def file(
    op: str,
    *constants: object,
    sample: tuple[int, ...] = IMAGE,
    weights: tuple[tuple[int, ...], ...] = (),
    batch: int | None = 1,
    domain: str = "",
    **attributes: object,
) -> onnx.ModelProto:
    """A cast of the input, then one node of it and of constants or weights, opset 13."""
    b = QonnxBuilder(sample, seed=1)
    names = [b.quant("x", "x_q", 6, 2)]
    for index, value in enumerate(constants):
        name = f"c{index}" if value is not None else ""
        if value is not None:
            b.initializers[name] = np.asarray(value)
        names.append(name)
    names += [b.weight(f"w{index}", shape, 4) for index, shape in enumerate(weights)]
    node = helper.make_node(op, names, ["y"], name="node", domain=domain, **attributes)
    b.nodes.append(node)
    model = b.model("y", ())
    model.graph.output[0].type.tensor_type.ClearField("shape")
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    if batch is None:
        first.dim_param = "N"
    else:
        first.dim_value = batch
    model.opset_import[0].version = 13
    return model


def window(op: str, **attributes: object) -> onnx.ModelProto:
    if op == "Conv":
        attributes = {"weights": ((3, 2, 3, 3), (3,))} | attributes
    return file(op, **{"kernel_shape": [3, 3] if op == "Conv" else [2, 2]} | attributes)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def scales(*values: float) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, np.float32), np.array(values, np.float32)


NEAREST = {"mode": "nearest", "nearest_mode": "floor"} | {
    "coordinate_transformation_mode": "asymmetric"
}
READ: dict[str, Callable[[], onnx.ModelProto]] = {
    "Slice": lambda: file("Slice", ints(1, -1), ints(9, 0), ints(2, 3), ints(2, -1)),
    "Slice, all of the batch": lambda: file("Slice", ints(0, 1), ints(1 << 40, 3), ints(0, 1)),
    "Slice, backwards": lambda: file("Slice", ints(-1), ints(-(1 << 60)), ints(-1), ints(-1)),
    "Pad": lambda: file("Pad", ints(0, 0, 1, 1, 0, 0, 1, 2)),
    "Pad, reflect": lambda: file("Pad", ints(0, 0, 3, 1, 0, 0, 1, 2), mode="reflect"),
    "Pad, edge": lambda: file("Pad", ints(0, 0, 3, 1, 0, 0, 1, 2), mode="edge"),
    "Pad of channels, reflect": lambda: file("Pad", ints(0, 1, 0, 0, 0, 1, 0, 0), mode="reflect"),
    "Pad, less": lambda: file("Pad", ints(0, 0, -3, 1, 0, 0, 1, -1)),
    "Gather": lambda: file("Gather", ints(2, 0, -1, 1), axis=2),
    "Gather, regular": lambda: file("Gather", ints(0, 2, 4), axis=2),
    "Gather of one": lambda: file("Gather", np.array(-1), axis=3),
    "Gather of a table": lambda: file("Gather", ints(0, 1, 1, 1).reshape(2, 2), axis=1),
    "Expand": lambda: file("Expand", ints(1, 3, 1, 4), sample=(1, 8, 4)),
    "Expand of one": lambda: file("Expand", ints(3, 5, 4), sample=(3, 1, 1)),
    "Tile": lambda: file("Tile", ints(1, 2, 1, 2)),
    "DepthToSpace": lambda: file("DepthToSpace", sample=(8, 2, 3), blocksize=2),
    "DepthToSpace, CRD": lambda: file("DepthToSpace", sample=(8, 2, 3), blocksize=2, mode="CRD"),
    "SpaceToDepth": lambda: file("SpaceToDepth", blocksize=2),
    "ConvTranspose": lambda: file("ConvTranspose", weights=((2, 3, 3, 2),), strides=[2, 1]),
    "ConvTranspose, cut": lambda: file(
        "ConvTranspose", weights=((2, 3, 2, 2),), strides=[2, 2], pads=[2, 1, 2, 1]
    ),
    "ConvTranspose 1-D, groups": lambda: file(
        "ConvTranspose", sample=(4, 5), weights=((4, 3, 4),), strides=[4], group=2
    ),
    "MatMul at many points": lambda: file("MatMul", sample=(2, 3, 4, 5), weights=((5, 3),)),
    "Conv, pads differ": lambda: window("Conv", pads=[0, 1, 2, 2], strides=[2, 2]),
    "Conv 1-D, pads differ": lambda: file(
        "Conv", sample=(2, 9), weights=((4, 1, 4),), kernel_shape=[4], pads=[3, 0], group=2
    ),
    "Conv, channels last, pads differ": lambda: window(
        "Conv", sample=(8, 6, 2), weights=((3, 3, 3, 2),), pads=[1, 0, 0, 2], domain=CHANNELS_LAST
    ),
    "MaxPool, pads differ": lambda: window("MaxPool", pads=[0, 1, 1, 0], strides=[2, 2]),
    "MaxPool, channels last": lambda: window(
        "MaxPool", sample=(8, 6, 2), domain=CHANNELS_LAST, pads=[1, 0, 0, 0]
    ),
    "AveragePool, pads differ": lambda: window(
        "AveragePool", pads=[0, 1, 1, 0], count_include_pad=1
    ),
    "AveragePool, channels last": lambda: window(
        "AveragePool", sample=(8, 6, 2), domain=CHANNELS_LAST
    ),
    "GlobalAveragePool": lambda: file("GlobalAveragePool", sample=(3, 4, 4)),
    "GlobalAveragePool, channels last": lambda: file(
        "GlobalAveragePool", sample=(4, 4, 3), domain=CHANNELS_LAST
    ),
    "ReduceMean": lambda: file("ReduceMean", sample=(3, 4, 4), axes=[-1, 2], keepdims=0),
    "ReduceSum": lambda: file("ReduceSum", ints(3, 2), sample=(3, 4, 4)),
    "Gemm": lambda: file("Gemm", sample=(5,), weights=((5, 3), (1, 3))),
    "Gemm, one bias": lambda: file("Gemm", sample=(5,), weights=((3, 5), (1,)), transB=1),
    "MatMul of rows": lambda: file("MatMul", sample=(4, 5), weights=((5, 3),)),
    "PRelu": lambda: file("PRelu", weights=((2, 1, 1),)),
    "PRelu, one slope": lambda: file("PRelu", weights=((1, 1, 1, 1),)),
    "LeakyRelu": lambda: file("LeakyRelu", alpha=0.375),
    "Clip": lambda: file("Clip", np.float32(-0.5), np.float32(3.25)),
    "Clip, open": lambda: file("Clip", None, np.float32(1.5)),
    "Reshape": lambda: file("Reshape", ints(1, -1, 12)),
    "Reshape, any batch": lambda: file("Reshape", ints(-1, 4, 24), batch=None),
    "Reshape, copies": lambda: file("Reshape", ints(0, 0, -1), batch=None),
    "Reshape, literal": lambda: file("Reshape", ints(1, 2, 48), allowzero=1),
    "Transpose": lambda: file("Transpose", perm=[0, 2, 3, 1]),
    "Flatten": lambda: file("Flatten", axis=-3),
    "Squeeze": lambda: file("Squeeze", ints(-1), sample=(3, 1)),
    "Unsqueeze": lambda: file("Unsqueeze", ints(-1, 2)),
    "Resize": lambda: file("Resize", *scales(1, 1, 3, 2), **NEAREST),
    "Resize, far": lambda: file("Resize", *scales(1, 1, 100, 1), **NEAREST),
    "Upsample": lambda: file("Upsample", np.float32([1, 1, 2, 2])),
    "Dropout": lambda: file("Dropout", np.float32(0.5), np.array(False)),
}

BATCH = "must keep the batch as its first dimension"
REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "Reshape of the batch": (lambda: file("Reshape", ints(2, -1)), f"shape [2, -1] {BATCH}"),
    "Reshape to one of many": (
        lambda: file("Reshape", ints(1, 96), batch=None),
        f"shape [1, 96] {BATCH}",
    ),
    "Reshape, twice -1": (lambda: file("Reshape", ints(-1, -1)), f"shape [-1, -1] {BATCH}"),
    "Reshape, other size": (
        lambda: file("Reshape", ints(1, 7)),
        "shape [1, 7] does not fit 96 elements",
    ),
    "Reshape, literal 0": (
        lambda: file("Reshape", ints(0, 96), allowzero=1),
        "shape [0, 96] must have no dimension of size 0",
    ),
    "Reshape, long": (
        lambda: file("Reshape", ints(*[1] * 8, 96)),
        "shape [1, 1, 1, 1, 1, 1, 1, 1] has more than 8 dimensions",
    ),
    "Reshape by floats": (
        lambda: file("Reshape", np.float32([1, 96])),
        "its shape must be a few integers",
    ),
    "Transpose of the batch": (
        lambda: file("Transpose", perm=[1, 0, 2, 3]),
        "perm must leave the batch where it is, not [1, 0, 2, 3]",
    ),
    "Transpose of another rank": (
        lambda: file("Transpose", perm=[0, 2, 1]),
        "perm [0, 2, 1] does not fit 4 dimensions",
    ),
    "Transpose twice": (
        lambda: file("Transpose", perm=[0, 1, 1, 2]),
        "perm [0, 1, 1, 2] does not fit 4 dimensions",
    ),
    "Flatten": (lambda: file("Flatten", axis=2), "axis must be 1, not 2"),
    "Squeeze": (
        lambda: file("Squeeze", ints(1)),
        "axes [1] must be dimensions of size 1 of [1, 2, 8, 6]",
    ),
    "Squeeze of the batch": (
        lambda: file("Squeeze", ints(0)),
        "axes [0] do not fit shape [1, 2, 8, 6]",
    ),
    "Squeeze of all": (
        lambda: file("Squeeze", sample=(3, 1)),
        "axes [] do not fit shape [1, 3, 1]",
    ),
    "Unsqueeze in front": (
        lambda: file("Unsqueeze", ints(0)),
        "axes [0] do not fit shape [1, 2, 8, 6]",
    ),
    "Unsqueeze twice": (
        lambda: file("Unsqueeze", ints(2, -4)),
        "axes [2, -4] do not fit shape [1, 2, 8, 6]",
    ),
    "Concat of batches": (lambda: file("Concat", axis=0), "axis must be 1 to 3, not 0"),
    "Concat outside": (lambda: file("Concat", axis=4), "axis must be 1 to 3, not 4"),
    "Reduce of channels": (
        lambda: file("ReduceMean", axes=[1, 2, 3]),
        "its window must hold a power of two of elements, not 96; QuantAvgPool2d and",
    ),
    "Reduce outside": (
        lambda: file("ReduceSum", ints(2, 7)),
        "axes must be some of 1 to 3, behind the batch, not [2, 7]",
    ),
    "ReduceMean of 48": (
        lambda: file("ReduceMean", axes=[2, 3]),
        "its window must hold a power of two of elements, not 48; QuantAvgPool2d and",
    ),
    "GlobalAveragePool of 48": (
        lambda: file("GlobalAveragePool"),
        "its window must hold a power of two of elements, not 48; QuantAvgPool2d and",
    ),
    "AveragePool of 6": (
        lambda: window("AveragePool", kernel_shape=[3, 2]),
        "its window must hold a power of two of elements, not 6; QuantAvgPool2d and",
    ),
    "AveragePool, uncounted": (
        lambda: window("AveragePool", pads=[0, 0, 1, 1]),
        "count_include_pad must be 1 where pads are not 0: divisors would differ",
    ),
    "pads of a window": (
        lambda: window("MaxPool", pads=[0, 0, 2, 0]),
        "its geometry is impossible: pads must be shorter than the window of [2, 2], not",
    ),
    "window too large": (
        lambda: window("Conv", weights=((3, 2, 3, 7),), kernel_shape=[3, 7]),
        "its window of [3, 7] is larger than the image of [8, 6]",
    ),
    "groups": (
        lambda: window("Conv", group=3),
        "weight [3, 2, 3, 3] with 3 groups needs 6 input channels, not 2",
    ),
    "no groups": (
        lambda: window("Conv", group=0),
        "weight [3, 2, 3, 3] with 0 groups needs 0 input channels, not 2",
    ),
    "bias": (
        lambda: window("Conv", weights=((3, 2, 3, 3), (2,))),
        "bias must have 3 values, not shape [2]",
    ),
    "matrix": (
        lambda: file("Gemm", sample=(5,), weights=((5, 3, 1),)),
        "its weight must be a matrix, not of shape [5, 3, 1]",
    ),
    "features": (
        lambda: file("Gemm", sample=(5,), weights=((4, 3),)),
        "input must have shape [4], not [5]",
    ),
    "slopes of columns": (
        lambda: file("PRelu", weights=((6,),)),
        "its slope must be one value, or one for each channel of [2, 8, 6], not of shape [6]",
    ),
    "alpha": (
        lambda: file("LeakyRelu"),
        "alpha must be a number of at most 16 significant bits, not 0.00999999978",
    ),
    "endless alpha": (
        lambda: file("LeakyRelu", alpha=float("inf")),
        "alpha must be a number of at most 16 significant bits, not inf",
    ),
    "fine bound": (
        lambda: file("Clip", np.float32(-1e-18)),
        "its bounds must have at most 64 bits right of the binary point, not 83",
    ),
    "bounds": (
        lambda: file("Clip", np.float32(2), np.float32(1)),
        "bounds must be in order, not 2 and 1",
    ),
    "two bounds": (lambda: file("Clip", np.float32([1, 2])), "its min must be one number, not 2"),
    "Resize by sizes": (
        lambda: file("Resize", None, None, ints(1, 2, 16, 12)),
        "must have scales, not sizes",
    ),
    "Resize by halves": (
        lambda: file("Resize", *scales(1, 1, 1.5, 2), **NEAREST),
        "scales must be whole numbers, 1 for batch and channels, not [1.0, 1.0, 1.5, 2.0]",
    ),
    "Resize of channels": (
        lambda: file("Resize", *scales(1, 2, 2, 2), **NEAREST),
        "scales must be whole numbers, 1 for batch and channels, not [1, 2, 2, 2]",
    ),
    "Resize, cubic": (
        lambda: file("Resize", *scales(1, 1, 2, 2), mode="cubic"),
        "mode must be 'nearest', not 'cubic'",
    ),
    "Resize, ceil": (
        lambda: file("Resize", *scales(1, 1, 2, 2), **NEAREST | {"nearest_mode": "ceil"}),
        "asymmetric with ceil does not repeat elements",
    ),
    "Dropout in training": (
        lambda: file("Dropout", np.float32(0.5), np.array(True)),
        "its training mode must be off",
    ),
    "Pad by another number": (
        lambda: file("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(0.5)),
        "mode must be one of constant, reflect, edge, wrap, a constant 0, not 'constant' with 0.5",
    ),
    "Pad of the batch": (
        lambda: file("Pad", ints(1, 0, 0, 0, 0, 0, 0, 0)),
        "must leave the batch as it is: its pads must be 0",
    ),
    "Pad, huge": (
        lambda: file("Pad", ints(0, 0, 1 << 40, 1, 0, 0, 1 << 40, 1), mode="edge"),
        "its result must have at most",
    ),
    "Pad, nothing left": (
        lambda: file("Pad", ints(0, 0, -4, 0, 0, 0, -4, 0)),
        "pads [0, 0, -4, 0, 0, 0, -4, 0] leave nothing of shape [1, 2, 8, 6]",
    ),
    "Slice of the batch": (
        lambda: file("Slice", ints(1), ints(2), ints(0)),
        "must leave the batch as it is: axes begin at 1",
    ),
    "Slice, empty": (
        lambda: file("Slice", ints(2), ints(2), ints(2)),
        "leaves nothing of shape [1, 2, 8, 6]",
    ),
    "Slice, no such axis": (
        lambda: file("Slice", ints(2), ints(2), ints(4)),
        "starts, ends, axes and steps do not fit",
    ),
    "Gather of the batch": (
        lambda: file("Gather", ints(0)),
        "axis must be 1 to 3, not 0: samples of a batch do not",
    ),
    "Gather, outside": (
        lambda: file("Gather", ints(3), axis=1),
        "its indices must lie in -2 to 1, those of axis 1",
    ),
    "Expand of the batch": (
        lambda: file("Expand", ints(2, 3, 8, 4)),
        "shape [2, 3, 8, 4] must keep the batch, and fit",
    ),
    "Tile, huge": (
        lambda: file("Tile", ints(1, 1, 1, 1 << 40)),
        "its result must have at most",
    ),
    "DepthToSpace of channels that do not fit": (
        lambda: file("DepthToSpace", blocksize=2),
        "blocksize 2 and mode 'DCR' do not fit",
    ),
    "ConvTranspose by output_shape": (
        lambda: file(
            "ConvTranspose", weights=((2, 3, 2, 2),), output_shape=[16, 8], strides=[2, 2]
        ),
        "must have pads, not output_shape",
    ),
    "float operand": (
        lambda: file("Add", np.float32(0.3)),
        "its offset must be numbers of at most 16 bits on one binary point, or go through a Quant "
        "node; snap_scales=True casts to 12 bits, and changes numbers",
    ),
    "surprise": (lambda: file("Transpose", surprise=1), "attribute 'surprise' is not supported"),
}


@pytest.mark.parametrize("name", READ)
def test_read_by_both_and_equal(name: str) -> None:
    model = READ[name]()
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 3
    x = models.random_inputs(model, batch, seed=2).astype(np.float32)
    expected = interpret(load_qonnx(model), x)["y"].values
    found = import_qonnx(model)(torch.from_numpy(x)).detach().numpy()
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_both_in_the_same_words(name: str) -> None:
    make, text = REFUSED[name]
    model = make()
    words = []
    for reader in (load_qonnx, import_qonnx):
        with pytest.raises(QfxError) as caught:
            reader(model)
        words.append(str(caught.value).partition("; supported are")[0])
    assert words[0].partition("'node': ")[2].startswith(text), words
    assert words[0].partition("'node': ")[2] == words[1].partition("'node': ")[2]


def test_a_factor_that_torch_does_not_repeat_by_is_refused_not_changed() -> None:
    model = file("Resize", *scales(1, 1, 1, 41), sample=(1, 1, 64), **NEAREST)
    x = models.random_inputs(model, 1, seed=2).astype(np.float32)
    codes = interpret(load_qonnx(model), x)["y"].codes.reshape(64, 41)
    assert np.array_equal(codes, np.broadcast_to(codes[:, :1], (64, 41)))
    with pytest.raises(QfxError, match="nearest neighbour is not exact for 64 elements by .* 41;"):
        import_qonnx(model)


def test_a_shape_that_is_computed_is_read_by_both() -> None:
    """As exporters write `x.reshape(x.size(0), -1)` for a batch of any size."""
    b = QonnxBuilder(IMAGE, seed=1)
    x = b.quant("x", "x_q", 6, 2)
    b.initializers |= {"zero": ints(0), "rest": ints(-1)}
    b.node("Shape", [x], "sizes")
    b.node("Gather", ["sizes", "zero"], "batch", axis=0)
    b.node("Concat", ["batch", "rest"], "target", axis=0)
    b.node("Reshape", [x, "target"], "flat")
    b.node("Gemm", ["flat", b.weight("w", (96, 3), 4)], "y")
    model = b.model("y", (3,))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    x = models.random_inputs(model, 5, seed=2).astype(np.float32)
    found = import_qonnx(model)(torch.from_numpy(x)).detach().numpy()
    assert np.array_equal(found, interpret(load_qonnx(model), x)["y"].values)


@pytest.mark.parametrize("name", [name for name in READ if "pads differ" in name])
def test_padding_that_differs_comes_back_from_an_export(name: str) -> None:
    first = import_qonnx(READ[name]())
    x = torch.from_numpy(models.random_inputs(READ[name](), 1, seed=2).astype(np.float32))
    exported = export_qonnx(first, x)
    assert "Pad" not in {node.op_type for node in exported.graph.node}
    again = import_qonnx(exported)
    assert torch.equal(again(x), first(x))
    assert np.array_equal(
        interpret(load_qonnx(exported), x.numpy())["output"].values, first(x).detach().numpy()
    )
    assert export_qonnx(again, x).SerializeToString() == exported.SerializeToString()


class Padded(nn.Module):
    """Zeros in front of a convolution and of a mean, as torch's users write them."""

    def __init__(self) -> None:
        super().__init__()
        fixed = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}
        self.x = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=6)
        self.conv = qnn.QuantConv2d(2, 3, 3, stride=2, padding=1, **fixed)
        self.relu = qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 2, 8, 6) to (batch, 3, 3, 2)."""
        x = self.relu(self.conv(nn.functional.pad(self.x(x), (0, 1, 1, 0))))
        return nn.functional.avg_pool2d(nn.functional.pad(x, (0, 1, 0, 1)), 2)


@pytest.mark.parametrize("dynamo", [False, True])
def test_a_pad_of_the_model_becomes_that_of_the_window(dynamo: bool, torch_seed: None) -> None:
    net, x = Padded(), torch.randn(4, *IMAGE)
    calibrate(net, [x])
    net.eval()
    exported = export_qonnx(net, x[:1], dynamo=dynamo)
    assert "Pad" not in {node.op_type for node in exported.graph.node}
    expected = net(x[:1]).detach()
    assert torch.equal(import_qonnx(exported)(x[:1]), expected)
    found = interpret(load_qonnx(exported), x[:1].numpy())["output"].values
    assert np.array_equal(found, expected.numpy())


def test_a_pad_by_another_number_is_refused(torch_seed: None) -> None:
    class Bordered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.pad(self.x(x), (1, 1), value=1.0).relu()

    net, x = Bordered(), torch.randn(4, 3, 5)
    calibrate(net, [x])
    with pytest.raises(
        QfxError, match="^padding of '.*' must add zeros, or -inf directly in front"
    ):
        export_qonnx(net.eval(), x[:1])
