"""A fully quantized detector after AQD (arXiv 2007.06919): MNIST digits on CIFAR photographs.

    QFX_DATA=<folder> python benchmarks/detector.py

Scenes have 64 x 64 pixels and one to three digits. The network has a pyramid of two levels and one
head for both, with a batch norm for each level. Each seed trains it in float, then `quantize`,
`calibrate` and a short training at `--bits` bits; "longer" is the float network after as many
steps more. The host decodes the boxes (`detector_boxes.py`); F1 counts a detection as right where
digit and box (intersection over union 0.5) are. Codes are those of the last seed's network. Trained
networks are kept under `build/benchmarks`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from cifar_data import CACHE
from common import codes, environment, parser, print_table, write_results
from detector_boxes import decode, f1
from detector_scenes import CELLS, CLASSES, Scenes, load_scenes
from torch import Tensor, nn
from torch.nn import functional

from brevitas_quantizers import calibrate, parameter_groups, quantize
from tests.networks import Detector

BATCH, RATE = 32, 6e-3
RECIPE: dict[str, Any] = {
    "input_bit_width": 8,
    "first_layer": {"bit_width": 8},
    "last_layer": {"bit_width": 8},
    "overrides": {nn.BatchNorm2d: {"bit_width": 8}},
    "weight_scaling_per_output_channel": True,
}
"""What has more bits, and a binary point for each channel."""
EXECUTORS = ["torch", "qonnx", "onnxruntime", "hls4ml", "rtl"]


def loss(levels: list[tuple[Tensor, Tensor]], classes: Tensor, sides: Tensor) -> Tensor:
    """Focal loss of the scores; distances to the sides where a cell has an object.

    Args:
        levels: what the network gives.
        classes: (batch, cells of all levels); -1 where a cell has no object.
        sides: (batch, 4, cells of all levels).
    """
    logits = torch.cat([scores.flatten(2) for scores, _ in levels], 2).movedim(1, 2)
    wanted = functional.one_hot(classes + 1, CLASSES + 1)[..., 1:].float()
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    weight = 0.5 * (1 - torch.exp(-entropy))  # what is sure already counts little
    found = torch.cat([sides.flatten(2) for _, sides in levels], 2)
    own = (classes >= 0).unsqueeze(1)
    away = functional.smooth_l1_loss(found, sides, reduction="none", beta=0.1) * own
    return ((weight * entropy).sum() + 0.5 * away.sum()) / own.sum().clamp(min=1)


def train(model: nn.Module, data: Scenes, steps: int, rate: float, seed: int) -> None:
    """Adam with a one-cycle learning rate; `model` is changed in place."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(parameter_groups(model, rate))
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps)
    model.train()
    order: list[Tensor] = []
    start = time.perf_counter()
    for step in range(steps):
        order = order or list(torch.randperm(len(data), generator=generator).split(BATCH))
        index = order.pop()
        error = loss(model(data.images(index)), data.classes[index], data.sides[index])
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            seconds = (time.perf_counter() - start) / (step + 1)
            print(f"  {step + 1}/{steps}: {error.item():.3f}, {seconds:.2f} s a step", flush=True)
    model.eval()


def score(model: nn.Module, validation: Scenes, test: Scenes) -> float:
    """F1 on `test`, with the threshold of a score that is best on `validation`."""
    thresholds = torch.linspace(-3, 1, 17).tolist()
    found = decode(outputs(model, validation), CELLS, thresholds[0])
    best = max(thresholds, key=lambda least: f1(found, validation.boxes, least))
    return round(100 * f1(decode(outputs(model, test), CELLS, best), test.boxes), 2)


def outputs(model: nn.Module, data: Scenes) -> list[tuple[Any, Any]]:
    """What leaves the network, as arrays: all that the host gets."""
    with torch.no_grad():
        parts = [model(data.images(i)) for i in torch.arange(len(data)).split(100)]
    return [
        tuple(torch.cat([part[level][kind] for part in parts]).numpy() for kind in (0, 1))
        for level in range(len(CELLS))
    ]


def measure(seed: int, data: tuple[Scenes, Scenes, Scenes], options: Any) -> tuple[Any, nn.Module]:
    """F1 in float, in float after as many steps as the short training has, and at few bits."""
    training, *rest = data
    steps, more = options.steps, options.quantized_steps

    def trained(model: nn.Module, name: str, count: int, rate: float) -> None:
        """`model` trained, once, and its F1."""
        path = CACHE / f"detector-{seed}-{name}.pt"
        if path.exists():
            model.load_state_dict(torch.load(path, weights_only=True))
        else:
            train(model, training, count, rate, seed)
            torch.save(model.state_dict(), path)
        row[name.split("-")[0]] = score(model.eval(), *rest)
        print(row, flush=True)

    torch.manual_seed(seed)
    model, row = Detector(), {"seed": seed}
    trained(model, f"float-{steps}", steps, RATE)
    x = training.images(torch.arange(256))
    quantized = quantize(model, example=x[:1], bit_width=options.bits, **RECIPE)
    row["calibrated"] = score(calibrate(quantized, [x]).eval(), *rest)
    trained(quantized, f"trained-{steps}-{more}-{options.bits}", more, RATE)
    trained(model, f"longer-{steps}-{more}", more, RATE)
    return row, quantized


def main() -> None:
    """Train, compare, print the table, write `benchmarks/results/detector.json`."""
    options = _options()
    torch.set_num_threads(options.threads)
    data = load_scenes(options.scenes)
    results: dict[str, Any] = {"options": vars(options), "rows": []}
    for seed in range(options.seeds):
        row, model = measure(seed, data, options)
        results["rows"].append(row)
        write_results("detector", results | environment())
    print_table(results["rows"])
    x = data[2].images(torch.arange(options.samples)).numpy()
    limits = dict.fromkeys(("hls4ml", "rtl"), options.simulated)
    results["codes"] = codes(model, x, options.executors, limits)
    write_results("detector", results | environment())


def _options() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--bits", type=int, default=4)
    arguments.add_argument("--scenes", type=int, default=8000, help="of the training")
    arguments.add_argument("--steps", type=int, default=1000, help="in float, 32 scenes each")
    arguments.add_argument("--quantized-steps", type=int, default=1500)
    arguments.add_argument("--executors", nargs="+", default=EXECUTORS)
    arguments.add_argument("--samples", type=int, default=20, help="scenes that executors run")
    arguments.add_argument("--simulated", type=int, default=2, help="of them in C++ and Verilog")
    arguments.add_argument("--threads", type=int, default=1)
    return arguments.parse_args()


if __name__ == "__main__":
    main()
