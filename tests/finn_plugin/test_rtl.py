"""Our units in SystemVerilog, and whole networks unit by unit, in Verilator."""

from __future__ import annotations

from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from qfx_plugin.finn_plugin import adapter, convert
from qfx_plugin.finn_plugin.hardware import rtlsim
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.finn_plugin.hardware.folding import fold_model
from qfx_plugin.finn_plugin.lowering.plan import HARDWARE, type_range
from qfx_plugin.simulation import simulate
from tests import qonnx_models
from tests.finn_plugin.helpers import PART
from tests.qonnx_models import random_inputs

CHANNELS, PIXELS = 6, 5


class Unit:
    """One of our units: generated, compiled, streamed with pauses on both sides."""

    def __init__(
        self, kind: str, folder: Path, inputs: int = 1, outputs: int = 1, name="unit", **attributes
    ):
        adapter.require()
        node = adapter.module("onnx.helper").make_node(
            f"{kind}_rtl",
            [f"in{index}" for index in range(inputs)],
            [f"out{index}" for index in range(outputs)],
            name=name,
            domain=f"{HARDWARE}.rtl",
            backend="fpgadataflow",
            code_gen_dir_ipgen=str(folder),
            **{"NumChannels": CHANNELS, "numInputVectors": [1, PIXELS, 1], **attributes},
        )
        self.op = adapter.module("qonnx.custom_op.registry").getCustomOp(node)
        self.op.generate_hdl(None, PART, 5.0)

    @cached_property
    def sim(self) -> simulate.Simulation:
        files = [Path(name) for name in self.op.get_rtl_file_list(abspath=True)]
        memories = [path for path in files if path.suffix == ".mem"]
        sources = [path for path in files if path.suffix != ".mem"]
        return simulate.compile_module(sources, "unit", memories=memories)

    def lanes(self, datatype, count: int):
        used = [datatype.bitwidth()] * count
        pad = -sum(used) % 8
        signs = [datatype.signed()] * count
        return simulate.Lanes((*used, *([pad] if pad else [])), (*signs, *([False] if pad else [])))

    def python(self, *operands: np.ndarray) -> list[np.ndarray]:
        names = list(self.op.onnx_node.input), list(self.op.onnx_node.output)
        context = {n: o.astype(np.float32) for n, o in zip(names[0], operands, strict=True)}
        shape = self.op.get_normal_output_shape()
        context |= {name: np.zeros(shape, dtype=np.float32) for name in names[1]}
        self.op.execute_node(context, None)
        return [context[name].astype(np.int64) for name in names[1]]

    def rtl(self, *operands: np.ndarray, seed: int = 0) -> list[np.ndarray]:
        pe = self.op.get_nodeattr("PE")
        feeds = {}
        for index, operand in enumerate(operands):
            width = self.op.get_folded_input_shape(index)[-1]
            lanes = self.lanes(self.op.get_input_datatype(index), width)
            codes = operand.reshape(-1, width)
            padded = np.zeros((len(codes), len(lanes.widths)), dtype=np.int64)
            padded[:, :width] = codes
            feeds[f"in{index}_V"] = simulate.Beats(padded, lanes)
        lanes = self.lanes(self.op.get_output_datatype(), pe)
        count = prod(self.op.get_folded_output_shape()[:-1])
        wanted = {
            f"out{index}_V": simulate.Expect(count, lanes)
            for index in range(len(self.op.onnx_node.output))
        }
        result = self.sim.stream(feeds, wanted, idle=0.3, backpressure=0.4, seed=seed)
        shape = self.op.get_normal_output_shape()
        return [result.outputs[name][:, :pe].reshape(shape) for name in wanted]

    def check(self, *operands: np.ndarray) -> None:
        for expected, got in zip(self.python(*operands), self.rtl(*operands), strict=True):
            np.testing.assert_array_equal(got, expected)


def codes(rng, datatype: str, *shape: int) -> np.ndarray:
    low, high = type_range(datatype)
    return rng.integers(low, high + 1, size=shape)


def requant(folder: Path, rng, **attributes) -> Unit:
    signed = attributes["outputDataType"].startswith("INT")
    low, high = type_range(attributes["outputDataType"])
    return Unit(
        "QFXRequant",
        folder,
        mult=[int(v) for v in rng.integers(-40, 40, CHANNELS)],
        offset=[int(v) for v in rng.integers(-900, 900, CHANNELS)],
        lows=[low] * CHANNELS,
        highs=[high] * CHANNELS,
        signedCast=int(signed),
        **attributes,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("pe", "overflow"), [(1, "AP_SAT"), (6, "AP_SAT_ZERO")])
def test_requant_to_wide_unsigned(pe, overflow, tmp_path, rng):
    unit = requant(
        tmp_path, rng, PE=pe, inputDataType="UINT12", outputDataType="UINT11", shift=3, width=11,
        rounding="AP_RND_CONV", overflow=overflow,
    )  # fmt: skip
    unit.check(codes(rng, "UINT12", 1, PIXELS, 1, CHANNELS))


