"""From ONNX to simulated and synthesised Verilog: seconds of each step, nothing kept from before.

    python benchmarks/rtl_time.py            the digits MLP at 4 bits and at 8 bits with K = 2

`cpu_s` is the processor time of all processes of a step, `wall_s` what a clock shows. The limit
that we set ourselves is 180 s for the digits MLP on two cores, with default options.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import environment, parser, print_table, write_results

from brevitas_quantizers import export_qonnx
from qfx_plugin.build.api import build
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import Recipe
from qfx_plugin.demo.models import build as make
from qfx_plugin.demo.train import train

RECIPES = (Recipe("4-bit", 4), Recipe("8-bit K=2", 8, k=2))
STEPS = ("import", "verilog", "simulate", "synthesise")


def main() -> None:
    """Build each network, print the table, write `benchmarks/results/rtl_time.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=256)
    arguments.add_argument("--epochs", type=int, default=2)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    rows = [row for recipe in RECIPES for row in measure(recipe, options)]
    print_table(rows)
    label = "seconds on a machine shared with other work"
    write_results("rtl_time", {"label": label, "rows": rows} | environment())


def measure(recipe: Recipe, options: Any) -> list[dict[str, Any]]:
    """One row for each step, and one for all together."""
    data = load_dataset("digits")
    x = data.x_train.reshape(len(data.x_train), -1)
    torch.manual_seed(0)
    model = make("mlp", recipe, data.image_shape, data.classes)
    train(model, x, data.y_train, options.epochs, seed=0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_qonnx(model, torch.from_numpy(x[:1]), path)
        os.environ["QFX_CACHE"] = str(Path(folder) / "cache")
        rows = [_step(path, Path(folder) / "build", step, options.samples) for step in STEPS]
    network = f"digits MLP {recipe.name}"
    total = {key: round(sum(row[key] for row in rows), 1) for key in ("cpu_s", "wall_s")}
    rows = [{"network": network, **row} for row in rows]
    return [*rows, {"network": network, "step": "all", **total}]


def _step(model: Path, out: Path, step: str, samples: int) -> dict[str, Any]:
    """The build up to one step; the steps before it are reused."""
    cpu, wall = sum(os.times()[:4]), time.perf_counter()
    build(model, out=out, target="rtl", samples=samples, until=step)
    return {
        "step": step,
        "cpu_s": round(sum(os.times()[:4]) - cpu, 1),
        "wall_s": round(time.perf_counter() - wall, 1),
    }


if __name__ == "__main__":
    main()
