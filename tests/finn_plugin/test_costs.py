"""Every unit says what it costs and how it folds; one that does not is refused by its name."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin import adapter, convert
from qfx_plugin.finn_plugin.fit import estimates, with_converters
from qfx_plugin.finn_plugin.hardware import convert as conversion
from qfx_plugin.finn_plugin.hardware.convert import specialise, stock_hardware, to_hardware
from qfx_plugin.finn_plugin.hardware.folding import fold_model, units
from qfx_plugin.finn_plugin.hardware.stitch import assemble
from qfx_plugin.finn_plugin.hardware.stock import STOCK, unit_of
from qfx_plugin.finn_plugin.lowering.plan import HARDWARE
from qfx_plugin.finn_plugin.ops.unit import CountedUnit, Estimate
from qfx_plugin.ir import Add, Constant, Graph, Input, Multiply, Quantize, Slice, Weight
from qfx_plugin.units.terms import all_weights
from tests import qonnx_models
from tests.finn_plugin.helpers import PART
from tests.finn_plugin.test_bits import scaled
from tests.finn_plugin.test_rtl import Unit
from tests.graph_file import to_qonnx
from tests.operations import OPERATIONS

EMITTED = {
    "InferThresholdingLayer": {"Thresholding"},
    "InferPool": set(),  # a window and `Pool`, which becomes ours
    "InferConvInpGen": {"ConvolutionInputGenerator", "FMPadding"},
    "InferConcatLayer": set(),
    "InferDuplicateStreamsLayer": set(),
}
"""Which of FINN's operations stay of each of its conversions that `to_hardware` calls."""


def elements():
    """What moves, multiplies, adds constants to and looks up elements."""
    rows = {row.name: row.ops for row in OPERATIONS}
    *front, look = rows["Lookup, falls"]
    steps = (
        *front,
        look,
        Quantize("g", ("f",), "g", 5, 2),
        Multiply("mul", ("act", "g"), "mul"),
        Quantize("h", ("mul",), "h", 5, 2),
        Constant("c", (), "c", Weight(np.arange(32).reshape(2, 4, 4), np.array([2]), 6)),
        Add("add", ("h", "c"), "add"),
        Slice("part", ("add",), "part", (0, 1, 0), (2, 3, 2), (1, 1, 2)),
    )
    first = Input("x", (), "x", (2, 4, 4)), Quantize("q", ("x",), "q", 6, 3)
    return to_qonnx(Graph((*first, *steps), ("part",), "elements").verify())


MODELS = {
    "cnn": qonnx_models.cnn,
    "depthwise": qonnx_models.depthwise,
    "residual": qonnx_models.residual,
    "concat": qonnx_models.concat,
    "global mean": qonnx_models.average_pool,
    "thresholds": scaled,
    "elements": elements,
}


@pytest.fixture(scope="module")
def models():
    return {
        name: specialise(to_hardware(convert(make()).model), PART) for name, make in MODELS.items()
    }


@pytest.fixture(scope="module")
def ours():
    adapter.require()
    return adapter.module("qfx_plugin.finn_plugin.ops.rtl").OPERATIONS


def test_everything_a_conversion_emits_is_known(models, ours):
    assert set(EMITTED) == set(conversion._TRANSFORMATIONS), "say what a new conversion emits"
    stock = set().union(*EMITTED.values())
    assert {f"{kind}_rtl" for kind in stock} <= set(STOCK)
    seen = {node.op_type for model in models.values() for node in model.graph.node}
    assert seen == {f"{kind}_rtl" for kind in stock | set(ours)}, "the examples show every kind"


def test_every_unit_of_the_examples_costs_something(models):
    for model in models.values():
        whole = assemble(model, PART, 5.0)
        assert min(estimate.lut for estimate in estimates(whole).values()) >= 1


@pytest.mark.parametrize(("cycles", "which"), [(1 << 40, 0), (0, -1)], ids=["narrow", "wide"])
def test_every_unit_folds_between_its_own_ends(cycles, which, models):
    for model in models.values():
        for unit in units(fold_model(model, cycles)):
            wanted = unit.foldings()[which]
            assert wanted
            assert {name: unit.get_nodeattr(name) for name in wanted} == wanted


