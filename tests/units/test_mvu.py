"""Folded units in simulation against the interpreter: every code, idle cycles, back-pressure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qfx_plugin.errors import OptionError, TargetError
from qfx_plugin.ir import Conv, FixedType, Graph, Linear, Quantize, RealType, Weight
from qfx_plugin.units.mvu import fold, matrix_product
from tests.units.layers import conv_graph, expected, graph, linear_graph, product_of, simulate


def check(network, unit, x, folder, **pauses):
    codes, wanted = expected(network, x)
    got, result = simulate(unit, codes, folder, **pauses)
    assert np.array_equal(got, wanted)
    return result


@pytest.mark.parametrize(
    ("datapath", "k", "signed", "pe", "simd"),
    [
        ("khot", 1, False, 2, 8),
        pytest.param("khot", 1, True, 1, 1, marks=pytest.mark.slow),
        ("khot", 2, True, 4, 4),
        ("khot", 3, False, 1, 16),
        ("radix4", None, False, 8, 2),
        pytest.param("radix4", 2, True, 2, 16, marks=pytest.mark.slow),
        ("mul", None, True, 2, 8),
        pytest.param("mul", 1, False, 8, 16, marks=pytest.mark.slow),
    ],
)
def test_equal_to_the_interpreter(tmp_path, rng, datapath, k, signed, pe, simd):
    network = linear_graph(rng, 8, 16, signed=signed, k=k)
    unit = fold(product_of(network), pe, simd, datapath=datapath)
    x = 8 * rng.normal(size=(40, 16))
    check(network, unit, x, tmp_path, idle=0.3, backpressure=0.3)


@pytest.mark.parametrize(
    ("bias", "per_row", "per_input", "k", "datapath"),
    [
        pytest.param(None, True, False, 2, "khot", marks=pytest.mark.slow),
        ("fine", True, True, 1, "khot"),
        ("fine", True, True, None, "radix4"),
        pytest.param("coarse", True, True, 2, "mul", marks=pytest.mark.slow),
    ],
)
def test_binary_points_per_channel(tmp_path, rng, bias, per_row, per_input, k, datapath):
    network = linear_graph(
        rng, 6, 8, signed=True, k=k, bias=bias, per_row=per_row, per_input=per_input, width=6
    )
    unit = fold(product_of(network), 3, 4, datapath=datapath)
    check(network, unit, 8 * rng.normal(size=(40, 8)), tmp_path)


@pytest.mark.parametrize("k", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_convolution_over_its_windows(tmp_path, rng, k):
    network = conv_graph(rng, k)
    op = network.ops[-1]
    unit = fold(product_of(network), 2, 9)
    x = 3 * rng.normal(size=(6, 3, 5, 4))
    codes, wanted = expected(network, x)
    windows = np.stack(list(op.window.slices(codes, fill=0)), axis=-1)  # n, c, h, w, window
    columns = windows.transpose(0, 2, 3, 4, 1).reshape(-1, 27)
    got, _ = simulate(unit, columns, tmp_path, backpressure=0.2)
    assert np.array_equal(got.reshape(6, 5, 4, 4), np.moveaxis(wanted, 1, -1))


@pytest.mark.parametrize("datapath", ["khot", pytest.param("mul", marks=pytest.mark.slow)])
def test_no_cycle_is_lost(tmp_path, rng, datapath):
    network = linear_graph(rng, 4, 8, k=1)
    unit = fold(product_of(network), 2, 2, datapath=datapath)
    assert unit.cycles == 8
    result = check(network, unit, rng.normal(size=(50, 8)), tmp_path)
    assert 50 * unit.cycles <= result.cycles <= 50 * unit.cycles + 8


def test_extremes_do_not_overflow(tmp_path, rng):
    network = linear_graph(rng, 4, 8, signed=True, k=2)
    unit = fold(product_of(network), 4, 8)
    x = rng.choice([-1e6, 1e6], size=(64, 8))
    check(network, unit, x, tmp_path)


def test_sums_narrower_than_a_digit(tmp_path, rng):
    """Weights off the end of their format: the highest digit's term is wider than the sum."""
    network = linear_graph(rng, 2, 1, input_bits=7, signed=True, width=9, bias=None)
    layer = network.ops[-1]
    codes = Weight(np.array([[255], [-255]]), layer.weight.frac_bits, 9, name="w")
    network = graph(*network.ops[:-1], replace(layer, weight=codes))
    unit = fold(product_of(network), 1, 1, datapath="radix4")
    assert unit.product.result_bits == 15
    check(network, unit, np.arange(-64, 64).reshape(-1, 1) / 16, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("datapath", ["khot", "radix4", "mul"])
def test_nothing_but_zeros(tmp_path, rng, datapath):
    network = linear_graph(rng, 2, 4, k=1)
    layer = network.ops[-1]
    zeros = Weight(np.zeros((2, 4)), layer.weight.frac_bits, 8, k=1, name="w")
    network = graph(*network.ops[:-1], replace(layer, weight=zeros))
    unit = fold(product_of(network), 1, 2, datapath=datapath)
    check(network, unit, rng.normal(size=(10, 4)), tmp_path)


def test_an_input_that_is_always_zero_takes_no_width(rng):
    network = linear_graph(rng, 2, 3, k=1)
    silent = Quantize("q", ("x",), "q", 8, (4, 12, 4), signed=False)
    operand = silent.result(RealType((3,)))
    quiet = FixedType((3,), operand.frac_bits, operand.low, operand.high * np.array([1, 0, 1]))

    class Narrowed(Graph):
        def types(self):
            found = super().types()
            return found | {"q": quiet, "y": network.ops[-1].result(quiet)}

    narrowed = Narrowed((*network.ops[:1], silent, network.ops[-1]), ("y",))
    product = matrix_product(narrowed.ops[-1], narrowed)
    assert (product.weight[:, 1] == 0).all()
    assert (product.weight[:, 0] != 0).any()


@pytest.mark.slow
def test_many_random_units(tmp_path, rng):
    for number in range(24):
        k = [None, 1, 2, 3][number % 4]
        rows, columns = rng.choice([1, 2, 3, 6, 10], 2)
        network = linear_graph(
            rng,
            rows,
            columns,
            input_bits=int(rng.integers(1, 10)) + (number % 2),
            signed=bool(number % 2),
            width=int(rng.integers(2, 10)),
            k=k,
            per_row=bool(rng.integers(2)),
            per_input=bool(rng.integers(2)),
            bias=[None, "coarse", "fine"][rng.integers(3)],
        )
        pe, simd = (
            int(rng.choice([n for n in range(1, 11) if s % n == 0])) for s in (rows, columns)
        )
        kinds = ["radix4", "mul", "auto", "khot"]
        unit = fold(product_of(network), pe, simd, datapath=kinds[number % (3 if k is None else 4)])
        x = 16 * rng.normal(size=(30, columns))
        check(network, unit, x, tmp_path / str(number), idle=0.2, backpressure=0.4, seed=number)


def test_folding_must_divide(rng):
    network = linear_graph(rng, 10, 8)
    with pytest.raises(
        TargetError, match=r"^Linear 'fc': pe must divide its 10 rows \(1, 2, 5, 10\), not be 3$"
    ):
        fold(product_of(network), 3, 8)
    with pytest.raises(TargetError, match=r"simd must divide its 8 columns \(1, 2, 4, 8\), not"):
        fold(product_of(network), 5, 16)


def test_other_refusals(rng):
    network = linear_graph(rng, 4, 4)
    with pytest.raises(TargetError, match=r"^Linear 'fc': datapath 'khot' needs K-hot weights"):
        fold(product_of(network), datapath="khot")
    with pytest.raises(OptionError, match=r"^datapath must be one of auto, khot, radix4, mul, not"):
        fold(product_of(network), datapath="dsp")
    with pytest.raises(OptionError, match=r"^rom_style must be one of auto, block, distributed"):
        fold(product_of(network), rom_style="bram")


def test_names_are_made_legal(rng):
    product = product_of(linear_graph(rng, 4, 4))
    assert fold(product, name="wire").name != "wire"
    assert fold(product, name="qfx_mvu").name != "qfx_mvu"
    assert fold(product, name="fc1/MatMul:0").name == "fc1_MatMul_0"


def test_grouped_convolutions_are_refused(rng):
    network = conv_graph(rng, None)
    conv = network.ops[-1]
    assert isinstance(conv, Conv) and not isinstance(conv, Linear)
    grouped = type(conv)(
        conv.name, conv.inputs, conv.output, conv.weight, conv.bias, conv.window, groups=3
    )
    with pytest.raises(TargetError, match=r"^Conv 'conv': groups must be 1 for a folded unit"):
        matrix_product(grouped, network)


def test_a_hostile_layer_name_stays_in_its_comment(tmp_path, rng):
    product = product_of(linear_graph(rng, 2, 4))
    hostile = replace(product, label="fc\nendmodule\nmodule trojan(); //")
    fold(hostile, 1, 2, name="unit").write(tmp_path)
    text = (tmp_path / "unit.sv").read_text()
    assert text.startswith("// fc?endmodule?module trojan(); //: 2 x 4, ")
    assert sum(line.startswith("module ") for line in text.splitlines()) == 1
