"""Time and memory of a training step: float, QFX, and Brevitas' own fixed point, in one run.

    python benchmarks/train_step.py            # about four minutes on one core

Two networks. *conv*: convolutions and ReLUs with a quantizer on every weight and activation.
*resnet*: the first stage of ResNet-20 in float, with one activation quantizer a block (its output)
or three (both convolutions' outputs and the block's). Every variant has the same batch and
optimizer. Brevitas is there twice: in the phase in which its activation quantizers collect
percentiles, the first 300 steps unless told otherwise, and in the steady state behind it
(`collect_stats_steps=1`). QFX has one phase. Steps of the variants take turns, so that whatever
else the machine does hits all of them; ratios are of medians of processor time on one thread. Peak
memory is that of a process of its own, above what it had before the first step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import brevitas.nn as qnn
import torch
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from common import environment, parser, print_table, write_results
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint

CHANNELS = 16
IMAGE = 32
_BREVITAS = (
    Int8WeightPerTensorFixedPoint,
    Int8ActPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
KINDS = {
    "float": None,
    "qfx": (QFXFixedPoint, QFXFixedPoint, QFXFixedPoint),
    "brevitas": _BREVITAS,
    "brevitas, collecting": _BREVITAS,
}
"""Quantizers of weights, of signed and of unsigned activations."""

PHASES = {"brevitas": {"collect_stats_steps": 1}, "brevitas, collecting": {}}
"""Options of activations: `brevitas` is the steady state."""


def conv(kind: str) -> nn.Module:
    """A 3x3 convolution, its weight quantized unless float."""
    if KINDS[kind] is None:
        return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
    return qnn.QuantConv2d(CHANNELS, CHANNELS, 3, padding=1, weight_quant=KINDS[kind][0])


def relu(kind: str) -> nn.Module:
    """A ReLU, its result quantized unless float."""
    if KINDS[kind] is None:
        return nn.ReLU()
    return qnn.QuantReLU(act_quant=KINDS[kind][2], **PHASES.get(kind, {}))


def identity(kind: str) -> nn.Module:
    """A signed activation quantizer, nothing if float."""
    if KINDS[kind] is None:
        return nn.Identity()
    return qnn.QuantIdentity(act_quant=KINDS[kind][1], **PHASES.get(kind, {}))


class Block(nn.Module):
    """ResNet's basic block with activation quantizers at one or at three places."""

    def __init__(self, kind: str, places: int) -> None:
        super().__init__()
        inner = kind if places == 3 else "float"
        self.conv1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(CHANNELS), relu(inner)
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.bn2, self.shortcut = nn.BatchNorm2d(CHANNELS), identity(inner)
        self.relu2 = relu(kind)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width), unchanged shape."""
        out = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.shortcut(self.bn2(self.conv2(out))) + x)


def networks(blocks: int) -> dict[str, Callable[[], nn.Module]]:
    """The networks that are compared, by name: `<network>/<quantizers>`."""
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10))

    def chain(*layers: nn.Module) -> nn.Module:
        return nn.Sequential(*layers, *head)

    found: dict[str, Callable[[], nn.Module]] = {}
    for kind in KINDS:
        found[f"conv/{kind}"] = lambda kind=kind: chain(
            identity(kind), *(layer(kind) for _ in range(blocks) for layer in (conv, relu))
        )
    found["resnet/float"] = lambda: chain(*(Block("float", 1) for _ in range(3)))
    for places in (1, 3):
        for kind in [kind for kind in KINDS if kind != "float"]:
            found[f"resnet {places}/{kind}"] = lambda kind=kind, places=places: chain(
                *(Block(kind, places) for _ in range(3))
            )
    return found


def baseline(name: str, kind: str) -> str:
    """The row that `name` is compared with."""
    network = name.partition("/")[0]
    return f"{network.split()[0]}/float" if kind == "float" else f"{network}/{kind}"


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    """One training step; its processor time in seconds."""
    start = time.process_time()
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return time.process_time() - start


def batch_of(size: int) -> tuple[Tensor, Tensor]:
    """Images and labels, always the same."""
    torch.manual_seed(0)
    return torch.rand(size, CHANNELS, IMAGE, IMAGE), torch.randint(10, (size,))


def measure_time(options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step, by network."""
    x, y = batch_of(options.batch)
    models = {name: make() for name, make in networks(options.blocks).items()}
    optimizers = {
        name: torch.optim.SGD(model.parameters(), lr=1e-3) for name, model in models.items()
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    for index in range(options.warm_up + options.steps):
        for name, model in models.items():
            seconds = step(model, optimizers[name], x, y)
            if index >= options.warm_up:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def own_peak(name: str, options: argparse.Namespace) -> float:
    """MiB that three steps add to the peak of this process."""
    x, y = batch_of(options.batch)
    model = networks(options.blocks)[name]()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    step(model, optimizer, x[:2], y[:2])  # code and thread pools, not data
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = resident("VmRSS")
    for _ in range(3):
        step(model, optimizer, x, y)
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """MiB of this process: `VmRSS` now, `VmHWM` at most; Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure_memory(options: argparse.Namespace) -> dict[str, float]:
    """Peak MiB of a step, by network, each in a process of its own."""
    common = ["--batch", str(options.batch), "--blocks", str(options.blocks)]
    peaks = {}
    for name in networks(options.blocks):
        command = [sys.executable, "-W", "ignore", __file__, *common, "--memory-of", name]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[name] = json.loads(output.splitlines()[-1])
    return peaks


def main() -> None:
    """Measure, print the ratios, write `benchmarks/results/train_step.json`."""
    options = _options()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(own_peak(options.memory_of, options)))
        return
    seconds, peaks = measure_time(options), measure_memory(options)
    rows = []
    for name in seconds:
        reference = baseline(name, "float")
        stock = seconds.get(baseline(name, "brevitas"))
        rows.append(
            {
                "network": name,
                "median_ms": round(1e3 * seconds[name], 2),
                "vs_float": round(seconds[name] / seconds[reference], 3),
                "vs_brevitas": round(seconds[name] / stock, 3) if stock else "",
                "peak_mib": round(peaks[name]),
                "peak_vs_float": round(peaks[name] / peaks[reference], 3),
            }
        )
    print_table(rows)
    write_results("train_step", {"options": vars(options), "rows": rows} | environment())


def _options() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--blocks", type=int, default=6, help="of the network `conv`")
    arguments.add_argument("--steps", type=int, default=40)
    arguments.add_argument("--warm-up", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--memory-of", help=argparse.SUPPRESS)
    return arguments.parse_args()


if __name__ == "__main__":
    main()
