"""`import_qonnx`: the steps of an import, in order."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import onnx
import torch
from torch import fx

from brevitas_quantizers.fixed_point import ModelImportError, QfxWarning
from brevitas_quantizers.injectors.saving import picklable
from brevitas_quantizers.injectors.sources import tie_accumulators
from brevitas_quantizers.onnx_files import (
    Node,
    Refusals,
    SnappedScale,
    adopt,
    fold_size,
    join_overflows,
    move_constant,
    ordered_nodes,
    read_model,
    reader_of,
    warn_of_changes,
)

from .builder import NetworkBuilder, converts
from .casts import convert_cast
from .growth import Growth, check_sizes
from .metadata import Metadata
from .report import ImportReport

MAX_NODES = 20_000
REPORT = "qfx_import"
_MAX_NESTING = 32


def import_qonnx(
    path: str | os.PathLike[str] | onnx.ModelProto,
    *,
    snap_scales: bool = False,
    latents: bool = True,
    outputs: Sequence[str] | None = None,
) -> fx.GraphModule:
    """Read QONNX as a network that trains: the inverse of `export_qonnx`.

    A file of ours comes back with the layers, formats, modes, options, latent binary points and
    trained floats it was exported with. Files of others are read where every number is fixed point.

    Args:
        path: an `.onnx` file, or a `ModelProto`.
        snap_scales: move a scale that is no power of two to the nearest one, with a warning that
            says by how much; otherwise such a scale is an error.
        latents: use the trained floats in the metadata; otherwise weights start from the values in
            the file, and batch norms keep their constants.
        outputs: tensors of the file to return instead of its own outputs: what is in front of a
            Softmax at the end, say, which has no exact fixed-point form.

    Returns:
        The network in evaluation mode, on the CPU; `meta["qfx_import"]` is an `ImportReport`.

    Raises:
        ModelImportError: the file is damaged, or a node, called by its name, is no fixed point.
    """
    model = read_model(path, MAX_NODES)
    metadata = Metadata(model)
    if not latents:
        metadata.state = {}
    name = model.graph.name or "model"
    own = [value.name for value in model.graph.output]
    outputs = own if outputs is None else list(outputs)
    if not outputs:
        raise ModelImportError(f"{name}: the graph must have an output, not 0")
    refusals = Refusals(name)
    graph, cast = adopt(model, outputs, refusals, snap_scales)
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    nodes = ordered_nodes([Node(proto) for proto in graph.node], known, outputs)
    nodes = join_overflows(nodes, graph, outputs)
    with torch.random.fork_rng(devices=[]):  # layers draw their first weights
        network = NetworkBuilder(
            graph, nodes, metadata, outputs, reader_of(model), snap_scales, refusals
        )
        network.own_outputs = outputs == own
        with _default_dtype(torch.float64 if network.needs_double else torch.float32):
            _convert(nodes, network, refusals)
            refusals.raise_if_any()
            result = _finish(network)
    report = replace(_report(network), cast=tuple(cast))
    result.meta[REPORT] = report
    _warn(report)
    return result


def _convert(nodes: list[Node], network: NetworkBuilder, refusals: Refusals) -> None:
    for node in nodes:  # constants first: layers look ahead for them
        with refusals.collecting(node):
            if move_constant(node, network.constants):
                network.done.add(node.output)
    growth = Growth()
    for node in nodes:
        with refusals.collecting(node):
            if refusals.blocks(node):
                converts.check(node)
                continue
            growth.follow(node)
            known = len(network.values)
            network.start_dropouts(node)
            _convert_node(node, network)
            check_sizes(node, islice(network.values.values(), known, None))


def _convert_node(node: Node, network: NetworkBuilder) -> None:
    constants = network.constants
    if any(name in network.done for name in node.outputs):
        return
    if node.is_quant:
        if node.output not in constants:
            convert_cast(node, network)
    elif node.output_or_none in constants.raw or fold_size(node, constants, network.sample):
        return
    else:
        converts.convert(node, network)


def _finish(network: NetworkBuilder) -> fx.GraphModule:
    values = []
    for index, name in enumerate(network.outputs):
        if name not in network.values:
            raise ModelImportError(f"output {name!r} must depend on the network's input")
        values.append(network.plain(network.behind_dropouts(name, "", index)).node)
    network.check_nothing_waits()
    network.graph.output(_nested(network, values))
    network.layers.finish(network.needs_double)
    _name_again(network)
    result = picklable(network.layers.tree, network.graph, "ImportedQonnx")
    tie_accumulators(result)
    return result.eval()


def _nested(network: NetworkBuilder, values: list[fx.Node]) -> Any:
    """The results as the exported model has returned them, where the outputs are still those."""
    structure = network.metadata.outputs
    row = values[0] if len(values) == 1 else tuple(values)
    if structure is None or not network.own_outputs:
        return row
    used: list[int] = []
    nested = _fill_in(structure, values, used)
    if sorted(used) == list(range(len(values))):
        return nested
    network.metadata.notes.append("the outputs have no longer the nesting in the metadata")
    return row


def _fill_in(structure: object, values: list[fx.Node], used: list[int], depth: int = 0) -> Any:
    if depth > _MAX_NESTING:
        return None
    if isinstance(structure, dict):
        keys, parts = (structure.get(name) for name in ("keys", "parts"))
        if not isinstance(keys, list) or not isinstance(parts, list) or len(keys) != len(parts):
            return None
        pairs = zip(keys, parts, strict=True)
        return {str(key): _fill_in(part, values, used, depth + 1) for key, part in pairs}
    if isinstance(structure, list):
        return tuple(_fill_in(part, values, used, depth + 1) for part in structure)
    if type(structure) is int and 0 <= structure < len(values):
        used.append(structure)
        return values[structure]
    return None


def _name_again(network: NetworkBuilder) -> None:
    """Layers that have had several names get them back; calls take them in turn."""
    names: dict[str, list[str]] = {}
    for name, first in network.metadata.aliases.items():
        path = network.layers.place_again(name, first)
        if path is not None:
            names.setdefault(network.layers.path_of(first), []).append(path)
    calls: Counter[str] = Counter()
    for node in network.graph.nodes:
        target = node.target
        if node.op == "call_module" and target in names:
            paths = [target, *names[target]]
            node.target = paths[calls[target] % len(paths)]
            calls[target] += 1


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Layers are built in this element type: their first casts have to hold the codes."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _report(network: NetworkBuilder) -> ImportReport:
    return ImportReport(tuple(_snapped(network)), tuple(network.layers.notes()))


def _snapped(network: NetworkBuilder) -> list[SnappedScale]:
    """Every moved scale, with what that did to the values of constants."""
    found = [constant.snapped for constant in network.quantized]
    found += [cast.spec.snapped for cast in network.casts]
    return [scale for scale in found if scale is not None]


def _warn(report: ImportReport) -> None:
    warn_of_changes("import_qonnx", report.snapped, report.cast, 3)
    for note in report.notes:
        warnings.warn(f"import_qonnx: {note}", QfxWarning, stacklevel=3)
