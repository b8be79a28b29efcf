"""FracBNN's CIFAR-10 network: float, released formats, QFX at 8 bits with K-hot factors.

    QFX_DATA=<folder> python benchmarks/fracbnn.py                   every row that is not there yet
    QFX_DATA=<folder> python benchmarks/fracbnn.py --rows float k2   these, again

Accuracy on the first `--images` of the shuffled CIFAR-10 test images (JPEG files; all 10,000 by
default), and on the first 1,000 of them. Rows without "trained" have binary points from 256 images,
and offsets that keep the float network's means on 256 others, which "uncorrected" leaves out;
"trained" then learns its answers on training images for a few steps (`Schedule`). None sees a
label; the trained network is kept under `build/benchmarks`. "stage" is the element-wise hardware
behind convolution 14, 64 channels on 16 lanes: Yosys estimates, not placed or routed, and a
simulation against the interpreter. "bits" compares executors on test images.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from cifar_data import CACHE, MEAN, STD, load_cifar10
from common import RESULTS, environment, parser, print_table, write_results
from torch import nn

from brevitas_quantizers import export_qonnx
from qfx_plugin import interpret, load_qonnx, verify_agreement
from qfx_plugin.fracbnn import (
    FracBNN,
    ReferenceFracBNN,
    ReleasedFracBNN,
    Schedule,
    accuracy,
    build_unit,
    correct_offsets,
    distil,
    element_wise_stage,
    load_parameters,
    stage_tensors,
)
from qfx_plugin.synthesis.estimate import ResourceEstimate, estimate

SCHEDULE = Schedule()
TRAINING_IMAGES, CALIBRATION_IMAGES = 12_000, 256
COMMON_IMAGES = 1000
HALF, LANES = 13, 16
"""The stage that becomes hardware: the second to last of 64 channels; lanes as released."""


class Data:
    """Shuffled images in [0, 1), loaded once."""

    def __init__(self) -> None:
        x, _, x_test, y_test = load_cifar10()
        generator = torch.Generator().manual_seed(0)
        train = torch.randperm(len(x), generator=generator)[:TRAINING_IMAGES]
        test = torch.randperm(len(x_test), generator=generator)
        self.train = x[train] * STD + MEAN
        self.test, self.labels = x_test[test] * STD + MEAN, y_test[test]
        folder = Path(os.environ["QFX_DATA"])
        self.parameters = load_parameters(folder / "fracbnn" / "fracbnn_cifar10_params.npz")


def fixed(data: Data, k: int | None) -> FracBNN:
    """Binary points from data, and nothing else."""
    return FracBNN(data.parameters, 8, k).calibrate(data.train[:CALIBRATION_IMAGES]).eval()


def calibrated(data: Data, k: int | None) -> FracBNN:
    """With offsets that keep the means of the float network; no gradients."""
    images = data.train[CALIBRATION_IMAGES : 2 * CALIBRATION_IMAGES]
    return correct_offsets(fixed(data, k), ReferenceFracBNN(data.parameters), images)


def trained(data: Data, k: int) -> nn.Module:
    """Calibrated and distilled, or read from the cache."""
    path = CACHE / f"fracbnn-k{k}-{SCHEDULE.steps}x{SCHEDULE.batch}.pt"
    if path.exists():
        model = FracBNN(data.parameters, 8, k)
    else:
        model, teacher = calibrated(data, k), ReferenceFracBNN(data.parameters)
        distil(model, teacher, data.train, SCHEDULE, progress)
        torch.save(model.state_dict(), path)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


NETWORKS: dict[str, Callable[[Data], nn.Module]] = {
    "float": lambda data: ReferenceFracBNN(data.parameters),
    "released formats": lambda data: ReleasedFracBNN(data.parameters),
    "k2 uncorrected": lambda data: fixed(data, 2),
    "8 bit": lambda data: calibrated(data, None),
    "k3": lambda data: calibrated(data, 3),
    "k2": lambda data: calibrated(data, 2),
    "k1": lambda data: calibrated(data, 1),
    "k2 trained": lambda data: trained(data, 2),
}


def progress(step: int, loss: float) -> None:
    """One line for each tenth step."""
    if step % 10 == 0:
        print(f"  step {step}, loss {loss:.3f}", flush=True)


def measure(network: nn.Module, data: Data, images: int) -> dict[str, Any]:
    """Accuracy on the first `images`, and on the first of them, which every row has."""
    begin = time.perf_counter()
    start = min(images, COMMON_IMAGES)
    ends = [(0, start), (start, images)]
    parts = [(b - a, accuracy(network, data.test[a:b], data.labels[a:b])) for a, b in ends if b > a]
    return {
        "accuracy": round(sum(count * part for count, part in parts) / images, 2),
        "images": images,
        f"first {COMMON_IMAGES}": round(parts[0][1], 2),
        "seconds": round(time.perf_counter() - begin),
    }


def bits(data: Data, images: int) -> dict[str, Any]:
    """Codes that differ between executors, on test images."""
    report = verify_agreement(
        trained(data, 2), data.test[:images].numpy(), executors=["torch", "onnxruntime"]
    )
    print(report)
    return {"report": str(report).splitlines(), "equal": report.agrees, "images": images}


def stage(data: Data) -> dict[str, Any]:
    """The element-wise hardware: cells, and codes that differ from the interpreter."""
    graph = exported(trained(data, 2))
    part, names = element_wise_stage(graph, HALF), stage_tensors(graph, HALF)
    tensors = interpret(graph, data.test[:16].numpy(), keep=[*names.values(), *part.outputs])
    flat = {n: positions(t.codes) for n, t in tensors.items()}
    wanted = flat[part.outputs[0]]
    rows = []
    for title, datapath, dsp in (
        ("K-hot, K=2", "khot", False),
        ("multipliers in LUTs", "mul", False),
        ("multipliers in DSPs", "mul", True),
    ):
        unit = build_unit(part, LANES, datapath, dsp=dsp, name=f"fracbnn_{datapath}{int(dsp)}")
        with TemporaryDirectory() as folder:
            cells = estimate(unit.write(Path(folder)), unit.name, dsp=unit.dsp, timeout_s=1800)
            codes = unit.run(flat[names["sums"]], flat[names["shortcut"]], Path(folder))
        row = {"datapath": title} | counts(cells)
        row |= {"latency": unit.latency, "codes": wanted.size}
        row["differing"] = int((codes != wanted).sum())
        rows.append(row)
        print(row, flush=True)
    return {"rows": rows, "half": HALF, "lanes": LANES, "channels": wanted.shape[1]}


def exported(model: nn.Module) -> Any:
    """The model as an integer graph."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "fracbnn.onnx"
        export_qonnx(model, torch.zeros(1, 3, 32, 32), path)
        return load_qonnx(path)