def test_every_weight_has_a_term_and_every_term_a_weight(models, ours):
    counted = {kind for kind, unit in STOCK.items() if issubclass(unit, CountedUnit)}
    names = {unit.weighted_as or name for name, unit in ours.items()}
    assert set(all_weights()) == names | {kind for kind in counted if "_" not in kind}
    unit = next(units(with_converters(models["cnn"])))
    assert len(unit.cost().terms) == len(all_weights()[unit.onnx_node.op_type[:-4]])


def make_op(kind: str, domain: str):
    node = adapter.module("onnx.helper").make_node(
        kind, ["a"], ["b"], name="late_7", domain=domain, NumChannels=4, backend="fpgadataflow"
    )
    return adapter.module("qonnx.custom_op.registry").getCustomOp(node)


def test_an_operation_without_cost_cannot_be_made(ours, monkeypatch):
    base = ours["QFXAdd"].__mro__[1]
    domains = adapter.module("finn.custom_op.fpgadataflow").custom_op
    members = {"foldings": lambda self: [{}], "instance": lambda self: None}
    monkeypatch.setitem(domains, "QFXForgotten", type("QFXForgotten", (base,), members))
    with pytest.raises(TypeError, match=r"QFXForgotten with abstract method.* cost"):
        make_op("QFXForgotten", HARDWARE)


def test_terms_without_weights_are_named(ours, monkeypatch):
    late = type("QFXLate", (ours["QFXDuplicate"],), {})
    monkeypatch.setitem(adapter.module("finn.custom_op.fpgadataflow").custom_op, "QFXLate", late)
    with pytest.raises(TargetError, match=r"unit 'late_7' \(QFXLate\): its 2 terms have 0 weights"):
        op = make_op("QFXLate", HARDWARE)
        op.set_nodeattr("outputDataType", "INT4")
        op.estimate()


@pytest.mark.parametrize("ask", [lambda m: fold_model(m, 100), estimates, lambda m: list(units(m))])
def test_an_operation_that_is_not_known_is_refused_by_name(ask, models, monkeypatch):
    monkeypatch.delitem(STOCK, "FMPadding_rtl")
    text = r"unit 'FMPadding_rtl_0': cost and folding of FMPadding_rtl are not known; known are"
    with pytest.raises(TargetError, match=text):
        ask(models["cnn"])


def test_the_abstract_form_costs_the_same_and_ultra_ram_is_block_ram(tmp_path, monkeypatch):
    kinds = {"inputDataType": "INT5", "outputDataType": "INT5"}
    unit = Unit("QFXDuplicate", tmp_path, **kinds, NumOutputStreams=1, NumChannels=4)
    op = make_op("QFXDuplicate", HARDWARE)
    op.set_nodeattr("outputDataType", "INT5")
    assert unit.op.estimate() == op.estimate()

    thresholds = unit_of(make_op("Thresholding_rtl", f"{HARDWARE}.rtl"))
    figures = {"bram": 1, "uram": 2, "lut": 30, "dsp": 0}
    for name, figure in figures.items():
        monkeypatch.setattr(thresholds.op, f"{name}_estimation", lambda part, n=figure: n)
    assert thresholds.estimate() == Estimate(30, 0, 33)


def test_units_of_stock_finn_fold_too_and_have_finn_s_own_estimate():
    hardware = stock_hardware(convert(scaled()).model)
    for node in hardware.graph.node:
        adapter.op_of(node).set_nodeattr("preferred_impl_style", "hls")
    place = "finn.transformation.fpgadataflow.specialize_layers"
    with adapter.quiet():
        model = hardware.transform(adapter.module(place).SpecializeLayers(PART))
    assert {node.op_type for node in model.graph.node} >= {"MVAU_hls", "Thresholding_hls"}
    costs = []
    for cycles in (1000, 10):
        folded = fold_model(model, cycles)
        assert all(unit.get_exp_cycles() <= cycles for unit in units(folded))
        costs.append(sum(estimates(folded).values(), Estimate()).lut)
    assert 0 < costs[0] < costs[1]
