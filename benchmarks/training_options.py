"""What the training options do to accuracy: the digits CNN at 3 and 4 bits, several seeds.

    python benchmarks/training_options.py --seeds 5
    python benchmarks/training_options.py --seeds 3 --bits 4 --variants "accumulator 10 bits"

One option is changed at a time; start weights, data order and epochs are those of the first row.
Rows of variants that are not asked for stay as they are stored.
"""

from __future__ import annotations

import copy
import json
import statistics
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results

from brevitas_quantizers import QFXFixedPoint, freeze_binary_points, quantize
from qfx_plugin.demo.data import Dataset, load_dataset
from qfx_plugin.demo.models import FLOAT, build
from qfx_plugin.demo.run import EPOCHS
from qfx_plugin.demo.train import accuracy, predict, train

VARIANTS = {
    "default": {},
    "init max": {"binary_point_init": "max"},
    "init percentile": {"binary_point_init": "percentile"},
    "plain STE": {"binary_point_gradient": "ste"},
    "gradient scale lsq": {"binary_point_grad_scale": "lsq"},
    "stochastic rounding": {"stochastic_rounding": True},
    "frozen from the start": {"learn_binary_point": False},
    "frozen after three quarters": {},
    "weights per channel": {"weight_scaling_per_output_channel": True},
    "accumulator 12 bits": {"weight_accumulator_bit_width": 12},
    "accumulator 10 bits": {"weight_accumulator_bit_width": 10},
}


def reached(name: str, bits: int, seed: int, epochs: int, data: Dataset) -> float:
    """Accuracy of a variant on the test data, in percent."""
    torch.manual_seed(seed)
    start = build("cnn", FLOAT, data.image_shape, data.classes)
    model = quantize(copy.deepcopy(start), QFXFixedPoint, bits, **VARIANTS[name])
    last = epochs // 4 if name == "frozen after three quarters" else 0
    train(model, data.x_train, data.y_train, epochs - last, seed)
    if last:
        train(freeze_binary_points(model), data.x_train, data.y_train, last, seed)
    return accuracy(predict(model, data.x_test), data.y_test)


def stored() -> dict[tuple[int, str], dict[str, Any]]:
    """Rows of earlier runs, by bits and variant."""
    path = RESULTS / "training_options.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    return {(row["bits"], row["variant"]): row for row in rows}


def main() -> None:
    """Train, print the table, write `benchmarks/results/training_options.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--bits", type=int, nargs="+", default=[4, 3])
    arguments.add_argument("--epochs", type=int, default=EPOCHS["digits"])
    arguments.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    options = arguments.parse_args()
    torch.set_num_threads(1)
    data, rows = load_dataset("digits"), stored()
    for bits in options.bits:
        for name in options.variants:
            found = [reached(name, bits, s, options.epochs, data) for s in range(options.seeds)]
            mean, worst = round(statistics.mean(found), 2), round(min(found), 2)
            row = {"bits": bits, "variant": name, "seeds": options.seeds, "epochs": options.epochs}
            rows[bits, name] = row | {"mean": mean, "worst": worst}
            print(rows[bits, name], flush=True)
            write_results("training_options", {"rows": list(rows.values())} | environment())
    print_table(list(rows.values()))


if __name__ == "__main__":
    main()
