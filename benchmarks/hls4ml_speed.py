"""Convert plus compile time, and predict rate, of backend `QFX` against hls4ml's `Vitis`.

    python benchmarks/hls4ml_speed.py

The same file goes through both backends: prepared as hls4ml's documentation says for `Vitis` (that
time is not counted) and with an input wide enough for equal bits; as exported for `QFX`, whose time
includes the lowering. The two take turns within one run, so that whatever else the machine does
hits both, and the fastest turn of each counts. Both are compared with the integer interpreter.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, parser, print_table, write_results

sys.path.insert(0, str(Path(__file__).parents[1]))

from hls4ml_stock import WIDE, prepared

from qfx_plugin.hls4ml_backend.adapter import silent
from qfx_plugin.ir import interpret
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.ir.inputs import random_inputs
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models

BACKENDS = ("Vitis", "QFX")

CASES = {
    "mlp 64-32-32-10": (lambda: models.mlp((64, 32, 32, 10), 6), "io_parallel", 5000),
    "cnn 8x8": (lambda: models.cnn(6, channels=(8, 16)), "io_parallel", 1000),
    "cnn 32x32x3": (
        lambda: models.cnn(6, size=32, in_channels=3, channels=(16, 16), hidden=(32,)),
        "io_stream",
        100,
    ),
}
"""Model, io_type, samples of one turn of `predict`."""


def converted(model: Any, backend: str, io_type: str, folder: Path) -> tuple[Any, float, float]:
    """hls4ml's model, compiled; seconds by the clock, and of the processor."""
    import hls4ml

    options: dict[str, Any] = {"backend": backend, "io_type": io_type, "output_dir": str(folder)}
    source: Any = model
    with silent():
        if backend == "Vitis":
            source = prepared(model)
            config = hls4ml.utils.config_from_onnx_model(source, backend=backend)
            config["LayerName"]["global_in"]["Precision"]["result"] = WIDE
            options["hls_config"] = config
        start, used = time.perf_counter(), processor_seconds()
        project = hls4ml.converters.convert_from_onnx_model(source, **options)
        project.compile()
    return project, time.perf_counter() - start, processor_seconds() - used


def processor_seconds() -> float:
    """Processor time of this process and of the compilers it has started."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(each).ru_utime for each in who)


def measure(name: str, repeats: int, turns: int) -> dict[str, Any]:
    """One row of the table."""
    make, io_type, samples = CASES[name]
    model = make()
    graph = load_qonnx(model)
    (x,) = random_inputs(graph, samples, seed=1).values()
    expected = interpret(graph, x)[graph.outputs[0]]
    x = np.ascontiguousarray(x if x.ndim == 2 else np.moveaxis(x, 1, -1), dtype=np.float32)
    clock: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
    processor: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
    predict: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
    different = dict.fromkeys(BACKENDS, 0)
    projects = {}
    with tempfile.TemporaryDirectory() as temporary:
        for repeat in range(repeats):
            for backend in BACKENDS:
                folder = Path(temporary) / f"{backend}{repeat}"
                found = converted(make(), backend, io_type, folder)
                projects[backend] = found[0]
                clock[backend].append(found[1])
                processor[backend].append(found[2])
        for _ in range(turns):
            for backend, project in projects.items():
                start = time.perf_counter()
                y = project.predict(x)
                predict[backend].append(time.perf_counter() - start)
                wrong, _ = compare_codes(expected, y.reshape(expected.codes.shape))
                different[backend] = int(wrong.sum())
    rate = {backend: samples / min(times) for backend, times in predict.items()}
    row: dict[str, Any] = {"network": name, "io_type": io_type}
    for backend in BACKENDS:
        row[f"{backend} compile, s"] = round(min(clock[backend]), 1)
        row[f"{backend} compile, CPU s"] = round(min(processor[backend]), 1)
        row[f"{backend} samples/s"] = round(rate[backend])
        row[f"{backend} codes differ"] = different[backend]
    row["time ratio"] = round(min(clock["QFX"]) / min(clock["Vitis"]), 2)
    row["rate ratio"] = round(rate["QFX"] / rate["Vitis"], 2)
    return row


def main() -> None:
    """Measure all, print the table, write `benchmarks/results/hls4ml_speed.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=3, help="turns of convert and compile")
    arguments.add_argument("--turns", type=int, default=7, help="turns of predict")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in CASES:
        rows.append(measure(name, options.repeats, options.turns))
        print(rows[-1], flush=True)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        results = {"environment": environment(), "load average": load, "rows": rows}
        write_results("hls4ml_speed", results)
    print_table(rows)


if __name__ == "__main__":
    main()
