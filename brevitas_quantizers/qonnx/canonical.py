"""Names that follow from the network alone, not from the exporter or from Python classes.

The exporters name nodes by call stacks, source files and counters, and share equal constants
between nodes that have nothing in common. Here a node is called by its layer (`conv1/Conv`,
`conv1.weight_quant`), and its constants by the node (`conv1.weight_quant.scale`), so that a
network that was imported again is exported with the same bytes.
"""

from __future__ import annotations

from collections import Counter

import onnx

_ROLES = {
    "Quant": ("", "scale", "zero_point", "bit_width"),
    "Reshape": ("", "shape"),
    "Unsqueeze": ("", "axes"),
    "Squeeze": ("", "axes"),
    "ReduceSum": ("", "axes"),
    "ReduceMean": ("", "axes"),
    "Clip": ("", "min", "max"),
    "Expand": ("", "shape"),
    "Gather": ("", "indices"),
    "Pad": ("", "pads", "value"),
    "Resize": ("", "region", "scales"),
    "Slice": ("", "starts", "ends", "axes", "steps"),
    "Split": ("", "split"),
    "Tile": ("", "repeats"),
}
_KEPT_PROPERTIES = ("functions", "training_info", "metadata_props")


def canonicalise(exported: onnx.ModelProto, outputs: list[str]) -> None:
    """Rename nodes, tensors and constants, in place; drop what describes the exporter's run.

    Args:
        exported: changed in place.
        outputs: names for the results.
    """
    graph = exported.graph
    exported.doc_string = ""
    for name in _KEPT_PROPERTIES:
        exported.ClearField(name)
    opsets = sorted(exported.opset_import, key=lambda opset: opset.domain)
    pairs = [(opset.domain, opset.version) for opset in opsets]
    del exported.opset_import[:]
    exported.opset_import.extend(onnx.helper.make_opsetid(*pair) for pair in pairs)
    _Renaming(graph).apply(outputs)
    for node in graph.node:
        node.doc_string = ""
        node.ClearField("metadata_props")
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in attributes]
        for attribute in copies:
            attribute.doc_string = ""
        del node.attribute[:]
        node.attribute.extend(copies)


def merge_equal_nodes(graph: onnx.GraphProto, kept: tuple[str, ...]) -> None:
    """Compute once what several nodes compute; exporters do so for some spellings of a call.

    Args:
        graph: changed in place.
        kept: types of nodes that stay as they are.
    """
    outputs = {value.name for value in graph.output}
    same: dict[str, str] = {}
    seen: dict[tuple[object, ...], list[str]] = {}
    nodes = []
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = same.get(name, name)
        attributes = sorted((a.name, a.SerializeToString()) for a in node.attribute)
        key = (node.op_type, node.domain, tuple(node.input), tuple(attributes))
        mine = list(node.output)
        if node.op_type in kept or outputs & set(mine):
            nodes.append(node)
        elif key in seen and len(seen[key]) == len(mine):
            same |= zip(mine, seen[key], strict=True)
        else:
            seen[key] = mine
            nodes.append(node)
    if same:
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)


class _Renaming:
    """One graph and the names given so far."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.layers: dict[str, str] = {}  # of quantized constants and what is computed from them
        self.new: dict[str, str] = {}
        self.initializers: list[onnx.TensorProto] = []
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.counts: Counter[str] = Counter()
        self.taken = {value.name for value in graph.input}

    def apply(self, outputs: list[str]) -> None:
        graph = self.graph
        for output, name in zip(graph.output, outputs, strict=True):
            self.new[output.name] = output.name = self._free(name)
        self.new |= {value.name: value.name for value in graph.input}
        parameters = [n.input[0] for n in graph.node if n.op_type == "Quant"]
        self.taken |= {name for name in parameters if name in self.constants}
        infos = {value.name: value for value in graph.value_info}
        kept = []
        for node in graph.node:
            self._rename(node)
            kept += [(infos[old], new) for old, new in self._outputs(node) if old in infos]
        values = [_typed(info, name) for info, name in kept]
        del graph.value_info[:], graph.initializer[:]
        graph.value_info.extend(values)
        graph.initializer.extend(self.initializers)
        graph.ClearField("metadata_props")
        graph.doc_string = ""
        for value in (*graph.input, *graph.output):
            value.ClearField("metadata_props")
            value.doc_string = ""

    def _outputs(self, node: onnx.NodeProto) -> list[tuple[str, str]]:
        """Rename the results; pairs of old and new name of those inside the graph."""
        pairs = []
        for index, old in enumerate(node.output):
            if old and old not in self.new:
                new = self._free(f"{node.name}.{index}") if index else node.name
                self.new[old] = new
                pairs.append((old, new))
            node.output[index] = self.new.get(old, "")
        return pairs

    def _rename(self, node: onnx.NodeProto) -> None:
        layer = self._layer(node)
        if node.op_type == "Quant":
            base = f"{_text(node, 'qfx_name') or 'quantizer'}_quant"
        elif layer:
            base = f"{layer}/{node.op_type}"
        else:
            base = f"{node.op_type}_{self.counts[node.op_type]}"
            self.counts[node.op_type] += 1
        node.name = self._free(base)
        for index, old in enumerate(node.input):
            if old in self.constants:
                node.input[index] = self._constant(node, index, old)
            elif old:
                node.input[index] = self.new[old]

    def _constant(self, node: onnx.NodeProto, index: int, old: str) -> str:
        """A copy of the initializer for this node alone; parameters stay as they are called."""
        is_parameter = node.op_type == "Quant" and index == 0
        if is_parameter and old in self.new:
            return old
        copied = onnx.TensorProto.FromString(self.constants[old].SerializeToString())
        copied.doc_string = ""
        copied.ClearField("metadata_props")
        if is_parameter:
            self.new[old] = old
        else:
            roles = _ROLES.get(node.op_type, ())
            role = roles[index] if index < len(roles) and roles[index] else f"constant_{index}"
            copied.name = self._free(f"{node.name}.{role}")
        self.initializers.append(copied)
        return copied.name

    def _layer(self, node: onnx.NodeProto) -> str:
        """The layer that a node belongs to, as far as quantizers tell."""
        if node.op_type == "Quant":
            if node.input[0] in self.constants:
                self.layers[node.output[0]] = _stem(node.input[0])
            return ""
        layers = [self.layers[name] for name in node.input if name in self.layers]
        rest = [n for n in node.input if n not in self.layers and n not in self.constants]
        if layers and not rest:  # a constant that is transposed, say
            self.layers[node.output[0]] = layers[0]
        if layers:
            return layers[0]
        readers = [r for name in node.output for r in self.readers.get(name, ())]
        if len(readers) == 1 and readers[0].op_type == "Quant":
            return _stem(_text(readers[0], "qfx_name"))
        return ""

    def _free(self, base: str) -> str:
        name, number = base, 0
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name


def _typed(info: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    value = onnx.ValueInfoProto()
    value.name = name
    value.type.CopyFrom(info.type)
    return value


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _text(node: onnx.NodeProto, name: str) -> str:
    return next((a.s.decode() for a in node.attribute if a.name == name), "")
