"""ResNet-20 on CIFAR-10, element-wise layers at 8 to 4 bits: QFX against post-training rounding.

    QFX_DATA=<folder> python benchmarks/cifar_elementwise.py

Convolution and classifier weights have 8 bits; BatchNorm constants, activations, shortcuts and
pooling have the width of the row. *PTQ* is the calibrated network as it is, *QFX* the same network
trained for a few steps, its batch norms' statistics frozen, *float, trained on* the float network
trained for the same steps, so that a gain is not taken for more training. The schedule is short,
for two CPU cores: it says nothing of what the network can reach, only of the difference.
"""

from __future__ import annotations

import copy
import time

import torch
from cifar_data import accuracy, float_resnet20, load_cifar10, train
from common import environment, parser, print_table, write_results
from torch import nn

from brevitas_quantizers import (
    calibrate,
    freeze_binary_points,
    freeze_statistics,
    parameter_groups,
    quantize,
)

LEARNING_RATE = 5e-4


def element_wise(model: nn.Module, bits: int) -> nn.Module:
    """`model` with element-wise layers at `bits`, matrix products at 8."""
    eight = {"weight_bit_width": 8}
    return quantize(
        model, bit_width=bits, input_bit_width=8, overrides={nn.Conv2d: eight, nn.Linear: eight}
    )


def main() -> None:
    """Train, print the table, write `benchmarks/results/cifar_elementwise.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--bits", type=int, nargs="+", default=[8, 6, 5, 4])
    arguments.add_argument("--float-steps", type=int, default=1600, help="of the float network")
    arguments.add_argument("--steps", type=int, default=150, help="of QFX, and of float again")
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    x, y, x_test, y_test = load_cifar10()
    start = float_resnet20(x, y, options.float_steps)
    longer = copy.deepcopy(start)
    train(longer, torch.optim.Adam(longer.parameters(), lr=LEARNING_RATE), x, y, options.steps)
    floats = {
        "float": round(accuracy(start, x_test, y_test), 2),
        "float, trained on": round(accuracy(longer, x_test, y_test), 2),
    }
    print(floats, flush=True)
    rows = []
    for bits in options.bits:
        begin = time.perf_counter()
        model = calibrate(element_wise(start, bits), [x[:500]])
        rounded = accuracy(model, x_test, y_test)
        freeze_statistics(model)
        optimizer = torch.optim.Adam(parameter_groups(model, LEARNING_RATE))
        train(model, optimizer, x, y, options.steps)
        trained = accuracy(freeze_binary_points(model), x_test, y_test)
        rows.append(
            {
                "bits": bits,
                "ptq": round(rounded, 2),
                "qfx": round(trained, 2),
                "margin": round(trained - rounded, 2),
                "seconds": round(time.perf_counter() - begin),
            }
        )
        print(rows[-1], flush=True)
    print_table(rows)
    results = {"options": vars(options), "floats": floats, "rows": rows}
    write_results("cifar_elementwise", results | environment())


if __name__ == "__main__":
    main()
