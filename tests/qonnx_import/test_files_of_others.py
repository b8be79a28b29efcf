"""QCDQ, float constants, Trunc, MultiThreshold: exact in both importers, or refused at once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from brevitas_quantizers import import_qonnx
from brevitas_quantizers.fixed_point import QfxError, QfxWarning
from brevitas_quantizers.fixed_point.errors import UnsupportedModelError
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests.qonnx_import.mutations import mutated
from tests.qonnx_models import QONNX_DOMAIN, QonnxBuilder

DOORS: dict[str, Callable[..., object]] = {"load": load_qonnx, "import": import_qonnx}
SAMPLES = 64


class Builder(QonnxBuilder):
    """Also writes what others write."""

    def array(self, name: str, value: object, kind: type = np.float32) -> str:
        self.initializers[name] = np.asarray(value, dtype=kind)
        return name

    def qcdq(
        self, x: str, scale: float, kind: type = np.int8, zero: int = 0, clip: object = None
    ) -> str:
        names = [self.array(f"{x}_s", scale), self.array(f"{x}_z", zero, kind)]
        y = self.node("QuantizeLinear", [x, *names], f"{x}_codes")
        if clip is not None:
            bounds = [self.array(f"{x}_b{i}", bound, kind) for i, bound in enumerate(clip)]
            y = self.node("Clip", [y, *bounds], f"{x}_clipped")
        return self.node("DequantizeLinear", [y, *names], f"{x}_dq")

    def codes(self, name: str, codes: object, scale: object, kind: type, axis: int = 0) -> str:
        zero = np.zeros(np.shape(scale), kind)
        names = [self.array(name, codes, kind), self.array(f"{name}_s", scale)]
        names.append(self.array(f"{name}_z", zero, kind))
        return self.node("DequantizeLinear", names, f"{name}_dq", axis=axis)

    def other(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        node = helper.make_node(op, inputs, [output], name=f"{output}_node", **attributes)
        node.domain = QONNX_DOMAIN
        self.nodes.append(node)
        return output

    def image_weight(self, kernel: int = 3, outputs: int = 4) -> np.ndarray:
        return self.rng.integers(-128, 128, (outputs, self.shape[1], kernel, kernel))


def qcdq_network() -> onnx.ModelProto:
    """Brevitas' and onnxruntime's form: integer weights per channel, int32 bias, 4-bit Clip."""
    b = Builder((3, 6, 6))
    x = b.qcdq("x", 2.0**-5)
    scales = 2.0 ** -np.array([7, 6, 8, 7])
    w = b.codes("w", b.image_weight(), scales, np.int8)
    bias = b.codes("b", b.rng.integers(-4000, 4000, 4), scales * 2.0**-5, np.int32)
    x = b.node("Relu", [b.node("Conv", [x, w, bias], "acc")], "r")
    x = b.qcdq(x, 2.0**-2, np.uint8, clip=(0, 15))
    return b.model(b.node("Identity", [x], "y"), (4, 4, 4))


def float_weights() -> onnx.ModelProto:
    """Weights that the file quantizes, with the Clip of a narrow range."""
    b = Builder((3, 6, 6))
    x = b.qcdq("x", 2.0**-4, np.uint8, 128)
    b.array("w", b.rng.normal(size=(4, 3, 3, 3)))
    w = b.qcdq("w", 2.0**-3, clip=(-7, 7))
    return b.model(b.qcdq(b.node("Conv", [x, w], "acc"), 0.25, np.int8), (4, 4, 4))


def zero_points() -> onnx.ModelProto:
    """A range that no word has: a cast and its bounds."""
    b = Builder((5,))
    return b.model(b.qcdq("x", 0.25, np.uint8, 100), (5,))


def arithmetic() -> onnx.ModelProto:
    """`2x - 1` behind the cast, divisions, float biases, and a batch norm of short numbers."""
    b = Builder((3, 4, 4))
    x = b.quant("x", "x_q", 8, 7)
    x = b.node("Mul", [x, b.array("two", 2)], "twice")
    x = b.node("Sub", [x, b.array("one", 1)], "minus")
    x = b.node("Div", [x, b.array("half", 0.5)], "div")
    w = b.codes("w", b.image_weight(1), 2.0**-7, np.int8)
    x = b.node("Conv", [x, w, b.array("bias", [0.5, -0.25, 0, 3])], "acc")
    norm = ((2, 1, 0.5, -4), (0.25, 0, 1, -2), (1, 2, -0.5, 0), (4, 1, 0.25, 16))
    names = [b.array(f"bn{i}", values) for i, values in enumerate(norm)]
    x = b.node("BatchNormalization", [x, *names], "bn", epsilon=0.0)
    return b.model(b.quant(x, "y", 8, 2), (4, 4, 4))


def computed_numbers() -> onnx.ModelProto:
    """Bit width, scale and weight that the file computes; initializers that are inputs too."""
    b = Builder((4,))
    eight = b.node("Add", [b.array("n0", 5.3), b.array("n1", 2.4)], "width_0")
    width = b.node("Round", [eight], "width")
    scale = b.node("Pow", [b.array("base", 2), b.array("exponent", -4)], "scale")
    x = b.other("Quant", ["x", scale, b.array("z", 0), width], "x_q", signed=1, narrow=0)
    b.nodes.append(helper.make_node("Constant", [], ["three"], value_float=3.0))
    w = b.node("Transpose", [b.array("w", b.rng.integers(-8, 8, (3, 4)))], "wt", perm=[1, 0])
    w = b.other("Quant", [w, b.array("ws", 1), "z", b.array("wb", 4)], "wq", signed=1, narrow=0)
    x = b.node("Add", [b.node("MatMul", [x, w], "acc"), "three"], "y0")
    model = b.model(b.node("Relu", [x], "y"), (3,))
    for name in ("w", "n0"):
        shape = list(b.initializers[name].shape)
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return model


def truncated(version: int) -> onnx.ModelProto:
    b = Builder((4,))
    x = b.quant("x", "x_q", 8, 4)
    numbers = (2.0**-4, 0, 8, *([2.0**-1] if version == 2 else []), 5)
    names = [b.array(f"t{i}", number) for i, number in enumerate(numbers)]
    extra = {"signed": 1, "narrow": 0} if version == 2 else {}
    model = b.model(b.other("Trunc", [x, *names], "y", rounding_mode="FLOOR", **extra), (4,))
    next(o for o in model.opset_import if o.domain == QONNX_DOMAIN).version = version
    return model


def thresholds(
    steps: object, shape: tuple[int, ...] = (3, 4, 4), **more: object
) -> onnx.ModelProto:
    b = Builder(shape)
    x = b.quant("x", "x_q", 8, 4)
    t = b.array("t", steps)
    return b.model(b.other("MultiThreshold", [x, t], "y", out_dtype="UINT4", **more), shape)


EVEN = np.arange(15) * 0.5 - 0.25
UNEVEN = np.array([[-1.5, -1, 0.0625, 3], [0, 0, 1, 2], [-7, 1.25, 1.5, 2]])
EXACT: dict[str, Callable[[], onnx.ModelProto]] = {
    "QCDQ": qcdq_network,
    "QCDQ weights": float_weights,
    "zero point": zero_points,
    "arithmetic": arithmetic,
    "computed": computed_numbers,
    "Trunc 1": lambda: truncated(1),
    "Trunc 2": lambda: truncated(2),
    "even thresholds": lambda: thresholds([EVEN], out_scale=0.5, out_bias=-1.0),
    "thresholds by channel": lambda: thresholds(EVEN + [[0], [1], [-2]]),
    "five thresholds": lambda: thresholds([EVEN[:5]], (4,), data_layout="NC"),
    "uneven thresholds": lambda: thresholds(UNEVEN, out_scale=0.25),
    "channels last": lambda: thresholds(UNEVEN, (4, 4, 3), data_layout="NHWC"),
}


def inputs(model: onnx.ModelProto) -> np.ndarray:
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    rng = np.random.default_rng(0)
    return (rng.integers(-400, 400, (SAMPLES, *sizes)) / 64).astype(np.float32)


def run_as_written(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """onnxruntime on each node by itself, qonnx on its own; one sample at a time where it must."""
    if all(node.domain == "" for node in model.graph.node):
        options = onnxruntime.SessionOptions()
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        return np.concatenate([session.run(None, {"x": row[None]})[0] for row in x])
    wrapper = ModelWrapper(model).transform(InferShapes())
    name = model.graph.output[0].name
    return np.concatenate([execute_onnx(wrapper, {"x": row[None]})[name] for row in x[:8]])


@pytest.mark.parametrize("name", EXACT)
def test_both_importers_compute_what_the_file_computes(name: str) -> None:
    model = EXACT[name]()
    x = inputs(model)
    wanted = run_as_written(model, x)
    graph, twin = load_qonnx(model), import_qonnx(model)
    found = interpret(graph, {"x": x})[graph.outputs[0]].values
    np.testing.assert_array_equal(found[: len(wanted)], wanted)
    np.testing.assert_array_equal(twin(torch.tensor(x)).detach().numpy(), found)


def norm_network(scale: float = 2.0**-4, extra: str = "") -> onnx.ModelProto:
    """Numbers that have no exact form: a scale, a batch norm, a factor, a bias; maybe more."""
    b = Builder((3, 4, 4))
    x = b.quant("x", "x_q", 8, 4)
    x = b.qcdq(b.node("Mul", [x, b.array("third", 1 / 3)], "m"), scale)
    x = b.node("Conv", [x, b.codes("w", b.image_weight(1), 0.01, np.int8), b.array("c", [0.1] * 4)],
               "acc")  # fmt: skip
    for index in range(3):
        names = [b.array(f"bn{index}{i}", b.rng.uniform(0.5, 2, 4)) for i in range(4)]
        x = b.node("BatchNormalization", [x, *names], f"norm{index}")
        x = b.quant(x, f"q{index}", 8, 4)
    if extra:
        x = b.quant(b.node(extra, [x], "odd"), "last", 8, 4)
    return b.model(x, (4, 4, 4))


@pytest.mark.parametrize("door", DOORS)
def test_every_obstacle_at_once_one_line_a_kind(door: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        DOORS[door](norm_network(0.1, "Erf"))
    head, *lines = str(caught.value).splitlines()
    assert re.fullmatch(r"qfx_test: \d+ nodes of \d+ kinds are no exact fixed point:", head)
    text = "\n".join(lines)
    for part in (
        "Mul 'm_node': its factor must be numbers of at most 16 bits on one binary point, or go "
        "through a Quant node; snap_scales=True casts to 12 bits, and changes numbers",
        ": scale must be a power of two, not 0.",
        "Conv 'acc_node': its bias must be numbers",
        "BatchNormalization 'norm0_node': its batch-norm factor must be numbers",
        "; so are BatchNormalization 'norm1_node', BatchNormalization 'norm2_node'",
        "Erf 'odd_node': this operation is not supported",
    ):
        assert part in text, part
    assert text.count("batch-norm factor") == text.count("scale must be") == 1


@pytest.mark.parametrize("door", DOORS)
def test_what_is_behind_a_lost_tensor_is_not_blamed(door: str) -> None:
    b = Builder((3, 4, 4))
    x = b.node("Erf", [b.quant("x", "x_q", 8, 4)], "odd")
    names = [b.array(f"bn{i}", np.ones(3)) for i in range(4)]
    x = b.qcdq(b.node("BatchNormalization", [x, *names], "bn", epsilon=0.0), 0.25)
    x = b.node("Celu", [b.node("Relu", [x], "r")], "odd_too")
    with pytest.raises(UnsupportedModelError) as caught:
        DOORS[door](b.model(b.quant(x, "y", 8, 4), (3, 4, 4)))
    kinds = [line.split(":")[0] for line in str(caught.value).splitlines()[1:]]
    assert kinds == ["  Erf 'odd_node'", "  Celu 'odd_too_node'"]


def test_a_table_behind_a_refused_number_is_not_blamed_for_its_guessed_type() -> None:
    for between, lines in (("Relu", 1), ("Quant", 3)):
        b = Builder((4,))
        x = b.node("Div", [b.quant("x", "x_q", 4, 2), b.array("three", 3)], "third")
        x = b.quant(x, "cast", 4, 3) if between == "Quant" else b.node(between, [x], "r")
        codes = b.node("Cast", [b.node("Div", [x, b.array("lsb", 0.25)], "code")], "whole", to=7)
        place = b.node("Sub", [codes, b.array("low", -8, np.int64)], "place")
        found = b.node("Gather", [b.array("table", range(16)), place], "found")
        with pytest.raises(UnsupportedModelError, match="Div 'third_node': its divisor") as caught:
            load_qonnx(b.model(b.quant(found, "y", 8, 0), (4,)))
        assert len(str(caught.value).splitlines()) == lines
        assert ("Lookup 'found_node': its table has" in str(caught.value)) == (lines > 1)


def test_a_lone_obstacle_is_one_line() -> None:
    b = Builder((4,))
    x = b.node("Mul", [b.quant("x", "x_q", 8, 4), b.array("third", 1 / 3)], "m")
    for door in DOORS.values():
        with pytest.raises(
            UnsupportedModelError, match="^Mul 'm_node': its factor must be"
        ) as caught:
            door(b.model(x, (4,)))
        assert "\n" not in str(caught.value)


def test_snapping_says_how_much_is_left_of_each_constant() -> None:
    model, x = norm_network(), inputs(norm_network())
    with pytest.warns(QfxWarning) as seen:
        twin = import_qonnx(model, snap_scales=True)
    scales, constants = (str(one.message) for one in seen)
    assert scales.startswith("import_qonnx: snap_scales changed 1 scale(s), so the network")
    assert constants.startswith("import_qonnx: snap_scales cast 8 float constant(s), so the")
    assert " dB (values changed by up to " in constants
    report = twin.meta["qfx_import"]
    assert len(report.cast) == 8
    assert all(constant.sqnr > 60 for constant in report.cast)
    assert 0 < report.snapped[0].sqnr < 40
    with pytest.warns(QfxWarning) as seen:
        graph = load_qonnx(model, snap_scales=True)
    assert {str(one.message).split(",")[0] for one in seen} == {
        "load_qonnx: snap_scales changed 1 scale(s)",
        "load_qonnx: snap_scales cast 8 float constant(s)",
    }
    found = interpret(graph, {"x": x})[graph.outputs[0]].values
    np.testing.assert_array_equal(twin(torch.tensor(x)).detach().numpy(), found)


REFUSED: dict[str, tuple[Callable[[Builder], str], str]] = {
    "codes computed with": (
        lambda b: b.node("Relu", [b.node("QuantizeLinear", ["x", b.array("s", 1)], "c")], "y"),
        "Relu 'y_node': computes with the codes of a QuantizeLinear; DequantizeLinear must come "
        "first",
    ),
    "codes at the end": (
        lambda b: b.node("QuantizeLinear", ["x", b.array("s", 1)], "y"),
        "QuantizeLinear 'y_node': codes are no output of a network; DequantizeLinear must come "
        "behind",
    ),
    "another scale": (
        lambda b: b.node("DequantizeLinear", [
            b.node("QuantizeLinear", ["x", b.array("s", 1)], "c"), b.array("t", 2)], "y"),
        "DequantizeLinear 'y_node': must have the scale and the zero point of its QuantizeLinear",
    ),
    "threshold": (
        lambda b: b.other("MultiThreshold", [b.quant("x", "q", 8, 2), b.array("t", [[np.inf]])],
                          "y"),
        "MultiThreshold 'y_node': its thresholds must be finite, (channels, steps) with at most "
        "255 steps, not of shape [1, 1]",
    ),
    "a constant": (
        lambda b: b.node("Add", [b.quant("x", "q", 8, 2), b.node("Reshape", [
            b.array("c", [1, 2]), b.array("shape", [5], np.int64)], "bad")], "y"),
        "Reshape 'bad_node': its constants cannot be computed: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, door: str) -> None:
    build, text = REFUSED[name]
    b = Builder((4,))
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}"):
        DOORS[door](b.model(build(b), (4,)))


@pytest.mark.parametrize("door", DOORS)
def test_files_of_others_that_are_wrong_in_a_few_places(door: str) -> None:
    files = [make() for make in EXACT.values()] + [norm_network()]
    read = 0
    for index in range(200):
        model = mutated(files[index % len(files)], np.random.default_rng([3, index]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", QfxWarning)
            try:
                DOORS[door](model, snap_scales=index % 2 == 0)
                read += 1
            except QfxError as error:
                assert all(0 < len(line) < 1000 for line in str(error).splitlines())
    assert read > 5


@pytest.mark.parametrize(("op", "size"), [("Add", 1 << 13), ("Concat", 1 << 22)])
def test_constants_cannot_ask_for_much(op: str, size: int) -> None:
    b = Builder((4,))
    x, attributes = b.array("c", np.ones(size)), {"axis": 0} if op == "Concat" else {}
    other = b.node("Reshape", [x, b.array("shape", [-1, 1], np.int64)], "column")
    for index in range(40):
        x = b.node(op, [x, other if op == "Add" and index == 1 else x], f"c{index}", **attributes)
        other = b.node("Reshape", [x, "shape"], f"column{index}")
    b.node("Add", [b.quant("x", "q", 8, 2), x], "y")
    for door in DOORS.values():
        with pytest.raises(UnsupportedModelError, match="exceeds? .* elements"):
            door(b.model("y", (4,)))