def test_add(tmp_path, rng):
    unit = Unit(
        "QFXAdd", tmp_path, 2, PE=3, shifts=[0, 3], inputDataType="INT5", rhsDataType="UINT4",
        outputDataType="INT9",
    )  # fmt: skip
    shape = (1, PIXELS, 1, CHANNELS)
    unit.check(codes(rng, "INT5", *shape), codes(rng, "UINT4", *shape))


@pytest.mark.parametrize(
    ("pe", "count", "low", "entries"),
    [(2, 1, -13, 30), (3, 4, -16, 32), (1, 2, 3, 9), (6, 1, 5, 1)],
)
def test_lookup(pe, count, low, entries, tmp_path, rng):
    """One table for all channels or several, that end between powers of two."""
    unit = Unit(
        "QFXLookup", tmp_path, PE=pe, inputDataType="INT6", outputDataType="INT9", low=low,
        table=numpy_helper.from_array(rng.integers(-256, 256, (count, entries)), "table"),
        numbers=[int(number) for number in rng.integers(0, count, CHANNELS)],
    )  # fmt: skip
    unit.check(rng.integers(low, low + entries, (1, PIXELS, 1, CHANNELS)))


@pytest.mark.parametrize("function", ["Maximum", pytest.param("Minimum", marks=pytest.mark.slow)])
def test_extreme(function, tmp_path, rng):
    unit = Unit(
        "QFXAdd", tmp_path, 2, PE=3, shifts=[0, 2], inputDataType="INT5", rhsDataType="UINT3",
        outputDataType="INT6", Function=function,
    )  # fmt: skip
    shape = (1, PIXELS, 1, CHANNELS)
    unit.check(codes(rng, "INT5", *shape), codes(rng, "UINT3", *shape))


def concat(folder: Path, pe: int) -> Unit:
    kinds = {"inputDataType": "", "inputDataTypes": ["INT5", "UINT7"], "outputDataType": "INT8"}
    channels = {"ChannelsPerStream": [4, 2], "PE": pe}
    return Unit("QFXConcat", folder, 2, **kinds, **channels)


@pytest.mark.parametrize("pe", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_concat(pe, tmp_path, rng):
    operands = codes(rng, "INT5", 1, PIXELS, 1, 4), codes(rng, "UINT7", 1, PIXELS, 1, 2)
    concat(tmp_path, pe).check(*operands)


def test_concat_folds_by_what_divides_every_stream(tmp_path):
    with pytest.raises(ValueError, match="unit: PE must divide 2, not be 4"):
        concat(tmp_path, 4).op.get_folded_input_shape(1)


def test_duplicate(tmp_path, rng):
    kinds = {"inputDataType": "INT5", "outputDataType": "INT5", "outFIFODepths": [2, 2, 2]}
    unit = Unit("QFXDuplicate", tmp_path, 1, 3, PE=2, NumOutputStreams=3, **kinds)
    unit.check(codes(rng, "INT5", 1, PIXELS, 1, CHANNELS))


@pytest.mark.parametrize(
    ("function", "datatype"),
    [("MaxPool", "INT5"), pytest.param("SumPool", "INT8", marks=pytest.mark.slow)],
)
def test_pool(function, datatype, tmp_path, rng):
    kinds = {"inputDataType": "INT5", "outputDataType": datatype}
    unit = Unit("QFXPool", tmp_path, PE=CHANNELS, Taps=4, Function=function, **kinds)
    unit.check(codes(rng, "INT5", 1, PIXELS, 1, 4 * CHANNELS))


@pytest.mark.parametrize("datatype", ["UINT5", pytest.param("INT5", marks=pytest.mark.slow)])
def test_global_sum(datatype, tmp_path, rng):
    kinds = {"inputDataType": datatype, "outputDataType": datatype.replace("5", "9")}
    unit = Unit("QFXGlobalSum", tmp_path, PE=2, **kinds)
    unit.check(codes(rng, datatype, 1, PIXELS, 1, CHANNELS))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: qonnx_models.mlp((16, 8, 4), k=2),
        lambda: qonnx_models.mlp((16, 8, 4), bit_width=10, weight_bit_width=4),
        qonnx_models.residual,
        lambda: qonnx_models.cnn(channels=(2, 4), bit_width=4),
        qonnx_models.average_pool,
    ],
    ids=["mlp, K=2", "mlp, 10 bits", "residual", "cnn", "global mean"],
)
def test_networks_unit_by_unit(make):
    model = make()
    dataflow = convert(model)
    place = "finn.transformation.fpgadataflow.specialize_layers"
    with adapter.quiet():
        specialised = to_hardware(dataflow.model).transform(
            adapter.module(place).SpecializeLayers(PART)
        )
    rtlsim.install(simulate)
    simulated = rtlsim.prepare(fold_model(specialised, 400), PART, 5.0)
    assert all(node.domain == f"{HARDWARE}.rtl" for node in simulated.graph.node)
    assert dataflow.differences(random_inputs(model, 2), simulated) == {"logits": 0}
