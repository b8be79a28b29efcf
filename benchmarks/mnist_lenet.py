"""LeNet on MNIST with everything in fixed point: input, weights, biases and activations.

    QFX_DATA=<folder> python benchmarks/mnist_lenet.py --epochs 6

Float and QFX train from the same start weights, in the same order, for the same epochs; QFX is in
fixed point from the first step.
"""

from __future__ import annotations

import copy

import torch
from common import environment, parser, print_table, write_results
from torch import nn

from brevitas_quantizers import quantize
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.train import accuracy, predict, train


def lenet() -> nn.Sequential:
    """LeNet-5 with ReLU and max-pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def main() -> None:
    """Train, print the table, write `benchmarks/results/mnist_lenet.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--epochs", type=int, default=6)
    arguments.add_argument("--bits", type=int, nargs="+", default=[8, 4, 3])
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    data = load_dataset("mnist")
    torch.manual_seed(0)
    start = lenet()
    rows = []
    for bits in (None, *options.bits):
        model = copy.deepcopy(start) if bits is None else quantize(start, bit_width=bits)
        train(model, data.x_train, data.y_train, options.epochs, seed=0)
        reached = accuracy(predict(model, data.x_test), data.y_test)
        rows.append({"bits": bits or "float", "accuracy": round(reached, 2)})
        rows[-1]["lost"] = round(rows[0]["accuracy"] - rows[-1]["accuracy"], 2)
        print(rows[-1], flush=True)
    print_table(rows)
    write_results("mnist_lenet", {"options": vars(options), "rows": rows} | environment())


if __name__ == "__main__":
    main()
