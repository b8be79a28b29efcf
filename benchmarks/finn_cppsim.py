"""Small networks on FINN's own C++ kernels, in g++, against the integer interpreter.

    FINN_HLSLIB=<folder of finn-hlslib> python benchmarks/finn_cppsim.py [--only concat]

What FINN has in C++ runs there; its other units, and ours, run in Python.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import common

sys.path.insert(0, str(Path(__file__).parents[1]))  # the builders of networks of the tests

from qfx_plugin.boards import load_board
from qfx_plugin.finn_plugin import convert
from qfx_plugin.finn_plugin.hardware import cppsim
from qfx_plugin.ir.inputs import random_inputs
from tests import qonnx_models
from tests.finn_plugin.test_bits import scaled

SAMPLES = 3
NETWORKS = {
    "mlp, 8 bits": qonnx_models.mlp,
    "mlp, scaled sums": scaled,
    "cnn, 4 bits, K=2": partial(qonnx_models.cnn, bit_width=4, weight_bit_width=6, k=2),
    "concat": qonnx_models.concat,
}


def main() -> None:
    """Print a row for each network, and save them."""
    parser = common.parser(__doc__)
    parser.add_argument("--only", default="", help="names that begin with this text")
    options = parser.parse_args()
    rows = []
    for name, make in NETWORKS.items():
        if not name.startswith(options.only):
            continue
        model = make()
        dataflow = convert(model)
        x = random_inputs(dataflow.graph, SAMPLES, seed=0)
        start = time.perf_counter()
        simulated = cppsim.prepare(dataflow.model, load_board("ultra96-v2").part)
        nodes = [node.op_type for node in simulated.graph.node]
        rows.append(
            {
                "network": name,
                "differing": dataflow.differences(x, simulated),
                "c++": [kind for kind in nodes if kind.endswith("_hls")],
                "python": [kind for kind in nodes if not kind.endswith("_hls")],
                "seconds": round(time.perf_counter() - start),
            }
        )
        print(rows[-1], flush=True)
        if not options.only:
            common.write_results("finn_cppsim", {**common.environment(), "rows": rows})


if __name__ == "__main__":
    main()
