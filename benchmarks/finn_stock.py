"""FINN's stock steps and ours on the same exported networks, side by side: what users get.

    python benchmarks/finn_stock.py [--samples 10]

Stock means the frontend of FINN's `estimate_only_dataflow_steps` on the file that
`export_qonnx(..., target="qonnx")` writes, stopped at the first step that fails. The networks have
random weights and run on random samples: what counts is equality, not accuracy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, calibrate, export_qonnx, quantize
from qfx_plugin import interpret
from qfx_plugin.finn_plugin import adapter, convert
from qfx_plugin.finn_plugin.hardware.convert import to_hardware

STOCK = ("step_qonnx_to_finn", "step_tidy_up", "step_streamline", "step_convert_to_hw")
CLASSES = 10


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        branch = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(branch)) + self.shortcut(x))


def resnet8(width: int = 16) -> nn.Module:
    """ResNet-8 for 32x32 images."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        Residual(width, width, 1), Residual(width, 2 * width, 2), Residual(2 * width, 4 * width, 2),
        nn.AvgPool2d(8), nn.Flatten(), nn.Linear(4 * width, CLASSES),
    )  # fmt: skip


def lenet() -> nn.Module:
    """LeNet for 28x28 images."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES),
    )  # fmt: skip


def mlp() -> nn.Module:
    """64-32-32-10."""
    return nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, CLASSES)
    )


SHAPES = {mlp: (64,), lenet: (1, 28, 28), resnet8: (3, 32, 32)}
KINDS: dict[str, dict[str, Any]] = {
    "8 bits": {"bit_width": 8},
    "8 bits, K=2": {"bit_width": 8, "quant": QFXKHot, "k": 2},
    "4 bits": {"bit_width": 4},
    "4 bits, K=2": {"bit_width": 4, "quant": QFXKHot, "k": 2},
    "8 bits, AP_TRN": {"bit_width": 8, "rounding": "AP_TRN"},
    "10-bit activations": {"bit_width": 6, "act_bit_width": 10, "input_bit_width": 8},
}


def exported(make: Any, kind: Mapping[str, Any], folder: Path, samples: int) -> tuple[Path, Any]:
    """A network of the given kind as QONNX file, and samples for it."""
    torch.manual_seed(0)
    float_model, x = make(), torch.randn(64, *SHAPES[make])
    float_model(x)  # statistics of the batch norms
    options = {"quant": QFXFixedPoint, **kind}
    if options.get("k") is not None:
        options["weight_k"] = options.pop("k")
    model = quantize(float_model.eval(), **options)
    calibrate(model, [x])
    path = folder / "model.onnx"
    export_qonnx(model.eval(), args=x[:1], path=str(path))
    return path, x[:samples].numpy()


def stock(path: Path, x: np.ndarray, golden: np.ndarray, folder: Path) -> str:
    """What becomes of the network in FINN's own steps, in words."""
    config = adapter.module("finn.builder.build_dataflow_config")
    known = adapter.module("finn.builder.build_dataflow_steps").build_dataflow_step_lookup
    model = adapter.module("qonnx.core.modelwrapper").ModelWrapper(str(path))
    cfg = config.DataflowBuildConfig(
        output_dir=str(folder),
        synth_clk_period_ns=5.0,
        board="Ultra96-V2",
        standalone_thresholds=True,
        generate_outputs=[config.DataflowOutputType.ESTIMATE_REPORTS],
    )
    notes = []
    for name in STOCK:
        try:
            with adapter.quiet():
                model = known[name](model, cfg)
                wrong = differing(model, x, golden)
        except Exception as error:  # noqa: BLE001  whatever it raises is the result
            lines = str(error).strip().splitlines() or ["no text"]
            return "; ".join([*notes, f"{name} fails: {type(error).__name__}: {lines[0][:110]}"])
        if wrong and not notes:
            notes.append(f"{wrong} of {golden.size} outputs differ after {name}")
    soft = [n for n in model.graph.node if not n.domain.startswith("finn.custom_op.fpgadataflow")]
    if soft:
        notes.append(f"no hardware for {', '.join(sorted({node.op_type for node in soft}))}")
    floating = [
        node.op_type
        for node in model.graph.node
        if not all(model.get_tensor_datatype(n).is_integer() for n in (*node.input, *node.output))
    ]
    if floating:
        notes.append(
            f"{len(floating)} of {len(model.graph.node)} units hold float32 "
            f"({', '.join(sorted(set(floating)))})"
        )
    return "; ".join(notes) or "0 differ, all integer"


def differing(model: Any, x: np.ndarray, golden: np.ndarray) -> int:
    """Outputs of FINN's execution that are not the golden values."""
    run = adapter.module("qonnx.core.onnx_exec").execute_onnx
    source, output = model.graph.input[0].name, model.graph.output[0].name
    found = [run(model, {source: sample[np.newaxis]})[output] for sample in x]
    return int((np.concatenate(found).reshape(golden.shape) != golden).sum())


def ours(dataflow: Any, x: np.ndarray) -> str:
    """Codes that differ after our conversion to hardware operations, in words."""
    hardware = to_hardware(dataflow.model)
    count = sum(dataflow.differences(x, hardware).values())
    return f"{count} differ, all integer, {len(hardware.graph.node)} units"


def main() -> None:
    """Print a table and save it."""
    parser = common.parser(__doc__)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--only", help="names that contain this text")
    options = parser.parse_args()
    rows = []
    for make in SHAPES:
        for kind, settings in KINDS.items():
            name = f"{make.__name__}, {kind}"
            if options.only and options.only not in name:
                continue
            with tempfile.TemporaryDirectory() as text:
                folder = Path(text)
                path, x = exported(make, settings, folder, options.samples)
                dataflow = convert(path)
                (golden,) = (t.values for t in interpret(dataflow.graph, x).values())
                row = {"network": name, "outputs": int(golden.size)}
                row |= {"stock": stock(path, x, golden, folder), "qfx": ours(dataflow, x)}
            rows.append(row)
            print(f"| {name} | {row['stock']} | {row['qfx']} |", flush=True)
    if not options.only:
        result = {"finn": adapter.version(), "samples": options.samples, "rows": rows}
        common.write_results("finn_stock", {**common.environment(), **result})


if __name__ == "__main__":
    main()
