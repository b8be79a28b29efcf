"""Fixed point without labels: a CIFAR-10 ResNet-20 calibrated, and reconstructed from 512 images.

    QFX_DATA=... python benchmarks/reconstruct.py --float-steps 5000 --bits 4 3
    QFX_DATA=... python benchmarks/reconstruct.py --bits 3 --act-bits 8 --steps 0 --block 16

The float network trains once, for as many steps as asked for, and is kept under `build/`. Images
for calibration come from the training data; nothing is chosen by the test data. `--steps 0` only
calibrates. Each row is stored as soon as it is there.
"""

from __future__ import annotations

import json
import time
import warnings
from typing import Any

import torch
from cifar_data import accuracy, float_resnet20, load_cifar10
from common import RESULTS, environment, parser, print_table, write_results

from brevitas_quantizers import calibrate, quantize, reconstruct

NAME = "reconstruct"


def options_of(bits: int, act_bits: int, block: int | None) -> dict[str, Any]:
    """Of `quantize`: as common after training; first inputs and biases have 8 bits."""
    fine = {"scaling_per_output_channel": True} if block is None else {"block_size": block}
    return {
        "bit_width": act_bits, "weight_bit_width": bits, "input_bit_width": 8,
        "bias_bit_width": 8, "fold_batchnorm": True,
    } | {f"weight_{name}": value for name, value in fine.items()}  # fmt: skip


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
    arguments.add_argument("--act-bits", type=int, help="by default as many as of weights")
    arguments.add_argument("--block", type=int, help="weights of a block, not per channel")
    arguments.add_argument("--mode", default="sequential", choices=["sequential", "joint"])
    arguments.add_argument("--steps", type=int, default=120)
    arguments.add_argument("--rounding-steps", type=int, default=0)
    arguments.add_argument("--images", type=int, default=512)
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    x, y, x_test, y_test = load_cifar10()
    start = float_resnet20(x, y, chosen.float_steps)
    known = [r["float"] for r in stored().values() if r["float_steps"] == chosen.float_steps]
    best = known[0] if known else round(accuracy(start, x_test, y_test), 2)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(chosen.seed))
    loader = list(x[order[: chosen.images]].split(64))
    for bits in chosen.bits:
        act_bits = chosen.act_bits or bits
        settings = vars(chosen) | {"bits": bits, "act_bits": act_bits}
        name = ", ".join(f"{key} {value}" for key, value in settings.items())
        same = {k: v for k, v in settings.items() if k not in ("mode", "steps", "rounding_steps")}
        plain = [r for r in stored().values() if same.items() <= r.items()]
        begun = time.process_time()
        model = calibrate(quantize(start, **options_of(bits, act_bits, chosen.block)), loader)
        if chosen.steps:
            reconstruct(
                model, start, loader, chosen.steps, chosen.mode, seed=chosen.seed,
                rounding_steps=chosen.rounding_steps,
                progress=lambda *done: print(*done, flush=True) if done[0] % 100 == 0 else None,
            )  # fmt: skip
        row: dict[str, Any] = {"name": name, "float": best}
        row["minutes"] = round((time.process_time() - begun) / 60, 2)
        found = round(accuracy(model, x_test, y_test), 2)
        row["calibrated"] = plain[0]["calibrated"] if plain else None
        row["reconstructed" if chosen.steps else "calibrated"] = found
        print_table([row])
        rows = list((stored() | {name: row | settings}).values())
        write_results(NAME, {"rows": rows, "environment": environment()})


if __name__ == "__main__":
    main()
