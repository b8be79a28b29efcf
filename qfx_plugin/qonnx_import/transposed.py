"""ConvTranspose as a convolution: of pixels with zeros between them, or of pixels that part."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from brevitas_quantizers.onnx_files import Node, QuantizedConstant, TransposedConvolution

from ..ir import Conv, Gather, Reshape, Slice, Transpose, Weight, Window
from .importer import Importer, converts
from .layers import read_bias
from .weights import weight_of


@converts("ConvTranspose")
def convert_transposed(node: Node, state: Importer) -> None:
    """ConvTranspose, 1-D or 2-D."""
    x, w, b = node.operands(2, 3)
    constant = state.constants.weight(node, w)
    conv = TransposedConvolution.read(node, constant.shape)
    tensor = state.tensor(node, x)
    conv.check_image(node, state.type_of(tensor).shape)
    weight = _by_output(constant, conv.groups)
    bias = read_bias(node, state, b, weight.shape[0])
    if conv.is_shuffle:
        _parted(node, state, tensor, conv, weight_of(weight, node), bias)
    else:
        axes = tuple(range(2, len(weight.shape)))
        _spread(node, state, tensor, conv, weight_of(weight.reversed(axes), node), bias)


def _by_output(weight: QuantizedConstant, groups: int) -> QuantizedConstant:
    """(inputs, outputs of a group, *kernel) as (outputs, inputs of a group, *kernel)."""
    inputs, outputs, *kernel = weight.shape
    apart = weight.reshape((groups, inputs // groups, outputs, *kernel))
    turned = apart.transpose((0, 2, 1, *range(3, len(kernel) + 3)))
    return turned.reshape((groups * outputs, inputs // groups, *kernel))


def _spread(
    node: Node,
    state: Importer,
    tensor: str,
    conv: TransposedConvolution,
    weight: Weight,
    bias: Weight | None,
) -> None:
    """Zeros between the pixels and around them, and a convolution of step one."""
    name, window = state.node_name(node), conv.window
    for axis, step in enumerate(window.strides, start=1):
        size = state.type_of(tensor).shape[axis]
        if step > 1 and size > 1:
            indices = [-1] * ((size - 1) * step + 1)
            indices[::step] = range(size)
            target = f"{node.output}:spread{axis}"
            state.emit(Gather(f"{name}:spread{axis}", (tensor,), target, axis, tuple(indices)))
            tensor = target
    facts = zip(window.extent, window.pads, conv.extra, strict=True)
    pads = [(size - 1 - first, size - 1 - last + more) for size, (first, last), more in facts]
    tensor = _cut(node, state, name, tensor, pads)
    own = tuple((max(0, first), max(0, last)) for first, last in pads)
    ones = (1,) * len(own)
    geometry = Window(window.kernel, ones, own, window.dilations)
    state.emit(Conv(name, (tensor,), node.output, weight, bias, geometry, conv.groups))


def _cut(node: Node, state: Importer, name: str, tensor: str, pads: list[tuple[int, int]]) -> str:
    """Without what negative padding takes away."""
    shape = state.type_of(tensor).shape
    starts = (0, *(max(0, -first) for first, _ in pads))
    ends = (0, *(max(0, -last) for _, last in pads))
    if not any((*starts, *ends)):
        return tensor
    sizes = tuple(n - a - b for n, a, b in zip(shape, starts, ends, strict=True))
    if min(sizes) < 1:
        raise node.refuse(f"its pads leave nothing of an image of {list(shape[1:])}")
    cut = f"{node.output}:cut"
    state.emit(Slice(f"{name}:cut", (tensor,), cut, starts, sizes, (1,) * len(shape)))
    return cut


def _parted(
    node: Node,
    state: Importer,
    tensor: str,
    conv: TransposedConvolution,
    weight: Weight,
    bias: Weight | None,
) -> None:
    """A convolution of one pixel to all pixels that come of it, which then stand side by side."""
    name, kernel = state.node_name(node), conv.window.kernel
    outputs, sides, rank = weight.codes.shape[0], state.type_of(tensor).shape[1:], len(kernel)
    area = prod(kernel)
    codes = weight.codes.reshape(outputs, -1, area).transpose(0, 2, 1)
    points = weight.per_output().repeat(area) if weight.frac_bits.size > 1 else weight.frac_bits
    weight = replace(
        weight, codes=codes.reshape(outputs * area, -1, *(1,) * rank), frac_bits=points
    )
    if bias is not None:
        points = bias.per_output().repeat(area) if bias.frac_bits.size > 1 else bias.frac_bits
        bias = replace(bias, codes=bias.codes.repeat(area), frac_bits=points)
    out = node.output
    one = Window.plain(*(1,) * rank)
    state.emit(Conv(name, (tensor,), f"{out}:pixels", weight, bias, one, conv.groups))
    parts = (outputs, *kernel, *sides)
    state.emit(Reshape(f"{name}:parts", (f"{out}:pixels",), f"{out}:parts", parts))
    order = (0, *(axis for n in range(rank) for axis in (1 + rank + n, 1 + n)))
    state.emit(Transpose(f"{name}:order", (f"{out}:parts",), f"{out}:order", order))
    shape = (outputs, *(n * k for n, k in zip(sides, kernel, strict=True)))
    state.emit(Reshape(f"{name}:join", (f"{out}:order",), out, shape))
