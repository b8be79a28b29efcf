"""Strategies of the hls4ml backend on the same K-hot network: bits, compile time, estimated LUTs.

    python benchmarks/hls4ml_khot.py --samples 1000

`da` needs `pip install hls4ml[da]`, and minutes; it is left out where that is missing. LUTs are the
estimates that choose a strategy (see `qfx_plugin/hls4ml_backend/khot/cost.py`), not a synthesis.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, parser, print_table, write_results
from hls4ml_networks import export

from qfx_plugin.hls4ml_backend import config_from_qonnx, convert, lower
from qfx_plugin.hls4ml_backend.strategies import choose
from qfx_plugin.ir import Graph, interpret
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.qonnx_import import load_qonnx

CASES = (
    ("mlp", "io_parallel", 1, ("latency", "khot", "da")),
    ("mlp", "io_parallel", 16, ("resource", "khot")),
    ("lenet", "io_stream", 1, ("latency", "khot")),
    ("lenet", "io_stream", 10, ("resource", "khot")),
)
"""(network, layers connected by, reuse factor, strategies)."""


def rows(samples: int) -> Iterator[dict[str, Any]]:
    """One row for each network, number of digits and strategy."""
    for name, io_type, factor, strategies in CASES:
        for k in (1, 2):
            with tempfile.TemporaryDirectory() as temporary:
                case = export(name, k, Path(temporary), samples)
                graph = load_qonnx(case.path)
                for strategy in strategies:
                    if strategy == "da" and importlib.util.find_spec("da4ml") is None:
                        continue
                    options = {"io_type": io_type, "reuse_factor": factor, "strategy": strategy}
                    folder = Path(temporary) / strategy
                    row = {"network": name, "K": k, **options}
                    yield row | measure(graph, case.x, folder, options)


def measure(graph: Graph, x: Any, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Convert, compile, run and compare."""
    expected = interpret(graph, x)[graph.outputs[0]]
    start = time.perf_counter()
    converted = convert(graph, folder, config=config_from_qonnx(graph, **options)).compile()
    compiled = time.perf_counter()
    y = converted.predict(x)
    end = time.perf_counter()
    differing, _ = compare_codes(expected, y)
    return {
        "codes": int(expected.codes.size),
        "different": int(np.count_nonzero(differing)),
        "convert+compile, s": round(compiled - start, 1),
        "samples/s": round(len(x) / (end - compiled)),
        "LUTs, estimated": luts(graph, options),
    }


def luts(graph: Graph, options: dict[str, Any]) -> int | str:
    """The estimate for all layers with weights."""
    io_type, factor = options["io_type"], options["reuse_factor"]
    plan = lower(graph, io_type=io_type)
    choices = [choose(plan, layer, factor, io_type=io_type) for layer in plan.layers]
    found = [choice.luts.get(options["strategy"]) for choice in choices if choice is not None]
    return "" if None in found else sum(found)


def main() -> None:
    """Print the table and write it to `benchmarks/results/hls4ml_khot.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=1000)
    table = list(rows(arguments.parse_args().samples))
    print_table(table)
    write_results("hls4ml_khot", {**environment(), "rows": table})


if __name__ == "__main__":
    main()
