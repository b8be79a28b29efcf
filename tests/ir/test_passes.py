"""Passes compute the same codes: on random networks, and on the one thing each is for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import RoundingMode
from qfx_plugin.finn_plugin.lowering.lower import PASSES as FINN
from qfx_plugin.hls4ml_backend.lowering.lower import PASSES as HLS4ML
from qfx_plugin.ir import (
    Add,
    Concat,
    Constant,
    Conv,
    Graph,
    Identity,
    Linear,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    Transpose,
    Window,
    interpret,
    passes,
)
from qfx_plugin.ir.passes.spread_groups import spread
from qfx_plugin.rtl.stream.stages import PASSES as RTL
from tests.ir.graphs import source, weight
from tests.random_networks import ANY, random_network

EACH = [getattr(passes, name) for name in passes.__all__ if name != "apply"]
ROWS = {one.__name__: (one,) for one in EACH}
ROWS |= {"hls4ml": HLS4ML, "finn": FINN, "rtl, streaming": RTL}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_random_networks_compute_the_same(row):
    """Also with what the generator never draws: identities, dead ends, computed constants."""
    for x, graphs in networks():
        for graph in graphs:
            same(graph, passes.apply(graph, *row), x)


@cache
def networks() -> list[tuple[object, tuple[Graph, Graph]]]:
    """Inputs, a network and its littered twin."""
    drawn = [random_network(f"passes {number}", ANY) for number in range(12)]
    return [(one.x, (one.graph, littered(one.graph))) for one in drawn]


def littered(graph: Graph) -> Graph:
    """The same function with an `Identity` behind everything and with operations for nothing."""
    ops: list[Op] = []
    for op in graph.ops:
        op = replace(op, inputs=tuple(f"{name}:again" for name in op.inputs))
        again = f"{op.output}:again"
        if isinstance(op, Constant):
            raw = replace(op, output=f"{op.output}:raw")
            ops += [raw, Identity("copy", (raw.output,), op.output)]
        else:
            ops.append(op)
        ops += [Identity("again", (op.output,), again), Identity("dead", (again,), f"{again}:dead")]
    return Graph(tuple(ops), tuple(f"{name}:again" for name in graph.outputs), graph.name).verify()


def same(before: Graph, after: Graph, x: object) -> None:
    """Values are equal, output by output; a pass may find a coarser point to be enough."""
    wanted, found = interpret(before, x), interpret(after, x)
    for old, new in zip(before.outputs, after.outputs, strict=True):
        assert np.array_equal(wanted[old].values, found[new].values), old
        assert np.array_equal(wanted[old].codes, found[new].codes), old


def changed(*ops: Op, by: object, outputs: tuple[str, ...] = ()) -> list[Op]:
    """The operations that a pass makes of a network; they compute the same."""
    graph = Graph(ops, outputs or (ops[-1].output,), "small").verify()
    after = passes.apply(graph, by)
    rng = np.random.default_rng(len(ops))
    same(graph, after, rng.uniform(-8, 8, size=(20, *graph.inputs[0].shape)))
    return list(after)


def kinds(ops: list[Op]) -> list[str]:
    return [type(op).__name__ for op in ops]


IMAGE = source((2, 3, 4), frac_bits=(4, 6))
VECTOR = source((3,))


def test_a_graph_with_nothing_to_do_is_the_same_object():
    graph = Graph((*VECTOR, Relu("r", ("q",), "y")), ("y",)).verify()
    assert all(one(graph) is graph for one in EACH)


def test_identities_and_dead_ends_go():
    ops = (
        *VECTOR,
        Identity("i", ("q",), "i"),
        Relu("dead", ("i",), "d"),
        Identity("o", ("i",), "y"),
    )
    assert kinds(changed(*ops, by=passes.drop_identities)) == ["Input", "Quantize", "Relu"]
    keeping = partial(passes.drop_identities, but_outputs=True)
    assert changed(*ops, by=keeping)[-1] == replace(ops[-1], inputs=("q",))
    assert kinds(changed(*ops, by=passes.drop_dead)) == [
        "Input", "Quantize", "Identity", "Identity",
    ]  # fmt: skip


def test_what_is_computed_from_constants_is_a_constant():
    flat = Constant("c", (), "c", weight([-3, 5, 127, 0, 1, -128], (3,)))
    made = changed(
        *source((3, 2)), flat, Reshape("r", ("c",), "r", (2, 3)),
        Transpose("t", ("r",), "t", (1, 0)),
        Quantize("cast", ("t",), "k", 4, (1, 2, 1)), Multiply("scale", ("q", "k"), "y"),
        by=passes.fold_constants,
    )  # fmt: skip
    assert kinds(made) == ["Input", "Quantize", *["Constant"] * 4, "Multiply"]
    assert made[-2].weight.frac_bits.tolist() == [1, 2, 1]


CONV = Conv("c", ("q",), "c", weight(np.ones((3, 2, 1, 1))), None, Window.plain(1, 1))
BIAS = Constant("b", (), "b", weight(np.arange(3).reshape(3, 1, 1), (2, 3, 4)))


@pytest.mark.parametrize("inputs", [("c", "b"), ("b", "c")])
def test_a_constant_behind_a_layer_is_its_bias(inputs):
    made = changed(*IMAGE, CONV, BIAS, Add("add", inputs, "y"), by=passes.merge_biases)
    assert kinds(made) == ["Input", "Quantize", "Constant", "Conv"]
    assert made[-1].output == "y" and made[-1].bias.frac_bits.tolist() == [2, 3, 4]
    again = changed(*made, by=passes.split_biases)
    assert kinds(again)[-3:] == ["Conv", "Constant", "Add"]
    assert [op.output for op in again[-3:]] == ["y:sums", "y:bias", "y"]


def test_no_bias_of_a_layer_that_has_one_or_that_is_read_twice_or_per_pixel():
    twice = (CONV, BIAS, Add("add", ("c", "b"), "s"), Add("both", ("s", "c"), "y"))
    whole = Constant("b", (), "b", weight(np.arange(36).reshape(3, 3, 4)))
    biased = replace(CONV, bias=weight([1, 2, 3]))
    for ops in (twice, (CONV, whole, twice[2]), (biased, BIAS, twice[2])):
        assert changed(*IMAGE, *ops, by=passes.merge_biases) == [*IMAGE, *ops]
    bias = replace(BIAS, weight=weight(np.arange(3).reshape(3, 1, 1), 7))
    finer = (CONV, bias, Add("add", ("c", "b"), "y"))
    coarse = partial(passes.merge_biases, finer=False)
    assert changed(*IMAGE, *finer, by=coarse) == [*IMAGE, *finer]


@pytest.mark.parametrize(
    ("code", "rounding", "points", "merges"),
    [(1, "AP_TRN", 2, True), (1, "AP_RND_CONV", 2, False), (2, "AP_TRN", 2, False),
     (1, "AP_TRN", (2, 2, 2), True), (1, "AP_TRN", (2, 2, 1), False)],
)  # fmt: skip
def test_half_an_lsb_and_truncation_are_rounding(code, rounding, points, merges):
    half = Constant("h", (), "h", weight([code] * 3, (3,)))
    cast = Quantize("cast", ("s",), "y", 6, points, rounding=RoundingMode(rounding))
    made = changed(*VECTOR, half, Add("add", ("q", "h"), "s"), cast, by=passes.merge_halves)
    assert (made[-1].rounding is RoundingMode.AP_RND) is merges
    assert made[-1].inputs == (("q",) if merges else ("s",))


def test_groups_become_zeros_unless_each_is_a_channel():
    codes = weight(np.arange(1, 17).reshape(4, 2, 2, 1), (1, 2, 3, 4))
    conv = Conv("c", ("q",), "y", codes, None, Window.plain(2, 1), groups=2)
    image = source((4, 3, 2), frac_bits=(4, 6, 5, 3))
    (*_, wide) = changed(*image, conv, by=passes.spread_groups)
    assert wide.groups == 1 and wide.weight.codes.shape == (4, 4, 2, 1)
    assert np.count_nonzero(wide.weight.codes) == 16
    depthwise = replace(conv, weight=weight(np.ones((4, 1, 2, 1))), groups=4)
    graph = Graph((*image, depthwise), ("y",)).verify()
    assert depthwise.is_depthwise and passes.spread_groups(graph) is graph
    assert spread(depthwise).groups == 1


FULL = Linear("fc", ("f",), "y", weight(np.arange(48).reshape(2, 24) % 7 - 3, (1, 2)), None)


def test_transposes_in_front_of_a_linear_reorder_its_columns():
    ops = (
        *IMAGE, Transpose("last", ("q",), "t", (1, 2, 0)), Reshape("rows", ("t",), "r", (3, 8)),
        Transpose("turn", ("r",), "u", (1, 0)), Reshape("flat", ("u",), "f", (24,)), FULL,
    )  # fmt: skip
    made = changed(*ops, by=lambda graph: passes.drop_dead(passes.absorb_layouts(graph)))
    assert kinds(made) == ["Input", "Quantize", "Reshape", "Linear"]
    assert not np.array_equal(made[-1].weight.codes, FULL.weight.codes)


def test_a_plain_flatten_stays_and_so_do_views_that_somebody_else_reads():
    flat = Reshape("flat", ("q",), "f", (24,))
    assert changed(*IMAGE, flat, FULL, by=passes.absorb_layouts) == [*IMAGE, flat, FULL]
    turn = Transpose("last", ("q",), "t", (1, 2, 0))
    ops = (*IMAGE, turn, replace(flat, inputs=("t",)), FULL)
    made = changed(*ops, by=passes.absorb_layouts, outputs=("t", "y"))
    assert kinds(made)[-4:] == ["Transpose", "Reshape", "Reshape", "Linear"]


TURN = Transpose("turn", ("r",), "t", (2, 0, 1))
LAST = (*source((3, 4, 2)), Relu("r", ("q",), "r"), TURN)


def test_an_input_is_turned_before_its_cast():
    again = replace(TURN, name="again", output="u")
    ops = (*LAST, again, Multiply("square", ("t", "u"), "y"))
    made = changed(*ops, by=passes.turn_inputs)
    assert kinds(made) == ["Input", "Transpose", "Quantize", "Relu", "Multiply"]
    assert made[1].name == "turn" and made[-1].inputs == ("t", "t")


@pytest.mark.parametrize("reader", ["r", "q"])
def test_an_input_that_somebody_reads_as_it_is_stays(reader):
    other = Relu("other", (reader,), "o")
    made = changed(*LAST, other, by=passes.turn_inputs, outputs=("t", "o"))
    assert made == [*LAST, other]


def test_an_input_with_a_point_for_each_row_stays():
    rows = source((3, 4, 2), frac_bits=(4, 5, 6))
    ops = (*rows, replace(TURN, inputs=("q",)))
    assert changed(*ops, by=passes.turn_inputs) == [*ops]


def test_elementwise_operations_move_in_front_of_views():
    slope = weight(np.repeat([3, -2], 12), np.repeat([1, 3], 12))
    ops = (
        *IMAGE, Reshape("flat", ("q",), "f", (24,)), PRelu("p", ("f",), "p", slope),
        Quantize("cast", ("p",), "y", 5, tuple([2] * 12 + [3] * 12)),
    )  # fmt: skip
    made = changed(*ops, by=passes.hoist_elementwise)
    assert kinds(made) == ["Input", "Quantize", "PRelu", "Quantize", "Reshape"]
    assert made[2].slope.codes.tolist() == [3, -2] and made[3].frac_bits == (2, 3)
    odd = replace(ops[-1], frac_bits=tuple(range(24)))
    made = changed(*ops[:-1], odd, by=passes.hoist_elementwise)
    assert kinds(made) == ["Input", "Quantize", "PRelu", "Reshape", "Quantize"]
    joined = (*ops[:3], Concat("two", ("f", "f"), "y"))
    assert changed(*joined, by=passes.hoist_elementwise) == list(joined)


def test_neurons_that_nothing_reads_are_silent_through_layers():
    """Behind the last layer's zero column the second neuron, and what only it reads."""
    first, middle = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[7, 0], [6, 8]])
    made = changed(
        *VECTOR,
        Linear("fc1", ("q",), "a", weight(first, 0), weight([1, 1], 0)),
        Linear("fc2", ("a",), "b", weight(middle, 0), None),
        Relu("relu", ("b",), "r"),
        Linear("fc3", ("r",), "y", weight([[5, 0]], 0), None),
        by=passes.silence_dead,
    )
    one, two = (op for op in made if op.name in ("fc1", "fc2"))
    assert two.weight.codes.tolist() == [[7, 0], [0, 0]]
    assert one.weight.codes.tolist() == [[1, 2, 3], [0, 0, 0]]
    assert one.bias.codes.tolist() == [1, 0]


@pytest.mark.parametrize("relu", [False, True])
def test_half_an_lsb_goes_into_the_bias(relu):
    layer = Linear("fc", ("q",), "a", weight(np.ones((2, 3)), 3), None)
    between = [Relu("relu", ("a",), "r")] if relu else []
    read = "r" if relu else "a"
    cast = Quantize("cast", (read,), "y", 6, 2, rounding=RoundingMode.AP_RND)
    made = changed(*VECTOR, layer, *between, cast, by=passes.fold_halves)
    (bias,) = {code for op in made if op.name == "fc" for code in op.bias.codes.tolist()}
    assert bias.bit_count() == 1 and made[-1].rounding is RoundingMode.AP_TRN
    other = Relu("other", (read,), "o")
    kept = changed(*VECTOR, layer, *between, cast, other, by=passes.fold_halves,
                   outputs=("y", "o"))  # fmt: skip
    assert kept[-2].rounding is RoundingMode.AP_RND
