"""Simulated Verilog against the integer interpreter, code by code.

    python benchmarks/rtl_bits.py --part demo      # the demo's networks on digits: all test samples
    #   of the MLP, 1,000 samples of the CNN
    QFX_DATA=<folder> python benchmarks/rtl_bits.py --part lenet   # LeNet on MNIST
    python benchmarks/rtl_bits.py --part random --count 500        # random small networks, as in
    #   the slow tests: unrolled, streaming and folded by turns, compiled by the batch
    python benchmarks/rtl_bits.py --part graphs --count 500        # larger random networks, by the
    #   adder-graph compiler's own interpreter: no simulation

`--minutes` bounds a run; the results say how many networks it reached.

Networks are trained for a few epochs: enough that their codes are those of a trained network.
Streams run with idle cycles and back-pressure.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from common import environment, parser, print_table, write_results
from torch import nn

from brevitas_quantizers import export_qonnx, quantize
from qfx_plugin import Graph, interpret, load_qonnx
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import RECIPES, build
from qfx_plugin.demo.run import as_input
from qfx_plugin.demo.train import train
from qfx_plugin.ir import FixedTensor
from qfx_plugin.ir.compare import Tally
from qfx_plugin.rtl.graph.kernel import GraphOptions, build_kernel
from qfx_plugin.rtl.ports import entry_codes, hardware_ops, hardware_ports
from qfx_plugin.rtl.project import RtlOptions, build_network

sys.path.insert(0, str(Path(__file__).parents[1]))

PARTS = {"demo": "demo", "lenet": "lenet", "random": "random_networks", "graphs": "adder_graphs"}
"""The function of each part."""


def main() -> None:
    """Run one part, print the table, write `benchmarks/results/rtl_bits_<part>.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--part", choices=PARTS, default="demo")
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--minutes", type=float, default=600.0)
    arguments.add_argument("--samples", type=int, default=1000)
    arguments.add_argument("--networks", nargs="+", default=["mlp", "cnn"])
    arguments.add_argument("--epochs", type=int, default=2)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    rows = []
    began = sum(os.times()[:4])
    deadline = time.monotonic() + 60 * options.minutes
    for row in globals()[PARTS[options.part]](options):
        rows.append(row)
        print(row, flush=True)
        if time.monotonic() > deadline:
            break
    print_table(rows)
    codes = sum(row["codes"] for row in rows)
    print(f"{codes} codes of {len(rows)} networks compared, every one equal")
    totals = {"networks": len(rows), "codes": codes, "differing": 0}
    if len(rows) > 20:  # the names say enough: each network follows from its name
        totals |= {"last": rows[-1]["network"], "adders": sum(row["adders"] for row in rows)}
        totals |= {"styles": Counter(row["style"] for row in rows if "style" in row)}
        totals |= {"refused_draws": sum(row.get("refused", 0) for row in rows)}
        totals |= {"processor_seconds": round(sum(os.times()[:4]) - began)}
        rows = []
    part = options.part
    if part == "demo" and len(options.networks) == 1:
        part = f"demo_{options.networks[0]}"
    write_results(f"rtl_bits_{part}", totals | {"rows": rows} | environment())


def demo(options: Any) -> Iterator[dict[str, Any]]:
    """The demo's MLP and CNN at every recipe."""
    data = load_dataset("digits")
    many = np.concatenate([data.x_test, data.x_train])[: max(options.samples, len(data.x_test))]
    for network in options.networks:
        for recipe in RECIPES[1:]:
            torch.manual_seed(0)
            model = build(network, recipe, data.image_shape, data.classes)
            train(model, as_input(network, data.x_train), data.y_train, options.epochs, seed=0)
            graph = exported(model, as_input(network, data.x_test))
            x = data.x_test if network == "mlp" else many
            yield compare(f"{network} {recipe.name}", graph, as_input(network, x))


def lenet(options: Any) -> Iterator[dict[str, Any]]:
    """LeNet on MNIST, folded where it is large."""
    from mnist_lenet import lenet as make

    data = load_dataset("mnist")
    torch.manual_seed(0)
    model = quantize(make(), bit_width=6)
    train(model, data.x_train[:6000], data.y_train[:6000], options.epochs, seed=0)
    x = data.x_test[: options.samples]
    yield compare("lenet 6-bit", exported(model, x), x)


def random_networks(options: Any) -> Iterator[dict[str, Any]]:
    """The small random networks of the slow tests."""
    from tests.rtl.small_networks import BATCH, case, simulate

    for first in range(0, options.count, BATCH):
        cases = [case(index) for index in range(first, min(first + BATCH, options.count))]
        for one, codes in zip(cases, simulate(cases), strict=True):
            yield {
                "network": one.network.name,
                "style": one.style,
                "operations": len(one.network.graph.ops),
                "adders": one.rtl.facts["adders"],
                "codes": codes,
                "refused": len(one.refused),
            }


def adder_graphs(options: Any) -> Iterator[dict[str, Any]]:
    """Random networks as adder graphs, run by the compiler's own interpreter."""
    from tests.rtl.small_networks import small_networks

    for network in islice(small_networks("rtl", most=1000), options.count):
        start = time.perf_counter()
        inputs, outputs = hardware_ports(network.graph)
        kernel = build_kernel(
            hardware_ops(network.graph), network.graph.types(), inputs, outputs, "net",
            GraphOptions(),
        )  # fmt: skip
        got = kernel.emulate(entry_codes(network.graph, network.x))
        want = interpret(network.graph, network.x)
        tally = Tally(f"{network.name}: the adder graph")
        tally.add(want, {n: FixedTensor(got[n], t.frac_bits) for n, t in want.items()})
        codes = tally.require_equal()
        yield {
            "network": network.name,
            "adders": kernel.adders,
            "codes": codes,
            "build_s": round(time.perf_counter() - start, 1),
        }


def exported(model: nn.Module, x: np.ndarray) -> Graph:
    """The network as the intermediate model reads it from its QONNX file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_qonnx(model, torch.from_numpy(x[:1]), path)
        return load_qonnx(path)


def compare(name: str, graph: Graph, x: np.ndarray, **options: Any) -> dict[str, Any]:
    """Build, compile and run one network; a differing code is an error."""
    start = time.perf_counter()
    network = build_network(graph, RtlOptions(**options))
    built = time.perf_counter()
    network.simulation  # noqa: B018 - compiles
    compiled = time.perf_counter()
    pauses = {"idle": 0.2, "backpressure": 0.2} if network.style == "streaming" else {}
    codes = network.check(x, **pauses)
    return {
        "network": name,
        "style": network.style,
        "adders": network.facts["adders"],
        "interval": network.interval,
        "samples": len(x),
        "codes": codes,
        "build_s": round(built - start, 1),
        "compile_s": round(compiled - built, 1),
        "run_s": round(time.perf_counter() - compiled, 1),
    }


if __name__ == "__main__":
    main()
