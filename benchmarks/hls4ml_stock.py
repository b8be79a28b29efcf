"""What hls4ml's own `Vitis` backend makes of QONNX files that `QFX` converts exactly.

    python benchmarks/hls4ml_stock.py

Each file is prepared for `Vitis` as hls4ml's documentation says (qonnx's clean-up, channels last,
Gemm to MatMul), converted with the configuration that hls4ml proposes, and compared with the
integer interpreter on random inputs. `QFX` gets the file as it was exported. A third column gives
`Vitis` a wide input, which a knowing user would do. All projects are compiled the same way, which
is faster than hls4ml's own script and gives the same bits.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common import environment, parser, print_table, write_results

sys.path.insert(0, str(Path(__file__).parents[1]))

from qfx_plugin.errors import one_line
from qfx_plugin.hls4ml_backend.adapter import silent
from qfx_plugin.hls4ml_backend.simulation import csim
from qfx_plugin.ir import interpret
from qfx_plugin.ir.compare import compare_codes
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models

WIDE = "fixed<40,16>"


def lower_case() -> onnx.ModelProto:
    """Mode names as Brevitas wrote them once."""
    model = models.mlp((16, 8, 4), 6)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "rounding_mode":
                attribute.s = attribute.s.lower()
    return model


def elementwise(kind: str) -> onnx.ModelProto:
    """conv, then batch norm by constants, PReLU, Clip, or a product of two tensors."""
    b = models.QonnxBuilder((2, 6, 6), 4)
    x = b.quant("x", "x_q", 6, 4)
    x = b.conv(x, "conv1", (4, 2, 3, 3), 6, pads=[1] * 4)
    x = b.quant(x, "conv1_out", 6, 3)
    if kind == "batch norm":
        factor = b.weight("bn_w", (1, 4, 1, 1), 6)
        offset = b.weight("bn_b", (1, 4, 1, 1), 6, frac_bits=3)
        x = b.node("Mul", [x, factor], "scaled")
        x = b.node("Add", [x, offset], "shifted")
    elif kind == "PReLU":
        x = b.node("PRelu", [x, b.weight("slope", (4, 1, 1), 6)], "prelu")
    elif kind == "Clip":
        bounds = [b.constant("low", -1.0), b.constant("high", 2.5)]
        x = b.node("Clip", [x, *bounds], "clip")
    else:
        other = b.activation(b.conv("x_q", "gate", (4, 2, 1, 1), 6), "gate", 6, 4)
        x = b.node("Mul", [x, other], "product")
    x = b.quant(x, "last_q", 6, 3)
    x = b.node("Flatten", [x], "flat", axis=1)
    b.linear(x, "fc1", (144, 5), 6, output="logits")
    return b.model("logits", (5,))


CASES: dict[str, Callable[[], onnx.ModelProto]] = {
    "MLP, per tensor, ROUND": lambda: models.mlp((16, 16, 5), 6),
    "MLP, per-channel weights": lambda: models.mlp((16, 16, 5), 6, per_channel=True),
    "MLP, per-channel weights, no bias": lambda: models.mlp(
        (16, 16, 5), 6, False, per_channel=True
    ),
    "MLP, HALF_UP": lambda: models.mlp((16, 16, 5), 6, rounding="AP_RND_INF"),
    "MLP, AP_RND (Add and FLOOR)": lambda: models.mlp((16, 16, 5), 6, rounding="AP_RND"),
    "MLP, lower-case mode names": lower_case,
    "CNN, per tensor": lambda: models.cnn(6),
    "CNN, per-channel weights": lambda: models.cnn(6, per_channel=True),
    "CNN, average pool": lambda: models.cnn(6, pool="average"),
    "global average pool": lambda: models.average_pool(6),
    "residual, different binary points": lambda: models.residual(6),
    "concat, different binary points": lambda: models.concat(6),
    "depthwise": lambda: models.depthwise(6),
    "per-channel activation": lambda: models.per_channel_activation(6),
    "batch norm by constants": lambda: elementwise("batch norm"),
    "PReLU": lambda: elementwise("PReLU"),
    "Clip": lambda: elementwise("Clip"),
    "product of two tensors": lambda: elementwise("product"),
}


def complete(model: onnx.ModelProto) -> onnx.ModelProto:
    """qonnx and hls4ml demand attributes that ONNX lets out."""
    for node in model.graph.node:
        given = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            rank = len(given["kernel_shape"].ints)
            for name, value in (("dilations", [1] * rank), ("pads", [0] * 2 * rank)):
                if name not in given:
                    node.attribute.append(onnx.helper.make_attribute(name, value))
    return model


def prepared(model: onnx.ModelProto) -> Any:
    """As hls4ml's documentation says."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
    from qonnx.transformation.gemm_to_matmul import GemmToMatMul
    from qonnx.util.cleanup import cleanup_model

    wrapper = cleanup_model(ModelWrapper(complete(model)))
    wrapper = wrapper.transform(ConvertToChannelsLastAndClean(make_input_channels_last=True))
    return cleanup_model(wrapper.transform(GemmToMatMul()))


