"""Random layers of the intermediate model, and their folded units in simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brevitas_quantizers.fixed_point import project_khot
from qfx_plugin.ir import Conv, Graph, Input, Linear, Op, Quantize, Weight, Window, interpret
from qfx_plugin.simulation import Beats, Expect, Lanes, StreamResult, compile_module
from qfx_plugin.units.mvu import Mvu, matrix_product


def random_weight(
    rng: np.random.Generator, shape: tuple[int, ...], width: int, k: int | None, per_row: bool
) -> Weight:
    """Codes over the whole range of the format, K-hot if wanted."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    codes = rng.integers(low, high + 1, size=shape)
    if k is not None:
        codes = project_khot(codes * 1.0, width, True, k)
    points = rng.integers(0, 4, size=shape[0]) if per_row else np.array([2])
    return Weight(codes, points, width, k=k, name="w")


def random_bias(rng: np.random.Generator, rows: int, fine: bool) -> Weight:
    """Coarser than the products, or finer, which shifts the weights."""
    points = rng.integers(8, 11, size=rows) if fine else np.array([3])
    return Weight(rng.integers(-128, 128, size=rows), points, 8, name="b")


def linear_graph(
    rng: np.random.Generator,
    rows: int,
    columns: int,
    *,
    input_bits: int = 8,
    signed: bool = False,
    width: int = 8,
    k: int | None = None,
    per_row: bool = False,
    per_input: bool = False,
    bias: str | None = "coarse",
) -> Graph:
    """Input, Quantize and Linear."""
    points = tuple(map(int, rng.integers(2, 5, size=columns))) if per_input else 4
    weight = random_weight(rng, (rows, columns), width, k, per_row)
    added = None if bias is None else random_bias(rng, rows, bias == "fine")
    return graph(
        Input("x", (), "x", (columns,)),
        Quantize("q", ("x",), "q", input_bits, points, signed),
        Linear("fc", ("q",), "y", weight, added),
    )


def conv_graph(rng: np.random.Generator, k: int | None, kernel: int = 3) -> Graph:
    """Input, Quantize and a padded convolution of 3 channels into 4."""
    window = Window((kernel, kernel), (1, 1), ((kernel // 2, kernel // 2),) * 2, (1, 1))
    weight = random_weight(rng, (4, 3, kernel, kernel), 6, k, per_row=True)
    return graph(
        Input("x", (), "x", (3, 5, 4)),
        Quantize("q", ("x",), "q", 6, (3, 4, 2), signed=True),
        Conv("conv", ("q",), "y", weight, random_bias(rng, 4, fine=False), window),
    )


def graph(*ops: Op) -> Graph:
    """A verified graph whose output is the last tensor."""
    return Graph(ops, (ops[-1].output,), "unit").verify()


def product_of(network: Graph):
    """The matrix product of the network's last layer."""
    return matrix_product(network.ops[-1], network)


def expected(network: Graph, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Input codes and result codes of the last layer, by the interpreter."""
    tensors = interpret(network, x, keep=["q", "y"])
    return tensors["q"].codes, tensors["y"].codes


def simulate(
    unit: Mvu, x: np.ndarray, folder: Path, idle: float = 0.0, backpressure: float = 0.0, seed=0
) -> tuple[np.ndarray, StreamResult]:
    """(samples, rows) results of a unit for (samples, columns) codes."""
    sources = unit.write(folder)
    product = unit.product
    words = unit.input_words(x)
    rows = product.shape[0]
    lanes_in = Lanes.uniform(unit.simd, product.input_bits, product.input_signed)
    lanes_out = Lanes.uniform(unit.pe, product.result_bits)
    memories = sorted(folder.glob("*.mem"))
    result = compile_module(sources, unit.name, memories=memories).stream(
        {"s_axis": Beats(words, lanes_in)},
        {"m_axis": Expect(len(x) * rows // unit.pe, lanes_out)},
        idle=idle,
        backpressure=backpressure,
        seed=seed,
    )
    return unit.output_rows(result.outputs["m_axis"]), result
