"""Convolutions, streaming with a graph per position: budgets beside uniform word lengths.

    python benchmarks/cost_streaming.py                        # digits CNN
    QFX_DATA=<folder> python benchmarks/cost_streaming.py --network LeNet --epochs 8
        --images 10000 --luts 8000 20000 40000 --estimated
    python benchmarks/cost_streaming.py --validation           # on held-out training images

Each layer is one adder graph, which computes one position after the other. The uniform network has
4 bits for weights, biases and activations. Both train from the same start weights, in the same
order, for the same epochs, with the same optimizer. LUTs are alkaid's own count of all graphs, the
sum that `compile_rtl(style="streaming")` reports; `--yosys` also maps the whole design, sliding
windows and streams included. `--estimated` leaves the uniform network to the guess by which
style "auto" decides: alkaid takes over 15 minutes for the 48,000 products of LeNet's widest layer.
Every file is run by the integer interpreter on the test images and compared with PyTorch. Rows are
kept as they come; those that are there are not run again.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results
from cost_data import Batches
from mnist_lenet import lenet
from torch import Tensor, nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    export_qonnx,
    hardware_cost,
    quantize,
    train_to_budget,
)
from qfx_plugin import compile_rtl, interpret, load_qonnx
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import FLOAT, build
from qfx_plugin.ir import Weighted
from qfx_plugin.rtl.graph.guess import layer_luts
from qfx_plugin.rtl.graph.kernel import code_lanes
from qfx_plugin.synthesis.estimate import estimate

STYLE = "streaming"
BITS = 4
LR = 5e-3
UNFOLDED = 10**9
NETWORKS = {"digits CNN": "digits", "LeNet": "mnist"}
KEY = ("network", "recipe", "epochs", "validation", "seed")


def main() -> None:
    """Train, print the table, write `benchmarks/results/cost_streaming.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--network", choices=NETWORKS, default="digits CNN")
    arguments.add_argument("--luts", type=int, nargs="+", default=[1500, 2500])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--epochs", type=int, default=60)
    arguments.add_argument("--images", type=int, default=60_000, help="at most, to train with")
    arguments.add_argument("--validation", action="store_true")
    arguments.add_argument("--yosys", action="store_true")
    arguments.add_argument("--estimated", action="store_true", help="LUTs of the uniform network")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "cost_streaming.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    done = {tuple(row[key] for key in KEY) for row in rows}
    data = _data(NETWORKS[options.network], options.images, options.validation)
    for seed in options.seeds:
        for lut in (None, *options.luts):
            uniform = f"{BITS} bits" + ", estimated" * options.estimated
            recipe = uniform if lut is None else f"budget {lut:,}"
            values = (options.network, recipe, options.epochs, options.validation, seed)
            if values not in done:
                row = dict(zip(KEY, values, strict=True))
                rows.append(row | _run(options.network, data, lut, seed, options))
                print(rows[-1], flush=True)
                write_results("cost_streaming", {"points": _points(rows), "rows": rows}
                              | environment())  # fmt: skip
    print_table(_points(rows))


def _data(name: str, images: int, validation: bool) -> tuple[Tensor, ...]:
    """(x, y, x_test, y_test); with `validation`, all of the training data."""
    data = load_dataset(name)
    x, y = torch.as_tensor(data.x_train).float(), torch.as_tensor(data.y_train)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(7))
    count = min(len(x) // 4, 10_000)
    held, kept = order[:count], order[count:]
    if validation:
        return x[kept][:images], y[kept][:images], x[held], y[held]
    return (
        x[:images], y[:images],
        torch.as_tensor(data.x_test).float(), torch.as_tensor(data.y_test),
    )  # fmt: skip


def _run(
    name: str, data: tuple[Tensor, ...], lut: int | None, seed: int, options: Any
) -> dict[str, Any]:
    x, y, x_test, y_test = data
    torch.manual_seed(seed)
    network = lenet() if name == "LeNet" else build("cnn", FLOAT, (1, 8, 8), 10)
    batches, start = Batches(x, y, seed), time.process_time()
    if lut is None:
        model = quantize(network, bit_width=BITS)
        _train(model, batches, options.epochs)
        cost = hardware_cost(model, x[:1], style=STYLE)
        counted = math.nan if options.estimated else cost.exact()
    else:
        model = quantize(network, weight_quant=QFXDigits)
        budget = HardwareBudget(model, lut=lut, style=STYLE)
        counted = train_to_budget(model, batches, budget, epochs=options.epochs).lut
    seconds = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_qonnx(model, x_test[:1], path)
        reached, different = _interpreted(model, path, x_test, y_test)
        counted = _guessed(path) if math.isnan(counted) else counted
        row = {"accuracy": round(100 * reached, 2), "lut": round(counted)}
        row |= {"different": different, "seconds": round(seconds)}
        return row | (_yosys(path, Path(folder)) if options.yosys else {})


def _interpreted(model: nn.Module, path: Path, x: Tensor, y: Tensor) -> tuple[float, int]:
    """Share of test images that the file has right, and outputs that PyTorch has otherwise."""
    with torch.no_grad():
        torched = torch.cat([model(part) for part in x.split(500)])
    graph = load_qonnx(path)
    found = torch.cat(
        [
            torch.as_tensor(next(iter(interpret(graph, part.numpy()).values())).values)
            for part in x.split(500)
        ]
    )
    right = float((found.argmax(1) == y).float().mean())
    return right, int((found.to(torched.dtype) != torched).sum())


def _guessed(path: Path) -> float:
    """LUTs of dense layers, before any adder graph is solved, as style "auto" guesses them."""
    graph = load_qonnx(path)
    types = graph.types()
    return sum(
        layer_luts(op.weight, max(code_lanes(types[op.inputs[0]]).widths))
        for op in graph.ops
        if isinstance(op, Weighted)
    )


def _train(model: nn.Module, batches: Batches, epochs: int) -> None:
    """Adam and a cosine, as `train_to_budget` has them."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, betas=(0.9, 0.99))
    total, step = epochs * len(batches), 0
    model.train()
    for _ in range(epochs):
        for x, y in batches:
            for group in optimizer.param_groups:
                group["lr"] = LR * (0.51 + 0.49 * math.cos(math.pi * step / total))
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
    model.eval()


def _yosys(path: Path, folder: Path) -> dict[str, Any]:
    """What `compile_rtl` reports, and LUTs of the adder graphs and of everything by Yosys."""
    network = compile_rtl(path, folder / "rtl", style=STYLE, fold_above=UNFOLDED)
    reported = sum(stage["cost_lut"] for stage in network.facts["stages"])
    report = estimate(network.write(folder / "sources"), network.name, timeout_s=3600)
    graphs = sum(cells.all_luts for module, cells in report.modules.items() if "_kernel" in module)
    return {"reported": reported, "yosys": graphs, "yosys_whole": report.total.all_luts}


def _points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds."""
    points: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        points.setdefault(tuple(row[key] for key in KEY[:-1]), []).append(row)
    return [
        dict(zip(KEY[:-1], key, strict=True))
        | {
            "seeds": len(found),
            "accuracy": round(statistics.mean(row["accuracy"] for row in found), 2),
            "lut": round(statistics.mean(row["lut"] for row in found)),
            "different": sum(row["different"] for row in found),
        }
        for key, found in points.items()
    ]


if __name__ == "__main__":
    main()
