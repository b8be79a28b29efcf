"""Convert plus compile time, and predict rate, of backend `QFX` against hls4ml's `Vitis`.

    python benchmarks/hls4ml_speed.py --samples 200

The same file goes through both backends: prepared as hls4ml's documentation says for `Vitis` (that
time is not counted), as exported for `QFX`, whose time includes the lowering. Runs alternate; the
median counts.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, parser, print_table, write_results

sys.path.insert(0, str(Path(__file__).parents[1]))

from hls4ml_stock import prepared

from qfx_plugin.hls4ml_backend.adapter import silent
from tests import qonnx_models as models

CASES = {
    "mlp 64-32-32-10": (lambda: models.mlp((64, 32, 32, 10), 6), "io_parallel"),
    "cnn 8x8": (lambda: models.cnn(6, channels=(8, 16)), "io_parallel"),
    "cnn 32x32x3": (
        lambda: models.cnn(6, size=32, in_channels=3, channels=(16, 16), hidden=(32,)),
        "io_stream",
    ),
}


def measure(model: Any, backend: str, io_type: str, samples: int) -> tuple[float, float]:
    """Seconds to convert and compile, and samples per second of `predict`."""
    import hls4ml

    x = models.random_inputs(model, samples, seed=1)
    options: dict[str, Any] = {"backend": backend, "io_type": io_type}
    source: Any = model
    with tempfile.TemporaryDirectory() as folder, silent():
        if backend == "Vitis":
            source = prepared(model)
            options["hls_config"] = hls4ml.utils.config_from_onnx_model(source, backend=backend)
            x = x if x.ndim == 2 else np.moveaxis(x, 1, -1)
        x = np.ascontiguousarray(x, dtype=np.float32)
        start = time.perf_counter()
        project = hls4ml.converters.convert_from_onnx_model(source, output_dir=folder, **options)
        project.compile()
        compiled = time.perf_counter()
        project.predict(x[:8])
        warm = time.perf_counter()
        project.predict(x)
        return compiled - start, samples / (time.perf_counter() - warm)


def main() -> None:
    """Measure all, print the table, write `benchmarks/results/hls4ml_speed.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=200)
    arguments.add_argument("--repeats", type=int, default=3)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name, (make, io_type) in CASES.items():
        found: dict[str, list[tuple[float, float]]] = {"Vitis": [], "QFX": []}
        for _ in range(options.repeats):
            for backend in found:
                found[backend].append(measure(make(), backend, io_type, options.samples))
        middle = {
            backend: [statistics.median(column) for column in zip(*runs, strict=True)]
            for backend, runs in found.items()
        }
        (stock_time, stock_rate), (our_time, our_rate) = middle["Vitis"], middle["QFX"]
        rows.append(
            {
                "network": name,
                "io_type": io_type,
                "compile Vitis, s": round(stock_time, 1),
                "compile QFX, s": round(our_time, 1),
                "time ratio": round(our_time / stock_time, 2),
                "Vitis samples/s": round(stock_rate),
                "QFX samples/s": round(our_rate),
                "rate ratio": round(our_rate / stock_rate, 2),
            }
        )
        print(rows[-1], flush=True)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        results = {"environment": environment(), "load average": load, "rows": rows}
        write_results("hls4ml_speed", results)
    print_table(rows)


if __name__ == "__main__":
    main()
