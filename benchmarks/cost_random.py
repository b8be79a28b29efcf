"""Random budgets: how far the cost of a trained network is from the budget asked for.

    python benchmarks/cost_random.py --networks 20

MLPs of random sizes for digits, budgets drawn between 600 and 6,000 LUTs evenly on a logarithmic
scale, `train_to_budget` with its defaults. `off` is alkaid's count of the whole network against the
budget. Every file is run by the integer interpreter on the test images and compared with PyTorch.
Rows are kept as they come; those that the results have already are not run again.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, environment, parser, print_table, write_results
from cost_data import Batches, Split, load_split
from cost_front import mlp

from brevitas_quantizers import HardwareBudget, QFXDigits, export_qonnx, quantize, train_to_budget
from qfx_plugin import interpret, load_qonnx

LOWEST, HIGHEST = 600, 6000


def main() -> None:
    """Train, print the table, write `benchmarks/results/cost_random.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--networks", type=int, default=20)
    arguments.add_argument("--epochs", type=int, default=60)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    path, split = RESULTS / "cost_random.json", load_split("digits")
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    done = {(row["seed"], row["epochs"]) for row in rows}
    for seed in range(options.networks):
        if (seed, options.epochs) not in done:
            rows.append(run(split, seed, options.epochs))
            print(rows[-1], flush=True)
            write_results("cost_random", {"worst": worst(rows), "rows": rows} | environment())
    print_table(rows)
    print(f"farthest off: {worst(rows)} %")


def run(split: Split, seed: int, epochs: int) -> dict[str, Any]:
    """One network."""
    rng = np.random.default_rng(seed)
    hidden = tuple(int(rng.integers(16, 49)) for _ in range(int(rng.integers(1, 3))))
    lut = round(float(np.exp(rng.uniform(np.log(LOWEST), np.log(HIGHEST)))))
    torch.manual_seed(seed)
    model = quantize(
        mlp(split.sizes(hidden)), weight_quant=QFXDigits, weight_max_digits=int(rng.integers(1, 4))
    )
    budget = HardwareBudget(model, lut=lut)
    history = train_to_budget(model, Batches(split.x, split.y, seed), budget, epochs=epochs)
    x = split.x_test
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        export_qonnx(model, x[:1], file)
        (found,) = interpret(load_qonnx(file), x.numpy()).values()
    with torch.no_grad():
        output = model(x)
    return {
        "seed": seed,
        "hidden": "-".join(map(str, hidden)),
        "epochs": epochs,
        "budget": lut,
        "alkaid": round(history.lut),
        "off": round(100 * (history.lut / lut - 1), 1),
        "accuracy": round(100 * float((output.argmax(1) == split.y_test).float().mean()), 2),
        "different": int((found.values != output.numpy()).sum()),
    }


def worst(rows: list[dict[str, Any]]) -> float:
    """Percent."""
    return max(abs(row["off"]) for row in rows)


if __name__ == "__main__":
    main()
