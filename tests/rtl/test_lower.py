"""Each operation of the intermediate model as gates, and what is proven about its wires."""

from __future__ import annotations

import math

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.errors import OptionError, TargetError
from qfx_plugin.ir import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    FixedType,
    Graph,
    Identity,
    Input,
    Linear,
    MaxPool,
    Multiply,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    SumPool,
    Transpose,
    Upsample,
    Window,
    interpret,
)
from qfx_plugin.rtl.graph.alkaid_adapter import sources
from qfx_plugin.rtl.graph.kernel import GraphOptions, Kernel, build_kernel
from qfx_plugin.rtl.graph.lower import lower
from qfx_plugin.rtl.ports import entry_codes, hardware_ops, hardware_ports
from qfx_plugin.rtl.project import RtlOptions, build_network
from tests.ir.graphs import graph, source, weight


def emulated(network: Graph, x: np.ndarray, **options: object) -> Kernel:
    """Compare the adder graph, run in software, with the interpreter; return it."""
    inputs, outputs = hardware_ports(network)
    kernel = build_kernel(
        hardware_ops(network), network.types(), inputs, outputs, "net", GraphOptions(**options)
    )
    got = kernel.emulate(entry_codes(network, x))
    for name, want in interpret(network, x).items():
        np.testing.assert_array_equal(got[name], want.codes)
    return kernel


def image(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-9, 9, size=(40, 2, 5, 4))


