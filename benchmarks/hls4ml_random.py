"""hls4ml's C simulation of random networks against the integer interpreter, code by code.

    python benchmarks/hls4ml_random.py --networks 200

The networks of `tests/hls4ml_backend/random_networks.py`, whose modes are more than QONNX can say,
by turns as arrays and streams, with strategies latency and resource, and reuse factors 1 and 4. 300
inputs each.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, parser, write_results

sys.path.insert(0, str(Path(__file__).parents[1]))

from qfx_plugin.errors import QfxError
from qfx_plugin.hls4ml_backend import convert
from qfx_plugin.ir import interpret
from tests.hls4ml_backend.random_networks import lively_network


def options_of(index: int) -> dict[str, Any]:
    """The same rotation as in the tests."""
    return {
        "io_type": ("io_parallel", "io_stream")[index % 2],
        "strategy": ("latency", "resource")[index // 2 % 2],
        "reuse_factor": (1, 4)[index // 4 % 2],
    }


def compare(index: int) -> dict[str, Any]:
    """Convert, compile, run and compare one network."""
    network = lively_network(f"hls4ml random network {index}")
    graph, x = network.graph, network.x
    expected = interpret(graph, x)[graph.outputs[0]]
    options = options_of(index)
    row = {"network": index, **options, "operations": len(graph.ops)}
    try:
        with tempfile.TemporaryDirectory() as folder:
            logits = convert(graph, folder, **options).predict(x)
    except QfxError as error:
        return row | {"codes": 0, "different": 0, "refused": str(error)}
    different = np.count_nonzero(np.ldexp(logits, expected.frac_bits) != expected.codes)
    return row | {"codes": int(expected.codes.size), "different": int(different)}


def main() -> None:
    """Compare all and write `benchmarks/results/hls4ml_random.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--networks", type=int, default=200)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    rows: list[dict[str, Any]] = []
    start = time.perf_counter()
    for index in range(options.networks):
        rows.append(compare(index))
        refused = [row for row in rows if "refused" in row]
        totals = {
            "networks": len(rows) - len(refused),
            "codes": sum(row["codes"] for row in rows),
            "different": sum(row["different"] for row in rows),
            "refused": len(refused),
            "seconds": round(time.perf_counter() - start),
        }
        if rows[-1]["different"] or "refused" in rows[-1] or index % 20 == 19:
            print(rows[-1], totals, flush=True)
        results = {"environment": environment(), "totals": totals, "rows": rows}
        write_results("hls4ml_random", results)
    print(totals)


if __name__ == "__main__":
    main()
