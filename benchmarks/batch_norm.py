"""Batch normalisation: float, QFX, and what Brevitas has in its place, on MNIST.

    QFX_DATA=<folder> python benchmarks/batch_norm.py     # five minutes on one core

*QFX* is `quantize(...)` of the float network: everything in fixed point, BatchNorm a
`QuantBatchNorm2d`. *Brevitas* has its own fixed-point quantizers at the same places, also of 8
bits, and `BatchNorm2dToQuantScaleBias` for BatchNorm: a quantized scale and offset, trained without
batch statistics. It starts from the scale 1 of a new BatchNorm, or (*data init*) from the
statistics that the start network has on training images, the way the layer takes over a BatchNorm.
*float, scale and offset* is the same network with all its quantizers left out: what is due to the
missing statistics alone.

All variants of a seed have the same start weights, training images (a subset), order, epochs and
schedule. Two networks, a convolution and BatchNorm in each layer: 2 layers, and 10 (the default).
With SGD the network without statistics does not start; with Adam (`--optimizer adam`) it does, and
ends lower.
"""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas import config
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8BiasPerTensorFixedPointInternalScaling,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from common import environment, parser, print_table, write_results
from torch import Tensor, nn

from brevitas_quantizers import parameter_groups, quantize
from qfx_plugin.demo.data import Dataset, load_dataset
from qfx_plugin.demo.train import accuracy, predict

BATCH_SIZE = 64
LEARNING_RATES = {"sgd": 0.1, "adam": 4e-3}
"""Peaks of the one-cycle schedule: the usual one of SGD with BatchNorm, and that of the demo."""

POOL = "pool"
NETWORKS = {
    "2 layers": (16, POOL, 32, POOL),
    "10 layers": (16, POOL, 16, 16, POOL, 32, 32, 32, 32, 32, 32, 32),
}
"""Channels of each 3x3 convolution; images of 28x28 have 7x7 pixels at the end of both."""

QUANTIZERS = {
    "weight_quant": Int8WeightPerTensorFixedPoint,
    "bias_quant": Int8BiasPerTensorFixedPointInternalScaling,
}


def float_network(plan: tuple[int | str, ...]) -> nn.Sequential:
    """Convolution, BatchNorm and ReLU for each number in `plan`, then a linear layer."""
    layers: list[nn.Module] = []
    channels = 1
    for width in plan:
        if width == POOL:
            layers.append(nn.MaxPool2d(2))
            continue
        conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(49 * channels, 10))


def brevitas_network(start: nn.Sequential, quantized: bool = True) -> nn.Sequential:
    """`start` with Brevitas' layers, its parameters, and scale and offset for BatchNorm."""
    both = QUANTIZERS if quantized else dict.fromkeys(QUANTIZERS)
    relu = {"act_quant": Uint8ActPerTensorFixedPoint if quantized else None}
    layers: list[nn.Module] = []
    for layer in start:
        match layer:
            case nn.Conv2d():
                shape = (layer.in_channels, layer.out_channels, 3)
                twin = qnn.QuantConv2d(*shape, padding=1, bias=False, **both | {"bias_quant": None})
            case nn.BatchNorm2d():
                twin = qnn.BatchNorm2dToQuantScaleBias(layer.num_features, layer.eps, **both)
            case nn.ReLU():
                layers.append(qnn.QuantReLU(**relu))
                continue
            case nn.Linear():
                twin = qnn.QuantLinear(layer.in_features, layer.out_features, bias=True, **both)
            case _:
                layers.append(layer)
                continue
        config.IGNORE_MISSING_KEYS = True  # the scales of quantizers
        twin.load_state_dict(layer.state_dict())
        layers.append(twin)
    act_quant = Int8ActPerTensorFixedPoint if quantized else None
    return nn.Sequential(qnn.QuantIdentity(act_quant=act_quant), *layers)


@torch.no_grad()
def with_statistics(start: nn.Sequential, x: np.ndarray) -> nn.Sequential:
    """`start` with the mean and variance of the images `x` in every BatchNorm."""
    seen = copy.deepcopy(start).train()
    for layer in seen:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    for part in torch.from_numpy(x).split(BATCH_SIZE):
        seen(part)
    return seen


