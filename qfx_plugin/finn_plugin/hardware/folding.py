"""Parallelism: the smallest that reaches a number of cycles per frame, unit by unit.

FINN's `SetFolding` does not know our units; all units are done here. Every unit gets the fewest
lanes that are done with a frame in time. Where a unit reads what another writes, equal widths are
preferred: they need no converter in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import Any

from .. import adapter

SHIFT_REGISTER, LUT_RAM = 33, 257
"""Deepest FIFOs of each kind; deeper ones take block RAM, since not all devices have UltraRAM."""

WIDEST = 1024
"""Most bits of a stream."""


def fold(model: Any, cycles: int) -> Any:
    """Set PE and SIMD so that no unit needs more than `cycles` per frame, where it can.

    Args:
        model: a model of specialised layers; changed in place and returned.
        cycles: clock cycles per frame.
    """
    general = adapter.module("qonnx.transformation.general")
    with adapter.quiet():
        model = model.transform(general.GiveUniqueNodeNames())
    for op in operations(model):
        kind = op.onnx_node.op_type.removesuffix("_rtl")
        if kind == "QFXMVU":
            _fold_product(op, cycles)
        elif kind in ("QFXPool", "QFXVVU"):
            _fold_behind_window(model, op, cycles)
        elif kind == "ConvolutionInputGenerator" and op.get_nodeattr("depthwise"):
            continue  # with the unit behind it
        elif kind in ("ConvolutionInputGenerator", "FMPadding"):
            channels = "IFMChannels" if kind.startswith("Conv") else "NumChannels"
            _fold_lanes(model, op, "SIMD", op.get_nodeattr(channels), cycles)
            if kind.startswith("Conv"):
                op.set_nodeattr("ram_style", window_style(op))
        elif kind == "QFXConcat":
            _fold_lanes(model, op, "PE", gcd(*op.get_nodeattr("ChannelsPerStream")), cycles)
        elif kind in _SIMPLE or kind.startswith("QFX"):
            _fold_lanes(model, op, "PE", op.get_nodeattr("NumChannels"), cycles)
    return model


_SIMPLE = ("Thresholding",)


def operations(model: Any) -> Iterator[Any]:
    """The operation of each node, in order."""
    get_op = adapter.module("qonnx.custom_op.registry").getCustomOp
    for node in model.graph.node:
        yield get_op(node)


def slowest(model: Any) -> tuple[str, int]:
    """The unit that needs most cycles per frame, and how many: the interval between frames."""
    found = {op.onnx_node.name: int(op.get_exp_cycles()) for op in operations(model)}
    name = max(found, key=lambda name: found[name])
    return name, found[name]


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [value for value in range(1, number + 1) if number % value == 0]


def _fold_product(op: Any, cycles: int) -> None:
    """The fewest lanes; among equals the widest input: accumulators are dear, shared inputs not."""
    rows, columns = op.get_nodeattr("NumChannels"), op.get_nodeattr("MW")
    vectors = op.get_exp_cycles() * op.get_nodeattr("PE") * op.get_nodeattr("SIMD")
    vectors //= rows * columns
    bits_in, bits_out = op.get_input_datatype().bitwidth(), op.get_output_datatype().bitwidth()
    choices = [
        (pe * simd, -simd, pe)
        for pe in divisors(rows)
        for simd in divisors(columns)
        if pe * bits_out <= WIDEST and simd * bits_in <= WIDEST
    ]
    fitting = [c for c in choices if vectors * rows * columns <= cycles * c[0]]
    lanes, simd, pe = min(fitting) if fitting else max(choices)
    op.set_nodeattr("PE", pe)
    op.set_nodeattr("SIMD", -simd)
    op.set_nodeattr("rom_style", rom_style(op))


def _fold_behind_window(model: Any, op: Any, cycles: int) -> None:
    """A unit that takes a window channel group by channel group: as wide as its window unit."""
    window = model.find_producer(op.onnx_node.input[0])
    get_op = adapter.module("qonnx.custom_op.registry").getCustomOp
    units = [op]
    if window is not None and window.op_type.startswith("ConvolutionInputGenerator"):
        units.append(get_op(window))
    for lanes in divisors(op.get_nodeattr("NumChannels")):
        for unit in units:
            unit.set_nodeattr("PE" if unit is op else "SIMD", lanes)
            if unit is not op:
                unit.set_nodeattr("ram_style", window_style(unit))
            elif unit.onnx_node.op_type.startswith("QFXVVU"):
                unit.set_nodeattr("rom_style", rom_style(unit))
        if all(unit.get_exp_cycles() <= cycles for unit in units):
            return


def _fold_lanes(model: Any, op: Any, attribute: str, channels: int, cycles: int) -> None:
    least = None
    for lanes in divisors(channels):
        op.set_nodeattr(attribute, lanes)
        if op.get_exp_cycles() <= cycles:
            least = lanes
            break
    if least is None:
        return  # the widest, which is not enough: the caller compares with what was wanted
    same = _lanes_in_front(model, op)
    if same is not None and least <= same <= 2 * least and channels % same == 0:
        op.set_nodeattr(attribute, same)


def _lanes_in_front(model: Any, op: Any) -> int | None:
    """Elements in a beat of the stream that comes in."""
    producer = model.find_producer(op.onnx_node.input[0])
    if producer is None:
        return None
    get_op = adapter.module("qonnx.custom_op.registry").getCustomOp
    place = list(producer.output).index(op.onnx_node.input[0])
    return int(get_op(producer).get_folded_output_shape(place)[-1])


def window_style(op: Any) -> str:
    """What a sliding window keeps its rows in: LUTs up to 64 beats or few bits, else block RAM."""
    bits = op.get_buffer_depth() * op.get_nodeattr("SIMD") * op.get_input_datatype().bitwidth()
    return "distributed" if op.get_buffer_depth() <= 64 or bits <= 2048 else "block"


def rom_style(op: Any) -> str:
    """What a unit keeps its weights in: LUTs up to 64 words or few bits, else block RAM."""
    unit = op.unit()
    return "distributed" if unit.cycles <= 64 or unit.memory_bits <= 4096 else "block"


def ram_style(depth: int) -> str:
    """What a FIFO is made of, as FINN calls it."""
    if depth <= SHIFT_REGISTER:
        return "srl"
    return "distributed" if depth <= LUT_RAM else "block"