CONV = weight(np.arange(-9, 27).reshape(2, 2, 3, 3), [3, 1], width=8)
PADDED = Window((3, 3), (2, 1), ((1, 1), (0, 2)), (1, 1))
IMAGE_OPS = {
    "conv": Conv("n", ("q",), "y", CONV, weight([100, -7], [5, 0]), PADDED),
    "depthwise": Conv(
        "n", ("q",), "y", weight(np.arange(-4, 4).reshape(2, 1, 2, 2), 2), None,
        Window((2, 2), (1, 1), ((0, 0), (0, 0)), (2, 1)), groups=2,
    ),
    "max": MaxPool("n", ("q",), "y", Window((2, 2), (2, 2), ((1, 1), (0, 0)), (1, 1))),
    "sum": SumPool("n", ("q",), "y", Window((3, 2), (1, 2), ((1, 0), (0, 0)), (1, 1))),
    "average": AveragePool("n", ("q",), "y", Window.plain(2, 2, stride=2)),
    "prelu": PRelu("n", ("q",), "y", weight([3, -5], [4, 1])),
    "prelu of a power of two": PRelu("n", ("q",), "y", weight([1], 2)),
    "relu": Relu("n", ("q",), "y"),
    "clip": Clip("n", ("q",), "y", -5, 11, 2),
    "clip below": Clip("n", ("q",), "y", -1, None, 9),
    "identity": Identity("n", ("q",), "y"),
    "reshape": Reshape("n", ("q",), "y", (40,)),
    "transpose": Transpose("n", ("q",), "y", (2, 0, 1)),
    "transpose of pixels": Transpose("n", ("q",), "y", (0, 2, 1)),
    "upsample": Upsample("n", ("q",), "y", (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("frac_bits", [4, (5, 2)], ids=["uniform", "per channel"])
@pytest.mark.parametrize("name", IMAGE_OPS)
def test_an_operation_on_an_image(name, frac_bits, rng):
    emulated(graph(*source((2, 5, 4), 8, frac_bits), IMAGE_OPS[name]), image(rng))


@pytest.mark.parametrize("high", [0, -3, 40])
def test_prelu_of_numbers_that_are_never_positive_or_may_be(high):
    network = graph(
        *source((2,), 7, 3),
        Clip("c", ("q",), "c", None, high, 3),
        PRelu("p", ("c",), "y", weight([3, -5], [2, 0])),
    )
    emulated(network, np.arange(-64, 64).repeat(2).reshape(-1, 2) / 8)


@pytest.mark.parametrize("factor", [1, -1, -4])
@pytest.mark.parametrize("kind", ["prelu", "relu", "clip", "saturate"])
def test_what_looks_at_the_sign_of_a_negated_word(kind, factor):
    """A word that has lost its highest bit, times a weight: the sign is that of the product."""
    after = {
        "prelu": PRelu("p", ("s",), "y", weight([1], [4])),
        "relu": Relu("p", ("s",), "y"),
        "clip": Clip("p", ("s",), "y", -1, 2, 0),
        "saturate": Quantize("p", ("s",), "y", 3, 1),
    }
    network = graph(
        *source((1,), 9, 4),
        Quantize("c", ("q",), "c", 8, 4, True, RoundingMode.AP_TRN, OverflowMode.AP_WRAP),
        Linear("fc", ("c",), "s", weight([[factor]], 2), None),
        after[kind],
    )
    emulated(network, np.arange(-256, 256)[:, np.newaxis] / 16)


def test_a_wire_that_is_finer_than_the_proof_is_found():
    """Only a wrong proof can be so; then the bits below must not be lost silently."""
    network = graph(*source((1,), 6, 3), Identity("n", ("q",), "y"))
    (op,) = hardware_ops(network)
    kind = network.fixed_type("q")
    coarse = FixedType(kind.shape, kind.frac_bits - 1, kind.low, kind.high)
    x = sources(np.array([-4.0]), np.array([3.875]), np.array([0.125]), 2)
    with pytest.raises(TargetError, match=r"Identity 'n': a wire has an LSB of 0.125, the proof"):
        lower(op, [x], coarse, 2)


@pytest.mark.parametrize("overflow", list(OverflowMode))
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("width", [4, 1])
def test_what_becomes_constant_by_rounding_still_overflows(overflow, signed, width):
    """A narrow range far outside of the format: one code is left, and it wraps."""
    network = graph(
        *source((2,), 3, 10),
        Constant("k", (), "k", weight([1000, -973], 10, width=12)),
        Add("sum", ("q", "k"), "s"),
        Quantize("c", ("s",), "y", width, 5, signed, RoundingMode.AP_TRN, overflow),
    )
    emulated(network, np.arange(-4, 4).repeat(2).reshape(-1, 2) / 1024)


@pytest.mark.parametrize("factor", [1, 2, 8, -4])
@pytest.mark.parametrize("rounding", ["AP_TRN", "AP_TRN_ZERO", "AP_RND_CONV"])
def test_single_bits_of_a_shifted_number(factor, rounding):
    """AP_WRAP_SM asks for the bit above the format, here below the sign or above it."""
    for frac_bits in (1, 2, 3):
        modes = True, RoundingMode(rounding), OverflowMode.AP_WRAP_SM
        network = graph(
            *source((1,), 9, 4),
            Linear("fc", ("q",), "s", weight([[factor]], 0), weight([5], 4)),
            Quantize("c", ("s",), "y", 4, frac_bits - int(np.log2(abs(factor))), *modes),
        )
        emulated(network, np.arange(-256, 256)[:, np.newaxis] / 16)


@pytest.mark.parametrize("kind", [Add, Multiply])
def test_two_tensors_with_different_binary_points(kind, rng):
    network = graph(
        Input("x", (), "x", (3,)),
        Quantize("a", ("x",), "a", 7, (2, 4, 6)),
        Quantize("b", ("x",), "b", 5, 1, False),
        kind("n", ("a", "b"), "y"),
    )
    emulated(network, rng.uniform(-9, 9, size=(200, 3)))


def test_constants_and_concat(rng):
    network = graph(
        *source((3,), 6, 3),
        Constant("s", (), "s", weight([5, 0, -8], 2)),
        Multiply("m", ("q", "s"), "m"),
        Constant("o", (), "o", weight([1, -2, 300], [0, 4, 9])),
        Add("a", ("m", "o"), "a"),
        Concat("c", ("a", "q", "o"), "y"),
    )
    emulated(network, rng.uniform(-9, 9, size=(100, 3)))


def test_weights_wider_than_the_solver_takes(rng):
    big = (1 << 29) + 12345
    codes = [[big, -7, (1 << 28) + 1], [0, 0, 0], [-3, -big, 1 << 27]]
    bias = weight([5, 6, 1 << 30], width=32)
    layer = Linear("n", ("q",), "y", weight(codes, [0, 3, 7], width=32), bias)
    emulated(graph(*source((3,), 8, 0), layer), rng.uniform(-150, 150, size=(200, 3)))


def test_a_bias_wider_than_the_compiler_takes_is_refused():
    bias = weight([1 << 40], width=48)
    network = graph(*source((1,)), Linear("fc", ("q",), "y", weight([[1]]), bias))
    text = "Linear 'fc': its bias needs 41 bits; the adder-graph compiler adds 31"
    with pytest.raises(TargetError, match=text):
        build_network(network)


def test_constants_of_many_bits(rng):
    """The compiler looks at constants in float32; ours must be exact all the same."""
    bias = weight([(1 << 25) + 1, -(1 << 29) - 1, (1 << 30) - 1, 3], 9, width=32)
    layer = Linear("fc", ("q",), "y", weight(rng.integers(-9, 9, (4, 3)), 4, width=8), bias)
    emulated(graph(*source((3,), 6, 2), layer), rng.uniform(-9, 9, size=(60, 3)))


def test_two_constants_that_add_up_to_too_many_bits_are_refused():
    bias = weight([(1 << 28) + 1], width=30)
    network = graph(
        *source((1,), 6, 2),
        Linear("fc", ("q",), "y", weight([[1]], 0), bias),
        Constant("k", (), "k", weight([1], 20)),
        Add("sum", ("y", "k"), "s"),
    )
    text = "^Add 'sum': a constant that is added needs more than 31 bits: use binary points that"
    with pytest.raises(TargetError, match=text):
        build_network(network)


@pytest.mark.parametrize("bits", [24, 25, 26, 30, 40])
@pytest.mark.parametrize("rounding", list(RoundingMode))
def test_many_bits_are_rounded_away(bits, rounding, rng):
    """Ties, their neighbours and random codes."""
    cast = Quantize("c", ("q",), "y", 5, 2, True, rounding, OverflowMode.AP_SAT)
    network = graph(Input("x", (), "x", (1,)), Quantize("q", ("x",), "q", bits + 6, bits + 2), cast)
    ties = np.arange(-40, 41)[:, np.newaxis] / 8 + np.array([-1, 0, 1]) * 2.0 ** -(bits + 2)
    emulated(network, np.concatenate([ties.reshape(-1, 1), rng.uniform(-5, 5, size=(60, 1))]))


def test_a_square_of_late_operands(rng):
    """Their delays must not run backwards, or the compiler meets a product before its operands."""
    network = graph(
        *source((6,), 8, 4),
        Linear("fc", ("q",), "a", weight(rng.integers(-99, 99, (4, 6)), 6, width=8), None),
        Quantize("cast", ("a",), "c", 10, 10, True, RoundingMode.AP_TRN, OverflowMode.AP_WRAP),
        Multiply("square", ("c", "c"), "y"),
    )
    emulated(network, rng.uniform(-8, 8, size=(60, 6)))


def test_single_bits_that_are_negative(rng):
    """0 or -1: the solver has tables for single bits, which take them for 0 or 1."""
    network = graph(
        *source((8,), 1, 0),
        Linear("fc", ("q",), "y", weight(rng.integers(-9, 9, (3, 8)), 2, width=8), None),
    )
    emulated(network, rng.uniform(-2, 2, size=(60, 8)))


def test_ranges_of_a_layer_are_those_of_the_proof(rng):
    """On independent inputs both ends can be reached, so that the two must agree."""
    codes = rng.integers(-30, 30, size=(6, 9))
    network = graph(*source((9,), 7, 3), Linear("n", ("q",), "y", weight(codes, 2), None))
    inputs, _ = hardware_ports(network)
    (op,) = hardware_ops(network)
    kind, result = network.fixed_type("q"), network.fixed_type("y")
    low, high = (np.ldexp(float(end[0]), -3) * np.ones(9) for end in (kind.low, kind.high))
    x = sources(low, high, np.full(9, 2.0**-3), 2)
    for effort in (-1, 0, 2):
        symbols = lower(op, [x], result, effort)
        for symbol, smallest, largest in zip(symbols, result.low, result.high, strict=True):
            assert (symbol.low, symbol.high) == (smallest * 2.0**-5, largest * 2.0**-5)
            assert symbol.step >= 2.0**-5


@pytest.mark.parametrize("latency", [0, 1, 3])
def test_pipelines_have_the_latency_asked_for(latency, rng):
    layer = Linear("n", ("q",), "y", weight(rng.integers(-99, 99, size=(5, 8)), 3), None)
    network = graph(*source((8,), 6, 2), layer)
    kernel = emulated(network, rng.uniform(-9, 9, (50, 8)), latency=latency, adders_per_stage=None)
    assert kernel.latency == latency
    assert ("input  wire clk" in kernel.files["net.v"]) == bool(latency)


def test_shorter_chains_between_registers_mean_more_of_them(rng):
    layer = Linear("n", ("q",), "y", weight(rng.integers(-99, 99, size=(5, 8)), 3), None)
    network = graph(*source((8,), 6, 2), layer)
    x = rng.uniform(-9, 9, (50, 8))
    kernels = [emulated(network, x, adders_per_stage=most) for most in (1, 2, 100)]
    depth = kernels[0].depth
    want = [math.ceil(depth), math.ceil(kernels[1].depth / 2), 1]
    assert [kernel.latency for kernel in kernels] == want


def test_outputs_that_are_inputs_or_constant(rng):
    network = Graph(
        (
            *source((2,), 4, 1),
            Linear("z", ("q",), "z", weight([[0, 0]]), weight([-3])),
            Identity("i", ("q",), "i"),
        ),
        ("z", "i", "q"),
        "odd",
    ).verify()
    x = rng.uniform(-9, 9, (50, 2))
    emulated(network, x)
    assert build_network(network).check(x) == 250


def test_options_are_checked():
    with pytest.raises(OptionError, match="exactly one of latency and adders_per_stage must be"):
        GraphOptions(latency=2)
    with pytest.raises(OptionError, match="latency must be 0 to 1000 cycles, not -1"):
        GraphOptions(latency=-1, adders_per_stage=None)
    with pytest.raises(OptionError, match="adders_per_stage must be at least 1, not 0.5"):
        GraphOptions(adders_per_stage=0.5)
    with pytest.raises(OptionError, match="effort must be -1 to 100, not -2"):
        GraphOptions(effort=-2)
    with pytest.raises(OptionError, match="style must be one of auto, unrolled, streaming, re"):
        RtlOptions(style="folded")
    with pytest.raises(OptionError, match="fold needs style 'streaming'"):
        RtlOptions(style="unrolled", fold={"fc": (1, 1)})


def test_a_network_without_quantized_input_is_refused():
    network = Graph((Constant("c", (), "c", weight([1])),), ("c",), "none").verify()
    with pytest.raises(TargetError, match="'none': no output depends on a quantized input"):
        build_network(network)
