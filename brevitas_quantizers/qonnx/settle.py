"""Sizes that an exporter computes in the graph, as the constants that they are.

The example input fixes all shapes. What moves elements says so with constants then, for any batch,
and in one form whatever the exporter: an Expand leaves the batch alone, a Resize has scales, a
Slice has ends within its operand, and the indices of a Gather count from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from brevitas_quantizers.onnx_files import STANDARD_DOMAINS

from .patterns import drop_unread

_INTEGERS = "iub"
_SCALES = ":scales"

Shape = tuple[int, ...]


def settle_sizes(exported: onnx.ModelProto) -> None:
    """Change the exporter's graph in place."""
    graph = exported.graph
    shapes = _shapes(exported)
    while _fold(exported, shapes) or _mend(graph, shapes):
        shapes = _shapes(exported)
    for node in graph.node:
        for entry in node.attribute:
            if entry.name == "axis" and entry.i < 0 and node.input[0] in shapes:
                entry.i += len(shapes[node.input[0]])
        if node.op_type in _FORMS and node.input[0] in shapes:
            _FORMS[node.op_type](node, graph, shapes)
    _share(graph)
    _write_down(graph, shapes)
    drop_unread(graph)


def _share(graph: onnx.GraphProto) -> None:
    """One constant for all equal sizes, so that equal nodes are seen to be equal."""
    first: dict[tuple[object, ...], str] = {}
    same = {}
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name.endswith(_SCALES):
            values = numpy_helper.to_array(tensor)
            key = (tensor.data_type, values.shape, values.tobytes())
            same[tensor.name] = first.setdefault(key, tensor.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = same.get(name, name)


def _write_down(graph: onnx.GraphProto, shapes: dict[str, Shape]) -> None:
    """Shapes that the exporter did not know, since it computed them."""
    for value in (*graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, shapes.get(value.name, ()), strict=False):
            dim.dim_value = size


def _shapes(exported: onnx.ModelProto) -> dict[str, Shape]:
    """Of every tensor of which ONNX infers it; casts and marks keep that of their operand."""
    plain = onnx.ModelProto.FromString(exported.SerializeToString())
    for node in plain.graph.node:
        if node.domain not in STANDARD_DOMAINS:
            kept = (node.input[0], node.output[0])
            node.Clear()
            node.op_type = "Identity"
            node.input.append(kept[0])
            node.output.append(kept[1])
    del plain.graph.value_info[:]
    for value in plain.graph.output:  # as far as the exporter knew
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(plain, data_prop=True).graph
    found = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def _fold(exported: onnx.ModelProto, shapes: dict[str, Shape]) -> bool:
    """Compute what depends on integers alone, and shapes; whether shapes may be known now."""
    graph, found = exported.graph, False
    known = dict(_integers(graph))
    kept = []
    for node in graph.node:
        values = _computed(exported, node, known, shapes)
        if values is None:
            kept.append(node)
            continue
        for name, value in zip(node.output, values, strict=True):
            if value.dtype.kind in _INTEGERS:
                known[name] = value
            graph.initializer.append(numpy_helper.from_array(value, name))
        found |= node.op_type != "Constant"
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)
    return found


def _mend(graph: onnx.GraphProto, shapes: dict[str, Shape]) -> bool:
    """Write what torch computes in the place of the next node that is something else."""
    return any(
        _MENDS[node.op_type](node, graph, shapes)
        for node in graph.node
        if node.op_type in _MENDS and node.input[0] in shapes
    )


def _integers(graph: onnx.GraphProto) -> Iterator[tuple[str, NDArray[np.generic]]]:
    for tensor in graph.initializer:
        if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            yield tensor.name, numpy_helper.to_array(tensor)


def _computed(
    exported: onnx.ModelProto,
    node: onnx.NodeProto,
    known: dict[str, NDArray[np.generic]],
    shapes: dict[str, Shape],
) -> list[NDArray[np.generic]] | None:
    if node.domain not in STANDARD_DOMAINS or any(entry.HasField("g") for entry in node.attribute):
        return None
    if node.op_type == "Shape":
        if node.input[0] not in shapes:
            return None
        ends = {entry.name: entry.i for entry in node.attribute}
        part = shapes[node.input[0]][ends.get("start", 0) : ends.get("end")]
        return [np.array(part, dtype=np.int64)]
    names = [name for name in node.input if name]
    if not names or not all(name in known for name in names):
        return None
    inputs = [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names)]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    part_graph = onnx.helper.make_graph([node], "sizes", inputs, outputs)
    model = onnx.helper.make_model(part_graph, opset_imports=exported.opset_import)
    found = ReferenceEvaluator(model).run(None, {name: known[name] for name in names})
    return [np.asarray(value) for value in found]


# One form -----------------------------------------------------------------------------------------


def _constant(graph: onnx.GraphProto, name: str) -> NDArray[np.generic] | None:
    found = [tensor for tensor in graph.initializer if tensor.name == name]
    return numpy_helper.to_array(found[0]) if found else None