def run(case: str, backend: str, wide: bool, samples: int, answer: Any) -> None:
    """Convert, compile and compare in a process of its own; hls4ml may end it."""
    import hls4ml

    warnings.simplefilter("ignore")
    model = CASES[case]()
    graph = load_qonnx(model)
    shape = next(iter(graph.inputs)).shape
    x = np.random.default_rng(1).normal(0, 1, size=(samples, *shape)).astype(np.float32)
    expected = interpret(graph, x)[graph.outputs[0]]
    try:
        with tempfile.TemporaryDirectory() as folder, silent():
            options: dict[str, Any] = {"backend": backend, "output_dir": folder}
            source: Any = model
            if backend == "Vitis":
                source = prepared(model)
                config = hls4ml.utils.config_from_onnx_model(source, backend=backend)
                if wide:
                    config["LayerName"]["global_in"]["Precision"]["result"] = WIDE
                options["hls_config"] = config
            project = hls4ml.converters.convert_from_onnx_model(source, **options)
            project.write()
            given = x if x.ndim == 2 else np.moveaxis(x, 1, -1)
            if backend == "QFX":
                given = np.moveaxis(
                    project.qfx_plan.inputs[0].cast_on_host(x.astype(np.float64)), 1, -1
                )
            library = str(csim.build_library(folder, "myproject"))
            size = expected.codes[0].size
            csim.probe(Path(library), "myproject_double", x[0].size, size)
            y = csim.run_library(library, "myproject", given.reshape(len(x), -1), size)
    except Exception as error:  # noqa: BLE001 -- whatever hls4ml raises is the result
        answer.put(one_line(error, typed=True)[:90])
        return
    wrong, _ = compare_codes(expected, y.reshape(expected.codes.shape))
    answer.put("equal" if not wrong.any() else f"{wrong.sum()} of {wrong.size} differ")


def result(case: str, backend: str, wide: bool, samples: int) -> str:
    """One cell of the table."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=run, args=(case, backend, wide, samples, answer))
    process.start()
    process.join(600)
    if process.is_alive():
        process.kill()
        return "no result in 600 s"
    return answer.get() if not answer.empty() else "the process ends (C assertion)"


def main() -> None:
    """All cases; prints the table and writes `benchmarks/results/hls4ml_stock.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=200)
    options = arguments.parse_args()
    rows = []
    for case in CASES:
        columns = {"Vitis": ("Vitis", False), "Vitis, wide input": ("Vitis", True)}
        columns["QFX"] = ("QFX", False)
        with ThreadPoolExecutor() as pool:
            jobs = {
                title: pool.submit(result, case, *column, options.samples)
                for title, column in columns.items()
            }
        rows.append({"file": case, **{title: job.result() for title, job in jobs.items()}})
        print(rows[-1], flush=True)
        write_results("hls4ml_stock", {"environment": environment(), "rows": rows})
    print_table(rows)


if __name__ == "__main__":
    main()
