"""The element-wise hardware: equal to the interpreter, without multiplications."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin import interpret
from qfx_plugin.errors import OptionError, TargetError, UnsupportedModelError
from qfx_plugin.fracbnn import build_unit, element_wise_stage, stage_tensors
from qfx_plugin.fracbnn.steps import Affine, Cast, Join, chain
from qfx_plugin.ir import Graph, Multiply, Quantize
from qfx_plugin.synthesis.estimate import estimate


def positions(codes):
    return np.moveaxis(codes, 1, -1).reshape(-1, codes.shape[1])


def stage_inputs(stage, rng, count):
    """Random codes of both inputs, the extremes among them, and what comes out."""
    heads = {op.inputs[0]: op for op in stage if isinstance(op, Quantize) and "_cast" in op.name}
    codes = {}
    for name, head in heads.items():
        fmt = head.formats[0]
        shape = (count, *stage.fixed_type(head.output).shape)
        codes[name] = rng.integers(fmt.min_code, fmt.max_code + 1, shape)
        codes[name][0], codes[name][1] = fmt.min_code, fmt.max_code
    values = {n: codes[n] * 2.0 ** -heads[n].formats[0].frac_bits for n in codes}
    (result,) = interpret(stage, values).values()
    return {n: positions(c) for n, c in codes.items()}, positions(result.codes)


def test_a_stage_computes_what_the_network_does(network, images):
    graph = network.graph
    for half in range(4):
        stage, names = element_wise_stage(graph, half), stage_tensors(graph, half)
        seen = interpret(graph, images.numpy(), keep=[*names.values(), *stage.outputs])
        values = {label: positions(seen[name].values) for label, name in names.items()}
        (alone,) = interpret(stage, {n: v[:, :, None, None] for n, v in values.items()}).values()
        np.testing.assert_array_equal(
            positions(alone.codes), positions(seen[stage.outputs[0]].codes)
        )


def test_the_steps_of_a_stage(network):
    steps = chain(element_wise_stage(network.graph, 2))
    kinds = [type(step) for step in steps]
    assert kinds == [Cast, Affine, Cast, Affine, Affine, Cast, Join, Cast, Affine, Cast]
    assert [s.factor is not None for s in steps if isinstance(s, Affine)] == [
        True, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("lanes", [4])
def test_shifts_and_additions_equal_the_interpreter(network, lanes, rng, tmp_path):
    stage = element_wise_stage(network.graph, 3)
    codes, wanted = stage_inputs(stage, rng, 300)
    unit = build_unit(stage, lanes, "khot")
    assert unit.tiles == 8 // lanes
    assert "*" not in unit.text.replace("* 32'(", "")  # but for the address of a constant
    np.testing.assert_array_equal(unit.run(codes["sums"], codes["shortcut"], tmp_path), wanted)


@pytest.mark.slow
@pytest.mark.parametrize(("half", "lanes", "datapath"), [(2, 8, "khot"), (0, 2, "mul")])
def test_other_units_equal_the_interpreter(network, half, lanes, datapath, rng, tmp_path):
    stage = element_wise_stage(network.graph, half)
    codes, wanted = stage_inputs(stage, rng, 300)
    unit = build_unit(stage, lanes, datapath, dsp=False)
    np.testing.assert_array_equal(unit.run(codes["sums"], codes["shortcut"], tmp_path), wanted)


@pytest.mark.slow
def test_no_dsp_and_fewer_luts_than_multipliers(network, tmp_path):
    stage = element_wise_stage(network.graph, 3)
    cells = {}
    for datapath, dsp in (("khot", True), ("mul", False), ("mul", True)):
        unit = build_unit(stage, 1, datapath, dsp=dsp, name=f"lane_{datapath}_{int(dsp)}")
        cells[unit.name] = estimate(unit.write(tmp_path / unit.name), unit.name, dsp=dsp).total
    khot, luts, slices = cells.values()
    assert (khot.dsp, luts.dsp, slices.dsp) == (0, 0, 3)
    assert khot.all_luts < 0.6 * luts.all_luts


def test_options_are_checked(network):
    stage = element_wise_stage(network.graph, 3)
    with pytest.raises(OptionError, match="datapath must be one of khot, mul, not 'dsp'"):
        build_unit(stage, 4, "dsp")
    with pytest.raises(OptionError, match="lanes must divide the 8 channels, not be 3"):
        build_unit(stage, 3)
    with pytest.raises(UnsupportedModelError, match=r"has no node 'halves\.4\.sums\.act_quant'"):
        element_wise_stage(network.graph, 4)


def test_dense_factors_need_multiplications(network):
    stage = element_wise_stage(network.graph, 3)
    dense = Graph(tuple(map(without_k, stage)), stage.outputs)
    with pytest.raises(TargetError, match="datapath 'khot' needs K-hot factors, not dense ones"):
        build_unit(dense, 4)
    assert build_unit(dense, 4, "mul").latency == build_unit(stage, 4, "mul").latency


def without_k(op):
    from dataclasses import replace

    for field in ("weight", "slope"):
        if getattr(op, field, None) is not None:
            return replace(op, **{field: replace(getattr(op, field), k=None)})
    return op


def test_an_unknown_operation_is_refused_by_name(network):
    stage = element_wise_stage(network.graph, 3)
    squared = [op for op in stage if isinstance(op, Multiply)][0]
    cut = Graph(stage.ops[: stage.ops.index(squared) + 1], (squared.output,))
    with pytest.raises(TargetError, match="needs an Add of constants behind it"):
        build_unit(cut, 4)
