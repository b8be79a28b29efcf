"""hls4ml's C simulation against the integer interpreter, code by code, through hls4ml's own API.

    python benchmarks/hls4ml_bits.py --samples 1000

Every network is converted by `hls4ml.converters.convert_from_onnx_model(..., backend="QFX")` and
compared on random inputs; ResNet-8 (CIFAR shape) streams only, the rest also as arrays.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, parser, print_table, write_results
from hls4ml_networks import NETWORKS, export

from qfx_plugin.hls4ml_backend.adapter import silent
from qfx_plugin.ir import interpret
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.qonnx_import import load_qonnx

AS_ARRAYS = ("mlp",)
"""Networks that fit as arrays in minutes of compile time."""


def compare(name: str, k: int | None, io_type: str, samples: int) -> dict[str, Any]:
    """Convert, compile, run and compare one network; one row of the table."""
    import hls4ml

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case = export(name, k, folder, samples)
        graph = load_qonnx(case.path)
        expected = interpret(graph, case.x)[graph.outputs[0]]
        start = time.perf_counter()
        with silent():
            model = hls4ml.converters.convert_from_onnx_model(
                str(case.path), backend="QFX", io_type=io_type, output_dir=str(folder / "project")
            )
            model.compile()
        compiled = time.perf_counter()
        y = model.predict(case.x).reshape(expected.codes.shape)
        end = time.perf_counter()
    differing, _ = compare_codes(expected, y)
    return {
        "network": name,
        "weights": "dense" if k is None else f"K={k}",
        "io_type": io_type,
        "codes": int(expected.codes.size),
        "values": int(len(np.unique(expected.codes))),
        "different": int(np.count_nonzero(differing)),
        "convert+compile, s": round(compiled - start, 1),
        "samples/s": round(samples / (end - compiled), 1),
    }


def main() -> None:
    """Compare all, print the table, write `benchmarks/results/hls4ml_bits.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=1000)
    arguments.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in options.networks:
        for k in (None, 1, 2):
            types = ["io_stream", *(["io_parallel"] if name in AS_ARRAYS else [])]
            for io_type in types:
                rows.append(compare(name, k, io_type, options.samples))
                print(rows[-1], flush=True)
                write_results("hls4ml_bits", {"environment": environment(), "rows": rows})
    print_table(rows)


if __name__ == "__main__":
    main()
