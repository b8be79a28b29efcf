"""The driver against the simulated board: MNIST images through AXI shell, DMA stand-in, registers.

    QFX_DATA=<folder> python benchmarks/driver_sim.py              1,000 MNIST images
    python benchmarks/driver_sim.py --data digits --samples 300    without any download

Every code that the driver gets is compared with the integer interpreter's, zero tolerance. All that
can wait does so at random: both streams, and every access to the shell's registers.
"""

from __future__ import annotations

import time
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from common import environment, parser, print_table, write_results

from brevitas_quantizers import export_qonnx
from qfx_plugin import RtlOptions, interpret, load_qonnx
from qfx_plugin.demo.data import Dataset, load_dataset
from qfx_plugin.demo.models import Recipe
from qfx_plugin.demo.models import build as make
from qfx_plugin.demo.train import train
from qfx_plugin.driver import QfxAccelerator
from qfx_plugin.ir import Conv, FixedTensor, Graph, Linear
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.rtl.project import build_network
from qfx_plugin.shell.simulated_board import SimulatedBoard
from qfx_plugin.shell.wrap import wrap

NETWORKS = (("mlp", Recipe("8-bit", 8)), ("cnn", Recipe("4-bit", 4)))
FOLD_ABOVE = 500
"""Layers with more weights share hardware over time in a folded unit."""

CYCLES = 1000
"""Every folded layer is done with an image in at most so many cycles."""

TRANSFER = 256
"""Images of a transfer; the driver packs the next one while one runs."""

PAUSES = (0.3, 0.0)
"""With pauses for the comparison; without for the network's own pace."""


def main() -> None:
    """Run each network, print the table, write `benchmarks/results/driver_sim.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default="mnist")
    arguments.add_argument("--samples", type=int, default=1000)
    arguments.add_argument("--epochs", type=int, default=1)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(options.data)
    rows: list[dict[str, Any]] = []
    for network, recipe in NETWORKS:
        graph = trained(network, recipe, data, options.epochs)
        flat = network == "mlp"
        x = data.x_test[: options.samples]
        x = x.reshape(len(x), -1) if flat else x
        for row in measure(graph, x, data.y_test[: len(x)], options.seed):
            rows.append({"network": f"{options.data} {network} {recipe.name}", **row})
            print(rows[-1], flush=True)
    print_table(rows)
    differing = sum(row["differing"] for row in rows)
    print(f"{sum(row['codes'] for row in rows)} codes compared, {differing} differ")
    write_results("driver_sim", {"options": vars(options), "rows": rows} | environment())
    if differing:
        raise SystemExit(1)


def trained(network: str, recipe: Recipe, data: Dataset, epochs: int) -> Graph:
    """The trained network as an integer graph."""
    torch.manual_seed(0)
    model = make(network, recipe, data.image_shape, data.classes)
    x = data.x_train.reshape(len(data.x_train), -1) if network == "mlp" else data.x_train
    train(model, x, data.y_train, epochs, seed=0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_qonnx(model, torch.from_numpy(x[:1]), path)
        return load_qonnx(path)


def foldings(graph: Graph) -> dict[str, tuple[int, int]]:
    """(PE, SIMD) of the smallest unit that is quick enough, by layer; the squarest of equals."""
    chosen = {}
    for op in graph.ops:
        if isinstance(op, Linear | Conv) and op.weight.codes.size > FOLD_ABOVE:
            rows, columns = len(op.weight.codes), op.weight.codes[0].size
            work = rows * columns * prod(graph.fixed_type(op.output).shape[1:])
            fitting = [
                (pe * simd, abs(pe - simd), pe, simd)
                for pe in range(1, rows + 1)
                for simd in range(1, columns + 1)
                if rows % pe == 0 and columns % simd == 0 and work <= CYCLES * pe * simd
            ]
            chosen[op.name] = min(fitting)[2:]
    return chosen


def measure(graph: Graph, x: np.ndarray, labels: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """One row for each amount of pauses."""
    start = time.perf_counter()
    network = build_network(graph, RtlOptions(style="streaming", fold=foldings(graph)))
    shell = wrap(network)
    print(f"{graph.name}: Verilog in {time.perf_counter() - start:.0f} s", flush=True)
    (expected,) = interpret(graph, x).values()
    rows = []
    for pauses in PAUSES:
        start = time.perf_counter()
        board = SimulatedBoard.of(network, shell, pauses=pauses, seed=seed)
        compiled = time.perf_counter()
        with QfxAccelerator(
            board, shell.description, timeout=3600, transfer_samples=TRANSFER
        ) as accelerator:
            run = accelerator.start(x, codes=True)
            codes = run.wait()
        figures = run.figures
        rows.append(
            {
                "pauses": pauses,
                "images": len(x),
                "codes": codes.size,
                "differing": int(
                    compare_codes(expected, FixedTensor(codes, expected.frac_bits))[0].sum()
                ),
                "accuracy": round(100 * float((codes.argmax(axis=1) == labels).mean()), 2),
                "interval": network.interval,
                "cycles_per_image": round(figures.cycles / len(x), 1),
                "latency_cycles": figures.latency_cycles,
                "transfers": figures.transfers,
                "compile_s": round(compiled - start, 1),
                "run_s": round(time.perf_counter() - compiled, 1),
            }
        )
    return rows


if __name__ == "__main__":
    main()
