"""Plain optimizers against `parameter_groups`: the digits CNN, 4 and 6 bits, five seeds.

    python benchmarks/plain_optimizers.py --seeds 0 1 2 3 4

*Scratch* trains from random weights, *tuned* goes on from a trained float network with a fifth of
the learning rate. Start weights and data order are those of the seed; rates are constant. The
share of saturated values is that of the weight, and of the bias, with most of them at the end.
Seeds that are not asked for stay as they are stored.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results
from torch import nn

from brevitas_quantizers import calibrate, parameter_groups, quantize
from brevitas_quantizers.prepare import saturated_shares
from qfx_plugin.demo.data import Dataset, load_dataset
from qfx_plugin.demo.models import FLOAT, build
from qfx_plugin.demo.train import accuracy, predict

BATCH, BITS = 64, (4, 6)
TUNED = 0.2
"""Learning rate of fine-tuning, in times of that from random weights."""

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, float]]] = {
    "SGD": (torch.optim.SGD, {"lr": 5e-2, "momentum": 0.9}),
    "Adam": (torch.optim.Adam, {"lr": 1e-2}),
    "AdamW": (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 1e-2}),
}


def trained(
    model: nn.Module, data: Dataset, name: str, grouped: bool, rate: float, epochs: int, seed: int
) -> nn.Module:
    """Train in place with a constant learning rate."""
    kind, options = OPTIMIZERS[name]
    options = options | {"lr": options["lr"] * rate}
    decay = options.get("weight_decay", 0.0)
    parameters: Any = model.parameters()
    if grouped:
        parameters = parameter_groups(model, options["lr"], weight_decay=decay)
        parameters = [group for group in parameters if group["params"]]
    optimizer = kind(parameters, **options)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train).long()
    order = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=order).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model.eval()


def worst_share(model: nn.Module, slot: str) -> float:
    """Percent of saturated values of the weight or bias with most of them."""
    return 100 * max(v for name, v in saturated_shares(model).items() if name.endswith(slot))


def main() -> None:
    """Train, print the table, write `benchmarks/results/plain_optimizers.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments.add_argument("--epochs", type=int, default=4)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    data, kept = load_dataset("digits"), stored(options.epochs)
    runs = [run for run in kept if run["seed"] not in options.seeds]
    for seed in options.seeds:
        runs += [
            run | {"seed": seed, "epochs": options.epochs}
            for run in of_seed(data, seed, options.epochs)
        ]
        write_results("plain_optimizers", {"runs": runs} | environment())
    print_table(runs)


def stored(epochs: int) -> list[dict[str, Any]]:
    """Earlier runs of as many epochs."""
    path = RESULTS / "plain_optimizers.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    return [run for run in runs if run["epochs"] == epochs]


def of_seed(data: Dataset, seed: int, epochs: int) -> Iterator[dict[str, Any]]:
    """All runs of a seed: accuracy on the test data and saturated shares, in percent."""
    torch.manual_seed(seed)
    start = build("cnn", FLOAT, data.image_shape, data.classes)
    tuned = trained(copy.deepcopy(start), data, "Adam", False, 0.4, 2 * epochs, seed)
    begins = {"scratch": (start, 1.0), "tuned": (tuned, TUNED)}
    for begin, bits, name, groups in product(begins, BITS, OPTIMIZERS, ("plain", "groups")):
        network, rate = begins[begin]
        model = quantize(copy.deepcopy(network), bit_width=bits)
        calibrate(model, [torch.from_numpy(data.x_train[:256])])
        trained(model, data, name, groups == "groups", rate, epochs, seed)
        yield {
            "begin": begin, "bits": bits, "optimizer": name, "groups": groups,
            "accuracy": round(accuracy(predict(model, data.x_test), data.y_test), 2),
            "weights": round(worst_share(model, ".weight"), 1),
            "biases": round(worst_share(model, ".bias"), 1),
        }  # fmt: skip


if __name__ == "__main__":
    main()
