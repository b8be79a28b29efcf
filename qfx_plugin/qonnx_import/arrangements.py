"""Nodes that show elements at other places: Slice, Split, Gather, Pad, Expand, Tile and kin."""

from __future__ import annotations

from brevitas_quantizers.onnx_files import (
    ARRANGEMENTS,
    Border,
    NewSample,
    Node,
    Order,
    Picks,
    Region,
    Step,
    in_order,
    read_arrangement,
)

from ..ir import Gather, Identity, Op, Pad, Reshape, Slice, Transpose, Upsample
from .importer import Importer, converts
from .views import TensorView


@converts(*ARRANGEMENTS)
def convert_arrangement(node: Node, state: Importer) -> None:
    """Each result by its own steps; along single axes, in whatever order the graph has them."""
    view = state.view(node, node.inputs[0] if node.inputs else "")
    stored = state.type_of(view.tensor).shape
    shape = (1, *(stored[axis] for axis in view.order))
    found = read_arrangement(node, state.constants, shape, state.batch)
    name = state.node_name(node)
    for output, steps in found.items():
        label = name if len(found) == 1 else f"{name}:{output}"
        if any(isinstance(step, NewSample | Order) for step in steps):
            tensor, order = state.tensor(node, node.inputs[0]), tuple(range(len(view.order)))
        else:
            tensor, order = view.tensor, view.order
        result = state.put_view(output, TensorView("", order))
        names = [f"{result}:{n}" for n in range(1, len(steps))] + [result] * bool(steps)
        for number, (step, target) in enumerate(zip(steps, names, strict=True)):
            sample = state.type_of(tensor).shape
            own = f"{label}:{number}" if target != result else label
            state.emit(_operation(own, tensor, target, _placed(step, order), sample))
            tensor = target
        if not steps:
            state.emit(Identity(label, (tensor,), result))


def _placed(step: Step, order: tuple[int, ...]) -> Step:
    """A step on the axes of the graph's tensor, the batch first."""
    if isinstance(step, NewSample | Order):
        return step
    return in_order(step, (0, *(axis + 1 for axis in order)))


def _operation(name: str, source: str, output: str, step: Step, sample: tuple[int, ...]) -> Op:
    at = (name, (source,), output)
    if isinstance(step, NewSample):
        return Reshape(*at, step.shape)
    if isinstance(step, Order):
        return Transpose(*at, tuple(axis - 1 for axis in step.axes[1:]))
    if isinstance(step, Border):
        return Pad(*at, step.pads[1:], step.mode)
    if isinstance(step, Picks):
        axis, size = step.axis - 1, sample[step.axis - 1]
        factor, regular = step.factor(size), step.regular
        if regular is None and factor and axis:
            factors = (factor if other == axis else 1 for other in range(1, len(sample)))
            return Upsample(*at, tuple(factors))
        if regular is None:
            return Gather(*at, axis, step.indices)
        start, every = regular
        step = Region.along((1, *sample), step.axis, start, len(step.indices), every)
    if step.is_all((1, *sample)):
        return Identity(*at)
    return Slice(*at, step.starts[1:], step.sizes[1:], step.steps[1:])
