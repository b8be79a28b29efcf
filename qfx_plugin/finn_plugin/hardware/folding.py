"""Parallelism: the smallest that reaches a number of cycles per frame, unit by unit.

FINN's `SetFolding` does not know our units; all units are done here. Every unit gets the fewest
lanes that are done with a frame in time. Where a unit reads what another writes, equal widths are
preferred: they need no converter in between. Which lanes are legal, each unit says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .. import adapter
from .stock import unit_of


def fold_model(model: Any, cycles: int) -> Any:
    """Set PE and SIMD so that no unit needs more than `cycles` per frame, where it can.

    Args:
        model: a model of specialised layers; changed in place and returned.
        cycles: clock cycles per frame.

    Raises:
        TargetError: of a unit it is not known how it folds.
    """
    general = adapter.module("qonnx.transformation.general")
    with adapter.quiet():
        model = model.transform(general.GiveUniqueNodeNames())
    for unit in units(model):
        if unit.gives_windows:
            continue  # with the unit behind it
        source = _unit_in_front(model, unit)
        if unit.takes_windows and source is not None and source.gives_windows:
            _fold([unit, source], cycles)
        else:
            stream = unit.onnx_node.input[0]
            _fold([unit], cycles, None if source is None else _lanes_of(source, stream))
    return model


def units(model: Any) -> Iterator[Any]:
    """The unit of each node, in order: its operation, which says what it costs and how it folds.

    Raises:
        TargetError: of one nothing is known.
    """
    for node in model.graph.node:
        yield unit_of(adapter.op_of(node))


def slowest(model: Any) -> tuple[str, int]:
    """The unit that needs most cycles per frame, and how many: the interval between frames."""
    found = {unit.onnx_node.name: int(unit.get_exp_cycles()) for unit in units(model)}
    name = max(found, key=lambda name: found[name])
    return name, found[name]


def _fold(together: Sequence[Any], cycles: int, same: int | None = None) -> None:
    """The fewest lanes that are in time, else the most.

    Args:
        together: units that fold alike.
        cycles: per frame.
        same: lanes that need no converter in front; taken up to twice what is needed.
    """
    choices = list(zip(*(unit.foldings() for unit in together), strict=True))
    for choice in choices:
        _set(together, choice)
        if all(unit.get_exp_cycles() <= cycles for unit in together):
            least = [*choice[0].values()]
            equal = [other for other in choices if [*other[0].values()] == [same]]
            if equal and same is not None and least[0] <= same <= 2 * least[0]:
                _set(together, equal[0])
            break
    for unit in together:
        unit.choose_memory()


def _set(together: Sequence[Any], choice: Sequence[dict[str, int]]) -> None:
    for unit, folding in zip(together, choice, strict=True):
        for attribute, lanes in folding.items():
            unit.set_nodeattr(attribute, lanes)


def _unit_in_front(model: Any, unit: Any) -> Any:
    """The unit that writes the first stream that comes in, or None."""
    producer = model.find_producer(unit.onnx_node.input[0])
    return None if producer is None else unit_of(adapter.op_of(producer))


def _lanes_of(unit: Any, stream: str) -> int:
    """Elements in a beat of a stream that goes out."""
    place = list(unit.onnx_node.output).index(stream)
    return int(unit.get_folded_output_shape(place)[-1])
