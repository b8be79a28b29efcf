"""The first step of every target: read the model, and let the interpreter tell what to expect."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..ir import FixedType, Graph, Input, Quantize, Weighted, interpret
from ..qonnx_import import load_qonnx
from .inputs import Inputs, count_of, part_of, random_inputs, read_inputs, save_inputs
from .steps import Facts, Step, StepContext

CHUNK = 256


def run_import(context: StepContext) -> Facts:
    """Read and check the model; write its graph, inputs and the codes that are expected."""
    graph = load_qonnx(context.model)
    (context.folder / "graph.txt").write_text(f"{graph}\n", encoding="utf-8")
    options = context.options
    if options.inputs:
        inputs: Inputs = read_inputs(options.inputs, graph, options.samples)
    else:
        inputs = random_inputs(graph, options.samples, options.seed)
    save_inputs(context.folder, inputs)
    samples = count_of(inputs)
    expected: dict[str, list[Any]] = {name: [] for name in graph.outputs}
    for start in range(0, samples, CHUNK):
        part = part_of(inputs, slice(start, start + CHUNK))
        for name, tensor in interpret(graph, part).items():
            expected[name].append(tensor.codes)
        context.progress(min(start + CHUNK, samples), samples, "samples interpreted")
    for index, name in enumerate(graph.outputs):
        np.save(context.folder / f"expected_{index}.npy", np.concatenate(expected[name]))
    fit = fitting(graph)
    facts = {
        "network": graph.name,
        "inputs": [{"name": op.output, "shape": list(op.shape)} for op in graph.inputs],
        "outputs": [_output(graph, name) for name in graph.outputs],
        "formats": formats(graph),
        "largest": largest(graph),
        "layers": layers(graph),
        "samples": samples,
        "casts_without_overflow": fit,
    }
    facts["checks"] = _told(graph, fit)
    (context.folder / "model.json").write_text(json.dumps(facts, indent=2) + "\n")
    context.log.info("%s: %d operations", graph.name, len(graph))
    return facts


IMPORT = Step(
    "import",
    "read the QONNX file, prove all ranges, interpret random or given inputs",
    run_import,
    options=("samples", "seed", "inputs"),
)
"""Every target begins with it."""


def fitting(graph: Graph) -> list[str]:
    """Casts whose operands provably fit: they cost no logic that saturates or wraps."""
    types = graph.types()
    casts = [op for op in graph.ops if isinstance(op, Quantize)]
    return [op.output for op in casts if op.fits(types[op.inputs[0]])]


def _told(graph: Graph, fit: list[str]) -> list[str]:
    """`fitting` in a sentence; casts of inputs are the host's."""
    types = graph.types()
    casts = [op for op in graph.ops if isinstance(op, Quantize)]
    inner = [op for op in casts if isinstance(types[op.inputs[0]], FixedType)]
    if not inner:
        return []
    which = f": {', '.join(fit)}" if fit else ""
    return [
        f"{len(fit)} of {len(inner)} casts provably cannot overflow and saturate nothing{which}"
    ]


def largest(graph: Graph) -> dict[str, float]:
    """Largest magnitude of each tensor of `formats`: what is proven of casts, that of weights."""
    found: dict[str, float] = {}
    for op in graph.ops:
        if isinstance(op, Quantize):
            kind = graph.fixed_type(op.output)
            bounds = np.maximum(-np.asarray(kind.low, float), np.asarray(kind.high, float))
            found[op.output] = float(np.ldexp(bounds, -np.asarray(kind.frac_bits)).max())
        elif isinstance(op, Weighted):
            for weight in (op.weight, op.bias):
                if weight is not None:
                    rows = np.abs(weight.codes.reshape(len(weight.codes), -1)).max(axis=1)
                    values = np.ldexp(rows.astype(float), -np.asarray(weight.frac_bits))
                    found[weight.name or op.name] = float(values.max())
    return found


def formats(graph: Graph) -> dict[str, list[str]]:
    """The learned formats: of every cast and every weight, one or one per channel."""
    found: dict[str, list[str]] = {}
    for op in graph.ops:
        if isinstance(op, Quantize):
            found[op.output] = [str(fmt) for fmt in op.formats]
        elif isinstance(op, Weighted):
            for weight in (op.weight, op.bias):
                if weight is not None:
                    points = sorted({int(bits) for bits in weight.frac_bits})
                    found[weight.name or op.name] = [
                        _format(weight.width, bits, weight.signed) for bits in points
                    ]
    return found


def layers(graph: Graph) -> list[dict[str, Any]]:
    """Work and word lengths of every operation but inputs and constants."""
    types = graph.types()
    rows = []
    for op in graph.ops:
        kind = types[op.output]
        if isinstance(op, Input) or not op.inputs or not isinstance(kind, FixedType):
            continue
        row = {
            "name": op.name,
            "kind": type(op).__name__,
            "shape": list(kind.shape),
            "format": str(kind.format),
        }
        if isinstance(op, Weighted):
            row |= _work(op, prod(kind.shape[1:]))
        rows.append(row)
    return rows


def _work(op: Weighted, positions: int) -> dict[str, Any]:
    codes = op.weight.codes
    return {
        "macs": int(codes.size) * positions,
        "weights": int(codes.size),
        "zeros": int((codes == 0).sum()),
        "weight_bits": op.weight.width,
        "k": op.weight.k,
    }


def _output(graph: Graph, name: str) -> dict[str, Any]:
    kind = graph.fixed_type(name)
    return {
        "name": name,
        "shape": list(kind.shape),
        "formats": [str(fmt) for fmt in kind.channel_formats()],
        "frac_bits": [int(bits) for bits in kind.frac_bits],
    }


def _format(width: int, frac_bits: int, signed: bool) -> str:
    from brevitas_quantizers.fixed_point import FixedPointFormat

    return str(FixedPointFormat.from_frac_bits(width, frac_bits, signed))


def expected_codes(context: StepContext, folder: Path) -> dict[str, Any]:
    """The interpreter's codes of all samples, by output."""
    names = [entry["name"] for entry in context.facts("import")["outputs"]]
    return {name: np.load(folder / f"expected_{index}.npy") for index, name in enumerate(names)}
