"""Fixed point without labels: a CIFAR-10 ResNet-20 calibrated, and reconstructed from 512 images.

    QFX_DATA=... python benchmarks/reconstruct.py --float-steps 700 --bits 4 3 --mode joint

The float network trains once, for as many steps as asked for, and is kept under `build/`. Images
for calibration come from the training data; nothing is chosen by the test data. Each row is stored
as soon as it is there.
"""

from __future__ import annotations

import json
import time
import warnings
from typing import Any

import torch
from cifar_data import CACHE, accuracy, float_resnet20, load_cifar10
from common import RESULTS, environment, parser, print_table, write_results

from brevitas_quantizers import calibrate, quantize, reconstruct

NAME = "reconstruct"


def options_of(bits: int) -> dict[str, Any]:
    """Of `quantize`: as common after training; first inputs and biases have 8 bits."""
    return {
        "bit_width": bits, "input_bit_width": 8, "bias_bit_width": 8, "fold_batchnorm": True,
        "weight_scaling_per_output_channel": True,
    }  # fmt: skip


def stored() -> dict[str, dict[str, Any]]:
    """Rows of earlier runs, by name."""
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    return {row["name"]: row for row in rows}


def main() -> None:
    """Measure what is asked for, and store it."""
    arguments = parser(__doc__)
    arguments.add_argument("--float-steps", type=int, default=5000)
    arguments.add_argument("--bits", type=int, nargs="+", default=[4, 3])
    arguments.add_argument("--mode", default="sequential", choices=["sequential", "joint"])
    arguments.add_argument("--steps", type=int, default=120)
    arguments.add_argument("--images", type=int, default=512)
    arguments.add_argument("--test", type=int, default=10000, help="test images")
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    x, y, x_test, y_test = load_cifar10()
    x_test, y_test = x_test[: chosen.test], y_test[: chosen.test]
    start = float_resnet20(x, y, chosen.float_steps)
    best = accuracy(start, x_test, y_test)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(chosen.seed))
    loader = list(x[order[: chosen.images]].split(64))
    for bits in chosen.bits:
        name = f"{bits} bits, {chosen.mode}, seed {chosen.seed}"
        model = calibrate(quantize(start, **options_of(bits)), loader)
        row = {"name": name, "float": best, "calibrated": accuracy(model, x_test, y_test)}
        print(row, flush=True)
        begun = time.process_time()
        state = CACHE / f"reconstruct-{bits}-{chosen.mode}-{chosen.steps}-{chosen.seed}.pt"
        reconstruct(
            model, start, loader, chosen.steps, chosen.mode, seed=chosen.seed, checkpoint=state,
            progress=lambda *done: print(*done, flush=True) if done[0] % 20 == 0 else None,
        )  # fmt: skip
        row |= {"reconstructed": accuracy(model, x_test, y_test)}
        row |= {"minutes": round((time.process_time() - begun) / 60, 1), **vars(chosen)}
        row = {key: round(v, 2) if isinstance(v, float) else v for key, v in row.items()}
        print_table([row])
        rows = list((stored() | {name: row}).values())
        write_results(NAME, {"rows": rows, "environment": environment()})


if __name__ == "__main__":
    main()