def positions(codes: np.ndarray) -> np.ndarray:
    """(batch, channels, height, width) to (positions, channels)."""
    return np.moveaxis(codes, 1, -1).reshape(-1, codes.shape[1])


def counts(cells: ResourceEstimate) -> dict[str, Any]:
    """Cells of a design."""
    total = cells.total
    return {"lut": total.all_luts, "ff": total.ff, "carry4": total.carry4, "dsp": total.dsp}


def main() -> None:
    """Measure what is missing or asked for; write `benchmarks/results/fracbnn.json`."""
    known = [*NETWORKS, "bits", "stage"]
    arguments = parser(__doc__)
    arguments.add_argument("--rows", nargs="+", choices=known, help="measure these again")
    arguments.add_argument("--images", type=int, default=10_000, help="test images of each row")
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    path = RESULTS / "fracbnn.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    data = Data()
    for name in options.rows or [name for name in known if name not in results]:
        if name == "bits":
            results[name] = bits(data, min(options.images, 50))
        elif name == "stage":
            results[name] = stage(data)
        else:
            results[name] = measure(NETWORKS[name](data), data, options.images)
            print(name, results[name], flush=True)
        write_results("fracbnn", results | {"schedule": asdict(SCHEDULE)} | environment())
    rows = [{"network": name} | results[name] for name in NETWORKS if name in results]
    print_table(rows)


if __name__ == "__main__":
    main()