def variants(
    start: nn.Sequential, x: np.ndarray, bits: list[int]
) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Name and maker of what is compared, float first."""
    yield "float BatchNorm", lambda: copy.deepcopy(start)
    for width in bits:
        yield f"QFX, {width} bits", lambda width=width: quantize(start, bit_width=width)
    yield "Brevitas, 8 bits", lambda: brevitas_network(start)
    yield (
        "Brevitas, 8 bits, data init",
        lambda: brevitas_network(with_statistics(start, x[:2048])),
    )
    yield "float, scale and offset", lambda: brevitas_network(start, quantized=False)


def train(
    model: nn.Module, x: Tensor, y: Tensor, epochs: int, seed: int, optimizer_name: str
) -> float:
    """Train in place with a one-cycle schedule; returns the mean loss of the last 50 steps."""
    rate = LEARNING_RATES[optimizer_name]
    groups = parameter_groups(model, rate)
    sgd = optimizer_name == "sgd"
    optimizer = torch.optim.SGD(groups, momentum=0.9) if sgd else torch.optim.Adam(groups)
    generator = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(x), generator=generator) for _ in range(epochs)])
    batches = order.split(BATCH_SIZE)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=len(batches))
    losses = []
    model.train()
    for batch in batches:
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return statistics.mean(losses[-50:])


def measure(network: str, seed: int, data: Dataset, options: Any) -> Iterator[dict[str, Any]]:
    """A row for each variant of one network and one seed."""
    x, y = data.x_train[: options.images], data.y_train[: options.images]
    torch.manual_seed(seed)
    start = float_network(NETWORKS[network])
    for name, make in variants(start, x, options.bits):
        begin = time.perf_counter()
        model = make()
        tensors = torch.from_numpy(x), torch.from_numpy(y)
        loss = train(model, *tensors, options.epochs, seed, options.optimizer)
        yield {
            "network": network,
            "variant": name,
            "seed": seed,
            "accuracy": round(accuracy(predict(model, data.x_test), data.y_test), 2),
            "loss": round(loss, 4),
            "seconds": round(time.perf_counter() - begin, 1),
        }


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over the seeds for each network and variant, and what is lost to float BatchNorm."""
    rows = []
    for network, variant in dict.fromkeys((run["network"], run["variant"]) for run in runs):
        found = [
            run["accuracy"]
            for run in runs
            if (run["network"], run["variant"]) == (network, variant)
        ]
        rows.append({"network": network, "variant": variant})
        rows[-1]["accuracy"] = round(statistics.mean(found), 2)
        rows[-1]["seeds"] = " ".join(f"{value:.2f}" for value in found)
        reference = next(row for row in rows if row["network"] == network)
        rows[-1]["lost"] = round(reference["accuracy"] - rows[-1]["accuracy"], 2)
    return rows


def main() -> None:
    """Train, print the table, write `benchmarks/results/batch_norm.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--networks", nargs="+", choices=NETWORKS, default=["10 layers"])
    arguments.add_argument("--bits", type=int, nargs="+", default=[8])
    arguments.add_argument("--optimizer", choices=LEARNING_RATES, default="sgd")
    arguments.add_argument("--images", type=int, default=10000, help="of the 60000 for training")
    arguments.add_argument("--epochs", type=int, default=3)
    arguments.add_argument("--seeds", type=int, default=2)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--result", default="batch_norm", help="name of the result file")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message="Defining your `__torch_function__`")
    data = load_dataset("mnist")
    runs = []
    for network in options.networks:
        for seed in range(options.seeds):
            for run in measure(network, seed, data, options):
                print(run, flush=True)
                runs.append(run)
    rows = summary(runs)
    print_table(rows)
    results = {"options": vars(options), "learning_rate": LEARNING_RATES[options.optimizer]}
    write_results(options.result, results | {"rows": rows, "runs": runs} | environment())


if __name__ == "__main__":
    main()
