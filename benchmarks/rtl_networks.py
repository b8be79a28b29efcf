"""Whole networks: accuracy, and what they cost unrolled and folded, K-hot against multipliers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import brevitas.nn as qnn
import torch
from torch import nn

from brevitas_quantizers import export_qonnx
from qfx_plugin import interpret, load_qonnx
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import Recipe, build
from qfx_plugin.demo.train import accuracy, train
from qfx_plugin.ir import Graph, Linear
from qfx_plugin.rtl.mvu import MatrixProduct, fold, matrix_product
from qfx_plugin.rtl.project import RtlOptions, build_network
from qfx_plugin.rtl.synthesis import ResourceEstimate, combine, estimate

CYCLES = 64
"""Every folded layer is done with a sample in at most so many cycles."""

RECIPES = (
    Recipe("8-bit", 8),
    Recipe("6-bit", 6),
    Recipe("4-bit", 4),
    Recipe("8-bit K=3", 8, k=3),
    Recipe("8-bit K=2", 8, k=2),
    Recipe("8-bit K=1", 8, k=1),
)
NETWORKS = ("16-64-32-32-5", "digits MLP")


def network_table(epochs: int, whole: bool, progress: Callable[[str], Any]) -> list[dict[str, Any]]:
    """One row for each network, recipe and kind of hardware.

    Args:
        epochs: of training.
        whole: synthesise the unrolled networks as well, which takes minutes each; else their LUTs
            are the adder-graph compiler's own count.
        progress: told what is going on.
    """
    rows: list[dict[str, Any]] = []
    for network in NETWORKS:
        for recipe in RECIPES:
            progress(f"{network}, {recipe.name}: train")
            graph, percent = _trained(network, recipe, epochs)
            facts = {"network": network, "recipe": recipe.name, "accuracy": round(percent, 2)}
            for hardware in _hardware(graph, recipe, whole, progress):
                rows.append(facts | hardware)
    return rows


def _trained(network: str, recipe: Recipe, epochs: int) -> tuple[Graph, float]:
    """The network as an integer graph, and its accuracy on the test images, by the interpreter."""
    data = load_dataset("digits")
    x_train, x_test = (x.reshape(len(x), -1) for x in (data.x_train, data.x_test))
    y_train, y_test = data.y_train, data.y_test
    torch.manual_seed(0)
    if network == "digits MLP":
        model = build("mlp", recipe, data.image_shape, data.classes)
    else:  # 2 x 2 pixels averaged; digits in five pairs
        x_train, x_test = (
            x.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) for x in (x_train, x_test)
        )
        y_train, y_test = y_train // 2, y_test // 2
        model = _mlp(recipe, (16, 64, 32, 32, 5))
    train(model, x_train, y_train, epochs, seed=0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_qonnx(model, torch.from_numpy(x_test[:1]), path)
        graph = load_qonnx(path)
    (logits,) = interpret(graph, x_test).values()
    return graph, accuracy(logits.values, y_test)


def _mlp(recipe: Recipe, sizes: tuple[int, ...]) -> nn.Sequential:
    options = recipe.activation_options()
    layers: list[nn.Module] = [qnn.QuantIdentity(**options, signed=False)]
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers.append(qnn.QuantLinear(inputs, outputs, **recipe.layer_options()))
        layers.append(qnn.QuantReLU(**options))
    return nn.Sequential(*layers[:-1])


def _hardware(
    graph: Graph, recipe: Recipe, whole: bool, progress: Callable[[str], Any]
) -> Iterator[dict[str, Any]]:
    progress(f"{recipe.name}: unrolled")
    yield _unrolled(graph, whole)
    kinds = [("folded, no multiplier", "auto", True)]
    if recipe.k is None:  # "auto" is radix 4 then; the same network with multipliers for comparison
        kinds += [("folded, LUT multipliers", "mul", False), ("folded, DSP", "mul", True)]
    for title, datapath, dsp in kinds:
        progress(f"{recipe.name}: {title}")
        yield {"hardware": title} | _folded(graph, datapath, dsp)


def _unrolled(graph: Graph, whole: bool) -> dict[str, Any]:
    network = build_network(graph, RtlOptions(style="unrolled"))
    row = {"hardware": "unrolled adder graph", "cycles": 1}
    if not whole:
        return row | _cells(None) | {"lut": network.facts["cost_lut"], "counted_by": "alkaid"}
    with TemporaryDirectory() as folder:
        sources = network.write(Path(folder))
        report = estimate(sources, network.name, timeout_s=3600, memory_gb=6)
    return row | _cells(report) | {"counted_by": "Yosys"}


def _folded(graph: Graph, datapath: str, dsp: bool) -> dict[str, Any]:
    """The layers' units side by side; weights in block RAM."""
    reports, bits, cycles = [], 0, 0
    for number, op in enumerate(op for op in graph.ops if isinstance(op, Linear)):
        product = matrix_product(op, graph)
        pe, simd = _folding(product)
        unit = fold(
            product, pe, simd, name=f"unit_{number}", datapath=datapath, rom_style="block", dsp=dsp
        )
        bits, cycles = bits + unit.memory_bits, max(cycles, unit.cycles)
        with TemporaryDirectory() as folder:
            sources = unit.write(Path(folder))
            memories = Path(folder).glob("*.mem")
            reports.append(estimate(sources, unit.name, memories=memories, dsp=dsp, timeout_s=1800))
    report = combine("network", reports)
    facts = {"cycles": cycles, "weight_bits": bits, "counted_by": "Yosys"}
    return facts | _cells(report)


def _folding(product: MatrixProduct) -> tuple[int, int]:
    """(PE, SIMD) of the smallest unit that takes at most CYCLES; the squarer of equal ones."""
    rows, columns = product.shape
    fitting = [
        (pe * simd, abs(pe - simd), pe, simd)
        for pe in range(1, rows + 1)
        for simd in range(1, columns + 1)
        if rows % pe == 0 and columns % simd == 0 and rows * columns <= CYCLES * pe * simd
    ]
    return min(fitting)[2:]


def _cells(report: ResourceEstimate | None) -> dict[str, Any]:
    if report is None:
        return dict.fromkeys(("lut", "ff", "dsp", "bram18", "depth"))
    total = report.total
    return {
        "lut": total.all_luts, "ff": total.ff, "dsp": total.dsp, "bram18": total.bram18,
        "depth": report.depth,
    }  # fmt: skip