def _put(
    graph: onnx.GraphProto, node: onnx.NodeProto, role: str, values: NDArray[np.generic]
) -> str:
    name = f"{node.output[0]}:{role}"
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _expand(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> None:
    sizes, old = _constant(graph, node.input[1]), shapes[node.input[0]]
    if sizes is not None and len(sizes) == len(old) and sizes[0] in (1, old[0]):
        # One where nothing is repeated: for any batch, and whatever the exporter has written.
        sizes = np.where(np.array(old) == np.maximum(sizes, 1), 1, sizes)
        node.input[1] = _put(graph, node, "shape", sizes)
        if (sizes == 1).all():  # a repetition begins so
            for reader in graph.node:
                for index, name in enumerate(reader.input):
                    if name == node.output[0]:
                        reader.input[index] = node.input[0]


def _resize(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> None:
    *_, scales, sizes = (*(_constant(graph, name) for name in node.input), None, None, None)[1:4]
    old = np.array(shapes[node.input[0]])
    if sizes is not None and len(sizes) == len(old) and not (sizes % old).any():
        scales = sizes // old
    if scales is not None:
        names = [node.input[0], "", _put(graph, node, _SCALES[1:], scales.astype(np.float32))]
        del node.input[:]
        node.input.extend(names)


def _slice(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> None:
    found = [_constant(graph, name) for name in node.input[1:]]
    if len(found) < 2 or any(values is None for values in found):
        return
    starts, ends, *rest = (np.asarray(values) for values in found if values is not None)
    axes = rest[0] if rest else np.arange(len(starts))
    steps = rest[1] if len(rest) > 1 else np.ones_like(starts)
    shape, columns = shapes[node.input[0]], []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = int(axis) % len(shape)
        one = range(*slice(int(start), int(end), int(step)).indices(shape[place]))
        if place == 0 or not one:
            return
        stop = one[-1] + one.step
        columns.append((one.start, stop if stop >= 0 else -(1 << 62), place, one.step))
    names = [node.input[0]]
    for role, column in zip(
        ("starts", "ends", "axes", "steps"), zip(*columns, strict=True), strict=True
    ):
        names.append(_put(graph, node, role, np.array(column, dtype=np.int64)))
    del node.input[:]
    node.input.extend(names)


def _gather(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> None:
    indices = _constant(graph, node.input[1])
    axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 0)
    if indices is not None and (np.asarray(indices) < 0).any():
        node.input[1] = _put(graph, node, "indices", indices % shapes[node.input[0]][axis])


def _split(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> bool:
    """The last part is what is left; TorchScript's exporter may not have known the size."""
    sizes = _constant(graph, node.input[1]) if len(node.input) > 1 else None
    axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 0)
    if sizes is None:
        return False
    last = shapes[node.input[0]][axis] - int(sizes[:-1].sum())
    if last == sizes[-1] or not 0 < last < sizes[0] or len(set(sizes.tolist())) > 1:
        return False
    node.input[1] = _put(graph, node, "sizes", np.array([*sizes[:-1], last], np.int64))
    return True


def _max_pool(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> bool:
    """torch has no window that begins behind the image; ONNX, told ceil_mode, has."""
    given = {a.name: list(a.ints) for a in node.attribute if a.type == onnx.AttributeProto.INTS}
    ceil = [a for a in node.attribute if a.name == "ceil_mode" and a.i]
    sizes, kernel = shapes[node.input[0]][2:], given["kernel_shape"]
    rank = len(kernel)
    ones, pads = [1] * rank, given.get("pads", [0] * (2 * rank))
    steps, gaps = given.get("strides", ones), given.get("dilations", ones)
    ends, drops = list(pads), False
    for n, (size, k, step, gap) in enumerate(zip(sizes, kernel, steps, gaps, strict=True)):
        extent, first = gap * (k - 1) + 1, pads[n]
        begin = -(-(size + first + pads[rank + n] - extent) // step) * step
        drops |= begin >= size + first
        if begin < size + first:
            ends[rank + n] = max(pads[rank + n], begin + extent - size - first)
    if not ceil or not drops:
        return False
    ceil[0].i = 0
    for entry in [a for a in node.attribute if a.name == "pads"]:
        node.attribute.remove(entry)
    node.attribute.append(onnx.helper.make_attribute("pads", ends))
    return True


def _concat(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> bool:
    """Without the empty part of a roll by the whole size, all of which is the other part."""
    slices = {other.output[0]: other for other in graph.node if other.op_type == "Slice"}
    empty = [
        name
        for name in node.input
        if name in slices
        and 0 in shapes.get(name, ())
        and _ends_at_size(slices[name], graph, shapes)
    ]
    if not empty or len(empty) == len(node.input):
        return False
    kept = [name for name in node.input if name not in empty]
    del node.input[:]
    node.input.extend(kept)
    if len(kept) == 1:
        node.op_type = "Identity"
        del node.attribute[:]
    return True


def _ends_at_size(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> bool:
    """Whether an empty Slice begins, or ends, exactly where its operand does."""
    starts, ends, axes = (_constant(graph, name) for name in node.input[1:4])
    shape = shapes.get(node.input[0])
    if shape is None or starts is None or ends is None or axes is None or len(axes) != 1:
        return False
    size = shape[int(axes[0])]
    return int(starts[0]) == size or (int(starts[0]) == 0 and int(ends[0]) == -size)


_MENDS = {"Concat": _concat, "MaxPool": _max_pool, "Split": _split}
"""What an exporter writes that is not what torch computes; whether there was anything."""
_FORMS = {"Expand": _expand, "Gather": _gather, "Resize": _resize, "Slice": _slice}
