"""What the training options do to accuracy: the digits CNN at 3 and 4 bits, several seeds.

    python benchmarks/training_options.py --seeds 5

One option is changed at a time; start weights, data order and epochs are those of the first row.
"""

from __future__ import annotations

import copy
import statistics

import torch
from common import environment, parser, print_table, write_results
from torch import nn

from brevitas_quantizers import QFXFixedPoint, freeze_binary_points, quantize
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import FLOAT, build
from qfx_plugin.demo.run import EPOCHS
from qfx_plugin.demo.train import accuracy, predict, train

BOUND = {"weight_rounding": "AP_TRN_ZERO", "weight_accumulator_input_signed": False}
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
    "accumulator 12 bits": {**BOUND, "weight_accumulator_bit_width": 12},
    "accumulator 10 bits": {**BOUND, "weight_accumulator_bit_width": 10},
}


def quantized(start: nn.Module, bits: int, name: str) -> nn.Module:
    """`start` in fixed point with the options of a variant."""
    options = dict(VARIANTS[name])
    if "weight_accumulator_bit_width" in options:
        options["weight_accumulator_input_bit_width"] = bits
    return quantize(copy.deepcopy(start), QFXFixedPoint, bits, **options)


def main() -> None:
    """Train, print the table, write `benchmarks/results/training_options.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--bits", type=int, nargs="+", default=[4, 3])
    arguments.add_argument("--epochs", type=int, default=EPOCHS["digits"])
    options = arguments.parse_args()
    torch.set_num_threads(1)
    data = load_dataset("digits")
    rows = []
    for bits in options.bits:
        for name in VARIANTS:
            reached = []
            for seed in range(options.seeds):
                torch.manual_seed(seed)
                start = build("cnn", FLOAT, data.image_shape, data.classes)
                model = quantized(start, bits, name)
                last = options.epochs // 4 if name == "frozen after three quarters" else 0
                train(model, data.x_train, data.y_train, options.epochs - last, seed)
                if last:
                    train(freeze_binary_points(model), data.x_train, data.y_train, last, seed)
                reached.append(accuracy(predict(model, data.x_test), data.y_test))
            rows.append(
                {
                    "bits": bits,
                    "variant": name,
                    "mean": round(statistics.mean(reached), 2),
                    "worst": round(min(reached), 2),
                }
            )
            print(rows[-1], flush=True)
    print_table(rows)
    write_results("training_options", {"options": vars(options), "rows": rows} | environment())


if __name__ == "__main__":
    main()
